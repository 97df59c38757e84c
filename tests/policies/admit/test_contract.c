/* SPDX-License-Identifier: Apache-2.0 */
/* The contract of sim/iface/admit.h, held by every registered policy; second_hit against a naive model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "tests/models/plugin_params.h"
#include "tests/support/arena.h"

static void *open_policy(const struct kv_admit_ops *ops, const void *params)
{
    void *state = kv_arena_take(&arena, ops->state_bytes + 1);
    ops->open(state, params, 1000);
    return state;
}

static bool takes(const struct kv_admit_ops *ops, void *state, uint64_t key)
{
    return !ops->take || ops->take(state, key);
}

static void every_policy_answers_by_the_keys_alone(void **unused)
{
    (void)unused;
    int32_t count, tested = 0;
    const struct kv_plugin *plugins = kv_plugins(&count);
    for (int32_t p = 0; p < count; p++) {
        if (plugins[p].family != KV_FAMILY_admit) continue;
        const struct kv_admit_ops *ops = kv_plugin_ops(admit, &plugins[p]);
        assert_true(ops->info.help && *ops->info.help);
        for (uint64_t script = 0; script < 50; script++) {
            uint64_t seed = script;
            const void *params = plugin_draw(&arena, plugins[p].info, 300, &seed);
            void *a = open_policy(ops, params), *b = open_policy(ops, params);
            for (int32_t i = 0; i < 2000; i++) {
                uint64_t key = kv_mix64((uint64_t)draw_below(&seed, 400));
                assert_int_equal(takes(ops, a, key), takes(ops, b, key));
            }
            /* A key that was never proposed: as takes_new says, also for chunks that nobody shares. */
            assert_int_equal(takes(ops, a, kv_mix64(1000000 + script)), ops->takes_new);
            ops->close(a);
            ops->close(b);
        }
        tested++;
    }
    assert_true(tested >= 2);
}

static void always_takes_everything(void **unused)
{
    (void)unused;
    const struct kv_admit_ops *ops = kv_plugin_ops(admit, kv_plugin_find(KV_FAMILY_admit, "always"));
    void *state = open_policy(ops, NULL);
    assert_true(ops->takes_new);
    for (uint64_t key = 0; key < 100; key++) assert_true(takes(ops, state, key / 2));
    ops->close(state);
}

/* Keys in the order of first proposal. */
struct naive { uint64_t key[512]; int32_t count, max; };

static bool naive_take(struct naive *n, uint64_t key)
{
    int32_t at = 0;
    while (at < n->count && n->key[at] != key) at++;
    bool known = at < n->count;
    if (!known && n->count == n->max) at = 0;          /* the oldest makes room */
    if (at < n->count) {
        memmove(&n->key[at], &n->key[at + 1], sizeof n->key[0] * (size_t)(n->count - at - 1));
        n->count--;
    }
    if (!known) n->key[n->count++] = key;
    return known;
}

static void second_hit_remembers_so_many_in_order(void **unused)
{
    (void)unused;
    const struct kv_admit_ops *ops = kv_plugin_ops(admit, kv_plugin_find(KV_FAMILY_admit, "second_hit"));
    for (uint64_t script = 0; script < 100; script++) {
        uint64_t seed = script;
        struct naive naive = { .max = (int32_t)(1 + draw_below(&seed, 400)) };
        int64_t ghost_chunks = naive.max, keys = 1 + draw_below(&seed, 2 * naive.max);
        void *state = open_policy(ops, &ghost_chunks);
        int32_t taken = 0;
        for (int32_t i = 0; i < 3000; i++) {
            uint64_t key = kv_mix64((uint64_t)draw_below(&seed, keys));
            bool take = ops->take(state, key);
            assert_int_equal(take, naive_take(&naive, key));
            taken += take;
        }
        assert_true(taken > 0);
        ops->close(state);
    }
}

static void second_hit_at_its_edges(void **unused)
{
    (void)unused;
    const struct kv_admit_ops *ops = kv_plugin_ops(admit, kv_plugin_find(KV_FAMILY_admit, "second_hit"));
    int64_t two = 2;
    void *state = open_policy(ops, &two);
    assert_false(ops->takes_new);
    assert_false(ops->take(state, 1));
    assert_true(ops->take(state, 1));      /* admitted and forgotten: */
    assert_false(ops->take(state, 1));
    assert_false(ops->take(state, 2));
    assert_false(ops->take(state, 3));     /* 1 is the oldest of three */
    assert_false(ops->take(state, 1));     /* and 2 goes now */
    assert_true(ops->take(state, 3));
    assert_true(ops->take(state, 1));
    assert_false(ops->take(state, 2));
    ops->close(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_policy_answers_by_the_keys_alone), cmocka_unit_test(always_takes_everything),
        cmocka_unit_test(second_hit_remembers_so_many_in_order), cmocka_unit_test(second_hit_at_its_edges),
    };
    return cmocka_run_group_tests(tests, NULL, close_arena);
}

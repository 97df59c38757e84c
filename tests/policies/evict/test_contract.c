/* SPDX-License-Identifier: Apache-2.0 */
/* The contract of sim/iface/evict.h, held by every registered policy; lru and fifo against naive models. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "tests/models/plugin_params.h"

#define SLOTS 64

enum place { OUT, IN, PINNED };

/* One policy under test, and what a naive reader of the contract knows about its slots. */
struct bench {
    const struct kv_plugin *plugin;
    const struct kv_evict_ops *ops;
    struct kv_arena arena;
    void *state;
    enum place place[SLOTS];
    uint64_t inserted_at[SLOTS], touched_at[SLOTS], now;
    int32_t entered[SLOTS], left[SLOTS], unpinned;
};

static void bench_open(struct bench *b, const struct kv_plugin *plugin)
{
    *b = (struct bench){ .plugin = plugin, .ops = kv_plugin_ops(evict, plugin) };
    b->state = kv_arena_take(&b->arena, b->ops->state_bytes + 1);
    b->ops->open(b->state, plugin_defaults(&b->arena, plugin->info), SLOTS);
}

static void bench_close(struct bench *b)
{
    b->ops->close(b->state);
    kv_arena_close(&b->arena);
}

static void do_insert(struct bench *b, uint32_t slot)
{
    b->ops->insert(b->state, slot);
    b->place[slot] = IN;
    b->inserted_at[slot] = b->touched_at[slot] = ++b->now;
    b->entered[slot]++;
    b->unpinned++;
}

static void do_pin(struct bench *b, uint32_t slot)
{
    b->ops->pin(b->state, slot);
    b->place[slot] = PINNED;
    b->unpinned--;
}

static void do_unpin(struct bench *b, uint32_t slot)
{
    b->ops->unpin(b->state, slot);
    b->place[slot] = IN;
    b->touched_at[slot] = ++b->now;
    b->unpinned++;
}

static void do_hit(struct bench *b, uint32_t slot)
{
    b->ops->hit(b->state, slot);
    b->touched_at[slot] = ++b->now;
}

static void do_remove(struct bench *b, uint32_t slot)
{
    b->ops->remove(b->state, slot);
    b->place[slot] = OUT;
    b->left[slot]++;
    b->unpinned--;
}

/* The unpinned slot with the least stamp. */
static uint32_t oldest(const struct bench *b, const uint64_t *stamp)
{
    uint32_t best = KV_NONE;
    for (uint32_t s = 0; s < SLOTS; s++)
        if (b->place[s] == IN && (best == KV_NONE || stamp[s] < stamp[best])) best = s;
    return best;
}

static void check_victim(struct bench *b)
{
    uint32_t victim = b->ops->victim(b->state);
    if (b->unpinned == 0) {
        assert_int_equal(victim, KV_NONE);
        return;
    }
    assert_true(victim < SLOTS);
    assert_int_equal(b->place[victim], IN);
    assert_int_equal(b->ops->victim(b->state), victim);   /* asking changes nothing */
    if (strcmp(b->plugin->name, "lru") == 0) assert_int_equal(victim, oldest(b, b->touched_at));
    if (strcmp(b->plugin->name, "fifo") == 0) assert_int_equal(victim, oldest(b, b->inserted_at));
}

/* One random call that the contract allows; `counted` pools pin, the others hit. */
static void random_call(struct bench *b, uint64_t *seed, bool counted)
{
    uint32_t slot = (uint32_t)draw_below(seed, SLOTS);
    int64_t what = draw_below(seed, 8);
    if (b->place[slot] == OUT) do_insert(b, slot);
    else if (b->place[slot] == PINNED) do_unpin(b, slot);
    else if (what < 1) do_remove(b, slot);
    else if (what < 3 && b->unpinned > 0) do_remove(b, b->ops->victim(b->state));
    else if (counted) do_pin(b, slot);
    else do_hit(b, slot);
}

static void drain(struct bench *b)
{
    for (uint32_t s = 0; s < SLOTS; s++)
        if (b->place[s] == PINNED) do_unpin(b, s);
    while (b->unpinned > 0) {
        check_victim(b);
        do_remove(b, b->ops->victim(b->state));
    }
    check_victim(b);
    for (uint32_t s = 0; s < SLOTS; s++) assert_int_equal(b->entered[s], b->left[s]);
}

static void no_victim_is_pinned_and_every_slot_leaves_once(void **unused)
{
    (void)unused;
    int32_t count, tested = 0;
    const struct kv_plugin *plugins = kv_plugins(&count);
    for (int32_t p = 0; p < count; p++) {
        if (plugins[p].family != KV_FAMILY_evict) continue;
        for (uint64_t script = 0; script < 60; script++) {
            struct bench b;
            uint64_t seed = script;
            bench_open(&b, &plugins[p]);
            check_victim(&b);   /* empty: none */
            for (int32_t i = 0; i < 2000; i++) {
                random_call(&b, &seed, script % 2 == 0);
                check_victim(&b);
            }
            drain(&b);
            for (uint32_t s = 0; s < 8; s++) do_insert(&b, s);   /* usable again when empty */
            drain(&b);
            bench_close(&b);
        }
        tested++;
    }
    assert_true(tested >= 2);
}

static void with_everything_pinned_there_is_no_victim(void **unused)
{
    (void)unused;
    int32_t count;
    const struct kv_plugin *plugins = kv_plugins(&count);
    for (int32_t p = 0; p < count; p++) {
        if (plugins[p].family != KV_FAMILY_evict) continue;
        struct bench b;
        bench_open(&b, &plugins[p]);
        for (uint32_t s = 0; s < SLOTS; s++) do_insert(&b, s);
        for (uint32_t s = 0; s < SLOTS; s++) do_pin(&b, s);
        assert_int_equal(b.ops->victim(b.state), KV_NONE);
        do_unpin(&b, 17);
        assert_int_equal(b.ops->victim(b.state), 17);
        drain(&b);
        bench_close(&b);
    }
}

/* Runs: run r has blocks r * RUN_MAX + 0.. ; the same calls go to one pool with a slot a run, and to one
 * with a slot a block, inserted and unpinned tail first. */
#define RUNS 12
#define RUN_MAX 5

struct runs { int32_t left[RUNS]; bool pinned[RUNS]; };

static void run_call(struct bench *whole, struct bench *blocks, struct runs *r, uint64_t *seed)
{
    uint32_t run = (uint32_t)draw_below(seed, RUNS);
    uint32_t base = run * RUN_MAX;
    if (r->left[run] == 0) {
        r->left[run] = 1 + (int32_t)draw_below(seed, RUN_MAX);
        do_insert(whole, run);
        for (int32_t i = r->left[run] - 1; i >= 0; i--) do_insert(blocks, base + (uint32_t)i);
    } else if (r->pinned[run]) {
        r->pinned[run] = false;
        do_unpin(whole, run);
        for (int32_t i = r->left[run] - 1; i >= 0; i--) do_unpin(blocks, base + (uint32_t)i);
    } else if (draw_below(seed, 4) == 0) {
        r->pinned[run] = true;
        do_pin(whole, run);
        for (int32_t i = 0; i < r->left[run]; i++) do_pin(blocks, base + (uint32_t)i);
    }
}

/* Takes one block from each pool; both must name the same. */
static void evict_one_block(struct bench *whole, struct bench *blocks, struct runs *r)
{
    uint32_t run = whole->ops->victim(whole->state), block = blocks->ops->victim(blocks->state);
    if (run == KV_NONE) {
        assert_int_equal(block, KV_NONE);
        return;
    }
    assert_true(r->left[run] > 0);
    assert_int_equal(block, run * RUN_MAX + (uint32_t)r->left[run] - 1);
    do_remove(blocks, block);
    if (--r->left[run] == 0) do_remove(whole, run);
}

static void a_run_in_one_slot_is_evicted_like_its_blocks(void **unused)
{
    (void)unused;
    int32_t count;
    const struct kv_plugin *plugins = kv_plugins(&count);
    for (int32_t p = 0; p < count; p++) {
        if (plugins[p].family != KV_FAMILY_evict) continue;
        for (uint64_t script = 100; script < 140; script++) {
            struct bench whole, blocks;
            struct runs r = {0};
            uint64_t seed = script;
            bench_open(&whole, &plugins[p]);
            bench_open(&blocks, &plugins[p]);
            for (int32_t i = 0; i < 1500; i++) {
                run_call(&whole, &blocks, &r, &seed);
                if (draw_below(&seed, 2)) evict_one_block(&whole, &blocks, &r);
            }
            bench_close(&whole);
            bench_close(&blocks);
        }
    }
}

/* What tells the two apart, in the smallest case: a slot that was pinned in between. */
static void lru_renews_on_unpin_and_fifo_does_not(void **unused)
{
    (void)unused;
    const char *names[] = {"lru", "fifo"};
    uint32_t expected[] = {1, 0};
    for (int32_t i = 0; i < 2; i++) {
        struct bench b;
        bench_open(&b, kv_plugin_find(KV_FAMILY_evict, names[i]));
        for (uint32_t s = 0; s < 3; s++) do_insert(&b, s);
        do_pin(&b, 0);
        assert_int_equal(b.ops->victim(b.state), 1);
        do_unpin(&b, 0);
        assert_int_equal(b.ops->victim(b.state), expected[i]);
        bench_close(&b);
    }
}

/* ---- calls for several slots ---- */

#define AT_ONCE 9

/* Up to AT_ONCE slots in a given state, in random order. */
static int32_t some_slots(const struct bench *b, uint64_t *seed, enum place place, uint32_t slots[AT_ONCE])
{
    int32_t count = 0;
    uint32_t at = (uint32_t)draw_below(seed, SLOTS), step = 1 + 2 * (uint32_t)draw_below(seed, SLOTS / 2);
    for (int32_t i = 0; i < SLOTS && count < AT_ONCE; i++, at = (at + step) % SLOTS)
        if (b->place[at] == place && draw_below(seed, 2)) slots[count++] = at;
    return count;
}

/* The optional call on `together`, where there is one, and that for one slot on `apart`. */
static void call_both(struct bench *together, struct bench *apart, const uint32_t *slots, int32_t count,
                      void (*all)(void *, const uint32_t *, int32_t), void (*one)(struct bench *, uint32_t))
{
    for (int32_t i = 0; i < count; i++) {
        one(apart, slots[i]);
        if (!all) one(together, slots[i]);
    }
    if (!all) return;
    all(together->state, slots, count);
    void *state = together->state;
    struct kv_arena arena = together->arena;
    *together = *apart;   /* what a naive reader knows is the same */
    together->state = state;
    together->arena = arena;
}

static void evict_both(struct bench *together, struct bench *apart, int32_t want)
{
    uint32_t named[AT_ONCE];
    int32_t count = together->ops->victims(together->state, named, want);
    assert_int_equal(count, want < apart->unpinned ? want : apart->unpinned);
    check_victim(together);
    if (count > 0) assert_int_equal(together->ops->victim(together->state), named[0]);
    for (int32_t i = 0; i < count; i++) {
        assert_int_equal(apart->ops->victim(apart->state), named[i]);
        do_remove(apart, named[i]);
        do_remove(together, named[i]);
    }
}

static void several_slots_in_one_call_are_as_many_calls(void **unused)
{
    (void)unused;
    int32_t count, tested = 0;
    const struct kv_plugin *plugins = kv_plugins(&count);
    for (int32_t p = 0; p < count; p++) {
        if (plugins[p].family != KV_FAMILY_evict) continue;
        for (uint64_t script = 200; script < 240; script++) {
            struct bench together, apart;
            uint64_t seed = script;
            uint32_t slots[AT_ONCE];
            bench_open(&together, &plugins[p]);
            bench_open(&apart, &plugins[p]);
            const struct kv_evict_ops *ops = together.ops;
            for (int32_t i = 0; i < 1000; i++) {
                switch (draw_below(&seed, 8)) {
                case 0:
                case 1:
                    call_both(&together, &apart, slots, some_slots(&apart, &seed, OUT, slots), ops->insert_all,
                              do_insert);
                    break;
                case 2:
                    call_both(&together, &apart, slots, some_slots(&apart, &seed, IN, slots), ops->pin_all, do_pin);
                    break;
                case 3:
                case 4:
                    call_both(&together, &apart, slots, some_slots(&apart, &seed, PINNED, slots), ops->unpin_all,
                              do_unpin);
                    break;
                case 5:
                    call_both(&together, &apart, slots, some_slots(&apart, &seed, IN, slots), ops->remove_all,
                              do_remove);
                    break;
                default:
                    if (ops->victims) evict_both(&together, &apart, 1 + (int32_t)draw_below(&seed, AT_ONCE));
                }
                assert_int_equal(ops->victim(together.state), ops->victim(apart.state));
                check_victim(&together);
            }
            tested += ops->victims != NULL;
            drain(&together);
            drain(&apart);
            bench_close(&together);
            bench_close(&apart);
        }
    }
    assert_true(tested > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_victim_is_pinned_and_every_slot_leaves_once),
        cmocka_unit_test(with_everything_pinned_there_is_no_victim),
        cmocka_unit_test(a_run_in_one_slot_is_evicted_like_its_blocks),
        cmocka_unit_test(lru_renews_on_unpin_and_fifo_does_not),
        cmocka_unit_test(several_slots_in_one_call_are_as_many_calls),
    };
    return cmocka_run_group_tests_name("policies/evict contract", tests, NULL, NULL);
}

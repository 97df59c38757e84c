/* SPDX-License-Identifier: Apache-2.0 */
/* The contract of sim/iface/route.h for every registered router, over a fake cluster; and which instance each
 * shipped one picks, against a plain reading of semantics 14. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "tests/models/plugin_params.h"

#define INSTANCES_MAX 64

struct cluster {
    int32_t count, match[INSTANCES_MAX];
    int64_t requests[INSTANCES_MAX], waiting[INSTANCES_MAX], tokens[INSTANCES_MAX];
};

static int64_t load_requests(void *cluster, int32_t i)
{
    assert_in_range(i, 0, ((struct cluster *)cluster)->count - 1);
    return ((struct cluster *)cluster)->requests[i];
}

static int64_t load_waiting(void *cluster, int32_t i)
{
    assert_in_range(i, 0, ((struct cluster *)cluster)->count - 1);
    return ((struct cluster *)cluster)->waiting[i];
}

static int64_t load_tokens(void *cluster, int32_t i)
{
    assert_in_range(i, 0, ((struct cluster *)cluster)->count - 1);
    return ((struct cluster *)cluster)->tokens[i];
}

static int32_t match_blocks(void *cluster, int32_t i)
{
    assert_in_range(i, 0, ((struct cluster *)cluster)->count - 1);
    return ((struct cluster *)cluster)->match[i];
}

static struct kv_route_view view_of(struct cluster *c)
{
    return (struct kv_route_view){ c, c->count, load_requests, load_tokens, match_blocks, load_waiting };
}

/* Few distinct values, so that ties are common. */
static void randomise(struct cluster *c, uint64_t *seed)
{
    c->count = 1 + (int32_t)draw_below(seed, INSTANCES_MAX);
    for (int32_t i = 0; i < c->count; i++) {
        c->requests[i] = draw_below(seed, 5);
        c->waiting[i] = draw_below(seed, c->requests[i] + 1);
        c->tokens[i] = draw_below(seed, 4000);
        c->match[i] = (int32_t)draw_below(seed, 4);
    }
}

static int32_t pick(const char *name, void *state, struct cluster *c)
{
    const struct kv_plugin *plugin = kv_plugin_find(KV_FAMILY_route, name);
    assert_non_null(plugin);
    struct kv_route_view view = view_of(c);
    struct kv_request request = { .input_tokens = 100, .output_tokens = 10 };
    return kv_plugin_ops(route, plugin)->pick(state, NULL, &view, &request).prefill;
}

static void every_router_names_an_instance_for_both_phases(void **unused)
{
    (void)unused;
    int32_t count, tested = 0;
    const struct kv_plugin *plugins = kv_plugins(&count);
    for (int32_t p = 0; p < count; p++) {
        if (plugins[p].family != KV_FAMILY_route) continue;
        const struct kv_route_ops *ops = kv_plugin_ops(route, &plugins[p]);
        struct kv_arena arena = {0};
        const void *params = plugin_defaults(&arena, plugins[p].info);
        uint64_t seed = 7;
        for (int32_t run = 0; run < 200; run++) {
            struct cluster c = {0};
            randomise(&c, &seed);   /* the number of instances is fixed for a run */
            void *state = kv_arena_take(&arena, ops->state_bytes + 1);
            for (int32_t i = 0; i < 100; i++) {
                struct kv_route_view view = view_of(&c);
                struct kv_request request = { .index = i, .input_tokens = 1 };
                struct kv_route route = ops->pick(state, params, &view, &request);
                assert_in_range(route.prefill, 0, c.count - 1);
                assert_int_equal(route.decode, route.prefill);   /* no router is disaggregated yet */
                c.requests[route.prefill]++;
            }
        }
        kv_arena_close(&arena);
        tested++;
    }
    assert_true(tested >= 3);
}

static void round_robin_takes_each_in_turn(void **unused)
{
    (void)unused;
    for (int32_t n = 1; n <= 5; n++) {
        struct cluster c = { .count = n };
        int64_t state[2] = {0};
        for (int32_t i = 0; i < 23; i++) {
            c.requests[i % n] += 100;   /* it does not look */
            assert_int_equal(pick("round_robin", state, &c), i % n);
        }
    }
}

static void least_loaded_takes_the_first_of_the_fewest_requests(void **unused)
{
    (void)unused;
    uint64_t seed = 3;
    for (int32_t run = 0; run < 5000; run++) {
        struct cluster c = {0};
        randomise(&c, &seed);
        int32_t best = 0;
        for (int32_t i = c.count - 1; i >= 0; i--)
            if (c.requests[i] <= c.requests[best]) best = i;
        assert_int_equal(pick("least_loaded", NULL, &c), best);
    }
}

static void least_tokens_takes_the_first_of_the_fewest_tokens(void **unused)
{
    (void)unused;
    uint64_t seed = 5;
    for (int32_t run = 0; run < 5000; run++) {
        struct cluster c = {0};
        randomise(&c, &seed);
        for (int32_t i = 0; i < c.count; i++) c.tokens[i] %= 5;
        int32_t best = 0;
        for (int32_t i = c.count - 1; i >= 0; i--)
            if (c.tokens[i] <= c.tokens[best]) best = i;
        assert_int_equal(pick("least_tokens", NULL, &c), best);
    }
}

static void prefix_takes_the_longest_match_then_the_least_load_then_the_lowest_id(void **unused)
{
    (void)unused;
    uint64_t seed = 4;
    for (int32_t run = 0; run < 5000; run++) {
        struct cluster c = {0};
        randomise(&c, &seed);
        int32_t best = 0;
        for (int32_t i = c.count - 1; i >= 0; i--) {
            bool better = c.match[i] > c.match[best]
                          || (c.match[i] == c.match[best] && c.requests[i] <= c.requests[best]);
            if (better) best = i;
        }
        assert_int_equal(pick("prefix", NULL, &c), best);
    }
}

static void vllm_dp_takes_the_first_of_the_least_with_waiting_fourfold(void **unused)
{
    (void)unused;
    uint64_t seed = 6;
    for (int32_t run = 0; run < 5000; run++) {
        struct cluster c = {0};
        randomise(&c, &seed);
        int32_t best = 0;
        int64_t load[INSTANCES_MAX];
        for (int32_t i = 0; i < c.count; i++) load[i] = 4 * c.waiting[i] + (c.requests[i] - c.waiting[i]);
        for (int32_t i = c.count - 1; i >= 0; i--)
            if (load[i] <= load[best]) best = i;
        assert_int_equal(pick("vllm_dp", NULL, &c), best);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_router_names_an_instance_for_both_phases),
        cmocka_unit_test(round_robin_takes_each_in_turn),
        cmocka_unit_test(least_loaded_takes_the_first_of_the_fewest_requests),
        cmocka_unit_test(least_tokens_takes_the_first_of_the_fewest_tokens),
        cmocka_unit_test(vllm_dp_takes_the_first_of_the_least_with_waiting_fourfold),
        cmocka_unit_test(prefix_takes_the_longest_match_then_the_least_load_then_the_lowest_id),
    };
    return cmocka_run_group_tests_name("policies/route", tests, NULL, NULL);
}

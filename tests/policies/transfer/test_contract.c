/* SPDX-License-Identifier: Apache-2.0 */
/* The contract of sim/iface/transfer.h, held by every registered policy over random fetches, and what each of them
 * says beyond it. Published grants are in test_objectcache.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/models/plugin_params.h"
#include "tests/support/arena.h"
#include "tests/support/near.h"

#define FLOWS 300

static double draw_between(uint64_t *seed, double least, double most)   /* evenly over the orders of magnitude */
{
    return least * pow(most / least, (double)draw_below(seed, 1000001) / 1e6);
}

static void random_flows(struct kv_transfer_flow *flow, int32_t count, uint64_t *seed)
{
    for (int32_t i = 0; i < count; i++) {
        int64_t layers = 1 + draw_below(seed, 128);
        double layer_bytes = draw_between(seed, 1, 1e9), bytes = layer_bytes * (double)layers;
        flow[i] = (struct kv_transfer_flow){
            .serial = (uint64_t)i, .layers = layers, .layer_bytes = layer_bytes,
            .left_bytes = draw_below(seed, 2) ? bytes : draw_between(seed, bytes * 1e-3, bytes),
            .window_s = draw_between(seed, 1e-9, 10), .limit_Bps = INFINITY,
        };
        if (draw_below(seed, 3)) flow[i].limit_Bps = draw_between(seed, 1e3, 1e13);
        if (draw_below(seed, 2)) flow[i].waited_s = draw_between(seed, 1e-6, 100);
    }
}

static void shuffle(struct kv_transfer_flow *flow, int32_t count, uint64_t *seed)
{
    for (int32_t i = count - 1; i > 0; i--) {
        int64_t k = draw_below(seed, i + 1);
        struct kv_transfer_flow held = flow[i];
        flow[i] = flow[k];
        flow[k] = held;
    }
}

static double sum_of(const double *grant, int32_t count)
{
    double sum = 0;
    for (int32_t i = 0; i < count; i++) {
        assert_true(isfinite(grant[i]) && grant[i] >= 0);
        sum += grant[i];
    }
    return sum;
}

static void check_policy(const struct kv_plugin *plugin, uint64_t seed)
{
    static const int32_t counts[] = {1, 2, 5, 40, FLOWS};
    const struct kv_transfer_ops *ops = kv_plugin_ops(transfer, plugin);
    struct kv_transfer_flow flow[FLOWS];
    double grant[FLOWS], again[FLOWS], by_serial[FLOWS];
    int32_t count = counts[draw_below(&seed, 5)];
    random_flows(flow, count, &seed);
    double cap = draw_below(&seed, 8) ? draw_between(&seed, 1, 1e13) : 0;
    const void *params = draw_below(&seed, 2) ? plugin_defaults(&arena, plugin->info)
                                              : plugin_draw(&arena, plugin->info, 1e12, &seed);
    ops->grant(params, flow, count, cap, grant);
    if (sum_of(grant, count) > cap * (1 + 1e-9))
        fail_msg("%s: %g B/s of %g granted to %d", plugin->name, sum_of(grant, count), cap, count);
    ops->grant(params, flow, count, cap, again);
    assert_memory_equal(grant, again, sizeof *grant * (size_t)count);
    for (int32_t i = 0; i < count; i++) by_serial[i] = grant[i];
    shuffle(flow, count, &seed);
    ops->grant(params, flow, count, cap, again);
    for (int32_t i = 0; i < count; i++)
        if (fabs(again[i] - by_serial[flow[i].serial]) > 1e-9 * cap)
            fail_msg("%s: fetch %d of %d gets %g B/s, in another order %g", plugin->name, (int)flow[i].serial, count,
                     by_serial[flow[i].serial], again[i]);
}

static void every_policy_divides_no_more_than_the_cap(void **unused)
{
    (void)unused;
    int32_t count, tested = 0;
    const struct kv_plugin *plugins = kv_plugins(&count);
    for (int32_t p = 0; p < count; p++) {
        if (plugins[p].family != KV_FAMILY_transfer) continue;
        assert_true(plugins[p].info->help && *plugins[p].info->help);
        for (uint64_t i = 0; i < 1000; i++) check_policy(&plugins[p], i);
        tested++;
    }
    assert_true(tested >= 8);
}

static void grant_of(const char *name, const void *params, const struct kv_transfer_flow *flow, int32_t count,
                     double cap_Bps, double *grant)
{
    kv_plugin_ops(transfer, kv_plugin_find(KV_FAMILY_transfer, name))->grant(params, flow, count, cap_Bps, grant);
}

/* One fetch alone: r* is 100 B/s, its stream carries 300. */
static void one_fetch_gets_what_its_policy_says(void **unused)
{
    (void)unused;
    struct kv_transfer_flow flow = { .layers = 4, .layer_bytes = 200, .left_bytes = 800, .window_s = 2,
                                     .limit_Bps = 300 };
    static const struct { const char *name; double of_1000, of_50; } expected[] = {
        {"equal", 1000, 50}, {"kv_prop", 1000, 50}, {"bw_prop", 1000, 50}, {"stall_opt", 100, 50}, {"fifo", 300, 50},
        {"shortest_remaining", 300, 50},
    };
    double grant;
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        grant_of(expected[i].name, NULL, &flow, 1, 1000, &grant);
        assert_near(grant, expected[i].of_1000, 1e-9);
        grant_of(expected[i].name, NULL, &flow, 1, 50, &grant);
        assert_near(grant, expected[i].of_50, 1e-9);
    }
    grant_of("stall_opt_cal", &(double){8 * 30}, &flow, 1, 1000, &grant);   /* r* + 30 B/s */
    assert_near(grant, 130, 1e-9);
}

static void those_who_came_first_are_served_first(void **unused)
{
    (void)unused;
    struct kv_transfer_flow flow[] = {
        { .serial = 7, .left_bytes = 10, .limit_Bps = 30 }, { .serial = 3, .left_bytes = 20, .limit_Bps = 50 },
        { .serial = 9, .left_bytes = 10, .limit_Bps = INFINITY },
    };
    double grant[3];
    grant_of("fifo", NULL, flow, 3, 100, grant);
    assert_true(grant[0] == 30 && grant[1] == 50 && grant[2] == 20);
    grant_of("fifo", NULL, flow, 3, 60, grant);
    assert_true(grant[0] == 10 && grant[1] == 50 && grant[2] == 0);
    grant_of("shortest_remaining", NULL, flow, 3, 100, grant);   /* serial 7 and 9 have 10 bytes left, 7 came first */
    assert_true(grant[0] == 30 && grant[1] == 0 && grant[2] == 70);
}

/* Rests of 10, 5 and -1 s. */
static void a_deadline_is_met_with_the_least_rate_that_does(void **unused)
{
    (void)unused;
    double ttft_s = 12, grant[3];
    struct kv_transfer_flow flow[] = {
        { .serial = 0, .left_bytes = 200, .window_s = 2, .waited_s = 0, .limit_Bps = 100 },
        { .serial = 1, .left_bytes = 200, .window_s = 1, .waited_s = 6, .limit_Bps = 100 },
        { .serial = 2, .left_bytes = 200, .window_s = 1, .waited_s = 12, .limit_Bps = 60 },
    };
    grant_of("deadline", &ttft_s, flow, 3, 120, grant);   /* past it: all it can; then what they need; all is gone */
    assert_true(grant[2] == 60 && grant[1] == 40 && grant[0] == 20);
    grant_of("deadline", &ttft_s, flow, 3, 110, grant);
    assert_true(grant[2] == 60 && grant[1] == 40 && grant[0] == 10);
    grant_of("deadline", &ttft_s, flow, 3, 200, grant);   /* 80 are left: 60 more for the next deadline, then 20 */
    assert_true(grant[2] == 60 && grant[1] == 100 && grant[0] == 40);
    flow[1].limit_Bps = 30;                               /* cannot make it: what its stream carries */
    grant_of("deadline", &ttft_s, flow, 3, 1000, grant);
    assert_true(grant[2] == 60 && grant[1] == 30 && grant[0] == 100);
}

/* What one who is bounded by less than the others would give for it: the conditions of the least sum of s / r. */
static void least_stall_meets_the_conditions_of_its_optimum(void **unused)
{
    (void)unused;
    for (uint64_t k = 0; k < 2000; k++) {
        uint64_t seed = k;
        struct kv_transfer_flow flow[FLOWS];
        double grant[FLOWS], bounds = 0;
        int32_t count = (int32_t)(1 + draw_below(&seed, 60));
        random_flows(flow, count, &seed);
        double delta_Bps = k % 2 ? draw_between(&seed, 1, 1e9) : 0;
        for (int32_t i = 0; i < count; i++) bounds += kv_transfer_no_stall_Bps(&flow[i]) + delta_Bps;
        double cap = bounds * draw_between(&seed, 1e-3, 2);
        if (k % 2) grant_of("stall_opt_cal", &(double){8 * delta_Bps}, flow, count, cap, grant);
        else grant_of("stall_opt", NULL, flow, count, cap, grant);
        assert_near(sum_of(grant, count), cap < bounds ? cap : bounds, 1e-9 * cap);
        double price = 0;                                  /* s / r^2 of those below their bound */
        for (int32_t i = 0; i < count; i++) {
            double bound = kv_transfer_no_stall_Bps(&flow[i]) + delta_Bps;
            assert_true(grant[i] > 0 && grant[i] <= bound * (1 + 1e-12));
            if (grant[i] >= bound * (1 - 1e-12)) continue;
            double its = flow[i].layer_bytes / grant[i] / grant[i];
            if (price > 0) assert_near(its / price, 1, 1e-6);
            price = its;
        }
        for (int32_t i = 0; i < count && price > 0; i++)   /* at its bound, nobody would gain more from a byte */
            if (flow[i].layer_bytes / grant[i] / grant[i] > price * (1 + 1e-6)) {
                double bound = kv_transfer_no_stall_Bps(&flow[i]) + delta_Bps;
                assert_true(grant[i] >= bound * (1 - 1e-12));
            }
        if (cap < bounds * (1 - 1e-9)) assert_true(price > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_policy_divides_no_more_than_the_cap),
        cmocka_unit_test(one_fetch_gets_what_its_policy_says),
        cmocka_unit_test(those_who_came_first_are_served_first),
        cmocka_unit_test(a_deadline_is_met_with_the_least_rate_that_does),
        cmocka_unit_test(least_stall_meets_the_conditions_of_its_optimum),
    };
    return cmocka_run_group_tests(tests, NULL, close_arena);
}

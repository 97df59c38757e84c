/* SPDX-License-Identifier: Apache-2.0 */
/* The grants that ObjectCache publishes (arXiv 2605.22850, tables A8 and A9; Llama-3.1-8B on one A100) from the
 * inputs it publishes: bytes of a layer, 2 x 8 heads x 128 x 2 bytes = 4096 per cached token, and the time C that
 * a layer computes. A9 holds to 0.5 %, A8 to 0.5 % or the 0.01 to which its figures are rounded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/models/plugin_params.h"
#include "tests/support/arena.h"
#include "tests/support/near.h"

enum { K4_HALF, K4_MOST, K16_HALF, K16_MOST, K32_HALF, K32_MOST, K64_HALF, K64_MOST, POINTS };

/* Table A8: context, hit ratio, time of a layer in ms, rate without stall in GB/s. */
static const struct { double tokens, hit, window_ms, no_stall_GBps; } a8[POINTS] = {
    [K4_HALF] = {4096, 0.5, 5.79, 1.45},      [K4_MOST] = {4096, 0.875, 1.98, 7.41},
    [K16_HALF] = {16384, 0.5, 29.87, 1.12},   [K16_MOST] = {16384, 0.875, 8.80, 6.67},
    [K32_HALF] = {32768, 0.5, 80.91, 0.83},   [K32_MOST] = {32768, 0.875, 23.85, 4.92},
    [K64_HALF] = {65536, 0.5, 271.02, 0.50},  [K64_MOST] = {65536, 0.875, 75.75, 3.10},
};

/* Table A9: Gbps of 16K/0.5, 16K/0.875, 64K/0.5, 64K/0.875. */
#define FETCHES 4
static const int32_t workload[FETCHES] = {K16_HALF, K16_MOST, K64_HALF, K64_MOST};
static const struct { const char *policy; double cap_Gbps, grant_Gbps[FETCHES]; } a9[] = {
    {"equal", 80, {20, 20, 20, 20}},                    {"equal", 50, {12.5, 12.5, 12.5, 12.5}},
    {"kv_prop", 80, {5.82, 10.18, 23.27, 40.73}},       {"kv_prop", 50, {3.64, 6.36, 14.55, 25.45}},
    {"bw_prop", 80, {7.89, 46.85, 3.48, 21.78}},        {"bw_prop", 50, {4.93, 29.28, 2.17, 13.61}},
    {"stall_opt", 80, {8.99, 42.25, 3.96, 24.81}},      {"stall_opt", 50, {8.99, 12.35, 3.96, 24.70}},
    {"stall_opt_cal", 80, {13.99, 27.25, 8.96, 29.81}}, {"stall_opt_cal", 50, {8.26, 10.93, 8.96, 21.85}},
};

static struct kv_transfer_flow flow_of(int32_t point)
{
    double layer_bytes = a8[point].tokens * a8[point].hit * 4096;
    return (struct kv_transfer_flow){ .serial = (uint64_t)point, .layers = 32, .layer_bytes = layer_bytes,
                                      .left_bytes = 32 * layer_bytes, .window_s = a8[point].window_ms * 1e-3,
                                      .limit_Bps = 5e9 };
}

static double slack_of(double rounded) { return fmax(0.005 * rounded, 0.0051); }

static void rates_without_stall_are_those_of_table_a8(void **unused)
{
    (void)unused;
    for (int32_t p = 0; p < POINTS; p++) {
        struct kv_transfer_flow flow = flow_of(p);
        assert_near(kv_transfer_no_stall_Bps(&flow) * 1e-9, a8[p].no_stall_GBps, slack_of(a8[p].no_stall_GBps));
    }
}

static void grants_are_those_of_table_a9(void **unused)
{
    (void)unused;
    struct kv_transfer_flow flow[FETCHES];
    double grant_Bps[FETCHES];
    for (int32_t i = 0; i < FETCHES; i++) flow[i] = flow_of(workload[i]);
    for (size_t k = 0; k < sizeof a9 / sizeof *a9; k++) {
        const struct kv_plugin *plugin = kv_plugin_find(KV_FAMILY_transfer, a9[k].policy);
        kv_plugin_ops(transfer, plugin)->grant(plugin_defaults(&arena, plugin->info), flow, FETCHES,
                                               a9[k].cap_Gbps * 1e9 / 8, grant_Bps);
        for (int32_t i = 0; i < FETCHES; i++)
            assert_near(grant_Bps[i] * 8e-9, a9[k].grant_Gbps[i], 0.005 * a9[k].grant_Gbps[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_without_stall_are_those_of_table_a8),
        cmocka_unit_test(grants_are_those_of_table_a9),
    };
    return cmocka_run_group_tests(tests, NULL, close_arena);
}

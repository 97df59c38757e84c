/* SPDX-License-Identifier: Apache-2.0 */
/* The fit of a link: points made by the model give their parameters back, with noise and with one sender too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "calib/net/fit.c"

#define SIZES 6
#define POINTS (SIZES * 3 * 2)

static void assert_near(double actual, double expected, double relative)
{
    if (!(fabs(actual - expected) <= relative * expected)) fail_msg("%.17g is not %.17g", actual, expected);
}

/* What such a link would show: every point off by up to `noise`. */
static struct kv_net_points made(const struct kv_net_link *link, struct kv_net_point *at, double noise)
{
    static const int64_t bytes[SIZES] = {8, 4096, 16384, 65536, 262144, 1 << 22};
    static const int32_t outstanding[] = {1, 4, 64}, endpoints[] = {1, 4};
    struct kv_net_points points = { .at = at };
    for (int32_t e = 0; e < 2; e++)
        for (int32_t o = 0; o < 3; o++)
            for (int32_t b = 0; b < SIZES; b++) {
                struct kv_net_point p = { .endpoints = endpoints[e], .outstanding = outstanding[o],
                                          .message_bytes = bytes[b], .repeats = 1 };
                double off = (double)(kv_mix64((uint64_t)points.count) % 2001) / 1000 - 1;
                p.message_s = kv_net_link_message_s(link, &p) * (1 + noise * off);
                at[points.count++] = p;
            }
    return points;
}

static void a_link_is_found_again(void **unused)
{
    (void)unused;
    static const struct kv_net_link links[] = {
        {.bandwidth_bps = 400e9, .latency_s = 1.5e-6, .message_cost_s = 345e-9, .headers = true, .mtu_bytes = 4096,
         .operation = KV_NET_WRITE, .own_pairs = true},
        {.bandwidth_bps = 100e9, .latency_s = 3e-6, .message_cost_s = 0.8e-6, .headers = true, .mtu_bytes = 1024,
         .operation = KV_NET_READ, .own_pairs = true},
        {.bandwidth_bps = 956e6, .latency_s = 40e-6, .message_cost_s = 12e-6, .mtu_bytes = 4096,
         .operation = KV_NET_READ, .own_pairs = false},
    };
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        struct kv_net_point at[POINTS];
        struct kv_err err;
        for (int noisy = 0; noisy < 2; noisy++) {
            struct kv_net_points points = made(&links[i], at, noisy ? 0.02 : 0);
            struct kv_net_link found = { .headers = links[i].headers, .mtu_bytes = links[i].mtu_bytes,
                                         .operation = links[i].operation };
            assert_true(kv_net_fit(&points, &found, &err));
            double close = noisy ? 0.05 : 0.002;
            assert_near(found.bandwidth_bps, links[i].bandwidth_bps, noisy ? 0.025 : 1e-6);
            assert_near(found.latency_s, links[i].latency_s, close);
            assert_near(found.message_cost_s, links[i].message_cost_s, close);
            assert_true(found.own_pairs == links[i].own_pairs);
            assert_int_equal(found.points, POINTS);
            assert_true(found.held >= 3 && found.held < POINTS / 2);
            assert_true(found.error < (noisy ? 0.025 : 0.002) && found.holdout < (noisy ? 0.03 : 0.002));
        }
    }
}

/* A model that cannot be right is seen to be wrong by the points that it has not seen. */
static void what_does_not_fit_has_a_large_error(void **unused)
{
    (void)unused;
    struct kv_net_link link = {.bandwidth_bps = 100e9, .latency_s = 3e-6, .message_cost_s = 1e-6, .own_pairs = true};
    struct kv_net_point at[POINTS];
    struct kv_net_points points = made(&link, at, 0);
    struct kv_err err;
    for (int32_t i = 0; i < points.count; i++) at[i].message_s *= i % 2 ? 3 : 1;
    assert_true(kv_net_fit(&points, &link, &err));
    assert_true(link.error > 0.3 && link.holdout > 0.3);
}

static void few_points_are_refused(void **unused)
{
    (void)unused;
    struct kv_net_link link = {.bandwidth_bps = 100e9, .latency_s = 3e-6, .message_cost_s = 1e-6, .own_pairs = true};
    struct kv_net_point at[POINTS];
    struct kv_net_points points = made(&link, at, 0);
    struct kv_err err;
    for (int32_t i = 3; i < points.count; i++) at[i].repeats = 0;
    assert_false(kv_net_fit(&points, &link, &err));
    assert_int_equal(err.code, KV_ECALIB);
    at[3].repeats = 1;
    assert_true(kv_net_fit(&points, &link, &err));
    assert_int_equal(link.points, 4);
    assert_true(link.held == 0 || isnan(link.holdout));   /* too few are left for a fit without them */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_link_is_found_again), cmocka_unit_test(what_does_not_fit_has_a_large_error),
        cmocka_unit_test(few_points_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

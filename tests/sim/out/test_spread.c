/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sim/base/rng.h"
#include "sim/out/spread.h"

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double plain(const double *sorted, size_t count, double q)
{
    double at = q * (double)(count - 1);
    size_t low = (size_t)at, high = low + 1 < count ? low + 1 : low;
    return sorted[low] + (sorted[high] - sorted[low]) * (at - (double)low);
}

static void assert_close(double got, double wanted)
{
    if (fabs(got - wanted) > 1e-12 * fabs(wanted)) fail_msg("%.17g, wanted %.17g", got, wanted);
}

/* Shapes that break a careless selection: ties, one far outlier, zeros, a few values, many scales. */
static double draw(int shape, uint64_t i)
{
    double u = (double)(kv_mix64_pair(i, (uint64_t)shape) >> 11) * 0x1p-53;
    switch (shape) {
    case 0: return u * 1e12;
    case 1: return floor(u * 3);
    case 2: return i == 17 ? 1e18 : u;
    case 3: return u < 0.6 ? 0 : 1e9 * u;
    case 4: return pow(10, u * 18 - 3);
    case 5: return 0;
    default: return 42;
    }
}

static void percentiles_equal_those_of_a_sorted_list(void **state)
{
    (void)state;
    static const size_t counts[] = {1, 2, 3, 7, 100, 101, 9999, 10000, 70001};
    for (int shape = 0; shape < 7; shape++) {
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            size_t count = counts[c];
            struct kv_spread s;
            double *value = calloc(count, sizeof *value), sum = 0;
            kv_spread_open(&s, true);
            for (size_t i = 0; i < count; i++) {
                value[i] = draw(shape, i);
                sum += value[i];
                kv_spread_add(&s, value[i]);
            }
            qsort(value, count, sizeof *value, by_value);
            struct kv_spread_view v = kv_spread_end(&s);
            assert_int_equal(v.count, count);
            assert_close(v.mean, sum / (double)count);
            assert_close(v.p50, plain(value, count, 0.50));
            assert_close(v.p90, plain(value, count, 0.90));
            assert_close(v.p95, plain(value, count, 0.95));
            assert_close(v.p99, plain(value, count, 0.99));
            assert_close(v.max, value[count - 1]);
            if (count < 10000) assert_true(v.p99_low <= v.p99 && v.p99 <= v.p99_high && v.p99_high <= v.max);
            else assert_true(isnan(v.p99_low));
            free(value);
            kv_spread_close(&s);
        }
    }
}

/* The true 99th percentile of u * 1e12 is 0.99e12; 95 % of the intervals must hold it. */
static void the_confidence_interval_covers_as_often_as_it_says(void **state)
{
    (void)state;
    int covered = 0;
    for (uint64_t sample = 0; sample < 400; sample++) {
        struct kv_spread s;
        kv_spread_open(&s, true);
        for (uint64_t i = 0; i < 2000; i++) kv_spread_add(&s, draw(0, sample * 2000 + i));
        struct kv_spread_view v = kv_spread_end(&s);
        covered += v.p99_low <= 0.99e12 && 0.99e12 <= v.p99_high;
        kv_spread_close(&s);
    }
    assert_in_range(covered, 370, 396);   /* 400 x 0.95 = 380, give or take two standard deviations and rounding */
}

static void a_histogram_is_within_a_thousandth(void **state)
{
    (void)state;
    struct kv_spread exact, rough;
    kv_spread_open(&exact, true);
    kv_spread_open(&rough, false);
    for (uint64_t i = 0; i < 200000; i++) {
        double value = floor(draw(0, i));
        kv_spread_add(&exact, value);
        kv_spread_add(&rough, value);
    }
    struct kv_spread_view a = kv_spread_end(&exact), b = kv_spread_end(&rough);
    assert_close(b.mean, a.mean);
    assert_close(b.max, a.max);
    assert_true(b.p50 >= a.p50 * 0.9999 && b.p50 <= a.p50 * 1.0011);
    assert_true(b.p99 >= a.p99 * 0.9999 && b.p99 <= a.p99 * 1.0011);
    assert_true(rough.bits.count == 0);
    kv_spread_close(&exact);
    kv_spread_close(&rough);
}

static void nothing_has_no_percentiles(void **state)
{
    (void)state;
    struct kv_spread s;
    kv_spread_open(&s, true);
    struct kv_spread_view v = kv_spread_end(&s);
    assert_true(v.count == 0 && isnan(v.mean) && isnan(v.p50) && isnan(v.max));
    kv_spread_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(percentiles_equal_those_of_a_sorted_list),
        cmocka_unit_test(the_confidence_interval_covers_as_often_as_it_says),
        cmocka_unit_test(a_histogram_is_within_a_thousandth),
        cmocka_unit_test(nothing_has_no_percentiles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

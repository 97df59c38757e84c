/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "sim/base/hist.h"
#include "sim/base/rng.h"

#define COUNT 20000

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void small_values_are_exact(void **state)
{
    (void)state;
    struct kv_hist h = {0};
    for (int64_t v = 0; v < 2048; v++) kv_hist_add(&h, v);
    assert_int_equal(kv_hist_quantile(&h, 0), 0);
    assert_int_equal(kv_hist_quantile(&h, 0.5), 1023);
    assert_int_equal(kv_hist_quantile(&h, 1), 2047);
    kv_hist_close(&h);
}

static void an_empty_histogram_has_no_quantile(void **state)
{
    (void)state;
    struct kv_hist h = {0};
    assert_int_equal(kv_hist_quantile(&h, 0.5), -1);
    kv_hist_close(&h);
}

/* Every bucket edge of every octave: the answer is the greatest value of the value's bucket. */
static void a_bucket_is_narrower_than_a_thousandth_up_to_the_greatest_value(void **state)
{
    (void)state;
    for (int bit = 0; bit < 63; bit++) {
        const int64_t power = INT64_C(1) << bit;
        const int64_t near[] = {power, power - 1, power + power / 3, INT64_MAX - power + 1};
        for (int i = 0; i < 4; i++) {
            struct kv_hist h = {0};
            kv_hist_add(&h, near[i]);
            int64_t answer = kv_hist_quantile(&h, 0.5);
            assert_true(answer >= near[i]);
            assert_true((double)(answer - near[i]) <= (double)near[i] / 1024);
            kv_hist_close(&h);
        }
    }
}

static void quantiles_are_those_of_the_sorted_values_within_a_thousandth(void **state)
{
    (void)state;
    static int64_t value[COUNT];
    struct kv_hist h = {0};
    for (int i = 0; i < COUNT; i++) {
        uint64_t draw = kv_mix64_pair(3, (uint64_t)i);
        value[i] = (int64_t)(draw >> (draw & 31) >> 20);   /* many scales */
        kv_hist_add(&h, value[i]);
    }
    qsort(value, COUNT, sizeof value[0], ascending);
    for (int k = 0; k <= 1000; k++) {
        double q = k / 1000.0;
        int64_t rank = (int64_t)k * COUNT / 1000;
        int64_t exact = value[rank > 0 ? rank - 1 : 0], answer = kv_hist_quantile(&h, q);
        assert_true(answer >= exact);
        assert_true((double)(answer - exact) <= (double)exact / 1024);
    }
    kv_hist_close(&h);
}

static void merged_parts_equal_the_whole_in_any_order(void **state)
{
    (void)state;
    struct kv_hist whole = {0}, part[3] = {0}, merged = {0};
    for (int i = 0; i < COUNT; i++) {
        int64_t v = (int64_t)(kv_mix64((uint64_t)i) >> 30);
        kv_hist_add(&whole, v);
        kv_hist_add(&part[i % 3], v);
    }
    for (int i = 2; i >= 0; i--) kv_hist_merge(&merged, &part[i]);
    assert_int_equal(merged.count, whole.count);
    assert_int_equal(merged.bucket.count, whole.bucket.count);
    assert_memory_equal(merged.bucket.at, whole.bucket.at, whole.bucket.count * sizeof *whole.bucket.at);
    kv_hist_close(&whole);
    kv_hist_close(&merged);
    for (int i = 0; i < 3; i++) kv_hist_close(&part[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_values_are_exact),
        cmocka_unit_test(an_empty_histogram_has_no_quantile),
        cmocka_unit_test(a_bucket_is_narrower_than_a_thousandth_up_to_the_greatest_value),
        cmocka_unit_test(quantiles_are_those_of_the_sorted_values_within_a_thousandth),
        cmocka_unit_test(merged_parts_equal_the_whole_in_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

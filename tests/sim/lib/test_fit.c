/* SPDX-License-Identifier: Apache-2.0 */
/* Fits of functions that are known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <math.h>
#include <cmocka.h>

#include "sim/base/rng.h"
#include "sim/lib/fit.h"
#include "tests/support/arena.h"

static struct kv_fit_point point[4096];
static const struct kv_fit_rule rule = {0.01, 1000, 40, 40};

/* Uniform in [-1, 1), from a number. */
static double noise(uint64_t i)
{
    return (double)(kv_mix64(i) >> 11) * 0x1p-52 - 1;
}

static void two_straight_pieces_need_three_knots(void **unused)
{
    (void)unused;
    size_t count = 0;
    for (int64_t x = 1; x <= 201; x++)
        point[count++] = (struct kv_fit_point){x, 0, x < 101 ? 10000 + 10.0 * (double)x : 100.0 * (double)x + 910};
    struct kv_knots k;
    kv_fit_knots(&arena, point, count, &rule, &k);
    assert_int_equal(k.columns, 1);
    assert_in_range(k.rows, 3, 5);
    for (size_t i = 0; i < count; i++)
        assert_true(fabs(kv_knots_at(&k, (double)point[i].x, 0) / point[i].ns - 1) < 0.01);
}

static double plane(int64_t x, int64_t y)
{
    return 5000 + 70.0 * (double)x + 0.5 * (double)(x * y);
}

static void a_bilinear_function_is_met_through_holes_and_noise(void **unused)
{
    (void)unused;
    size_t count = 0;
    for (int64_t x = 1; x <= 16; x++)
        for (int64_t y = 0; y <= 2000; y += 100)
            if ((x * 7 + y / 100) % 5 != 0)   /* a fifth is missing */
                point[count++] = (struct kv_fit_point){x, y, plane(x, y) * (1 + 0.01 * noise(count))};
    struct kv_knots k;
    kv_fit_knots(&arena, point, count, &(struct kv_fit_rule){0.04, 1000, 40, 40}, &k);
    assert_true(k.rows * k.columns < 40);
    for (int64_t x = 1; x <= 16; x++)
        for (int64_t y = 0; y <= 2000; y += 100)
            assert_true(fabs(kv_knots_at(&k, (double)x, (double)y) / plane(x, y) - 1) < 0.03);
}

static void knots_rise_even_where_the_points_fall(void **unused)
{
    (void)unused;
    size_t count = 0;
    for (int64_t x = 1; x <= 12; x++)
        for (int64_t y = 0; y < 12; y++)
            point[count++] = (struct kv_fit_point){x, y, 10000 * (1 + 0.3 * noise(count)) + 100.0 * (double)(x + y)};
    struct kv_knots k;
    kv_fit_knots(&arena, point, count, &(struct kv_fit_rule){0.001, 1000, 40, 40}, &k);
    assert_int_equal(k.rows, 12);
    for (int32_t i = 0; i < k.rows * k.columns; i++) {
        if (i % k.columns) assert_true(k.at[i] > k.at[i - 1]);
        if (i >= k.columns) assert_true(k.at[i] > k.at[i - k.columns]);
    }
}

static void the_most_knots_are_kept_to(void **unused)
{
    (void)unused;
    size_t count = 0;
    for (int64_t x = 1; x <= 100; x++) point[count++] = (struct kv_fit_point){x, 0, 1000.0 * (double)(x * x)};
    struct kv_knots k;
    kv_fit_knots(&arena, point, count, &(struct kv_fit_rule){1e-9, 1, 7, 1}, &k);
    assert_int_equal(k.rows, 7);
    assert_int_equal(k.x[0], 1);
    assert_int_equal(k.x[6], 100);
}

static void a_factor_is_that_of_the_weighted_points(void **unused)
{
    (void)unused;
    struct kv_fit_pair pair[] = { {1, 3, 1}, {2, 6, 5}, {4, 100, 0} };
    assert_true(fabs(kv_fit_factor(pair, 3) - 3) < 1e-12);
    assert_true(kv_fit_factor(pair, 0) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_straight_pieces_need_three_knots),
        cmocka_unit_test(a_bilinear_function_is_met_through_holes_and_noise),
        cmocka_unit_test(knots_rise_even_where_the_points_fall),
        cmocka_unit_test(the_most_knots_are_kept_to),
        cmocka_unit_test(a_factor_is_that_of_the_weighted_points),
    };
    return cmocka_run_group_tests_name("fit", tests, NULL, close_arena);
}

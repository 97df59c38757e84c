/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "sim/base/rng.h"
#include "sim/lib/waterfill.h"
#include "tests/support/near.h"

#define MOST 64

static struct kv_waterfill_item item(const void *of, int32_t i) { return ((const struct kv_waterfill_item *)of)[i]; }

static void caps_hold_and_the_rest_is_divided_by_weight(void **unused)
{
    (void)unused;
    static const struct kv_waterfill_item items[] = { {1, 10}, {2, INFINITY}, {1, INFINITY}, {4, 1} };
    double share[4];
    kv_waterfill(items, item, 4, 100, share);
    assert_near(share[0], 10, 1e-12);
    assert_near(share[1], 2 * 89 / 3.0, 1e-12);
    assert_near(share[2], 89 / 3.0, 1e-12);
    assert_near(share[3], 1, 1e-12);
    kv_waterfill(items, item, 4, 1, share);
    for (int32_t i = 0; i < 4; i++) assert_near(share[i], items[i].weight / 8, 1e-12);
}

static void nothing_to_divide_is_nothing_for_all(void **unused)
{
    (void)unused;
    static const struct kv_waterfill_item items[] = { {1, 10}, {2, 0}, {1, INFINITY} };
    double share[3];
    kv_waterfill(items, item, 3, 0, share);
    for (int32_t i = 0; i < 3; i++) assert_true(share[i] == 0);
}

/* The level, found by bisection. */
static double level_of(const struct kv_waterfill_item *items, int32_t count, double total)
{
    double low = 0, high = 2e5;   /* weights of 1 and more, caps below 1e5 */
    for (int32_t step = 0; step < 200; step++) {
        double level = (low + high) / 2, sum = 0;
        for (int32_t i = 0; i < count; i++) sum += fmin(items[i].cap, level * items[i].weight);
        *(sum < total ? &low : &high) = level;
    }
    return low;
}

static void shares_are_those_of_the_level(void **unused)
{
    (void)unused;
    struct kv_waterfill_item items[MOST];
    double share[MOST];
    for (uint64_t k = 0; k < 3000; k++) {
        int32_t count = 1 + (int32_t)(kv_mix64(k) % MOST);
        double caps = 0;
        for (int32_t i = 0; i < count; i++) {
            uint64_t draw = kv_mix64(k * MOST + (uint64_t)i + 1);
            items[i] = (struct kv_waterfill_item){ 1 + (double)(draw % 1000), (double)(draw / 1000 % 100000) };
            caps += items[i].cap;
        }
        double total = caps * (double)(1 + k % 150) / 100;
        kv_waterfill(items, item, count, total, share);
        double level = level_of(items, count, fmin(total, caps)), sum = 0;
        for (int32_t i = 0; i < count; i++) {
            sum += share[i];
            assert_near(share[i], fmin(items[i].cap, level * items[i].weight), 1e-6 * total);
            if (total > caps) assert_true(share[i] == items[i].cap);
        }
        assert_near(sum, fmin(total, caps), 1e-9 * total);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(caps_hold_and_the_rest_is_divided_by_weight),
        cmocka_unit_test(nothing_to_divide_is_nothing_for_all),
        cmocka_unit_test(shares_are_those_of_the_level),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

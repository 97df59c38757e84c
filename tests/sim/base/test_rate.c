/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sim/base/rate.h"
#include "sim/base/rng.h"

/* The least number of ticks in which so much is served, by multiplication alone. */
static void is_least(kv_service missing, kv_rate rate)
{
    kv_tick ticks = kv_rate_ticks(missing, rate);
    if (ticks == KV_TICK_NEVER) {
        assert_true((kv_service)rate * (KV_TICK_LIMIT - 1) < missing);
        return;
    }
    assert_true(ticks < KV_TICK_LIMIT);
    assert_true((kv_service)rate * ticks >= missing && (kv_service)rate * (ticks - 1) < missing);
}

static void ticks_are_the_least_that_suffice_in_64_bits_and_beyond(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 200000; i++) {
        kv_service missing = (kv_service)(kv_mix64_pair(i, 1) >> (kv_mix64_pair(i, 2) % 64)) + 1;
        if (i % 2) missing <<= kv_mix64_pair(i, 3) % 40;
        kv_rate rate = (kv_rate)(kv_mix64_pair(i, 4) >> (2 + kv_mix64_pair(i, 5) % 62)) + 1;
        is_least(missing, rate);
    }
}

static void ticks_are_right_where_the_ways_of_dividing_meet(void **state)
{
    (void)state;
    for (kv_rate rate = KV_RATE_UNLIMITED - 2; rate <= KV_RATE_UNLIMITED; rate++)
        for (int64_t off = -2; off <= 2; off++) {
            is_least((kv_service)KV_RATE_UNLIMITED + off, rate);
            is_least((kv_service)KV_RATE_UNLIMITED + off, 3);
            is_least((kv_service)KV_RATE_UNLIMITED * 5 + off, rate);
        }
    assert_int_equal(kv_rate_ticks(1, 0), KV_TICK_NEVER);
    assert_int_equal(kv_rate_ticks(KV_TICK_LIMIT, 1), KV_TICK_NEVER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ticks_are_the_least_that_suffice_in_64_bits_and_beyond),
        cmocka_unit_test(ticks_are_right_where_the_ways_of_dividing_meet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

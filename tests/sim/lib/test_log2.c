/* SPDX-License-Identifier: Apache-2.0 */
/* Integer logarithms and powers against libm. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "sim/base/rng.h"
#include "sim/lib/log2.h"

static void powers_of_two_are_whole(void **unused)
{
    (void)unused;
    for (int32_t i = 0; i < 127; i++) assert_int_equal(kv_log2((kv_u128)1 << i), i * KV_LOG2_ONE);
    for (int64_t i = -56; i <= 6; i++) assert_int_equal(kv_exp2(i * KV_LOG2_ONE), INT64_C(1) << (i + KV_EXP2_BITS));
}

static void logarithms_are_those_of_libm(void **unused)
{
    (void)unused;
    for (uint64_t i = 1; i < 20000; i++) {
        uint64_t n = i < 10000 ? i : kv_mix64(i) >> (i % 63) | 1;
        double expected = log2((double)n) * (double)KV_LOG2_ONE;
        assert_true(fabs((double)kv_log2(n) - expected) < 4);   /* 2^-38: half of it is the double's own rounding */
        assert_int_equal(kv_log2((kv_u128)n << 60), kv_log2(n) + 60 * KV_LOG2_ONE);
    }
}

static void powers_undo_logarithms(void **unused)
{
    (void)unused;
    for (int64_t i = 0; i < 20000; i++) {
        int64_t log = (int64_t)(kv_mix64((uint64_t)i) % (uint64_t)(12 * KV_LOG2_ONE)) - 6 * KV_LOG2_ONE;
        double expected = exp2((double)log / (double)KV_LOG2_ONE) * 0x1p56;
        assert_true(fabs((double)kv_exp2(log) - expected) <= 1e-14 * expected + 1);
        assert_in_range(kv_log2((kv_u128)kv_exp2(log)) - 56 * KV_LOG2_ONE - log + 2, 0, 4);
        assert_true(kv_exp2(log + 1) > kv_exp2(log) || log < -4 * KV_LOG2_ONE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(powers_of_two_are_whole),
        cmocka_unit_test(logarithms_are_those_of_libm),
        cmocka_unit_test(powers_undo_logarithms),
    };
    return cmocka_run_group_tests_name("lib/log2", tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "sim/base/divide.h"
#include "sim/base/rng.h"

static void check(uint32_t n, uint32_t by)
{
    struct kv_divisor d = kv_divisor_of(by);
    if (kv_divide(d, n) != n / by || kv_remainder(d, n) != n % by) fail_msg("%u / %u", n, by);
}

static void quotient_and_remainder_are_those_of_the_hardware(void **state)
{
    (void)state;
    const uint32_t edges[] = {1, 2, 3, 5, 7, 16, 512, 641, 65535, 65536, 65537, 0x7fffffff, 0x80000000, 0xffffffff};
    const int count = (int)(sizeof edges / sizeof edges[0]);
    for (int i = 0; i < count; i++) {
        check(0, edges[i]);
        for (int j = 0; j < count; j++)
            for (uint32_t off = 0; off < 3; off++) check(edges[j] + off - 1, edges[i]);
        for (uint32_t quotient = 1; quotient < 1000; quotient++) {   /* both sides of a multiple */
            check(quotient * edges[i], edges[i]);
            check(quotient * edges[i] - 1, edges[i]);
        }
    }
    for (uint64_t i = 0; i < 200000; i++) {
        uint64_t draw = kv_mix64_pair(5, i);
        check((uint32_t)draw, (uint32_t)(draw >> 32) >> (i % 32) | 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quotient_and_remainder_are_those_of_the_hardware),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

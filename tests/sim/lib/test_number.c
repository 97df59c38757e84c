/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "sim/base/rng.h"
#include "sim/lib/number.h"

static void whole_numbers(void **unused)
{
    (void)unused;
    const struct { const char *text; int64_t max, value; const char *why; } cases[] = {
        {"0", 10, 0, NULL},
        {"007", 10, 7, NULL},
        {"12.0", 20, 12, NULL},
        {"12.", 20, 12, NULL},
        {"9223372036854775807", INT64_MAX, INT64_MAX, NULL},
        {"10", 9, 0, "is too large"},
        {"9223372036854775808", INT64_MAX, 0, "is too large"},
        {"99999999999999999999999", INT64_MAX, 0, "is too large"},
        {"18446744073709551616", INT64_MAX, 0, "is too large"},
        {"", 9, 0, "is empty"},
        {"-1", 9, 0, "is negative"},
        {"-", 9, 0, "is negative"},
        {"1.5", 9, 0, "is not a whole number"},
        {"1e3", 9999, 0, "is not a whole number"},
        {"nan", 9, 0, "is not a whole number"},
        {" 1", 9, 0, "is not a whole number"},
        {".0", 9, 0, "is not a whole number"},
        {"+1", 9, 0, "is not a whole number"},
        {"0x10", 99, 0, "is not a whole number"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t value = -1;
        const char *why = kv_number_whole(cases[i].text, strlen(cases[i].text), cases[i].max, &value);
        if (cases[i].why) assert_string_equal(why, cases[i].why);
        else assert_null(why), assert_int_equal(value, cases[i].value);
    }
}

static void times_are_exact_to_the_ns(void **unused)
{
    (void)unused;
    const struct { const char *text; int32_t exponent; int64_t ns; const char *why; } cases[] = {
        {"0", 9, 0, NULL},
        {"5", 9, 5000000000, NULL},
        {"19440110.0", 9, 19440110000000000, NULL},
        {"0.046926808", 9, 46926808, NULL},
        {"0.0000000005", 9, 1, NULL},
        {"0.00000000049999999999", 9, 0, NULL},
        {"0.0000000004999999999999999999999999999999999999999", 9, 0, NULL},
        {"1.9999999995", 9, 2000000000, NULL},
        {"1.9999999994", 9, 1999999999, NULL},
        {"2.58678", 9, 2586780000, NULL},
        {"1e3", 9, 1000000000000, NULL},
        {"1.5E-3", 9, 1500000, NULL},
        {"12E+1", 6, 120000000, NULL},
        {"3536999", 6, 3536999000000, NULL},
        {"0.1", 6, 100000, NULL},
        {"0.1234567", 6, 123457, NULL},
        {"9223372036.854775807", 9, INT64_MAX, NULL},
        {"9223372036.854775808", 9, 0, "is too large"},
        {"1e400", 9, 0, "is too large"},
        {"0e400", 9, 0, NULL},
        {"1e-400", 9, 0, NULL},
        {"1e99999999999", 9, 0, "is too large"},
        {"100000000000000000000000000000000000000000000", 9, 0, "is too large"},
        {"0.000000000000000000000000000000000000000000001e45", 9, 1000000000, NULL},
        {"100000000000000000000000000000000000000000000e-44", 9, 1000000000, NULL},
        {"", 9, 0, "is empty"},
        {"-1", 9, 0, "is negative"},
        {"-0.5", 9, 0, "is negative"},
        {"nan", 9, 0, "is not a number"},
        {"inf", 9, 0, "is not a number"},
        {".", 9, 0, "is not a number"},
        {"1.2.3", 9, 0, "is not a number"},
        {"1e", 9, 0, "is not a number"},
        {"1e+", 9, 0, "is not a number"},
        {"1 ", 9, 0, "is not a number"},
        {"12:30", 9, 0, "is not a number"},
        {"e5", 9, 0, "is not a number"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t ns = -1;
        const char *why = kv_number_ns(cases[i].text, strlen(cases[i].text), cases[i].exponent, &ns);
        if (cases[i].why) assert_non_null(why), assert_string_equal(why, cases[i].why);
        else assert_null(why), assert_int_equal(ns, cases[i].ns);
    }
}

static void written_seconds_read_back_the_same(void **unused)
{
    (void)unused;
    for (uint64_t i = 0; i < 20000; i++) {
        int64_t ns = (int64_t)(kv_mix64(i + 1) >> (1 + i % 62)), read = -1;
        struct kv_seconds_text t = kv_seconds_text(ns);
        assert_null(kv_number_ns(t.text, strlen(t.text), 9, &read));
        assert_int_equal(read, ns);
        /* The same number with an exponent takes the long way. */
        char text[64];
        snprintf(text, sizeof text, "%llde-9", (long long)ns);
        assert_null(kv_number_ns(text, strlen(text), 9, &read));
        assert_int_equal(read, ns);
    }
}

static void real_numbers(void **unused)
{
    (void)unused;
    static const char *const bad[] = {"", "nan", "inf", "0x10", " 1", "1e", "--1", "1.2.3", "1e999", "-0.5", "-0"};
    double value;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_non_null(kv_number_real(bad[i], strlen(bad[i]), &value));
    assert_null(kv_number_real("0.07666666666666666", 19, &value));
    assert_true(value == 0.07666666666666666);
    assert_null(kv_number_real("1e-3", 4, &value));
    assert_true(value == 0.001);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_numbers),
        cmocka_unit_test(real_numbers),
        cmocka_unit_test(times_are_exact_to_the_ns),
        cmocka_unit_test(written_seconds_read_back_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

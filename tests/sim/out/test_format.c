/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sim/out/format.h"

static void assert_seconds(int64_t numerator_tk, int64_t denominator, const char *wanted)
{
    char text[KV_FORMAT_MAX];
    assert_string_equal(kv_format_seconds(text, numerator_tk, denominator), wanted);
}

static void seconds_are_rounded_once_from_the_exact_value(void **state)
{
    (void)state;
    assert_seconds(0, 1, "0.000000000000");
    assert_seconds(1, 1, "0.000000000004");                          /* 3.90625 ps */
    assert_seconds(KV_TICKS_PER_S, 1, "1.000000000000");
    assert_seconds(KV_TICKS_PER_S - 1, 1, "0.999999999996");
    assert_seconds(KV_TICK_LIMIT, 1, "18014398.509481984000");
    assert_seconds(KV_TICKS_PER_S, 3, "0.333333333333");
    assert_seconds(2 * KV_TICKS_PER_S, 3, "0.666666666667");
    assert_seconds(16, 125, "0.000000000001");                        /* 0.5 ps: half up */
    assert_seconds(16, 126, "0.000000000000");
}

static void neighbouring_instants_differ_in_print(void **state)
{
    (void)state;
    char a[KV_FORMAT_MAX], b[KV_FORMAT_MAX];
    for (int64_t tk = KV_TICK_LIMIT - 1000; tk < KV_TICK_LIMIT; tk++) {
        assert_string_not_equal(kv_format_seconds(a, tk, 1), kv_format_seconds(b, tk + 1, 1));
    }
}

static void a_real_reads_back_as_itself_in_the_fewest_digits(void **state)
{
    (void)state;
    static const double value[] = {0, 1, 0.1, 1.0 / 3, 1e300, 5e-324, 123456789.123456789, -2.5};
    char text[KV_FORMAT_MAX];
    for (size_t i = 0; i < sizeof value / sizeof *value; i++) {
        assert_true(strtod(kv_format_real(text, value[i]), NULL) == value[i]);
    }
    assert_string_equal(kv_format_real(text, 0.1), "0.1");
    assert_string_equal(kv_format_real(text, (double)NAN), "");
}

static void people_get_four_digits_and_a_unit(void **state)
{
    (void)state;
    char text[KV_FORMAT_MAX];
    assert_string_equal(kv_format_duration(text, 0), "0 s");
    assert_string_equal(kv_format_duration(text, 1.23456e-3), "1.235 ms");
    assert_string_equal(kv_format_duration(text, 0.99999), "1.000 s");
    assert_string_equal(kv_format_duration(text, 99.999), "100.0 s");
    assert_string_equal(kv_format_duration(text, 1234.5), "1234 s");
    assert_string_equal(kv_format_duration(text, 36000), "10.00 h");
    assert_string_equal(kv_format_duration(text, (double)NAN), "-");
    assert_string_equal(kv_format_count(text, 1234567), "1,234,567");
    assert_string_equal(kv_format_count(text, 999), "999");
    assert_string_equal(kv_format_count(text, -1000), "-1,000");
    assert_string_equal(kv_format_rate(text, 41950.4), "41,950");
    assert_string_equal(kv_format_percent(text, 0.374), "37.4 %");
}

static void json_text_is_escaped(void **state)
{
    (void)state;
    struct kv_arena arena = {0};
    assert_string_equal(kv_format_json(&arena, "a\"b\\c\nd\001"), "\"a\\\"b\\\\c\\nd\\u0001\"");
    kv_arena_close(&arena);
}

static void bytes_and_counts_have_four_digits_at_most_and_a_unit(void **state)
{
    (void)state;
    char text[KV_FORMAT_MAX];
    assert_string_equal(kv_format_bytes(text, 0), "0 B");
    assert_string_equal(kv_format_bytes(text, 999), "999 B");
    assert_string_equal(kv_format_bytes(text, 999.96), "1.000 kB");
    assert_string_equal(kv_format_bytes(text, 1234567890), "1.235 GB");
    assert_string_equal(kv_format_bytes(text, 999960000), "1.000 GB");
    assert_string_equal(kv_format_bytes(text, (double)NAN), "-");
    assert_string_equal(kv_format_short(text, 999999), "999,999");
    assert_string_equal(kv_format_short(text, 1234567), "1.235 M");
    assert_string_equal(kv_format_short(text, INT64_C(45600000000)), "45.60 G");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_and_counts_have_four_digits_at_most_and_a_unit),
        cmocka_unit_test(seconds_are_rounded_once_from_the_exact_value),
        cmocka_unit_test(neighbouring_instants_differ_in_print),
        cmocka_unit_test(a_real_reads_back_as_itself_in_the_fewest_digits),
        cmocka_unit_test(people_get_four_digits_and_a_unit),
        cmocka_unit_test(json_text_is_escaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Typed quantities: what parses to what, what is refused in which words, and that written values read back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "sim/base/rng.h"
#include "sim/conf/bind.h"
#include "sim/conf/units.h"
#include "tests/support/arena.h"

static bool parse_double(enum kv_dim dim, const char *text, double *out, const char **why)
{
    struct kv_param p = {.dim = dim};
    return kv_value_parse(&arena, &p, text, out, why);
}

static bool parse_integer(enum kv_dim dim, const char *text, int64_t *out, const char **why)
{
    struct kv_param p = {.dim = dim};
    return kv_value_parse(&arena, &p, text, out, why);
}

static void numbers_with_units_have_their_value(void **state)
{
    (void)state;
    static const struct { enum kv_dim dim; const char *text; double value; } row[] = {
        {KV_DIM_TIME, "75us", 75e-6}, {KV_DIM_TIME, "5min", 300}, {KV_DIM_TIME, "1.5h", 5400},
        {KV_DIM_TIME, "2d", 172800}, {KV_DIM_TIME, "0.1ms", 1e-4}, {KV_DIM_TIME, "250ns", 250e-9},
        {KV_DIM_TIME, "2.9us", 2.9e-6}, {KV_DIM_TIME, "1e-99999999999999999999s", 0},
        {KV_DIM_TIME, "3 s", 3}, {KV_DIM_TIME, "1e3us", 1e-3}, {KV_DIM_TIME, "0s", 0}, {KV_DIM_TIME, "75µs", 75e-6},
        {KV_DIM_BITS_PER_S, "100Gbps", 100e9}, {KV_DIM_BITS_PER_S, "12.5GB/s", 100e9},
        {KV_DIM_BITS_PER_S, "1GiB/s", 8589934592.0}, {KV_DIM_BITS_PER_S, "1GB/s", 8e9},
        {KV_DIM_BITS_PER_S, "3.35TB/s", 26.8e12}, {KV_DIM_BITS_PER_S, "10Mbit/s", 10e6},
        {KV_DIM_PER_S, "30req/s", 30}, {KV_DIM_PER_S, "90req/min", 1.5}, {KV_DIM_PER_S, "7/s", 7},
        {KV_DIM_FLOPS, "989.4TFLOPS", 989.4e12}, {KV_DIM_FLOPS, "2PFLOPS", 2e15},
        {KV_DIM_FRACTION, "0.9", 0.9}, {KV_DIM_FRACTION, "90%", 0.9}, {KV_DIM_FRACTION, "1", 1},
        {KV_DIM_NUMBER, "-2.5", -2.5}, {KV_DIM_NUMBER, "1e-3", 1e-3}, {KV_DIM_NUMBER, ".5", 0.5},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        double value = -1;
        const char *why = "";
        if (!parse_double(row[i].dim, row[i].text, &value, &why)) fail_msg("%s: %s", row[i].text, why);
        if (value != row[i].value) fail_msg("%s: got %.17g, expected %.17g", row[i].text, value, row[i].value);
    }
}

static void whole_numbers_are_exact(void **state)
{
    (void)state;
    static const struct { enum kv_dim dim; const char *text; int64_t value; } row[] = {
        {KV_DIM_BYTES, "64GiB", INT64_C(64) << 30}, {KV_DIM_BYTES, "64GB", INT64_C(64000000000)},
        {KV_DIM_BYTES, "1.5GiB", INT64_C(3) << 29}, {KV_DIM_BYTES, "0.3KB", 300}, {KV_DIM_BYTES, "7B", 7},
        {KV_DIM_BYTES, "81559MiB", INT64_C(81559) << 20}, {KV_DIM_BYTES, "9223372036854775807B", INT64_MAX},
        {KV_DIM_BYTES, "8191PiB", INT64_C(8191) << 50}, {KV_DIM_BYTES, "2kB", 2000},
        {KV_DIM_COUNT, "9007199254740993", INT64_C(9007199254740993)}, {KV_DIM_COUNT, "1e6", 1000000},
        {KV_DIM_TOKENS, "8192", 8192}, {KV_DIM_COUNT, "+5", 5}, {KV_DIM_COUNT, "2.0", 2},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        int64_t value = -1;
        const char *why = "";
        if (!parse_integer(row[i].dim, row[i].text, &value, &why)) fail_msg("%s: %s", row[i].text, why);
        if (value != row[i].value) fail_msg("%s: got %lld", row[i].text, (long long)value);
    }
}

static void what_is_refused_says_why(void **state)
{
    (void)state;
    static const struct { enum kv_dim dim; const char *text, *part; } row[] = {
        {KV_DIM_BITS_PER_S, "100",
         "'100' needs a unit (accepted: bps, Kbps..Tbps, B/s, KB/s..TB/s, KiB/s..TiB/s); e.g. 100Gbps"},
        {KV_DIM_BYTES, "0", "needs a unit"}, {KV_DIM_TIME, "5", "e.g. 75us"}, {KV_DIM_FLOPS, "989", "989TFLOPS"},
        {KV_DIM_PER_S, "30", "30req/s"},
        {KV_DIM_TIME, "5GiB", "is a number of bytes, expected a duration"},
        {KV_DIM_BYTES, "10Gbps", "is a data rate, expected a number of bytes"},
        {KV_DIM_BYTES, "64gib", "did you mean 'GiB'?"}, {KV_DIM_TIME, "5 minutes", "unknown unit 'minutes'"},
        {KV_DIM_COUNT, "64 KiB", "is not a whole number"}, {KV_DIM_COUNT, "1.5", "is not a whole number"},
        {KV_DIM_COUNT, "-1", "must not be negative"}, {KV_DIM_TIME, "-1s", "must not be negative"},
        {KV_DIM_COUNT, "99999999999999999999", "too large"}, {KV_DIM_BYTES, "9223372036854775808B", "too large"},
        {KV_DIM_BYTES, "8192PiB", "too large"}, {KV_DIM_BYTES, "1e400B", "too large"},
        {KV_DIM_TIME, "1e999s", "too large"}, {KV_DIM_BITS_PER_S, "1e99999999999999999999Gbps", "too large"},
        {KV_DIM_NUMBER, "nan", "not a finite number"}, {KV_DIM_NUMBER, ".nan", "not a finite number"},
        {KV_DIM_NUMBER, "-.inf", "not a finite number"}, {KV_DIM_COUNT, "Infinity", "not a finite number"},
        {KV_DIM_NUMBER, "0x10", "is not a number"}, {KV_DIM_NUMBER, "", "is not a number"},
        {KV_DIM_NUMBER, "-", "is not a number"}, {KV_DIM_NUMBER, ".", "is not a number"},
        {KV_DIM_NUMBER, "1,5", "is not a number"}, {KV_DIM_NUMBER, "1e", "is not a number"},
        {KV_DIM_FRACTION, "1.01", "is out of range (0 to 1)"}, {KV_DIM_FRACTION, "-0.1", "is out of range"},
        {KV_DIM_TIME, "1e3", "needs a unit"}, {KV_DIM_TIME, "s", "is not a duration"},
        {KV_DIM_BOOL, "no", "write false"}, {KV_DIM_BOOL, "on", "write true"}, {KV_DIM_BOOL, "yes", "write true"},
        {KV_DIM_BOOL, "TRUE", "write true"}, {KV_DIM_BOOL, "False", "write false"}, {KV_DIM_BOOL, "0", "write false"},
        {KV_DIM_BOOL, "perhaps", "neither true nor false"},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        int64_t space[2];
        const char *why = "";
        struct kv_param p = {.dim = row[i].dim};
        if (kv_value_parse(&arena, &p, row[i].text, space, &why)) fail_msg("'%s' was accepted", row[i].text);
        if (!strstr(why, row[i].part)) fail_msg("'%s': \"%s\" lacks \"%s\"", row[i].text, why, row[i].part);
    }
}

static void a_long_value_is_not_quoted_in_full(void **state)
{
    (void)state;
    char text[5001] = "";
    memset(text, 'x', 5000);
    const char *why = "";
    double value;
    assert_false(parse_double(KV_DIM_TIME, text, &value, &why));
    assert_true(strlen(why) < 200);
}

static void ranges_are_inclusive(void **state)
{
    (void)state;
    struct kv_param p = {.dim = KV_DIM_BYTES, .min = 1 << 20, .max = 1 << 30};
    const char *why;
    int64_t value;
    assert_true(kv_value_parse(&arena, &p, "1MiB", &value, &why));
    assert_true(kv_value_parse(&arena, &p, "1GiB", &value, &why));
    assert_false(kv_value_parse(&arena, &p, "1073741825B", &value, &why));
    assert_string_equal(why, "'1073741825B' is out of range (1MiB to 1GiB)");
    assert_false(kv_value_parse(&arena, &p, "1048575B", &value, &why));
}

static void choices_are_suggested(void **state)
{
    (void)state;
    static const char *const words[] = {"open", "closed", NULL};
    struct kv_param p = {.dim = KV_DIM_CHOICE, .choices = words};
    int64_t value = -1;
    const char *why;
    assert_true(kv_value_parse(&arena, &p, "closed", &value, &why));
    assert_int_equal(value, 1);
    assert_false(kv_value_parse(&arena, &p, "clozed", &value, &why));
    assert_string_equal(why, "unknown value 'clozed'; did you mean 'closed'? (known: open, closed)");
}

static void written_values_are_short(void **state)
{
    (void)state;
    static const struct { enum kv_dim dim; double value; const char *text; } row[] = {
        {KV_DIM_TIME, 75e-6, "75us"}, {KV_DIM_TIME, 300, "5min"}, {KV_DIM_TIME, 0.05, "50ms"}, {KV_DIM_TIME, 0, "0s"},
        {KV_DIM_TIME, 1, "1s"}, {KV_DIM_TIME, 2.9e-6, "2.9us"}, {KV_DIM_BITS_PER_S, 100e9, "100Gbps"},
        {KV_DIM_FLOPS, 989.4e12, "989.4TFLOPS"}, {KV_DIM_PER_S, 30, "30req/s"}, {KV_DIM_NUMBER, 1, "1"},
        {KV_DIM_FRACTION, 0.9, "0.9"}, {KV_DIM_NUMBER, 1e7, "10000000"},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct kv_param p = {.dim = row[i].dim};
        assert_string_equal(kv_value_text(&arena, &p, &row[i].value), row[i].text);
    }
    struct kv_param bytes = {.dim = KV_DIM_BYTES};
    int64_t gib = INT64_C(512) << 30, odd = 1000001;
    assert_string_equal(kv_value_text(&arena, &bytes, &gib), "512GiB");
    assert_string_equal(kv_value_text(&arena, &bytes, &odd), "1000001B");
}

/* Any finite value of any dimension survives being written and read. */
static void written_values_read_back(void **state)
{
    (void)state;
    static const enum kv_dim dims[] = {KV_DIM_NUMBER, KV_DIM_TIME, KV_DIM_BITS_PER_S, KV_DIM_PER_S, KV_DIM_FLOPS};
    struct kv_arena local = {0};
    for (uint64_t i = 0; i < 3000; i++) {
        uint64_t r = kv_mix64(i + 1);
        double value = (double)(r >> 20) / 0x1p44;
        for (uint64_t power = r % 30; power > 10; power--) value *= 10;
        if (r % 3 == 0) value = (double)(int64_t)value;
        struct kv_param p = {.dim = dims[i % 5]}, whole = {.dim = KV_DIM_BYTES};
        double back = -1;
        const char *why = "", *text = kv_value_text(&local, &p, &value);
        if (!kv_value_parse(&local, &p, text, &back, &why) || back != value)
            fail_msg("%.17g was written as %s and read as %.17g (%s)", value, text, back, why);
        int64_t bytes = (int64_t)(r >> (r % 60 + 1)), bytes_back = -1;
        text = kv_value_text(&local, &whole, &bytes);
        if (!kv_value_parse(&local, &whole, text, &bytes_back, &why) || bytes_back != bytes)
            fail_msg("%lld bytes were written as %s", (long long)bytes, text);
    }
    kv_arena_close(&local);
}

static void texts_are_quoted_where_they_must(void **state)
{
    (void)state;
    assert_string_equal(kv_text_quoted(&arena, "traces/a b.csv"), "traces/a b.csv");
    assert_string_equal(kv_text_quoted(&arena, ""), "\"\"");
    assert_string_equal(kv_text_quoted(&arena, "null"), "\"null\"");
    assert_string_equal(kv_text_quoted(&arena, "a: b"), "\"a: b\"");
    assert_string_equal(kv_text_quoted(&arena, "- a"), "\"- a\"");
    assert_string_equal(kv_text_quoted(&arena, "a\"\\\n"), "\"a\\\"\\\\\\x0a\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_with_units_have_their_value), cmocka_unit_test(whole_numbers_are_exact),
        cmocka_unit_test(what_is_refused_says_why), cmocka_unit_test(a_long_value_is_not_quoted_in_full),
        cmocka_unit_test(ranges_are_inclusive), cmocka_unit_test(choices_are_suggested),
        cmocka_unit_test(written_values_are_short), cmocka_unit_test(written_values_read_back),
        cmocka_unit_test(texts_are_quoted_where_they_must),
    };
    return cmocka_run_group_tests(tests, NULL, close_arena);
}

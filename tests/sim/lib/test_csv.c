/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "sim/lib/csv.h"

static bool split(struct kv_csv *csv, char *buffer, const char *line)
{
    strcpy(buffer, line);
    return kv_csv_split(csv, buffer, strlen(line));
}

static void fields_are_cut_at_commas(void **unused)
{
    (void)unused;
    char buffer[256];
    struct kv_csv csv;
    assert_true(split(&csv, buffer, "5,ChatGPT,,490"));
    assert_int_equal(csv.count, 4);
    assert_string_equal(csv.field[0].text, "5");
    assert_string_equal(csv.field[1].text, "ChatGPT");
    assert_int_equal(csv.field[1].length, 7);
    assert_string_equal(csv.field[2].text, "");
    assert_string_equal(csv.field[3].text, "490");
    assert_true(split(&csv, buffer, ""));
    assert_int_equal(csv.count, 1);
    assert_true(split(&csv, buffer, "a,"));
    assert_int_equal(csv.count, 2);
    assert_int_equal(kv_csv_find(&csv, "a"), 0);
    assert_int_equal(kv_csv_find(&csv, "A"), -1);
}

static void quotes_are_taken_off(void **unused)
{
    (void)unused;
    char buffer[256];
    struct kv_csv csv;
    assert_true(split(&csv, buffer, "\"a,b\",\"c\"\"d\",\"\",e\"f"));
    assert_int_equal(csv.count, 4);
    assert_string_equal(csv.field[0].text, "a,b");
    assert_string_equal(csv.field[1].text, "c\"d");
    assert_int_equal(csv.field[1].length, 3);
    assert_string_equal(csv.field[2].text, "");
    assert_string_equal(csv.field[3].text, "e\"f");
    assert_false(split(&csv, buffer, "\"a"));
    assert_false(split(&csv, buffer, "\"a\"b,c"));
    assert_false(split(&csv, buffer, "x,\""));
}

static void a_line_has_at_most_64_fields(void **unused)
{
    (void)unused;
    char line[256], buffer[256];
    struct kv_csv csv;
    memset(line, ',', 64);
    line[63] = '\0';
    assert_true(split(&csv, buffer, line));
    assert_int_equal(csv.count, KV_CSV_FIELDS_MAX);
    line[63] = ',';
    line[64] = '\0';
    assert_false(split(&csv, buffer, line));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_cut_at_commas),
        cmocka_unit_test(quotes_are_taken_off),
        cmocka_unit_test(a_line_has_at_most_64_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of one key become one: the median of their times and of the deviations from it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "sim/base/rng.h"
#include "sim/conf/op_samples.h"

static void add(struct kv_op_rows *rows, const char *type, int64_t m, double time_us, int64_t samples)
{
    kv_vec_push(rows, ((struct kv_op_row){.type = type, .key = {m, 64, 32}, .time_us = time_us, .samples = samples}));
}

static void check(const struct kv_op_row *row, const char *type, int64_t m, double time_us, double spread_us,
                  int64_t samples)
{
    assert_string_equal(row->type, type);
    assert_int_equal(row->key[0], m);
    assert_true(row->time_us == time_us && row->spread_us == spread_us);
    assert_int_equal(row->samples, samples);
}

static void rows_of_one_key_become_their_median(void **state)
{
    (void)state;
    struct kv_op_rows rows = {0};
    char other[] = "bf16";        /* equal text, not the same pointer */
    add(&rows, "fp8", 1, 4, 1);
    add(&rows, "bf16", 8, 30, 2);
    add(&rows, "bf16", 1, 7, 1);
    add(&rows, other, 8, 10, 1);
    add(&rows, "bf16", 8, 11, 3);
    add(&rows, "bf16", 2, 1, 1);
    add(&rows, other, 2, 3, 1);
    kv_op_rows_merge(&rows);
    assert_int_equal(rows.count, 4);
    check(&rows.at[0], "bf16", 1, 7, 0, 1);
    check(&rows.at[1], "bf16", 2, 2, 1, 2);
    check(&rows.at[2], "bf16", 8, 11, 1, 6);   /* deviations 19, 1, 0 */
    check(&rows.at[3], "fp8", 1, 4, 0, 1);
    kv_op_rows_merge(&rows);                   /* nothing is left to merge */
    assert_int_equal(rows.count, 4);
    check(&rows.at[1], "bf16", 2, 2, 1, 2);
    kv_vec_close(&rows);
}

static void what_comes_out_does_not_depend_on_the_order(void **state)
{
    (void)state;
    struct kv_op_rows one = {0}, other = {0};
    struct kv_op_row row[200];
    for (int32_t i = 0; i < 200; i++) {
        uint64_t draw = kv_mix64((uint64_t)i);
        row[i] = (struct kv_op_row){.type = draw & 1 ? "bf16" : "fp8", .samples = 1, .time_us = (double)(draw % 97 + 1),
                                    .key = {(int64_t)(draw / 7 % 5), 1, (int64_t)(draw / 64 % 3)}};
    }
    for (int32_t i = 0; i < 200; i++) {
        kv_vec_push(&one, row[i]);
        kv_vec_push(&other, row[199 - i]);
    }
    kv_op_rows_merge(&one);
    kv_op_rows_merge(&other);
    assert_int_equal(one.count, other.count);
    assert_in_range(one.count, 25, 30);        /* of 2 x 5 x 3 keys */
    int64_t samples = 0;
    for (size_t i = 0; i < one.count; i++) {
        check(&one.at[i], other.at[i].type, other.at[i].key[0], other.at[i].time_us, other.at[i].spread_us,
              other.at[i].samples);
        samples += one.at[i].samples;
    }
    assert_int_equal(samples, 200);
    kv_vec_close(&one);
    kv_vec_close(&other);
}

static void nothing_and_one_row_stay_as_they_are(void **state)
{
    (void)state;
    struct kv_op_rows rows = {0};
    kv_op_rows_merge(&rows);
    assert_int_equal(rows.count, 0);
    add(&rows, "bf16", 1, 5, 3);
    rows.at[0].spread_us = 2;
    kv_op_rows_merge(&rows);
    check(&rows.at[0], "bf16", 1, 5, 2, 3);
    kv_vec_close(&rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_one_key_become_their_median),
        cmocka_unit_test(what_comes_out_does_not_depend_on_the_order),
        cmocka_unit_test(nothing_and_one_row_stay_as_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Rows out of order: order restored within the disorder declared, refused beyond it, memory that of the window. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "sim/base/rng.h"
#include "sim/lib/resort.h"

struct row { int64_t time_ns, number; };

static void rows_come_in_order_of_time_and_of_arrival(void **unused)
{
    (void)unused;
    struct kv_resort r = {.disorder_ns = 1000};
    struct kv_input in = {.path = "t"};
    struct kv_err err;
    int64_t given = 0, last_ns = -1, last_number = -1, most = 0;
    for (int64_t i = 0; i < 20000; i++) {
        in.line_number = i + 1;
        struct row row = {10 * i + 1000 - (int64_t)(kv_mix64((uint64_t)i) % 100) * 10, i};
        assert_true(kv_resort_push(&r, &in, row.time_ns, &row, sizeof row, &err));
        const struct row *out;
        while ((out = kv_resort_pop(&r, false))) {
            assert_true(out->time_ns > last_ns || (out->time_ns == last_ns && out->number > last_number));
            last_ns = out->time_ns;
            last_number = out->number;
            given++;
        }
        if ((int64_t)r.queue.count > most) most = (int64_t)r.queue.count;
    }
    while (kv_resort_pop(&r, true)) given++;
    assert_int_equal(given, 20000);
    assert_in_range(most, 40, 110);      /* the rows of 1,000 ns, not those of the file */
    kv_resort_close(&r);
}

static void a_row_too_early_is_refused_by_both_names(void **unused)
{
    (void)unused;
    struct kv_resort r = {.disorder_ns = 0};
    struct kv_input in = {.path = "t", .line_number = 4};
    struct kv_err err;
    int64_t x = 0;
    assert_true(kv_resort_push(&r, &in, 1000000000, &x, sizeof x, &err));
    in.line_number = 5;
    assert_true(kv_resort_push(&r, &in, 1000000000, &x, sizeof x, &err));
    assert_false(kv_resort_push(&r, &in, 999999999, &x, sizeof x, &err));
    assert_string_equal(err.where, "t:5");
    assert_non_null(strstr(err.text, "in line 4"));
    kv_resort_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_come_in_order_of_time_and_of_arrival),
        cmocka_unit_test(a_row_too_early_is_refused_by_both_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

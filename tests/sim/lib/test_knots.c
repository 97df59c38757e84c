/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of knots: what is read is what was written, wrong files are refused at their line, values between knots. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "sim/lib/knots.h"
#include "tests/support/arena.h"
#include "tests/support/near.h"

static char path[256];
static const struct kv_knots_form line_form = {{"tokens"}, {"layer_us", "once_us"}};
static const struct kv_knots_form grid_form = {{"sequences", "kv_tokens"}, {"time_us"}};

static void write_text(const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void what_is_written_reads_back_the_same(void **unused)
{
    (void)unused;
    int64_t x[] = {1, 16, 300}, y[] = {0, 512}, at[] = {1, 2000, 30, 4000, 7999, 123456789};
    struct kv_knots grid = {3, 2, x, y, at}, again;
    assert_true(kv_knots_write(path, &grid_form, &grid, NULL));
    assert_true(kv_knots_read(&arena, path, &grid_form, &again, NULL));
    assert_int_equal(again.rows, 3);
    assert_int_equal(again.columns, 2);
    assert_memory_equal(again.x, x, sizeof x);
    assert_memory_equal(again.y, y, sizeof y);
    assert_memory_equal(again.at, at, sizeof at);

    struct kv_knots line[2] = {{3, 1, x, NULL, at}, {3, 1, x, NULL, at + 3}}, both[2];
    assert_true(kv_knots_write(path, &line_form, line, NULL));
    assert_true(kv_knots_read(&arena, path, &line_form, both, NULL));
    assert_int_equal(both[0].columns, 1);
    assert_memory_equal(both[0].at, at, 3 * sizeof *at);
    assert_memory_equal(both[1].at, at + 3, 3 * sizeof *at);
}

static void a_wrong_table_is_refused_at_its_line(void **unused)
{
    (void)unused;
    const struct { const char *text; int line; const char *says; } cases[] = {
        {"", 0, "empty"},
        {"sequences,kv_tokens,time_us\n", 1, "no rows"},
        {"sequences,kv_tokens,time_ms\n1,0,3\n", 1, "'time_ms', expected 'time_us'"},
        {"sequences,kv_tokens\n1,0\n", 1, "2 columns, expected 3"},
        {"sequences,kv_tokens,time_us\n1,0,3\n1,0,4\n", 3, "sorted"},
        {"sequences,kv_tokens,time_us\n1,0,3\n1,16,4\n2,0,4\n2,32,4\n", 5, "a full grid has kv_tokens 16"},
        {"sequences,kv_tokens,time_us\n2,0,3\n2,16,4\n1,0,4\n1,16,5\n", 4, "sorted"},
        {"sequences,kv_tokens,time_us\n1,0,3\n1,16,4\n2,0,4\n", 4, "ends early"},
        {"sequences,kv_tokens,time_us\n1,0,-3\n", 2, "time_us"},
        {"sequences,kv_tokens,time_us\n1,0,fast\n", 2, "time_us"},
        {"sequences,kv_tokens,time_us\n1,0,4e9\n", 2, "more than an hour"},
        {"sequences,kv_tokens,time_us\n1.5,0,3\n", 2, "sequences"},
        {"sequences,kv_tokens,time_us\n1,0,3,4\n", 2, "4 columns"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct kv_knots knots;
        struct kv_err err = {0};
        char where[300];
        write_text(cases[i].text);
        assert_false(kv_knots_read(&arena, path, &grid_form, &knots, &err));
        snprintf(where, sizeof where, cases[i].line ? "%s:%d" : "%s", path, cases[i].line);
        assert_string_equal(err.where, where);
        if (!strstr(err.text, cases[i].says)) fail_msg("case %zu says: %s", i, err.text);
        assert_int_equal(err.code, KV_ECONFIG);
    }
    unlink(path);
    struct kv_knots knots;
    struct kv_err err = {0};
    assert_false(kv_knots_read(&arena, path, &grid_form, &knots, &err));
    assert_int_equal(err.code, KV_EIO);
}

static void values_between_knots_are_bilinear_and_stay_outside(void **unused)
{
    (void)unused;
    int64_t x[] = {10, 20}, y[] = {0, 100}, at[] = {1000, 2000, 5000, 10000};
    struct kv_knots grid = {2, 2, x, y, at}, line = {2, 1, x, NULL, at};
    assert_near(kv_knots_at(&grid, 10, 0), 1000, 1e-9);
    assert_near(kv_knots_at(&grid, 20, 100), 10000, 1e-9);
    assert_near(kv_knots_at(&grid, 15, 0), 3000, 1e-9);
    assert_near(kv_knots_at(&grid, 15, 50), 4500, 1e-9);
    assert_near(kv_knots_at(&grid, 1, 50), 1500, 1e-9);
    assert_near(kv_knots_at(&grid, 99, 999), 10000, 1e-9);
    assert_near(kv_knots_at(&line, 12, 77), 1200, 1e-9);
    struct kv_knots one = {1, 1, x, NULL, at};
    assert_near(kv_knots_at(&one, 12, 0), 1000, 1e-9);
}

static void in_logarithms_they_grow_by_factors(void **unused)
{
    (void)unused;
    int64_t x[] = {10, 1000}, y[] = {1, 16}, at[] = {100, 400, 900, 3600};
    struct kv_knots grid = {2, 2, x, y, at};
    assert_near(kv_knots_log_at(&grid, 100, 1), 300, 1e-9);     /* half-way in x: sqrt(100 * 900) */
    assert_near(kv_knots_log_at(&grid, 10, 4), 200, 1e-9);
    assert_near(kv_knots_log_at(&grid, 100, 4), 600, 1e-9);
    assert_near(kv_knots_log_at(&grid, 1, 99), 400, 1e-9);
}

static void rates_are_kept_to_the_kilobyte_and_values_can_be_checked(void **unused)
{
    (void)unused;
    const struct kv_knots_form form = {{"bytes", "connections"}, {"rate_GBps"}};
    int64_t x[] = {1, 2}, y[] = {1, 4}, at[] = {1234567, 7, 1000000000, 12500000};
    struct kv_knots grid = {2, 2, x, y, at}, again;
    struct kv_err err = {0};
    assert_true(kv_knots_write(path, &form, &grid, NULL) && kv_knots_read(&arena, path, &form, &again, NULL));
    assert_memory_equal(again.at, at, sizeof at);
    assert_true(kv_knots_check(path, &grid, KV_KNOTS_POSITIVE, &err));
    assert_false(kv_knots_check(path, &grid, KV_KNOTS_RISING, &err));
    assert_non_null(strstr(err.where, ".csv:3"));
    at[3] = 0;
    assert_false(kv_knots_check(path, &grid, KV_KNOTS_POSITIVE, &err));
    assert_non_null(strstr(err.where, ".csv:5"));
}

static int prepare(void **unused)
{
    (void)unused;
    const char *folder = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/kvsim_knots_%ld.csv", folder ? folder : "/tmp", (long)getpid());
    return 0;
}

static int clean(void **unused)
{
    (void)unused;
    unlink(path);
    kv_arena_close(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_reads_back_the_same),
        cmocka_unit_test(a_wrong_table_is_refused_at_its_line),
        cmocka_unit_test(values_between_knots_are_bilinear_and_stay_outside),
        cmocka_unit_test(in_logarithms_they_grow_by_factors),
        cmocka_unit_test(rates_are_kept_to_the_kilobyte_and_values_can_be_checked),
    };
    return cmocka_run_group_tests_name("knots", tests, prepare, clean);
}

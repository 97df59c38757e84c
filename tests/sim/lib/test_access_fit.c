/* SPDX-License-Identifier: Apache-2.0 */
/* Samples whose parameters are known: the fits find them, whatever a tenth of wild samples says. */
#include <gsl/gsl_randist.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "sim/base/rng.h"
#include "sim/lib/access_samples.h"
#include "sim/lib/robust.h"
#include "tests/support/arena.h"

#define assert_within(value, expected, share) \
    do { \
        if (!(fabs((value) / (expected) - 1) <= (share))) \
            fail_msg("%s = %.6g, expected %.6g", #value, (double)(value), (double)(expected)); \
    } while (0)

/* A factor around 1; every tenth is five times as long. */
static double noise(uint64_t n, double sigma)
{
    struct kv_rng rng;
    return exp(gsl_ran_gaussian(kv_rng_at(&rng, 7, kv_stream("test.noise"), n), sigma)) * (n % 10 == 9 ? 5 : 1);
}

static void a_stream_is_found_among_wild_samples(void **unused)
{
    (void)unused;
    struct kv_robust_point point[400];
    for (size_t i = 0; i < 400; i++) {
        double bytes = 4096 * pow(8, (double)(i % 5));
        point[i] = (struct kv_robust_point){ bytes, 1, (2e-3 + bytes / 500e6) * noise(i, 0.05) };
    }
    double start_s, Bps;
    assert_true(kv_robust_stream(point, 400, &start_s, &Bps));
    assert_within(start_s, 2e-3, 0.02);
    assert_within(Bps, 500e6, 0.03);
}

static void a_drive_that_many_share_is_found(void **unused)
{
    (void)unused;
    struct kv_robust_point point[600];
    for (size_t i = 0; i < 600; i++) {
        double bytes = 4096 * pow(4, (double)(i % 5)), width = pow(4, (double)(i / 5 % 4)), s = bytes / 3e9;
        double time_s = 80e-6 + s > width * s ? 80e-6 + s : width * s;
        point[i] = (struct kv_robust_point){ bytes, width, time_s * noise(i, 0.05) };
    }
    double start_s, Bps;
    assert_true(kv_robust_stream(point, 600, &start_s, &Bps));
    assert_within(start_s, 80e-6, 0.02);
    assert_within(Bps, 3e9, 0.03);
}

/* What a link of a known rate gives: nearly no start, in 24 samples of three sizes. */
static void a_stream_that_starts_at_once_is_found(void **unused)
{
    (void)unused;
    struct kv_rng rng;
    for (uint64_t draw = 0; draw < 500; draw++) {
        struct kv_robust_point point[24];
        for (int32_t i = 0; i < 24; i++) {
            double bytes = (double)(524288 << (2 * (i / 8)));
            double off = gsl_ran_flat(kv_rng_at(&rng, 5, draw, (uint64_t)i), -0.005, 0.005);
            point[i] = (struct kv_robust_point){ bytes, 1, bytes / 25e6 * (1 + off) };
        }
        double start_s = 0, Bps = 0;
        assert_true(kv_robust_stream(point, 24, &start_s, &Bps));
        assert_within(Bps, 25e6, 0.01);
        assert_true(start_s >= 0 && start_s < 0.5e-3);
    }
}

static void one_size_says_nothing_of_a_rate(void **unused)
{
    (void)unused;
    struct kv_robust_point point[8];
    for (size_t i = 0; i < 8; i++) point[i] = (struct kv_robust_point){ 4096, 1, 1e-3 };
    double start_s, Bps;
    assert_false(kv_robust_stream(point, 8, &start_s, &Bps));
    assert_false(kv_robust_stream(point, 0, &start_s, &Bps));
}

/* An object store by formulas: first byte (0.5 ms + bytes / 2 GB/s) * (1 + 0.2 (c - 1)), then 1 GB/s shared by all. */
static double first_s(double bytes, double c) { return (0.5e-3 + bytes / 2e9) * (1 + 0.2 * (c - 1)); }
static double rest_s(double bytes, double c) { return bytes * c / 1e9; }

static size_t make_samples(struct kv_access_sample *sample, double sigma)
{
    const int64_t sizes[] = {4096, 65536, 1 << 20, 8 << 20};
    const int32_t widths[] = {1, 4, 16};
    size_t n = 0;
    for (int32_t op = KV_OP_GET; op <= KV_OP_PUT; op++) {
        for (size_t i = 0; i < 4; i++) for (size_t w = 0; w < 3; w++) for (int32_t k = 0; k < 40; k++, n++) {
            double bytes = (double)sizes[i], c = widths[w];
            double first = first_s(bytes, c) * noise(n, sigma) * (op == KV_OP_RANGE ? 1.25 : 1);
            sample[n] = (struct kv_access_sample){ (enum kv_access_op)op, sizes[i], widths[w], first, 0,
                                                   first + rest_s(bytes, c) };
            if (op != KV_OP_PUT) continue;
            sample[n].sent_s = bytes / 400e6;
            sample[n].total_s = sample[n].first_byte_s = bytes / 400e6 + first;
        }
    }
    return n;
}

static void a_gateway_is_met_cell_by_cell(void **unused)
{
    (void)unused;
    struct kv_access_sample *sample = kv_arena_take(&arena, 2000 * sizeof *sample);
    size_t count = make_samples(sample, 0.1);
    struct kv_access_fit fit;
    struct kv_err err = {0};
    assert_true(kv_access_fit_object(&arena, sample, count, NULL, &fit, &err));
    assert_int_equal(fit.first_byte.rows, 4);
    assert_int_equal(fit.first_byte.columns, 3);
    for (int32_t i = 0; i < 12; i++) {
        double bytes = (double)fit.first_byte.x[i / 3], c = (double)fit.first_byte.y[i % 3];
        assert_within((double)fit.first_byte.at[i] * 1e-9, first_s(bytes, c), 0.06);
        assert_within((double)fit.backend.at[i] * 1e3, bytes * c / rest_s(bytes, c), 0.1);
        assert_within((double)fit.put_ack.at[i] * 1e-9, first_s(bytes, c), 0.06);
        assert_within((double)fit.range_first_byte.at[i] * 1e-9, 1.25 * first_s(bytes, c), 0.08);
    }
    assert_within(fit.sigma, 0.1, 0.35);
    assert_within(fit.write_stream_Bps, 400e6, 1e-6);
    assert_within(fit.line_start_s, 0.5e-3, 0.06);
    assert_within(fit.line_Bps, 1 / (1 / 2e9 + 1 / 1e9), 0.06);
    /* And between the knots: what a size and a width in the middle come to. */
    struct kv_access_cell middle = { .op = KV_OP_GET, .bytes = 256 << 10, .connections = 8 };
    assert_within(kv_access_model(&fit, &middle).first_byte_s, first_s(256 << 10, 8), 0.12);
}

static void what_was_held_out_is_met_too(void **unused)
{
    (void)unused;
    struct kv_access_sample *sample = kv_arena_take(&arena, 2000 * sizeof *sample);
    size_t count = make_samples(sample, 0.05);
    bool *held = kv_arena_take(&arena, count), *kept = kv_arena_take(&arena, count);
    for (size_t i = 0; i < count; i++) kept[i] = !(held[i] = kv_mix64(i) % 5 == 0);
    struct kv_access_fit fit;
    struct kv_access_cell *cell;
    struct kv_access_error first, read, write;
    assert_true(kv_access_fit_object(&arena, sample, count, kept, &fit, NULL));
    int32_t cells = kv_access_cells(&arena, sample, count, held, &cell);
    assert_int_equal(cells, 36);
    kv_access_score(&fit, cell, cells, &first, &read, &write);
    assert_int_equal(first.cells, 24);
    assert_int_equal(write.cells, 12);
    assert_true(first.mean < 0.05 && read.mean < 0.05 && write.mean < 0.05);
    assert_true(first.mean > 0 && first.worst >= first.mean);
}

static void curves_never_fall_whatever_the_medians_do(void **unused)
{
    (void)unused;
    struct kv_access_sample *sample = kv_arena_take(&arena, 2000 * sizeof *sample);
    size_t count = make_samples(sample, 0.9);
    struct kv_access_fit fit;
    assert_true(kv_access_fit_object(&arena, sample, count, NULL, &fit, NULL));
    assert_true(kv_knots_check("first byte", &fit.first_byte, KV_KNOTS_RISING, NULL));
    assert_true(kv_knots_check("put ack", &fit.put_ack, KV_KNOTS_RISING, NULL));
    assert_true(kv_knots_check("backend", &fit.backend, KV_KNOTS_POSITIVE, NULL));
}

static void cells_that_are_missing_cost_a_line_of_the_grid(void **unused)
{
    (void)unused;
    struct kv_access_sample *sample = kv_arena_take(&arena, 2000 * sizeof *sample);
    size_t count = make_samples(sample, 0.1), left = 0;
    bool *wanted = kv_arena_take(&arena, count);
    for (size_t i = 0; i < count; i++) {
        wanted[i] = !(sample[i].bytes == 8 << 20 && sample[i].connections == 16);
        left += wanted[i];
    }
    struct kv_access_fit fit;
    assert_true(left < count && kv_access_fit_object(&arena, sample, count, wanted, &fit, NULL));
    assert_int_equal(fit.first_byte.rows * fit.first_byte.columns, 9);   /* without 8 MiB: 3 x 3 is more than 4 x 2 */
    for (size_t i = 0; i < count; i++) wanted[i] = wanted[i] && sample[i].connections == 4;
    struct kv_err err = {0};
    assert_false(kv_access_fit_object(&arena, sample, count, wanted, &fit, &err));
    assert_int_equal(err.code, KV_ECALIB);
}

static void bad_samples_are_refused_at_their_row(void **unused)
{
    (void)unused;
    const char *root = getenv("TMPDIR");
    const char *path = kv_arena_text(&arena, "%s/kvsim_samples_%ld.csv", root ? root : "/tmp", (long)getpid());
    const struct { const char *row, *what; } wrong[] = {
        {"post,1,1,1,1,0,1,ok", "'post' is none of get"}, {"get,1,1,1,-1,0,1,ok", "first_byte_us"},
        {"get,1,1,1,2,0,1,ok", "not before the first byte"}, {"get,0,1,1,1,0,1,ok", "more than zero"},
        {"get,1,1,1,1,0,ok", "7 fields"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct kv_access_samples s;
        struct kv_err err = {0};
        FILE *f = fopen(path, "w");
        fprintf(f, KV_ACCESS_SAMPLES_HEADER "\nget,4096,2,1,10,0,20,ok\nget,4096,2,3,10,0,20,busy\n%s\n", wrong[i].row);
        fclose(f);
        assert_false(kv_access_samples_read(&arena, path, &s, &err));
        if (!strstr(err.where, ".csv:4") || !strstr(err.text, wrong[i].what)) fail_msg("%s: %s", err.where, err.text);
        assert_int_equal(err.code, KV_ECONFIG);
        assert_int_equal(s.count, 1);
        assert_int_equal(s.failed, 1);
        assert_int_equal(s.rounds, 3);
    }
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_is_found_among_wild_samples), cmocka_unit_test(a_drive_that_many_share_is_found),
        cmocka_unit_test(a_stream_that_starts_at_once_is_found),
        cmocka_unit_test(one_size_says_nothing_of_a_rate), cmocka_unit_test(a_gateway_is_met_cell_by_cell),
        cmocka_unit_test(what_was_held_out_is_met_too), cmocka_unit_test(curves_never_fall_whatever_the_medians_do),
        cmocka_unit_test(cells_that_are_missing_cost_a_line_of_the_grid),
        cmocka_unit_test(bad_samples_are_refused_at_their_row),
    };
    return cmocka_run_group_tests(tests, NULL, close_arena);
}

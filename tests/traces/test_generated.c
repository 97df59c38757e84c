/* SPDX-License-Identifier: Apache-2.0 */
/* Readers that draw what their file does not say: `servegen` (requests of a client's windows) and `lengths` (arrivals).
 * Rates are exact; laws are held by Kolmogorov-Smirnov tests, means and deviations by their standard errors, all at
 * 99.9 % for the one seed that is tried. */
#include <gsl/gsl_cdf.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <unistd.h>

#include "sim/lib/rows.h"
#include "tests/support/arena.h"
#include "tests/support/read_trace.h"

#define KS_999 1.95    /* sqrt(n) D is larger with chance 0.001 */
#define Z_999 3.29
#define WINDOW_NS INT64_C(600000000000)

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* sqrt(n) D of values that should be uniform. */
static double kolmogorov_smirnov(double *u, size_t count)
{
    double worst = 0, n = (double)count;
    qsort(u, count, sizeof *u, compare);
    for (size_t i = 0; i < count; i++)
        worst = fmax(worst, fmax(u[i] - (double)i / n, (double)(i + 1) / n - u[i]));
    return sqrt(n) * worst;
}

/* --- servegen ------------------------------------------------------------------------------------------------- */

struct window { int64_t client, start_ns, wanted; double cv, shape, scale_s; bool weibull; };
struct windows {
    struct kv_rows rows;
    KV_VEC(struct window) at;
    char header[256];
    KV_VEC(char) text;          /* the lines as they are, each ended by a NUL */
    KV_VEC(size_t) line;
};

/* The test's own reading of the file. */
static enum kv_row_kind read_window(void *state, struct kv_err *err)
{
    struct windows *w = state;
    (void)err;
    if (!w->rows.header) {
        snprintf(w->header, sizeof w->header, "%s", w->rows.in.line);
        w->rows.header = true;
        return KV_ROW_NONE;
    }
    long client;
    double start_s, rate, cv, shape, scale;
    char pattern[16];
    assert_int_equal(sscanf(w->rows.in.line, "%ld,%lf,%lf,%lf,%15[A-Za-z],%lf,%lf", &client, &start_s, &rate, &cv,
                            pattern, &shape, &scale), 7);
    struct window window = {client, llround(start_s * 1e9), llround(rate * 600), cv, shape, scale, pattern[0] == 'W'};
    kv_vec_push(&w->at, window);
    kv_vec_push(&w->line, w->text.count);
    for (size_t i = 0; i <= w->rows.in.length; i++) kv_vec_push(&w->text, w->rows.in.line[i]);
    return KV_ROW_GOOD;
}

static void read_windows(struct windows *w, const char *path)
{
    struct kv_err err;
    *w = (struct windows){0};
    assert_true(kv_rows_open(&w->rows, path, false, false, &err));
    while (kv_rows_next(&w->rows, read_window, w, &err) == 1) {}
    kv_rows_close(&w->rows);
}

static void close_windows(struct windows *w)
{
    kv_vec_close(&w->at);
    kv_vec_close(&w->text);
    kv_vec_close(&w->line);
}

struct times { KV_VEC(int64_t) ns; };
static void gather_time(void *state, const struct kv_row *row)
{
    struct times *t = state;
    kv_vec_push(&t->ns, row->time_ns);
}

/* Arrivals of one client, from a file that has its windows alone: a variate's name is client and window. */
static void generate_client(const struct windows *w, size_t first, size_t end, const char *set, struct times *times)
{
    char path[] = "/tmp/kvsim_windows_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *file = fdopen(fd, "w");
    fprintf(file, "%s\n", w->header);
    for (size_t i = first; i < end; i++) fprintf(file, "%s\n", w->text.at + w->line.at[i]);
    fclose(file);
    times->ns.count = 0;
    kv_test_read(&arena, "servegen", path, set, 11, gather_time, times);
    unlink(path);
}

struct figures {
    KV_VEC(double) uniform;     /* gaps through the distribution function of their window's law */
    double log_ratio_sum, log_ratio_squares;    /* of the gaps' CV and the file's */
    int64_t windows, ratios, requests;
};

/* A window in which the client was active all the time may have its gaps shortened: it then begins with its first. */
static void add_window(struct figures *f, const struct window *w, const int64_t *ns)
{
    double sum = 0, squares = 0, gaps = (double)(w->wanted - 1);
    bool shortened = ns[0] == w->start_ns;
    f->windows++;
    f->requests += w->wanted;
    for (int64_t i = 0; i < w->wanted; i++)
        assert_true(ns[i] >= w->start_ns && ns[i] <= w->start_ns + WINDOW_NS);
    for (int64_t i = 1; i < w->wanted; i++) {
        double gap = (double)(ns[i] - ns[i - 1]) / 1e9;
        sum += gap;
        squares += gap * gap;
    }
    /* Not of laws with many gaps below the ns that times are written in, nor of windows that may have been filled. */
    double mean_s = w->weibull ? w->scale_s * tgamma(1 + 1 / w->shape) : w->shape * w->scale_s;
    if (w->shape > 0.3 && mean_s > 1e-4 && gaps * mean_s < 300 && !shortened) {
        for (int64_t i = 1; i < w->wanted; i++) {
            double gap = (double)(ns[i] - ns[i - 1]) / 1e9;
            double u = w->weibull ? gsl_cdf_weibull_P(gap, w->scale_s, w->shape)
                                  : gsl_cdf_gamma_P(gap, w->shape, w->scale_s);
            kv_vec_push(&f->uniform, u);
        }
    }
    if (w->weibull || w->shape < 0.1 || w->wanted < 1000) return;
    double mean = sum / gaps, ratio = log(sqrt(squares / gaps - mean * mean) / mean / w->cv);
    f->ratios++;
    f->log_ratio_sum += ratio;
    f->log_ratio_squares += ratio * ratio;
}

/* All clients, windows of [start_s, end_s). */
static void generate(const struct windows *w, double start_s, double end_s, struct figures *f)
{
    struct times times = {0};
    const char *set = kv_arena_text(&arena, "start=%.0fs duration=%.0fs", start_s, end_s - start_s);
    for (size_t first = 0, end; first < w->at.count; first = end) {
        for (end = first; end < w->at.count && w->at.at[end].client == w->at.at[first].client;) end++;
        generate_client(w, first, end, set, &times);
        int64_t at = 0;
        for (size_t i = first; i < end; i++) {
            const struct window *window = &w->at.at[i];
            if (window->start_ns < start_s * 1e9 || window->start_ns >= end_s * 1e9) continue;
            assert_true(at + window->wanted <= (int64_t)times.ns.count);
            add_window(f, window, times.ns.at + at);
            at += window->wanted;
        }
        assert_int_equal(at, times.ns.count);   /* the rate of every window, exactly */
    }
    kv_vec_close(&times.ns);
}

static void check_figures(struct figures *f)
{
    double n = (double)f->ratios, mean = f->log_ratio_sum / n, ks = kolmogorov_smirnov(f->uniform.at, f->uniform.count);
    double error = sqrt((f->log_ratio_squares / n - mean * mean) / (n - 1));
    print_message("  %lld windows, %lld requests; %zu gaps: sqrt(n) D = %.3f; CV of %lld windows / file's: %.4f +- "
                  "%.4f\n", (long long)f->windows, (long long)f->requests, f->uniform.count, ks, (long long)f->ratios,
                  exp(mean), error);
    assert_true(ks < KS_999);
    /* The CV of n gaps lies below the law's by some 1/n: 0.5 % are allowed for that. */
    if (f->ratios > 10) assert_true(fabs(mean) < Z_999 * error + 0.005);
    kv_vec_close(&f->uniform);
}

static void windows_have_their_rate_and_their_law(void **unused)
{
    (void)unused;
    struct windows w;
    struct figures f = {0};
    read_windows(&w, "traces/sample/servegen_tiny.csv");
    assert_int_equal(w.at.count, 6);
    generate(&w, 0, 2400, &f);
    assert_int_equal(f.requests, 1380);
    double ks = kolmogorov_smirnov(f.uniform.at, f.uniform.count);
    assert_int_equal(f.uniform.count, 119);
    assert_true(ks < KS_999);
    kv_vec_close(&f.uniform);
    close_windows(&w);
}

static void real_windows_have_their_rate_their_law_and_their_cv(void **unused)
{
    (void)unused;
    struct windows w;
    struct figures f = {0};
    read_windows(&w, kv_test_shared(&arena, "traces/servegen/m-small_client_windows.csv.gz"));
    assert_int_equal(w.at.count, 40095);
    /* Two windows of each fourth day, at different hours. */
    for (int day = 0; day < 14; day += 4) {
        double start_s = day * (86400 + 7200);
        generate(&w, start_s, start_s + 1200, &f);
    }
    check_figures(&f);
    close_windows(&w);
}

/* Twice the rate: twice the requests; a fraction: as many on average; a part of the windows: the rows of the whole. */
static void scale_and_part_keep_their_promises(void **unused)
{
    (void)unused;
    const char *file = "traces/sample/servegen_tiny.csv";
    struct times all = {0}, part = {0};
    struct kv_test_sums s = kv_test_read(&arena, "servegen", file, "scale=2", 5, NULL, NULL);
    assert_int_equal(s.rows, 2760);
    int64_t rows = 0;
    for (uint64_t seed = 0; seed < 400; seed++)
        rows += kv_test_read(&arena, "servegen", file, "scale=0.0101", seed, NULL, NULL).rows;
    double mean = 1380 * 0.0101, spread = sqrt(6 * 0.25 / 400);   /* of each window at most 1/4 */
    assert_true(fabs((double)rows / 400 - mean) < Z_999 * spread);
    kv_test_read(&arena, "servegen", file, "", 5, gather_time, &all);
    kv_test_read(&arena, "servegen", file, "start=600s duration=600s", 5, gather_time, &part);
    assert_int_equal(part.ns.count, 360);
    size_t first = 0;
    while (all.ns.at[first] < part.ns.at[0]) first++;
    for (size_t i = 0; i < part.ns.count; i++) assert_int_equal(all.ns.at[first + i], part.ns.at[i]);
    s = kv_test_read(&arena, "servegen", file, "rows=7", 5, NULL, NULL);
    assert_int_equal(s.rows, 7);
    kv_vec_close(&all.ns);
    kv_vec_close(&part.ns);
}

struct tokens { int64_t count; double sum, squares; };
static void gather_log_tokens(void *state, const struct kv_row *row)
{
    struct tokens *t = state;
    double x = log((double)row->input_tokens);
    t->count++;
    t->sum += x;
    t->squares += x * x;
}

static void lengths_are_log_normal_with_the_mean_asked_for(void **unused)
{
    (void)unused;
    struct tokens t = {0};
    kv_test_read(&arena, "servegen", "traces/sample/servegen_tiny.csv", "scale=10 input_mean=5000 input_sigma=0.5", 3,
                 gather_log_tokens, &t);
    double n = (double)t.count, mean = t.sum / n, sigma = sqrt(t.squares / n - mean * mean);
    assert_int_equal(t.count, 13800);
    assert_true(fabs(mean - (log(5000) - 0.125)) < Z_999 * 0.5 / sqrt(n));
    assert_true(fabs(sigma - 0.5) < Z_999 * 0.5 / sqrt(2 * n));
}

/* --- lengths -------------------------------------------------------------------------------------------------- */

static void check_poisson(const char *file, int64_t rows, double rate)
{
    struct times t = {0};
    KV_VEC(double) u = {0};
    kv_test_read(&arena, "lengths", file, kv_arena_text(&arena, "rate=%greq/s", rate), 21, gather_time, &t);
    assert_int_equal(t.ns.count, rows);
    assert_int_equal(t.ns.at[0], 0);
    for (size_t i = 1; i < t.ns.count; i++)
        kv_vec_push(&u, 1 - exp(-rate * (double)(t.ns.at[i] - t.ns.at[i - 1]) / 1e9));
    double ks = kolmogorov_smirnov(u.at, u.count);
    print_message("  %zu gaps: sqrt(n) D = %.3f\n", u.count, ks);
    assert_true(ks < KS_999);
    kv_vec_close(&t.ns);
    kv_vec_close(&u);
}

static void lengths_arrive_by_a_poisson_process(void **unused)
{
    (void)unused;
    check_poisson("traces/sample/lengths_tiny.csv", 40, 3);
    struct times t = {0};
    kv_test_read(&arena, "lengths", "traces/sample/lengths_tiny.csv", "rate=4req/s gaps=equal", 1, gather_time, &t);
    for (size_t i = 0; i < t.ns.count; i++) assert_int_equal(t.ns.at[i], (int64_t)i * 250000000);
    kv_vec_close(&t.ns);
}

static void real_lengths_arrive_by_a_poisson_process(void **unused)
{
    (void)unused;
    check_poisson(kv_test_shared(&arena, "traces/lengths/arxiv_summarization_llama2_lengths.csv.gz"), 28257, 12.5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_have_their_rate_and_their_law),
        cmocka_unit_test(scale_and_part_keep_their_promises),
        cmocka_unit_test(lengths_are_log_normal_with_the_mean_asked_for),
        cmocka_unit_test(lengths_arrive_by_a_poisson_process),
        cmocka_unit_test(real_windows_have_their_rate_their_law_and_their_cv),
        cmocka_unit_test(real_lengths_arrive_by_a_poisson_process),
    };
    return cmocka_run_group_tests(tests, NULL, close_arena);
}

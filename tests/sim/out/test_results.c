/* SPDX-License-Identifier: Apache-2.0 */
/* Writes results files of made-up runs and reads them back with the HDF5 library. */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <hdf5.h>

#include "tests/sim/out/fake.h"
#include "tests/support/near.h"

/* Three segments and a part of a fourth. */
#define REQUESTS (3 * KV_H5_CHUNK_ROWS + 1234)

static char folder[64];
static char path_a[96], path_b[96];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/kvsim-test-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(path_a, sizeof path_a, "%s/a.h5", folder);
    snprintf(path_b, sizeof path_b, "%s/b.h5", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path_a);
    unlink(path_b);
    return rmdir(folder);
}

/* ---- helpers that know HDF5 and nothing of sim/out ---- */

static int64_t *read_int64(const char *path, const char *name, int64_t *count)
{
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT), set = H5Dopen2(file, name, H5P_DEFAULT);
    hid_t space = H5Dget_space(set);
    *count = H5Sget_simple_extent_npoints(space);
    int64_t *value = calloc((size_t)*count + 1, sizeof *value);
    assert_true(H5Dread(set, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, value) >= 0);
    H5Sclose(space);
    H5Dclose(set);
    H5Fclose(file);
    return value;
}

static double read_real(const char *path, const char *name)
{
    double value;
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT), set = H5Dopen2(file, name, H5P_DEFAULT);
    assert_true(H5Dread(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, &value) >= 0);
    H5Dclose(set);
    H5Fclose(file);
    return value;
}

static double *read_reals(const char *path, const char *name, int64_t *count)
{
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT), set = H5Dopen2(file, name, H5P_DEFAULT);
    hid_t space = H5Dget_space(set);
    *count = H5Sget_simple_extent_npoints(space);
    double *value = calloc((size_t)*count + 1, sizeof *value);
    assert_true(H5Dread(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, value) >= 0);
    H5Sclose(space);
    H5Dclose(set);
    H5Fclose(file);
    return value;
}

static void assert_column(const struct fake *f, const char *path, const char *name,
                          int64_t (*value)(const struct kv_record *r))
{
    int64_t count, *column = read_int64(path, name, &count);
    assert_int_equal(count, f->requests);
    for (int64_t i = 0; i < count; i++) {
        struct kv_record r = fake_record(f, i);
        if (column[i] != value(&r)) fail_msg("%s[%lld] = %lld", name, (long long)i, (long long)column[i]);
    }
    free(column);
}

static int64_t request_of(const struct kv_record *r) { return r->request; }
static int64_t arrival_of(const struct kv_record *r) { return r->arrival_tk; }
static int64_t first_token_of(const struct kv_record *r) { return r->first_token_tk; }
static int64_t finish_of(const struct kv_record *r) { return r->finish_tk; }
static int64_t status_of(const struct kv_record *r) { return r->status; }
static int64_t instance_of(const struct kv_record *r) { return r->instance; }
static int64_t session_of(const struct kv_record *r) { return r->session; }
static int64_t prompt_of(const struct kv_record *r) { return r->prompt_tokens; }
static int64_t prefill_of(const struct kv_record *r) { return r->prefill_tk; }
static int64_t preemptions_of(const struct kv_record *r) { return r->preemptions; }
static int64_t recomputed_of(const struct kv_record *r) { return r->recomputed_tokens; }

static bool same_bytes(const char *a, const char *b)
{
    FILE *fa = fopen(a, "rb"), *fb = fopen(b, "rb");
    int ca = 0, cb = 0;
    while (ca == cb && ca != EOF) {
        ca = fgetc(fa);
        cb = fgetc(fb);
    }
    fclose(fa);
    fclose(fb);
    return ca == cb;
}

/* ---- tests ---- */

static void every_record_stands_in_the_row_of_its_request(void **state)
{
    (void)state;
    struct fake f;
    struct kv_err err = {0};
    fake_open(&f, REQUESTS);
    struct kv_results *r = fake_run(&f, path_a, KV_CODEC_FASTEST, &err);
    assert_non_null(r);
    assert_int_equal(r->rows, REQUESTS);
    kv_results_close(r);
    static const struct { const char *name; int64_t (*value)(const struct kv_record *r); } column[] = {
        {"/requests/request", request_of}, {"/requests/arrival", arrival_of},
        {"/requests/first_token", first_token_of}, {"/requests/finish", finish_of},
        {"/requests/last_token", finish_of}, {"/requests/restarts", preemptions_of},
        {"/requests/status", status_of}, {"/requests/instance", instance_of}, {"/requests/session", session_of},
        {"/requests/prompt_tokens", prompt_of}, {"/requests/t_prefill", prefill_of},
        {"/requests/recomputed_tokens", recomputed_of},
    };
    for (size_t i = 0; i < sizeof column / sizeof *column; i++) {
        assert_column(&f, path_a, column[i].name, column[i].value);
    }

    int64_t count, *source = read_int64(path_a, "/requests/prompt_tokens_by_source", &count);
    assert_int_equal(count, 2 * REQUESTS);
    for (int64_t i = 0; i < REQUESTS; i++) {
        struct kv_record record = fake_record(&f, i);
        assert_int_equal(source[2 * i], record.prompt_tokens_by_source[0]);
        assert_int_equal(source[2 * i + 1], record.prompt_tokens_by_source[1]);
    }
    free(source);
}

/* The fake's own numbers, not the code's: 900 of 1,000 blocks hold something; every tenth bin has no steps. */
static void bins_tell_queue_batch_and_tiers(void **state)
{
    (void)state;
    struct fake f;
    struct kv_err err = {0};
    int64_t count, hit_count, evicted_count;
    fake_open(&f, 100);
    f.info.source_names = (const char *const[]){"hbm", "dram", "compute"};   /* a second tier without a pool */
    f.info.source_count = 3;
    kv_results_close(fake_run(&f, path_a, KV_CODEC_FASTEST, &err));
    double *queue = read_reals(path_a, "/timeseries/queue_depth", &count);
    double *running = read_reals(path_a, "/timeseries/running_seqs", &count);
    double *batch = read_reals(path_a, "/timeseries/batch_tokens", &count);
    assert_int_equal(count, f.bins);
    double *held = read_reals(path_a, "/timeseries/tier_occupancy", &count);
    int64_t *hits = read_int64(path_a, "/timeseries/tier_hits_tokens", &hit_count);
    int64_t *evicted = read_int64(path_a, "/timeseries/tier_evictions", &evicted_count);
    assert_true(count == 2 * f.bins && hit_count == count && evicted_count == count);
    for (int32_t i = 0; i < f.bins; i++) {
        assert_near(queue[i], i % 5, 1e-12);
        assert_near(running[i], 8, 1e-12);
        if (i % 10 == 9) assert_true(isnan(batch[i]));
        else assert_near(batch[i], (1500 + i) / 100.0, 1e-12);
        assert_near(held[2 * i], 0.9, 1e-12);
        assert_true(isnan(held[2 * i + 1]));
        assert_true(hits[2 * i] == 300 + i % 7 && hits[2 * i + 1] == 0);
        assert_true(evicted[2 * i] == i % 3 && evicted[2 * i + 1] == 0);
    }
    free(queue);
    free(running);
    free(batch);
    free(held);
    free(hits);
    free(evicted);
}

static void two_runs_give_the_same_bytes(void **state)
{
    (void)state;
    struct fake f;
    struct kv_err err = {0};
    fake_open(&f, REQUESTS);
    kv_results_close(fake_run(&f, path_a, KV_CODEC_FASTEST, &err));
    kv_results_close(fake_run(&f, path_b, KV_CODEC_FASTEST, &err));
    assert_true(same_bytes(path_a, path_b));
}

static void the_digest_does_not_depend_on_order_or_deflate(void **state)
{
    (void)state;
    struct fake f;
    struct kv_err err = {0};
    char first[65];
    fake_open(&f, REQUESTS);
    struct kv_results *r = fake_run(&f, path_a, KV_CODEC_FASTEST, &err);
    memcpy(first, r->digest, sizeof first);
    assert_int_equal(strlen(first), 64);
    kv_results_close(r);

    f.disorder = 17;   /* ends in another order, other segments open at a time */
    r = fake_run(&f, path_b, KV_CODEC_ZLIB, &err);
    /* Sums of doubles are taken in the order of ends, so only order-free columns may be compared here. */
    assert_int_equal(strlen(r->digest), 64);
    kv_results_close(r);
    fake_open(&f, REQUESTS);
    r = fake_run(&f, path_b, KV_CODEC_ZLIB, &err);
    assert_string_equal(r->digest, first);
    kv_results_close(r);

    f.scenario.text = "another comment, the same run";   /* texts that name files are no results */
    r = fake_run(&f, path_b, KV_CODEC_ZLIB, &err);
    assert_string_equal(r->digest, first);
    kv_results_close(r);

    f.scenario.sim.seed = 43;
    r = fake_run(&f, path_b, KV_CODEC_ZLIB, &err);
    assert_string_not_equal(r->digest, first);
    kv_results_close(r);
}

static void a_request_that_never_arrived_has_a_row_without_instants(void **state)
{
    (void)state;
    struct fake f;
    struct kv_err err = {0};
    fake_open(&f, 10);
    struct kv_run_end end = fake_end(&f);
    struct kv_results *r = kv_results_open(path_a, true, &f.info, &err);
    struct kv_sink sink = kv_results_sink(r);
    for (int64_t i = 0; i < 10; i++) {
        struct kv_record record = fake_record(&f, i + (i > 4 ? KV_H5_CHUNK_ROWS : 0));
        assert_true(sink.record(sink.state, &record, &err));
    }
    assert_true(kv_results_end(r, &end, &err));
    assert_int_equal(r->rows, KV_H5_CHUNK_ROWS + 10);
    kv_results_close(r);
    int64_t count, *status = read_int64(path_a, "/requests/status", &count);
    int64_t *arrival = read_int64(path_a, "/requests/arrival", &count);
    assert_int_equal(count, KV_H5_CHUNK_ROWS + 10);
    assert_int_equal(status[100], KV_STATUS_UNFINISHED);
    assert_int_equal(arrival[100], -1);
    assert_int_equal(arrival[KV_H5_CHUNK_ROWS + 9], fake_record(&f, KV_H5_CHUNK_ROWS + 9).arrival_tk);
    free(status);
    free(arrival);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double plain_percentile(const double *sorted, size_t count, double q)
{
    double at = q * (double)(count - 1);
    size_t low = (size_t)at, high = low + 1 < count ? low + 1 : low;
    return sorted[low] + (sorted[high] - sorted[low]) * (at - (double)low);
}

static void the_summary_equals_a_plain_computation(void **state)
{
    (void)state;
    struct fake f;
    struct kv_err err = {0};
    fake_open(&f, REQUESTS);
    struct kv_results *r = fake_run(&f, path_a, KV_CODEC_FASTEST, &err);
    double *ttft = calloc(REQUESTS, sizeof *ttft), *tpot = calloc(REQUESTS, sizeof *tpot), sum = 0;
    size_t finished = 0, gaps = 0, judged = 0, good = 0;
    int64_t out = 0, hbm = 0, prompt = 0;
    kv_tick first = -1, last = -1;
    for (int64_t i = 0; i < REQUESTS; i++) {
        struct kv_record record = fake_record(&f, i);
        double to_first = kv_tick_to_s(record.first_token_tk - record.arrival_tk), gap = 0;
        if (record.arrival_tk < 10 * FAKE_S || record.status == KV_STATUS_FAILED) continue;
        if (first < 0) first = record.arrival_tk;
        if (record.first_sched_tk >= 0) {
            hbm += record.prompt_tokens_by_source[0];
            prompt += record.prompt_tokens;
        }
        judged += record.slo_class == 0;
        if (record.status != KV_STATUS_FINISHED) continue;
        if (record.generated_tokens > 1) {
            gap = kv_tick_to_s(record.finish_tk - record.first_token_tk) / (record.generated_tokens - 1);
            tpot[gaps++] = gap;
        }
        good += record.slo_class == 0 && to_first <= 2 && gap <= 0.05;
        ttft[finished++] = to_first;
        sum += to_first;
        out += record.generated_tokens;
        if (record.finish_tk > last) last = record.finish_tk;
    }
    qsort(ttft, finished, sizeof *ttft, by_value);
    qsort(tpot, gaps, sizeof *tpot, by_value);
    double span = kv_tick_to_s(last - first);
    assert_near(read_real(path_a, "/summary/ttft.p50"), plain_percentile(ttft, finished, 0.5), 1e-9);
    assert_near(read_real(path_a, "/summary/ttft.p99"), plain_percentile(ttft, finished, 0.99), 1e-9);
    assert_near(read_real(path_a, "/summary/tpot.p90"), plain_percentile(tpot, gaps, 0.9), 1e-9);
    assert_near(read_real(path_a, "/summary/tpot.max"), tpot[gaps - 1], 1e-9);
    assert_near(read_real(path_a, "/summary/ttft.mean"), sum / (double)finished, 1e-9);
    assert_near(read_real(path_a, "/summary/slo_attainment"), (double)good / (double)judged, 1e-12);
    assert_near(read_real(path_a, "/summary/goodput"), (double)good / span, 1e-9);
    assert_near(read_real(path_a, "/summary/output_token_throughput"), (double)out / span, 1e-6);
    assert_near(read_real(path_a, "/summary/hit_ratio_token"), (double)hbm / (double)prompt, 1e-12);
    assert_true(good > 100 && judged - good > 100);   /* both sides of the bound were met */
    free(ttft);
    free(tpot);
    kv_results_close(r);
}

static void a_bound_is_inclusive_to_the_tick(void **state)
{
    (void)state;
    struct kv_slo_class slo = {"default", 2, 0.05, 0};
    struct kv_summary_config config = {.slo = &slo, .slo_count = 1, .exact = true, .source = fake_sources,
                                       .source_count = 2, .gpus = 1};
    struct kv_summary s;
    kv_tick gap_tk = FAKE_S / 20;
    struct kv_record r = {.status = KV_STATUS_FINISHED, .first_token_tk = 2 * FAKE_S, .prompt_tokens = 1,
                          .prompt_tokens_by_source = {0, 1}, .output_tokens = 11, .generated_tokens = 11,
                          .finish_tk = 2 * FAKE_S + 10 * gap_tk};
    kv_summary_open(&s, &config);
    assert_int_equal(kv_summary_add(&s, &r), KV_SLO_MET);
    r.finish_tk++;
    assert_int_equal(kv_summary_add(&s, &r), KV_SLO_MISSED);
    r.finish_tk = ++r.first_token_tk;
    r.generated_tokens = 1;                       /* TPOT counts as 0; TTFT is one tick late */
    assert_int_equal(kv_summary_add(&s, &r), KV_SLO_MISSED);
    r.finish_tk = --r.first_token_tk;
    assert_int_equal(kv_summary_add(&s, &r), KV_SLO_MET);
    r.status = KV_STATUS_REJECTED;
    assert_int_equal(kv_summary_add(&s, &r), KV_SLO_MISSED);
    r.status = KV_STATUS_FAILED;
    assert_int_equal(kv_summary_add(&s, &r), KV_SLO_NONE);
    assert_int_equal(s.slo[0].judged, 5);
    assert_int_equal(s.slo[0].good, 2);
    kv_summary_close(&s);
}

static void without_requests_there_is_a_summary_only(void **state)
{
    (void)state;
    struct fake f;
    struct kv_err err = {0};
    fake_open(&f, 30000);
    struct kv_results *exact = fake_run(&f, path_a, KV_CODEC_FASTEST, &err);
    f.scenario.output.requests = KV_REQUESTS_NONE;
    struct kv_results *r = fake_run(&f, path_b, KV_CODEC_FASTEST, &err);
    hid_t file = H5Fopen(path_b, H5F_ACC_RDONLY, H5P_DEFAULT);
    assert_true(H5Lexists(file, "/requests", H5P_DEFAULT) == 0);
    assert_true(H5Lexists(file, "/timeseries/time", H5P_DEFAULT) > 0);
    H5Fclose(file);
    for (int i = 0; i < KV_METRIC_COUNT; i++) {
        const struct kv_spread_view *a = &exact->summary.view[i], *b = &r->summary.view[i];
        assert_int_equal(a->count, b->count);
        assert_near(a->mean, b->mean, 1e-9);
        assert_near(a->max, b->max, 1e-9);
        /* Nearest rank and bucket edge against interpolation: more than 0.1 % where values are sparse. */
        assert_true(b->p50 >= a->p50 * 0.999 && b->p50 <= a->p50 * 1.003);
        assert_true(b->p99 >= a->p99 * 0.98 && b->p99 <= a->p99 * 1.02);
    }
    kv_results_close(exact);
    kv_results_close(r);
}

static void an_existing_file_is_not_overwritten(void **state)
{
    (void)state;
    struct fake f;
    struct kv_err err = {0};
    fake_open(&f, 5);
    kv_results_close(fake_run(&f, path_a, KV_CODEC_FASTEST, &err));
    assert_null(kv_results_open(path_a, false, &f.info, &err));
    assert_int_equal(err.code, KV_EIO);
    assert_non_null(strstr(err.text, "--force"));
    assert_null(kv_results_open("/dev/null", true, &f.info, &err));
    assert_null(kv_results_open("/nonexistent/x.h5", false, &f.info, &err));
    assert_int_equal(err.code, KV_EIO);
    assert_non_null(strstr(err.text, "No such file"));
}

static void without_a_commit_nothing_is_left(void **state)
{
    (void)state;
    struct fake f;
    struct kv_err err = {0};
    fake_open(&f, 20000);
    struct kv_results *r = kv_results_open(path_b, true, &f.info, &err);
    assert_true(fake_send(&f, kv_results_sink(r), &err));
    unlink(path_b);
    kv_results_close(r);
    char temporary[128];
    snprintf(temporary, sizeof temporary, "%s.tmp", path_b);
    assert_int_not_equal(access(path_b, F_OK), 0);
    assert_int_not_equal(access(temporary, F_OK), 0);
}

/* The child's part: what is wrong, or 0. HDF5 does not survive a failed write, so nothing more runs there. */
static int write_with_limit(rlim_t bytes)
{
    struct fake f;
    struct kv_err err = {0};
    struct rlimit limit;
    char temporary[128];
    snprintf(temporary, sizeof temporary, "%s.tmp", path_b);
    fake_open(&f, REQUESTS);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &limit);
    if (fake_run(&f, path_b, KV_CODEC_FASTEST, &err)) return 1;
    if (err.code != KV_EIO) return 2;
    if (!strstr(err.text, "File too large")) return 3;
    return access(path_b, F_OK) && access(temporary, F_OK) ? 0 : 4;
}

/* A file size limit fails a write as a full disk does, at any byte we like. */
static void a_write_that_fails_is_an_error_and_leaves_nothing(void **state)
{
    (void)state;
    unlink(path_b);
    for (rlim_t bytes = 0; bytes < 2000000; bytes = bytes * 3 + 100) {
        int status;
        pid_t child = fork();
        if (!child) _exit(write_with_limit(bytes));
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

static void the_table_fits_80_columns(void **state)
{
    (void)state;
    struct fake f;
    struct kv_err err = {0};
    struct kv_arena arena = {0};
    fake_open(&f, 20000);
    struct kv_results *r = fake_run(&f, NULL, KV_CODEC_FASTEST, &err);
    const char *table = kv_results_table(r, &arena), *json = kv_results_json(r, &arena);
    for (const char *at = table; *at; at += strcspn(at, "\n") + 1) assert_true(strcspn(at, "\n") <= 80);
    assert_non_null(strstr(table, "TTFT"));
    assert_non_null(strstr(table, "27 % of the turns"));
    assert_true(json[0] == '{' && json[strlen(json) - 1] == '}' && !strchr(json, '\n'));
    assert_non_null(strstr(json, "\"slo_attainment.batch jobs\": null"));
    kv_results_close(r);
    kv_arena_close(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_record_stands_in_the_row_of_its_request),
        cmocka_unit_test(bins_tell_queue_batch_and_tiers),
        cmocka_unit_test(two_runs_give_the_same_bytes),
        cmocka_unit_test(the_digest_does_not_depend_on_order_or_deflate),
        cmocka_unit_test(a_request_that_never_arrived_has_a_row_without_instants),
        cmocka_unit_test(the_summary_equals_a_plain_computation),
        cmocka_unit_test(a_bound_is_inclusive_to_the_tick),
        cmocka_unit_test(without_requests_there_is_a_summary_only),
        cmocka_unit_test(an_existing_file_is_not_overwritten),
        cmocka_unit_test(without_a_commit_nothing_is_left),
        cmocka_unit_test(a_write_that_fails_is_an_error_and_leaves_nothing),
        cmocka_unit_test(the_table_fits_80_columns),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

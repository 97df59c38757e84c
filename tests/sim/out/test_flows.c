/* SPDX-License-Identifier: Apache-2.0 */
/* Fetches and layers in results: what is written, what is chosen, and what the summary makes of it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "sim/out/read.h"
#include "tests/sim/out/fake_fetches.h"
#include "tests/support/arena.h"
#include "tests/support/near.h"

static char path_a[] = "/tmp/kvsim-flows-a-XXXXXX", path_b[] = "/tmp/kvsim-flows-b-XXXXXX";

static int make_files(void **unused)
{
    (void)unused;
    int a = mkstemp(path_a), b = mkstemp(path_b);
    return a < 0 || b < 0 || close(a) || close(b);
}

static int remove_files(void **unused)
{
    return unlink(path_a) | unlink(path_b) | close_arena(unused);
}

static void write_run(struct tiers *t, const char *path, int64_t requests, bool flows, int64_t sample)
{
    struct kv_err err = {0};
    tiers_open(t, requests);
    t->fake.scenario.output = (struct kv_output_config){.flows = flows ? KV_FLOWS_ALL : KV_FLOWS_NONE,
                                                        .layers_sample = sample};
    struct kv_results *r = fetches_run(t, path, &err);
    if (!r) fail_msg("%s", err.text);
    kv_results_close(r);
}

static int64_t *ints(const char *path, const char *column, int64_t *rows)
{
    struct kv_err err;
    struct kv_h5in *in = kv_h5in_open(path, &err);
    assert_non_null(in);
    int64_t *value = kv_h5in_ints(in, column, rows, &arena, &err);
    if (!value) fail_msg("%s: %s", column, err.text);
    kv_h5in_close(in);
    return value;
}

static bool has(const char *path, const char *object)
{
    struct kv_h5in *in = kv_h5in_open(path, NULL);
    bool it_has = kv_h5in_has(in, object);
    kv_h5in_close(in);
    return it_has;
}

/* More than a chunk of rows. */
static void every_fetch_is_a_row_in_the_order_of_ends(void **unused)
{
    (void)unused;
    struct tiers t;
    int64_t requests = KV_H5_CHUNK_ROWS - 100, rows;
    write_run(&t, path_a, requests, true, 0);
    const int64_t *request = ints(path_a, "/flows/request", &rows), *tier = ints(path_a, "/flows/tier", &rows);
    const int64_t *begin = ints(path_a, "/flows/begin", &rows), *end = ints(path_a, "/flows/end", &rows);
    const int64_t *granted = ints(path_a, "/flows/granted", &rows), *first = ints(path_a, "/flows/first_byte", &rows);
    const int64_t *refused = ints(path_a, "/flows/refused", &rows), *number = ints(path_a, "/flows/fetch", &rows);
    const int64_t *bytes = ints(path_a, "/flows/delivered_bytes", &rows), *mode = ints(path_a, "/flows/mode", &rows);
    assert_int_equal(rows, 2 * requests - 1);
    for (int64_t i = 0; i < rows; i++) {
        struct kv_fetch_record f = fake_fetch(i / 2 - (i > 0 && i % 2 == 0) + (i % 2), i == 0 || i % 2 == 1 ? 1 : 2);
        assert_int_equal(number[i], i);
        assert_true(request[i] == f.request && tier[i] == f.tier && mode[i] == f.mode && refused[i] == f.refused);
        assert_true(begin[i] == f.begin_tk && end[i] == f.end_tk && first[i] == f.first_tk);
        assert_true(granted[i] == f.granted_tk && bytes[i] == f.delivered_bytes);
    }
    struct kv_h5in *in = kv_h5in_open(path_a, NULL);
    const double *grant = kv_h5in_reals(in, "/flows/grant", &rows, &arena, NULL);
    const double *limit = kv_h5in_reals(in, "/flows/limit", &rows, &arena, NULL);
    assert_true(isnan(grant[0]) && isnan(limit[0]));              /* none of either */
    assert_true(grant[2] == 1.55e9 && limit[2] == 5e9);
    int32_t names;
    assert_string_equal(kv_h5in_meanings(in, "/flows/tier", &names, &arena)[2], "object");
    assert_near(kv_h5in_attribute_real(in, "/flows/begin", "scale_factor"), KV_H5_TICK_S, 0);
    kv_h5in_close(in);
}

static void what_nobody_asked_for_is_not_written(void **unused)
{
    (void)unused;
    struct tiers t;
    write_run(&t, path_a, 20, false, 0);
    assert_false(has(path_a, "/flows"));
    assert_false(has(path_a, "/layers"));
    write_run(&t, path_a, 20, true, 1);
    assert_true(has(path_a, "/flows") && has(path_a, "/layers"));
}

static void layers_tell_when_they_came_and_how_long_the_step_waited(void **unused)
{
    (void)unused;
    struct tiers t;
    int64_t rows;
    write_run(&t, path_a, 20, false, 30);                         /* all of them */
    const int64_t *request = ints(path_a, "/layers/request", &rows), *ready = ints(path_a, "/layers/ready", &rows);
    assert_int_equal(rows, 20);
    const int64_t *came = ints(path_a, "/layers/fetch_end", &rows);
    const int64_t *start = ints(path_a, "/layers/compute_start", &rows);
    const int64_t *end = ints(path_a, "/layers/compute_end", &rows);
    const int64_t *stall = ints(path_a, "/layers/fetch_stall", &rows);
    static const int64_t waited_ms[FETCH_LAYERS] = {0, 3, 6, 0};  /* layers come at -3, 7, 17 ms; 4 ms each */
    for (int64_t i = 0; i < 20; i++) {
        struct fake_layers ticks;
        struct kv_layers_record l = fake_layers(&ticks, i);
        assert_true(request[i] == i && ready[i] == l.ready_tk);
        for (int32_t k = 0; k < FETCH_LAYERS; k++) {
            int64_t at = i * FETCH_LAYERS + k;
            assert_true(came[at] == ticks.fetch_end[k] && start[at] == ticks.start[k] && end[at] == ticks.end[k]);
            assert_int_equal(stall[at], waited_ms[k] * FETCH_MS);
        }
    }
}

/* Feeds requests in some order, each twice; the second time with other times, which must not count. */
static void sample_of(struct kv_layers *s, int64_t requests, uint64_t order, const char *path)
{
    struct kv_err err = {0};
    for (int64_t i = 0; i < 2 * requests; i++) {
        int64_t request = order ? (i * 7919 + 13) % requests : i % requests;
        struct fake_layers ticks;
        struct kv_layers_record l = fake_layers(&ticks, request + (i >= requests));
        l.request = request;
        kv_layers_add(s, &l);
    }
    char digest[65];
    struct kv_h5 *f = kv_h5_create(path, true, KV_CODEC_ZLIB, &err);
    kv_h5_attribute_text(f, "/", "schema", "kvsim-results");
    kv_h5_attribute_text(f, "/", "schema_version", KV_RESULTS_SCHEMA);
    kv_h5_group(f, "/meta");
    kv_layers_write(s, f);
    assert_true(kv_h5_commit(f, digest, &err));
    kv_h5_close(f);
    kv_layers_close(s);
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void the_sample_is_that_of_the_smallest_hashes(void **unused)
{
    (void)unused;
    enum { REQUESTS = 5000, SAMPLE = 700 };
    static uint64_t hash[REQUESTS];
    int64_t rows, sum = 0, fine = 0;
    for (int64_t i = 0; i < REQUESTS; i++) hash[i] = kv_mix64_pair(42, (uint64_t)i);
    qsort(hash, REQUESTS, sizeof *hash, by_size);
    sample_of(kv_layers_open(SAMPLE, FETCH_LAYERS, 42), REQUESTS, 0, path_a);
    sample_of(kv_layers_open(SAMPLE, FETCH_LAYERS, 42), REQUESTS, 1, path_b);
    const int64_t *a = ints(path_a, "/layers/request", &rows), *b = ints(path_b, "/layers/request", &rows);
    const int64_t *ready = ints(path_a, "/layers/ready", &rows);
    assert_int_equal(rows, SAMPLE);
    for (int64_t i = 0; i < rows; i++) {
        assert_true(a[i] == b[i] && (i == 0 || a[i] > a[i - 1]));
        assert_true(kv_mix64_pair(42, (uint64_t)a[i]) <= hash[SAMPLE - 1]);
        struct fake_layers ticks;
        fine += ready[i] == fake_layers(&ticks, a[i]).ready_tk;   /* of the first step */
        sum += a[i];
    }
    assert_int_equal(fine, SAMPLE);
    /* Even over the run: the mean of 700 places has a deviation of 5000 / sqrt(12 * 700) = 55. */
    assert_near((double)sum / SAMPLE, REQUESTS / 2.0, 3.3 * 55);
    sample_of(kv_layers_open(SAMPLE, FETCH_LAYERS, 43), REQUESTS, 0, path_b);
    b = ints(path_b, "/layers/request", &rows);
    int64_t shared = 0;
    for (int64_t i = 0, k = 0; i < SAMPLE; i++) {
        while (k < SAMPLE && b[k] < a[i]) k++;
        shared += k < SAMPLE && b[k] == a[i];
    }
    assert_true(shared < SAMPLE / 3);                             /* another seed, others */
}

static bool same_bytes(const char *a, const char *b)
{
    FILE *fa = fopen(a, "rb"), *fb = fopen(b, "rb");
    int ca = 0, cb = 0;
    while (ca == cb && ca != EOF) ca = fgetc(fa), cb = fgetc(fb);
    fclose(fa);
    fclose(fb);
    return ca == cb;
}

static void equal_runs_are_equal_and_fetches_are_in_the_digest(void **unused)
{
    (void)unused;
    struct tiers t;
    char digest[3][65];
    struct kv_err err = {0};
    for (int i = 0; i < 3; i++) {
        tiers_open(&t, 50);
        t.fake.scenario.output = (struct kv_output_config){.flows = i < 2, .layers_sample = 5};
        struct kv_results *r = fetches_run(&t, i == 1 ? path_b : path_a, &err);
        assert_non_null(r);
        memcpy(digest[i], r->digest, sizeof digest[i]);
        kv_results_close(r);
        if (i == 1) assert_true(same_bytes(path_a, path_b));
    }
    assert_string_equal(digest[0], digest[1]);
    assert_string_not_equal(digest[0], digest[2]);
}

static double fact(const struct kv_results *r, const char *name)
{
    const struct kv_fact *f = kv_summary_fact(&r->summary, name);
    if (!f) fail_msg("no fact %s", name);
    return f->is_int ? (double)f->count : f->real;
}

static double cell(const struct kv_results *r, int32_t tier, const char *column)
{
    const struct kv_fact *f = kv_totals_cell(&r->tiers, tier, column);
    if (!f) fail_msg("no column %s", column);
    return f->is_int ? (double)f->count : f->real;
}

/* Also without a file, and without output.flows. */
static void the_summary_tells_overlap_and_what_stores_did(void **unused)
{
    (void)unused;
    struct tiers t;
    struct kv_err err = {0};
    tiers_open(&t, 20);
    struct kv_results *r = fetches_run(&t, NULL, &err);
    assert_non_null(r);
    double fetch_s = 20 * 0.101 + 19 * 1.5;
    assert_close(fact(r, "fetch_time"), fetch_s, 1e-12);
    assert_close(fact(r, "overlap_efficiency"), 1 - 20 * 0.2 / fetch_s, 1e-12);
    assert_true(fact(r, "refused_accesses") == 8 && cell(r, 1, "refused_accesses") == 3);
    assert_true(cell(r, 2, "read_requests") == 30 && cell(r, 2, "write_requests") == 4);
    assert_true(cell(r, 2, "resident_chunks") == 6 && cell(r, 1, "resident_chunks") == 0);
    assert_close(cell(r, 2, "requests_cost"), 30 * 0.01 + 4 * 0.1, 1e-12);
    /* 50 + 9.5 chunks on average, of 256 tokens of 2 x 2 x 64 x 2 bytes in 4 layers, for 20 s of a month. */
    double GiB = 59.5 * 256 * 2048 / 0x1p30, month_s = 365.25 / 12 * 86400;
    assert_close(cell(r, 2, "storage_cost"), GiB * 1000 * 20 / month_s, 1e-9);
    assert_true(isnan(cell(r, 1, "requests_cost")) && isnan(cell(r, 0, "storage_cost")));
    assert_close(fact(r, "store_cost"), 0.7 + GiB * 1000 * 20 / month_s, 1e-9);
    const char *table = kv_results_table(r, &arena);
    assert_non_null(strstr(table, "\nfetches     30.52 s under way in all, 86.9 % of it overlapped with other work\n"));
    assert_non_null(strstr(table, "\n503         stores refused accesses 8 times; they came again\n"));
    assert_non_null(strstr(table, "\ncost        0.700 USD for requests to stores and what they held\n"));
    kv_results_close(r);
}

static void without_fetches_there_is_no_overlap(void **unused)
{
    (void)unused;
    int32_t count, found = 0;
    const struct kv_fact *metric = kv_results_metrics(&count, &arena);   /* of a run of nothing */
    for (int32_t i = 0; i < count; i++) {
        if (strcmp(metric[i].name, "overlap_efficiency") && strcmp(metric[i].name, "store_cost")) continue;
        assert_true(isnan(metric[i].real));
        found++;
    }
    assert_int_equal(found, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_fetch_is_a_row_in_the_order_of_ends),
        cmocka_unit_test(what_nobody_asked_for_is_not_written),
        cmocka_unit_test(layers_tell_when_they_came_and_how_long_the_step_waited),
        cmocka_unit_test(the_sample_is_that_of_the_smallest_hashes),
        cmocka_unit_test(equal_runs_are_equal_and_fetches_are_in_the_digest),
        cmocka_unit_test(the_summary_tells_overlap_and_what_stores_did),
        cmocka_unit_test(without_fetches_there_is_no_overlap),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}

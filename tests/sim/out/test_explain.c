/* SPDX-License-Identifier: Apache-2.0 */
/* kvsim explain, the added TTFT in export and the picture of layers, on a run that can be worked out by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/sim/out/fake_fetches.h"
#include "tests/support/arena.h"
#include "tests/support/near.h"

#define REQUESTS 20
static char run_path[] = "/tmp/kvsim-explain-a-XXXXXX", reference_path[] = "/tmp/kvsim-explain-b-XXXXXX";
static struct kv_err err;

static void write_run(struct tiers *t, const char *path, bool flows, int64_t sample)
{
    t->fake.scenario.output = (struct kv_output_config){.flows = flows ? KV_FLOWS_ALL : KV_FLOWS_NONE,
                                                        .layers_sample = sample};
    struct kv_results *r = fetches_run(t, path, &err);
    if (!r) fail_msg("%s", err.text);
    kv_results_close(r);
}

static int make_runs(void **unused)
{
    (void)unused;
    struct tiers t;
    int a = mkstemp(run_path), b = mkstemp(reference_path);
    if (a < 0 || b < 0 || close(a) || close(b)) return -1;
    tiers_open(&t, REQUESTS);
    write_run(&t, reference_path, false, 0);
    t.late_tk = 60 * FETCH_MS;
    write_run(&t, run_path, true, REQUESTS);
    return 0;
}

static int remove_runs(void **unused)
{
    return unlink(run_path) | unlink(reference_path) | close_arena(unused);
}

/* What is written to `*out` of a function that returns ok; arena text, NULL when it failed. */
static const char *text_of(FILE *out, bool ok)
{
    long size = ftell(out);
    char *text = kv_arena_take(&arena, (size_t)size + 1);
    rewind(out);
    assert_int_equal(fread(text, 1, (size_t)size, out), (size_t)size);
    fclose(out);
    return ok ? text : NULL;
}

static const char *explain(const char *path, struct kv_explain_options options)
{
    FILE *out = tmpfile();
    return text_of(out, kv_results_explain(path, &options, out, &err));
}

static const char *export(const char *path, const char *table, const char *against)
{
    FILE *out = tmpfile();
    return text_of(out, kv_results_export(path, "csv", table, against, out, &err));
}

static void contains(const char *text, const char *words)
{
    if (!text) fail_msg("failed: %s", err.text);
    if (strstr(text, words)) return;
    fputs(text, stderr);   /* cmocka cuts long messages short */
    fail_msg("no '%s'", words);
}

static void refuses(const char *text, const char *words)
{
    assert_null(text);
    if (!strstr(err.text, words)) fail_msg("no '%s' in: %s", words, err.text);
}

/* Request 5 arrives at 5 s; 100 ms in the queue, 260 ms for its KV, 300 ms of prefill, 400 ms of decode. */
static void a_request_is_told_in_stages_fetches_and_layers(void **unused)
{
    (void)unused;
    const char *text = explain(run_path, (struct kv_explain_options){.request = 5});
    contains(text, "request 5 (row 6 of the trace; session 6, turn 0): finished\n");
    contains(text, "arrived at 5.000000 s; TTFT 660.0 ms; end to end 1.060 s; instance 1\n");
    contains(text, "prompt of 1,000 tokens: hbm 600, dram 200, object 100, compute 100; 11 of 11 tokens generated\n");
    contains(text, "\nqueue             100.0 ms    9.4 %  ");
    contains(text, "\nfetch_stall       260.0 ms   24.5 %  ");
    contains(text, "\nprefill           300.0 ms   28.3 %  ");
    contains(text, "\ndecode            400.0 ms   37.7 %  ");
    contains(text, "of prefill and decode 50.00 ms: steps waited for the layers of other requests\n");
    contains(text, "limit: decode; of the time to first token prefill, 45.5 %\n");
    /* 1.5 GB in 0.1 s, nobody beside it. */
    contains(text, "dram      layerwise 1.500 GB   +100.0 ms    1.000 ms    101.0 ms   15.00 GB/s\n"
                   "    at the rate of its way; grant -, stream -\n");
    /* 1.5 GB in 1 s; 0.5 s each with the fetch before and the one after it. */
    contains(text, "object    layerwise 1.500 GB   +100.0 ms    500.0 ms     1.500 s   1.500 GB/s\n"
                   "    at its grant; grant 1.550 GB/s, stream 5.000 GB/s; refused 2 times\n"
                   "    beside 2 others from object, 0.667 at a time; longest of requests 4, 6\n");
    contains(text, "layers: the step waited 9.000 ms between 4 layers and computed 16.00 ms\n"
                   "    before layer 1: 3.000 ms\n    before layer 2: 6.000 ms\n");
    assert_null(strstr(text, "run with"));
}

static void what_was_not_recorded_is_named_with_its_key(void **unused)
{
    (void)unused;
    const char *text = explain(reference_path, (struct kv_explain_options){.request = 5});
    contains(text, "which fetches it waited for is not in the file: run with output.flows: all\n");
    contains(text, "its layers are not in the file: run with output.layers: {sample: N}\n");
    refuses(export(reference_path, "flows", NULL), "the file has no /flows: run with output.flows: all");
    refuses(export(reference_path, "layers", NULL), "the file has no /layers: run with output.layers: {sample: N}");
    refuses(explain(run_path, (struct kv_explain_options){.request = 20}), "request 20: the run has requests 0 to 19");
    refuses(explain(run_path, (struct kv_explain_options){.request = 1, .against = "/nowhere.h5"}), "cannot read");
}

/* Ten of twenty requests wait 60 ms longer. */
static void added_ttft_is_that_of_the_same_row(void **unused)
{
    (void)unused;
    const struct kv_explain_options options = {.request = -1, .worst = 2, .against = reference_path};
    const char *text = explain(run_path, options);
    contains(text, ": 600.0 ms over 20 measured requests, mean 30.00 ms\n");
    contains(text, "least +0 s, p50 +0 s, p99 +60.00 ms, most +60.00 ms; 10 later, 0 sooner\n");
    contains(text, "request 1 (");
    contains(text, "request 3 (");                             /* of equals the first */
    contains(text, ": +60.00 ms\n");
    text = explain(reference_path, (struct kv_explain_options){.request = 1, .against = run_path});
    contains(text, ": -60.00 ms\n");
    text = export(run_path, "requests", reference_path);
    contains(strchr(text, '\n') - 12, "added_ttft_s\n");
    const char *line = text;
    for (int64_t i = 0; i < REQUESTS; i++) {
        line = strchr(line, '\n') + 1;
        const char *end = strchr(line, '\n');
        assert_near(strtod(end - 14, NULL), i % 2 ? 0.06 : 0, 0);
    }
    text = export(reference_path, "requests", run_path);
    contains(text, ",-0.060000000000\n");
}

/* All requests alike but for the odd ones, whose KV is 60 ms late. */
static void the_request_at_a_percentile_is_told(void **unused)
{
    (void)unused;
    const char *const wrong[] = {"ttft", "ttft.p101", "ttft.p-1", "ttft.p", "ttfx.p50", "ttft.p5x", ".p50", "ttft.pnan"};
    const char *text = explain(run_path, (struct kv_explain_options){.request = -1, .percentile = "e2e.p100"});
    contains(text, "e2e.p100 of 20 measured requests: 1.060 s; the request there:\n\nrequest 1 (");
    text = explain(run_path, (struct kv_explain_options){.request = -1, .percentile = "ttft.p0"});
    contains(text, "ttft.p0 of 20 measured requests: 600.0 ms; the request there:\n\nrequest 18 (");
    text = explain(run_path, (struct kv_explain_options){.request = -1, .percentile = "tpot.p50"});
    contains(text, "tpot.p50 of 20 measured requests: 40.00 ms; the request there:\n\nrequest ");
    text = explain(run_path, (struct kv_explain_options){.request = -1, .percentile = "added.p99.9",
                                                         .against = reference_path});
    contains(text, "added.p99.9 of 20 measured requests: 60.00 ms; the request there:\n\nrequest 1 (");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        refuses(explain(run_path, (struct kv_explain_options){.request = -1, .percentile = wrong[i]}),
                "expected ttft, tpot, e2e or added, and .p0 to .p100");
    refuses(explain(run_path, (struct kv_explain_options){.request = -1, .percentile = "added.p50"}), "--against REF.h5");
}

static void runs_of_other_requests_are_refused(void **unused)
{
    (void)unused;
    struct tiers t;
    char other[] = "/tmp/kvsim-explain-c-XXXXXX";
    int file = mkstemp(other);
    assert_true(file >= 0 && close(file) == 0);
    tiers_open(&t, REQUESTS);
    t.wave = true;                                            /* other prompts */
    write_run(&t, other, false, 0);
    refuses(explain(run_path, (struct kv_explain_options){.request = 1, .against = other}), "not the same requests");
    tiers_open(&t, REQUESTS);
    t.fake.workload.reader.digest[0] = 'f';
    write_run(&t, other, false, 0);
    refuses(export(run_path, "requests", other), "is of another trace");
    refuses(export(run_path, "tiers", other), "--against is for requests");
    tiers_open(&t, REQUESTS / 2);                             /* not all of them */
    write_run(&t, other, false, 0);
    contains(explain(run_path, (struct kv_explain_options){.request = 19, .against = other}),
             "none, it has no first token in one of them\n");
    contains(explain(run_path, (struct kv_explain_options){.request = -1, .worst = 1, .against = other}),
             " over 10 measured requests");
    unlink(other);
}

/* The request with a stall whose load another one began: fetches into its instance until it was scheduled. */
static void a_delayed_hit_is_told_of_the_loads_of_others(void **unused)
{
    (void)unused;
    struct tiers t;
    char path[] = "/tmp/kvsim-explain-d-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0 && close(file) == 0);
    tiers_open(&t, 4);
    t.fake.scenario.output.flows = KV_FLOWS_ALL;
    struct kv_run_end end = tiers_end(&t);
    struct kv_results *r = kv_results_open_with(path, true, &t.fake.info, KV_CODEC_ZLIB, &err);
    struct kv_sink sink = kv_results_sink(r);
    for (int64_t i = 0; i < 4; i++) {
        struct kv_record record = tiers_record(&t, i);
        assert_true(sink.record(sink.state, &record, &err));
    }
    struct kv_fetch_record f = fake_fetch(0, 2);
    f.end_tk = 2 * FAKE_S + 250 * FETCH_MS;                   /* instance 0, as requests 0 and 2 */
    assert_true(sink.fetch(sink.state, &f, &err) && kv_results_end(r, &end, &err));
    kv_results_close(r);
    const char *text = explain(path, (struct kv_explain_options){.request = 2});
    contains(text, "it waited for loads that others began: fetches into its instance meanwhile\n");
    contains(text, "object    layerwise 1.500 GB    -1.900 s    500.0 ms     2.150 s");
    contains(explain(path, (struct kv_explain_options){.request = 1}), "no fetch of its own or into its instance\n");
    unlink(path);
}

static const char *picture(const char *path, int64_t request, bool csv)
{
    FILE *out = tmpfile();
    struct kv_plot_options options = {csv, request};
    return text_of(out, kv_results_plot(path, "layers", &options, out, &err));
}

static void layers_are_drawn_as_they_came_and_were_computed(void **unused)
{
    (void)unused;
    /* 0: the first layer was there, 3 ms before the step could begin. */
    const char *text = picture(run_path, 7, true);
    contains(text, "Request 7,KV comes 0,0,0\n");
    double from, to;
    assert_int_equal(sscanf(strstr(text, "KV comes 2,"), "KV comes 2,%lf,%lf", &from, &to), 2);
    assert_near(from, 0.010, 1e-9);
    assert_near(to, 0.020, 1e-9);
    contains(text, "Request 7,KV comes 3,,\n");               /* nothing had to come */
    assert_int_equal(sscanf(strstr(text, "step waits 2,"), "step waits 2,%lf,%lf", &from, &to), 2);
    assert_near(from, 0.014, 1e-9);
    assert_near(to, 0.020, 1e-9);
    assert_int_equal(sscanf(strstr(text, "computed 3,"), "computed 3,%lf,%lf", &from, &to), 2);
    assert_near(from, 0.024, 1e-9);
    assert_near(to, 0.028, 1e-9);
    assert_null(strstr(text, "Request 8"));
    text = picture(run_path, -1, false);                      /* four: 3 of 4 layers come, 2 waits, 4 computed */
    int32_t bars = 0;
    for (const char *at = text; (at = strstr(at, "<rect x=")); at++) bars++;
    assert_int_equal(bars, 4 * (2 + 2 + 4) + 4 * 3);          /* the first comes at 0; and the legends */
    refuses(picture(run_path, 99, true), "not in the file");
    refuses(picture(reference_path, -1, true), "run with output.layers: {sample: N}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_told_in_stages_fetches_and_layers),
        cmocka_unit_test(what_was_not_recorded_is_named_with_its_key),
        cmocka_unit_test(added_ttft_is_that_of_the_same_row),
        cmocka_unit_test(the_request_at_a_percentile_is_told), cmocka_unit_test(runs_of_other_requests_are_refused),
        cmocka_unit_test(a_delayed_hit_is_told_of_the_loads_of_others),
        cmocka_unit_test(layers_are_drawn_as_they_came_and_were_computed),
    };
    return cmocka_run_group_tests(tests, make_runs, remove_runs);
}

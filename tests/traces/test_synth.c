/* SPDX-License-Identifier: Apache-2.0 */
/* The generator against BurstGPT's published statistics (docs/traces.md gives the numbers of the list), and the
 * properties it promises. Tolerances are about four standard errors of the sample taken here, wider where a comment
 * says that the model is known to differ. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "sim/base/map.h"
#include "sim/conf/bind.h"
#include "sim/lib/hash.h"
#include "sim/lib/tally.h"
#include "sim/plug.h"
#include "tests/support/arena.h"

static const struct kv_reader_ops *synth(void)
{
    return kv_plugin_ops(reader, kv_plugin_find(KV_FAMILY_reader, "synth"));
}

/* An open generator with `set` ("a=1 b=2") laid over its presets. */
static void *open_synth(const char *set, uint64_t seed)
{
    struct kv_diag diag = {0};
    struct kv_yaml *root = kv_yaml_parse(&arena, "test", "{}", 2, &diag);
    char text[256];
    snprintf(text, sizeof text, "%s", set);
    for (char *at = text; *at;) {
        char *end = at + strcspn(at, " "), *equals = strchr(at, '=');
        if (*end) *end++ = '\0';
        *equals = '\0';
        kv_yaml_set(&arena, root, at, equals + 1, 1, &diag);
        at = end;
    }
    void *params = kv_arena_take(&arena, synth()->info.params_bytes), *state = kv_mem_take(synth()->state_bytes);
    kv_bind(&arena, root, "", synth()->info.params, params, &diag);
    assert_int_equal(diag.errors, 0);
    kv_diag_close(&diag);
    struct kv_reader_env env = {.seed = seed};
    struct kv_err err;
    assert_true(synth()->open(state, params, &env, &err));
    return state;
}

static int next(void *state, struct kv_row *row)
{
    struct kv_err err;
    return synth()->next(state, row, &err);
}

static void close_synth(void *state)
{
    synth()->close(state);
    kv_mem_give(state, synth()->state_bytes);
}

static void expect_near(const char *what, double found, double published, double tolerance)
{
    if (fabs(found - published) > tolerance) {
        fail_msg("%s: found %g, published %g, tolerance %g", what, found, published, tolerance);
    }
}

/* --- what it promises ------------------------------------------------------------------------------------ */

static uint64_t row_hash(const struct kv_row *r)
{
    uint64_t h = kv_hash_text(r->session);
    const int64_t parts[] = {r->time_ns,  r->input_tokens, r->output_tokens, r->elapsed_ns,
                             r->think_ns, r->turn,         r->failed,        r->api};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) h = kv_mix64_pair(h, (uint64_t)parts[i]);
    return kv_mix64_pair(h, kv_hash_text(r->model));
}

static void a_longer_trace_begins_with_the_shorter(void **unused)
{
    (void)unused;
    void *a = open_synth("rows=500", 3), *b = open_synth("rows=5000", 3), *c = open_synth("rows=500", 4);
    struct kv_row row;
    int same = 0;
    for (int i = 0; i < 500; i++) {
        assert_int_equal(next(a, &row), 1);
        uint64_t hash = row_hash(&row);
        assert_int_equal(next(b, &row), 1);
        assert_int_equal(hash, row_hash(&row));
        assert_int_equal(next(c, &row), 1);
        same += hash == row_hash(&row);
    }
    assert_int_equal(same, 0);
    assert_int_equal(next(a, &row), 0);
    assert_int_equal(next(a, &row), 0);
    close_synth(a);
    close_synth(b);
    close_synth(c);
}

static void rows_and_duration_bound_the_trace(void **unused)
{
    (void)unused;
    struct kv_row row;
    void *s = open_synth("rows=0 duration=2h start=13h", 1);
    int64_t count = 0, last = 0;
    while (next(s, &row) == 1) {
        assert_true(row.time_ns >= last);
        last = row.time_ns;
        count++;
        assert_in_range(row.time_ns, INT64_C(13) * 3600 * 1000000000, INT64_C(15) * 3600 * 1000000000 - 1);
        assert_int_equal(row.time_ns % 1000000000, 0);
    }
    assert_in_range(count, 500, 20000);
    close_synth(s);
    s = open_synth("rows=2000 stamp=0s", 1);
    int64_t whole = 0;
    while (next(s, &row) == 1) whole += row.time_ns % 1000000000 == 0;
    assert_in_range(whole, 0, 2);
    close_synth(s);
    s = open_synth("rows=300 api_share=1", 1);
    while (next(s, &row) == 1) assert_true(row.api && !row.session[0]);
    close_synth(s);
    s = open_synth("rows=300 api_share=0", 1);
    while (next(s, &row) == 1) assert_true(!row.api && strlen(row.session) == 36);
    close_synth(s);
}

/* --- what was published ---------------------------------------------------------------------------------- */

struct logs { double count, sum, squares; };
static void add_log(struct logs *l, int64_t tokens)
{
    if (tokens <= 0) return;
    double x = log((double)tokens);
    l->count++;
    l->sum += x;
    l->squares += x * x;
}
static double log_mean(const struct logs *l) { return l->sum / l->count; }
static double log_sigma(const struct logs *l) { return sqrt(l->squares / l->count - log_mean(l) * log_mean(l)); }

static void load_follows_the_hours(void **unused)
{
    (void)unused;
    static const double share[24] = {
        .0401, .0381, .0244, .0219, .0157, .0146, .0083, .0065, .0076, .0177, .0375, .0549,
        .0744, .0640, .0766, .0598, .0630, .0578, .0504, .0669, .0577, .0501, .0482, .0438};
    double of_hour[24] = {0};
    void *s = open_synth("rows=0 duration=100d day_cv=0", 11);
    struct kv_row row;
    int64_t rows = 0, api = 0, failed = 0, gpt4 = 0;
    while (next(s, &row) == 1) {
        of_hour[row.time_ns / 3600 / 1000000000 % 24]++;
        rows++;
        api += row.api;
        failed += row.failed;
        gpt4 += row.model[0] == 'G';
    }
    close_synth(s);
    expect_near("rows a day (stats 4, 10)", (double)rows / 100 / 23438, 1, 0.03);
    /* An average hour has some 530 bursts of about 100 rows: four errors of its share are 13 % of it. The rate is that
     * of starts; later turns of a conversation follow within hours and fill the trough a little. */
    for (int h = 0; h < 24; h++) {
        char what[40];
        snprintf(what, sizeof what, "share of hour %d (stat 9)", h);
        expect_near(what, of_hour[h] / (double)rows, share[h], 0.002 + 0.13 * share[h]);
    }
    expect_near("API share (stat 5)", (double)api / (double)rows, 0.538, 0.01);
    expect_near("failures (stat 2)", (double)failed / (double)rows, 0.0178, 0.0004);
    expect_near("GPT-4 share (stat 5)", (double)gpt4 / (double)rows, 0.158, 0.01);
}

static void load_changes_from_day_to_day(void **unused)
{
    (void)unused;
    enum { DAYS = 340 };
    static double of_day[DAYS];
    void *s = open_synth("rows=0 duration=340d rate=0.1req/s api_share=0", 11);
    struct kv_row row;
    int64_t rows = 0;
    while (next(s, &row) == 1) {
        of_day[row.time_ns / 86400 / 1000000000]++;
        rows++;
    }
    close_synth(s);
    double mean = (double)rows / DAYS, squares = 0, pairs = 0;
    for (int d = 0; d < DAYS; d++) squares += (of_day[d] - mean) * (of_day[d] - mean);
    for (int d = 1; d < DAYS; d++) pairs += (of_day[d] - mean) * (of_day[d - 1] - mean);
    /* Heavy-tailed and correlated levels: 340 days give the mean to 9 %, the CV to 12 %. */
    expect_near("rows a day / mean rate", mean / 8640, 1, 0.36);
    expect_near("CV of day totals (stat 10)", sqrt(squares / DAYS) / mean, 1.13, 0.5);
    expect_near("autocorrelation of day totals, lag 1 (stat 10)", pairs / squares, 0.36, 0.22);
}

struct history { int64_t turns, last_ns, last_elapsed_ns, context; };

/* Conversations alone, under the lengths of one file. */
static void check_conversations(const char *set, const double in_fit[2][2], const double out_fit[2][2],
                                const double elapsed[2])
{
    void *s = open_synth(set, 5);
    struct kv_row row;
    struct logs in[2] = {{0}}, out[2] = {{0}};
    struct kv_tally turns = {0}, gap_s = {0}, think_s = {0}, grown = {0};
    struct kv_map index;
    KV_VEC(struct history) all = {0};
    double pairs = 0, extending = 0, elapsed_sum[2] = {0}, served[2] = {0}, tokens[2] = {0};
    kv_map_open(&index, 1024);
    while (next(s, &row) == 1) {
        int model = row.model[0] == 'G';
        add_log(&in[model], row.input_tokens);
        add_log(&out[model], row.output_tokens);
        uint64_t key = kv_hash_text(row.session);
        uint32_t at = kv_map_get(&index, key);
        if (at == KV_NONE) {
            at = (uint32_t)all.count;
            kv_map_put(&index, key, at);
            struct history fresh = {0};
            kv_vec_push(&all, fresh);
        }
        struct history *h = &all.at[at];
        assert_int_equal(row.turn, h->turns);
        assert_int_equal(row.think_ns < 0, h->turns == 0);
        if (h->turns++) {
            int64_t gap_ns = row.time_ns - h->last_ns;
            kv_tally_add(&gap_s, gap_ns / 1000000000);
            assert_true(gap_ns >= h->last_elapsed_ns);       /* think time is never negative (stat 14) */
            kv_tally_add(&think_s, (gap_ns - h->last_elapsed_ns) / 1000000000);
        }
        h->last_ns = row.time_ns;
        h->last_elapsed_ns = row.elapsed_ns;
        if (row.failed) continue;
        served[model]++;
        elapsed_sum[model] += (double)row.elapsed_ns / 1e9;
        tokens[model] += (double)row.output_tokens;
        if (h->context > 0) {
            pairs++;
            extending += row.input_tokens >= h->context;
            if (row.input_tokens >= h->context) kv_tally_add(&grown, row.input_tokens - h->context);
        }
        h->context = row.input_tokens + row.output_tokens;
    }
    close_synth(s);
    /* Sessions that start near the end are cut; they are 0.2 % of all. */
    for (size_t i = 0; i < all.count; i++) kv_tally_add(&turns, all.at[i].turns);
    for (int m = 0; m < 2; m++) {
        expect_near("log-mean of prompts (stat 13)", log_mean(&in[m]), in_fit[m][0], 0.10);
        expect_near("log-sigma of prompts (stat 13)", log_sigma(&in[m]), in_fit[m][1], 0.12);
        expect_near("log-mean of responses (stat 13)", log_mean(&out[m]), out_fit[m][0], 0.03);
        expect_near("log-sigma of responses (stat 13)", log_sigma(&out[m]), out_fit[m][1], 0.03);
        expect_near("response tokens/s (stat 16)", tokens[m] / elapsed_sum[m], m ? 8.7 : 52, m ? 0.3 : 2);
        expect_near("elapsed (stat 16)", elapsed_sum[m] / served[m] / elapsed[m], 1, 0.25);
    }
    expect_near("turns, mean (stat 14)", kv_tally_mean(&turns), 2.92, 0.15);
    expect_near("turns, p50", kv_tally_percentile(&turns, 50), 2, 0);
    expect_near("turns, p90", kv_tally_percentile(&turns, 90), 5, 1);
    expect_near("turns, p99", kv_tally_percentile(&turns, 99), 20, 1.5);
    expect_near("turns, max", (double)turns.max, 24, 0);
    expect_near("single turns", (double)turns.times.at[1] / (double)turns.count, 0.44, 0.02);
    expect_near("gap between turns, p50 (stat 14)", kv_tally_percentile(&gap_s, 50), 123, 10);
    expect_near("gap between turns, p90", kv_tally_percentile(&gap_s, 90), 1447, 160);
    expect_near("gap between turns, mean", kv_tally_mean(&gap_s), 536, 30);
    expect_near("think time, p50", kv_tally_percentile(&think_s, 50), 116, 5);
    expect_near("think time, mean", kv_tally_mean(&think_s), 529, 25);
    expect_near("turns that extend (stat 15)", extending / pairs, 0.73, 0.01);
    expect_near("new tokens, p50 (stat 15)", kv_tally_percentile(&grown, 50), 34, 2);
    expect_near("new tokens, p90", kv_tally_percentile(&grown, 90), 133, 6);
    kv_tally_close(&turns);
    kv_tally_close(&gap_s);
    kv_tally_close(&think_s);
    kv_tally_close(&grown);
    kv_map_close(&index);
    kv_vec_close(&all);
}

static void conversations_have_file_1_lengths(void **unused)
{
    (void)unused;
    const double in[2][2] = {{5.45, 1.55}, {5.60, 1.36}}, out[2][2] = {{5.06, 1.35}, {5.05, 1.16}};
    /* File 1 has no elapsed times: what its longer responses take at the speeds of file 3. */
    const double elapsed[2] = {7.3, 35.1};
    check_conversations("rows=300000 api_share=0", in, out, elapsed);
}

static void conversations_have_file_3_lengths(void **unused)
{
    (void)unused;
    const double in[2][2] = {{5.36, 1.28}, {5.89, 1.68}}, out[2][2] = {{4.37, 1.16}, {5.04, 1.24}};
    const double elapsed[2] = {2.6, 34};
    check_conversations("rows=300000 api_share=0 lengths=burstgpt_3", in, out, elapsed);
}

static void lengths_of_all_rows_are_bimodal(void **unused)
{
    (void)unused;
    void *s = open_synth("rows=300000 day_cv=0", 6);
    struct kv_row row;
    struct kv_tally in = {0}, out = {0};
    while (next(s, &row) == 1) {
        kv_tally_add(&in, row.input_tokens);
        kv_tally_add(&out, row.output_tokens);
        assert_in_range(row.input_tokens, 0, 31400);          /* stat 7 */
        assert_in_range(row.output_tokens, 0, 12500);
        assert_in_range(row.input_tokens + row.output_tokens, 0, 31900);
    }
    close_synth(s);
    /* Medians far below means (stat 5). The log-normal fits have longer tails than the rows, so that means of
     * responses lie higher than the published 122. */
    expect_near("prompt p50 (stat 5)", kv_tally_percentile(&in, 50), 74, 10);
    expect_near("prompt mean", kv_tally_mean(&in), 374, 100);
    expect_near("prompt p90", kv_tally_percentile(&in, 90), 1291, 500);
    expect_near("response p50", kv_tally_percentile(&out, 50), 14, 5);
    expect_near("response p90", kv_tally_percentile(&out, 90), 401, 80);
    expect_near("response mean", kv_tally_mean(&out), 122, 60);
    kv_tally_close(&in);
    kv_tally_close(&out);
}

static void api_bursts_look_like_the_one_published(void **unused)
{
    (void)unused;
    /* Bursts alone, far apart: the load of 0.01 requests/s comes in runs of 4 to 30 requests/s. */
    void *s = open_synth("rows=100000 api_share=1 rate=0.01req/s day_cv=0 day_cycle=false", 7);
    struct kv_row row;
    struct kv_tally in = {0}, out = {0};
    int64_t last = -1, zero = 0, near = 0, bursts = 0;
    while (next(s, &row) == 1) {
        int64_t gap = last < 0 ? INT64_MAX : row.time_ns - last;
        last = row.time_ns;
        zero += gap == 0;
        near += gap <= INT64_C(5) * 1000000000;
        bursts += gap > INT64_C(60) * 1000000000;
        if (row.failed) continue;
        kv_tally_add(&in, row.input_tokens);
        kv_tally_add(&out, row.output_tokens);
    }
    close_synth(s);
    expect_near("gaps of 0 s in a burst (window t=822291)", (double)zero / (double)near, 0.80, 0.15);
    expect_near("rows of a burst (assumed 100)", 100000 / (double)bursts, 100, 15);
    expect_near("prompt p50 (window)", kv_tally_percentile(&in, 50), 63, 5);
    expect_near("response p50 (window)", kv_tally_percentile(&out, 50), 3, 2);
    kv_tally_close(&in);
    kv_tally_close(&out);
}

/* The shape of gaps by moments, for starts of conversations at a steady hour: gamma of shape k has CV 1/sqrt(k). */
static double start_gap_shape(const char *start)
{
    char set[128];
    double count = 0, sum = 0, squares = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        snprintf(set, sizeof set, "rows=0 duration=55min api_share=0 day_cv=0 stamp=0s rate=1req/s start=%s", start);
        void *s = open_synth(set, seed);
        struct kv_row row;
        int64_t last = -1;
        while (next(s, &row) == 1) {
            if (row.turn) continue;
            if (last >= 0) {
                double gap = (double)(row.time_ns - last) / 1e9;
                count++;
                sum += gap;
                squares += gap * gap;
            }
            last = row.time_ns;
        }
        close_synth(s);
    }
    double mean = sum / count;
    return mean * mean / (squares / count - mean * mean);
}

static void gaps_are_gamma_by_period(void **unused)
{
    (void)unused;
    expect_near("shape in a quiet night hour (stat 12)", start_gap_shape("6h"), 0.41, 0.06);
    expect_near("shape in the morning (stat 12)", start_gap_shape("10h"), 0.80, 0.06);
    expect_near("shape on a busy day (stat 12)", start_gap_shape("14h"), 1.15, 0.25);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_longer_trace_begins_with_the_shorter),
        cmocka_unit_test(rows_and_duration_bound_the_trace),
        cmocka_unit_test(load_follows_the_hours),
        cmocka_unit_test(load_changes_from_day_to_day),
        cmocka_unit_test(conversations_have_file_1_lengths),
        cmocka_unit_test(conversations_have_file_3_lengths),
        cmocka_unit_test(lengths_of_all_rows_are_bimodal),
        cmocka_unit_test(api_bursts_look_like_the_one_published),
        cmocka_unit_test(gaps_are_gamma_by_period),
    };
    return cmocka_run_group_tests(tests, NULL, close_arena);
}

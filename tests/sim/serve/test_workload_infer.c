/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions drawn for rows that name none. Rows come from a reader made for the test, an array, and from real traces;
 * every choice is checked against a plain list that is searched from end to end. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <gsl/gsl_randist.h>

#include "sim/base/arena.h"
#include "sim/base/rng.h"
#include "sim/plug.h"
#include "sim/serve/workload.h"

#define NEIGHBOURS 64   /* docs/traces.md: sessions looked at on either side of the wanted time */
#define NS INT64_C(1000000000)
#define GAP_MEDIAN_S 123.0
#define GAP_SIGMA 1.92

/* --- rows in memory -------------------------------------------------------------------------------------- */

#define ROWS_MAX 20000
static struct kv_row rows[ROWS_MAX];
static int64_t row_count;

struct memory { int64_t next; };

static bool memory_open(void *state, const void *params, const struct kv_reader_env *env, struct kv_err *err)
{
    (void)state, (void)params, (void)env, (void)err;
    return true;
}

static int memory_next(void *state, struct kv_row *row, struct kv_err *err)
{
    struct memory *m = state;
    (void)err;
    if (m->next == row_count) return 0;
    *row = rows[m->next++];
    return 1;
}

static void memory_stats(const void *state, struct kv_reader_stats *stats)
{
    (void)state;
    *stats = (struct kv_reader_stats){0};
}

static void memory_close(void *state)
{
    (void)state;
}

static const struct kv_reader_ops memory = {
    .state_bytes = sizeof(struct memory), .open = memory_open, .next = memory_next, .stats = memory_stats,
    .close = memory_close,
};

static struct kv_row *add(int64_t time_ns, int64_t input, int64_t output, const char *session)
{
    struct kv_row *row = &rows[row_count++];
    *row = (struct kv_row){.time_ns = time_ns, .input_tokens = input, .output_tokens = output, .elapsed_ns = -1,
                           .think_ns = -1, .model = "", .session = session, .turn = -1, .slo_class = "",
                           .known_tokens = -1};
    return row;
}

static struct kv_workload_config fresh(double turns_mean, double extends_frac, double window_s)
{
    row_count = 0;
    return (struct kv_workload_config){
        .reader = &memory, .reader_name = "memory", .rate_scale = 1, .end_s = -1, .prefix = KV_PREFIX_SESSIONS,
        .infer = {.on = true, .turns_mean = turns_mean, .extends_frac = extends_frac, .window_s = window_s,
                  .gap_median_s = GAP_MEDIAN_S, .gap_sigma = GAP_SIGMA}};
}

/* Rows of mixed lengths, with calm hours and bursts of many rows of one instant. */
static void add_mixed(void)
{
    int64_t time_ns = 0;
    while (row_count < ROWS_MAX) {
        uint64_t dice = kv_mix64_pair(7, (uint64_t)row_count);
        int64_t gap_ns = (int64_t)(dice % 1000) * NS / 10;
        if (dice >> 16 & 3) gap_ns = 0;
        if (row_count % 4000 > 3000) gap_ns *= 100;
        time_ns += gap_ns;
        add(time_ns, 1 + (int64_t)(dice >> 20 & 2047), 1 + (int64_t)(dice >> 40 & 255), "");
    }
}

/* --- reading --------------------------------------------------------------------------------------------- */

static struct kv_request request[ROWS_MAX + 1], other[ROWS_MAX + 1];
static struct kv_workload_stats stats;
static int64_t used_bytes;   /* by the workload when it was read */

static int64_t read_into(struct kv_request *to, const struct kv_workload_config *config, uint64_t seed)
{
    struct kv_err err = {0};
    int64_t count = 0;
    int got;
    int64_t before_bytes = kv_memory_used_bytes();
    struct kv_workload *w = kv_workload_open(config, seed, NULL, 0, &err);
    if (!w) fail_msg("%s: %s", err.where, err.text);
    while ((got = kv_workload_next(w, &to[count], &err)) == 1) assert_true(count++ < ROWS_MAX);
    if (got < 0) fail_msg("%s: %s", err.where, err.text);
    kv_workload_stats(w, &stats);
    used_bytes = kv_memory_used_bytes() - before_bytes;
    kv_workload_close(w);
    assert_int_equal(kv_memory_used_bytes(), before_bytes);
    return count;
}

static int64_t context_of(const struct kv_request *r)
{
    return (int64_t)r->input_tokens + r->output_tokens;
}

/* --- the rule, on a plain list --------------------------------------------------------------------------- */

static int64_t list[ROWS_MAX];   /* requests that are the last turn of a drawn session, in order; none forgotten */
static int64_t list_count;

/* What is drawn for a row; the gap only where it continues. */
struct draws { bool continues, extends; int64_t gap_ns; };

static struct draws draw(const struct kv_infer_config *c, uint64_t seed, int64_t row)
{
    struct kv_rng rng;
    gsl_rng *r = kv_rng_at(&rng, seed, kv_stream("workload.infer"), (uint64_t)row);
    struct draws d = {.continues = gsl_rng_uniform(r) < 1 - 1 / c->turns_mean};
    d.extends = gsl_rng_uniform(r) < c->extends_frac;
    double gap_s = gsl_ran_lognormal(r, log(c->gap_median_s), c->gap_sigma);
    d.gap_ns = gap_s < c->window_s ? llround(gap_s * 1e9) : llround(c->window_s * 1e9);
    return d;
}

/* The place in the list that request i continues: of the 64 open ones next before the wanted time and the 64 next
 * after it, the closest with at most that context; -1 when there is none. */
static int64_t search_list(int64_t i, int64_t gap_ns, int64_t context_max, int64_t window_ns)
{
    int64_t now_ns = request[i].arrival_ns, wanted_ns = now_ns - gap_ns, after = 0, best = -1, best_ns = INT64_MAX;
    while (after < list_count && request[list[after]].arrival_ns <= wanted_ns) after++;
    for (int64_t k = after - 1; k >= 0 && k >= after - NEIGHBOURS; k--) {
        const struct kv_request *r = &request[list[k]];
        if (now_ns - r->arrival_ns > window_ns || context_of(r) > context_max) continue;
        if (wanted_ns - r->arrival_ns >= best_ns) continue;
        best = k;
        best_ns = wanted_ns - r->arrival_ns;
    }
    for (int64_t k = after; k < list_count && k < after + NEIGHBOURS; k++) {
        const struct kv_request *r = &request[list[k]];
        if (now_ns - r->arrival_ns > window_ns || context_of(r) > context_max) continue;
        if (r->arrival_ns - wanted_ns >= best_ns) continue;
        best = k;
        best_ns = r->arrival_ns - wanted_ns;
    }
    return best;
}

static bool any_fits(int64_t i, int64_t context_max, int64_t window_ns)
{
    for (int64_t k = 0; k < list_count; k++) {
        const struct kv_request *r = &request[list[k]];
        if (request[i].arrival_ns - r->arrival_ns <= window_ns && context_of(r) <= context_max) return true;
    }
    return false;
}

struct found { int64_t sessions, later, extending, too_far, apart; };

/* The gap that each request has to the turn before it, of those from `from_ns` on. */
static int64_t gap_ns[ROWS_MAX], gap_count, gap_from_ns;

/* Request i is a turn of the session of `before`. */
static void check_later_turn(int64_t i, int64_t before, bool extends)
{
    const struct kv_request *r = &request[i], *b = &request[before];
    assert_int_equal(r->session, b->session);
    assert_int_equal(r->turn, b->turn + 1);
    assert_true(r->prefix.shared_stream == b->prefix.shared_stream);
    assert_int_equal(r->prefix.own_stream == b->prefix.own_stream, extends);
    if (extends) assert_true(r->input_tokens >= context_of(b));
    if (r->arrival_ns >= gap_from_ns) gap_ns[gap_count++] = r->arrival_ns - b->arrival_ns;
}

/* Checks every request of a trace without session ids, at its own rate. */
static struct found check(int64_t count, const struct kv_workload_config *c, uint64_t seed)
{
    struct found found = {0};
    int64_t window_ns = llround(c->infer.window_s * 1e9);
    list_count = gap_count = 0;
    for (int64_t i = 0; i < count; i++) {
        const struct kv_request *r = &request[i];
        if (r->session == 0) {   /* failed, or of an API */
            assert_int_equal(r->prefix.known_tokens, 0);
            found.apart++;
            continue;
        }
        assert_int_equal(r->prefix.known_tokens, context_of(r));
        assert_int_equal(r->prefix.shared_tokens, c->system_tokens);
        struct draws d = draw(&c->infer, seed, r->trace_row);
        int64_t context_max = d.extends ? r->input_tokens : INT64_MAX;
        int64_t place = d.continues ? search_list(i, d.gap_ns, context_max, window_ns) : -1;
        if (place < 0) {
            assert_int_equal(r->session, ++found.sessions);
            assert_int_equal(r->turn, 0);
            for (int64_t j = i - 1; j >= 0 && j > i - 100; j--)
                assert_true(r->prefix.own_stream != request[j].prefix.own_stream);
            found.too_far += d.continues && any_fits(i, context_max, window_ns);
        } else {
            check_later_turn(i, list[place], d.extends);
            list_count--;
            memmove(&list[place], &list[place + 1], (size_t)(list_count - place) * sizeof *list);
            found.later++;
            found.extending += d.extends;
        }
        list[list_count++] = i;
    }
    assert_int_equal(stats.sessions, found.sessions);
    assert_int_equal(stats.turns_extending, found.extending);
    assert_int_equal(stats.turns_not_extending, found.later - found.extending);
    return found;
}

/* --- tests ----------------------------------------------------------------------------------------------- */

static void turns_and_extending_share_are_as_asked(void **unused)
{
    (void)unused;
    struct kv_workload_config c = fresh(2.72, 0.73, 1800);
    for (int64_t i = 0; i < ROWS_MAX; i++) add(i * NS, 100 + 2 * i, 1, "");   /* each row can hold any before it */
    assert_int_equal(read_into(request, &c, 1), ROWS_MAX);
    struct found f = check(ROWS_MAX, &c, 1);
    /* Four standard errors of the shares: sqrt(0.37 * 0.63 / 20,000) and sqrt(0.73 * 0.27 / 12,600). */
    assert_true(fabs((double)f.sessions / ROWS_MAX - 1 / 2.72) < 4 * 0.0034);
    assert_true(fabs((double)f.extending / (double)f.later - 0.73) < 4 * 0.0040);
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* A row a second, each able to hold any before it: where the window lies behind, the session of any gap is there. */
static void gaps_on_a_dense_stream_follow_the_law(void **unused)
{
    (void)unused;
    struct kv_workload_config c = fresh(2.72, 0.73, 1800);
    for (int64_t i = 0; i < ROWS_MAX; i++) add(i * NS, 100 + 2 * i, 1, "");
    read_into(request, &c, 1);
    gap_from_ns = 1800 * NS;
    check(ROWS_MAX, &c, 1);
    gap_from_ns = 0;
    assert_true(gap_count > 11000);
    qsort(gap_ns, (size_t)gap_count, sizeof *gap_ns, by_value);
    double p50_s = 1e-9 * (double)gap_ns[gap_count / 2], p90_s = 1e-9 * (double)gap_ns[gap_count * 9 / 10];
    /* Four standard errors of the logarithm: 1.92 sqrt(p (1 - p) / 11,000) / (density of the normal law there). */
    assert_true(fabs(log(p50_s / 123)) < 4 * 0.023);
    assert_true(fabs(log(p90_s / 1447)) < 4 * 0.031);
    int64_t cut = 0;   /* the 8.1 % beyond 1,800 s come near the end of the window, none later */
    while (cut < gap_count && gap_ns[gap_count - 1 - cut] > 1780 * NS) cut++;
    assert_true(fabs((double)cut / (double)gap_count - 0.081) < 4 * 0.0026);
    assert_true(gap_ns[gap_count - 1] <= 1800 * NS);
}

static void each_choice_is_the_closest_that_fits(void **unused)
{
    (void)unused;
    struct kv_workload_config c = fresh(2.72, 0.73, 60);
    c.system_tokens = 48;
    add_mixed();
    assert_int_equal(read_into(request, &c, 1), ROWS_MAX);
    struct found f = check(ROWS_MAX, &c, 1);
    assert_int_equal(f.apart, 0);
    assert_true(f.extending > ROWS_MAX / 20 && f.later - f.extending > ROWS_MAX / 20);
    assert_true(f.sessions > ROWS_MAX / 4);
    c.infer.turns_mean = 1e6;
    c.infer.extends_frac = 1;
    c.infer.window_s = 1e6;
    assert_int_equal(read_into(request, &c, 2), ROWS_MAX);
    f = check(ROWS_MAX, &c, 2);
    assert_int_equal(f.extending, f.later);
    assert_true(f.too_far > 0);   /* the 64 were too few at times */
}

/* Long runs of gaps in the list, in the middle and at either end. */
static void the_order_holds_whatever_the_law(void **unused)
{
    (void)unused;
    const struct { double turns_mean, extends_frac, window_s, median_s, sigma; } law[] = {
        {1e6, 0.2, 300, 100, 0},      /* all at one distance */
        {1e6, 0.2, 300, 100, 10},     /* half at once, half at the end of the window */
        {1e6, 0, 3000, 1e-9, 0},      /* always the last active */
        {1.5, 0.5, 3000, 1e9, 0},     /* always the oldest */
        {1.1, 1, 1e5, 1000, 2},       /* nearly all open */
    };
    for (size_t k = 0; k < sizeof law / sizeof *law; k++) {
        struct kv_workload_config c = fresh(law[k].turns_mean, law[k].extends_frac, law[k].window_s);
        c.infer.gap_median_s = law[k].median_s;
        c.infer.gap_sigma = law[k].sigma;
        add_mixed();
        assert_int_equal(read_into(request, &c, k), ROWS_MAX);
        assert_true(check(ROWS_MAX, &c, k).later > ROWS_MAX / 100);
    }
}

static void memory_is_that_of_the_window(void **unused)
{
    (void)unused;
    const double turns_mean[] = {1, 2.72, 1e6};
    for (int k = 0; k < 3; k++) {
        struct kv_workload_config c = fresh(turns_mean[k], 0.5, 100);
        read_into(request, &c, 1);
        int64_t empty_bytes = used_bytes;
        for (int64_t i = 0; i < ROWS_MAX; i++) add(i * NS, 1000, 10, "");
        read_into(request, &c, 1);
        assert_true(stats.sessions > ROWS_MAX / 110 || k == 2);
        /* 101 sessions at most, as many gaps and 64, twice that by doubling, 48 bytes each */
        assert_true(used_bytes - empty_bytes <= 2 * (2 * 101 + 64) * 48);
    }
}

static void a_session_stays_open_for_the_window(void **unused)
{
    (void)unused;
    struct kv_workload_config c = fresh(1e6, 0, 10);   /* always continues, never extends */
    c.rate_scale = 3;                                  /* the window is of trace time */
    const int64_t time_ns[] = {0, 10 * NS, 20 * NS + 1, 30 * NS + 1};
    for (int i = 0; i < 4; i++) add(time_ns[i], 1000, 10, "");
    assert_int_equal(read_into(request, &c, 1), 4);
    assert_int_equal(request[1].session, 1);
    assert_int_equal(request[2].session, 2);
    assert_int_equal(request[3].session, 2);
    c.infer.turns_mean = 1;   /* never continues */
    assert_int_equal(read_into(request, &c, 1), 4);
    for (uint32_t i = 0; i < 4; i++) assert_int_equal(request[i].session, i + 1);
}

static void a_turn_that_does_not_extend_keeps_the_system_tokens_only(void **unused)
{
    (void)unused;
    struct kv_workload_config c = fresh(1e6, 0, 10);
    c.system_tokens = 64;
    add(0, 200, 56, "");
    add(NS, 900, 10, "");   /* could hold the first turn, and was drawn not to */
    read_into(request, &c, 1);
    assert_int_equal(request[1].session, request[0].session);
    for (int32_t block = 0; block < 8; block++)
        assert_int_equal(kv_prefix_key(&request[0].prefix, block, 16) == kv_prefix_key(&request[1].prefix, block, 16),
                         block < 4);
    c.infer.extends_frac = 1;
    read_into(request, &c, 1);
    assert_int_equal(kv_prefix_known_blocks(&request[0].prefix, 256, 16), 16);   /* the response included */
    for (int32_t block = 0; block < 16; block++)
        assert_true(kv_prefix_key(&request[0].prefix, block, 16) == kv_prefix_key(&request[1].prefix, block, 16));
}

static void the_draws_of_a_row_are_its_own(void **unused)
{
    (void)unused;
    struct kv_workload_config c = fresh(2.72, 0.73, 60);
    add_mixed();
    const size_t bytes = ROWS_MAX * sizeof *request;
    read_into(request, &c, 1);
    read_into(other, &c, 1);
    assert_memory_equal(request, other, bytes);
    c.limit_requests = 5000;   /* a shorter trace begins alike */
    assert_int_equal(read_into(other, &c, 1), 5000);
    assert_memory_equal(request, other, 5000 * sizeof *request);
    c.limit_requests = 0;
    read_into(other, &c, 2);
    int64_t differ = 0;
    for (int64_t i = 0; i < ROWS_MAX; i++) differ += request[i].session != other[i].session;
    assert_true(differ > ROWS_MAX / 2);
    fresh(0, 0, 0);   /* that a row takes no part changes none of the later draws: it opens or continues as before */
    for (int64_t i = 0; i < ROWS_MAX; i++) add(i, 100 + 2 * i, 1, "");
    read_into(request, &c, 1);
    rows[0].api = true;
    read_into(other, &c, 1);
    int64_t first = 2;
    while (request[first].turn > 0) first++;   /* from here on both have an open session */
    for (int64_t i = first; i < ROWS_MAX; i++) assert_int_equal(request[i].turn == 0, other[i].turn == 0);
}

static void named_sessions_api_rows_and_failed_rows_take_no_part(void **unused)
{
    (void)unused;
    struct kv_workload_config c = fresh(1e6, 1, 1e6), off = c;
    off.infer = (struct kv_infer_config){0};
    c.system_prompts.count = off.system_prompts.count = 2;
    c.system_prompts.tokens = off.system_prompts.tokens = 32;
    c.system_prompts.zipf = off.system_prompts.zipf = 1;
    add(0, 100, 10, "a");
    add(1, 200, 10, "");                     /* opens: "a" was not drawn */
    add(2, 300, 10, "a");
    add(3, 400, 10, "")->api = true;
    add(4, 400, 10, "")->failed = true;
    add(5, 0, 10, "");                       /* no prompt: not served either */
    add(6, 210, 10, "");                     /* continues row 1 and no other */
    assert_int_equal(read_into(request, &c, 1), 7);
    const uint32_t session[] = {1, 2, 1, 0, 0, 0, 2};
    const uint16_t turn[] = {0, 0, 1, 0, 0, 0, 1};
    for (int i = 0; i < 7; i++) {
        assert_int_equal(request[i].session, session[i]);
        assert_int_equal(request[i].turn, turn[i]);
    }
    assert_true(request[6].prefix.own_stream == request[1].prefix.own_stream);
    assert_int_equal(stats.sessions, 2);
    assert_int_equal(stats.system_prompt_requests, 1);
    assert_non_null(strstr(stats.assumptions, "2 conversation rows without a session were drawn into 1 sessions"));
    assert_non_null(strstr(stats.assumptions, "1 - 1/1e+06"));
    assert_non_null(strstr(stats.assumptions, "at most 1e+06 s old, that closest to a drawn gap (log-normal, median "
                           "123 s, sigma 1.92, cut to that), with chance 1 as a turn that extends"));
    assert_int_equal(read_into(other, &off, 1), 7);
    for (int i = 0; i < 6; i++)   /* off, those rows are as they were */
        if (i != 1) assert_memory_equal(&request[i].prefix, &other[i].prefix, sizeof other[i].prefix);
    assert_int_equal(other[1].session, 0);
    assert_int_equal(other[6].session, 0);
    assert_int_equal(stats.system_prompt_requests, 3);
    assert_null(strstr(stats.assumptions, "drawn"));
}

static void only_prefix_sessions_has_use_for_them(void **unused)
{
    (void)unused;
    struct kv_workload_config c = fresh(2, 0.5, 60);
    struct kv_err err = {0};
    c.prefix = KV_PREFIX_NONE;
    assert_null(kv_workload_open(&c, 1, NULL, 0, &err));
    assert_int_equal(err.code, KV_ECONFIG);
    assert_string_equal(err.where, "workload.prefix.infer");
}

static void the_longest_statement_fits(void **unused)
{
    (void)unused;
    struct kv_workload_config c = fresh(123456.789, 0.123456, 123456789.5);
    c.infer.gap_median_s = 123456.789;
    c.infer.gap_sigma = 1.23456789;
    c.system_tokens = 1 << 24;
    c.system_prompts.count = 1000;
    c.system_prompts.tokens = 1 << 24;
    c.system_prompts.zipf = 1.2345678;
    c.jitter_s = 1234567.5;
    for (int i = 0; i < 9999; i++) add(i, 1000, 0, "");
    read_into(request, &c, 1);
    assert_true(strlen(stats.assumptions) < sizeof stats.assumptions - 100);   /* room for larger counts */
    assert_non_null(strstr(stats.assumptions, "9999 rows without prompt or response tokens count as failed"));
}

/* --- real traces ----------------------------------------------------------------------------------------- */

static void check_trace(const char *format, const char *name, int64_t drawn, int64_t apart)
{
    char path[4096];
    const char *shared = getenv("KVSIM_SHARED");
    snprintf(path, sizeof path, "%s/traces/%s", shared ? shared : "../shared", name);
    if (access(path, R_OK) != 0) {
        printf("SKIP: %s is absent\n", path);
        skip();
    }
    struct kv_workload_config c = fresh(2.72, 0.73, 1800);
    c.reader = kv_plugin_ops(reader, kv_plugin_find(KV_FAMILY_reader, format));
    c.reader_name = format;
    c.trace = path;
    int64_t count = read_into(request, &c, 1);
    struct found f = check(count, &c, 1);
    assert_int_equal(f.apart, apart);
    assert_int_equal(f.sessions + f.later, drawn);
    assert_true((double)drawn < 2.9 * (double)f.sessions && drawn > f.sessions);
    assert_true((double)f.extending < 0.8 * (double)f.later && f.extending > 0);
}

static void azure_rows_follow_the_rule(void **unused)
{
    (void)unused;
    check_trace("azure", "azure/AzureLLMInferenceTrace_conv.csv", 19366, 0);
}

static void burstgpt_rows_without_ids_follow_the_rule(void **unused)
{
    (void)unused;
    check_trace("burstgpt", "burstgpt/BurstGPT_1_rows000-266.csv", 254, 13);   /* 2 of an API, 11 failed */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(turns_and_extending_share_are_as_asked),
        cmocka_unit_test(gaps_on_a_dense_stream_follow_the_law),
        cmocka_unit_test(each_choice_is_the_closest_that_fits),
        cmocka_unit_test(the_order_holds_whatever_the_law),
        cmocka_unit_test(memory_is_that_of_the_window),
        cmocka_unit_test(a_session_stays_open_for_the_window),
        cmocka_unit_test(a_turn_that_does_not_extend_keeps_the_system_tokens_only),
        cmocka_unit_test(the_draws_of_a_row_are_its_own),
        cmocka_unit_test(named_sessions_api_rows_and_failed_rows_take_no_part),
        cmocka_unit_test(only_prefix_sessions_has_use_for_them),
        cmocka_unit_test(the_longest_statement_fits),
        cmocka_unit_test(azure_rows_follow_the_rule),
        cmocka_unit_test(burstgpt_rows_without_ids_follow_the_rule),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

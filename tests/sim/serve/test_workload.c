/* SPDX-License-Identifier: Apache-2.0 */
/* From rows to requests. The rows come from a reader made for the test: an array. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sim/serve/workload.h"

/* --- a reader of rows in memory -------------------------------------------------------------------------- */

#define ROWS_MAX 20000
static struct kv_row rows[ROWS_MAX];
static int64_t row_count, bad_at;   /* bad_at: index of a row that cannot be read, -1 none */

struct memory { int64_t next; bool skip_bad_rows; struct kv_reader_stats stats; };

static bool memory_open(void *state, const void *params, const struct kv_reader_env *env, struct kv_err *err)
{
    (void)params;
    (void)err;
    ((struct memory *)state)->skip_bad_rows = env->skip_bad_rows;
    return true;
}

static int memory_next(void *state, struct kv_row *row, struct kv_err *err)
{
    struct memory *m = state;
    if (m->next == bad_at) {
        m->next++;
        m->stats.bad_rows++;
        if (!m->skip_bad_rows) return kv_fail(err, KV_ETRACE, "memory:99", "damaged"), -1;
    }
    if (m->next == row_count) return 0;
    *row = rows[m->next++];
    m->stats.rows++;
    return 1;
}

static void memory_stats(const void *state, struct kv_reader_stats *stats)
{
    *stats = ((const struct memory *)state)->stats;
}

static void memory_close(void *state)
{
    (void)state;
}

static const struct kv_reader_ops memory = {
    .has_ids = true, .has_sessions = true, .state_bytes = sizeof(struct memory), .open = memory_open,
    .next = memory_next, .stats = memory_stats, .close = memory_close,
};

static void add(double time_s, int64_t input, int64_t output, const char *session)
{
    rows[row_count] = (struct kv_row){.line = row_count + 2, .time_ns = llround(time_s * 1e9), .input_tokens = input,
                                      .output_tokens = output, .elapsed_ns = -1, .think_ns = -1, .model = "",
                                      .session = session, .turn = -1, .slo_class = "", .known_tokens = -1};
    row_count++;
}

static struct kv_workload_config fresh(void)
{
    row_count = 0;
    bad_at = -1;
    return (struct kv_workload_config){.trace = "t.csv", .reader = &memory, .reader_name = "memory", .rate_scale = 1,
                                       .end_s = -1, .prefix = KV_PREFIX_SESSIONS};
}

/* --- helpers --------------------------------------------------------------------------------------------- */

static struct kv_request request[ROWS_MAX];
static struct kv_workload_stats stats;
static struct kv_err err;

static int64_t read_with_slo(const struct kv_workload_config *config, uint64_t seed, const struct kv_slo_class *slo,
                             int32_t slo_count)
{
    int64_t count = 0;
    int got;
    struct kv_workload *w = kv_workload_open(config, seed, slo, slo_count, &err);
    if (!w) return -1;
    while ((got = kv_workload_next(w, &request[count], &err)) == 1) count++;
    if (got == 0) assert_int_equal(kv_workload_next(w, &request[count], &err), 0);
    kv_workload_stats(w, &stats);
    kv_workload_close(w);
    return got < 0 ? -1 - count : count;
}

static int64_t read_all(const struct kv_workload_config *config)
{
    return read_with_slo(config, 1, NULL, 0);
}

/* Leading blocks that two requests share. */
static int32_t shared_blocks(const struct kv_request *a, const struct kv_request *b, int32_t block_tokens)
{
    int32_t most_a = kv_prefix_known_blocks(&a->prefix, a->input_tokens + a->output_tokens, block_tokens);
    int32_t most_b = kv_prefix_known_blocks(&b->prefix, b->input_tokens + b->output_tokens, block_tokens), i = 0;
    while (i < most_a && i < most_b
           && kv_prefix_key(&a->prefix, i, block_tokens) == kv_prefix_key(&b->prefix, i, block_tokens)) i++;
    return i;
}

/* --- times ----------------------------------------------------------------------------------------------- */

static void time_counts_from_the_first_row_kept(void **unused)
{
    (void)unused;
    struct kv_workload_config c = fresh();
    for (int i = 0; i < 10; i++) add(100 + i, 10, 5, "");
    c.start_s = 2;
    c.end_s = 6;
    assert_int_equal(read_all(&c), 4);   /* rows at 102 .. 105 */
    for (int i = 0; i < 4; i++) {
        assert_int_equal(request[i].arrival_ns, i * INT64_C(1000000000));
        assert_int_equal(request[i].trace_row, i + 3);
    }
    assert_int_equal(stats.dropped_outside_window, 2);
    assert_int_equal(stats.first_ns, INT64_C(102000000000));
    assert_int_equal(stats.last_ns, INT64_C(105000000000));
    assert_int_equal(stats.span_ns, INT64_C(3000000000));
    assert_int_equal(stats.input_tokens, 40);
    c.limit_requests = 3;
    assert_int_equal(read_all(&c), 3);
}

static void scaling_is_exact(void **unused)
{
    (void)unused;
    struct kv_workload_config c = fresh();
    add(0, 1, 1, "");
    add(10000000, 1, 1, "");
    c.rate_scale = 3;
    read_all(&c);
    assert_int_equal(request[1].arrival_ns, INT64_C(3333333333333333));   /* floored */
    c.rate_scale = 0.7;
    read_all(&c);
    assert_int_equal(request[1].arrival_ns, INT64_C(14285714285714285));
    c.rate_scale = 1e-6;   /* 317,000 years */
    assert_int_equal(read_all(&c), -2);
    assert_string_equal(err.where, "t.csv:3");
    assert_int_equal(err.code, KV_ETRACE);
    assert_non_null(strstr(err.text, "rate_scale 1e-06"));
    c.rate_scale = 0;
    assert_int_equal(read_all(&c), -1);
    assert_int_equal(err.code, KV_ECONFIG);
    c.rate_scale = NAN;
    assert_int_equal(read_all(&c), -1);
}

static void jitter_spreads_an_instant_and_keeps_the_order(void **unused)
{
    (void)unused;
    struct kv_workload_config c = fresh();
    for (int i = 0; i < ROWS_MAX - 1; i++) add(3 * (i / 100), 1, 1, "");
    c.jitter_s = 3;
    assert_int_equal(read_all(&c), row_count);
    double sum = 0, first = (double)request[0].arrival_ns;
    assert_true(first == 0);   /* time still counts from the first arrival */
    static int64_t before[ROWS_MAX];
    for (int64_t i = 0; i < row_count; i++) {
        before[i] = request[i].arrival_ns;
        if (i) assert_true(request[i].arrival_ns >= request[i - 1].arrival_ns);
        sum += (double)(request[i].arrival_ns - 3 * INT64_C(1000000000) * (i / 100));
    }
    /* Mean offset 1.5 s less that of the first row (the least of 100: 0.03 s), standard error 6 ms. */
    assert_true(fabs(sum / (double)row_count / 1e9 - 1.47) < 0.06);
    read_all(&c);
    for (int64_t i = 0; i < row_count; i++) assert_int_equal(request[i].arrival_ns, before[i]);
    read_with_slo(&c, 2, NULL, 0);
    int64_t same = 0;
    for (int64_t i = 0; i < row_count; i++) same += request[i].arrival_ns == before[i];
    assert_true(same < 10);
    assert_non_null(strstr(stats.assumptions, "spread over 3 s"));
}

static void jitter_never_passes_the_next_instant(void **unused)
{
    (void)unused;
    struct kv_workload_config c = fresh();
    for (int i = 0; i < 1000; i++) add(0.001 * i, 1, 1, "");
    c.jitter_s = 60;
    read_all(&c);
    for (int i = 1; i < 999; i++) {
        int64_t shifted = request[i].arrival_ns - i * INT64_C(1000000);   /* its own offset less the first row's */
        assert_in_range(shifted + 1000000, 0, 2000000);
        assert_true(request[i].arrival_ns >= request[i - 1].arrival_ns);
    }
}

/* --- sessions -------------------------------------------------------------------------------------------- */

static void a_turn_extends_when_it_can_hold_the_one_before(void **unused)
{
    (void)unused;
    struct kv_workload_config c = fresh();
    c.system_tokens = 64;
    add(0, 200, 56, "a");     /* 256 tokens known */
    add(1, 256, 44, "a");     /* exactly prompt + response: extends; 300 */
    add(2, 299, 10, "a");     /* one token short: a new version */
    add(3, 320, 10, "a");     /* extends the new version */
    add(4, 400, 10, "b");     /* another session */
    assert_int_equal(read_all(&c), 5);
    assert_int_equal(shared_blocks(&request[0], &request[1], 16), 16);   /* all of turn 0, response included */
    assert_int_equal(shared_blocks(&request[1], &request[2], 16), 4);    /* the system tokens */
    assert_int_equal(shared_blocks(&request[0], &request[2], 16), 4);
    assert_int_equal(shared_blocks(&request[2], &request[3], 16), 19);   /* floor(309 / 16) */
    assert_int_equal(shared_blocks(&request[3], &request[4], 16), 0);
    const uint32_t session[] = {1, 1, 1, 1, 2};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(request[i].session, session[i]);
        assert_int_equal(request[i].turn, i % 4);
    }
    assert_int_equal(stats.turns_extending, 2);
    assert_int_equal(stats.turns_not_extending, 1);
    assert_int_equal(stats.sessions, 2);
    assert_non_null(strstr(stats.assumptions, "2 of 3 turns"));
}

static void a_failed_turn_leaves_the_history_alone(void **unused)
{
    (void)unused;
    struct kv_workload_config c = fresh();
    add(0, 100, 60, "a");
    add(1, 0, 0, "a");
    rows[1].failed = true;
    add(2, 170, 10, "a");
    assert_int_equal(read_all(&c), 3);
    assert_true(request[1].failed);
    assert_int_equal(request[1].prefix.known_tokens, 0);
    assert_int_equal(request[2].turn, 2);
    assert_int_equal(shared_blocks(&request[0], &request[2], 16), 10);
    assert_int_equal(stats.failed, 1);
    assert_int_equal(stats.turns_extending, 1);
}

static void rows_without_a_session_share_nothing_unless_told(void **unused)
{
    (void)unused;
    struct kv_workload_config c = fresh();
    for (int i = 0; i < ROWS_MAX - 1; i++) add(i, i % 2 ? 40 : 1000, 10, "");
    read_all(&c);
    for (int i = 1; i < 1000; i++) assert_int_equal(request[i].prefix.known_tokens, 0);
    assert_non_null(strstr(stats.assumptions, "share nothing"));
    c.system_prompts.count = 3;
    c.system_prompts.tokens = 256;
    c.system_prompts.zipf = 1;
    read_all(&c);
    int64_t of_prompt[3] = {0}, kinds = 0;
    uint64_t stream[3] = {0};
    for (int64_t i = 0; i < row_count; i++) {
        const struct kv_prefix *p = &request[i].prefix;
        assert_int_equal(p->known_tokens, i % 2 ? 40 : 256);   /* never more than the prompt */
        int64_t k = 0;
        while (k < kinds && stream[k] != p->shared_stream) k++;
        if (k == kinds) assert_in_range(kinds, 0, 2), stream[kinds++] = p->shared_stream;
        of_prompt[k]++;
    }
    assert_int_equal(kinds, 3);
    /* Zipf with exponent 1: 6/11, 3/11, 2/11 of the rows; four standard errors are 1.4 %. */
    int64_t least = row_count, most = 0;
    for (int k = 0; k < 3; k++) {
        if (of_prompt[k] < least) least = of_prompt[k];
        if (of_prompt[k] > most) most = of_prompt[k];
    }
    assert_true(fabs((double)most / (double)row_count - 6.0 / 11) < 0.014);
    assert_true(fabs((double)least / (double)row_count - 2.0 / 11) < 0.014);
    assert_int_equal(stats.system_prompt_requests, row_count);
    assert_non_null(strstr(stats.assumptions, "3 system prompts of 256 tokens (Zipf 1)"));
}

/* --- ids of the trace ------------------------------------------------------------------------------------ */

static void ids_reach_the_request_and_local_ones_are_salted(void **unused)
{
    (void)unused;
    static const uint64_t ids[] = {5, 6, 7};
    struct kv_workload_config c = fresh();
    c.prefix = KV_PREFIX_TRACE;
    const char *session[] = {"a", "b", "a", ""};
    for (int i = 0; i < 4; i++) {
        add(i, 48, 5, session[i]);
        rows[i].ids = ids;
        rows[i].ids_count = 3;
        rows[i].ids_tokens = 16;
        rows[i].known_tokens = 48;
    }
    read_all(&c);
    assert_int_equal(shared_blocks(&request[0], &request[1], 16), 3);
    assert_int_equal(shared_blocks(&request[0], &request[3], 16), 3);
    assert_string_equal(stats.assumptions, "");
    for (int i = 0; i < 4; i++) rows[i].ids_local = true;
    read_all(&c);
    assert_int_equal(shared_blocks(&request[0], &request[1], 16), 0);
    assert_int_equal(shared_blocks(&request[0], &request[2], 16), 3);
    assert_int_equal(shared_blocks(&request[0], &request[3], 16), 0);
    c.prefix = KV_PREFIX_NONE;
    read_all(&c);
    assert_null(request[0].prefix.ids);
    assert_int_equal(request[2].session, 1);   /* session replay needs it all the same */
    assert_string_equal(stats.assumptions, "no request shares a prefix");
}

static void block_sizes_must_fit(void **unused)
{
    (void)unused;
    static const uint64_t ids[] = {5};
    struct kv_workload_config c = fresh();
    c.prefix = KV_PREFIX_TRACE;
    add(0, 24, 5, "");
    rows[0].ids = ids;
    rows[0].ids_count = 1;
    rows[0].ids_tokens = 24;
    for (c.block_tokens = 1; c.block_tokens <= 100; c.block_tokens++) {
        bool fits = 24 % c.block_tokens == 0 || c.block_tokens % 24 == 0;
        assert_int_equal(read_all(&c), fits ? 1 : -1);
        if (!fits) assert_int_equal(err.code, KV_ETRACE);
    }
    c.block_tokens = 16;
    read_all(&c);
    assert_string_equal(err.where, "t.csv:2");
    assert_non_null(strstr(err.text, "that fit: 12 and 24"));
    c.block_tokens = 50;
    read_all(&c);
    assert_non_null(strstr(err.text, "that fit: 48 and 72"));
    c.skip_bad_rows = true;   /* not a matter of one row */
    assert_int_equal(read_all(&c), -1);
    c.block_tokens = 0;
    assert_int_equal(read_all(&c), 1);
}

/* --- classes, failures, bad rows ------------------------------------------------------------------------- */

static void slo_classes_go_by_name(void **unused)
{
    (void)unused;
    const struct kv_slo_class slo[] = {{.name = "default"}, {.name = "chat"}};
    struct kv_workload_config c = fresh();
    add(0, 1, 1, "");
    add(1, 1, 1, "");
    rows[1].slo_class = "chat";
    rows[1].priority = 7;
    assert_int_equal(read_with_slo(&c, 1, slo, 2), 2);
    assert_int_equal(request[0].slo_class, 0);
    assert_int_equal(request[1].slo_class, 1);
    assert_int_equal(request[1].priority, 7);
    add(2, 1, 1, "");
    rows[2].slo_class = "chta";
    assert_int_equal(read_with_slo(&c, 1, slo, 2), -3);
    assert_string_equal(err.where, "t.csv:4");
    assert_string_equal(err.text, "slo_class 'chta' is not in the scenario (slo: default, chat)");
    assert_int_equal(read_with_slo(&c, 1, NULL, 0), 3);   /* a scenario without classes does not tell them apart */
    c.skip_bad_rows = true;
    assert_int_equal(read_with_slo(&c, 1, slo, 2), 2);
    assert_int_equal(stats.reader.bad_rows, 1);
}

static void rows_that_cannot_be_served_count_as_failed(void **unused)
{
    (void)unused;
    struct kv_workload_config c = fresh();
    add(0, 0, 5, "");
    add(1, 5, 0, "");
    add(2, 5, 5, "");
    assert_int_equal(read_all(&c), 3);
    assert_true(request[0].failed && request[1].failed && !request[2].failed);
    assert_int_equal(stats.failed, 2);
    assert_int_equal(stats.input_tokens, 5);
    assert_non_null(strstr(stats.assumptions, "2 rows without prompt or response tokens count as failed"));
    rows[2].input_tokens = INT64_C(1) << 30;
    assert_int_equal(read_all(&c), -3);
    assert_non_null(strstr(err.text, "tokens"));
}

static void bad_rows_stop_or_are_counted(void **unused)
{
    (void)unused;
    struct kv_workload_config c = fresh();
    for (int i = 0; i < 5; i++) add(i, 1, 1, "");
    bad_at = 2;
    assert_int_equal(read_all(&c), -3);
    assert_string_equal(err.text, "damaged");
    c.skip_bad_rows = true;
    assert_int_equal(read_all(&c), 4);
    assert_int_equal(stats.reader.bad_rows, 1);
    c.jitter_s = 1;
    assert_int_equal(read_all(&c), 4);
    c.skip_bad_rows = false;
    assert_int_equal(read_all(&c), -3);   /* the scout meets it first, the reader tells it */
}

static void ids_are_asked_for_only_where_there_are_some(void **unused)
{
    (void)unused;
    struct kv_workload_config c = fresh();
    struct kv_reader_ops without = memory;
    without.has_ids = false;
    c.reader = &without;
    c.prefix = KV_PREFIX_TRACE;
    assert_int_equal(read_all(&c), -1);
    assert_int_equal(err.code, KV_ECONFIG);
    assert_string_equal(err.where, "workload.prefix");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_counts_from_the_first_row_kept),
        cmocka_unit_test(scaling_is_exact),
        cmocka_unit_test(jitter_spreads_an_instant_and_keeps_the_order),
        cmocka_unit_test(jitter_never_passes_the_next_instant),
        cmocka_unit_test(a_turn_extends_when_it_can_hold_the_one_before),
        cmocka_unit_test(a_failed_turn_leaves_the_history_alone),
        cmocka_unit_test(rows_without_a_session_share_nothing_unless_told),
        cmocka_unit_test(ids_reach_the_request_and_local_ones_are_salted),
        cmocka_unit_test(block_sizes_must_fit),
        cmocka_unit_test(slo_classes_go_by_name),
        cmocka_unit_test(rows_that_cannot_be_served_count_as_failed),
        cmocka_unit_test(bad_rows_stop_or_are_counted),
        cmocka_unit_test(ids_are_asked_for_only_where_there_are_some),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

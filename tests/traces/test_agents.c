/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions of coding agents (reader claude_code): order of rows, sub-agents, ids, beginnings of sessions. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/arena.h"
#include "tests/support/read_trace.h"

static const char sample[] = "traces/sample/claude_code_tiny.jsonl";

#define ROWS_MAX 64
struct rows {
    int64_t count;
    struct kv_row row[ROWS_MAX];
    uint64_t ids[ROWS_MAX][64];
    char session[ROWS_MAX][32];
};

static void keep(void *state, const struct kv_row *row)
{
    struct rows *r = state;
    assert_true(r->count < ROWS_MAX && row->ids_count <= 64);
    r->row[r->count] = *row;
    memcpy(r->ids[r->count], row->ids, (size_t)row->ids_count * sizeof *row->ids);
    snprintf(r->session[r->count], sizeof r->session[0], "%s", row->session);
    r->count++;
}

static struct rows *read_sample(const char *set, uint64_t seed)
{
    struct rows *r = kv_arena_take(&arena, sizeof *r);
    kv_test_read(&arena, "claude_code", sample, set, seed, keep, r);
    assert_int_equal(r->count, 26);
    return r;
}

/* The rows of session_1: two sub-agents between its first and second turn. */
static void a_session_gives_its_calls_and_its_sub_agents(void **unused)
{
    (void)unused;
    /* line, time, prompt, elapsed, think in ms; think of a first row is of no meaning */
    static const int64_t expected[2][8][5] = {
        {{0, 0, 267, 1250, 0}, {1, 1500, 300, 1000, 250}, {2, 1500, 300, 1000, 250}, {1, 7500, 430, 1500, 5000},
         {2, 13000, 440, 1500, 10500}, {0, 20000, 397, 1500, 18500}, {0, 40000, 527, 1750, 18500},
         {0, 60000, 657, 2000, 18500}},
        {{0, 0, 267, 1250, 0}, {1, 10500, 300, 1000, 9250}, {2, 16000, 300, 1000, 14750}, {1, 16500, 430, 1500, 5000},
         {0, 20000, 397, 1500, 18500}, {2, 27500, 440, 1500, 10500}, {0, 40000, 527, 1750, 18500},
         {0, 60000, 657, 2000, 18500}},
    };
    for (int start = 0; start < 2; start++) {
        struct rows *r = read_sample(start ? "session_gaps=equal subagent_t=start" : "session_gaps=equal", 1);
        int64_t found = 0;
        for (int64_t i = 0; i < r->count; i++) {
            if (strcmp(r->session[i], "session_1") != 0) continue;
            const struct kv_row *row = &r->row[i];
            const int64_t *e = expected[start][found++];
            assert_int_equal(row->branch, e[0]);
            assert_int_equal(row->time_ns, (100000 + e[1]) * 1000000);   /* the second session, at 0.01 a second */
            assert_int_equal(row->input_tokens, e[2]);
            assert_int_equal(row->elapsed_ns, e[3] * 1000000);
            assert_int_equal(row->think_ns, e[4] * 1000000);
            assert_int_equal(row->ids_count, e[2] / 64);
            assert_true(row->ids_local);
            for (int64_t b = 0; b < row->ids_count; b++)
                assert_int_equal(r->ids[i][b], b < 3 ? b + 1 : row->branch ? 900 + 50 * row->branch + b - 3 : b + 1);
        }
        assert_int_equal(found, 8);
    }
}

/* Sessions 0 to 2 have 128 + 70 tokens of tools and system prompt, three blocks, of which two are tools; session 3 has
 * 192 + 70; sub-agents have 128 + 64. */
static void sessions_share_tools_and_system_prompt_when_asked(void **unused)
{
    (void)unused;
    struct rows *r = read_sample("share_system=true", 1);
    for (int64_t a = 0; a < r->count; a++)
        for (int64_t b = 0; b < a; b++) {
            bool fourth_a = r->session[a][8] == '3' && !r->row[a].branch;
            bool fourth_b = r->session[b][8] == '3' && !r->row[b].branch;
            bool agent_a = r->row[a].branch > 0, agent_b = r->row[b].branch > 0;
            if (strcmp(r->session[a], r->session[b]) == 0) continue;
            int64_t same = 0;
            while (same < r->row[a].ids_count && same < r->row[b].ids_count && r->ids[a][same] == r->ids[b][same])
                same++;
            assert_false(r->row[a].ids_local);
            /* As many tool tokens: two blocks; as many of both: the third one too. */
            assert_int_equal(same, fourth_a || fourth_b ? (fourth_a && fourth_b ? 3 : 0) : agent_a == agent_b ? 3 : 2);
        }
}

static void sessions_begin_at_their_rate(void **unused)
{
    (void)unused;
    struct rows *equal = read_sample("session_rate=2req/s session_gaps=equal", 1);
    int64_t first_ns[4] = {-1, -1, -1, -1};
    for (int64_t i = equal->count - 1; i >= 0; i--) first_ns[equal->session[i][8] - '0'] = equal->row[i].time_ns;
    for (int s = 0; s < 4; s++) assert_int_equal(first_ns[s], s * INT64_C(500000000));
    struct rows *one = read_sample("", 1), *same = read_sample("", 1), *other = read_sample("", 2);
    int64_t differ = 0;
    for (int64_t i = 0; i < one->count; i++) {
        assert_int_equal(one->row[i].time_ns, same->row[i].time_ns);
        differ += one->row[i].time_ns != other->row[i].time_ns;
    }
    assert_true(differ > 0);
}

/* On the real sessions: each begins with its main line, and the gaps between the beginnings are exponential. */
struct real { int64_t sessions, branches; double start_s[512]; char id[512][16]; };
static void see_real(void *state, const struct kv_row *row)
{
    struct real *r = state;
    int64_t s = 0;
    while (s < r->sessions && strcmp(r->id[s], row->session) != 0) s++;
    if (s == r->sessions) {
        assert_int_equal(row->branch, 0);
        assert_int_equal(row->line, s + 1);
        snprintf(r->id[s], sizeof r->id[0], "%s", row->session);
        r->start_s[r->sessions++] = (double)row->time_ns / 1e9;
    }
    assert_int_equal(row->ids_count, row->input_tokens / 64);
    r->branches += row->branch > 0;
}

static void real_sessions_begin_by_a_poisson_process(void **unused)
{
    (void)unused;
    const char *path = kv_test_shared(&arena, "traces/agentic/claude_code_sessions.jsonl.gz");
    struct real *r = kv_arena_take(&arena, sizeof *r);
    kv_test_read(&arena, "claude_code", path, "session_rate=0.5req/s", 7, see_real, r);
    assert_int_equal(r->sessions, 460);
    assert_true(r->branches > 42);
    /* Kolmogorov-Smirnov at 99.9 %: sqrt(n) D < 1.95. */
    double u[512], worst = 0;
    int64_t n = r->sessions - 1;
    for (int64_t i = 0; i < n; i++) u[i] = 1 - exp(-0.5 * (r->start_s[i + 1] - r->start_s[i]));
    for (int64_t i = 0; i < n; i++) {
        int64_t below = 0, equal = 0;
        for (int64_t k = 0; k < n; k++) below += u[k] < u[i], equal += u[k] == u[i];
        worst = fmax(worst, fmax(u[i] - (double)below / (double)n, (double)(below + equal) / (double)n - u[i]));
    }
    print_message("  %lld gaps: sqrt(n) D = %.3f\n", (long long)n, worst * sqrt((double)n));
    assert_true(worst * sqrt((double)n) < 1.95);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_gives_its_calls_and_its_sub_agents),
        cmocka_unit_test(sessions_share_tools_and_system_prompt_when_asked),
        cmocka_unit_test(sessions_begin_at_their_rate),
        cmocka_unit_test(real_sessions_begin_by_a_poisson_process),
    };
    return cmocka_run_group_tests(tests, NULL, close_arena);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Every trace of ../shared/traces against the table of statistics in its README: rows, failed rows, and mean, p50, p99
 * and maximum of prompts and responses, a percentile being sorted[floor(q n)]. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/support/arena.h"
#include "tests/support/read_trace.h"

struct lengths { double mean; int64_t p50, p99, max; };
static const struct trace {
    const char *reader, *file, *set;
    int64_t rows, failed;
    struct lengths input, output;
} traces[] = {
    {"burstgpt", "burstgpt/BurstGPT_1_rows000-266.csv", "", 267, 11, {587, 418, 1956, 1994}, {285, 245, 1656, 2019}},
    {"burstgpt", "burstgpt/BurstGPT_3_rows000-266.csv", "", 267, 1, {684, 291, 12570, 25085}, {175, 103, 862, 1101}},
    {"burstgpt", "burstgpt/BurstGPT_1_window_t822291_120req.csv", "", 120, 0, {64, 63, 77, 79}, {3.7, 3, 7, 7}},
    {"mooncake", "mooncake/conversation_trace.jsonl.gz", "", 12031, 0, {12035, 6909, 85401, 126195},
     {343, 350, 1120, 2000}},
    {"azure", "azure/AzureLLMInferenceTrace_conv.csv", "", 19366, 0, {1155, 1020, 4142, 14050}, {211, 129, 601, 1000}},
    {"ragpulse", "ragpulse/0_trace_days0-4.jsonl.gz", "", 5167, 0, {2937, 3142, 5269, 7712}, {277, 226, 909, 2183}},
    {"claude_code", "agentic/claude_code_sessions.jsonl.gz", "", 30382, 18, {116060, 98580, 509583, 880502},
     {440, 219, 3761, 18195}},
    {"claude_code", "agentic/origin_format_trace_0248.json", "", 14, 0, {858220 / 14., 0, 0, 0}, {3727 / 14., 0, 0, 0}},
    {"claude_code", "agentic/origin_format_trace_0515.json", "", 15, 0, {811254 / 15., 0, 0, 0}, {9953 / 15., 0, 0, 0}},
    {"blocks", "agentic/miniswe_blocks256B.jsonl.gz", "block_tokens=256 bytes_per_token=1", 402, 0,
     {24066, 15228, 138051, 145122}, {455, 394, 1174, 1560}},
    {"spans", "agentic/swebench_claude_code_spans.jsonl.gz", "", 2294, 148, {27541, 26319, 63092, 67657},
     {244, 98, 1755, 7566}},
    {"blocks", "sharegpt/sharegpt_llama31_8b_300_blocks16.jsonl.gz", "block_tokens=16", 300, 0,
     {857, 733, 2884, 3998}, {653, 633, 796, 1021}},
    {"lengths", "lengths/arxiv_summarization_llama2_lengths.csv.gz", "", 28257, 0, {2588, 2730, 3934, 4054},
     {291, 167, 3273, 4056}},
};

struct values { KV_VEC(int64_t) input, output; };

static void gather(void *state, const struct kv_row *row)
{
    struct values *v = state;
    kv_vec_push(&v->input, row->input_tokens);
    kv_vec_push(&v->output, row->output_tokens);
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void check(const struct trace *t, const char *what, int64_t *at, size_t count, int64_t sum,
                  const struct lengths *expected)
{
    qsort(at, count, sizeof *at, compare);
    double mean = (double)sum / (double)count, half = expected->mean < 10 ? 0.05 : 0.5;
    int64_t p50 = at[count / 2], p99 = at[(size_t)floor(0.99 * (double)count)], max = at[count - 1];
    bool good = fabs(mean - expected->mean) <= half;
    if (expected->max) good = good && p50 == expected->p50 && p99 == expected->p99 && max == expected->max;
    if (!good) fail_msg("%s: %s: mean %g, p50 %lld, p99 %lld, max %lld", t->file, what, mean, (long long)p50,
                        (long long)p99, (long long)max);
}

static void every_trace_has_the_lengths_of_its_readme(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof traces / sizeof traces[0]; i++) {
        const struct trace *t = &traces[i];
        struct values v = {0};
        const char *path = kv_test_shared(&arena, kv_arena_text(&arena, "traces/%s", t->file));
        struct kv_test_sums s = kv_test_read(&arena, t->reader, path, t->set, 1, gather, &v);
        assert_int_equal(s.rows, t->rows);
        assert_int_equal(s.failed, t->failed);
        check(t, "input", v.input.at, v.input.count, s.input, &t->input);
        check(t, "output", v.output.at, v.output.count, s.output, &t->output);
        kv_vec_close(&v.input);
        kv_vec_close(&v.output);
    }
}

static void files_say_what_they_hold(void **unused)
{
    (void)unused;
    struct kv_test_sums s = kv_test_read(&arena, "claude_code",
                                         kv_test_shared(&arena, "traces/agentic/claude_code_sessions.jsonl.gz"),
                                         "session_rate=1000req/s share_system=true", 3, NULL, NULL);
    assert_string_equal(s.stats.note, "460 sessions, 42 sub-agents");
    assert_int_equal(s.ids, 55080763);
    assert_int_equal(s.sessions_named, 30382);
    s = kv_test_read(&arena, "servegen", kv_test_shared(&arena, "traces/servegen/m-small_client_windows.csv.gz"),
                     "rows=100", 1, NULL, NULL);
    assert_string_equal(s.stats.note, "40095 windows of 43 clients");
    s = kv_test_read(&arena, "ragpulse", kv_test_shared(&arena, "traces/ragpulse/0_trace_days0-4.jsonl.gz"), "", 1,
                     NULL, NULL);
    assert_int_equal(s.parts, 51937);
    assert_int_equal(s.last_ns - s.first_ns, INT64_C(431998000000000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_trace_has_the_lengths_of_its_readme),
        cmocka_unit_test(files_say_what_they_hold),
    };
    return cmocka_run_group_tests(tests, NULL, close_arena);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The engine of sim/serve against the naive engine of tests/oracle: every field of every record and every counter,
 * bit for bit, over random scenarios and the whole Mooncake conversation trace. KVSIM_FULL=1 takes ten times the
 * scenarios and the trace in 16-token blocks as well. Some scenarios only:  test_oracle FIRST [LAST] */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sim/serve/workload.h"
#include "tests/support/compare_runs.h"
#include "tests/support/random_scenario.h"

#define SCENARIOS 240
#define SCENARIOS_FULL 2400
#define SCENARIOS_EACH 20      /* of them each of the first situations below must occur in so many */
#define SCENARIOS_RARE 5       /* ... and each of the others */

static bool full(void)
{
    const char *text = getenv("KVSIM_FULL");
    return text && !strcmp(text, "1");
}

/* --- Random scenarios --- */

#define SITUATIONS 22
#define SITUATIONS_MANY 7      /* the first must occur in many scenarios */
static const char *const situation[SITUATIONS] = {
    "preemption", "eviction", "same-tick arrivals", "rejection", "prefix hits", "one-token remainders",
    "arrival on a boundary", "chunked prompts", "unreferenced hits",
    "refusal because hits are evictable", "own blocks hit", "own blocks dropped", "private duplicates",
    "outputs not kept", "self-preemption", "idle and busy again", "steps within one tick", "unfinished",
    "failed rows", "tokens for preempted ones", "ends of preempted ones", "empty steps ahead",
};

static void count_situations(const struct kv_compared *o, int64_t met[SITUATIONS])
{
    const struct kv_counters *c = &o->counters;
    const struct kv_oracle_coverage *v = &o->coverage;
    const int64_t times[SITUATIONS] = {
        c->preemptions, c->blocks_evicted, v->same_tick_arrivals, c->rejected, c->hit_tokens, v->one_token_remainders,
        v->arrivals_on_boundary, v->chunked_prompts, v->unreferenced_hits, v->refusals_by_hits,
        v->own_hits, v->own_drops, v->private_blocks, v->forgotten_blocks, v->self_preemptions,
        v->idle_periods > 1, v->same_tick_boundaries, c->injected - c->finished - c->rejected - c->failed, c->failed,
        v->late_tokens, v->late_finishes, v->empty_steps,
    };
    for (int i = 0; i < SITUATIONS; i++) met[i] += times[i] > 0;
}

static bool run_number(uint64_t number, int64_t met[SITUATIONS])
{
    struct kv_random_scenario s;
    kv_random_scenario_draw(&s, number);
    struct kv_compared oracle = {0};
    bool good = kv_compare_runs(s.text, &s.config, s.requests, s.count, true, &oracle);
    if (good) count_situations(&oracle, met);
    kv_random_scenario_close(&s);
    return good;
}

static void engine_and_oracle_agree_on_random_scenarios(void **state)
{
    (void)state;
    int64_t met[SITUATIONS] = {0};
    uint64_t scenarios = full() ? SCENARIOS_FULL : SCENARIOS;
    for (uint64_t number = 0; number < scenarios; number++)
        if (!run_number(number, met)) fail_msg("scenario %llu", (unsigned long long)number);
    for (int i = 0; i < SITUATIONS; i++) {
        print_message("  %-40s in %4lld of %llu scenarios\n", situation[i], (long long)met[i],
                      (unsigned long long)scenarios);
        assert_true(met[i] >= (i < SITUATIONS_MANY ? SCENARIOS_EACH : SCENARIOS_RARE));
    }
}

/* --- The Mooncake conversation trace --- */

static int64_t load_trace(const char *path, struct kv_arena *arena, struct kv_request **requests)
{
    const struct kv_reader_ops *reader = kv_test_plugin("reader", "mooncake");
    struct kv_workload_config config = {
        .trace = path, .reader = reader, .reader_name = "mooncake",
        .reader_params = kv_test_params(arena, &reader->info), .prefix = KV_PREFIX_TRACE, .rate_scale = 1,
        .end_s = -1,
    };
    struct kv_err err = {0};
    struct kv_workload *workload = kv_workload_open(&config, 1, NULL, 0, &err);
    if (!workload) fail_msg("%s: %s", err.where, err.text);
    KV_VEC(struct kv_request) rows = {0};
    struct kv_request row;
    int got;
    while ((got = kv_workload_next(workload, &row, &err)) == 1) {
        uint64_t *ids = kv_arena_take(arena, row.prefix.ids_count * sizeof *ids + 1);
        memcpy(ids, row.prefix.ids, row.prefix.ids_count * sizeof *ids);
        row.prefix.ids = ids;
        row.index = (int64_t)rows.count;
        kv_vec_push(&rows, row);
    }
    if (got < 0) fail_msg("%s: %s", err.where, err.text);
    kv_workload_close(workload);
    *requests = kv_arena_take(arena, rows.count * sizeof **requests);
    memcpy(*requests, rows.at, rows.count * sizeof **requests);
    int64_t count = (int64_t)rows.count;
    kv_vec_close(&rows);
    return count;
}

static void compare_on_trace(int64_t block_tokens, int64_t hbm_blocks, const char *text)
{
    const char *shared = getenv("KVSIM_SHARED");
    struct kv_arena arena = {0};
    char *path = kv_arena_text(&arena, "%s/traces/mooncake/conversation_trace.jsonl.gz",
                               shared ? shared : "../shared");
    FILE *there = fopen(path, "rb");
    if (!there) {
        printf("SKIP: %s: %s is absent\n", text, path);
        kv_arena_close(&arena);
        skip();
    }
    fclose(there);

    /* Llama-3.1-8B on an H100, as models/data and models/gpus have them. */
    struct kv_model_shape model = {
        .name = "llama-3.1-8b", .attention = KV_ATTENTION_GQA, .layers = 32, .hidden = 4096, .heads = 32,
        .kv_heads = 8, .head_dim = 128, .intermediate = 14336, .vocabulary = 128256,
        .max_position_tokens = 131072, .dtype_bytes = 2, .kv_dtype_bytes = 2,
    };
    struct kv_gpu_spec gpu = {.name = "h100-sxm", .memory_bytes = INT64_C(80) << 30, .memory_Bps = 3.35e12,
                              .flops_bf16 = 989e12, .flops_fp8 = 1979e12, .link_Bps = 450e9};
    const struct kv_compute_ops *compute = kv_test_plugin("compute", "roofline");
    struct kv_sim_config config = {
        .seed = 42, .instance_count = 8, .tp = 1, .hbm_blocks = hbm_blocks,
        .engine = {.max_num_seqs = 256, .max_num_batched_tokens = 8192, .block_tokens = block_tokens,
                   .chunked_prefill = true, .enable_prefix_caching = true, .cache_outputs = true},
        .compute = compute, .compute_params = kv_test_params(&arena, &compute->info),
        .compute_env = {.model = &model, .gpu = &gpu, .tp = 1}, .evict = kv_test_plugin("evict", "lru"),
        .sched = kv_test_plugin("sched", "fcfs"), .route = kv_test_plugin("route", "round_robin"),
        .timeseries_s = -1, .time_limit_tk = KV_TICK_NEVER,
    };
    struct kv_request *requests;
    int64_t count = load_trace(path, &arena, &requests);
    assert_int_equal(count, 12031);
    struct kv_compared oracle = {0};
    bool good = kv_compare_runs(text, &config, requests, count, false, &oracle);
    print_message("  %s: %lld steps, %lld of %lld prompt tokens hit, %lld preemptions, %lld evictions\n", text,
                  (long long)oracle.counters.steps, (long long)oracle.counters.hit_tokens,
                  (long long)oracle.counters.prompt_tokens, (long long)oracle.counters.preemptions,
                  (long long)oracle.counters.blocks_evicted);
    kv_arena_close(&arena);
    assert_true(good);
    assert_true(oracle.counters.finished + oracle.counters.rejected == count);
}

static void engine_and_oracle_agree_on_the_conversation_trace(void **state)
{
    (void)state;
    compare_on_trace(512, 1000, "conversation trace, 1,000 blocks of 512 tokens");
}

static void engine_and_oracle_agree_on_the_conversation_trace_in_small_blocks(void **state)
{
    (void)state;
    compare_on_trace(16, 32000, "conversation trace, 32,000 blocks of 16 tokens");
}

/* Stops at the first scenario that fails; a single one is described. */
static int run_numbers(uint64_t first, uint64_t last)
{
    int64_t met[SITUATIONS] = {0};
    for (uint64_t number = first; number <= last; number++) {
        if (first == last) {
            struct kv_random_scenario s;
            kv_random_scenario_draw(&s, number);
            printf("%s\n", s.text);
            kv_random_scenario_close(&s);
        }
        if (!run_number(number, met)) return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1) return run_numbers(strtoull(argv[1], NULL, 10), strtoull(argv[argc > 2 ? 2 : 1], NULL, 10));
    const struct CMUnitTest quick[] = {
        cmocka_unit_test(engine_and_oracle_agree_on_random_scenarios),
        cmocka_unit_test(engine_and_oracle_agree_on_the_conversation_trace),
    };
    const struct CMUnitTest small_blocks[] = {
        cmocka_unit_test(engine_and_oracle_agree_on_the_conversation_trace_in_small_blocks),
    };
    int failed = cmocka_run_group_tests(quick, NULL, NULL);
    return failed + (full() ? cmocka_run_group_tests(small_blocks, NULL, NULL) : 0);
}

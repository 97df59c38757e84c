/* SPDX-License-Identifier: Apache-2.0 */
/* With a last tier that never forgets and costs nothing, written through, and requests so far apart that each has ended
 * and its writes are visible before the next comes, the hits over all tiers are those of an infinite cache: the leading
 * blocks of a prompt that some earlier prompt had (../shared/traces/README.md, reference_values.csv). GPU memory and a
 * host tier above it may be as small as they like. Arrivals are 1,000 s apart; a request takes less than one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "sim/base/map.h"
#include "sim/serve/workload.h"
#include "tests/support/read_trace.h"
#include "tests/support/tier_bench.h"

#define APART_NS INT64_C(1000000000000)

struct trace { struct kv_arena arena; struct kv_request *at; int64_t count; int32_t block; };

/* The first rows of a trace, far apart, with one token of output each: so that all blocks are those of prompts. */
static void read(struct trace *t, const char *reader, const char *path, const char *set, int64_t prefix, int32_t block,
                 int64_t most)
{
    *t = (struct trace){.block = block};
    struct kv_workload_config config = {
        .trace = path, .reader_name = reader, .reader = kv_test_plugin("reader", reader), .prefix = prefix,
        .rate_scale = 1, .end_s = -1, .limit_requests = most, .block_tokens = block, .system_tokens = 100,
    };
    config.reader_params = kv_test_reader_params(&t->arena, config.reader, set);
    struct kv_err err = {0};
    struct kv_workload *workload = kv_workload_open(&config, 1, NULL, 0, &err);
    if (!workload) fail_msg("%s: %s", err.where, err.text);
    t->at = kv_arena_take(&t->arena, (size_t)most * sizeof *t->at);
    int got;
    while ((got = kv_workload_next(workload, &t->at[t->count], &err)) > 0) {
        struct kv_request *q = &t->at[t->count];
        q->index = t->count;
        q->arrival_ns = t->count * APART_NS;
        q->output_tokens = 1;
        if (q->prefix.ids) {
            uint64_t *ids = kv_arena_take(&t->arena, q->prefix.ids_count * sizeof *ids);
            memcpy(ids, q->prefix.ids, q->prefix.ids_count * sizeof *ids);
            q->prefix.ids = ids;
        }
        t->count++;
    }
    if (got < 0) fail_msg("%s: %s", err.where, err.text);
    kv_workload_close(workload);
}

/* Every id a whole block that can be hit, a token of its own behind them: so reference values count. */
static void round_up(struct trace *t)
{
    for (int64_t i = 0; i < t->count; i++) {
        struct kv_prefix *p = &t->at[i].prefix;
        p->known_tokens = (int32_t)p->ids_count * p->ids_tokens;
        t->at[i].input_tokens = p->known_tokens + 1;
    }
}

/* Blocks, counted here, without any engine: of the full blocks of a prompt but for its last token. */
static int64_t infinite_hits(const struct trace *t)
{
    struct kv_map seen;
    int64_t hits = 0;
    kv_map_open(&seen, 1024);
    for (int64_t i = 0; i < t->count; i++) {
        const struct kv_request *q = &t->at[i];
        int32_t full = kv_prefix_known_blocks(&q->prefix, q->input_tokens, t->block), hit = 0;
        int32_t cap = (q->input_tokens - 1) / t->block;
        if (q->failed) continue;
        while (hit < full && hit < cap && kv_map_get(&seen, kv_prefix_key(&q->prefix, hit, t->block)) != KV_NONE) hit++;
        for (int32_t k = 0; k < full; k++) kv_map_put(&seen, kv_prefix_key(&q->prefix, k, t->block), 1);
        hits += hit;
    }
    kv_map_close(&seen);
    return hits;
}

/* Instances of one node with HBM for the largest prompt, a host tier of `host_chunks` and the infinite one. */
static int64_t served_hits(const struct trace *t, int32_t instances, int64_t host_chunks, int64_t mode,
                           int64_t *fetches)
{
    struct kv_tier_bench b;
    kv_tier_bench_open(&b, 2);
    kv_tier_bench_add_tier(&b);
    b.config.engine.block_tokens = b.config.tier[1].chunk_tokens = b.config.tier[2].chunk_tokens = t->block;
    b.config.engine.max_num_batched_tokens = 1 << 20;
    b.config.instance_count = b.config.network.gpus_per_node = instances;
    b.config.route = kv_test_plugin("route", "round_robin");
    b.config.fetch.mode = mode;
    b.config.fetch.concurrency = 8;
    b.config.tier[1].capacity_chunks = host_chunks;
    b.config.tier[2].fill = 1u << 1;
    for (int64_t i = 0; i < t->count; i++) {
        int64_t blocks = t->at[i].input_tokens / t->block + 1;
        if (i == 0 || blocks > b.config.hbm_blocks) b.config.hbm_blocks = blocks;
    }
    struct kv_err err = {0};
    if (!kv_fast_run(&b.run, &b.config, t->at, t->count, NULL, &err)) fail_msg("%s", err.text);
    assert_int_equal(b.run.end, KV_SIM_COMPLETE);
    int64_t tokens = 0;
    for (int64_t i = 0; i < t->count; i++)
        for (int32_t tier = 0; tier < 3; tier++) tokens += b.run.records[i].prompt_tokens_by_source[tier];
    assert_int_equal(tokens, b.run.counters.hit_tokens);
    *fetches = b.run.counters.fetches;
    kv_tier_bench_close(&b);
    return tokens / t->block;
}

/* `reference` >= 0: what it must be too. */
static void expect_infinite(struct trace *t, int64_t reference)
{
    int64_t expected = infinite_hits(t), fetches;
    if (reference >= 0) assert_int_equal(expected, reference);
    for (int32_t instances = 1; instances <= 3; instances += 2)
        for (int64_t mode = KV_DELIVERY_BULK; mode <= KV_DELIVERY_LAYERWISE; mode++) {
            if (t->count > 5000 && (mode == KV_DELIVERY_BULK) != (instances == 1)) continue;
            assert_int_equal(served_hits(t, instances, 50, mode, &fetches), expected);
            assert_true(expected == 0 || fetches > 0);
        }
    print_message("  %lld requests, %lld blocks hit; with 3 instances %lld loads\n", (long long)t->count,
                  (long long)expected, (long long)fetches);
    kv_arena_close(&t->arena);
}

static void bundled_samples_hit_what_an_infinite_cache_hits(void **state)
{
    (void)state;
    struct trace t;
    read(&t, "mooncake", "traces/sample/mooncake_tiny.jsonl", "", KV_PREFIX_TRACE, 512, 1000);
    expect_infinite(&t, -1);
    read(&t, "mooncake", "traces/sample/mooncake_tiny.jsonl", "", KV_PREFIX_TRACE, 16, 1000);
    expect_infinite(&t, -1);
    read(&t, "blocks", "traces/sample/blocks_tiny.jsonl", "block_tokens=16", KV_PREFIX_TRACE, 16, 1000);
    expect_infinite(&t, -1);
    read(&t, "claude_code", "traces/sample/claude_code_tiny.jsonl", "", KV_PREFIX_TRACE, 64, 1000);
    expect_infinite(&t, -1);
    read(&t, "burstgpt", "traces/sample/burstgpt_synth.csv.gz", "", KV_PREFIX_SESSIONS, 16, 2000);
    expect_infinite(&t, -1);
}

static void published(const char *reader, const char *file, const char *set, int32_t block, int64_t reference)
{
    struct kv_arena arena = {0};
    struct trace t;
    read(&t, reader, kv_test_shared(&arena, file), set, KV_PREFIX_TRACE, block, 20000);
    round_up(&t);
    expect_infinite(&t, reference);
    kv_arena_close(&arena);
}

static void mooncake_conversation_hits_its_reference_value(void **state)
{
    (void)state;
    published("mooncake", "traces/mooncake/conversation_trace.jsonl.gz", "", 512, 105710);
}

static void sharegpt_hits_its_reference_value(void **state)
{
    (void)state;
    published("blocks", "traces/sharegpt/sharegpt_llama31_8b_300_blocks16.jsonl.gz", "block_tokens=16", 16, 1222);
}

static void miniswe_hits_its_reference_value(void **state)
{
    (void)state;
    published("blocks", "traces/agentic/miniswe_blocks256B.jsonl.gz", "block_tokens=256 bytes_per_token=1", 256, 35218);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bundled_samples_hit_what_an_infinite_cache_hits),
        cmocka_unit_test(mooncake_conversation_hits_its_reference_value),
        cmocka_unit_test(sharegpt_hits_its_reference_value),
        cmocka_unit_test(miniswe_hits_its_reference_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

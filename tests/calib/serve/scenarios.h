/* SPDX-License-Identifier: Apache-2.0 */
/* Random scenarios cut down to what the loop of calib/serve can do. */
#ifndef KV_TESTS_CALIB_SERVE_SCENARIOS_H
#define KV_TESTS_CALIB_SERVE_SCENARIOS_H

#include <math.h>

#include "tests/support/random_scenario.h"

#define PAGES_MAX 50000   /* the loop's pages have places, which take memory */

struct test_array { const struct kv_request *at; int64_t count, next; };
static inline int test_next(void *state, struct kv_request *r, struct kv_err *err)
{
    struct test_array *a = state;
    (void)err;
    if (a->next == a->count) return 0;
    *r = a->at[a->next++];
    return 1;
}

/* What the loop can do, of what is drawn. */
static inline void test_one_instance(struct kv_random_scenario *s)
{
    s->config.instance_count = 1;
    s->config.time_limit_tk = KV_TICK_NEVER;
    s->config.sched = kv_test_plugin("sched", "fcfs");
    s->config.sched_params = kv_test_params(&s->arena, &s->config.sched->info);
    s->config.evict = kv_test_plugin("evict", "lru");
    s->config.evict_params = kv_test_params(&s->arena, &s->config.evict->info);
    s->config.replay = (struct kv_replay_config){ .mode = KV_REPLAY_OPEN };
    if (s->config.hbm_blocks > PAGES_MAX) s->config.hbm_blocks = PAGES_MAX;
}

static inline double test_some(uint64_t number, uint64_t what)
{
    return (double)(kv_mix64_pair(number, what) >> 11) / 0x1p53;
}

/* The beginnings of some prompts lie in host memory when they come; a copy engine brings them, one after another. */
static inline void test_add_host_memory(struct kv_random_scenario *s, uint64_t number)
{
    struct kv_sim_config *c = &s->config;
    struct kv_link_config *link = kv_arena_take(&s->arena, sizeof *link);
    const struct kv_link_ops *fifo = kv_test_plugin("link", "fifo");
    const struct kv_store_ops *dram = kv_test_plugin("store", "dram");
    void *link_params = kv_test_params(&s->arena, &fifo->info), *store = kv_test_params(&s->arena, &dram->info);
    int64_t last_ns = s->requests[s->count - 1].arrival_ns, block = c->engine.block_tokens;
    double token_bytes = 2.0 * s->model.kv_heads * s->model.head_dim * 2 * s->model.layers;
    /* A block takes from a fiftieth of a gap between arrivals to twenty of them. */
    double gap_s = (double)last_ns / (double)s->count * 1e-9 + 1e-9;
    double Bps = token_bytes * (double)block / (gap_s * 0.02 * pow(1000, test_some(number, 1)));
    kv_test_param_set(&fifo->info, link_params, "bandwidth", 8 * (Bps < 1e4 ? 1e4 : Bps > 1e13 ? 1e13 : Bps));
    kv_test_param_set(&dram->info, store, "latency", test_some(number, 2) < 0.5 ? 0 : fmin(gap_s * 0.1, 10));
    *link = (struct kv_link_config){ "copies", fifo, link_params, KV_SCOPE_NODE, true };
    c->tp = 1;
    c->compute_env.tp = 1;
    c->engine.enable_prefix_caching = true;
    c->hbm_blocks = PAGES_MAX;   /* T13 is never needed */
    c->network = (struct kv_network_config){ .gpus_per_node = 1, .nodes_per_rack = 1, .pcie_Bps = -1, .nic_Bps = -1,
        .gateway_Bps = -1, .gateways = 1, .efficiency = 1, .fabric = -1, .links = link, .link_count = 1 };
    c->tier_count = 2;
    c->tier[0].name = "hbm";
    c->tier[1] = (struct kv_tier_config){ .name = "dram", .store = dram, .store_params = store,
        .scope = KV_SCOPE_NODE, .capacity_chunks = KV_CHUNKS_UNLIMITED, .chunk_tokens = block,
        .write = KV_WRITE_NONE, .link = {0, -1, -1} };
    c->tier[1].evict = c->evict;
    c->tier[1].evict_params = c->evict_params;
    c->tier[1].admit = kv_test_plugin("admit", "always");
    c->tier[1].admit_params = kv_test_params(&s->arena, &c->tier[1].admit->info);
    bool threshold = test_some(number, 3) < 0.25;
    c->fetch = (struct kv_fetch_config){ .mode = test_some(number, 4) < 0.3 ? KV_DELIVERY_BULK : KV_DELIVERY_LAYERWISE,
        .release_after_layers = (int64_t)(test_some(number, 5) * 4), .concurrency = 1,
        .policy = kv_test_plugin("fetch", threshold ? "threshold" : "always") };
    void *policy = kv_test_params(&s->arena, &c->fetch.policy->info);
    if (threshold) kv_test_param_set(&c->fetch.policy->info, policy, "min_tokens", 3.0 * (double)block);
    c->fetch.params = policy;
    c->resident_tier = 1;
    for (int64_t i = 0; i < s->count; i++)
        if (test_some(number, 100 + (uint64_t)i) < 0.7)
            s->requests[i].resident_tokens
                = (int32_t)(sqrt(test_some(number, 5000 + (uint64_t)i)) * s->requests[i].input_tokens);
}

/* ---- of a scenario ---- */

static inline int64_t test_tokens_of(const struct kv_random_scenario *s)
{
    int64_t all = 0;
    for (int64_t i = 0; i < s->count; i++) all += s->requests[i].input_tokens + s->requests[i].output_tokens;
    return all;
}

/* Requests that bring blocks into host memory. */
static inline int64_t test_loaders_of(const struct kv_random_scenario *s)
{
    int64_t loaders = 0;
    for (int64_t i = 0; i < s->count; i++)
        loaders += kv_prefix_known_blocks(&s->requests[i].prefix, s->requests[i].resident_tokens,
                                          (int32_t)s->config.engine.block_tokens) > 0;
    return loaders;
}

/* Pages for a little more than the largest request. */
static inline int64_t test_tight(const struct kv_random_scenario *s)
{
    int64_t most = 0, B = s->config.engine.block_tokens;
    for (int64_t i = 0; i < s->count; i++) {
        int64_t blocks = (s->requests[i].input_tokens + s->requests[i].output_tokens + B - 1) / B;
        if (blocks > most) most = blocks;
    }
    return most * 5 / 4 + 1;
}

#endif

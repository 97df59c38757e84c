/* SPDX-License-Identifier: Apache-2.0 */
/* A made-up run over three tiers and three links, one request a second, every number of which can be worked out by
 * hand. Bins are a second long and hold one request each, so that sums over both agree.
 *
 * A request's 1,000 prompt tokens: 600 in HBM, 200 in dram, 100 in the object store, 100 computed; with `wave` (for
 * pictures) the shares and times swing. */
#ifndef TESTS_SIM_OUT_FAKE_TIERS_H
#define TESTS_SIM_OUT_FAKE_TIERS_H

#include <math.h>

#include "tests/sim/out/fake.h"

#define TIERS_TOKEN_BYTES 2048          /* read and written alike: 4 layers x 2 parts x 256 B */
#define TIERS_CHUNK_TOKENS 256          /* of the object store; dram has chunks of a block */
#define TIERS_NIC_BPS 524288.0          /* what one object chunk a second fills */

enum { LINK_PCIE, LINK_NIC, LINK_FABRIC, LINKS };
static const char *const tiers_sources[] = {"hbm", "dram", "object", "compute"};

struct tiers {
    struct fake fake;
    bool wave;
    bool growing;                       /* one request a second more waits for its KV */
    kv_tick late_tk;                    /* every second request waits so much longer for its KV */
    int32_t dead_from;                  /* bin from which flows wait on a fabric without capacity; -1: none */
    struct kv_sim_link link[LINKS];
    int64_t bytes[LINKS], flows[LINKS];
};

static inline double tiers_swing(const struct tiers *t, int64_t i, double period)
{
    return t->wave ? 0.5 * sin((double)i * 6.283 / period) : 0;
}

static inline struct kv_record tiers_record(const struct tiers *t, int64_t i)
{
    kv_tick stall_tk = (kv_tick)((double)(FAKE_S / 5) * (1 + tiers_swing(t, i, 17)));
    if (i % 2) stall_tk += t->late_tk;
    double load = 1 + tiers_swing(t, i, 90), hot = 1 + tiers_swing(t, i, 61);
    struct kv_record r = {
        .request = i, .trace_row = i + 1, .arrival_tk = i * FAKE_S, .queue_tk = FAKE_S / 10,
        .fetch_stall_tk = stall_tk, .prefill_tk = FAKE_S * 3 / 10, .decode_tk = FAKE_S * 2 / 5,
        .induced_stall_tk = FAKE_S / 20, .output_tokens = 11, .generated_tokens = 11,
        .instance = (uint16_t)(i % 2), .prefill_instance = (uint16_t)(i % 2), .session = (uint32_t)i + 1,
    };
    r.first_sched_tk = r.arrival_tk + r.queue_tk + r.fetch_stall_tk;
    r.first_token_tk = r.first_sched_tk + r.prefill_tk;
    r.finish_tk = r.first_token_tk + r.decode_tk;
    r.prompt_tokens_by_source[0] = (int32_t)(600 * load * hot);
    r.prompt_tokens_by_source[1] = (int32_t)(200 * load);
    r.prompt_tokens_by_source[2] = (int32_t)(100 * load * (2 - hot));
    r.prompt_tokens_by_source[3] = 100;
    for (int s = 0; s < 4; s++) r.prompt_tokens += r.prompt_tokens_by_source[s];
    r.fetched_bytes[1] = (int64_t)r.prompt_tokens_by_source[1] * TIERS_TOKEN_BYTES;
    r.fetched_bytes[2] = TIERS_CHUNK_TOKENS * TIERS_TOKEN_BYTES;
    return r;
}

/* Totals of the first `count` requests. */
static inline struct kv_counters tiers_counters(const struct tiers *t, int64_t first, int64_t count)
{
    struct kv_counters c = {0};
    for (int64_t i = first; i < first + count; i++) {
        struct kv_record r = tiers_record(t, i);
        int64_t asked = r.prompt_tokens;
        c.injected++;
        c.finished++;
        c.steps += 12;
        c.prefill_tokens += r.prompt_tokens_by_source[3];
        c.decode_tokens += 10;
        c.prompt_tokens += r.prompt_tokens;
        c.fetches++;
        c.fetch_stall_tk += r.fetch_stall_tk;
        c.induced_stall_tk += r.induced_stall_tk;
        c.blocks_evicted += 3;
        for (int k = 0; k < 3; k++) {
            c.tier[k].asked_tokens += asked;
            c.tier[k].hit_tokens += r.prompt_tokens_by_source[k];
            c.tier[k].read_bytes += r.fetched_bytes[k];
            c.tier[k].saved_tk += r.prompt_tokens_by_source[k] * (FAKE_S / 10000);
            c.hit_tokens += r.prompt_tokens_by_source[k];
            asked -= r.prompt_tokens_by_source[k];
        }
        /* dram: ten chunks of 16 tokens written, two of them for nothing; three more filled by fetches. */
        c.tier[1].written_bytes += 10 * 16 * TIERS_TOKEN_BYTES;
        c.tier[1].wasted_bytes += 2 * 16 * TIERS_TOKEN_BYTES;
        c.tier[1].inserted_chunks += 11;
        c.tier[1].filled_chunks += 3;
        c.tier[1].dropped_chunks += 2;
        c.tier[1].evicted_chunks += 11;
        c.tier[1].accesses += 2;
        c.tier[2].accesses += 20;
        c.tier[2].waited_accesses += 19;
        c.tier[2].refused_chunks += 1;
    }
    return c;
}

static inline void tiers_bin(void *state, int32_t index, struct kv_bin *bin)
{
    struct tiers *t = state;
    double swing = 1 + 0.1 * tiers_swing(t, index, 43);
    bool dead = t->dead_from >= 0 && index >= t->dead_from;
    for (int32_t i = 0; i < 2; i++) {
        t->fake.busy_tk[i] = index ? t->fake.busy_tk[i] : 0;
        t->fake.busy_tk[i] += (kv_tick)((double)(FAKE_S / (i + 2)) * (1 + 0.4 * tiers_swing(t, index + 20 * i, 31)));
    }
    if (!index) memset(t->bytes, 0, sizeof t->bytes);
    struct kv_record r = tiers_record(t, index);
    t->bytes[LINK_PCIE] += r.fetched_bytes[1] + r.fetched_bytes[2];
    double use = t->wave ? 0.75 + 0.5 * tiers_swing(t, index, 43) : 1;
    t->bytes[LINK_NIC] += (int64_t)((double)r.fetched_bytes[2] * use);
    t->flows[LINK_PCIE] = 2 * 1;
    t->flows[LINK_NIC] = 2 * 3;
    t->flows[LINK_FABRIC] = dead ? 2 * 7 : 0;
    *bin = (struct kv_bin){
        .start_tk = index * FAKE_S, .end_tk = (index + 1) * FAKE_S, .samples = 2,
        .grown = tiers_counters(t, index, 1), .waiting = 2.0, .running = 2 * 8,
        .fetching = t->growing ? 2.0 * index : 2 * 3, .active_blocks = 2 * 1000 * swing,
        .inactive_blocks = 2 * (1800 - 1000 * swing), .free_blocks = 2 * 200, .busy_tk = t->fake.busy_tk,
        .link_bytes = t->bytes, .link_flows = t->flows,
        .tier_used = {0, 2 * 900, 2.0 * (50 + index)}, .tier_pinned = {0, 2 * 100, 2 * 5},
        .tier_waiting = {0, 0, 2.0 * (index % 7)},
    };
}

static inline void tiers_open(struct tiers *t, int64_t requests)
{
    memset(t, 0, sizeof *t);
    t->dead_from = -1;
    fake_open(&t->fake, requests);
    struct kv_scenario *s = &t->fake.scenario;
    t->fake.instances = 2;
    t->fake.bins = (int32_t)requests;
    s->name = "three tiers, made up";
    s->workload.warmup_s = 0;
    s->sim.instance_count = 2;
    s->sim.hbm_blocks = 1000;
    s->model = (struct kv_model_shape){.layers = 4, .kv_heads = 2, .head_dim = 64, .kv_dtype_bytes = 2};
    s->hbm.block_bytes = 16 * TIERS_TOKEN_BYTES / 2;
    s->sim.tier_count = 3;
    s->sim.tier[1] = (struct kv_tier_config){.name = "dram", .scope = KV_SCOPE_NODE, .capacity_chunks = 500,
                                             .chunk_tokens = 16};
    s->sim.tier[2] = (struct kv_tier_config){.name = "object", .scope = KV_SCOPE_CLUSTER,
                                             .capacity_chunks = KV_CHUNKS_UNLIMITED,
                                             .chunk_tokens = TIERS_CHUNK_TOKENS};
    t->fake.info.source_names = tiers_sources;
    t->fake.info.source_count = 4;
    t->fake.info.warnings = "";
    t->fake.info.resolved_yaml = "kvsim: 1\ncompute:\n  kind: roofline\nengine:\n  max_num_seqs: 8\n";
    *t->fake.workload.assumptions = 0;
    t->link[LINK_PCIE] = (struct kv_sim_link){.name = "pcie.0.in", .capacity_Bps = 8 * TIERS_NIC_BPS};
    t->link[LINK_NIC] = (struct kv_sim_link){.name = "nic.0.in", .capacity_Bps = TIERS_NIC_BPS};
    t->link[LINK_FABRIC] = (struct kv_sim_link){.name = "fabric.0.in", .capacity_Bps = 16 * TIERS_NIC_BPS};
}

static inline struct kv_run_end tiers_end(struct tiers *t)
{
    struct kv_bin bin;
    for (int32_t i = 0; i < t->fake.bins; i++) tiers_bin(t, i, &bin);
    for (int k = 0; k < LINKS; k++) {
        t->link[k].carried_bytes = t->bytes[k];
        t->link[k].flows = t->flows[k] / 2;
    }
    if (t->dead_from >= 0) t->link[LINK_FABRIC].capacity_Bps = 0;
    return (struct kv_run_end){
        .end_tk = t->fake.bins * FAKE_S, .workload = &t->fake.workload,
        .status = t->dead_from >= 0 ? "stuck" : "complete", .waiting = 12, .fetching = t->dead_from >= 0 ? 7 : 3,
        .counters = tiers_counters(t, 0, t->fake.requests), .tier = {{0}, {900, 100, .pools = 2}, {250, 5, .pools = 1}},
        .link = t->link, .link_count = LINKS, .bins = {t, t->fake.bins, tiers_bin, NULL},
        .net = {.flows = 400, .settles = 500, .single_bottleneck = 600, .progressive = 70, .skipped_links = 8},
    };
}

static inline struct kv_results *tiers_run(struct tiers *t, const char *path, struct kv_err *err)
{
    struct kv_run_end end = tiers_end(t);
    struct kv_results *r = kv_results_open_with(path, true, &t->fake.info, KV_CODEC_ZLIB, err);
    if (!r) return NULL;
    struct kv_sink sink = kv_results_sink(r);
    bool ok = true;
    for (int64_t i = 0; ok && i < t->fake.requests; i++) {
        struct kv_record record = tiers_record(t, i);
        ok = sink.record(sink.state, &record, err);
    }
    if (ok && kv_results_end(r, &end, err)) return r;
    kv_results_close(r);
    return NULL;
}

#endif

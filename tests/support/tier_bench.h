/* SPDX-License-Identifier: Apache-2.0 */
/* A small cluster with lower tiers whose every step, access and flow has a known end: costs, delays and rates are given
 * in the engine's own integers. Instances of one node share the pools, so what a request leaves behind on one instance
 * another finds below HBM. */
#ifndef KV_TESTS_SUPPORT_TIER_BENCH_H
#define KV_TESTS_SUPPORT_TIER_BENCH_H

#include "tests/support/fast_run.h"

#define KV_BENCH_LAYERS 16
#define KV_BENCH_REQUESTS 64
#define KV_BENCH_BLOCK 16       /* tokens of a block and of a chunk, unless a test changes them */

/* A step costs before + the sum of its layers + after: `chunk` when a prompt is computed in it, else `decode`. */
struct kv_bench_compute {
    int32_t layers;
    kv_cost chunk[KV_BENCH_LAYERS], decode[KV_BENCH_LAYERS], before, after;
    /* Each layer of a step whose first chunk has so many cached tokens costs this instead; cost 0: ends the list. */
    struct { int64_t ctx_tokens; kv_cost layer; } at[8];
};
struct kv_bench_store {
    kv_tick delay_tk, ack_tk, resume_tk;
    kv_rate limit, device;
    int64_t turns;
    kv_tick crowd_tk;              /* more delay for each access under way, itself too */
    int64_t requests;              /* of each chunk of an access */
    bool refuses;                  /* where `line` wait already; who was comes again later and later: */
    int64_t line;
    kv_tick retry_tk, retry_more_tk;
};
/* One message takes so long, whatever its size (0: no limit); over links of the scenario. */
struct kv_bench_link { struct kv_link_spec spec; kv_tick message_tk; };
/* The whole match is loaded. */
struct kv_bench_fetch { kv_tick timeout_tk; };

struct kv_tier_bench {
    struct kv_arena arena;
    struct kv_model_shape model;
    struct kv_sim_config config;
    struct kv_bench_compute compute;
    struct kv_bench_store store[KV_TIERS_MAX];
    struct kv_bench_fetch fetch;
    struct kv_link_config link[KV_TIER_LINKS_MAX];
    int64_t layer_bytes[KV_BENCH_LAYERS];      /* read: of a token */
    struct kv_request request[KV_BENCH_REQUESTS];
    int64_t count;
    struct kv_fast_run run;
};

/* Four instances of one node; one tier below HBM, shared by them, written through, unlimited, without delays; links
 * unlimited; bulk delivery. Layers cost nothing but one tick each, in `before`. The struct does not move afterwards. */
void kv_tier_bench_open(struct kv_tier_bench *b, int32_t layers);
/* One more lower tier like the first. */
void kv_tier_bench_add_tier(struct kv_tier_bench *b);
/* Tier one is reached over the network, and a policy divides `cap` among those who read from it. */
void kv_tier_bench_transfer(struct kv_tier_bench *b, const char *policy, kv_rate cap);
/* A link that accesses to tier one cross. Its parameters must outlive the run. */
void kv_tier_bench_link(struct kv_tier_bench *b, const struct kv_bench_link *link);
/* A request for `instance`; stream 0: nobody shares its tokens. */
struct kv_request *kv_tier_bench_come(struct kv_tier_bench *b, int64_t arrival_ns, int32_t instance, uint64_t stream,
                                      int32_t input_tokens, int32_t output_tokens);
/* Runs it; fails the cmocka test when that fails. Records by request. */
const struct kv_record *kv_tier_bench_serve(struct kv_tier_bench *b);
/* Another run follows. */
void kv_tier_bench_again(struct kv_tier_bench *b);
void kv_tier_bench_close(struct kv_tier_bench *b);

/* Exact cost of a step without waiting. */
kv_cost kv_tier_bench_step(const struct kv_tier_bench *b, bool chunk);
/* Ticks that so many bytes take at a rate: rounded up. */
kv_tick kv_bench_ticks(int64_t bytes, kv_rate rate);
/* Bytes of a token up to layer `layers`, read; of a chunk, written. */
int64_t kv_bench_read_bytes(const struct kv_tier_bench *b, int32_t layers);
int64_t kv_bench_chunk_written_bytes(const struct kv_tier_bench *b);

#endif

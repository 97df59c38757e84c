/* SPDX-License-Identifier: Apache-2.0 */
/* What a run says about one request, and about one bin of time. Plain data, from serve to out. */
#ifndef KV_IFACE_RECORD_H
#define KV_IFACE_RECORD_H

#include "sim/base/err.h"
#include "sim/base/tick.h"

enum kv_status { KV_STATUS_FINISHED, KV_STATUS_REJECTED, KV_STATUS_FAILED, KV_STATUS_UNFINISHED, KV_STATUS_COUNT };

/* Tiers, HBM included. Prompt tokens by source: the tiers in order, then compute (the last of source_count). */
#define KV_TIERS_MAX 7
#define KV_SOURCES_MAX (KV_TIERS_MAX + 1)
#define KV_NO_INSTANCE UINT16_MAX

/* Instants are -1 when they never came. Stage times are disjoint and exhaustive: for a finished request
 *   queue + fetch_stall + prefill + decode + preempted = finish - arrival, in ticks.
 * queue: arrival to first scheduled (front-end overhead included) but for the time it waited only for its own KV.
 * fetch_stall: that time, and what its own layers made its first step longer. preempted: from each preemption to the
 * next scheduling. prefill: other time until the first token; decode: other time after it. induced_stall is a part of
 * prefill and decode: what other requests' layers made its steps longer. */
struct kv_record {
    int64_t request, trace_row;
    kv_tick arrival_tk, first_sched_tk, first_token_tk, finish_tk;   /* the last token comes at the finish */
    kv_tick queue_tk, fetch_stall_tk, prefill_tk, decode_tk, preempted_tk;
    kv_tick induced_stall_tk;
    int64_t recomputed_tokens;      /* computed again after preemptions; never hits or misses */
    /* delivered from each tier for this request, waste included; [0]: handed over */
    int64_t fetched_bytes[KV_TIERS_MAX];
    int32_t prompt_tokens, output_tokens, generated_tokens;
    int32_t prompt_tokens_by_source[KV_SOURCES_MAX];
    int32_t preemptions;
    uint32_t session;
    uint16_t turn, slo_class, instance;
    uint16_t prefill_instance;      /* computed the prompt; = instance unless it was handed over */
    uint8_t status;
};

/* A fetch: what one load brought from one tier (docs/tiers.md, "What fetches say"). Instants are -1 when they never
 * came, bytes and rates of all tensor-parallel parts. */
struct kv_fetch_record {
    int64_t request;                /* that began the load */
    uint16_t instance;
    uint8_t tier, mode;             /* enum kv_delivery */
    bool cut;                       /* given up before its end */
    int64_t bytes, delivered_bytes;
    kv_tick begin_tk, granted_tk;   /* the load began; first grant > 0 (a policy divides the bandwidth) */
    kv_tick first_tk, end_tk;       /* its first flow started; its last byte was in, or it was cut */
    double grant_Bps, limit_Bps;    /* first grant, 0: none; limit of the stream (of one access), INFINITY: none */
    int32_t regrants;               /* changes of the grant after that */
    int32_t refused;                /* answers 503 */
};

/* Layers of a request's step that waited for its KV. Arrays of `layers`; -1: that source has nothing to bring. */
struct kv_layers_record {
    int64_t request;
    int32_t layers;
    const kv_tick *fetch_end_tk;    /* last byte of the layer, over all loads it waited for */
    const kv_tick *compute_start_tk, *compute_end_tk;
    kv_tick ready_tk;               /* when the first layer could have begun, had all been there */
};

/* Where records go, in the order of their ends (not of their requests). `fetch` and `layers` may be NULL: not told. */
struct kv_sink {
    void *state;
    bool (*record)(void *state, const struct kv_record *record, struct kv_err *err);
    bool (*fetch)(void *state, const struct kv_fetch_record *record, struct kv_err *err);
    bool (*layers)(void *state, const struct kv_layers_record *record, struct kv_err *err);
};

/* One tier, over all its pools. Tokens of requests are counted where prompt_tokens is; blocks of HBM are counted in
 * struct kv_counters, the members below from `inserted` on stay 0 for it. */
struct kv_tier_counters {
    int64_t asked_tokens, hit_tokens;       /* not found in the tiers above; found here and used */
    /* delivered, all tensor-parallel parts; what was cancelled half-way included */
    int64_t read_bytes, written_bytes;
    int64_t wasted_bytes;                   /* of both: of accesses that were cancelled */
    int64_t accesses, waited_accesses;      /* reads and writes begun; those that had to wait for their turn */
    int64_t inserted_chunks, evicted_chunks;
    int64_t filled_chunks;                  /* of the inserted: by fetches from below */
    int64_t dropped_chunks;                 /* proposed and admitted, but no room or dropped under pressure */
    int64_t refused_chunks;                 /* by the admission policy */
    int64_t resident_chunks;                /* put there with requests that said so */
    int64_t read_requests, write_requests;  /* of the accesses that got their turn */
    int64_t refused_accesses;               /* answered 503, each time counted */
    int64_t pending_tokens;                 /* that would have been hits here, had what was on its way been visible */
    kv_tick saved_tk;                       /* of computing, estimated, by what was found here (HBM too) */
};

/* Totals since the start of the run. Counters only grow. */
struct kv_counters {
    int64_t injected, finished, rejected, failed;
    int64_t steps, prefill_tokens, decode_tokens;   /* tokens computed */
    int64_t hit_tokens, prompt_tokens;              /* at the admitting look-up */
    int64_t recomputed_tokens, preemptions;
    int64_t blocks_allocated, blocks_freed, blocks_evicted;
    int64_t fetches, delayed_hits;                  /* loads begun; requests that waited for another request's load */
    int64_t fetch_timeouts, fetch_cancels;          /* loads cut short by the policy; given up before their end */
    int64_t given_back;                             /* requests that had to give fetched blocks back */
    int64_t handed_over;                            /* requests that went on to a decode instance */
    kv_tick fetch_stall_tk, induced_stall_tk;       /* of all requests */
    struct kv_tier_counters tier[KV_TIERS_MAX];
};

/* One bin of /timeseries: counters are the growth inside the bin; gauges are the mean of `samples` values read
 * at the samples' ticks. */
struct kv_bin {
    kv_tick start_tk, end_tk;
    int64_t samples;
    struct kv_counters grown;
    double waiting, running, active_blocks, inactive_blocks, free_blocks;   /* sums until out divides */
    double fetching;                                                        /* requests that wait for their KV */
    double tier_used[KV_TIERS_MAX], tier_pinned[KV_TIERS_MAX];   /* chunks held, of them unevictable; [0] unused */
    double tier_waiting[KV_TIERS_MAX];                           /* accesses that wait for their turn */
    const kv_tick *busy_tk;       /* busy time of each instance since the start of the run, at end_tk */
    const int64_t *link_bytes;    /* carried by each link (kv_sim_link) since the start of the run, at end_tk */
    const int64_t *link_flows;    /* flows on each link, blocked ones included: sum of the samples */
};

#endif

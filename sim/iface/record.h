/* SPDX-License-Identifier: Apache-2.0 */
/* What a run says about one request, and about one bin of time. Plain data, from serve to out. */
#ifndef KV_IFACE_RECORD_H
#define KV_IFACE_RECORD_H

#include "sim/base/err.h"
#include "sim/base/tick.h"

enum kv_status { KV_STATUS_FINISHED, KV_STATUS_REJECTED, KV_STATUS_FAILED, KV_STATUS_UNFINISHED, KV_STATUS_COUNT };

/* Prompt tokens by source: the tiers in order, then compute (the last of source_count). */
#define KV_SOURCES_MAX 8
#define KV_NO_INSTANCE UINT16_MAX

/* Instants are -1 when they never came. Stage times are disjoint and exhaustive: for a finished request
 *   queue + fetch_stall + prefill + decode + preempted = finish - arrival, in ticks.
 * queue: arrival to first scheduled (front-end overhead included). preempted: from each preemption to the next
 * scheduling. prefill: other time until the first token; decode: other time after it. */
struct kv_record {
    int64_t request, trace_row;
    kv_tick arrival_tk, first_sched_tk, first_token_tk, finish_tk;   /* the last token comes at the finish */
    kv_tick queue_tk, fetch_stall_tk, prefill_tk, decode_tk, preempted_tk;
    int64_t recomputed_tokens;      /* computed again after preemptions; never hits or misses */
    int32_t prompt_tokens, output_tokens, generated_tokens;
    int32_t prompt_tokens_by_source[KV_SOURCES_MAX];
    int32_t preemptions;
    uint32_t session;
    uint16_t turn, slo_class, instance;
    uint8_t status;
};

/* Where records go, in the order of their ends (not of their requests). */
struct kv_sink {
    void *state;
    bool (*record)(void *state, const struct kv_record *record, struct kv_err *err);
};

/* Totals since the start of the run. Counters only grow. */
struct kv_counters {
    int64_t injected, finished, rejected, failed;
    int64_t steps, prefill_tokens, decode_tokens;   /* tokens computed */
    int64_t hit_tokens, prompt_tokens;              /* at the admitting look-up */
    int64_t recomputed_tokens, preemptions;
    int64_t blocks_allocated, blocks_freed, blocks_evicted;
};

/* One bin of /timeseries: counters are the growth inside the bin; gauges are the mean of `samples` values read
 * at the samples' ticks. */
struct kv_bin {
    kv_tick start_tk, end_tk;
    int64_t samples;
    struct kv_counters grown;
    double waiting, running, active_blocks, inactive_blocks, free_blocks;   /* sums until out divides */
    const kv_tick *busy_tk;       /* busy time of each instance since the start of the run, at end_tk */
};

#endif

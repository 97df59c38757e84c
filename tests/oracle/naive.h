/* SPDX-License-Identifier: Apache-2.0 */
/* The naive engine: docs/engine.md and docs/tiers.md as a program that takes every step of every request, one event at
 * a time.
 *
 * It exists to be compared with sim/serve bit for bit and shares no file with it: no timers, no macro-steps, no
 * policy plug-ins; a block is an object with a key and a reference count, the next event is found by looking at
 * all of them. Shared are only the base types, the iface structs, the identity of blocks (kv_prefix_key) and the
 * compute model's price, asked for one step at a time, and the pure functions of store and link models. It knows the
 * policies of docs/engine.md and docs/tiers.md by name and fails on any other. Rules 1, 2, ... are those of
 * docs/engine.md, T1, T2, ... those of docs/tiers.md. */
#ifndef KV_TESTS_ORACLE_NAIVE_H
#define KV_TESTS_ORACLE_NAIVE_H

#include "sim/base/arena.h"
#include "sim/iface/config.h"
#include "sim/iface/record.h"

/* One instance after everything that happened to it up to and including `tick`. */
struct kv_oracle_instance {
    kv_tick tick;
    int64_t waiting, running, fetching;
    int64_t active_blocks, inactive_blocks, free_blocks;
};
/* The whole cluster after everything that happened up to and including `tick`. */
struct kv_oracle_tier { int64_t used_chunks, pinned_chunks, waiting_accesses; };
struct kv_oracle_cluster { kv_tick tick; struct kv_counters counters; struct kv_oracle_tier tier[KV_TIERS_MAX]; };

/* What an outside reader could have seen, tick by tick; one entry a tick at which something happened. */
struct kv_oracle_history {
    int32_t instance_count;
    struct { KV_VEC(struct kv_oracle_instance) seen; } *instance;
    KV_VEC(struct kv_oracle_cluster) cluster;
};
void kv_oracle_history_close(struct kv_oracle_history *h);
/* State at tick t (all events <= t applied); all zero, and all blocks free, before the first event. */
struct kv_oracle_instance kv_oracle_instance_at(const struct kv_oracle_history *h, int32_t instance, kv_tick t,
                                                int64_t hbm_blocks);
struct kv_oracle_cluster kv_oracle_cluster_at(const struct kv_oracle_history *h, kv_tick t);

/* How often each corner of docs/engine.md was met, so that a test can say what its scenarios cover. */
struct kv_oracle_coverage {
    int64_t same_tick_arrivals;      /* requests that reach the router at the tick of the one before (rule 3) */
    int64_t arrivals_on_boundary;    /* requests that reach a busy instance at the tick its step ends (rule 4) */
    int64_t one_token_remainders;    /* last prompt token alone in a step (rule 13) */
    int64_t chunked_prompts;         /* prompts admitted with less than what they need (rule 12) */
    int64_t unreferenced_hits;       /* hit blocks taken back from the evictable ones (rule 12, u) */
    int64_t refusals_by_hits;        /* admissions refused for u alone */
    int64_t own_hits, own_drops;     /* own blocks found again, dropped at a resumption (rules 18, 19) */
    int64_t private_blocks;          /* keys that were registered already (rule 18) */
    int64_t forgotten_blocks;        /* output blocks not kept at a finish (rule 20) */
    int64_t self_preemptions;        /* requests that preempted themselves (rule 11) */
    int64_t idle_periods;            /* times an instance ran dry (rule 1) */
    int64_t same_tick_boundaries;    /* steps that end at the tick at which they began */
    int64_t late_tokens, late_finishes;   /* of requests that had been preempted by then (rule 13d) */
    int64_t empty_steps;             /* made up while the instance was busy (rule 13a) */
    int64_t dummies;                 /* steps that a rank took along (rule 13f) */
    int64_t made_late;               /* steps made up at (b) by a rank while another had one (rule 13f) */
    /* Of docs/tiers.md */
    int64_t not_yet_visible;         /* blocks whose chunk a write or fill was still bringing at a look-up (T3) */
    int64_t parked;                  /* pinned victims (T4) */
    int64_t own_evicted;             /* own chunks that left a pool (T4) */
    int64_t second_hit_refusals;     /* T23 */
    int64_t on_evict;                /* proposals of what was evicted (T22) */
    int64_t dropped_writes;          /* under pressure (T25) */
    int64_t overlapping;             /* settings of rates with two or more layerwise loads on the way */
    int64_t saturated;               /* links that bound somebody's rate (T17a) */
    int64_t fifo_blocked;            /* flows behind another on a link of kind fifo (T17a) */
    int64_t pauses;                  /* flows that had delivered all they might (T19) */
    int64_t resumes_late;            /* of them, those that waited for the server again */
    int64_t layered_steps;           /* steps that waited for layers (T20) */
    int64_t handed_on_arrival, handed_at_route, pushed_layers;   /* T28, T29 */
    int64_t regranted;               /* grants changed while their fetch moved bytes (T39) */
    int64_t scraps;                  /* grants for life that were too small to be taken */
    int64_t ungranted;               /* settings of rates at which a flow had to wait for a grant */
    int64_t periodic_grants;         /* epochs at a multiple of the period that granted something */
    int64_t made_layerwise, made_chunkwise;          /* loads, by their size (T35) */
    int64_t resident_evictions;      /* chunks that left for resident tokens (T36) */
    int64_t came_again;              /* accesses that were refused and then got a turn or a place in the line (T37a) */
    int64_t refused_for_ever;        /* accesses refused when nothing else was pending any more */
    int64_t cancelled_refused;       /* accesses cancelled between two attempts */
    int64_t message_limited;         /* accesses whose limit is that of a link's messages (T38) */
    int64_t curve_bound;             /* links that bound somebody below their first capacity (T38a) */
    int64_t cut_fetches;             /* told as cut (T40) */
    int64_t met, met_at_the_end;     /* requests and the loads beside them; of them, whose load had ended (T44) */
    int64_t preempted_unmet;         /* before they had met */
    int64_t one_way;                 /* requests that had to wait for others' loads and so had a chunkwise one */
    int64_t never_met;               /* by the end of the run */
    int64_t passed_over;             /* running requests without a place in a step */
    int64_t met_own_blocks;          /* meetings at which the request had computed something itself */
    int64_t kept_fills, left_fills;  /* at a meeting, of chunks that had come or not */
    int64_t stuck;                   /* requests left behind by a run in which nothing is pending any more */
};

/* Replays `requests` (index = place in the array). `records` and `came` have `count` entries; came[i] says
 * whether request i arrived before the end of the run, only then records[i] means something. `sink` is told of
 * fetches and layers (T40, T41), not of records. `history`, `coverage` and `sink` may be NULL. False with *err when the
 * scenario asks for a policy that the oracle does not know. */
bool kv_oracle_run(const struct kv_sim_config *config, const struct kv_request *requests, int64_t count,
                   struct kv_record *records, bool *came, struct kv_counters *counters,
                   struct kv_oracle_history *history, struct kv_oracle_coverage *coverage, const struct kv_sink *sink,
                   struct kv_err *err);

#endif

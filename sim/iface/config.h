/* SPDX-License-Identifier: Apache-2.0 */
/* What a scenario says, as typed plain data: filled by sim/scenario, read by serve, out and cli. Text and
 * parameter structs live in the scenario's load arena and outlive the run. */
#ifndef KV_IFACE_CONFIG_H
#define KV_IFACE_CONFIG_H

#include "sim/iface/admit.h"
#include "sim/iface/compute.h"
#include "sim/iface/evict.h"
#include "sim/iface/fetch.h"
#include "sim/iface/link.h"
#include "sim/iface/reader.h"
#include "sim/iface/record.h"
#include "sim/iface/route.h"
#include "sim/iface/sched.h"
#include "sim/iface/store.h"
#include "sim/iface/transfer.h"

/* vLLM's names where vLLM has the knob. */
struct kv_engine_config {
    int64_t max_num_seqs, max_num_batched_tokens;   /* max_num_batched_tokens >= max_num_seqs >= 1 */
    int64_t block_tokens;
    bool chunked_prefill, enable_prefix_caching, cache_outputs, async_scheduling;
    double host_overhead_s;                         /* once per step; not charged with async_scheduling */
};

enum kv_replay_mode { KV_REPLAY_OPEN, KV_REPLAY_CLOSED, KV_REPLAY_SESSION };
enum kv_delay_kind { KV_DELAY_CONSTANT, KV_DELAY_EXPONENTIAL, KV_DELAY_LOGNORMAL };
/* A duration: constant `mean_s`; exponential of mean `mean_s`; log-normal of mean `mean_s` and log-sigma `sigma`. */
struct kv_delay { int64_t kind; double mean_s, sigma; };

enum kv_clients_take { KV_TAKE_REQUEST, KV_TAKE_SESSION };
struct kv_replay_config {
    int64_t mode;              /* enum kv_replay_mode */
    int64_t clients;           /* closed: number of clients */
    int64_t clients_take;      /* closed: enum kv_clients_take; what a client takes when it is free */
    struct kv_delay think;     /* closed: pause of a client before it takes the next */
    struct kv_delay frontend_overhead;
};

enum kv_prefix_mode { KV_PREFIX_NONE, KV_PREFIX_TRACE, KV_PREFIX_SESSIONS };
/* Sessions for conversation rows whose trace names none; only with KV_PREFIX_SESSIONS (docs/traces.md). */
struct kv_infer_config {
    bool on;
    double turns_mean;         /* >= 1; a row continues an open session with chance 1 - 1/turns_mean */
    double extends_frac;       /* share of those rows that contain the turn before */
    double gap_median_s;       /* trace time between turns, log-normal: median */
    double gap_sigma;          /*   and deviation of the logarithm */
    double window_s;           /* trace time; a session is open while its last turn is at most so old */
};
struct kv_workload_config {
    const char *trace;                     /* path as opened; NULL for a generator */
    const struct kv_reader_ops *reader;
    const char *reader_name;
    const void *reader_params;
    int64_t prefix;                        /* enum kv_prefix_mode */
    int64_t system_tokens;                 /* sessions: first tokens of a conversation that survive a trim */
    struct { int64_t count, tokens; double zipf; } system_prompts;   /* count 0: none */
    double rate_scale;                     /* arrival times are divided by it */
    double jitter_s;                       /* de-quantising: uniform in [0, jitter) added; 0 = off */
    double start_s, end_s;                 /* window of trace time since the first row; end < 0: to the end */
    int64_t limit_requests;                /* at most so many rows; 0 = all */
    bool skip_bad_rows;
    bool skip_digest;                      /* nobody will ask for the trace's sha256 */
    double warmup_s;                       /* requests arriving earlier are left out of the summary */
    struct kv_replay_config replay;
    int64_t block_tokens;                  /* of the engine: trace blocks must fit it (prefix trace); 0 = unchecked */
    bool resident;                         /* the scenario says where resident tokens of rows are */
    struct kv_infer_config infer;
};

struct kv_slo_class { const char *name; double ttft_s, tpot_s, e2e_s; /* <= 0: not bound */ };
#define KV_SLO_CLASSES_MAX 64

enum kv_requests_mode { KV_REQUESTS_ALL, KV_REQUESTS_NONE };
enum kv_flows_mode { KV_FLOWS_NONE, KV_FLOWS_ALL };
struct kv_output_config {
    int64_t requests;          /* enum kv_requests_mode */
    int64_t flows;             /* enum kv_flows_mode */
    int64_t layers_sample;     /* requests whose layers are written down */
    double timeseries_s;       /* > 0: fixed step; 0: auto (at most 4,096 bins); < 0: none */
};

/* Who shares one pool of a tier, or one link. */
enum kv_scope { KV_SCOPE_GPU /* one instance */, KV_SCOPE_NODE, KV_SCOPE_RACK, KV_SCOPE_CLUSTER };
enum kv_write { KV_WRITE_NONE, KV_WRITE_THROUGH, KV_WRITE_BACK, KV_WRITE_ON_EVICT };

#define KV_CHUNKS_UNLIMITED INT64_MAX
#define KV_TIER_LINKS_MAX 3
/* A tier below HBM (docs/tiers.md). */
struct kv_tier_config {
    const char *name;
    const struct kv_store_ops *store;
    const void *store_params;
    int64_t scope;                         /* enum kv_scope */
    int64_t capacity_chunks;               /* of one pool; KV_CHUNKS_UNLIMITED */
    int64_t chunk_tokens;                  /* a multiple of engine.block_tokens */
    int64_t layout;                        /* enum kv_layout */
    int64_t write;                         /* enum kv_write */
    bool write_decode;                     /* generated tokens are written too */
    bool write_blocking;                   /* pending writes are never dropped under pressure */
    uint32_t fill;                         /* bit t: a fetch from here also fills tier t, 1 <= t < this tier's index */
    const struct kv_evict_ops *evict;
    const void *evict_params;
    const struct kv_admit_ops *admit;
    const void *admit_params;
    int32_t link[KV_TIER_LINKS_MAX];       /* indices into links: crossed besides the ways of its kind; -1: none */
};

/* A link of the scenario's `network.links`. */
struct kv_link_config {
    const char *name;
    const struct kv_link_ops *ops;
    const void *params;
    int64_t scope;                         /* enum kv_scope: one link for each of these */
    bool duplex;                           /* two directions that do not disturb each other; false: one for both */
};

struct kv_network_config {
    int32_t gpus_per_node, nodes_per_rack; /* instance i stands on node i / max(1, gpus_per_node / tp) */
    double pcie_Bps, nic_Bps, gateway_Bps; /* one way; < 0: unlimited */
    int32_t gateways;                      /* >= 1 */
    double efficiency;                     /* of nic, gateways and links: share of the rate that is payload */
    /* index into links of the one that whatever leaves a node crosses; -1: none */
    int32_t fabric;
    const struct kv_link_config *links;
    int32_t link_count;
};

struct kv_fetch_config {
    int64_t mode;                          /* enum kv_delivery; KV_DELIVERY_AUTO */
    int64_t auto_bytes;                    /* auto: a load of at least so many bytes comes layer by layer */
    int64_t release_after_layers;          /* layerwise: layers that must be there before the request may join a step */
    int64_t lookahead_layers;              /* layerwise: 0 = unlimited */
    int32_t concurrency;                   /* chunkwise: accesses at a time, for each request and tier; bidirectional:
                                            * for each request */
    int64_t compute_chunk_tokens;          /* bidirectional: most that a step computes of a request that has not met */
    const struct kv_fetch_ops *policy;
    const void *params;
};

/* Who divides the bandwidth of fetches over the network (docs/tiers.md, "Grants"). */
struct kv_transfer_config {
    const struct kv_transfer_ops *policy;  /* NULL: nobody; flows share links max-min */
    const void *params;
    kv_rate cap;                           /* divided among the fetches of the cluster */
    bool work_conserving;                  /* what ends is granted anew at once, to all; false: a grant is for life */
    kv_rate min_grant;                     /* least of a grant for life (T39); 0: none. Not with work_conserving */
    kv_tick period_tk;                     /* of epochs; 0: on arrival */
};

/* Prefill and decode on different instances (docs/tiers.md, "Hand-over"). */
enum kv_push { KV_PUSH_BULK, KV_PUSH_LAYERWISE };
enum kv_reserve { KV_RESERVE_ON_ARRIVAL, KV_RESERVE_AT_ROUTE };
struct kv_handover_config {
    int32_t prefill_instances;             /* instances 0 .. n-1 prefill, the others decode; 0: all do both */
    int64_t push, reserve;                 /* layerwise push needs KV_RESERVE_AT_ROUTE */
};

struct kv_sim_config {
    uint64_t seed;
    int32_t instance_count, tp;
    int32_t ranks;             /* instances of a group that goes in lock-step (rule 13f); 0 or 1: each on its own */
    int64_t hbm_blocks;        /* per instance: in-use and cached blocks are one pool */
    struct kv_engine_config engine;
    const struct kv_compute_ops *compute;
    const void *compute_params;
    struct kv_compute_env compute_env;
    const struct kv_evict_ops *evict;
    const void *evict_params;
    const struct kv_sched_ops *sched;
    const void *sched_params;
    const struct kv_route_ops *route;
    const void *route_params;
    struct kv_tier_config tier[KV_TIERS_MAX];   /* [0]: only its name; [1 .. tier_count - 1]: below HBM */
    int32_t tier_count;        /* 1: HBM alone (0 means the same) */
    struct kv_network_config network;
    struct kv_fetch_config fetch;
    struct kv_transfer_config transfer;
    int32_t resident_tier;     /* that resident tokens of requests are put into; 0: none */
    struct kv_handover_config handover;
    /* KV bytes of one token in each layer, as one of tp GPUs reads it; NULL: all layers alike (kv_bytes_per_token_per_
     * layer_per_gpu of compute_env.model). `layers` entries of the model. */
    const int64_t *read_layer_bytes;
    struct kv_replay_config replay;
    double timeseries_s;       /* as in kv_output_config */
    kv_tick time_limit_tk;     /* simulated; KV_TICK_NEVER = none */
    uint64_t event_limit;      /* 0 = none */
};

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The tiers below HBM: their pools, and accesses to them (docs/tiers.md T2-T4, T15-T17). Loads and writes, which are
 * made of accesses, stand in load.h and write.h. One object for the whole cluster; there is none where nothing lies
 * below HBM and nothing is handed over. */
#ifndef KV_SERVE_TIER_H
#define KV_SERVE_TIER_H

#include "sim/lib/pqueue.h"
#include "sim/serve/blocks.h"
#include "sim/serve/fetch.h"
#include "sim/serve/topology.h"

struct kv_serve;
struct kv_tiers;

/* One pool of a tier. "Blocks" of `chunks` are chunks. */
struct kv_tier_pool {
    int32_t tier, domain;
    int32_t instance;                      /* the first that shares it */
    struct kv_blocks chunks;
    void *admit;                           /* state of the admission policy */
    int64_t under_way;                     /* accesses that have their turn, without a limit too (T37) */
    int64_t in_line;                       /* that wait for it; `queue` holds cancelled ones besides */
    KV_VEC(uint32_t) queue;                /* accesses waiting for it, in order of coming; from queue_front on */
    size_t queue_front;
    uint64_t accesses;                     /* that ever came */
    KV_VEC(struct kv_evicted) evicted;     /* not yet proposed to the tier below, which wants to know */
};

struct kv_tier {
    const struct kv_tier_config *config;
    void *store;                           /* opened state of the store model */
    int64_t turns;                         /* accesses of a pool at a time; 0: any number */
    int64_t line;                          /* that may wait for a turn, others are refused; < 0: any number */
    int32_t blocks;                        /* of a chunk */
    int64_t read_bytes, write_bytes;       /* of a chunk, one tensor-parallel part */
    struct kv_tier_pool *pool;             /* [domain] */
    int32_t pools;
    struct kv_counters block_counters;     /* of the pools; what they evicted is told as evicted_chunks */
    struct kv_tier_counters *counters;
};

/* REFUSED: it comes again. CLOSED: its delay is over, but nothing is permitted yet. */
enum kv_access_state {
    KV_ACCESS_QUEUED, KV_ACCESS_REFUSED, KV_ACCESS_DELAYED, KV_ACCESS_CLOSED, KV_ACCESS_FLOWING, KV_ACCESS_ENDED,
    KV_ACCESS_DEAD
};

/* One access on its way. */
struct kv_access_job {
    struct kv_tier_pool *pool;             /* NULL: a hand-over, between two instances */
    struct kv_way way;
    struct kv_access_plan plan;            /* from its turn on; `limit`: that of the links' messages too (T38) */
    uint64_t serial;                       /* order of coming, over all pools */
    uint64_t number;                       /* the same at its pool */
    int64_t bytes, permitted, mark;        /* of a part: all; may be delivered; owner is told next */
    uint32_t owner, flow;                  /* load or write; flow once there is one */
    int32_t part;                          /* of the load */
    int32_t attempt;                       /* how often it was refused */
    int64_t chunks;
    uint8_t delivery, state;               /* enum kv_delivery, kv_access_state */
    bool write, has_turn;
    bool paused, resuming;                 /* it has delivered what it might; and waits for the server again (T19) */
};

struct kv_tiers {
    struct kv_serve *serve;
    const struct kv_transfer_config *transfer;
    struct kv_net *net;
    struct kv_topology topology;
    struct kv_tier tier[KV_TIERS_MAX];
    int32_t count;                         /* HBM included */
    int32_t layers;
    int64_t *layer_bytes;                  /* [layers + 1]: of a token and part, up to layer l */
    struct kv_pool accesses;               /* struct kv_access_job */
    struct kv_pqueue delays;               /* (due, serial) -> access */
    uint64_t serial;
    uint32_t delay_timer;
    struct kv_pqueue retries;              /* of refused ones: (due, serial) -> access */
    uint32_t retry_timer;
    struct kv_pool loads;                  /* struct kv_load */
    struct kv_fetches fetches;
    struct kv_pqueue timeouts;             /* (due, serial) -> load */
    uint32_t timeout_timer;
    struct kv_pool writes;                 /* struct kv_write_job */
    struct kv_pqueue acks;                 /* (due, serial) -> write */
    uint32_t visible_timer;
    int64_t *scratch;                      /* [2 * layers] */
};

/* NULL and *err when a store refuses its parameters. */
struct kv_tiers *kv_tiers_open(struct kv_serve *serve, struct kv_err *err);
void kv_tiers_close(struct kv_tiers *t);

/* The pool of a tier for an instance. */
static inline struct kv_tier_pool *kv_tier_pool_of(struct kv_tiers *t, int32_t tier, int32_t instance)
{
    const struct kv_tier *k = &t->tier[tier];
    return &k->pool[kv_domain_of(t->topology.config, k->config->scope, instance)];
}
static inline struct kv_access_job *kv_access_at(const struct kv_tiers *t, uint32_t access)
{
    return kv_pool_at(&t->accesses, access);
}

/* Begins an access of `chunks` chunks. The owner is told (kv_load_told, kv_write_told) each time `mark` bytes of a
 * part are there, 0 < mark <= permitted <= bytes; it ends when that is all of them. */
struct kv_access_request {
    struct kv_tier_pool *pool;
    int32_t instance;                      /* between whose GPUs and the pool; of an eviction: one that stands there */
    bool write, evicted;                   /* evicted: from the tier above, not from GPUs */
    enum kv_delivery delivery;
    int64_t chunks, permitted, mark;       /* permitted, mark: 0 = all */
    uint32_t owner;
    int32_t part;
};
uint32_t kv_access_begin(struct kv_tiers *t, const struct kv_access_request *request);
/* A hand-over from instance `from` to `to`: its delay begins; nothing flows before something is permitted. */
uint32_t kv_access_begin_handover(struct kv_tiers *t, int32_t from, int32_t to, int64_t bytes, uint32_t owner,
                                  int32_t part);
void kv_access_permit(struct kv_tiers *t, uint32_t access, int64_t permitted);
void kv_access_mark(struct kv_tiers *t, uint32_t access, int64_t mark);
/* It stands in line for its turn, or was refused one. */
static inline bool kv_access_waits(const struct kv_tiers *t, uint32_t access)
{
    uint8_t state = kv_access_at(t, access)->state;
    return state == KV_ACCESS_QUEUED || state == KV_ACCESS_REFUSED;
}
/* Whole bytes of a part that it has delivered by `at_tk`, not before now, if nothing happens until then. */
int64_t kv_access_moved_bytes(const struct kv_tiers *t, uint32_t access, kv_tick at_tk);
/* Ends it where it stands and forgets it; returns the bytes of a part that were delivered. Also forgets an ended one.
 * */
int64_t kv_access_drop(struct kv_tiers *t, uint32_t access);
/* Uncontended: delay and flow of `chunks` chunks read from the pool (T6). */
kv_tick kv_access_estimate_tk(struct kv_tiers *t, const struct kv_tier_pool *pool, int32_t instance,
                              enum kv_delivery delivery, int64_t chunks);

/* The limit of what it is a part of has changed (T39): its flow takes it on. */
void kv_access_limit(struct kv_tiers *t, uint32_t access);
/* Own limit of one access, all parts, of those that would read `chunks` chunks next: with nobody else there (T39). */
kv_rate kv_access_stream_limit(struct kv_tiers *t, const struct kv_tier_pool *pool, int32_t instance,
                               enum kv_delivery delivery, int64_t chunks);

/* What the network and the timers of delays and of refused accesses call. */
void kv_access_flow_done(void *tiers, uint32_t flow, uint64_t tag, int64_t bytes_done);
void kv_access_delays_end(void *tiers, uint32_t kind);
void kv_access_retries_come(void *tiers, uint32_t kind);
/* Nothing is pending in the run but, perhaps, accesses that would be refused again for ever (T37a). */
bool kv_access_idle(const struct kv_tiers *t);
int64_t kv_access_refused_count(const struct kv_tiers *t);   /* that wait to come again */

#endif

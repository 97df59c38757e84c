/* SPDX-License-Identifier: Apache-2.0 */
/* Loads: KV on its way into an instance's HBM, from lower tiers or from the instance that computed it (docs/tiers.md
 * T9-T19, T26, T28, T29), and what a request that waits for them remembers. */
#ifndef KV_SERVE_LOAD_H
#define KV_SERVE_LOAD_H

#include "sim/serve/split.h"
#include "sim/serve/tier.h"

/* T42: tokens behind the match of a look-up that were on their way into a tier; tier 0: none. */
struct kv_pending { int32_t tier, tokens; };

/* What a request has that ever had to wait for KV. In the slab, from its first such wait to its end. */
struct kv_hold {
    KV_VEC(uint32_t) loads;                /* it waits for, not ended */
    int32_t unreleased;                    /* of them: those that do not let it join a step yet */
    int32_t blocks;                        /* it holds, while it is a holder */
    bool holding, ready;                   /* a holder (T7); and may join */
    bool hbm_only;                         /* a load was cut short: looked up in HBM alone until it joins (T14) */
    kv_tick since_tk;                      /* when it became a holder that has to wait */
    kv_tick waited_tk;                     /* ended waits before its first step */
    int32_t hit_tokens[KV_TIERS_MAX];      /* of its present hit, by tier; HBM included */
    int32_t first_hit_tokens[KV_TIERS_MAX];/* as counted at its first joining */
    bool counted;                          /* that it was here then */
    struct kv_pending pending;             /* of its present hit's look-up */
    struct kv_split *split;                /* it computes while it loads and has not met yet (T44); in the slab */
    int64_t fetched_bytes[KV_TIERS_MAX];   /* delivered by its loads, all parts */
};

struct kv_seq;
struct kv_hold *kv_hold_make(struct kv_serve *serve, struct kv_seq *q);   /* the one it has, or a new one */

/* A block that a load brings: its slot in HBM, its place in the owner's prompt, and the chunk that holds it. */
struct kv_load_block { uint32_t slot; int32_t block, part, chunk; };

/* What comes from one tier. */
struct kv_load_part {
    int32_t tier;                          /* 0: handed over */
    struct kv_tier_pool *pool;
    int32_t chunks;
    uint32_t *chunk_slot;                  /* [chunks] in the pool, pinned while `over` is false */
    uint32_t access;                       /* bulk, layerwise, hand-over; KV_NONE before and after */
    /* chunkwise */
    int32_t next_chunk, arrived_chunks;    /* from the tail: those from next_chunk on have been asked for */
    struct kv_load_get { uint32_t access; int32_t chunk; } *get;   /* [concurrency]; access KV_NONE: idle */
    uint8_t *arrived;                      /* [chunks] */
    int32_t layers_in;                     /* layers told of (layerwise) */
    uint32_t fetch;                        /* where it is told of (fetch.h); KV_NONE */
    bool over;
};

struct kv_fill { struct kv_tier_pool *pool; uint32_t slot; int32_t chunk; };

struct kv_load {
    struct kv_instance *instance;          /* into whose HBM */
    uint32_t owner;                        /* request that began it; KV_NONE once it has given back */
    int32_t block_count;
    struct kv_load_block *block;           /* [block_count] ascending */
    struct kv_load_part part[KV_TIERS_MAX];
    int32_t part_count, parts_open;
    KV_VEC(uint32_t) waiters;              /* requests, in the order of their coming */
    KV_VEC(struct kv_fill) fills;
    uint64_t serial;
    enum kv_delivery mode;                 /* of this load: never AUTO; hand-over: bulk (T28) */
    kv_tick timeout_tk;                    /* KV_TICK_NEVER */
    bool live;                             /* not ended; the record may outlive that for its `users` */
    bool joined;                           /* a request waiting for it has joined a step */
    bool released;                         /* its waiters need not wait for it to join a step */
    /* From the tail (T44): chunkwise, the last chunk first, and its owner need not wait. */
    bool from_tail, keeps_arrived;         /* cut, it keeps what has arrived or its owner computed */
    int32_t unasked, unmet;                /* blocks whose chunk may not be asked for; not known to have arrived */
    int32_t computed_blocks;               /* of its owner's prompt, where it ends before all has arrived */
    int32_t users;                         /* steps under way that will ask when its layers came */
    /* where each layer is told of: [layers] arrival so far, of the latest part */
    kv_tick *layer_tk;
    int32_t layers_permitted;
    struct kv_instance *from;              /* hand-over: the prefill instance */
    int64_t bytes, bytes_ready;            /* hand-over: of a part; computed so far */
};

static inline struct kv_load *kv_load_at(const struct kv_tiers *t, uint32_t load)
{
    return kv_pool_at(&t->loads, load);
}

/* T35: how a load of so many bytes, all tensor-parallel parts, is delivered. */
enum kv_delivery kv_load_mode(const struct kv_tiers *t, int64_t bytes);

/* How a load is asked for: from the tail or not, and its timeout from now on; KV_TICK_NEVER: none. */
struct kv_load_how { bool from_tail; kv_tick timeout_tk; };
/* Begins the load of blocks whose sources are known: `source[i]` of block i (0 = HBM, not loaded), `chunk_slot[i]` in
 * the pool of that tier. Registers the loaded blocks in the instance's pool and writes their slots to q->slot. The
 * caller has taken the blocks. */
uint32_t kv_load_begin(struct kv_tiers *t, struct kv_instance *n, uint32_t seq, int32_t block_count,
                       const uint8_t *source, const uint32_t *chunk_slot, struct kv_load_how how);
/* A hand-over of all blocks of q from its hit on, `bytes` of a part in all, from `from`. Nothing flows yet. */
uint32_t kv_load_begin_handover(struct kv_tiers *t, struct kv_instance *n, uint32_t seq, struct kv_instance *from,
                                int32_t first_block, int32_t block_end, int64_t bytes);
/* The way is opened: its delay begins (T29; the first kv_load_computed does it too). */
void kv_load_open_way(struct kv_tiers *t, uint32_t load);
/* That so many bytes of a part can be sent now (T28, T29). */
void kv_load_computed(struct kv_tiers *t, uint32_t load, int64_t bytes_ready);

/* What can be sent so far. */
static inline int64_t kv_load_ready_bytes(const struct kv_tiers *t, uint32_t load)
{
    const struct kv_load *l = kv_load_at(t, load);
    return l->bytes_ready > 0 ? l->bytes_ready : 0;
}

/* A request waits for a load (its own or another's). */
void kv_load_wait(struct kv_tiers *t, uint32_t load, uint32_t seq);
/* It no longer does: it gives back. The last one ends the load (T13). */
void kv_load_leave(struct kv_tiers *t, uint32_t load, uint32_t seq);
/* From the tail: the first block of those in a row up to the last that have arrived; behind the last if it has not. */
int32_t kv_load_meeting_block(struct kv_load *l);
/* Its owner has computed what has not arrived: it ends, and all its blocks are there. */
void kv_load_meet(struct kv_tiers *t, uint32_t load);
/* Its owner will leave it next, having computed so many blocks of its prompt. */
void kv_load_keep_arrived(struct kv_tiers *t, uint32_t load, int32_t computed_blocks);
/* Bounded look-ahead: layers 0 .. layers - 1 may come (T19). */
void kv_load_permit(struct kv_tiers *t, uint32_t load, int32_t layers);
/* Latest arrival of each layer over its parts, [layers]; joins (max) into what `arrival` holds. Of a load with users
 * that has ended. */
void kv_load_arrivals(struct kv_tiers *t, uint32_t load, kv_tick *arrival);
void kv_load_use(struct kv_tiers *t, uint32_t load);
void kv_load_unuse(struct kv_tiers *t, uint32_t load);
/* Arrival of layer l of a bounded load; KV_TICK_NEVER when it is still to come. */
kv_tick kv_load_layer_tk(const struct kv_tiers *t, uint32_t load, int32_t layer);

/* From accesses: `bytes` of a part are there. */
void kv_load_told(struct kv_tiers *t, uint32_t load, int32_t part, uint32_t access, int64_t bytes);
/* The timer of timeouts. */
void kv_load_timeouts(struct kv_tiers *t);
/* Arms it for the first load that can still time out; to be called when one no longer can. */
void kv_load_arm_timeouts(struct kv_tiers *t);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Writes into lower tiers (docs/tiers.md T22-T25). */
#ifndef KV_SERVE_WRITE_H
#define KV_SERVE_WRITE_H

#include "sim/serve/tier.h"

struct kv_instance;
struct kv_seq;

struct kv_offer { struct kv_prefix_place place; int32_t chunk; };

/* A write on its way: arriving chunks of a pool, and the HBM blocks that it still needs. */
struct kv_write_job {
    struct kv_tier_pool *pool;
    struct kv_instance *instance;          /* whose blocks it references; NULL: from a copy */
    uint32_t *chunk_slot, *block_slot;     /* in the slab */
    int32_t known, own, blocks;            /* chunks with a key; own chunks; blocks referenced */
    uint32_t access;
    uint32_t prev, next;                   /* pending writes of the instance, oldest first */
    uint64_t serial;
    bool done;                             /* all bytes are in, not acknowledged */
};

/* through: the step has just computed tokens [from, to) of q. back: q finishes with `to` tokens computed (from 0). */
void kv_write_computed(struct kv_tiers *t, struct kv_instance *n, const struct kv_seq *q, int64_t from_tokens,
                       int64_t to_tokens);
void kv_write_finished(struct kv_tiers *t, struct kv_instance *n, const struct kv_seq *q, int64_t tokens);
/* Proposes what has been evicted from the instance's HBM since the last call. */
void kv_write_evicted(struct kv_tiers *t, struct kv_instance *n);
/* T25: drops the instance's latest write that alone references one of its blocks; false when there is none. */
bool kv_write_drop_one(struct kv_tiers *t, struct kv_instance *n);

/* T36: chunks that a request brings with it are in the tier when it is about to wait at `instance`. */
void kv_write_resident(struct kv_tiers *t, int32_t instance, const struct kv_seq *q);

/* Pending writes that keep blocks of the instance's HBM. */
int64_t kv_write_pending_count(const struct kv_tiers *t, const struct kv_instance *n);

void kv_write_told(struct kv_tiers *t, uint32_t write, int64_t bytes);
/* The timer of acknowledgements. */
void kv_write_visible(struct kv_tiers *t);
/* Evictions below HBM are proposed to the next tier; called wherever space was taken in a lower pool. */
void kv_write_evicted_below(struct kv_tiers *t, struct kv_tier_pool *pool);

#endif

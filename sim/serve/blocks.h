/* SPDX-License-Identifier: Apache-2.0 */
/* The KV block pool of one instance: in-use and cached blocks are one pool (docs/engine.md rules 14-21).
 *
 * Only registered blocks have a slot: an entry with an identity, a reference count and a place in the eviction
 * policy. The index knows slots by groups of consecutive blocks, so that a prefix costs one hash look-up a group.
 * Private and partly filled blocks are mere counts. Full blocks that only their own request can ever hit are not
 * registered one by one but, when the request lets go of them, as one *run*: a slot that stands for several blocks
 * and loses them from its tail. That keeps a pool exact per block while a request without shared tokens costs one
 * slot whatever its length. */
#ifndef KV_SERVE_BLOCKS_H
#define KV_SERVE_BLOCKS_H

#include "sim/base/map.h"
#include "sim/iface/config.h"
#include "sim/iface/record.h"

struct kv_blocks {
    const struct kv_evict_ops *evict;
    void *policy;
    struct kv_pool slots;          /* struct kv_slot */
    struct kv_pool groups;         /* struct kv_block_group */
    struct kv_map index;           /* group key -> group */
    uint64_t memo_key;             /* the group looked up last: a prefix asks for the same one many times */
    uint32_t memo_group;           /* KV_NONE: no memo */
    int64_t capacity, free, active, inactive;   /* free + active + inactive = capacity */
    int64_t registrations;         /* ever made; says whether an earlier look-up can have grown */
    struct kv_counters *counters;
};

void kv_blocks_open(struct kv_blocks *b, const struct kv_sim_config *config, struct kv_counters *counters);
void kv_blocks_close(struct kv_blocks *b);

/* Blocks that a request could take now: free ones and evictable ones. */
static inline int64_t kv_blocks_available(const struct kv_blocks *b) { return b->free + b->inactive; }

/* Takes `count` blocks, evicting where none is free. count <= available (assert). */
void kv_blocks_take(struct kv_blocks *b, int64_t count);
/* Gives back `count` referenced blocks that are not registered. */
static inline void kv_blocks_give(struct kv_blocks *b, int64_t count)
{
    b->active -= count;
    b->free += count;
    b->counters->blocks_freed += count;
}

/* Slot of a registered block, KV_NONE when there is none. */
uint32_t kv_blocks_find(struct kv_blocks *b, struct kv_prefix_place place);
int32_t kv_blocks_refs(const struct kv_blocks *b, uint32_t slot);
/* Registers a block that its request holds; KV_NONE when it is registered already (this one stays private). */
uint32_t kv_blocks_register(struct kv_blocks *b, struct kv_prefix_place place);
/* One more reference. */
void kv_blocks_ref(struct kv_blocks *b, uint32_t slot);
/* One reference less; the last makes the block evictable. */
void kv_blocks_unref(struct kv_blocks *b, uint32_t slot);
/* One reference less; the last makes the block free and unknown (cache_outputs: false). */
void kv_blocks_unref_forget(struct kv_blocks *b, uint32_t slot);

/* A run of `count` >= 1 referenced blocks becomes evictable, tail first. `*handle` (may be NULL: nobody will ask
 * for the run again) receives the slot, and KV_NONE once the run has been evicted to its end. */
void kv_blocks_retire_run(struct kv_blocks *b, int64_t count, uint32_t *handle);
/* Blocks left in a run. */
int64_t kv_blocks_run_count(const struct kv_blocks *b, uint32_t slot);
/* Ends a run: its first `reuse` blocks are referenced again, the others become free. */
void kv_blocks_reclaim_run(struct kv_blocks *b, uint32_t slot, int64_t reuse);

#endif

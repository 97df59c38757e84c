/* SPDX-License-Identifier: Apache-2.0 */
/* A pool of KV: the blocks of one instance, in use and cached in one pool (docs/engine.md rules 14-21), or the chunks
 * of a lower tier (docs/tiers.md T2-T4), which are called blocks here too.
 *
 * Only registered blocks have a slot: an entry with an identity, a reference count and a place in the eviction
 * policy. The index knows slots by groups of consecutive blocks, so that a prefix costs one hash look-up a group.
 * Private and partly filled blocks are mere counts. Full blocks that only their own request can ever hit are not
 * registered one by one but, when the request lets go of them, as one *run*: a slot that stands for several blocks
 * and loses them from its tail. That keeps a pool exact per block while a request without shared tokens costs one
 * slot whatever its length.
 *
 * A *pending* slot has an identity and a place but no content yet: it is being loaded, or written. In a lower tier
 * (`by_hit`) the policy sees hits instead of references, and a victim that is being read is parked until it is not. */
#ifndef KV_SERVE_BLOCKS_H
#define KV_SERVE_BLOCKS_H

#include "sim/base/map.h"
#include "sim/iface/config.h"
#include "sim/iface/record.h"

/* What an eviction took: a block with an identity, or so many that were their request's own. */
struct kv_evicted { struct kv_prefix_place place; int64_t own; };

/* A member of a group: `flags` with KNOWN when the policy has it (inserted at its first release). A run, with run > 0:
 * so many blocks, the first `prompt` of them without generated tokens, with `handle` as its owner's memory of it. */
enum { KV_SLOT_PENDING = 1, KV_SLOT_GENERATED = 2, KV_SLOT_PARKED = 4, KV_SLOT_KNOWN = 8 };
struct kv_slot {
    union { struct { uint32_t refs, job; }; uint32_t *handle; };
    uint32_t run;
    union { uint32_t flags, prompt; };
};
/* `used`: bit m is set when member m is registered, or holds a run. */
struct kv_block_group { uint64_t key; uint32_t used; uint32_t next; struct kv_slot slot[]; };

struct kv_blocks {
    const struct kv_evict_ops *evict;
    void *policy;
    bool by_hit;                   /* a lower tier */
    /* Told of each eviction, blocks with generated tokens left out unless `tell_generated`; NULL: nobody listens. */
    void (*evicted)(void *owner, struct kv_evicted evicted);
    void *evicted_owner;
    bool tell_generated;
    int32_t chunk_blocks, block_tokens;   /* of a block of this pool; of those of prefixes */
    const int32_t *ids_tokens;     /* of the trace's first prefix, 0 without ids: known when a prefix is */
    /* Slots stand in groups of `width`, a power of two, as their blocks follow each other in a prefix: slot = group *
     * width + member. 0 until the first prefix is seen. */
    uint32_t width, width_bits;
    struct kv_pool groups;         /* struct kv_block_group */
    struct kv_map index;           /* group key -> group */
    uint32_t run_group;            /* a group with room for runs; KV_NONE */
    uint64_t memo_key;             /* the group looked up last: a prefix asks for the same one many times */
    uint32_t memo_group;           /* KV_NONE: no memo */
    int64_t capacity, free, active, inactive;   /* free + active + inactive = capacity */
    int64_t registrations;         /* ever made; says whether an earlier look-up can have grown */
    struct kv_counters *counters;
};

#define KV_BLOCKS_UNLIMITED (INT64_C(1) << 61)
struct kv_blocks_config {
    const struct kv_evict_ops *evict;
    const void *evict_params;
    int64_t capacity;              /* <= KV_BLOCKS_UNLIMITED; the policy is told the same */
    int32_t chunk_blocks, block_tokens;
    const int32_t *ids_tokens;     /* as in struct kv_blocks; NULL: no ids */
    struct kv_counters *counters;
};
void kv_blocks_open(struct kv_blocks *b, const struct kv_blocks_config *config);
void kv_blocks_close(struct kv_blocks *b);

/* Blocks that a request could take now: free ones and evictable ones. */
static inline int64_t kv_blocks_available(const struct kv_blocks *b) { return b->free + b->inactive; }

/* Takes `count` blocks, evicting where none is free. count <= available (assert). */
void kv_blocks_take(struct kv_blocks *b, int64_t count);
/* by_hit: takes one, or finds that nothing can leave. */
bool kv_blocks_take_one(struct kv_blocks *b);
/* Gives back `count` referenced blocks that are not registered. */
static inline void kv_blocks_give(struct kv_blocks *b, int64_t count)
{
    b->active -= count;
    b->free += count;
    b->counters->blocks_freed += count;
}

void kv_blocks_see_prefix(struct kv_blocks *b);
/* Place of a block (chunk) of a prefix in pools of this chunk size. */
static inline struct kv_prefix_place kv_blocks_place(struct kv_blocks *b, const struct kv_prefix *prefix, int32_t block)
{
    if (b->width == 0) kv_blocks_see_prefix(b);
    return kv_prefix_place(prefix, block, b->chunk_blocks, b->block_tokens, b->width_bits);
}
/* Slot of a registered block, pending ones included; KV_NONE when there is none. */
uint32_t kv_blocks_find(struct kv_blocks *b, struct kv_prefix_place place);

/* Looks up block after block of a prefix, ascending, a group at a time. Of no use any more once a block was registered
 * or evicted. */
struct kv_blocks_cursor {
    struct kv_blocks *blocks;
    const struct kv_prefix *prefix;
    int32_t begin, end;            /* blocks of the prefix in the group at hand */
    struct kv_prefix_place place;  /* of `begin` */
    uint32_t used, slot;           /* the group's members, 0 where there is none; slot of `begin` */
};
static inline struct kv_blocks_cursor kv_blocks_cursor(struct kv_blocks *b, const struct kv_prefix *prefix)
{
    return (struct kv_blocks_cursor){.blocks = b, .prefix = prefix};
}
void kv_blocks_cursor_move(struct kv_blocks_cursor *c, int32_t block);
static inline uint32_t kv_blocks_look(struct kv_blocks_cursor *c, int32_t block)
{
    if (block >= c->end || block < c->begin) kv_blocks_cursor_move(c, block);
    uint32_t further = (uint32_t)(block - c->begin);
    return c->used >> (c->place.member + further) & 1 ? c->slot + further : KV_NONE;
}
/* Place of the block looked up last. */
static inline struct kv_prefix_place kv_blocks_cursor_place(const struct kv_blocks_cursor *c, int32_t block)
{
    return (struct kv_prefix_place){c->place.group, c->place.member + (uint32_t)(block - c->begin)};
}

static inline struct kv_block_group *kv_block_group_at(const struct kv_blocks *b, uint32_t group)
{
    return kv_pool_at(&b->groups, group);
}
static inline struct kv_slot *kv_slot_at(const struct kv_blocks *b, uint32_t slot)
{
    return &kv_block_group_at(b, slot >> b->width_bits)->slot[slot & (b->width - 1)];
}
static inline int32_t kv_blocks_refs(const struct kv_blocks *b, uint32_t slot)
{
    return (int32_t)kv_slot_at(b, slot)->refs;
}
/* Registers a block that its request holds (one reference); KV_NONE when it is registered already (this one stays
 * private). `generated`: it ends with a generated token. */
uint32_t kv_blocks_register(struct kv_blocks *b, struct kv_prefix_place place, bool generated);
/* The same for blocks [from, to) of a prefix, to slot[0..to - from - 1]. Those from `generated_from` on are
 * generated. */
void kv_blocks_register_all(struct kv_blocks *b, const struct kv_prefix *prefix, int32_t from, int32_t to,
                            int32_t generated_from, uint32_t *slot);
/* The same up to the first that is registered already. Returns its number, or `to`. */
int32_t kv_blocks_register_new(struct kv_blocks *b, const struct kv_prefix *prefix, int32_t from, int32_t to,
                               int32_t generated_from, uint32_t *slot);
/* The same of blocks that a load brings: pending on behalf of `job`, with two references, its own and its request's.
 * None of them is registered. */
void kv_blocks_register_all_loading(struct kv_blocks *b, const struct kv_prefix *prefix, int32_t from, int32_t to,
                                    int32_t generated_from, uint32_t job, uint32_t *slot);
/* Chunks that are to be written: pending, with the write's reference. None of them is registered. */
void kv_blocks_register_all_pending(struct kv_blocks *b, const struct kv_prefix *prefix, int32_t from, int32_t to,
                                    uint32_t *slot);
/* One, pending on behalf of `job` (any number). */
uint32_t kv_blocks_register_pending(struct kv_blocks *b, struct kv_prefix_place place, uint32_t job, bool generated);
static inline bool kv_blocks_pending(const struct kv_blocks *b, uint32_t slot)
{
    return kv_slot_at(b, slot)->flags & KV_SLOT_PENDING;
}
uint32_t kv_blocks_job(const struct kv_blocks *b, uint32_t slot);   /* of a pending slot */
static inline void kv_blocks_arrived(struct kv_blocks *b, uint32_t slot)   /* no longer pending */
{
    kv_slot_at(b, slot)->flags &= ~(uint32_t)KV_SLOT_PENDING;
}
/* One more reference. */
void kv_blocks_ref(struct kv_blocks *b, uint32_t slot);
/* One reference less; the last makes the block evictable. */
void kv_blocks_unref_last(struct kv_blocks *b, uint32_t slot);   /* it has one */
static inline void kv_blocks_unref(struct kv_blocks *b, uint32_t slot)
{
    struct kv_slot *s = kv_slot_at(b, slot);
    if (s->refs > 1) s->refs--;
    else kv_blocks_unref_last(b, slot);
}
/* Both for several slots: references first to last; ends of references last to first, a KV_NONE being a block that is
 * not registered, which is given back. */
void kv_blocks_ref_all(struct kv_blocks *b, const uint32_t *slot, int32_t count);
void kv_blocks_unref_all(struct kv_blocks *b, const uint32_t *slot, int32_t count);
/* Pending slots have arrived and their one reference ends, first to last. */
void kv_blocks_settle_all(struct kv_blocks *b, const uint32_t *slot, int32_t count);
/* One reference less; the last makes the block free and unknown (cache_outputs: false). */
void kv_blocks_unref_forget(struct kv_blocks *b, uint32_t slot);

/* by_hit: a reader begins (a hit, and a reference) or ends. */
void kv_blocks_read(struct kv_blocks *b, uint32_t slot);
void kv_blocks_read_end(struct kv_blocks *b, uint32_t slot);

/* A run of `count` >= 1 referenced blocks becomes evictable, tail first; the first `prompt` of them hold no generated
 * token. `*handle` (may be NULL: nobody will ask for the run again) receives the slot, and KV_NONE once the run has
 * been evicted to its end. */
void kv_blocks_retire_run(struct kv_blocks *b, int64_t count, int64_t prompt, uint32_t *handle);
/* The run's owner has ended: nobody will ask for it again, and nothing is told where *handle was. */
static inline void kv_blocks_disown_run(struct kv_blocks *b, uint32_t slot)
{
    kv_slot_at(b, slot)->handle = NULL;
}
/* Blocks left in a run. */
int64_t kv_blocks_run_count(const struct kv_blocks *b, uint32_t slot);
/* Ends a run: its first `reuse` blocks are referenced again, the others become free. */
void kv_blocks_reclaim_run(struct kv_blocks *b, uint32_t slot, int64_t reuse);

#endif

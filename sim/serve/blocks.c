/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/serve/blocks.h"

enum { PENDING = 1, GENERATED = 2, PARKED = 4, KNOWN = 8 };
/* A member of a group: `flags` with KNOWN when the policy has it (inserted at its first release). A run, with run >
 * 0: so
 * many blocks, the first `prompt` of them without generated tokens, with `handle` as its owner's memory of it. */
struct kv_slot {
    union { struct { uint32_t refs, job; }; uint32_t *handle; };
    uint32_t run;
    union { uint32_t flags, prompt; };
};

/* `used`: bit m is set when member m is registered, or holds a run. */
struct kv_block_group { uint64_t key; uint32_t used; uint32_t next; struct kv_slot slot[]; };
#define WIDTH_MAX 16

static struct kv_block_group *group_at(const struct kv_blocks *b, uint32_t group)
{
    return kv_pool_at(&b->groups, group);
}

static struct kv_slot *slot_at(const struct kv_blocks *b, uint32_t slot)
{
    return &group_at(b, slot >> b->width_bits)->slot[slot & (b->width - 1)];
}

void kv_blocks_open(struct kv_blocks *b, const struct kv_blocks_config *config)
{
    *b = (struct kv_blocks){.evict = config->evict, .capacity = config->capacity, .free = config->capacity,
                            .chunk_blocks = config->chunk_blocks, .block_tokens = config->block_tokens,
                            .ids_tokens = config->ids_tokens, .counters = config->counters};
    b->memo_group = b->run_group = KV_NONE;
    kv_map_open(&b->index, 1024);
    b->policy = kv_mem_take(b->evict->state_bytes);
    b->evict->open(b->policy, config->evict_params, config->capacity);
}

/* As wide as neighbours can be: where each id of the trace is a block, there are none. */
void kv_blocks_see_prefix(struct kv_blocks *b)
{
    int32_t ids_tokens = b->ids_tokens ? *b->ids_tokens : 0;
    int32_t neighbours = ids_tokens > 0 ? ids_tokens / (b->block_tokens * b->chunk_blocks) : WIDTH_MAX;
    while (b->width_bits < 4 && 2 << b->width_bits <= neighbours) b->width_bits++;
    b->width = 1u << b->width_bits;
    kv_pool_open(&b->groups, sizeof(struct kv_block_group) + b->width * sizeof(struct kv_slot));
}

void kv_blocks_close(struct kv_blocks *b)
{
    b->evict->close(b->policy);
    kv_mem_give(b->policy, b->evict->state_bytes);
    kv_map_close(&b->index);
    if (b->width > 0) kv_pool_close(&b->groups);
}

/* The index, group by group. */
static uint32_t find_group(struct kv_blocks *b, uint64_t key)
{
    if (b->memo_group == KV_NONE || b->memo_key != key) {
        b->memo_group = kv_map_get(&b->index, key);
        b->memo_key = key;
    }
    return b->memo_group;
}

static uint32_t make_group(struct kv_blocks *b, uint64_t key)
{
    uint32_t group = kv_pool_take(&b->groups);
    group_at(b, group)->key = key;
    kv_map_put(&b->index, key, group);
    b->memo_group = group;
    return group;
}

static void forget(struct kv_blocks *b, uint32_t slot)
{
    uint32_t group = slot >> b->width_bits;
    struct kv_block_group *g = group_at(b, group);
    g->used &= ~(1u << (slot & (b->width - 1)));
    if (g->used) return;
    kv_map_drop(&b->index, g->key);
    kv_pool_give(&b->groups, group);
    if (b->memo_group == group) b->memo_group = KV_NONE;
}

/* Runs stand in groups of their own; those with room are in a list. */
static uint32_t take_run_slot(struct kv_blocks *b)
{
    if (b->width == 0) kv_blocks_see_prefix(b);
    if (b->run_group == KV_NONE) {
        b->run_group = kv_pool_take(&b->groups);
        group_at(b, b->run_group)->next = KV_NONE;
    }
    uint32_t group = b->run_group, member = 0;
    struct kv_block_group *g = group_at(b, group);
    while (g->used >> member & 1) member++;
    g->used |= 1u << member;
    if (g->used == (1u << b->width) - 1) b->run_group = g->next;
    return group << b->width_bits | member;
}

static void give_run_slot(struct kv_blocks *b, uint32_t slot)
{
    uint32_t group = slot >> b->width_bits;
    struct kv_block_group *g = group_at(b, group);
    bool was_full = g->used == (1u << b->width) - 1;
    g->used &= ~(1u << (slot & (b->width - 1)));
    if (!was_full) return;
    g->next = b->run_group;
    b->run_group = group;
}

/* T4: a victim that is being read is parked, and the next one asked for. */
static uint32_t find_victim(struct kv_blocks *b)
{
    uint32_t victim = b->evict->victim(b->policy);
    while (b->by_hit && victim != KV_NONE && slot_at(b, victim)->run == 0 && slot_at(b, victim)->refs > 0) {
        b->evict->pin(b->policy, victim);
        slot_at(b, victim)->flags |= PARKED;
        victim = b->evict->victim(b->policy);
    }
    return victim;
}

bool kv_blocks_take_one(struct kv_blocks *b)
{
    if (kv_blocks_available(b) > 0) {
        kv_blocks_take(b, 1);
        return true;
    }
    uint32_t victim = find_victim(b);   /* none; but those that are being read have been asked for, and are parked */
    kv_assert(victim == KV_NONE);
    return false;
}

static int64_t least(int64_t x, int64_t y)
{
    return x < y ? x : y;
}

static void tell(const struct kv_blocks *b, uint32_t slot, const struct kv_slot *s, int64_t gone)
{
    if (s->run > 0) {
        int64_t prompts = least(s->run, s->prompt) - least(s->run - gone, s->prompt);
        int64_t own = b->tell_generated ? gone : prompts;
        if (own > 0) b->evicted(b->evicted_owner, (struct kv_evicted){.own = own});
    } else if (b->tell_generated || !(s->flags & GENERATED)) {
        struct kv_prefix_place place = {group_at(b, slot >> b->width_bits)->key, slot & (b->width - 1)};
        b->evicted(b->evicted_owner, (struct kv_evicted){.place = place});
    }
}

/* Takes up to `want` blocks from the policy's victim and returns how many it gave. */
static int64_t evict_some(struct kv_blocks *b, int64_t want)
{
    uint32_t victim = find_victim(b);
    kv_assert(victim != KV_NONE);
    struct kv_slot *s = slot_at(b, victim);
    int64_t got = s->run == 0 ? 1 : least(s->run, want);
    if (b->evicted) tell(b, victim, s, got);
    if (s->run > got) {
        s->run -= (uint32_t)got;
        return got;
    }
    b->evict->remove(b->policy, victim);
    if (s->run == 0) {
        forget(b, victim);
        return got;
    }
    if (s->handle) *s->handle = KV_NONE;
    give_run_slot(b, victim);
    return got;
}

void kv_blocks_take(struct kv_blocks *b, int64_t count)
{
    kv_assert(count <= kv_blocks_available(b));
    int64_t from_free = count < b->free ? count : b->free;
    int64_t missing = count - from_free;
    b->free -= from_free;
    b->inactive -= missing;
    b->active += count;
    b->counters->blocks_allocated += count;
    b->counters->blocks_evicted += missing;
    while (missing > 0) missing -= evict_some(b, missing);
}

int32_t kv_blocks_refs(const struct kv_blocks *b, uint32_t slot)
{
    return (int32_t)slot_at(b, slot)->refs;
}

uint32_t kv_blocks_find(struct kv_blocks *b, struct kv_prefix_place place)
{
    uint32_t group = find_group(b, place.group);
    if (group == KV_NONE || !(group_at(b, group)->used >> place.member & 1)) return KV_NONE;
    return group << b->width_bits | place.member;
}

static uint32_t add_slot(struct kv_blocks *b, struct kv_prefix_place place)
{
    if (b->width == 0) kv_blocks_see_prefix(b);
    uint32_t group = find_group(b, place.group);
    if (group == KV_NONE) group = make_group(b, place.group);
    struct kv_block_group *g = group_at(b, group);
    if (g->used >> place.member & 1) return KV_NONE;
    g->slot[place.member] = (struct kv_slot){.refs = 1};
    g->used |= 1u << place.member;
    b->registrations++;
    return group << b->width_bits | place.member;
}

uint32_t kv_blocks_register(struct kv_blocks *b, struct kv_prefix_place place, bool generated)
{
    uint32_t slot = add_slot(b, place);
    if (generated && slot != KV_NONE) slot_at(b, slot)->flags = GENERATED;
    return slot;
}

uint32_t kv_blocks_register_pending(struct kv_blocks *b, struct kv_prefix_place place, uint32_t job, bool generated)
{
    uint32_t slot = add_slot(b, place);
    kv_assert(slot != KV_NONE);
    slot_at(b, slot)->flags = PENDING | (generated ? GENERATED : 0);
    slot_at(b, slot)->job = job;
    return slot;
}

bool kv_blocks_pending(const struct kv_blocks *b, uint32_t slot)
{
    return slot_at(b, slot)->flags & PENDING;
}

uint32_t kv_blocks_job(const struct kv_blocks *b, uint32_t slot)
{
    return slot_at(b, slot)->job;
}

void kv_blocks_arrived(struct kv_blocks *b, uint32_t slot)
{
    slot_at(b, slot)->flags &= ~(uint32_t)PENDING;
}

void kv_blocks_read(struct kv_blocks *b, uint32_t slot)
{
    struct kv_slot *s = slot_at(b, slot);
    if (!(s->flags & PARKED)) b->evict->hit(b->policy, slot);
    if (s->refs++ > 0) return;
    b->inactive--;
    b->active++;
}

void kv_blocks_read_end(struct kv_blocks *b, uint32_t slot)
{
    struct kv_slot *s = slot_at(b, slot);
    if (--s->refs > 0) return;
    b->inactive++;
    b->active--;
    if (!(s->flags & PARKED)) return;
    s->flags &= ~(uint32_t)PARKED;
    b->evict->unpin(b->policy, slot);
}

void kv_blocks_ref(struct kv_blocks *b, uint32_t slot)
{
    if (slot_at(b, slot)->refs++ > 0) return;
    b->evict->pin(b->policy, slot);
    b->inactive--;
    b->active++;
    b->counters->blocks_allocated++;
}

void kv_blocks_unref(struct kv_blocks *b, uint32_t slot)
{
    struct kv_slot *s = slot_at(b, slot);
    if (--s->refs > 0) return;
    if (s->flags & KNOWN) b->evict->unpin(b->policy, slot);
    else b->evict->insert(b->policy, slot);
    s->flags |= KNOWN;
    b->active--;
    b->inactive++;
    b->counters->blocks_freed++;
}

void kv_blocks_unref_forget(struct kv_blocks *b, uint32_t slot)
{
    struct kv_slot *s = slot_at(b, slot);
    if (--s->refs > 0) return;
    if (s->flags & KNOWN) {   /* contract: a pinned slot is never removed */
        b->evict->unpin(b->policy, slot);
        b->evict->remove(b->policy, slot);
    }
    forget(b, slot);
    kv_blocks_give(b, 1);
}

void kv_blocks_retire_run(struct kv_blocks *b, int64_t count, int64_t prompt, uint32_t *handle)
{
    uint32_t slot = take_run_slot(b);
    *slot_at(b, slot) = (struct kv_slot){.run = (uint32_t)count, .prompt = (uint32_t)(prompt > 0 ? prompt : 0),
                                         .handle = handle};
    b->evict->insert(b->policy, slot);
    b->active -= count;
    b->inactive += count;
    b->counters->blocks_freed += count;
    if (handle) *handle = slot;
}

int64_t kv_blocks_run_count(const struct kv_blocks *b, uint32_t slot)
{
    return slot_at(b, slot)->run;
}

void kv_blocks_reclaim_run(struct kv_blocks *b, uint32_t slot, int64_t reuse)
{
    int64_t count = slot_at(b, slot)->run;
    b->evict->remove(b->policy, slot);
    give_run_slot(b, slot);
    b->inactive -= count;
    b->active += reuse;
    b->free += count - reuse;
    b->counters->blocks_allocated += reuse;
}

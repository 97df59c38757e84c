/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/serve/blocks.h"

#include "sim/base/prefetch.h"

#define WIDTH_MAX 16

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
    kv_block_group_at(b, group)->key = key;
    kv_map_put(&b->index, key, group);
    b->memo_group = group;
    return group;
}

void kv_blocks_cursor_move(struct kv_blocks_cursor *c, int32_t block)
{
    struct kv_blocks *b = c->blocks;
    c->place = kv_blocks_place(b, c->prefix, block);
    c->begin = block;
    c->end = block + kv_prefix_stretch(c->prefix, block, b->chunk_blocks, b->block_tokens, b->width_bits,
                                       c->place.member);
    uint32_t group = find_group(b, c->place.group);
    c->used = group == KV_NONE ? 0 : kv_block_group_at(b, group)->used;
    c->slot = group << b->width_bits | c->place.member;
    int64_t next_end_tokens = (int64_t)(c->end + 1) * b->chunk_blocks * b->block_tokens;
    if (group == KV_NONE || (c->prefix->ids && next_end_tokens > (int64_t)c->prefix->ids_count * c->prefix->ids_tokens))
        return;
    kv_map_prefetch(&b->index, kv_blocks_place(b, c->prefix, c->end).group);
}

static inline void forget(struct kv_blocks *b, uint32_t slot)
{
    uint32_t group = slot >> b->width_bits;
    struct kv_block_group *g = kv_block_group_at(b, group);
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
        kv_block_group_at(b, b->run_group)->next = KV_NONE;
    }
    uint32_t group = b->run_group, member = 0;
    struct kv_block_group *g = kv_block_group_at(b, group);
    while (g->used >> member & 1) member++;
    g->used |= 1u << member;
    if (g->used == (1u << b->width) - 1) b->run_group = g->next;
    return group << b->width_bits | member;
}

static void give_run_slot(struct kv_blocks *b, uint32_t slot)
{
    uint32_t group = slot >> b->width_bits;
    struct kv_block_group *g = kv_block_group_at(b, group);
    bool was_full = g->used == (1u << b->width) - 1;
    g->used &= ~(1u << (slot & (b->width - 1)));
    if (!was_full) return;
    g->next = b->run_group;
    b->run_group = group;
}

/* ---- several slots for the policy at once -------------------------------------------------------------------- */

#define AT_ONCE 32
struct slots { uint32_t at[AT_ONCE]; int32_t count; };

enum call { INSERT, UNPIN, PIN, REMOVE };

static void pass_on(struct kv_blocks *b, struct slots *s, enum call call)
{
    const struct kv_evict_ops *e = b->evict;
    void (*all)(void *, const uint32_t *, int32_t) = e->insert_all;
    void (*one)(void *, uint32_t) = e->insert;
    if (call == UNPIN) all = e->unpin_all, one = e->unpin;
    else if (call == PIN) all = e->pin_all, one = e->pin;
    else if (call == REMOVE) all = e->remove_all, one = e->remove;
    if (s->count > 0 && all) all(b->policy, s->at, s->count);
    else for (int32_t i = 0; i < s->count; i++) one(b->policy, s->at[i]);
    s->count = 0;
}

static inline void gather(struct kv_blocks *b, struct slots *s, enum call call, uint32_t slot)
{
    if (s->count == AT_ONCE) pass_on(b, s, call);
    s->at[s->count++] = slot;
}

/* ---- evictions ----------------------------------------------------------------------------------------------- */

/* T4: a victim that is being read is parked, and the next one asked for. */
static inline bool park(struct kv_blocks *b, uint32_t victim)
{
    if (!b->by_hit) return false;
    struct kv_slot *s = kv_slot_at(b, victim);
    if (s->run > 0 || s->refs == 0) return false;
    b->evict->pin(b->policy, victim);
    s->flags |= KV_SLOT_PARKED;
    return true;
}

bool kv_blocks_take_one(struct kv_blocks *b)
{
    if (kv_blocks_available(b) > 0) {
        kv_blocks_take(b, 1);
        return true;
    }
    for (uint32_t victim; (victim = b->evict->victim(b->policy)) != KV_NONE;)   /* all that are left are being read */
        kv_assert(park(b, victim));
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
    } else if (b->tell_generated || !(s->flags & KV_SLOT_GENERATED)) {
        struct kv_prefix_place place = {kv_block_group_at(b, slot >> b->width_bits)->key, slot & (b->width - 1)};
        b->evicted(b->evicted_owner, (struct kv_evicted){.place = place});
    }
}

/* A victim gives up to `want` blocks. True when it is gone and the policy has to forget it. */
static inline bool evict(struct kv_blocks *b, uint32_t victim, int64_t want, int64_t *got)
{
    struct kv_slot *s = kv_slot_at(b, victim);
    *got = s->run == 0 ? 1 : least(s->run, want);
    if (b->evicted) tell(b, victim, s, *got);
    if (s->run > *got) {
        s->run -= (uint32_t)*got;
        return false;
    }
    if (s->run == 0) {
        forget(b, victim);
        return true;
    }
    if (s->handle) *s->handle = KV_NONE;
    give_run_slot(b, victim);
    return true;
}

/* Takes up to `want` blocks from the policy's next victims and returns how many they gave. */
static int64_t evict_some(struct kv_blocks *b, int64_t want)
{
    struct slots next, gone;
    gone.count = 0;
    next.count = 1;
    next.at[0] = b->evict->victim(b->policy);
    kv_assert(next.at[0] != KV_NONE);
    if (want > 1 && b->evict->victims && kv_slot_at(b, next.at[0])->run == 0)   /* a run may well be enough */
        next.count = b->evict->victims(b->policy, next.at, (int32_t)least(want, AT_ONCE));
    int64_t all = 0, got = 0;
    if (next.count == 1) {
        if (!park(b, next.at[0]) && evict(b, next.at[0], want, &got)) b->evict->remove(b->policy, next.at[0]);
        return got;
    }
    for (int32_t i = 1; i < next.count; i++) {   /* what left longest ago has left the caches too */
        kv_prefetch(kv_block_group_at(b, next.at[i] >> b->width_bits));
        kv_prefetch(kv_slot_at(b, next.at[i]));
    }
    for (int32_t i = 0; i < next.count && all < want; i++, all += got) {
        got = 0;
        if (!park(b, next.at[i]) && evict(b, next.at[i], want - all, &got)) gather(b, &gone, REMOVE, next.at[i]);
    }
    pass_on(b, &gone, REMOVE);
    return all;
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

uint32_t kv_blocks_find(struct kv_blocks *b, struct kv_prefix_place place)
{
    uint32_t group = find_group(b, place.group);
    if (group == KV_NONE || !(kv_block_group_at(b, group)->used >> place.member & 1)) return KV_NONE;
    return group << b->width_bits | place.member;
}

static uint32_t add_slot(struct kv_blocks *b, struct kv_prefix_place place)
{
    if (b->width == 0) kv_blocks_see_prefix(b);
    uint32_t group = find_group(b, place.group);
    if (group == KV_NONE) group = make_group(b, place.group);
    struct kv_block_group *g = kv_block_group_at(b, group);
    if (g->used >> place.member & 1) return KV_NONE;
    g->slot[place.member] = (struct kv_slot){.refs = 1};
    g->used |= 1u << place.member;
    b->registrations++;
    return group << b->width_bits | place.member;
}

/* Registers blocks [from, to) of a prefix that are not yet, each as `fresh`, group by group; slot[0] is that of `from`.
 * Returns `to`, or with `only_new` the first that is registered already. */
static int32_t add_slots(struct kv_blocks *b, const struct kv_prefix *prefix, int32_t from, int32_t to,
                         int32_t generated_from, struct kv_slot fresh, bool only_new, uint32_t *slot)
{
    while (from < to) {
        struct kv_prefix_place place = kv_blocks_place(b, prefix, from);
        int32_t end = from + kv_prefix_stretch(prefix, from, b->chunk_blocks, b->block_tokens, b->width_bits,
                                               place.member);
        uint32_t group = find_group(b, place.group);
        if (group == KV_NONE) group = make_group(b, place.group);
        struct kv_block_group *g = kv_block_group_at(b, group);
        for (uint32_t m = place.member; from < end && from < to; from++, m++, slot++) {
            *slot = KV_NONE;
            if (g->used >> m & 1) {
                if (only_new) return from;
                continue;
            }
            g->slot[m] = fresh;
            if (from >= generated_from) g->slot[m].flags |= KV_SLOT_GENERATED;
            g->used |= 1u << m;
            b->registrations++;
            *slot = group << b->width_bits | m;
        }
    }
    return to;
}

void kv_blocks_register_all(struct kv_blocks *b, const struct kv_prefix *prefix, int32_t from, int32_t to,
                            int32_t generated_from, uint32_t *slot)
{
    add_slots(b, prefix, from, to, generated_from, (struct kv_slot){.refs = 1}, false, slot);
}

int32_t kv_blocks_register_new(struct kv_blocks *b, const struct kv_prefix *prefix, int32_t from, int32_t to,
                               int32_t generated_from, uint32_t *slot)
{
    return add_slots(b, prefix, from, to, generated_from, (struct kv_slot){.refs = 1}, true, slot);
}

void kv_blocks_register_all_loading(struct kv_blocks *b, const struct kv_prefix *prefix, int32_t from, int32_t to,
                                    int32_t generated_from, uint32_t job, uint32_t *slot)
{
    struct kv_slot fresh = {.refs = 2, .job = job, .flags = KV_SLOT_PENDING};
    add_slots(b, prefix, from, to, generated_from, fresh, false, slot);
}

void kv_blocks_register_all_pending(struct kv_blocks *b, const struct kv_prefix *prefix, int32_t from, int32_t to,
                                    uint32_t *slot)
{
    struct kv_slot fresh = {.refs = 1, .flags = KV_SLOT_PENDING};
    kv_assert(add_slots(b, prefix, from, to, to, fresh, true, slot) == to);
}

uint32_t kv_blocks_register(struct kv_blocks *b, struct kv_prefix_place place, bool generated)
{
    uint32_t slot = add_slot(b, place);
    if (generated && slot != KV_NONE) kv_slot_at(b, slot)->flags = KV_SLOT_GENERATED;
    return slot;
}

uint32_t kv_blocks_register_pending(struct kv_blocks *b, struct kv_prefix_place place, uint32_t job, bool generated)
{
    uint32_t slot = add_slot(b, place);
    kv_assert(slot != KV_NONE);
    kv_slot_at(b, slot)->flags = KV_SLOT_PENDING | (generated ? KV_SLOT_GENERATED : 0);
    kv_slot_at(b, slot)->job = job;
    return slot;
}

uint32_t kv_blocks_job(const struct kv_blocks *b, uint32_t slot)
{
    return kv_slot_at(b, slot)->job;
}

void kv_blocks_read(struct kv_blocks *b, uint32_t slot)
{
    struct kv_slot *s = kv_slot_at(b, slot);
    if (!(s->flags & KV_SLOT_PARKED)) b->evict->hit(b->policy, slot);
    if (s->refs++ > 0) return;
    b->inactive--;
    b->active++;
}

void kv_blocks_read_end(struct kv_blocks *b, uint32_t slot)
{
    struct kv_slot *s = kv_slot_at(b, slot);
    if (--s->refs > 0) return;
    b->inactive++;
    b->active--;
    if (!(s->flags & KV_SLOT_PARKED)) return;
    s->flags &= ~(uint32_t)KV_SLOT_PARKED;
    b->evict->unpin(b->policy, slot);
}

void kv_blocks_ref_all(struct kv_blocks *b, const uint32_t *slot, int32_t count)
{
    struct slots first;
    int64_t taken = 0;
    first.count = 0;
    for (int32_t i = 0; i < count; i++) {
        if (kv_slot_at(b, slot[i])->refs++ > 0) continue;
        gather(b, &first, PIN, slot[i]);
        taken++;
    }
    pass_on(b, &first, PIN);
    b->inactive -= taken;
    b->active += taken;
    b->counters->blocks_allocated += taken;
}

void kv_blocks_ref(struct kv_blocks *b, uint32_t slot)
{
    kv_blocks_ref_all(b, &slot, 1);
}

/* A reference less; those that have none any more are gathered in `idle`, for one call. */
struct ends { int64_t count; enum call call; struct slots idle; };

static inline void begin_ends(struct ends *ends)
{
    ends->count = ends->idle.count = 0;   /* and not all of it: most ends are few */
    ends->call = INSERT;
}

static inline void end_ref(struct kv_blocks *b, struct ends *ends, uint32_t slot, uint32_t flags_off)
{
    struct kv_slot *s = kv_slot_at(b, slot);
    s->flags &= ~flags_off;
    if (--s->refs > 0) return;
    enum call call = s->flags & KV_SLOT_KNOWN ? UNPIN : INSERT;
    if (call != ends->call) pass_on(b, &ends->idle, ends->call);
    ends->call = call;
    s->flags |= KV_SLOT_KNOWN;
    gather(b, &ends->idle, call, slot);
    ends->count++;
}

static void end_refs(struct kv_blocks *b, struct ends *ends)
{
    pass_on(b, &ends->idle, ends->call);
    b->active -= ends->count;
    b->inactive += ends->count;
    b->counters->blocks_freed += ends->count;
}

void kv_blocks_unref_all(struct kv_blocks *b, const uint32_t *slot, int32_t count)
{
    struct ends ends;
    int64_t unknown = 0;
    begin_ends(&ends);
    for (int32_t i = count - 1; i >= 0; i--) {
        if (slot[i] == KV_NONE) unknown++;
        else end_ref(b, &ends, slot[i], 0);
    }
    end_refs(b, &ends);
    kv_blocks_give(b, unknown);
}

void kv_blocks_settle_all(struct kv_blocks *b, const uint32_t *slot, int32_t count)
{
    struct ends ends;
    begin_ends(&ends);
    for (int32_t i = 0; i < count; i++) end_ref(b, &ends, slot[i], KV_SLOT_PENDING);
    end_refs(b, &ends);
}

void kv_blocks_unref_last(struct kv_blocks *b, uint32_t slot)
{
    kv_blocks_unref_all(b, &slot, 1);
}

void kv_blocks_unref_forget(struct kv_blocks *b, uint32_t slot)
{
    struct kv_slot *s = kv_slot_at(b, slot);
    if (--s->refs > 0) return;
    if (s->flags & KV_SLOT_KNOWN) {   /* contract: a pinned slot is never removed */
        b->evict->unpin(b->policy, slot);
        b->evict->remove(b->policy, slot);
    }
    forget(b, slot);
    kv_blocks_give(b, 1);
}

void kv_blocks_retire_run(struct kv_blocks *b, int64_t count, int64_t prompt, uint32_t *handle)
{
    uint32_t slot = take_run_slot(b);
    *kv_slot_at(b, slot) = (struct kv_slot){.run = (uint32_t)count, .prompt = (uint32_t)(prompt > 0 ? prompt : 0),
                                         .handle = handle};
    b->evict->insert(b->policy, slot);
    b->active -= count;
    b->inactive += count;
    b->counters->blocks_freed += count;
    if (handle) *handle = slot;
}

int64_t kv_blocks_run_count(const struct kv_blocks *b, uint32_t slot)
{
    return kv_slot_at(b, slot)->run;
}

void kv_blocks_reclaim_run(struct kv_blocks *b, uint32_t slot, int64_t reuse)
{
    int64_t count = kv_slot_at(b, slot)->run;
    b->evict->remove(b->policy, slot);
    give_run_slot(b, slot);
    b->inactive -= count;
    b->active += reuse;
    b->free += count - reuse;
    b->counters->blocks_allocated += reuse;
}

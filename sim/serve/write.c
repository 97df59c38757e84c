/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/serve/write.h"

#include <string.h>

#include "sim/serve/instance.h"

static struct kv_write_job *write_at(const struct kv_tiers *t, uint32_t write)
{
    return kv_pool_at(&t->writes, write);
}

/* ---- a proposal ----------------------------------------------------------------------------------------------- */

/* A proposal under way. Its admitted chunks are serve->offers; what then finds room are serve->chunk_slots. */
struct proposal {
    struct kv_tiers *t;
    struct kv_tier *tier;
    struct kv_tier_pool *pool;
    const struct kv_seq *q;                /* whose chunks, NULL: what was evicted */
    int64_t own_offered, own;
};

static struct proposal propose(struct kv_tiers *t, int32_t tier, int32_t instance, const struct kv_seq *q)
{
    t->serve->offers.count = t->serve->chunk_slots.count = t->serve->block_slots.count = 0;
    return (struct proposal){.t = t, .tier = &t->tier[tier], .pool = kv_tier_pool_of(t, tier, instance), .q = q};
}

/* Takes room for `wanted` chunks, or for as many as there is room for; the rest is dropped. */
static int64_t find_room(struct proposal *p, int64_t wanted)
{
    struct kv_blocks *chunks = &p->pool->chunks;
    int64_t available = kv_blocks_available(chunks), room = wanted < available ? wanted : available;
    kv_blocks_take(chunks, room);
    bool more = room < wanted && kv_blocks_take_one(chunks);   /* those that are being read are asked for */
    kv_assert(!more);
    p->tier->counters->dropped_chunks += wanted - room;
    return room;
}

/* A chunk that the pool does not have, number `chunk` of the request. */
static void offer_known(struct proposal *p, struct kv_prefix_place place, int32_t chunk)
{
    const struct kv_admit_ops *admit = p->tier->config->admit;
    if (!admit->take || admit->take(p->pool->admit, kv_mix64_pair(place.group, place.member)))
        kv_vec_push(&p->t->serve->offers, ((struct kv_offer){place, chunk}));
    else p->tier->counters->refused_chunks++;
}

static void offer_own(struct proposal *p, int64_t count)
{
    if (p->tier->config->admit->takes_new) p->own_offered += count;
    else p->tier->counters->refused_chunks += count;
}

/* Registers offers [from, to), chunks of a request in a row, or one that was evicted. */
static void register_offers(struct proposal *p, int64_t from, int64_t to)
{
    struct kv_serve *serve = p->t->serve;
    const struct kv_offer *offer = &serve->offers.at[from];
    uint32_t *slot = &serve->chunk_slots.at[from];
    if (!p->q) {
        *slot = kv_blocks_register_pending(&p->pool->chunks, offer->place, 0, false);
        return;
    }
    int32_t end = offer->chunk + (int32_t)(to - from), width = p->tier->blocks;
    kv_blocks_register_all_pending(&p->pool->chunks, &p->q->prefix, offer->chunk, end, slot);
    for (int32_t b = offer->chunk * width; b < end * width; b++)
        if (p->q->slot[b] != KV_NONE) kv_vec_push(&serve->block_slots, p->q->slot[b]);
}

/* Room for what was admitted, known chunks first. Their registered HBM blocks are noted. */
static void find_rooms(struct proposal *p)
{
    struct kv_serve *serve = p->t->serve;
    const struct kv_offer *offer = serve->offers.at;
    int64_t known = (int64_t)serve->offers.count, room = find_room(p, known + p->own_offered);
    p->own = room > known ? room - known : 0;
    kv_vec_reserve(&serve->chunk_slots, (size_t)(room - p->own));
    serve->chunk_slots.count = (size_t)(room - p->own);
    for (int64_t from = 0, to; from < room - p->own; from = to) {
        to = from + 1;
        while (p->q && to < room - p->own && offer[to].chunk == offer[to - 1].chunk + 1) to++;
        register_offers(p, from, to);
    }
}

static void link_pending(struct kv_tiers *t, struct kv_instance *n, uint32_t write)
{
    struct kv_write_job *w = write_at(t, write);
    w->instance = n;
    w->prev = n->last_write;
    w->next = KV_NONE;
    if (n->last_write != KV_NONE) write_at(t, n->last_write)->next = write;
    n->last_write = write;
}

static void unlink_pending(struct kv_tiers *t, const struct kv_write_job *w)
{
    if (w->prev != KV_NONE) write_at(t, w->prev)->next = w->next;
    if (w->next != KV_NONE) write_at(t, w->next)->prev = w->prev;
    else w->instance->last_write = w->prev;
}

int64_t kv_write_pending_count(const struct kv_tiers *t, const struct kv_instance *n)
{
    int64_t count = 0;
    for (uint32_t write = n->last_write; write != KV_NONE; write = write_at(t, write)->prev) count++;
    return count;
}

static uint32_t *keep(struct kv_tiers *t, const uint32_t *at, size_t count)
{
    if (count == 0) return NULL;
    uint32_t *copy = kv_slab_take(&t->serve->slab, count * sizeof *copy);
    memcpy(copy, at, count * sizeof *copy);
    return copy;
}

/* T23: what finds room is written. `n`: whose HBM blocks (serve->block_slots) it references; NULL: from a copy.
 * `instance`: where the pool's other end stands. */
static void submit(struct proposal *p, struct kv_instance *n, int32_t instance, bool evicted)
{
    struct kv_tiers *t = p->t;
    struct kv_serve *serve = t->serve;
    find_rooms(p);
    int64_t known = (int64_t)serve->chunk_slots.count;
    if (known + p->own > 0) {
        uint32_t write = kv_pool_take(&t->writes);
        struct kv_write_job *w = write_at(t, write);
        *w = (struct kv_write_job){
            .pool = p->pool, .known = (int32_t)known, .own = (int32_t)p->own, .serial = t->serial++,
            .blocks = (int32_t)serve->block_slots.count, .prev = KV_NONE, .next = KV_NONE,
            .chunk_slot = keep(t, serve->chunk_slots.at, serve->chunk_slots.count),
            .block_slot = keep(t, serve->block_slots.at, serve->block_slots.count),
        };
        if (n) kv_blocks_ref_all(&n->blocks, w->block_slot, w->blocks);
        if (n) link_pending(t, n, write);
        kv_log(serve->engine, "write", "tier=%s instance=%d chunks=%lld", p->tier->config->name, instance,
               (long long)(known + p->own));
        w->access = kv_access_begin(t, &(struct kv_access_request){
            .pool = p->pool, .instance = instance, .write = true, .evicted = evicted, .delivery = KV_DELIVERY_BULK,
            .chunks = known + p->own, .owner = write});
    }
    kv_write_evicted_below(t, p->pool);
}

/* ---- what is proposed (T22) ----------------------------------------------------------------------------------- */

/* Full chunks [from, to) of q, of which those below `known` have a key. */
static void propose_chunks(struct kv_tiers *t, struct kv_instance *n, const struct kv_seq *q, int32_t tier,
                           int64_t from, int64_t to)
{
    struct proposal p = propose(t, tier, n->id, q);
    int64_t known = q->slot_count / p.tier->blocks;
    struct kv_blocks_cursor cursor = kv_blocks_cursor(&p.pool->chunks, &q->prefix);
    for (int32_t c = (int32_t)from; c < to && c < known; c++)
        if (q->slot[(c + 1) * p.tier->blocks - 1] != KV_NONE && kv_blocks_look(&cursor, c) == KV_NONE)
            offer_known(&p, kv_blocks_cursor_place(&cursor, c), c);
    int64_t own = to - (from > known ? from : known);
    if (own > 0) offer_own(&p, own);
    submit(&p, n, n->id, false);
}

/* Chunks of tier within the first `tokens` tokens that may be written. */
static int64_t writable(const struct kv_tier *k, const struct kv_seq *q, int64_t tokens)
{
    if (!k->config->write_decode && tokens > q->input_tokens) tokens = q->input_tokens;
    return tokens / k->config->chunk_tokens;
}

void kv_write_computed(struct kv_tiers *t, struct kv_instance *n, const struct kv_seq *q, int64_t from_tokens,
                       int64_t to_tokens)
{
    if (!t->serve->config->engine.enable_prefix_caching) return;
    for (int32_t tier = 1; tier < t->count; tier++) {
        const struct kv_tier *k = &t->tier[tier];
        if (k->config->write != KV_WRITE_THROUGH) continue;
        int64_t from = from_tokens / k->config->chunk_tokens, to = writable(k, q, to_tokens);
        if (from < to) propose_chunks(t, n, q, tier, from, to);
    }
}

void kv_write_finished(struct kv_tiers *t, struct kv_instance *n, const struct kv_seq *q, int64_t tokens)
{
    if (!t->serve->config->engine.enable_prefix_caching) return;
    for (int32_t tier = 1; tier < t->count; tier++) {
        const struct kv_tier *k = &t->tier[tier];
        if (k->config->write != KV_WRITE_BACK) continue;
        int64_t to = writable(k, q, tokens);
        if (to > 0) propose_chunks(t, n, q, tier, 0, to);
    }
}

static void propose_evicted(struct kv_tiers *t, int32_t tier, int32_t instance, const struct kv_evicted *evicted,
                            size_t count)
{
    struct proposal p = propose(t, tier, instance, NULL);
    int64_t own = 0;
    for (size_t i = 0; i < count; i++) {
        if (evicted[i].own > 0) own += evicted[i].own;
        else if (kv_blocks_find(&p.pool->chunks, evicted[i].place) == KV_NONE) offer_known(&p, evicted[i].place, 0);
    }
    if (own > 0) offer_own(&p, own);
    submit(&p, NULL, instance, tier > 1);
}

void kv_write_evicted(struct kv_tiers *t, struct kv_instance *n)
{
    if (n->evicted.count == 0) return;
    propose_evicted(t, 1, n->id, n->evicted.at, n->evicted.count);
    n->evicted.count = 0;
}

void kv_write_evicted_below(struct kv_tiers *t, struct kv_tier_pool *pool)
{
    if (pool->evicted.count == 0) return;
    /* The proposal's own evictions go to the next pool: this list does not grow while it is read. */
    propose_evicted(t, pool->tier + 1, pool->instance, pool->evicted.at, pool->evicted.count);
    pool->evicted.count = 0;
}

/* ---- resident tokens (T36) ------------------------------------------------------------------------------------ */

/* Of chunks that were there, were driven out for earlier ones and put in again, what was evicted says so twice: the
 * first counts. Nothing of a request that finds none of its chunks there can be told twice. */
static void forget_repeats(struct kv_tier_pool *pool)
{
    size_t kept = 0;
    for (size_t i = 0; i < pool->evicted.count; i++) {
        struct kv_evicted e = pool->evicted.at[i];
        bool known = false;
        for (size_t k = 0; k < kept && e.own == 0 && !known; k++)
            known = pool->evicted.at[k].own == 0 && pool->evicted.at[k].place.group == e.place.group
                    && pool->evicted.at[k].place.member == e.place.member;
        if (!known) pool->evicted.at[kept++] = e;
    }
    pool->evicted.count = kept;
}

void kv_write_resident(struct kv_tiers *t, int32_t instance, const struct kv_seq *q)
{
    int32_t tier = t->serve->config->resident_tier, block = (int32_t)t->serve->config->engine.block_tokens;
    if (tier == 0 || q->resident_tokens == 0 || !t->serve->config->engine.enable_prefix_caching) return;
    struct proposal p = propose(t, tier, instance, NULL);
    struct kv_blocks *chunks = &p.pool->chunks;
    int32_t known = kv_prefix_known_blocks(&q->prefix, q->resident_tokens, block) / p.tier->blocks;
    bool some_there = false;
    for (int32_t c = 0; c < known && chunks->evicted && !some_there; c++)
        some_there = kv_blocks_find(chunks, kv_blocks_place(chunks, &q->prefix, c)) != KV_NONE;
    for (int32_t c = 0; c < known; c++) {
        struct kv_prefix_place place = kv_blocks_place(chunks, &q->prefix, c);
        if (kv_blocks_find(chunks, place) != KV_NONE || find_room(&p, 1) == 0) continue;
        uint32_t slot = kv_blocks_register_pending(chunks, place, 0, false);
        kv_blocks_arrived(chunks, slot);
        kv_blocks_unref(chunks, slot);
        p.tier->counters->inserted_chunks++;
        p.tier->counters->resident_chunks++;
    }
    if (some_there) forget_repeats(p.pool);
    kv_write_evicted_below(t, p.pool);
}

/* ---- ends ------------------------------------------------------------------------------------------------------ */

static void free_write(struct kv_tiers *t, uint32_t write)
{
    struct kv_write_job *w = write_at(t, write);
    if (w->chunk_slot) kv_slab_give(&t->serve->slab, w->chunk_slot, (size_t)w->known * sizeof *w->chunk_slot);
    if (w->block_slot) kv_slab_give(&t->serve->slab, w->block_slot, (size_t)w->blocks * sizeof *w->block_slot);
    kv_pool_give(&t->writes, write);
}

/* The HBM blocks, last first. */
static void let_go(struct kv_tiers *t, const struct kv_write_job *w)
{
    if (!w->instance) return;
    kv_instance_settle(w->instance);
    kv_blocks_unref_all(&w->instance->blocks, w->block_slot, w->blocks);
    unlink_pending(t, w);
}

static void become_visible(struct kv_tiers *t, uint32_t write)
{
    struct kv_write_job *w = write_at(t, write);
    struct kv_blocks *chunks = &w->pool->chunks;
    kv_blocks_settle_all(chunks, w->chunk_slot, w->known);
    if (w->own > 0) kv_blocks_retire_run(chunks, w->own, w->own, NULL);
    t->tier[w->pool->tier].counters->inserted_chunks += w->known + w->own;
    let_go(t, w);
    struct kv_instance *n = w->instance;
    free_write(t, write);
    if (n) kv_instance_memory_freed(n);
}

/* The write of the entry has not been dropped meanwhile. */
static bool awaited(const struct kv_tiers *t, const struct kv_pentry *entry)
{
    const struct kv_write_job *w = write_at(t, entry->value);
    return w->done && (int64_t)w->serial == entry->tie;
}

/* Only for what is still to come: a timer for nobody would be an event of the run. */
static void arm_acks(struct kv_tiers *t)
{
    while (t->acks.count > 0 && !awaited(t, &t->acks.at[0])) kv_pqueue_pop(&t->acks);
    if (t->acks.count > 0) kv_timer_arm(t->serve->engine, t->visible_timer, t->acks.at[0].key);
    else kv_timer_disarm(t->serve->engine, t->visible_timer);
}

void kv_write_told(struct kv_tiers *t, uint32_t write, int64_t bytes)
{
    struct kv_write_job *w = write_at(t, write);
    (void)bytes;
    kv_tick due = kv_engine_now(t->serve->engine) + kv_access_at(t, w->access)->plan.ack_tk;
    kv_access_drop(t, w->access);
    w->done = true;
    kv_pqueue_push(&t->acks, (struct kv_pentry){due, (int64_t)w->serial, write});
    arm_acks(t);
}

void kv_write_visible(struct kv_tiers *t)
{
    kv_tick now = kv_engine_now(t->serve->engine);
    while (t->acks.count > 0 && t->acks.at[0].key <= now) {
        struct kv_pentry top = kv_pqueue_pop(&t->acks);
        if (awaited(t, &top)) become_visible(t, top.value);
    }
    arm_acks(t);
}

/* ---- pressure (T25) -------------------------------------------------------------------------------------------- */

static bool alone_holds_a_block(const struct kv_write_job *w)
{
    for (int32_t i = 0; i < w->blocks; i++)
        if (kv_blocks_refs(&w->instance->blocks, w->block_slot[i]) == 1) return true;
    return false;
}

static void drop(struct kv_tiers *t, uint32_t write)
{
    struct kv_write_job *w = write_at(t, write);
    struct kv_tier *tier = &t->tier[w->pool->tier];
    int64_t moved = w->done ? (w->known + w->own) * tier->write_bytes : kv_access_drop(t, w->access);
    tier->counters->wasted_bytes += moved * t->serve->config->tp;
    tier->counters->dropped_chunks += w->known + w->own;
    for (int32_t i = 0; i < w->known; i++) kv_blocks_unref_forget(&w->pool->chunks, w->chunk_slot[i]);
    if (w->own > 0) kv_blocks_give(&w->pool->chunks, w->own);
    kv_blocks_unref_all(&w->instance->blocks, w->block_slot, w->blocks);
    unlink_pending(t, w);
    w->done = false;
    w->serial = UINT64_MAX;
    free_write(t, write);
    arm_acks(t);
}

bool kv_write_drop_one(struct kv_tiers *t, struct kv_instance *n)
{
    for (uint32_t write = n->last_write; write != KV_NONE; write = write_at(t, write)->prev) {
        const struct kv_write_job *w = write_at(t, write);
        if (t->tier[w->pool->tier].config->write_blocking || !alone_holds_a_block(w)) continue;
        drop(t, write);
        return true;
    }
    return false;
}

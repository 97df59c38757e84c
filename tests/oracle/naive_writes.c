/* SPDX-License-Identifier: Apache-2.0 */
/* Writes to the tiers below HBM: T22 to T25. */
#include <string.h>

#include "tests/oracle/naive_parts.h"

/* Whence chunks are written: blocks of a seat; or (-1) a copy of what the instance's HBM or a pool evicted. */
struct source { int32_t instance; int64_t seat; struct tier_pool *pool; };
static void propose(struct oracle *o, struct source from, int32_t tier, proposal *all);

/* --- What is proposed (T22) --- */

/* Chunks of the request whose last tokens are in [before, after). */
static void propose_chunks(struct oracle *o, int64_t seat, int32_t tier, int64_t before, int64_t after)
{
    const struct kv_tier_config *t = &o->config->tier[tier];
    const struct job *j = job_of(o, seat);
    int64_t G = t->chunk_tokens;
    proposal all = {0};
    for (int64_t c = before / G; c < after / G; c++) {
        if (!t->write_decode && (c + 1) * G > j->request->input_tokens) continue;
        bool own = !naive_chunk_known(o, j, tier, c);
        kv_vec_push(&all, ((struct proposed){.key = own ? 0 : naive_chunk_key(o, j, tier, c), .own = own, .index = c}));
    }
    propose(o, (struct source){o->seats[seat].instance, seat, NULL}, tier, &all);
}

void naive_propose_through(struct oracle *o, int64_t seat, int64_t before)
{
    for (int32_t t = 1; t < o->tier_count; t++)
        if (o->config->tier[t].write == KV_WRITE_THROUGH)
            propose_chunks(o, seat, t, before, o->seats[seat].computed);
}

void naive_propose_back(struct oracle *o, int64_t seat)
{
    for (int32_t t = 1; t < o->tier_count; t++)
        if (o->config->tier[t].write == KV_WRITE_BACK) propose_chunks(o, seat, t, 0, o->seats[seat].computed);
}

void naive_propose_evicted(struct oracle *o, int32_t instance)
{
    struct naive_pool *pool = &o->instances[instance].pool;
    if (has_tiers(o) && o->config->tier[1].write == KV_WRITE_ON_EVICT) {
        proposal all = {0};
        for (size_t i = 0; i < pool->evicted.count; i++) {
            const struct naive_evicted *e = &pool->evicted.at[i];
            if (e->output && !o->config->tier[1].write_decode) continue;
            kv_vec_push(&all, ((struct proposed){.key = e->key, .own = e->own}));
        }
        o->coverage->on_evict += all.count > 0;
        propose(o, (struct source){instance, -1, NULL}, 1, &all);
    }
    pool->evicted.count = 0;
}

void naive_spill(struct oracle *o, struct tier_pool *p, proposal *evicted)
{
    int32_t below = p->tier + 1;
    if (below < o->tier_count && o->config->tier[below].write == KV_WRITE_ON_EVICT) {
        o->coverage->on_evict += evicted->count > 0;
        propose(o, (struct source){naive_first_instance(o, p), -1, p}, below, evicted);
    } else {
        kv_vec_close(evicted);
    }
}

/* --- What becomes of a proposal (T23) --- */

/* The HBM block that holds the last tokens of the chunk is a private twin (rule 18). */
static bool private_twin(const struct oracle *o, int64_t seat, int32_t tier, int64_t chunk)
{
    int64_t last = (chunk + 1) * naive_chunk_blocks(o, tier) - 1;
    return !instance_of(o, seat)->pool.blocks.at[o->seats[seat].held.at[last]].registered;
}

static void reference_blocks(struct oracle *o, struct write_job *w, int64_t seat, int64_t chunk)
{
    struct naive_pool *pool = &o->instances[w->instance].pool;
    int64_t r = naive_chunk_blocks(o, w->pool->tier);
    for (int64_t i = chunk * r; i < (chunk + 1) * r; i++) {
        uint32_t block = o->seats[seat].held.at[i];
        if (!pool->blocks.at[block].registered) continue;
        naive_pool_ref(pool, block);
        kv_vec_push(&w->blocks, block);
    }
}

/* Resident tokens can evict a chunk twice at once (T36). */
static bool proposed_before(const proposal *all, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (!all->at[k].own && all->at[k].key == all->at[i].key) return true;
    return false;
}

/* What is left of the proposal when those are left out that are there already and those that are refused. */
static void choose(struct oracle *o, struct tier_pool *p, int64_t seat, const proposal *all, proposal *taken)
{
    for (size_t i = 0; i < all->count; i++) {
        const struct proposed *c = &all->at[i];
        if (!c->own && seat >= 0 && private_twin(o, seat, p->tier, c->index)) continue;
        if (!c->own && (kv_map_get(&p->keys, c->key) != KV_NONE || proposed_before(all, i))) continue;
        if (naive_admits(o, p, c)) kv_vec_push(taken, *c);
        else o->counters->tier[p->tier].refused_chunks++;
    }
}

/* Space for a chunk of the write; `full`: an earlier one has found none. */
static void place(struct oracle *o, struct write_job *w, int64_t seat, const struct proposed *c, bool *full,
                  proposal *evicted)
{
    uint32_t chunk = *full ? KV_NONE : naive_take_space(o, w->pool, c, evicted);
    *full = chunk == KV_NONE;
    if (*full) {
        o->counters->tier[w->pool->tier].dropped_chunks++;
    } else if (c->own) {
        kv_vec_push(&w->own, chunk);
    } else {
        kv_vec_push(&w->known, chunk);
        if (seat >= 0) reference_blocks(o, w, seat, c->index);
    }
}

static void begin_write(struct oracle *o, struct write_job *w, struct tier_pool *from)
{
    int64_t chunks = (int64_t)(w->known.count + w->own.count);
    struct access *a = kv_arena_take(&o->arena, sizeof *a);
    int64_t tokens = chunks * o->config->tier[w->pool->tier].chunk_tokens;
    *a = (struct access){.pool = w->pool, .from = from, .write = true, .write_job = w,
                         .bytes = tokens * naive_written_bytes(o)};
    a->permitted = a->bytes;
    w->order = o->write_orders++;
    w->access = a;
    w->visible_at = KV_TICK_NEVER;
    kv_vec_push(&o->writes, w);
    naive_access_comes(o, a, w->instance, KV_DELIVERY_BULK, chunks);
}

/* Empties `all`. */
static void propose(struct oracle *o, struct source from, int32_t tier, proposal *all)
{
    struct write_job *w = kv_arena_take(&o->arena, sizeof *w);
    proposal taken = {0}, evicted = {0};
    bool full = false;
    w->pool = naive_pool_of(o, tier, from.instance);
    w->instance = from.instance;
    if (o->config->engine.enable_prefix_caching) choose(o, w->pool, from.seat, all, &taken);
    kv_vec_close(all);
    for (int own = 0; own < 2; own++)                /* known ones first */
        for (size_t i = 0; i < taken.count; i++)
            if (taken.at[i].own == (own == 1)) place(o, w, from.seat, &taken.at[i], &full, &evicted);
    kv_vec_close(&taken);
    if (w->known.count + w->own.count > 0) begin_write(o, w, from.pool);
    naive_spill(o, w->pool, &evicted);
}

/* --- The end of a write (T24) --- */

static void close_write(struct oracle *o, struct write_job *w)
{
    size_t i = 0;
    while (o->writes.at[i] != w) i++;
    o->writes.count--;
    memmove(&o->writes.at[i], &o->writes.at[i + 1], (o->writes.count - i) * sizeof *o->writes.at);
    kv_vec_close(&w->blocks);
    kv_vec_close(&w->known);
    kv_vec_close(&w->own);
}

static void let_go(struct oracle *o, struct write_job *w)
{
    struct naive_pool *pool = &o->instances[w->instance].pool;
    for (size_t i = w->blocks.count; i-- > 0;) naive_pool_release(pool, w->blocks.at[i], 0, false, true);
    if (w->blocks.count > 0) naive_wake_blocked(o, w->instance);
}

/* Its last byte is in. */
void naive_write_ended(struct oracle *o, struct write_job *w)
{
    o->counters->tier[w->pool->tier].written_bytes += w->access->bytes * o->config->tp;
    w->visible_at = o->now + w->access->ack_tk;
}

static void become_visible(struct oracle *o, struct write_job *w)
{
    for (size_t i = 0; i < w->known.count; i++) naive_make_visible(o, w->pool, w->known.at[i]);
    /* One slot for all own ones, which loses them from the tail: as if the last had been inserted first. */
    for (size_t i = w->own.count; i-- > 0;) naive_make_visible(o, w->pool, w->own.at[i]);
    let_go(o, w);
    close_write(o, w);
}

void naive_writes_visible(struct oracle *o)
{
    for (size_t i = 0; i < o->writes.count;) {       /* they stand in the order of their begin */
        if (o->writes.at[i]->visible_at <= o->now) become_visible(o, o->writes.at[i]);
        else i++;
    }
}

kv_tick naive_writes_next_tick(const struct oracle *o)
{
    kv_tick next = KV_TICK_NEVER;
    for (size_t i = 0; i < o->writes.count; i++)
        if (o->writes.at[i]->visible_at < next) next = o->writes.at[i]->visible_at;
    return next;
}

/* --- Pressure (T25) --- */

static bool holds_alone(const struct naive_pool *pool, const struct write_job *w)
{
    for (size_t i = 0; i < w->blocks.count; i++)
        if (pool->blocks.at[w->blocks.at[i]].refs == 1) return true;
    return false;
}

/* Drops the latest pending write of the instance that alone keeps a block; false when there is none. */
bool naive_drop_write(struct oracle *o, struct instance *n)
{
    for (size_t i = o->writes.count; i-- > 0;) {
        struct write_job *w = o->writes.at[i];
        struct kv_tier_counters *c = &o->counters->tier[w->pool->tier];
        if (&o->instances[w->instance] != n || o->config->tier[w->pool->tier].write_blocking) continue;
        if (!holds_alone(&n->pool, w)) continue;
        int64_t moved = w->access->bytes;
        if (w->access->phase != OVER) {
            moved = naive_cancel(o, w->access);
            c->written_bytes += moved * o->config->tp;
        }
        c->wasted_bytes += moved * o->config->tp;
        c->dropped_chunks += (int64_t)(w->known.count + w->own.count);
        o->coverage->dropped_writes++;
        for (size_t k = 0; k < w->known.count; k++) naive_leave(w->pool, w->known.at[k]);
        for (size_t k = 0; k < w->own.count; k++) naive_leave(w->pool, w->own.at[k]);
        let_go(o, w);
        close_write(o, w);
        return true;
    }
    return false;
}

void naive_writes_close(struct oracle *o)
{
    while (o->writes.count > 0) close_write(o, o->writes.at[0]);
    kv_vec_close(&o->writes);
}

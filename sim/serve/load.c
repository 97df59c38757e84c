/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/serve/load.h"

#include <string.h>

#include "sim/serve/handover.h"
#include "sim/serve/instance.h"
#include "sim/serve/write.h"

static const struct kv_fetch_config *fetch_of(const struct kv_tiers *t)
{
    return &t->serve->config->fetch;
}

static int64_t part_bytes(const struct kv_tiers *t, const struct kv_load *load, const struct kv_load_part *p)
{
    return p->tier == 0 ? load->bytes : p->chunks * t->tier[p->tier].read_bytes;
}

/* Bytes of a part's access that hold its first `layers` layers (T18). */
static int64_t bytes_of_layers(const struct kv_tiers *t, const struct kv_load_part *p, int32_t layers)
{
    return p->chunks * t->tier[p->tier].config->chunk_tokens * t->layer_bytes[layers];
}

static bool layerwise(const struct kv_tiers *t, const struct kv_load_part *p)
{
    return p->tier > 0 && fetch_of(t)->mode == KV_DELIVERY_LAYERWISE;
}

/* Layers after which a load lets its requests join a step (T10): no more than may come before that. */
static int32_t release_layers(const struct kv_tiers *t)
{
    int64_t layers = fetch_of(t)->release_after_layers, ahead = fetch_of(t)->lookahead_layers;
    if (ahead > 0 && layers > ahead) layers = ahead;
    return layers < t->layers ? (int32_t)layers : t->layers;
}

/* Layers that may come before a step asks for more (T19). */
static int32_t layers_ahead(const struct kv_tiers *t)
{
    int64_t ahead = fetch_of(t)->lookahead_layers;
    return ahead > 0 && ahead < t->layers ? (int32_t)ahead : t->layers;
}

/* Whether each layer is told of: where steps are walked layer by layer (kv_layered_start). */
static bool tells_layers(const struct kv_tiers *t)
{
    const struct kv_handover_config *handover = &t->serve->config->handover;
    bool pushed = handover->prefill_instances > 0 && handover->push == KV_PUSH_LAYERWISE;
    return fetch_of(t)->mode == KV_DELIVERY_LAYERWISE && (fetch_of(t)->lookahead_layers > 0 || pushed);
}

static void *slab_take(struct kv_tiers *t, size_t bytes)
{
    void *p = kv_slab_take(&t->serve->slab, bytes);
    memset(p, 0, bytes);
    return p;
}

struct kv_hold *kv_hold_make(struct kv_serve *serve, struct kv_seq *q)
{
    if (q->hold) return q->hold;
    q->hold = kv_slab_take(&serve->slab, sizeof *q->hold);
    memset(q->hold, 0, sizeof *q->hold);
    return q->hold;
}

/* ---- waiting ------------------------------------------------------------------------------------------------ */

static struct kv_hold *hold_of(const struct kv_tiers *t, const struct kv_load *l, uint32_t seq)
{
    return kv_hold_for(kv_seq_at(t->serve, seq), l->instance);
}

void kv_load_wait(struct kv_tiers *t, uint32_t load, uint32_t seq)
{
    struct kv_load *l = kv_load_at(t, load);
    struct kv_hold *hold = hold_of(t, l, seq);
    kv_vec_push(&l->waiters, seq);
    kv_vec_push(&hold->loads, load);
    hold->unreleased += !l->released;
}

static void forget_load(struct kv_hold *hold, uint32_t load)
{
    size_t kept = 0;
    for (size_t i = 0; i < hold->loads.count; i++)
        if (hold->loads.at[i] != load) hold->loads.at[kept++] = hold->loads.at[i];
    hold->loads.count = kept;
}

/* Its waiters may join a step from now on. */
static void release(struct kv_tiers *t, uint32_t load)
{
    struct kv_load *l = kv_load_at(t, load);
    if (l->released) return;
    l->released = true;
    for (size_t i = 0; i < l->waiters.count; i++) {
        struct kv_hold *hold = hold_of(t, l, l->waiters.at[i]);
        if (--hold->unreleased == 0) kv_instance_released(l->instance, l->waiters.at[i]);
    }
}

/* ---- parts -------------------------------------------------------------------------------------------------- */

static void count_fetched(struct kv_tiers *t, const struct kv_load *l, int32_t tier, int64_t bytes)
{
    if (l->owner == KV_NONE) return;
    struct kv_seq *q = kv_seq_at(t->serve, l->owner);
    kv_hold_make(t->serve, q)->fetched_bytes[tier] += bytes * t->serve->config->tp;
}

/* The part needs its tier no more. */
static void leave_tier(struct kv_load *l, struct kv_load_part *p)
{
    p->over = true;
    l->parts_open--;
    for (int32_t i = 0; i < p->chunks; i++) kv_blocks_read_end(&p->pool->chunks, p->chunk_slot[i]);
}

static void begin_get(struct kv_tiers *t, uint32_t load, int32_t part, struct kv_load_get *get)
{
    struct kv_load *l = kv_load_at(t, load);
    struct kv_load_part *p = &l->part[part];
    get->chunk = p->next_chunk++;
    get->access = kv_access_begin(t, &(struct kv_access_request){
        .pool = p->pool, .instance = l->instance->id, .delivery = KV_DELIVERY_CHUNKWISE, .chunks = 1, .owner = load,
        .part = part});
}

static void begin_part(struct kv_tiers *t, uint32_t load, int32_t part)
{
    struct kv_load *l = kv_load_at(t, load);
    struct kv_load_part *p = &l->part[part];
    const struct kv_fetch_config *fetch = fetch_of(t);
    if (fetch->mode == KV_DELIVERY_CHUNKWISE) {
        int32_t width = fetch->concurrency > 0 ? fetch->concurrency : 1;
        p->get = slab_take(t, (size_t)width * sizeof *p->get);
        p->arrived = slab_take(t, (size_t)p->chunks);
        for (int32_t i = 0; i < width; i++) p->get[i].access = KV_NONE;
        for (int32_t i = 0; i < width && p->next_chunk < p->chunks; i++) begin_get(t, load, part, &p->get[i]);
        return;
    }
    struct kv_access_request ask = {.pool = p->pool, .instance = l->instance->id, .chunks = p->chunks, .owner = load,
                                    .delivery = (enum kv_delivery)fetch->mode, .part = part};
    if (tells_layers(t)) {
        ask.permitted = bytes_of_layers(t, p, l->layers_permitted);
        ask.mark = bytes_of_layers(t, p, 1);
    } else if (layerwise(t, p) && release_layers(t) > 0 && release_layers(t) < t->layers) {
        ask.mark = bytes_of_layers(t, p, release_layers(t));
    }
    p->access = kv_access_begin(t, &ask);
}

/* ---- begin -------------------------------------------------------------------------------------------------- */

/* Sorts the loaded blocks into parts by tier, and registers them. */
static void fill_parts(struct kv_tiers *t, uint32_t load, int32_t block_count, const uint8_t *source,
                       const uint32_t *chunk_slot, uint32_t *slot, const struct kv_prefix *prefix, int32_t input_tokens)
{
    struct kv_load *l = kv_load_at(t, load);
    int32_t tokens = (int32_t)t->serve->config->engine.block_tokens, loaded = 0;
    int32_t part_of[KV_TIERS_MAX], last_chunk[KV_TIERS_MAX];
    for (int32_t tier = 1; tier < t->count; tier++) part_of[tier] = last_chunk[tier] = -1;
    for (int32_t i = 0; i < block_count; i++) {
        int32_t tier = source[i];
        if (tier == 0) continue;
        loaded++;
        part_of[tier] = 0;
    }
    l->block = slab_take(t, (size_t)loaded * sizeof *l->block);
    for (int32_t tier = 1; tier < t->count; tier++) {
        if (part_of[tier] < 0) continue;
        part_of[tier] = l->part_count;
        struct kv_load_part *p = &l->part[l->part_count++];
        *p = (struct kv_load_part){.tier = tier, .pool = kv_tier_pool_of(t, tier, l->instance->id), .access = KV_NONE};
    }
    for (int32_t pass = 0; pass < 2; pass++) {   /* count the chunks, then note them */
        for (int32_t i = 0; i < block_count; i++) {
            int32_t tier = source[i];
            if (tier == 0) continue;
            struct kv_load_part *p = &l->part[part_of[tier]];
            int32_t chunk = i / t->tier[tier].blocks;
            if (chunk != last_chunk[tier]) {
                if (pass == 1) p->chunk_slot[p->chunks] = chunk_slot[i];
                last_chunk[tier] = chunk;
                p->chunks++;
            }
            if (pass == 0) continue;
            slot[i] = kv_blocks_register_pending(&l->instance->blocks, kv_blocks_place(&l->instance->blocks, prefix, i), load,
                                                 (i + 1) * tokens > input_tokens);
            kv_blocks_ref(&l->instance->blocks, slot[i]);   /* one for the load, one for the owner */
            l->block[l->block_count++] = (struct kv_load_block){slot[i], i, part_of[tier], p->chunks - 1};
        }
        for (int32_t part = 0; part < l->part_count && pass == 0; part++) {
            struct kv_load_part *p = &l->part[part];
            p->chunk_slot = slab_take(t, (size_t)p->chunks * sizeof *p->chunk_slot);
            p->chunks = 0;
            last_chunk[p->tier] = -1;
        }
    }
    for (int32_t part = 0; part < l->part_count; part++)
        for (int32_t i = 0; i < l->part[part].chunks; i++)
            kv_blocks_read(&l->part[part].pool->chunks, l->part[part].chunk_slot[i]);
}

/* T26. Blocks [first, first + count) are loaded from tiers that fill `tier`. */
static bool filled_by(const struct kv_tiers *t, const uint8_t *source, int32_t first, int32_t count, int32_t tier)
{
    for (int32_t i = first; i < first + count; i++)
        if (source[i] == 0 || !(t->tier[source[i]].config->fill >> tier & 1)) return false;
    return true;
}

static void fill_tier(struct kv_tiers *t, struct kv_load *l, int32_t tier, const struct kv_prefix *prefix,
                      int32_t block_count, const uint8_t *source)
{
    struct kv_tier *k = &t->tier[tier];
    struct kv_tier_pool *pool = kv_tier_pool_of(t, tier, l->instance->id);
    bool room = true;
    for (int32_t chunk = 0; (chunk + 1) * k->blocks <= block_count; chunk++) {
        if (!filled_by(t, source, chunk * k->blocks, k->blocks, tier)) continue;
        struct kv_prefix_place place = kv_blocks_place(&pool->chunks, prefix, chunk);
        if (kv_blocks_find(&pool->chunks, place) != KV_NONE) continue;
        room = room && kv_tier_take(pool);
        if (!room) {
            k->counters->dropped_chunks++;
            continue;
        }
        kv_vec_push(&l->fills, ((struct kv_fill){pool, kv_blocks_register_pending(&pool->chunks, place, 0, false)}));
    }
    kv_write_evicted_below(t, pool, l->instance->id);
}

static void fill_tiers(struct kv_tiers *t, struct kv_load *l, const struct kv_prefix *prefix, int32_t block_count,
                       const uint8_t *source)
{
    uint32_t wanted = 0;
    for (int32_t part = 0; part < l->part_count; part++) wanted |= t->tier[l->part[part].tier].config->fill;
    for (int32_t tier = 1; tier < t->count; tier++)
        if (wanted >> tier & 1) fill_tier(t, l, tier, prefix, block_count, source);
}

static uint32_t make(struct kv_tiers *t, struct kv_instance *n, uint32_t seq)
{
    uint32_t load = kv_pool_take(&t->loads);
    struct kv_load *l = kv_load_at(t, load);
    *l = (struct kv_load){.instance = n, .owner = seq, .serial = t->serial++, .live = true, .timeout_tk = KV_TICK_NEVER};
    return load;
}

static void arm_timeouts(struct kv_tiers *t)
{
    if (t->timeouts.count > 0) kv_timer_arm(t->serve->engine, t->timeout_timer, t->timeouts.at[0].key);
}

uint32_t kv_load_begin(struct kv_tiers *t, struct kv_instance *n, uint32_t seq, int32_t block_count,
                       const uint8_t *source, const uint32_t *chunk_slot, kv_tick timeout_tk)
{
    uint32_t load = make(t, n, seq);
    struct kv_load *l = kv_load_at(t, load);
    struct kv_seq *q = kv_seq_at(t->serve, seq);
    const struct kv_fetch_config *fetch = fetch_of(t);
    fill_parts(t, load, block_count, source, chunk_slot, q->slot, &q->prefix, q->input_tokens);
    t->serve->counters.fetches++;
    fill_tiers(t, l, &q->prefix, block_count, source);
    l->parts_open = l->part_count;
    l->released = fetch->mode == KV_DELIVERY_LAYERWISE && fetch->release_after_layers == 0;
    if (tells_layers(t)) {
        l->layers_permitted = layers_ahead(t);
        l->layer_tk = slab_take(t, (size_t)t->layers * sizeof *l->layer_tk);
    }
    if (timeout_tk != KV_TICK_NEVER) {
        l->timeout_tk = kv_engine_now(t->serve->engine) + timeout_tk;
        kv_pqueue_push(&t->timeouts, (struct kv_pentry){l->timeout_tk, (int64_t)l->serial, load});
        arm_timeouts(t);
    }
    for (int32_t part = 0; part < l->part_count; part++) begin_part(t, load, part);
    kv_load_wait(t, load, seq);
    return load;
}

/* ---- end ---------------------------------------------------------------------------------------------------- */

static void free_load(struct kv_tiers *t, uint32_t load)
{
    struct kv_load *l = kv_load_at(t, load);
    struct kv_slab *slab = &t->serve->slab;
    for (int32_t part = 0; part < l->part_count; part++) {
        struct kv_load_part *p = &l->part[part];
        if (p->access != KV_NONE) kv_access_drop(t, p->access);
        if (p->chunk_slot) kv_slab_give(slab, p->chunk_slot, (size_t)p->chunks * sizeof *p->chunk_slot);
        int32_t width = fetch_of(t)->concurrency > 0 ? fetch_of(t)->concurrency : 1;
        if (p->get) kv_slab_give(slab, p->get, (size_t)width * sizeof *p->get);
        if (p->arrived) kv_slab_give(slab, p->arrived, (size_t)p->chunks);
    }
    if (l->block) kv_slab_give(slab, l->block, (size_t)l->block_count * sizeof *l->block);
    if (l->layer_tk) kv_slab_give(slab, l->layer_tk, (size_t)t->layers * sizeof *l->layer_tk);
    kv_vec_close(&l->waiters);
    kv_vec_close(&l->fills);
    kv_pool_give(&t->loads, load);
}

/* Fills become visible, or go when the load was cut short. */
static void end_fills(struct kv_tiers *t, struct kv_load *l, bool good)
{
    for (size_t i = 0; i < l->fills.count; i++) {
        struct kv_fill f = l->fills.at[i];
        if (!good) {
            kv_blocks_unref_forget(&f.pool->chunks, f.slot);
            continue;
        }
        kv_blocks_arrived(&f.pool->chunks, f.slot);
        kv_blocks_unref(&f.pool->chunks, f.slot);
        t->tier[f.pool->tier].counters->inserted_chunks++;
        t->tier[f.pool->tier].counters->filled_chunks++;
    }
}

/* Whether the content of a block of a load that ends is there. */
static bool has_arrived(const struct kv_load *l, const struct kv_load_block *b, const int64_t *whole_chunks)
{
    const struct kv_load_part *p = &l->part[b->part];
    return p->arrived ? p->arrived[b->chunk] : b->chunk < whole_chunks[b->part];
}

/* The load lets go of its blocks, last first; whole_chunks: by part, what has arrived (T14). Where something has not,
 * nobody else holds a block any more. */
static void end_blocks(struct kv_load *l, const int64_t *whole_chunks)
{
    struct kv_blocks *blocks = &l->instance->blocks;
    for (int32_t i = l->block_count - 1; i >= 0; i--) {
        const struct kv_load_block *b = &l->block[i];
        if (has_arrived(l, b, whole_chunks)) {
            kv_blocks_arrived(blocks, b->slot);
            kv_blocks_unref(blocks, b->slot);
        } else {
            kv_blocks_unref_forget(blocks, b->slot);
        }
    }
}

/* Nobody waits for it any more. */
static void dismiss(struct kv_tiers *t, uint32_t load)
{
    struct kv_load *l = kv_load_at(t, load);
    release(t, load);
    for (size_t i = 0; i < l->waiters.count; i++) forget_load(hold_of(t, l, l->waiters.at[i]), load);
    l->waiters.count = 0;
    bool used = l->users > 0;   /* then it is freed with its last user */
    kv_instance_load_ended(l->instance);
    if (!used) free_load(t, load);
}

static void complete(struct kv_tiers *t, uint32_t load)
{
    struct kv_load *l = kv_load_at(t, load);
    const int64_t all[KV_TIERS_MAX] = {INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX};
    l->live = false;
    kv_instance_settle(l->instance);
    end_fills(t, l, true);
    end_blocks(l, all);
    if (l->from) kv_handover_arrived(t->serve, l->owner);
    kv_log(t->serve->engine, "loaded", "request=%lld instance=%d blocks=%d",
           l->owner == KV_NONE ? -1LL : (long long)kv_seq_at(t->serve, l->owner)->request, l->instance->id,
           l->block_count);
    struct kv_instance *n = l->instance;
    dismiss(t, load);
    kv_instance_memory_freed(n);
}

/* Cancels what is under way and says how many chunks of each part are whole. Bytes are wasted but for those. */
static void cancel_accesses(struct kv_tiers *t, struct kv_load *l, bool keep, int64_t *whole_chunks)
{
    int32_t width = fetch_of(t)->concurrency > 0 ? fetch_of(t)->concurrency : 1;
    for (int32_t part = 0; part < l->part_count; part++) {
        struct kv_load_part *p = &l->part[part];
        whole_chunks[part] = keep && p->over ? p->chunks : 0;
        if (p->over) continue;
        int64_t moved = 0, whole = 0;
        if (p->access != KV_NONE) {
            moved = kv_access_drop(t, p->access);
            if (keep && !layerwise(t, p)) whole = moved / t->tier[p->tier].read_bytes;
        }
        for (int32_t i = 0; p->get && i < width; i++)
            if (p->get[i].access != KV_NONE) moved += kv_access_drop(t, p->get[i].access);
        p->access = KV_NONE;
        whole_chunks[part] = whole;
        count_fetched(t, l, p->tier, moved);
        t->tier[p->tier].counters->wasted_bytes
            += (moved - whole * t->tier[p->tier].read_bytes) * t->serve->config->tp;
        leave_tier(l, p);
    }
}

/* T13: the last one that waited for it has left. */
static void abandon(struct kv_tiers *t, uint32_t load)
{
    struct kv_load *l = kv_load_at(t, load);
    int64_t none[KV_TIERS_MAX];
    l->live = false;
    t->serve->counters.fetch_cancels++;
    cancel_accesses(t, l, false, none);
    for (int32_t part = 0; part < l->part_count; part++)
        if (l->part[part].arrived) memset(l->part[part].arrived, 0, (size_t)l->part[part].chunks);
    end_fills(t, l, false);
    l->owner = KV_NONE;
    end_blocks(l, none);
    dismiss(t, load);
}

void kv_load_leave(struct kv_tiers *t, uint32_t load, uint32_t seq)
{
    struct kv_load *l = kv_load_at(t, load);
    size_t kept = 0;
    for (size_t i = 0; i < l->waiters.count; i++)
        if (l->waiters.at[i] != seq) l->waiters.at[kept++] = l->waiters.at[i];
    l->waiters.count = kept;
    if (kept == 0 && l->live) abandon(t, load);
    else if (l->owner == seq) l->owner = KV_NONE;
}

/* ---- timeouts (T14) ----------------------------------------------------------------------------------------- */

static void cut(struct kv_tiers *t, uint32_t load)
{
    struct kv_load *l = kv_load_at(t, load);
    int64_t whole_chunks[KV_TIERS_MAX];
    l->live = false;
    t->serve->counters.fetch_timeouts++;
    kv_instance_settle(l->instance);
    cancel_accesses(t, l, true, whole_chunks);
    end_fills(t, l, false);
    while (l->waiters.count > 0) {
        uint32_t seq = l->waiters.at[l->waiters.count - 1];
        kv_seq_at(t->serve, seq)->hold->hbm_only = true;
        kv_instance_give_back(l->instance, seq);
    }
    end_blocks(l, whole_chunks);
    kv_log(t->serve->engine, "timeout", "instance=%d", l->instance->id);
    struct kv_instance *n = l->instance;
    dismiss(t, load);
    kv_instance_memory_freed(n);
}

void kv_load_timeouts(struct kv_tiers *t)
{
    kv_tick now = kv_engine_now(t->serve->engine);
    while (t->timeouts.count > 0 && t->timeouts.at[0].key <= now) {
        struct kv_pentry top = kv_pqueue_pop(&t->timeouts);
        const struct kv_load *l = top.value < t->loads.high ? kv_load_at(t, top.value) : NULL;
        if (l && l->live && (int64_t)l->serial == top.tie && !l->joined) cut(t, top.value);
    }
    arm_timeouts(t);
}

/* ---- on the way --------------------------------------------------------------------------------------------- */

static void end_part(struct kv_tiers *t, uint32_t load, struct kv_load_part *p)
{
    leave_tier(kv_load_at(t, load), p);
    if (kv_load_at(t, load)->parts_open == 0) complete(t, load);
}

static void get_ended(struct kv_tiers *t, uint32_t load, int32_t part, uint32_t access)
{
    struct kv_load *l = kv_load_at(t, load);
    struct kv_load_part *p = &l->part[part];
    struct kv_load_get *get = p->get;
    while (get->access != access) get++;
    p->arrived[get->chunk] = 1;
    p->arrived_chunks++;
    count_fetched(t, l, p->tier, kv_access_drop(t, access));
    get->access = KV_NONE;
    if (p->next_chunk < p->chunks) begin_get(t, load, part, get);
    else if (p->arrived_chunks == p->chunks) end_part(t, load, p);
}

/* A layer of a part has come (layerwise): the first with release_after_layers, or with bounded look-ahead each. */
static void layers_came(struct kv_tiers *t, uint32_t load, struct kv_load_part *p, int64_t bytes)
{
    struct kv_load *l = kv_load_at(t, load);
    while (p->layers_in < t->layers && bytes_of_layers(t, p, p->layers_in + 1) <= bytes) {
        kv_tick now = kv_engine_now(t->serve->engine);
        if (l->layer_tk && now > l->layer_tk[p->layers_in]) l->layer_tk[p->layers_in] = now;
        p->layers_in++;
    }
    if (l->layer_tk && p->layers_in < l->layers_permitted)
        kv_access_mark(t, p->access, bytes_of_layers(t, p, p->layers_in + 1));
    int32_t least = t->layers;
    for (int32_t part = 0; part < l->part_count; part++)
        if (l->part[part].layers_in < least) least = l->part[part].layers_in;
    if (least >= release_layers(t)) release(t, load);
}

void kv_load_told(struct kv_tiers *t, uint32_t load, int32_t part, uint32_t access, int64_t bytes)
{
    struct kv_load *l = kv_load_at(t, load);
    struct kv_load_part *p = &l->part[part];
    if (p->get) {
        get_ended(t, load, part, access);
        return;
    }
    bool ended = bytes == part_bytes(t, l, p);
    if (layerwise(t, p)) layers_came(t, load, p, bytes);
    if (ended) count_fetched(t, l, p->tier, bytes);
    struct kv_instance *n = l->instance;
    bool steps = l->layer_tk != NULL;
    if (ended) end_part(t, load, p);
    if (steps) kv_instance_layer_came(n);
}

void kv_load_permit(struct kv_tiers *t, uint32_t load, int32_t layers)
{
    struct kv_load *l = kv_load_at(t, load);
    if (layers > t->layers) layers = t->layers;
    if (!l->live || layers <= l->layers_permitted) return;
    l->layers_permitted = layers;
    for (int32_t part = 0; part < l->part_count; part++) {
        struct kv_load_part *p = &l->part[part];
        if (p->over) continue;
        kv_access_permit(t, p->access, bytes_of_layers(t, p, layers));
        kv_access_mark(t, p->access, bytes_of_layers(t, p, p->layers_in + 1));
    }
}

void kv_load_arrivals(struct kv_tiers *t, uint32_t load, kv_tick *arrival)
{
    struct kv_load *l = kv_load_at(t, load);
    for (int32_t part = 0; part < l->part_count; part++) {
        const struct kv_load_part *p = &l->part[part];
        for (int32_t layer = 0; layer < t->layers; layer++) t->scratch[layer] = bytes_of_layers(t, p, layer + 1);
        kv_flow_reached_all(t->net, kv_access_at(t, p->access)->flow, t->scratch, t->layers,
                            t->scratch + t->layers);
        for (int32_t layer = 0; layer < t->layers; layer++)
            if (t->scratch[t->layers + layer] > arrival[layer]) arrival[layer] = t->scratch[t->layers + layer];
    }
}

kv_tick kv_load_layer_tk(const struct kv_tiers *t, uint32_t load, int32_t layer)
{
    const struct kv_load *l = kv_load_at(t, load);
    for (int32_t part = 0; part < l->part_count; part++)
        if (l->part[part].layers_in <= layer) return KV_TICK_NEVER;
    return l->layer_tk[layer];
}

void kv_load_use(struct kv_tiers *t, uint32_t load)
{
    kv_load_at(t, load)->users++;
}

void kv_load_unuse(struct kv_tiers *t, uint32_t load)
{
    struct kv_load *l = kv_load_at(t, load);
    if (--l->users == 0 && !l->live) free_load(t, load);
}

/* ---- hand-over (T28, T29) ----------------------------------------------------------------------------------- */

uint32_t kv_load_begin_handover(struct kv_tiers *t, struct kv_instance *n, uint32_t seq, struct kv_instance *from,
                                int32_t first_block, int32_t block_end, int64_t bytes)
{
    uint32_t load = make(t, n, seq);
    struct kv_load *l = kv_load_at(t, load);
    struct kv_seq *q = kv_seq_at(t->serve, seq);
    l->from = from;
    l->bytes = bytes;
    l->bytes_ready = -1;
    t->serve->counters.fetches += bytes > 0;
    l->part_count = l->parts_open = 1;
    l->part[0] = (struct kv_load_part){.access = KV_NONE};
    if (block_end > first_block) l->block = slab_take(t, (size_t)(block_end - first_block) * sizeof *l->block);
    for (int32_t i = first_block; i < block_end; i++) {
        struct kv_prefix_place place = kv_blocks_place(&n->blocks, &q->prefix, i);
        q->slot[i] = KV_NONE;
        if (kv_blocks_find(&n->blocks, place) != KV_NONE) continue;   /* this one stays private */
        uint32_t slot = kv_blocks_register_pending(&n->blocks, place, load, false);
        kv_blocks_ref(&n->blocks, slot);
        q->slot[i] = slot;
        l->block[l->block_count++] = (struct kv_load_block){slot, i, 0, 0};
    }
    kv_load_wait(t, load, seq);
    return load;
}

void kv_load_computed(struct kv_tiers *t, uint32_t load, int64_t bytes_ready)
{
    struct kv_load *l = kv_load_at(t, load);
    struct kv_load_part *p = &l->part[0];
    if (bytes_ready <= l->bytes_ready) return;
    l->bytes_ready = bytes_ready;
    if (l->bytes == 0) {
        end_part(t, load, p);
        return;
    }
    kv_load_open_way(t, load);
    if (bytes_ready > 0) kv_access_permit(t, p->access, bytes_ready);
}

void kv_load_open_way(struct kv_tiers *t, uint32_t load)
{
    struct kv_load *l = kv_load_at(t, load);
    struct kv_load_part *p = &l->part[0];
    if (p->access == KV_NONE && l->bytes > 0)
        p->access = kv_access_begin_handover(t, l->from->id, l->instance->id, l->bytes, load, 0);
}

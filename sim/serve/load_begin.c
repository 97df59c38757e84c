/* SPDX-License-Identifier: Apache-2.0 */
/* How loads begin: of what lies in lower tiers (T7, T15, T17c, T26), or on another instance (T28, T29). */
#include "sim/serve/load_parts.h"

#include <string.h>

#include "sim/serve/grant.h"
#include "sim/serve/write.h"

/* Layers that may come before a step asks for more (T19). */
static int32_t layers_ahead(const struct kv_tiers *t)
{
    int64_t ahead = kv_fetch_of(t)->lookahead_layers;
    return ahead > 0 && ahead < t->layers ? (int32_t)ahead : t->layers;
}

/* Whether each layer is told of: where steps are walked layer by layer (kv_layered_start), or grants may change. */
static bool tells_layers(const struct kv_tiers *t, const struct kv_load *l)
{
    const struct kv_handover_config *handover = &t->serve->config->handover;
    bool pushed = handover->prefill_instances > 0 && handover->push == KV_PUSH_LAYERWISE;
    bool regranted = false;                /* a flow whose limit changes cannot be asked afterwards */
    for (int32_t part = 0; part < l->part_count; part++) regranted |= kv_grant_manages(t, l->part[part].tier);
    return l->mode == KV_DELIVERY_LAYERWISE && (kv_fetch_of(t)->lookahead_layers > 0 || pushed || regranted);
}

static void *slab_take(struct kv_tiers *t, size_t bytes)
{
    void *p = kv_slab_take(&t->serve->slab, bytes);
    memset(p, 0, bytes);
    return p;
}

static void begin_part(struct kv_tiers *t, uint32_t load, int32_t part)
{
    struct kv_load *l = kv_load_at(t, load);
    struct kv_load_part *p = &l->part[part];
    if (l->mode == KV_DELIVERY_CHUNKWISE) {
        int32_t width = kv_load_width(t);
        p->get = slab_take(t, (size_t)width * sizeof *p->get);
        p->arrived = slab_take(t, (size_t)p->chunks);
        for (int32_t i = 0; i < width; i++) p->get[i].access = KV_NONE;
        if (l->from_tail) p->next_chunk = p->chunks;
        for (int32_t i = 0; i < width && p->next_chunk < p->chunks; i++) kv_load_begin_get(t, load, part, &p->get[i]);
        return;
    }
    struct kv_access_request ask = {.pool = p->pool, .instance = l->instance->id, .chunks = p->chunks, .owner = load,
                                    .delivery = l->mode, .part = part};
    if (tells_layers(t, l)) {
        ask.permitted = kv_load_bytes_of_layers(t, p, l->layers_permitted);
        ask.mark = kv_load_bytes_of_layers(t, p, 1);
    } else if (kv_load_layerwise(l, p) && kv_load_release_layers(t) > 0 && kv_load_release_layers(t) < t->layers) {
        ask.mark = kv_load_bytes_of_layers(t, p, kv_load_release_layers(t));
    }
    p->access = kv_access_begin(t, &ask);
}

/* ---- begin -------------------------------------------------------------------------------------------------- */

/* Where the blocks of a hit are: `source[i]` the tier of block i, `slot[i]` in HBM or that of its chunk. */
struct sources { const uint8_t *source; const uint32_t *slot; int32_t count; };

/* One part for each tier that has a block of it, chunks noted and pinned, first to last. Returns the number of
 * blocks. */
static int32_t add_parts(struct kv_tiers *t, struct kv_load *l, const struct sources *s, int32_t *part_of)
{
    int32_t chunks[KV_TIERS_MAX] = {0}, last[KV_TIERS_MAX], loaded = 0;
    for (int32_t tier = 1; tier < t->count; tier++) last[tier] = -1;
    for (int32_t i = 0; i < s->count; i++) {
        int32_t tier = s->source[i], chunk = tier > 0 ? i / t->tier[tier].blocks : 0;
        if (tier == 0) continue;
        loaded++;
        chunks[tier] += chunk != last[tier];
        last[tier] = chunk;
    }
    for (int32_t tier = 1; tier < t->count; tier++) {
        if (chunks[tier] == 0) continue;
        part_of[tier] = l->part_count;
        l->part[l->part_count++] = (struct kv_load_part){
            .tier = tier, .pool = kv_tier_pool_of(t, tier, l->instance->id), .access = KV_NONE, .fetch = KV_NONE,
            .chunk_slot = slab_take(t, (size_t)chunks[tier] * sizeof(uint32_t))};
    }
    return loaded;
}

/* Names the blocks to load, and reads their chunks. */
static void name_blocks(struct kv_tiers *t, struct kv_load *l, const struct sources *s, const int32_t *part_of)
{
    int32_t last[KV_TIERS_MAX];
    for (int32_t tier = 1; tier < t->count; tier++) last[tier] = -1;
    for (int32_t i = 0; i < s->count; i++) {
        int32_t tier = s->source[i];
        if (tier == 0) continue;
        struct kv_load_part *p = &l->part[part_of[tier]];
        int32_t chunk = i / t->tier[tier].blocks;
        if (chunk != last[tier]) {
            p->chunk_slot[p->chunks++] = s->slot[i];
            kv_blocks_read(&p->pool->chunks, s->slot[i]);
        }
        last[tier] = chunk;
        l->block[l->block_count++] = (struct kv_load_block){KV_NONE, i, part_of[tier], p->chunks - 1};
    }
}

/* Registers the blocks that name_blocks has named in HBM, a stretch at a time. Their slots may stand where those of the
 * chunks were, which have been read. */
static void register_blocks(struct kv_tiers *t, uint32_t load, const struct sources *s, struct kv_seq *q)
{
    struct kv_load *l = kv_load_at(t, load);
    int32_t generated_from = q->input_tokens / (int32_t)t->serve->config->engine.block_tokens;
    for (int32_t from = 0, to; from < s->count; from = to + 1) {
        for (to = from; to < s->count && s->source[to] > 0;) to++;
        kv_blocks_register_all_loading(&l->instance->blocks, &q->prefix, from, to, generated_from, load,
                                       q->slot + from);
    }
    for (int32_t i = 0; i < l->block_count; i++) {
        l->block[i].slot = q->slot[l->block[i].block];
        kv_assert(l->block[i].slot != KV_NONE);
    }
}

static void fill_parts(struct kv_tiers *t, uint32_t load, const struct sources *s, struct kv_seq *q)
{
    struct kv_load *l = kv_load_at(t, load);
    int32_t part_of[KV_TIERS_MAX], loaded = add_parts(t, l, s, part_of);
    l->block = slab_take(t, (size_t)loaded * sizeof *l->block);
    name_blocks(t, l, s, part_of);
    register_blocks(t, load, s, q);
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
        room = room && kv_blocks_take_one(&pool->chunks);
        if (!room) {
            k->counters->dropped_chunks++;
            continue;
        }
        kv_vec_push(&l->fills, ((struct kv_fill){pool, kv_blocks_register_pending(&pool->chunks, place, 0, false),
                                              chunk}));
    }
    kv_write_evicted_below(t, pool);
}

static void fill_tiers(struct kv_tiers *t, struct kv_load *l, const struct kv_prefix *prefix, int32_t block_count,
                       const uint8_t *source)
{
    uint32_t wanted = 0;
    for (int32_t part = 0; part < l->part_count; part++) wanted |= t->tier[l->part[part].tier].config->fill;
    for (int32_t tier = 1; tier < t->count; tier++)
        if (wanted >> tier & 1) fill_tier(t, l, tier, prefix, block_count, source);
}

enum kv_delivery kv_load_mode(const struct kv_tiers *t, int64_t bytes)
{
    const struct kv_fetch_config *fetch = kv_fetch_of(t);
    if (fetch->mode == KV_DELIVERY_BIDIRECTIONAL) return KV_DELIVERY_CHUNKWISE;
    if (fetch->mode != KV_DELIVERY_AUTO) return (enum kv_delivery)fetch->mode;
    return bytes >= fetch->auto_bytes ? KV_DELIVERY_LAYERWISE : KV_DELIVERY_CHUNKWISE;
}

/* That it will read, all parts. */
static int64_t load_bytes(const struct kv_tiers *t, const struct kv_load *l)
{
    int64_t bytes = 0;
    for (int32_t part = 0; part < l->part_count; part++) bytes += kv_load_part_bytes(t, l, &l->part[part]);
    return bytes * t->serve->config->tp;
}

static uint32_t make(struct kv_tiers *t, struct kv_instance *n, uint32_t seq)
{
    uint32_t load = kv_pool_take(&t->loads);
    struct kv_load *l = kv_load_at(t, load);
    *l = (struct kv_load){.instance = n, .owner = seq, .serial = t->serial++, .live = true,
                          .timeout_tk = KV_TICK_NEVER};
    return load;
}

uint32_t kv_load_begin(struct kv_tiers *t, struct kv_instance *n, uint32_t seq, int32_t block_count,
                       const uint8_t *source, const uint32_t *chunk_slot, struct kv_load_how how)
{
    uint32_t load = make(t, n, seq);
    struct kv_load *l = kv_load_at(t, load);
    struct kv_seq *q = kv_seq_at(t->serve, seq);
    fill_parts(t, load, &(struct sources){source, chunk_slot, block_count}, q);
    t->serve->counters.fetches++;
    fill_tiers(t, l, &q->prefix, block_count, source);
    l->parts_open = l->part_count;
    l->from_tail = how.from_tail;
    l->unasked = l->unmet = l->block_count;
    l->mode = kv_load_mode(t, load_bytes(t, l));
    l->released = l->mode == KV_DELIVERY_LAYERWISE && kv_fetch_of(t)->release_after_layers == 0;
    if (tells_layers(t, l)) {
        l->layers_permitted = layers_ahead(t);
        l->layer_tk = slab_take(t, (size_t)t->layers * sizeof *l->layer_tk);
    }
    if (how.timeout_tk != KV_TICK_NEVER) {
        l->timeout_tk = kv_engine_now(t->serve->engine) + how.timeout_tk;
        kv_pqueue_push(&t->timeouts, (struct kv_pentry){l->timeout_tk, (int64_t)l->serial, load});
        kv_load_arm_timeouts(t);
    }
    for (int32_t part = 0; part < l->part_count; part++) kv_fetch_begin(t, load, part);
    for (int32_t part = 0; part < l->part_count; part++) begin_part(t, load, part);
    for (int32_t i = 0; l->from_tail && i < kv_load_width(t) && kv_load_ask_from_tail(t, load); i++) continue;
    kv_load_wait(t, load, seq);
    return load;
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
    l->part[0] = (struct kv_load_part){.access = KV_NONE, .fetch = KV_NONE};
    if (bytes > 0) kv_fetch_begin(t, load, 0);
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
        kv_load_end_part(t, load, p);
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

/* SPDX-License-Identifier: Apache-2.0 */
/* Loads on their way: who waits for them, what has come (T9, T10, T15, T18, T19). */
#include "sim/serve/load_parts.h"

#include <string.h>

struct kv_hold *kv_hold_make(struct kv_serve *serve, struct kv_seq *q)
{
    if (q->hold) return q->hold;
    q->hold = kv_slab_take(&serve->slab, sizeof *q->hold);
    memset(q->hold, 0, sizeof *q->hold);
    return q->hold;
}

/* ---- waiting ------------------------------------------------------------------------------------------------ */

void kv_load_wait(struct kv_tiers *t, uint32_t load, uint32_t seq)
{
    struct kv_load *l = kv_load_at(t, load);
    struct kv_hold *hold = kv_load_hold(t, l, seq);
    kv_vec_push(&l->waiters, seq);
    kv_vec_push(&hold->loads, load);
    hold->unreleased += !l->released && !(l->from_tail && seq == l->owner);
}

int32_t kv_load_release_layers(const struct kv_tiers *t)
{
    int64_t layers = kv_fetch_of(t)->release_after_layers, ahead = kv_fetch_of(t)->lookahead_layers;
    if (ahead > 0 && layers > ahead) layers = ahead;
    return layers < t->layers ? (int32_t)layers : t->layers;
}

void kv_load_release(struct kv_tiers *t, uint32_t load)
{
    struct kv_load *l = kv_load_at(t, load);
    if (l->released) return;
    l->released = true;
    for (size_t i = 0; i < l->waiters.count; i++) {
        struct kv_hold *hold = kv_load_hold(t, l, l->waiters.at[i]);
        if (l->from_tail && l->waiters.at[i] == l->owner) continue;
        if (--hold->unreleased == 0) kv_instance_released(l->instance, l->waiters.at[i]);
    }
}

/* ---- what comes --------------------------------------------------------------------------------------------- */

void kv_load_count(struct kv_tiers *t, const struct kv_load *l, int32_t tier, int64_t bytes)
{
    if (l->owner == KV_NONE) return;   /* it has given back */
    kv_hold_make(t->serve, kv_seq_at(t->serve, l->owner))->fetched_bytes[tier] += bytes * t->serve->config->tp;
}

void kv_load_begin_get(struct kv_tiers *t, uint32_t load, int32_t part, struct kv_load_get *get)
{
    struct kv_load *l = kv_load_at(t, load);
    struct kv_load_part *p = &l->part[part];
    get->chunk = l->from_tail ? p->next_chunk : p->next_chunk++;
    get->access = kv_access_begin(t, &(struct kv_access_request){
        .pool = p->pool, .instance = l->instance->id, .delivery = KV_DELIVERY_CHUNKWISE, .chunks = 1, .owner = load,
        .part = part});
}

static struct kv_load_get *idle_get(const struct kv_load_part *p)
{
    struct kv_load_get *get = p->get;
    while (get->access != KV_NONE) get++;
    return get;
}

bool kv_load_ask_from_tail(struct kv_tiers *t, uint32_t load)
{
    struct kv_load *l = kv_load_at(t, load);
    while (l->unasked > 0) {
        const struct kv_load_block *b = &l->block[--l->unasked];
        struct kv_load_part *p = &l->part[b->part];
        if (b->chunk >= p->next_chunk) continue;
        if (p->next_chunk == p->chunks) kv_fetch_first_access(t, p);
        p->next_chunk = b->chunk;
        kv_load_begin_get(t, load, b->part, idle_get(p));
        return true;
    }
    return false;
}

int32_t kv_load_meeting_block(struct kv_load *l)
{
    while (l->unmet > 0) {
        const struct kv_load_block *b = &l->block[l->unmet - 1];
        if (!l->part[b->part].arrived[b->chunk]) return b->block + 1;
        l->unmet--;
    }
    return 0;
}

void kv_load_leave_tier(struct kv_load *l, struct kv_load_part *p)
{
    p->over = true;
    l->parts_open--;
    for (int32_t i = 0; i < p->chunks; i++) kv_blocks_read_end(&p->pool->chunks, p->chunk_slot[i]);
}

void kv_load_end_part(struct kv_tiers *t, uint32_t load, struct kv_load_part *p)
{
    kv_fetch_end(t, p, false);
    kv_load_leave_tier(kv_load_at(t, load), p);
    if (kv_load_at(t, load)->parts_open == 0) kv_load_complete(t, load);
}

static void get_ended(struct kv_tiers *t, uint32_t load, int32_t part, uint32_t access)
{
    struct kv_load *l = kv_load_at(t, load);
    struct kv_load_part *p = &l->part[part];
    struct kv_load_get *get = p->get;
    while (get->access != access) get++;
    p->arrived[get->chunk] = 1;
    p->arrived_chunks++;
    kv_load_count(t, l, p->tier, kv_access_drop(t, access));
    get->access = KV_NONE;
    if (l->from_tail) kv_load_ask_from_tail(t, load);
    else if (p->next_chunk < p->chunks) kv_load_begin_get(t, load, part, get);
    if (p->arrived_chunks == p->chunks) kv_load_end_part(t, load, p);
}

/* A layer of a part has come (layerwise): the first with release_after_layers, or with bounded look-ahead each. */
static void layers_came(struct kv_tiers *t, uint32_t load, struct kv_load_part *p, int64_t bytes)
{
    struct kv_load *l = kv_load_at(t, load);
    while (p->layers_in < t->layers && kv_load_bytes_of_layers(t, p, p->layers_in + 1) <= bytes) {
        kv_tick now = kv_engine_now(t->serve->engine);
        if (l->layer_tk && now > l->layer_tk[p->layers_in]) l->layer_tk[p->layers_in] = now;
        p->layers_in++;
    }
    if (l->layer_tk && p->layers_in < l->layers_permitted)
        kv_access_mark(t, p->access, kv_load_bytes_of_layers(t, p, p->layers_in + 1));
    int32_t least = t->layers;
    for (int32_t part = 0; part < l->part_count; part++)
        if (l->part[part].layers_in < least) least = l->part[part].layers_in;
    if (least >= kv_load_release_layers(t)) kv_load_release(t, load);
}

void kv_load_told(struct kv_tiers *t, uint32_t load, int32_t part, uint32_t access, int64_t bytes)
{
    struct kv_load *l = kv_load_at(t, load);
    struct kv_load_part *p = &l->part[part];
    if (p->get) {
        get_ended(t, load, part, access);
        return;
    }
    bool ended = bytes == kv_load_part_bytes(t, l, p);
    if (kv_load_layerwise(l, p)) layers_came(t, load, p, bytes);
    if (ended) kv_load_count(t, l, p->tier, bytes);
    struct kv_instance *n = l->instance;
    bool steps = l->layer_tk != NULL;
    if (ended) kv_load_end_part(t, load, p);
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
        kv_access_permit(t, p->access, kv_load_bytes_of_layers(t, p, layers));
        kv_access_mark(t, p->access, kv_load_bytes_of_layers(t, p, p->layers_in + 1));
    }
}

void kv_load_arrivals(struct kv_tiers *t, uint32_t load, kv_tick *arrival)
{
    struct kv_load *l = kv_load_at(t, load);
    for (int32_t part = 0; part < l->part_count; part++) {
        const struct kv_load_part *p = &l->part[part];
        for (int32_t layer = 0; layer < t->layers; layer++)
            t->scratch[layer] = kv_load_bytes_of_layers(t, p, layer + 1);
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
    if (--l->users == 0 && !l->live) kv_load_free(t, load);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of loads share: load_begin.c (how they begin), load.c (on the way), load_end.c (how they end). */
#ifndef KV_SERVE_LOAD_PARTS_H
#define KV_SERVE_LOAD_PARTS_H

#include "sim/serve/handover.h"
#include "sim/serve/instance.h"
#include "sim/serve/load.h"

static inline const struct kv_fetch_config *kv_fetch_of(const struct kv_tiers *t)
{
    return &t->serve->config->fetch;
}

/* Chunkwise: accesses that a part keeps under way. */
static inline int32_t kv_load_width(const struct kv_tiers *t)
{
    return kv_fetch_of(t)->concurrency > 0 ? kv_fetch_of(t)->concurrency : 1;
}

/* Whether a part comes layer by layer. */
static inline bool kv_load_layerwise(const struct kv_load *l, const struct kv_load_part *p)
{
    return p->tier > 0 && l->mode == KV_DELIVERY_LAYERWISE;
}

/* Bytes that a part brings, of one tensor-parallel part. */
static inline int64_t kv_load_part_bytes(const struct kv_tiers *t, const struct kv_load *l,
                                         const struct kv_load_part *p)
{
    return p->tier == 0 ? l->bytes : p->chunks * t->tier[p->tier].read_bytes;
}

/* Bytes of a part's access that hold its first `layers` layers (T18). */
static inline int64_t kv_load_bytes_of_layers(const struct kv_tiers *t, const struct kv_load_part *p, int32_t layers)
{
    return p->chunks * t->tier[p->tier].config->chunk_tokens * t->layer_bytes[layers];
}

/* What a request remembers of its waiting for this load. */
static inline struct kv_hold *kv_load_hold(const struct kv_tiers *t, const struct kv_load *l, uint32_t seq)
{
    return kv_hold_for(kv_seq_at(t->serve, seq), l->instance);
}

/* Layers after which a load lets its requests join a step (T10): no more than may come before that. */
int32_t kv_load_release_layers(const struct kv_tiers *t);
/* Its waiters may join a step from now on. */
void kv_load_release(struct kv_tiers *t, uint32_t load);
/* Bytes of a part have been delivered: to the record of the request that began the load. */
void kv_load_count(struct kv_tiers *t, const struct kv_load *l, int32_t tier, int64_t bytes);
/* Chunkwise: asks for the next chunk. */
void kv_load_begin_get(struct kv_tiers *t, uint32_t load, int32_t part, struct kv_load_get *get);
/* From the tail: asks for the last chunk that was not asked for yet; false: there is none. */
bool kv_load_ask_from_tail(struct kv_tiers *t, uint32_t load);
/* A part is whole; with the last of them, so is the load. */
void kv_load_end_part(struct kv_tiers *t, uint32_t load, struct kv_load_part *p);
/* A part needs its tier no more. */
void kv_load_leave_tier(struct kv_load *l, struct kv_load_part *p);
/* All parts are whole. */
void kv_load_complete(struct kv_tiers *t, uint32_t load);
void kv_load_free(struct kv_tiers *t, uint32_t load);

#endif

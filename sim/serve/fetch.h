/* SPDX-License-Identifier: Apache-2.0 */
/* Fetches: what one load brings from one tier (docs/tiers.md T40). Kept where somebody wants to know of them. */
#ifndef KV_SERVE_FETCH_H
#define KV_SERVE_FETCH_H

#include "sim/base/arena.h"
#include "sim/base/ilist.h"
#include "sim/base/rate.h"
#include "sim/iface/record.h"

struct kv_tiers;
struct kv_load_part;

struct kv_fetch {
    struct kv_fetch_record record;         /* as far as it is known */
    uint32_t load;
    int32_t part;
    uint64_t number;                       /* of its first access, at its pool */
};

/* All that are under way. */
struct kv_fetches {
    bool on;                               /* somebody wants to know */
    struct kv_pool pool;                   /* struct kv_fetch */
    struct kv_ilist present;               /* in the order of their coming */
    struct kv_ilinks link;
};

void kv_fetches_open(struct kv_tiers *t);
void kv_fetches_close(struct kv_tiers *t);

/* A part of a load begins; its request is at hand. */
void kv_fetch_begin(struct kv_tiers *t, uint32_t load, int32_t part);
/* The part has come whole, or is cut before its accesses are cancelled. */
void kv_fetch_end(struct kv_tiers *t, struct kv_load_part *p, bool cut);
/* Those that the end of the run finds under way, at its last tick. */
void kv_fetches_finish(struct kv_tiers *t, kv_tick end_tk);

/* From its accesses (KV_NONE: nobody wants to know): the plan of one, all parts; a flow starts; an answer 503. */
void kv_fetch_planned(struct kv_tiers *t, uint32_t fetch, uint64_t number, kv_rate limit);
void kv_fetch_flows(struct kv_tiers *t, uint32_t fetch);
void kv_fetch_refused(struct kv_tiers *t, uint32_t fetch);

#endif

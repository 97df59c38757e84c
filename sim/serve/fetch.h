/* SPDX-License-Identifier: Apache-2.0 */
/* Fetches: what one load brings from one tier (docs/tiers.md T40). Kept where somebody wants to know of them: a sink,
 * or a transfer policy, which grants bandwidth to those over the network (T39; grant.h). */
#ifndef KV_SERVE_FETCH_H
#define KV_SERVE_FETCH_H

#include "sim/base/arena.h"
#include "sim/base/ilist.h"
#include "sim/base/rate.h"
#include "sim/iface/record.h"
#include "sim/iface/transfer.h"

struct kv_tiers;
struct kv_load_part;

struct kv_fetch {
    struct kv_fetch_record record;         /* as far as it is known */
    uint32_t load;
    int32_t part;
    uint64_t number;                       /* of its first access, at its pool */
    /* With a transfer policy: */
    bool managed, asks;                    /* it is the policy's business; and has no grant */
    int32_t width;                         /* accesses that it keeps under way */
    kv_rate grant;
    uint64_t serial;                       /* of those that are the policy's business */
    double window_s, stream_Bps;           /* as in struct kv_transfer_flow */
};

/* All that are under way. */
struct kv_fetches {
    bool on;                               /* somebody wants to know */
    uint64_t managed_ever;
    int64_t managed, asking;               /* under way */
    uint32_t epoch_timer;
    struct kv_pool pool;                   /* struct kv_fetch */
    struct kv_ilist present;               /* in the order of their coming */
    struct kv_ilinks link;
    /* Scratch of an epoch: who is to be granted, as the policy sees them, and what it says. */
    KV_VEC(uint32_t) who;
    KV_VEC(struct kv_transfer_flow) flow;
    KV_VEC(double) grant_Bps;
};

static inline struct kv_fetch *kv_fetch_at(const struct kv_fetches *f, uint32_t fetch)
{
    return kv_pool_at(&f->pool, fetch);
}

void kv_fetches_open(struct kv_tiers *t);
void kv_fetches_close(struct kv_tiers *t);

/* A part of a load begins; its request is at hand. */
void kv_fetch_begin(struct kv_tiers *t, uint32_t load, int32_t part);
/* Of a part that asks for nothing yet: its first access comes now. */
void kv_fetch_first_access(struct kv_tiers *t, const struct kv_load_part *p);
/* The part has come whole, or is cut before its accesses are cancelled. */
void kv_fetch_end(struct kv_tiers *t, struct kv_load_part *p, bool cut);
/* Delivered by `at_tk`, not before now, of all tensor-parallel parts; whole bytes of each access and part. */
int64_t kv_fetch_delivered_bytes(const struct kv_tiers *t, const struct kv_fetch *f, kv_tick at_tk);
/* Those that the end of the run finds under way, at its last tick. */
void kv_fetches_finish(struct kv_tiers *t, kv_tick end_tk);

/* From its accesses (KV_NONE: nobody wants to know): the plan of one, all parts; a flow starts; an answer 503. */
void kv_fetch_planned(struct kv_tiers *t, uint32_t fetch, uint64_t number, kv_rate limit);
void kv_fetch_flows(struct kv_tiers *t, uint32_t fetch);
void kv_fetch_refused(struct kv_tiers *t, uint32_t fetch);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of net.h, shared by net.c (flows), net_class.c (service curves), net_queue.c (who ends next) and net_rates.c
 * (who gets which rate). */
#ifndef KV_SERVE_NET_PRIVATE_H
#define KV_SERVE_NET_PRIVATE_H

#include "sim/base/ilist.h"
#include "sim/base/map.h"
#include "sim/engine/heap.h"
#include "sim/lib/maxmin.h"
#include "sim/serve/net.h"

/* A stretch of constant rate of a class: from `since` on, where its service level was `service`. */
struct kv_segment { kv_tick since; kv_rate rate; kv_service service; };

/* Running flows of a class by the service level at which their owner is told next. Those told first are in a 4-ary
 * heap. Where flows are many the others lie in buckets by ranges of levels, in no order, and come into the heap a
 * bucket at a time: a ladder queue of one rung (Tang, Goh, Thng, ACM TOMACS 15(3), 2005), O(1) a flow however many
 * there are. The last bucket has no end; when its turn comes, what is in it is spread over new buckets. */
#define KV_NET_BUCKETS 2048
struct kv_net_queue {
    /* level above `zero` : 96 | flow : 32. One number, because a comparison is two instructions then. Not empty where
     * `count` > 0. */
    KV_VEC(kv_service) heap;
    kv_service zero;
    size_t count;                        /* in heap and buckets */
    KV_VEC(struct kv_ilist) bucket;      /* no room before it is needed */
    kv_service base;                     /* key where bucket 0 begins; each is 2^shift of key wide */
    int32_t shift;
    int32_t next;                        /* buckets below it are in the heap; KV_NET_BUCKETS: all are, there are none */
};

/* The service curve of all flows of one path and one limit (of one flow where the path has an in_order link).
 * A class without hops and limit has `unlimited` service: level and rate count ticks then, and a flow needs one. */
struct kv_net_class {
    struct kv_segment now;               /* the present stretch */
    KV_VEC(struct kv_segment) past;      /* those before, as far back as a flow of `asked` needs */
    uint64_t past_dropped;               /* stretches that were before past.at[0]; marks of flows count them */
    struct kv_ilist asked;               /* flows that can be asked when bytes were there, oldest first */
    struct kv_net_queue queue;           /* its running flows */
    /* Delivered to all flows so far is running flows x level + settled_sum, modulo 2^128. */
    kv_u128 settled_sum, flushed;        /* flushed: part of that which links have been told */
    kv_rate limit, own;                  /* own: u of maxmin.h */
    int64_t counted;                     /* flows in the sums of its links */
    int64_t present;                     /* flows in their numbers of flows and parts: blocked ones are, too */
    uint64_t key;                        /* in the map of classes */
    uint64_t visit;
    uint32_t path, users, next_free;     /* users: flows that name it, ended ones included */
    bool touched, attached, in_order, unlimited;
};

struct kv_net_member { kv_rate own; uint32_t class; int32_t parts; };
struct kv_net_link {
    kv_rate capacity;                    /* with a curve: as of the last settling that looked at it */
    kv_rate most;                        /* of it, whatever crosses it */
    kv_service demand;                   /* sum of own limits of all parts of members */
    KV_VEC(struct kv_net_member) member; /* attached classes, by (own, class) */
    kv_u128 gone;                        /* carried for classes that have been detached */
    int64_t flows, parts;                /* present at the last settling, and how many of their parts cross it */
    KV_VEC(kv_rate) curve;               /* capacity by parts; empty: always the same */
    struct kv_heap queue;                /* in_order: due = flow id, id = class */
    uint64_t visit;
    uint32_t local;                      /* its number in the component being solved */
    bool in_order, bound;                /* bound: could bind at the last settling that looked at it */
};

struct kv_net_path {
    struct kv_hop hop[KV_HOPS_MAX];
    int32_t count;
    kv_rate most;                        /* its narrowest link lets a part have */
    uint32_t recent;                     /* class of the flow that started last, or none; may be of another path now */
    bool in_order;
};

enum kv_flow_state { KV_FLOW_FREE, KV_FLOW_RUNNING, KV_FLOW_PAUSED, KV_FLOW_ENDED };
/* 64 bytes: with thousands of flows under way the end of one is a walk from cache line to cache line. */
struct kv_net_flow {
    /* Level of its class at which it would have begun with nothing delivered. In an unlimited class: level at which
     * it joined when `asked`, else what it had then. */
    kv_service origin;
    uint64_t id, tag, mark;              /* mark: number of the stretch in which it began */
    int64_t bytes, permitted;
    uint32_t class;                      /* free: the next free flow */
    uint8_t state;                       /* enum kv_flow_state */
    bool asked : 1;                      /* never paused, limit never changed */
    bool marked : 1;                     /* its owner is told on the way: kv_net.notice */
    bool limit_later : 1;                /* its limit changed as it was about to pause: kv_net.later */
};
_Static_assert(sizeof(struct kv_net_flow) == 64, "a flow fills a cache line");

struct kv_told { uint64_t id; int64_t bytes; uint32_t flow; };

struct kv_net {
    struct kv_engine *engine;
    kv_flow_done done;
    void *owner;
    uint32_t completion, settle;         /* timers */
    kv_tick completion_tk;               /* for which the one is armed */
    bool unsettled;
    KV_VEC(struct kv_net_link) link;
    KV_VEC(struct kv_net_path) path;
    KV_VEC(struct kv_net_flow) flow;
    KV_VEC(uint32_t) place;              /* of each flow in the queue of its class: net_queue.c */
    KV_VEC(int64_t) notice;              /* by flow: bytes at which the owner of a marked one is told on the way */
    KV_VEC(kv_rate) later;               /* by flow: limit that holds once it has paused */
    struct kv_ilinks asked_link, bucket_link;
    size_t many;                         /* flows of a class from which on they are put into buckets */
    uint32_t free_flow, free_class;
    uint64_t next_id;
    struct kv_pool class;
    struct kv_map by_key;
    struct kv_heap due;                  /* classes by the tick of their next completion */
    KV_VEC(uint32_t) touched;
    KV_VEC(struct kv_told) told;
    /* Of a settling: */
    uint64_t visit;
    KV_VEC(uint32_t) part, part_link;    /* classes of a component, its links that bind */
    KV_VEC(struct kv_maxmin_class) solve_class;
    KV_VEC(struct kv_maxmin_link) solve_link;
    struct kv_net_counters counters;
};

static inline struct kv_net_class *kv_net_class_at(const struct kv_net *net, uint32_t class)
{
    return kv_pool_at(&net->class, class);
}
/* Service level now. */
static inline kv_service kv_net_level(const struct kv_net *net, const struct kv_net_class *c)
{
    return c->now.service + (kv_service)c->now.rate * (kv_engine_now(net->engine) - c->now.since);
}
/* Rate of a part of a flow as of the last settling, for tests. */
static inline kv_rate kv_net_flow_rate(const struct kv_net *net, uint32_t flow)
{
    const struct kv_net_flow *f = &net->flow.at[flow];
    if (f->state != KV_FLOW_RUNNING) return 0;
    const struct kv_net_class *c = kv_net_class_at(net, f->class);
    return c->unlimited && c->now.rate ? KV_RATE_UNLIMITED : c->now.rate;
}
/* Level at which the owner of the flow at place i of the heap is told next. */
static inline kv_service kv_net_level_at(const struct kv_net_class *c, size_t i)
{
    return c->queue.zero + (c->queue.heap.at[i] >> 32);
}
/* Level at which the owner of a running flow in a class with a limit is told next. */
static inline kv_service kv_net_told_level(const struct kv_net *net, uint32_t flow)
{
    const struct kv_net_flow *f = &net->flow.at[flow];
    return f->origin + (f->marked ? net->notice.at[flow] : f->permitted) * KV_SERVICE_PER_BYTE;
}
/* Level at which a running flow has what it is permitted to. In an unlimited class marks are not heeded. */
static inline kv_service kv_net_end_level(const struct kv_net *net, const struct kv_net_class *c, uint32_t flow)
{
    const struct kv_net_flow *f = &net->flow.at[flow];
    return c->unlimited ? kv_net_level_at(c, net->place.at[flow]) : f->origin + f->permitted * KV_SERVICE_PER_BYTE;
}

/* ---- net_class.c ---- */
uint32_t kv_net_class_of(struct kv_net *net, uint32_t path, kv_rate limit);   /* finds or makes; counts a user */
void kv_net_class_leave(struct kv_net *net, uint32_t class);                  /* a user less */
void kv_net_class_free(struct kv_net *net, uint32_t class);                   /* no users, no links */
/* Marks it for the settling of this tick. */
void kv_net_touch_first(struct kv_net *net, uint32_t class);   /* the first time since the last settling */
static inline void kv_net_touch(struct kv_net *net, const struct kv_net_class *c, uint32_t class)
{
    if (!c->touched) kv_net_touch_first(net, class);
}
bool kv_net_rate_set(struct kv_net *net, struct kv_net_class *c, kv_rate rate);   /* true when it is another */
void kv_net_asked_add(struct kv_net *net, uint32_t flow);
void kv_net_asked_drop(struct kv_net *net, uint32_t flow);
/* What its links have not been told of what it delivered. */
kv_u128 kv_net_unflushed(const struct kv_net *net, const struct kv_net_class *c);

/* ---- net_queue.c ---- */
/* Puts a running flow in, moves it there or takes it out; `level` is where its owner is told next: kv_net_told_level
 * but in an unlimited class. */
void kv_net_queue_set(struct kv_net *net, struct kv_net_class *c, uint32_t flow, kv_service level);
void kv_net_queue_drop(struct kv_net *net, struct kv_net_class *c, uint32_t flow);

/* ---- net_rates.c ---- */
void kv_net_settle(void *net, uint32_t kind);

#endif

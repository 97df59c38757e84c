/* SPDX-License-Identifier: Apache-2.0 */
/* Flows: from start to drop. Service curves of their classes are in net_class.c, who ends next in net_queue.c, rates in
 * net_rates.c. */
#include "sim/serve/net.h"

#include <stdlib.h>

#include "sim/base/err.h"
#include "sim/serve/net_private.h"

static void complete(void *owner, uint32_t kind);

struct kv_net *kv_net_open(struct kv_engine *engine, kv_flow_done done, void *owner)
{
    struct kv_net *net = kv_mem_take(sizeof *net);
    *net = (struct kv_net){.engine = engine, .done = done, .owner = owner,
                           .free_flow = KV_NONE, .free_class = KV_NONE,
                           .completion_tk = KV_TICK_NEVER, .many = 256};
    net->completion = kv_timer_new(engine, KV_CLASS_COMPLETION, complete, net, 0);
    net->settle = kv_timer_new(engine, KV_CLASS_SETTLE, kv_net_settle, net, 0);
    kv_pool_open(&net->class, sizeof(struct kv_net_class));
    kv_map_open(&net->by_key, 64);
    return net;
}

void kv_net_close(struct kv_net *net)
{
    for (uint32_t i = 0; i < net->class.high; i++) {
        kv_vec_close(&kv_net_class_at(net, i)->past);
        kv_vec_close(&kv_net_class_at(net, i)->queue.heap);
        kv_vec_close(&kv_net_class_at(net, i)->queue.bucket);
    }
    for (size_t i = 0; i < net->link.count; i++) {
        kv_vec_close(&net->link.at[i].member);
        kv_vec_close(&net->link.at[i].curve);
        kv_heap_close(&net->link.at[i].queue);
    }
    kv_pool_close(&net->class);
    kv_map_close(&net->by_key);
    kv_heap_close(&net->due);
    kv_vec_close(&net->link);
    kv_vec_close(&net->path);
    kv_vec_close(&net->flow);
    kv_vec_close(&net->place);
    kv_vec_close(&net->notice);
    kv_vec_close(&net->later);
    kv_vec_close(&net->asked_link);
    kv_vec_close(&net->bucket_link);
    kv_vec_close(&net->touched);
    kv_vec_close(&net->told);
    kv_vec_close(&net->part);
    kv_vec_close(&net->part_link);
    kv_vec_close(&net->solve_class);
    kv_vec_close(&net->solve_link);
    kv_mem_give(net, sizeof *net);
}

uint32_t kv_net_add_link(struct kv_net *net, kv_rate capacity, bool in_order)
{
    kv_assert(capacity >= 0 && capacity <= KV_RATE_UNLIMITED);
    kv_vec_push(&net->link, ((struct kv_net_link){.capacity = capacity, .most = capacity, .in_order = in_order}));
    return (uint32_t)(net->link.count - 1);
}

void kv_net_link_curve(struct kv_net *net, uint32_t link, const kv_rate *curve, int32_t count)
{
    struct kv_net_link *l = &net->link.at[link];
    kv_assert(count >= 1 && l->curve.count == 0 && l->flows == 0);
    l->capacity = curve[0];
    l->most = 0;
    for (int32_t i = 0; i < count; i++) {
        kv_assert(curve[i] >= 0 && curve[i] <= KV_RATE_UNLIMITED);
        kv_vec_push(&l->curve, curve[i]);
        if (curve[i] > l->most) l->most = curve[i];
    }
}

uint32_t kv_net_add_path(struct kv_net *net, const struct kv_hop *hops, int32_t count)
{
    struct kv_net_path path = {.count = count, .most = KV_RATE_UNLIMITED, .recent = KV_NONE};
    kv_assert(count >= 0 && count <= KV_HOPS_MAX);
    for (int32_t h = 0; h < count; h++) {
        kv_assert(hops[h].link < net->link.count && hops[h].parts_on_it >= 1);
        for (int32_t other = 0; other < h; other++) kv_assert(hops[other].link != hops[h].link);
        const struct kv_net_link *link = &net->link.at[hops[h].link];
        kv_rate alone = link->most / hops[h].parts_on_it;
        if (alone < path.most) path.most = alone;
        path.in_order = path.in_order || link->in_order;
        path.hop[h] = hops[h];
    }
    kv_vec_push(&net->path, path);
    return (uint32_t)(net->path.count - 1);
}

/* ---- joining and leaving a class ---- */

static void touch_first_of(struct kv_net *net, const struct kv_heap_key *first)
{
    uint32_t class = (uint32_t)first->order;
    kv_net_touch(net, kv_net_class_at(net, class), class);
}

static void stand_in_queues(struct kv_net *net, const struct kv_net_flow *f)
{
    const struct kv_net_path *path = &net->path.at[kv_net_class_at(net, f->class)->path];
    for (int32_t h = 0; h < path->count; h++) {
        struct kv_net_link *link = &net->link.at[path->hop[h].link];
        if (!link->in_order) continue;
        const struct kv_heap_key *first = kv_heap_top(&link->queue);
        if (first && first->due > (int64_t)f->id) touch_first_of(net, first);   /* is overtaken */
        kv_heap_set(&link->queue, (struct kv_heap_key){(int64_t)f->id, f->class});
    }
}

static void leave_queues(struct kv_net *net, const struct kv_net_flow *f)
{
    const struct kv_net_path *path = &net->path.at[kv_net_class_at(net, f->class)->path];
    for (int32_t h = 0; h < path->count; h++) {
        struct kv_net_link *link = &net->link.at[path->hop[h].link];
        if (!link->in_order) continue;
        kv_heap_drop(&link->queue, f->class);
        const struct kv_heap_key *first = kv_heap_top(&link->queue);
        if (first && first->due > (int64_t)f->id) touch_first_of(net, first);   /* it is its turn */
    }
}

/* Into f->class, `had` having been delivered to it before. */
static void join(struct kv_net *net, uint32_t flow, kv_service had)
{
    struct kv_net_flow *f = &net->flow.at[flow];
    struct kv_net_class *c = kv_net_class_at(net, f->class);
    kv_service level = kv_net_level(net, c);
    f->state = KV_FLOW_RUNNING;
    f->origin = !c->unlimited ? level - had : f->asked ? level : had;
    kv_net_queue_set(net, c, flow, c->unlimited ? level + 1 : kv_net_told_level(net, flow));
    c->settled_sum -= (kv_u128)level;
    if (c->in_order) stand_in_queues(net, f);
    kv_net_touch(net, c, f->class);
}

/* Off its links, at service level `level` at most: beyond what it is permitted to nothing is delivered. */
static void leave(struct kv_net *net, uint32_t flow, kv_service level)
{
    struct kv_net_flow *f = &net->flow.at[flow];
    struct kv_net_class *c = kv_net_class_at(net, f->class);
    kv_service end = kv_net_end_level(net, c, flow);
    kv_net_queue_drop(net, c, flow);
    c->settled_sum += (kv_u128)(level < end ? level : end);
    if (c->in_order) leave_queues(net, f);
    kv_net_touch(net, c, f->class);
}

/* What a part of a flow has got. */
static kv_service delivered(const struct kv_net *net, const struct kv_net_flow *f)
{
    kv_service permitted = f->permitted * KV_SERVICE_PER_BYTE;
    if (f->state != KV_FLOW_RUNNING) return permitted;
    const struct kv_net_class *c = kv_net_class_at(net, f->class);
    kv_service level = kv_net_level(net, c);
    if (level >= kv_net_end_level(net, c, (uint32_t)(f - net->flow.at))) return permitted;
    return !c->unlimited ? level - f->origin : f->asked ? 0 : f->origin;
}

/* ---- completions ---- */

static int by_id(const void *a, const void *b)
{
    uint64_t x = ((const struct kv_told *)a)->id, y = ((const struct kv_told *)b)->id;
    return (x > y) - (x < y);
}

/* Of a flow that is not running. */
static void change_limit(struct kv_net *net, struct kv_net_flow *f, kv_rate limit)
{
    uint32_t class = f->class;
    const struct kv_net_class *c = kv_net_class_at(net, class);
    if (limit == c->limit) return;
    f->class = kv_net_class_of(net, c->path, limit);
    kv_net_class_leave(net, class);
}

static void pause(struct kv_net *net, uint32_t flow)
{
    struct kv_net_flow *f = &net->flow.at[flow];
    f->state = KV_FLOW_PAUSED;
    kv_net_asked_drop(net, flow);
    if (f->limit_later) change_limit(net, f, net->later.at[flow]);
    f->limit_later = false;
}

/* Takes the flows of a class that have all they are permitted to off their links; marks that are reached are told. */
static void gather(struct kv_net *net, uint32_t class)
{
    struct kv_net_class *c = kv_net_class_at(net, class);
    kv_service level = kv_net_level(net, c);
    while (c->queue.count && kv_net_level_at(c, 0) <= level) {
        uint32_t flow = (uint32_t)c->queue.heap.at[0];
        struct kv_net_flow *f = &net->flow.at[flow];
        bool on_the_way = f->marked && level < kv_net_end_level(net, c, flow);
        f->marked = false;
        if (on_the_way) {
            kv_net_queue_set(net, c, flow, kv_net_told_level(net, flow));
            kv_vec_push(&net->told, ((struct kv_told){f->id, kv_flow_moved_bytes(net, flow), flow}));
            continue;
        }
        leave(net, flow, level);
        if (f->permitted < f->bytes) pause(net, flow);
        else f->state = KV_FLOW_ENDED;
        kv_vec_push(&net->told, ((struct kv_told){f->id, f->permitted, flow}));
    }
    kv_net_touch(net, c, class);   /* whatever happened: its entry in `due` is of the past */
}

/* Of the classes from this place of their heap on; the settling that follows moves their entries. */
static void gather_due(struct kv_net *net, size_t place)
{
    gather(net, (uint32_t)net->due.key.at[place].order);
    for (size_t child = 4 * place + 1; child <= 4 * place + 4 && child < net->due.key.count; child++)
        if (net->due.key.at[child].due <= kv_engine_now(net->engine)) gather_due(net, child);
}

static void complete(void *owner, uint32_t kind)
{
    struct kv_net *net = owner;
    (void)kind;
    net->completion_tk = KV_TICK_NEVER;
    net->told.count = 0;
    const struct kv_heap_key *top = kv_heap_top(&net->due);
    if (top && top->due <= kv_engine_now(net->engine)) gather_due(net, 0);
    if (net->told.count > 1) qsort(net->told.at, net->told.count, sizeof *net->told.at, by_id);
    for (size_t i = 0; i < net->told.count; i++) {
        struct kv_told told = net->told.at[i];
        const struct kv_net_flow *f = &net->flow.at[told.flow];
        if (f->id == told.id) net->done(net->owner, told.flow, f->tag, told.bytes);   /* else: dropped meanwhile */
    }
}

/* ---- flows ---- */

static uint32_t take_flow(struct kv_net *net)
{
    uint32_t flow = net->free_flow;
    if (flow != KV_NONE) {
        net->free_flow = net->flow.at[flow].class;
        return flow;
    }
    kv_vec_push(&net->flow, (struct kv_net_flow){0});
    kv_vec_push(&net->place, KV_NONE);
    kv_vec_push(&net->notice, 0);
    kv_vec_push(&net->later, 0);
    return (uint32_t)(net->flow.count - 1);
}

uint32_t kv_flow_start(struct kv_net *net, uint32_t path, kv_rate limit, int64_t bytes, int64_t permitted, uint64_t tag)
{
    kv_assert(path < net->path.count && limit >= 0 && limit <= KV_RATE_UNLIMITED);
    kv_assert(permitted >= 1 && permitted <= bytes);
    uint32_t flow = take_flow(net);
    net->flow.at[flow] = (struct kv_net_flow){.id = net->next_id++, .tag = tag, .bytes = bytes,
                                              .permitted = permitted, .class = kv_net_class_of(net, path, limit)};
    kv_net_asked_add(net, flow);
    join(net, flow, 0);
    net->counters.flows++;
    return flow;
}

void kv_flow_permit(struct kv_net *net, uint32_t flow, int64_t permitted)
{
    struct kv_net_flow *f = &net->flow.at[flow];
    kv_assert(f->state != KV_FLOW_FREE && permitted >= f->permitted && permitted <= f->bytes);
    if (permitted == f->permitted) return;
    if (f->state == KV_FLOW_PAUSED) {
        kv_service had = delivered(net, f);
        f->permitted = permitted;
        join(net, flow, had);
        return;
    }
    f->permitted = permitted;
    struct kv_net_class *c = kv_net_class_at(net, f->class);
    if (c->unlimited) return;   /* one tick, however much */
    kv_net_queue_set(net, c, flow, kv_net_told_level(net, flow));
    kv_net_touch(net, c, f->class);
    if (!f->limit_later) return;
    f->limit_later = false;
    kv_flow_limit(net, flow, net->later.at[flow]);
}

void kv_flow_mark(struct kv_net *net, uint32_t flow, int64_t mark)
{
    struct kv_net_flow *f = &net->flow.at[flow];
    struct kv_net_class *c = kv_net_class_at(net, f->class);
    kv_assert(f->state == KV_FLOW_RUNNING && mark <= f->permitted && mark > kv_flow_moved_bytes(net, flow));
    f->marked = mark < f->permitted;
    net->notice.at[flow] = mark;
    if (c->unlimited) return;
    kv_net_queue_set(net, c, flow, kv_net_told_level(net, flow));
    kv_net_touch(net, c, f->class);
}

void kv_flow_limit(struct kv_net *net, uint32_t flow, kv_rate limit)
{
    struct kv_net_flow *f = &net->flow.at[flow];
    kv_assert(f->state != KV_FLOW_FREE && limit >= 0 && limit <= KV_RATE_UNLIMITED);
    if (f->state == KV_FLOW_PAUSED) change_limit(net, f, limit);
    if (f->state != KV_FLOW_RUNNING) return;
    const struct kv_net_class *c = kv_net_class_at(net, f->class);
    kv_service level = kv_net_level(net, c);
    if (level >= kv_net_end_level(net, c, flow)) {   /* at its end, only not yet told */
        f->limit_later = true;
        net->later.at[flow] = limit;
        return;
    }
    if (limit == c->limit) return;
    kv_service had = delivered(net, f);
    kv_net_asked_drop(net, flow);
    leave(net, flow, level);
    change_limit(net, f, limit);
    join(net, flow, had);
}

int64_t kv_flow_moved_bytes(const struct kv_net *net, uint32_t flow)
{
    return (int64_t)(delivered(net, &net->flow.at[flow]) / KV_SERVICE_PER_BYTE);
}

int64_t kv_flow_moved_bytes_by(const struct kv_net *net, uint32_t flow, kv_tick at_tk)
{
    const struct kv_net_flow *f = &net->flow.at[flow];
    const struct kv_net_class *c = kv_net_class_at(net, f->class);
    kv_service more = f->state == KV_FLOW_RUNNING && !c->unlimited
                      ? (kv_service)c->now.rate * (at_tk - kv_engine_now(net->engine)) : 0;
    int64_t bytes = (int64_t)((delivered(net, f) + more) / KV_SERVICE_PER_BYTE);
    return bytes < f->permitted ? bytes : f->permitted;
}

void kv_flow_drop(struct kv_net *net, uint32_t flow)
{
    struct kv_net_flow *f = &net->flow.at[flow];
    kv_assert(f->state != KV_FLOW_FREE);
    if (f->state == KV_FLOW_RUNNING) leave(net, flow, kv_net_level(net, kv_net_class_at(net, f->class)));
    kv_net_asked_drop(net, flow);
    kv_net_class_leave(net, f->class);
    f->state = KV_FLOW_FREE;
    f->id = UINT64_MAX;
    f->class = net->free_flow;
    net->free_flow = flow;
}

/* ---- links ---- */

kv_service kv_net_carried(const struct kv_net *net, uint32_t link)
{
    const struct kv_net_link *l = &net->link.at[link];
    kv_u128 carried = l->gone;
    for (size_t i = 0; i < l->member.count; i++) {
        uint64_t parts = (uint64_t)l->member.at[i].parts;
        carried += kv_net_unflushed(net, kv_net_class_at(net, l->member.at[i].class)) * parts;
    }
    return (kv_service)carried;
}

int64_t kv_net_flows_on(const struct kv_net *net, uint32_t link)
{
    int64_t flows = net->link.at[link].flows;
    for (size_t i = 0; i < net->touched.count; i++) {   /* what the settling of this tick will count */
        const struct kv_net_class *c = kv_net_class_at(net, net->touched.at[i]);
        const struct kv_net_path *path = &net->path.at[c->path];
        for (int32_t h = 0; h < path->count; h++)
            if (path->hop[h].link == link) flows += (int64_t)c->queue.count - c->present;
    }
    return flows;
}

struct kv_net_counters kv_net_counters(const struct kv_net *net)
{
    return net->counters;
}

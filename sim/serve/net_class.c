/* SPDX-License-Identifier: Apache-2.0 */
/* Classes of flows: how they are found, and their service curves. */
#include "sim/serve/net_private.h"

#include "sim/base/err.h"
#include "sim/base/rng.h"

/* ---- finding ---- */

static uint32_t take_class(struct kv_net *net)
{
    uint32_t class = net->free_class;
    if (class == KV_NONE) return kv_pool_take(&net->class);
    net->free_class = kv_net_class_at(net, class)->next_free;
    return class;
}

static uint32_t new_class(struct kv_net *net, uint32_t path, kv_rate limit, uint64_t key)
{
    uint32_t class = take_class(net);
    struct kv_net_class *c = kv_net_class_at(net, class);
    const struct kv_net_path *p = &net->path.at[path];
    /* Of what an earlier class has left only the buffers are of use: nothing is allocated per class in the long run. */
    bool unlimited = p->count == 0 && limit == KV_RATE_UNLIMITED;
    struct kv_net_class fresh = {
        .now.since = kv_engine_now(net->engine), .asked = KV_ILIST_EMPTY, .limit = limit,
        .own = unlimited ? 1 : limit < p->most ? limit : p->most, .key = key, .path = path,
        .in_order = p->in_order, .unlimited = unlimited,
    };
    fresh.past.at = c->past.at;
    fresh.past.capacity = c->past.capacity;
    fresh.queue.heap.at = c->queue.heap.at;
    fresh.queue.heap.capacity = c->queue.heap.capacity;
    fresh.queue.bucket = c->queue.bucket;
    fresh.queue.next = KV_NET_BUCKETS;
    *c = fresh;
    if (!c->in_order) kv_map_put(&net->by_key, key, class);
    return class;
}

/* The class of a path and a limit that are not in_order, or none; its key, or the one for a new class, in *key. */
static uint32_t find_class(const struct kv_net *net, uint32_t path, kv_rate limit, uint64_t *key)
{
    /* Two pairs of one key would have to be 64-bit collisions; the later one goes on to another key. */
    for (*key = kv_mix64_pair(path, (uint64_t)limit);; *key = kv_mix64_pair(*key, 1)) {
        uint32_t class = kv_map_get(&net->by_key, *key);
        if (class == KV_NONE) return KV_NONE;
        const struct kv_net_class *c = kv_net_class_at(net, class);
        if (c->path == path && c->limit == limit) return class;
    }
}

uint32_t kv_net_class_of(struct kv_net *net, uint32_t path, kv_rate limit)
{
    struct kv_net_path *p = &net->path.at[path];
    uint64_t key = 0;
    if (p->in_order) {
        uint32_t class = new_class(net, path, limit, key);
        kv_net_class_at(net, class)->users++;
        return class;
    }
    if (p->recent != KV_NONE) {
        struct kv_net_class *c = kv_net_class_at(net, p->recent);
        if (c->path == path && c->limit == limit && c->users > 0) {
            c->users++;
            return p->recent;
        }
    }
    uint32_t class = find_class(net, path, limit, &key);
    if (class == KV_NONE) class = new_class(net, path, limit, key);
    kv_net_class_at(net, class)->users++;
    p->recent = class;
    return class;
}

void kv_net_class_free(struct kv_net *net, uint32_t class)
{
    struct kv_net_class *c = kv_net_class_at(net, class);
    kv_assert(!c->attached && c->users == 0 && c->queue.count == 0);
    kv_heap_drop(&net->due, class);
    if (!c->in_order) kv_map_drop(&net->by_key, c->key);
    c->next_free = net->free_class;
    net->free_class = class;
}

void kv_net_class_leave(struct kv_net *net, uint32_t class)
{
    struct kv_net_class *c = kv_net_class_at(net, class);
    c->users--;
    if (c->users == 0 && !c->touched) kv_net_class_free(net, class);   /* else the settling does */
}

void kv_net_touch_first(struct kv_net *net, uint32_t class)
{
    kv_net_class_at(net, class)->touched = true;
    kv_vec_push(&net->touched, class);
    if (net->unsettled) return;
    net->unsettled = true;
    kv_timer_arm(net->engine, net->settle, kv_engine_now(net->engine));
}

/* ---- service curve ---- */

/* Room for one more stretch: those that only dropped flows have seen go first, when they are at least half. */
static void make_room(struct kv_net *net, struct kv_net_class *c)
{
    if (c->past.count < c->past.capacity) return;
    uint64_t unseen = net->flow.at[c->asked.head].mark - c->past_dropped;
    if (unseen == 0 || unseen < c->past.count / 2) return;
    c->past.count -= unseen;
    for (size_t i = 0; i < c->past.count; i++) c->past.at[i] = c->past.at[i + unseen];
    c->past_dropped += unseen;
}

bool kv_net_rate_set(struct kv_net *net, struct kv_net_class *c, kv_rate rate)
{
    kv_tick now = kv_engine_now(net->engine);
    if (c->now.rate == rate) return false;
    if (now > c->now.since) {
        if (c->asked.head != KV_NONE) {
            make_room(net, c);
            kv_vec_push(&c->past, c->now);
        }
        c->now.service = kv_net_level(net, c);
        c->now.since = now;
    }
    c->now.rate = rate;
    return true;
}

void kv_net_asked_add(struct kv_net *net, uint32_t flow)
{
    struct kv_net_flow *f = &net->flow.at[flow];
    struct kv_net_class *c = kv_net_class_at(net, f->class);
    f->asked = true;
    f->mark = c->past_dropped + c->past.count;
    kv_ilinks_cover(&net->asked_link, flow);
    kv_ilist_push_tail(&c->asked, &net->asked_link, flow);
}

void kv_net_asked_drop(struct kv_net *net, uint32_t flow)
{
    struct kv_net_flow *f = &net->flow.at[flow];
    struct kv_net_class *c = kv_net_class_at(net, f->class);
    if (!f->asked) return;
    f->asked = false;
    kv_ilist_unlink(&c->asked, &net->asked_link, flow);
    if (c->asked.head != KV_NONE) return;
    c->past_dropped += c->past.count;
    c->past.count = 0;
}

/* First tick at which a level beyond that at `s` was reached, when it was reached in that stretch. */
static kv_tick reached_in(const struct kv_segment *s, kv_service level)
{
    kv_tick ticks = kv_rate_ticks(level - s->service, s->rate);
    kv_assert(ticks < KV_TICK_LIMIT);
    return s->since + ticks;
}

/* The last stretch that begins below `level`, counted from past.at[0]; past.count stands for the present one. The one
 * at `from` does. Few steps where the answer is near. */
static size_t stretch_of(const struct kv_net_class *c, size_t from, kv_service level)
{
    size_t low = from, high, step = 1;
    if (c->now.service < level) return c->past.count;
    while (low + step < c->past.count && c->past.at[low + step].service < level) {
        low += step;
        step *= 2;
    }
    high = low + step < c->past.count ? low + step : c->past.count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (c->past.at[middle].service < level) low = middle;
        else high = middle;
    }
    return low;
}

void kv_flow_reached_all(const struct kv_net *net, uint32_t flow, const int64_t *bytes, int32_t count, kv_tick *out)
{
    const struct kv_net_flow *f = &net->flow.at[flow];
    const struct kv_net_class *c = kv_net_class_at(net, f->class);
    kv_assert(f->asked);
    size_t at = (size_t)(f->mark - c->past_dropped);
    for (int32_t i = 0; i < count; i++) {
        kv_assert(bytes[i] >= 1 && (i == 0 || bytes[i] >= bytes[i - 1]));
        kv_service level = f->origin + (c->unlimited ? 1 : bytes[i] * KV_SERVICE_PER_BYTE);
        at = stretch_of(c, at, level);
        out[i] = reached_in(at < c->past.count ? &c->past.at[at] : &c->now, level);
    }
    kv_assert(count == 0 || out[count - 1] <= kv_engine_now(net->engine));
}

/* Of a level that was reached at this tick, what is beyond the permitted of a running flow. */
static kv_u128 beyond(const struct kv_net *net, const struct kv_net_class *c, uint32_t flow, kv_service level)
{
    kv_service end = kv_net_end_level(net, c, flow);
    return end < level ? (kv_u128)(level - end) : 0;
}

static kv_u128 all_beyond(const struct kv_net *net, const struct kv_net_class *c, kv_service level)
{
    const struct kv_net_queue *q = &c->queue;
    kv_u128 sum = 0;
    for (size_t i = 0; i < q->heap.count; i++) sum += beyond(net, c, (uint32_t)q->heap.at[i], level);
    for (int32_t b = q->next; b < KV_NET_BUCKETS; b++)
        for (uint32_t flow = q->bucket.at[b].head; flow != KV_NONE; flow = net->bucket_link.at[flow].next)
            sum += beyond(net, c, flow, level);
    return sum;
}

kv_u128 kv_net_unflushed(const struct kv_net *net, const struct kv_net_class *c)
{
    kv_service level = kv_net_level(net, c);
    kv_u128 delivered = (kv_u128)level * c->queue.count + c->settled_sum;
    /* At the tick of a completion, before it is handled: what is beyond the permitted has gone to nobody. */
    if (c->queue.count && kv_net_level_at(c, 0) < level) delivered -= all_beyond(net, c, level);
    return delivered - c->flushed;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Running flows of a class, in the order in which their owners are told. */
#include "sim/serve/net_private.h"

#include "sim/base/prefetch.h"

/* What kv_net.place says of a flow: its place in the heap, or its bucket and this. */
#define IN_BUCKET (UINT32_C(1) << 31)

/* ---- the heap: as in sim/engine/heap.c, but many share one array of places ---- */

static inline void put(kv_service *at, uint32_t *place, size_t i, kv_service key)
{
    at[i] = key;
    place[(uint32_t)key] = (uint32_t)i;
}

static void sift_up(kv_service *at, uint32_t *place, size_t i, kv_service key)
{
    for (size_t up; i > 0 && key < at[up = (i - 1) / 4]; i = up) put(at, place, i, at[up]);
    put(at, place, i, key);
}

static void sift_down(kv_service *at, size_t count, uint32_t *place, size_t i, kv_service key)
{
    for (size_t first; (first = 4 * i + 1) < count;) {
        const kv_service *least = &at[first];
        if (first + 3 < count) {   /* without jumps: which child is least cannot be predicted */
            const kv_service *right = least + 2;
            least += least[1] < least[0];
            right += right[1] < right[0];
            least = *right < *least ? right : least;
        } else {
            for (const kv_service *c = least + 1; c < &at[count]; c++)
                if (*c < *least) least = c;
        }
        if (key < *least) break;
        put(at, place, i, *least);
        i = (size_t)(least - at);
    }
    put(at, place, i, key);
}

/* Puts a key where it belongs, starting at place i. */
static void settle_key(struct kv_net *net, struct kv_net_queue *q, size_t i, kv_service key)
{
    if (i > 0 && key < q->heap.at[(i - 1) / 4]) sift_up(q->heap.at, net->place.at, i, key);
    else sift_down(q->heap.at, q->heap.count, net->place.at, i, key);
}

static void heap_add(struct kv_net *net, struct kv_net_queue *q, kv_service key)
{
    kv_vec_push(&q->heap, key);
    sift_up(q->heap.at, net->place.at, q->heap.count - 1, key);
}

/* ---- buckets ---- */

#define AT_ONCE 32
#define SHIFT_MAX 114   /* buckets reach over 2^125 at most: `base` is that far below `zero` at most */
/* What is called for each flow stays small without those called for each bucket. */
#define OUT_OF_LINE __attribute__((noinline))

static int32_t bucket_of(const struct kv_net_queue *q, kv_service key)
{
    if (key < q->base) return 0;
    kv_service bucket = (key - q->base) >> q->shift;
    return bucket < KV_NET_BUCKETS ? (int32_t)bucket : KV_NET_BUCKETS - 1;
}

static void add(struct kv_net *net, struct kv_net_queue *q, kv_service key)
{
    uint32_t flow = (uint32_t)key;
    int32_t bucket = q->next < KV_NET_BUCKETS ? bucket_of(q, key) : 0;
    if (bucket < q->next) {
        heap_add(net, q, key);
        return;
    }
    net->place.at[flow] = IN_BUCKET | (uint32_t)bucket;
    kv_ilinks_cover(&net->bucket_link, flow);
    kv_ilist_push_head(&q->bucket.at[bucket], &net->bucket_link, flow);
}

static kv_service key_of(const struct kv_net_queue *q, uint32_t flow, kv_service level)
{
    return (level - q->zero) * KV_SERVICE_PER_BYTE + flow;
}

/* Buckets that reach at least eight times as far as the keys of the heap do now: most flows to come find their place,
 * and few are spread again. All of its keys, which need no order, go into them, but for those of bucket 0, which the
 * least is in. */
OUT_OF_LINE static void spread(struct kv_net *net, struct kv_net_queue *q)
{
    kv_service least = q->heap.at[0], most = least;
    size_t count = q->heap.count;
    for (size_t i = 1; i < count; i++) {
        if (q->heap.at[i] < least) least = q->heap.at[i];
        if (q->heap.at[i] > most) most = q->heap.at[i];
    }
    q->base = least;
    q->shift = 0;
    while (q->shift < SHIFT_MAX && (most - least) >> q->shift >= KV_NET_BUCKETS / 8) q->shift++;
    kv_vec_reserve(&q->bucket, KV_NET_BUCKETS);
    for (int32_t b = 0; b < KV_NET_BUCKETS; b++) q->bucket.at[b] = KV_ILIST_EMPTY;
    q->next = 1;
    q->heap.count = 0;
    for (size_t i = 0; i < count; i++) add(net, q, q->heap.at[i]);
}

/* Asks memory for some flows of a bucket from `flow` on, which lie far apart, and names them in some[0..*count - 1].
 * Returns the one after them. */
static uint32_t expect(const struct kv_net *net, uint32_t flow, uint32_t some[AT_ONCE], int32_t *count)
{
    for (*count = 0; flow != KV_NONE && *count < AT_ONCE; flow = net->bucket_link.at[flow].next) {
        kv_prefetch(&net->flow.at[flow]);
        kv_prefetch(&net->asked_link.at[flow]);
        some[(*count)++] = flow;
    }
    return flow;
}

/* The next bucket into the heap. */
OUT_OF_LINE static void open_bucket(struct kv_net *net, struct kv_net_queue *q)
{
    uint32_t some[AT_ONCE], flow = q->bucket.at[q->next++].head;
    int32_t count;
    while (flow != KV_NONE) {
        flow = expect(net, flow, some, &count);
        for (int32_t i = 0; i < count; i++) heap_add(net, q, key_of(q, some[i], kv_net_told_level(net, some[i])));
    }
    /* Those of the bucket after it are read next, a while from now. */
    if (q->next < KV_NET_BUCKETS) expect(net, q->bucket.at[q->next].head, some, &count);
    else if (q->heap.count >= net->many) spread(net, q);
}

/* ---- both ---- */

/* Keys count from `zero` in 63 bits of whole bytes, less than a fast link carries in the longest of runs. */
static void move_zero(struct kv_net_queue *q, kv_service level)
{
    kv_service more = level - q->zero;
    for (size_t i = 0; i < q->heap.count; i++) q->heap.at[i] -= more * KV_SERVICE_PER_BYTE;
    if (q->next < KV_NET_BUCKETS) q->base -= more * KV_SERVICE_PER_BYTE;
    q->zero += more;
}

void kv_net_queue_set(struct kv_net *net, struct kv_net_class *c, uint32_t flow, kv_service level)
{
    struct kv_net_queue *q = &c->queue;
    if (level - q->zero >= (kv_service)1 << 94) move_zero(q, kv_net_level(net, c));
    kv_service key = key_of(q, flow, level);
    uint32_t place = net->place.at[flow];
    if (place != KV_NONE && !(place & IN_BUCKET) && q->next == KV_NET_BUCKETS) {
        settle_key(net, q, place, key);
        return;
    }
    if (place != KV_NONE) kv_net_queue_drop(net, c, flow);
    q->count++;
    if (q->next == KV_NET_BUCKETS && q->count > net->many && !c->unlimited) spread(net, q);
    add(net, q, key);
}

void kv_net_queue_drop(struct kv_net *net, struct kv_net_class *c, uint32_t flow)
{
    struct kv_net_queue *q = &c->queue;
    uint32_t place = net->place.at[flow];
    net->place.at[flow] = KV_NONE;
    q->count--;
    if (place & IN_BUCKET) {
        kv_ilist_unlink(&q->bucket.at[place & ~IN_BUCKET], &net->bucket_link, flow);
        return;
    }
    kv_service last = q->heap.at[--q->heap.count];
    if (place < q->heap.count) settle_key(net, q, place, last);
    while (q->heap.count == 0 && q->count > 0) open_bucket(net, q);
    if (q->count == 0) q->next = KV_NET_BUCKETS;
}

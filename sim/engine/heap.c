/* SPDX-License-Identifier: Apache-2.0 */
/* Four children a node: half the depth of a binary heap, and the four 16-byte keys share a cache line. */
#include "sim/engine/heap.h"

static void put(struct kv_heap *h, size_t i, struct kv_heap_key key)
{
    h->key.at[i] = key;
    h->position.at[(uint32_t)key.order] = (uint32_t)i;
}

static void sift_up(struct kv_heap *h, size_t i, struct kv_heap_key key)
{
    while (i > 0) {
        size_t up = (i - 1) / 4;
        if (!kv_heap_before(&key, &h->key.at[up])) break;
        put(h, i, h->key.at[up]);
        i = up;
    }
    put(h, i, key);
}

static void sift_down(struct kv_heap *h, size_t i, struct kv_heap_key key)
{
    size_t count = h->key.count;
    for (;;) {
        size_t first = 4 * i + 1, least = first;
        if (first >= count) break;
        size_t end = first + 4 < count ? first + 4 : count;
        for (size_t c = first + 1; c < end; c++)
            if (kv_heap_before(&h->key.at[c], &h->key.at[least])) least = c;
        if (!kv_heap_before(&h->key.at[least], &key)) break;
        put(h, i, h->key.at[least]);
        i = least;
    }
    put(h, i, key);
}

/* Puts a key where it belongs, starting at place i. */
static void settle(struct kv_heap *h, size_t i, struct kv_heap_key key)
{
    if (i > 0 && kv_heap_before(&key, &h->key.at[(i - 1) / 4])) sift_up(h, i, key);
    else sift_down(h, i, key);
}

void kv_heap_close(struct kv_heap *h)
{
    kv_vec_close(&h->key);
    kv_vec_close(&h->position);
}

void kv_heap_set(struct kv_heap *h, struct kv_heap_key key)
{
    uint32_t id = (uint32_t)key.order;
    while (h->position.count <= id) kv_vec_push(&h->position, KV_NONE);
    if (h->position.at[id] != KV_NONE) {
        settle(h, h->position.at[id], key);
        return;
    }
    kv_vec_push(&h->key, key);
    sift_up(h, h->key.count - 1, key);
}

void kv_heap_drop(struct kv_heap *h, uint32_t id)
{
    if (!kv_heap_has(h, id)) return;
    size_t i = h->position.at[id];
    struct kv_heap_key last = h->key.at[--h->key.count];
    h->position.at[id] = KV_NONE;
    if (i < h->key.count) settle(h, i, last);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Indexed 4-ary min-heap of 16-byte keys. Each id is in the heap at most once and can be moved or removed in
 * place. Hidden behind this interface so that another queue can be swapped in under the same test. */
#ifndef KV_ENGINE_HEAP_H
#define KV_ENGINE_HEAP_H

#include <stdbool.h>
#include <stdint.h>

#include "sim/base/arena.h"

/* Ordered by (due, order); the low 32 bits of order are the id, so keys are unique. */
struct kv_heap_key { int64_t due; uint64_t order; };
struct kv_heap {
    struct { struct kv_heap_key *at; size_t count, capacity; } key;
    struct { uint32_t *at; size_t count, capacity; } position; /* by id; KV_NONE when absent */
};

static inline bool kv_heap_before(const struct kv_heap_key *a, const struct kv_heap_key *b)
{
    return a->due != b->due ? a->due < b->due : a->order < b->order;
}
void kv_heap_close(struct kv_heap *h);                       /* a zeroed struct is an empty heap */
void kv_heap_set(struct kv_heap *h, struct kv_heap_key key); /* inserts, or moves the id of key.order */
void kv_heap_drop(struct kv_heap *h, uint32_t id);           /* nothing when absent */
static inline bool kv_heap_has(const struct kv_heap *h, uint32_t id)
{
    return id < h->position.count && h->position.at[id] != KV_NONE;
}
static inline const struct kv_heap_key *kv_heap_top(const struct kv_heap *h)
{
    return h->key.count ? &h->key.at[0] : NULL;
}

#endif

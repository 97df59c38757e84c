/* SPDX-License-Identifier: Apache-2.0 */
/* Binary min-heap of small entries ordered by (key, tie). Entries cannot be moved or removed from the middle: for
 * that there is sim/engine/heap.h. A zeroed struct is an empty queue. */
#ifndef KV_LIB_PQUEUE_H
#define KV_LIB_PQUEUE_H

#include <stdbool.h>

#include "sim/base/arena.h"

struct kv_pentry { int64_t key, tie; uint32_t value; };
struct kv_pqueue { struct kv_pentry *at; size_t count, capacity; };

static inline bool kv_pentry_before(const struct kv_pentry *a, const struct kv_pentry *b)
{
    return a->key != b->key ? a->key < b->key : a->tie < b->tie;
}
void kv_pqueue_push(struct kv_pqueue *q, struct kv_pentry entry);
struct kv_pentry kv_pqueue_pop(struct kv_pqueue *q);   /* count > 0 */
void kv_pqueue_close(struct kv_pqueue *q);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Doubly linked list of 32-bit slots. Links live in one array indexed by slot, so many lists may share a slot
 * space as long as a slot is on at most one of them. All operations O(1). */
#ifndef KV_BASE_ILIST_H
#define KV_BASE_ILIST_H

#include "sim/base/arena.h"

struct kv_ilink { uint32_t prev, next; };
struct kv_ilinks { struct kv_ilink *at; size_t count, capacity; };
struct kv_ilist { uint32_t head, tail; };

#define KV_ILIST_EMPTY ((struct kv_ilist){KV_NONE, KV_NONE})

static inline void kv_ilinks_cover(struct kv_ilinks *l, uint32_t slot)
{
    kv_vec_reserve(l, (size_t)slot + 1);
}
static inline void kv_ilist_push_tail(struct kv_ilist *l, struct kv_ilinks *k, uint32_t slot)
{
    k->at[slot] = (struct kv_ilink){l->tail, KV_NONE};
    if (l->tail == KV_NONE) l->head = slot; else k->at[l->tail].next = slot;
    l->tail = slot;
}
static inline void kv_ilist_push_head(struct kv_ilist *l, struct kv_ilinks *k, uint32_t slot)
{
    k->at[slot] = (struct kv_ilink){KV_NONE, l->head};
    if (l->head == KV_NONE) l->tail = slot; else k->at[l->head].prev = slot;
    l->head = slot;
}
static inline void kv_ilist_unlink(struct kv_ilist *l, struct kv_ilinks *k, uint32_t slot)
{
    struct kv_ilink link = k->at[slot];
    if (link.prev == KV_NONE) l->head = link.next; else k->at[link.prev].next = link.next;
    if (link.next == KV_NONE) l->tail = link.prev; else k->at[link.next].prev = link.prev;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* An instance's waiting queue (docs/engine.md rule 9): preempted requests first, last preempted first; then the
 * others in ascending (urgency, request). */
#ifndef KV_SERVE_WAITING_H
#define KV_SERVE_WAITING_H

#include "sim/base/arena.h"
#include "sim/base/err.h"

struct kv_waiter { int64_t urgency, request; uint32_t seq; };

/* New waiters mostly come in order (always under fcfs), so they form a sorted tail; stragglers go to a heap. The
 * first of all is the smaller of the two fronts: O(1) in order, O(log stragglers) otherwise. */
struct kv_waiting {
    KV_VEC(uint32_t) preempted;
    KV_VEC(struct kv_waiter) sorted, heap;
    size_t sorted_front;
    int64_t count;
};

void kv_waiting_close(struct kv_waiting *w);
void kv_waiting_add(struct kv_waiting *w, struct kv_waiter waiter);
void kv_waiting_add_preempted(struct kv_waiting *w, uint32_t seq);
uint32_t kv_waiting_first(const struct kv_waiting *w);   /* KV_NONE when empty */
void kv_waiting_take_first(struct kv_waiting *w);        /* count > 0 */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* An instance's waiting queue (docs/engine.md rule 9): preempted requests first, last preempted first; then the
 * others in ascending (urgency, order of coming).
 *
 * New waiters mostly come in order (always under fcfs), so they form a sorted tail; stragglers go to a heap. The
 * first of all is the smaller of the two fronts: O(1) in order, O(log stragglers) otherwise. */
#ifndef KV_SERVE_WAITING_H
#define KV_SERVE_WAITING_H

#include "sim/base/err.h"
#include "sim/lib/pqueue.h"

struct kv_waiting {
    KV_VEC(uint32_t) preempted;
    KV_VEC(struct kv_pentry) sorted;   /* from sorted_front on: (urgency, order, seq) */
    size_t sorted_front;
    struct kv_pqueue stragglers;
    int64_t count;
};

void kv_waiting_close(struct kv_waiting *w);
void kv_waiting_add(struct kv_waiting *w, int64_t urgency, int64_t order, uint32_t seq);
void kv_waiting_add_preempted(struct kv_waiting *w, uint32_t seq);
void kv_waiting_add_preempted_last(struct kv_waiting *w, uint32_t seq);   /* behind the other preempted ones */
/* Takes out one that was preempted. */
void kv_waiting_drop_preempted(struct kv_waiting *w, uint32_t seq);
uint32_t kv_waiting_first(const struct kv_waiting *w);   /* KV_NONE when empty */
void kv_waiting_take_first(struct kv_waiting *w);        /* count > 0 */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/serve/waiting.h"

#include <string.h>

void kv_waiting_close(struct kv_waiting *w)
{
    kv_vec_close(&w->preempted);
    kv_vec_close(&w->sorted);
    kv_pqueue_close(&w->stragglers);
}

/* Moves the sorted tail to the front of its array once the dead half outweighs it: amortised O(1) a waiter. */
static void compact(struct kv_waiting *w)
{
    size_t live = w->sorted.count - w->sorted_front;
    if (live > 0 && w->sorted_front < live + 1024) return;
    if (live > 0) memmove(w->sorted.at, w->sorted.at + w->sorted_front, live * sizeof *w->sorted.at);
    w->sorted.count = live;
    w->sorted_front = 0;
}

void kv_waiting_add(struct kv_waiting *w, int64_t urgency, int64_t order, uint32_t seq)
{
    struct kv_pentry entry = {urgency, order, seq};
    bool in_order = w->sorted_front == w->sorted.count
                    || kv_pentry_before(&w->sorted.at[w->sorted.count - 1], &entry);
    if (in_order) kv_vec_push(&w->sorted, entry);
    else kv_pqueue_push(&w->stragglers, entry);
    w->count++;
}

void kv_waiting_add_preempted(struct kv_waiting *w, uint32_t seq)
{
    kv_vec_push(&w->preempted, seq);
    w->count++;
}

void kv_waiting_add_preempted_last(struct kv_waiting *w, uint32_t seq)
{
    kv_waiting_add_preempted(w, seq);
    memmove(w->preempted.at + 1, w->preempted.at, (w->preempted.count - 1) * sizeof *w->preempted.at);
    w->preempted.at[0] = seq;
}

void kv_waiting_drop_preempted(struct kv_waiting *w, uint32_t seq)
{
    size_t i = 0;
    while (w->preempted.at[i] != seq) i++;
    w->preempted.count--;
    w->count--;
    memmove(&w->preempted.at[i], &w->preempted.at[i + 1], (w->preempted.count - i) * sizeof *w->preempted.at);
}

static bool straggler_is_first(const struct kv_waiting *w)
{
    if (w->stragglers.count == 0) return false;
    return w->sorted_front == w->sorted.count
           || kv_pentry_before(&w->stragglers.at[0], &w->sorted.at[w->sorted_front]);
}

uint32_t kv_waiting_first(const struct kv_waiting *w)
{
    if (w->count == 0) return KV_NONE;
    if (w->preempted.count) return w->preempted.at[w->preempted.count - 1];
    return straggler_is_first(w) ? w->stragglers.at[0].value : w->sorted.at[w->sorted_front].value;
}

void kv_waiting_take_first(struct kv_waiting *w)
{
    kv_assert(w->count > 0);
    w->count--;
    if (w->preempted.count) {
        w->preempted.count--;
    } else if (straggler_is_first(w)) {
        kv_pqueue_pop(&w->stragglers);
    } else {
        w->sorted_front++;
        compact(w);
    }
}

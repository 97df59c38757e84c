/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/serve/waiting.h"

#include <string.h>

static bool before(const struct kv_waiter *a, const struct kv_waiter *b)
{
    return a->urgency != b->urgency ? a->urgency < b->urgency : a->request < b->request;
}

void kv_waiting_close(struct kv_waiting *w)
{
    kv_vec_close(&w->preempted);
    kv_vec_close(&w->sorted);
    kv_vec_close(&w->heap);
}

static void heap_push(struct kv_waiting *w, struct kv_waiter waiter)
{
    kv_vec_push(&w->heap, waiter);
    struct kv_waiter *at = w->heap.at;
    size_t i = w->heap.count - 1;
    for (size_t up = (i - 1) / 2; i > 0 && before(&waiter, &at[up]); i = up, up = (i - 1) / 2) at[i] = at[up];
    at[i] = waiter;
}

static void heap_pop(struct kv_waiting *w)
{
    struct kv_waiter *at = w->heap.at;
    size_t count = --w->heap.count;
    struct kv_waiter last = at[count];
    size_t i = 0;
    for (size_t child = 1; child < count; child = 2 * i + 1) {
        if (child + 1 < count && before(&at[child + 1], &at[child])) child++;
        if (!before(&at[child], &last)) break;
        at[i] = at[child];
        i = child;
    }
    if (count > 0) at[i] = last;
}

/* Moves the sorted tail to the front of its array once the dead half outweighs it: amortised O(1) a waiter. */
static void compact(struct kv_waiting *w)
{
    size_t live = w->sorted.count - w->sorted_front;
    if (live > 0 && w->sorted_front < live + 1024) return;
    memmove(w->sorted.at, w->sorted.at + w->sorted_front, live * sizeof *w->sorted.at);
    w->sorted.count = live;
    w->sorted_front = 0;
}

void kv_waiting_add(struct kv_waiting *w, struct kv_waiter waiter)
{
    bool in_order = w->sorted_front == w->sorted.count || before(&w->sorted.at[w->sorted.count - 1], &waiter);
    if (in_order) kv_vec_push(&w->sorted, waiter);
    else heap_push(w, waiter);
    w->count++;
}

void kv_waiting_add_preempted(struct kv_waiting *w, uint32_t seq)
{
    kv_vec_push(&w->preempted, seq);
    w->count++;
}

static bool heap_is_first(const struct kv_waiting *w)
{
    if (w->heap.count == 0) return false;
    return w->sorted_front == w->sorted.count || before(&w->heap.at[0], &w->sorted.at[w->sorted_front]);
}

uint32_t kv_waiting_first(const struct kv_waiting *w)
{
    if (w->count == 0) return KV_NONE;
    if (w->preempted.count) return w->preempted.at[w->preempted.count - 1];
    return heap_is_first(w) ? w->heap.at[0].seq : w->sorted.at[w->sorted_front].seq;
}

void kv_waiting_take_first(struct kv_waiting *w)
{
    kv_assert(w->count > 0);
    w->count--;
    if (w->preempted.count) {
        w->preempted.count--;
    } else if (heap_is_first(w)) {
        heap_pop(w);
    } else {
        w->sorted_front++;
        compact(w);
    }
}

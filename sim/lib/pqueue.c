/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/lib/pqueue.h"

void kv_pqueue_push(struct kv_pqueue *q, struct kv_pentry entry)
{
    kv_vec_push(q, entry);
    size_t i = q->count - 1;
    for (; i > 0; i = (i - 1) / 2) {
        size_t up = (i - 1) / 2;
        if (!kv_pentry_before(&entry, &q->at[up])) break;
        q->at[i] = q->at[up];
    }
    q->at[i] = entry;
}

struct kv_pentry kv_pqueue_pop(struct kv_pqueue *q)
{
    struct kv_pentry top = q->at[0];
    size_t count = --q->count, i = 0;
    struct kv_pentry last = q->at[count];
    for (size_t child = 1; child < count; child = 2 * i + 1) {
        if (child + 1 < count && kv_pentry_before(&q->at[child + 1], &q->at[child])) child++;
        if (!kv_pentry_before(&q->at[child], &last)) break;
        q->at[i] = q->at[child];
        i = child;
    }
    if (count > 0) q->at[i] = last;
    return top;
}

void kv_pqueue_close(struct kv_pqueue *q)
{
    kv_vec_close(q);
}

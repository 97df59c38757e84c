/* SPDX-License-Identifier: Apache-2.0 */
/* What others ask of an instance: its load, its requests, how far they are. */
#include "sim/serve/instance_parts.h"

kv_tick kv_instance_busy_tk(const struct kv_instance *n, kv_tick at_tk)
{
    return n->busy_before_tk + (n->busy ? at_tk - n->origin_tk : 0);
}

int64_t kv_instance_outstanding_tokens(const struct kv_instance *n)
{
    return n->outstanding_tokens;
}

int32_t kv_instance_generated_tokens(const struct kv_instance *n, const struct kv_seq *q)
{
    if (q->place == KV_NONE || !n->place[q->place].decoding) return q->generated_tokens - q->on_way;
    /* Scheduling ahead, a decoding member always has one token on its way. */
    return q->generated_tokens + (int32_t)(n->step - n->place[q->place].joined_step) - n->ahead;
}

kv_tick kv_instance_induced_tk(const struct kv_instance *n, const struct kv_seq *q)
{
    return q->place == KV_NONE ? q->induced_tk : q->induced_tk + n->induced_tk - q->induced_base_tk;
}

void kv_instance_each(const struct kv_instance *n, void (*visit)(void *state, uint32_t seq), void *state)
{
    for (uint32_t place = n->head; place != KV_NONE; place = n->place[place].next) visit(state, n->place[place].seq);
    const struct kv_waiting *w = &n->waiting;
    for (size_t i = 0; i < w->preempted.count; i++) visit(state, w->preempted.at[i]);
    for (size_t i = w->sorted_front; i < w->sorted.count; i++) visit(state, w->sorted.at[i].value);
    for (size_t i = 0; i < w->stragglers.count; i++) visit(state, w->stragglers.at[i].value);
    for (size_t i = 0; i < n->holders.count; i++) {
        /* One whose memory is reserved here is still dealt with where it is prefilled. */
        const struct kv_seq *q = kv_seq_at(n->serve, n->holders.at[i]);
        if (!q->handover || q->handover->to != n || q->handover->prefilled) visit(state, n->holders.at[i]);
    }
}

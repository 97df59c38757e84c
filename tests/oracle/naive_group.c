/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks that take every step together: rules 13f and 13g of docs/engine.md. The first rank of a group has its clock. */
#include <string.h>

#include "tests/oracle/naive_parts.h"

int32_t naive_group_of(const struct oracle *o, int32_t instance)
{
    return o->config->ranks > 1 ? instance / o->config->ranks * o->config->ranks : instance;
}

static bool make_up(struct oracle *o, struct instance *n)
{
    int64_t budget = o->config->engine.max_num_batched_tokens;
    n->step.count = 0;
    if (!naive_schedule_running(o, n, &budget)) naive_schedule_others(o, n, &budget);
    return n->step.count > 0;
}

/* 13g. */
static kv_cost price(struct oracle *o, const struct instance *first)
{
    struct kv_arena arena = {0};
    int32_t ranks = o->config->ranks;
    struct kv_batch *batches = kv_arena_take(&arena, (size_t)ranks * sizeof *batches);
    for (int32_t i = 0; i < ranks; i++) {
        batches[i] = naive_batch_of(o, &first[i]);
        size_t bytes = (size_t)batches[i].chunk_count * sizeof *batches[i].chunks;
        struct kv_chunk *chunks = kv_arena_take(&arena, bytes + 1);
        if (bytes > 0) memcpy(chunks, batches[i].chunks, bytes);
        batches[i].chunks = chunks;
        o->coverage->dummies += first[i].step.count == 0;
    }
    kv_cost cost = o->config->compute->together(o->compute, batches) + o->overhead;
    kv_arena_close(&arena);
    return cost;
}

void naive_group_boundary(struct oracle *o, struct instance *first)
{
    bool ahead = naive_schedules_ahead(o), was_busy = first->busy;
    struct instance *end = first + o->config->ranks;
    int32_t with_step = 0, late = 0;
    if (!was_busy) {
        first->origin = o->now;
        first->spent = 0;
    }
    for (struct instance *n = first; n < end; n++) {
        if (!was_busy) n->step.count = 0;
        else if (ahead) naive_end_under_way(o, n);
        else if (n->step.count > 0) naive_end_step(o, n);
    }
    for (struct instance *n = first; n < end; n++) {
        bool had = ahead && n->step.count > 0;
        if (!had) late += make_up(o, n);
        with_step += n->step.count > 0;
    }
    if (with_step > late) o->coverage->made_late += late;
    for (struct instance *n = first; n < end; n++) n->busy = with_step > 0;
    if (with_step == 0) {
        for (struct instance *n = first; n < end; n++)
            kv_assert(n->running.count + n->waiting.count + n->preempted.count == 0);
        first->due = KV_TICK_NEVER;
        o->coverage->idle_periods++;
        return;
    }
    first->spent += price(o, first);
    first->due = first->origin + kv_cost_ceil_tk(first->spent);
    o->coverage->same_tick_boundaries += first->due == o->now;
    if (!ahead) return;
    for (struct instance *n = first; n < end; n++)
        if (n->step.count > 0) naive_begin(o, n);
    for (struct instance *n = first; n < end; n++) make_up(o, n);
}

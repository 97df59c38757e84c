/* SPDX-License-Identifier: Apache-2.0 */
/* A boundary of an instance that schedules ahead: rules 13a to 13e of docs/engine.md. */
#include <string.h>

#include "tests/oracle/naive_parts.h"

bool naive_schedules_ahead(const struct oracle *o)
{
    return o->config->engine.async_scheduling && !has_tiers(o) && !hands_over(o);
}

static bool has(const int64_t *at, size_t count, int64_t seat)
{
    for (size_t i = 0; i < count; i++)
        if (at[i] == seat) return true;
    return false;
}

static void take_out(int64_t *at, size_t *count, int64_t seat)
{
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++)
        if (at[i] != seat) at[kept++] = at[i];
    *count = kept;
}

/* 13c, 13d. */
static void token_arrives(struct oracle *o, struct instance *n, int64_t seat)
{
    struct job *j = job_of(o, seat);
    bool waits = !has(n->running.at, n->running.count, seat);
    j->generated++;
    j->on_way = 0;
    if (j->record->first_token_tk < 0) {
        j->record->first_token_tk = o->now;
        if (waits) {
            j->paused_prefill += o->now - j->preempted_at;
            j->preempted_at = o->now;
        }
    }
    o->coverage->late_tokens += waits;
    if (j->generated < j->request->output_tokens) return;
    o->coverage->late_finishes += waits;
    if (waits) {
        take_out(n->preempted.at, &n->preempted.count, seat);
    } else {
        take_out(n->running.at, &n->running.count, seat);
        naive_release(o, seat, true);
    }
    naive_end_job(o, seat / 2, KV_STATUS_FINISHED);
}

void naive_end_under_way(struct oracle *o, struct instance *n)
{
    for (size_t i = 0; i < n->arriving.count; i++) token_arrives(o, n, n->arriving.at[i]);
    n->arriving.count = 0;
}

/* (c). */
void naive_begin(struct oracle *o, struct instance *n)
{
    o->counters->steps++;
    for (size_t m = 0; m < n->step.count; m++) {
        int64_t seat = n->step.at[m].seat, tokens = n->step.at[m].tokens;
        o->seats[seat].computed += tokens;
        *(tokens > 1 ? &o->counters->prefill_tokens : &o->counters->decode_tokens) += tokens;
        if (o->seats[seat].computed < known(o, seat)) continue;
        job_of(o, seat)->on_way = 1;
        kv_vec_push(&n->arriving, seat);
    }
}

static void make_up(struct oracle *o, struct instance *n)
{
    int64_t budget = o->config->engine.max_num_batched_tokens;
    n->step.count = 0;
    if (!naive_schedule_running(o, n, &budget)) naive_schedule_others(o, n, &budget);
    if (n->step.count == 0) return;
    struct kv_batch batch = naive_batch_of(o, n);
    n->made_cost = o->config->compute->price(o->compute, &batch).first;
}

void naive_ahead_boundary(struct oracle *o, struct instance *n)
{
    if (n->busy) naive_end_under_way(o, n);
    if (!n->busy) {
        n->origin = o->now;
        n->spent = 0;
        n->step.count = 0;
    }
    if (n->step.count == 0) {
        o->coverage->empty_steps += n->busy;
        make_up(o, n);
    }
    if (n->step.count == 0) {
        kv_assert(n->running.count + n->waiting.count + n->preempted.count == 0);
        n->busy = false;
        n->due = KV_TICK_NEVER;
        o->coverage->idle_periods++;
        return;
    }
    n->busy = true;
    naive_begin(o, n);
    n->spent += n->made_cost;
    n->due = n->origin + kv_cost_ceil_tk(n->spent);
    o->coverage->same_tick_boundaries += n->due == o->now;
    make_up(o, n);
}

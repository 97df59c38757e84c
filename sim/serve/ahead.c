/* SPDX-License-Identifier: Apache-2.0 */
/* Scheduling ahead (docs/engine.md, rules 13a to 13e): the batch is always that of the step made up, one ahead of the
 * step under way, whose tokens it takes for granted; what those tokens mean to their requests waits in n->ending. */
#include "sim/serve/instance_parts.h"

static void on_its_way(struct kv_instance *n, uint32_t seq)
{
    struct kv_seq *q = kv_seq_at(n->serve, seq);
    if (q->on_way) return;
    q->on_way = 1;
    kv_vec_push(&n->ending, seq);
}

void kv_ahead_preempted(struct kv_instance *n, uint32_t seq, bool decoding)
{
    if (decoding) on_its_way(n, seq);
}

/* ---- the step under way ends (13c) ---- */

static void finish_preempted(struct kv_instance *n, uint32_t seq)
{
    struct kv_seq *q = kv_seq_at(n->serve, seq);
    kv_waiting_drop_preempted(&n->waiting, seq);
    if (q->own_run != KV_NONE) kv_blocks_disown_run(&n->blocks, q->own_run);
    q->paused_decode_tk += kv_engine_now(n->serve->engine) - q->preempted_at_tk;
    n->outstanding_tokens -= q->input_tokens + q->output_tokens - 1;
    n->serve->ended(n->serve->owner, seq, KV_STATUS_FINISHED);
}

static void token_arrives(struct kv_instance *n, uint32_t seq)
{
    struct kv_seq *q = kv_seq_at(n->serve, seq);
    kv_tick now = kv_engine_now(n->serve->engine);
    q->on_way = 0;
    if (q->first_token_tk < 0) {
        q->first_token_tk = now;
        kv_log(n->serve->engine, "first_token", "request=%lld instance=%d", (long long)q->request, n->id);
        if (q->place == KV_NONE) {   /* 13d */
            q->paused_prefill_tk += now - q->preempted_at_tk;
            q->preempted_at_tk = now;
        }
    }
    if (q->place == KV_NONE) {
        if (q->generated_tokens == q->output_tokens) finish_preempted(n, seq);
    } else if (n->place[q->place].leaving) {
        kv_instance_finish(n, q->place);
    }
}

void kv_ahead_tokens_arrive(struct kv_instance *n)
{
    for (size_t i = 0; i < n->ending.count; i++) token_arrives(n, n->ending.at[i]);
    n->ending.count = 0;
}

static void end_step(struct kv_instance *n)
{
    kv_batch_roll(n, n->run_steps - 1 - n->run_applied);
    kv_cost cost = kv_instance_run_cost(n, n->run_steps), of_run = cost - n->lead;
    n->run_start += cost;
    n->priced += cost;
    if (n->lead_outside) n->priced_outside += n->lead;
    if (n->run_outside) n->priced_outside += of_run;
    n->lead = n->run.first + n->run.slope * (n->run_steps - 1);
    n->lead_outside = n->run_outside;
    kv_ahead_tokens_arrive(n);
}

/* ---- the step made up begins (c of 13a) ---- */

static void leave(struct kv_instance *n, uint32_t place)
{
    uint32_t seq = n->place[place].seq;
    struct kv_seq *q = kv_seq_at(n->serve, seq);
    kv_batch_leave(n, place);
    q->generated_tokens = q->output_tokens;
    q->computed_tokens = q->input_tokens + q->output_tokens - 1;
    on_its_way(n, seq);
}

static void begin_prefill(struct kv_instance *n, struct kv_prefill prefill)
{
    struct kv_counters *counters = &n->serve->counters;
    uint32_t seq = n->place[prefill.place].seq;
    struct kv_seq *q = kv_seq_at(n->serve, seq);
    if (prefill.new_tokens > 1) counters->prefill_tokens += prefill.new_tokens;
    else counters->decode_tokens++;
    q->computed_tokens += prefill.new_tokens;
    n->outstanding_tokens -= prefill.new_tokens;
    if (q->computed_tokens < kv_known_tokens(q)) return;
    q->generated_tokens++;
    if (q->generated_tokens == q->output_tokens) {
        leave(n, prefill.place);
        return;
    }
    kv_batch_join(n, prefill.place);
    on_its_way(n, seq);
}

void kv_ahead_begin_step(struct kv_instance *n)
{
    kv_batch_end_step(n);
    for (const struct kv_heap_key *top; (top = kv_heap_top(&n->finishing)) && top->due < n->step;)
        leave(n, (uint32_t)top->order);
    for (size_t i = 0; i < n->prefills.count; i++) begin_prefill(n, n->prefills.at[i]);
}

/* ---- a boundary ---- */

/* False: it is empty. */
static bool make_up(struct kv_instance *n, bool *preempted)
{
    struct kv_batch batch;
    *preempted = kv_instance_make_up(n);
    n->run = (struct kv_run){0, 0, 1};
    n->run_outside = false;
    n->run_applied = 0;
    n->made = n->prefills.count > 0 || n->decode_count > 0;
    if (n->made) kv_instance_price(n, &batch);
    return n->made;
}

void kv_ahead_boundary(struct kv_instance *n)
{
    bool preempted;
    if (n->busy) end_step(n);
    if (!n->busy || !n->made) {
        if (!make_up(n, &preempted)) {
            kv_instance_sleep(n);
            return;
        }
        n->lead = n->run.first;
        n->lead_outside = n->run_outside;
    }
    kv_instance_wake(n);
    kv_ahead_begin_step(n);
    kv_instance_arm(n, make_up(n, &preempted) ? kv_instance_steps_ahead(n, preempted) : 1);
}

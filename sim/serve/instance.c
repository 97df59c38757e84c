/* SPDX-License-Identifier: Apache-2.0 */
/* Time and steps of one instance. The batch and its sums live in batch.c. */
#include <math.h>

#include "sim/serve/instance_parts.h"

/* ---- time -------------------------------------------------------------------------------------------------- */

kv_cost kv_instance_run_cost(const struct kv_instance *n, int64_t steps)
{
    kv_cost lead = 0;
    if (n->ahead && steps > 0) {
        lead = n->lead;
        steps--;
    }
    return lead + n->run.first * steps + n->run.slope * ((kv_cost)steps * (steps - 1) / 2);
}

/* Tick of the boundary that ends step `steps` of the run. */
static kv_tick boundary_tk(const struct kv_instance *n, int64_t steps)
{
    return n->origin_tk + kv_cost_ceil_tk(n->run_start + kv_instance_run_cost(n, steps));
}

/* How many boundaries of the run lie at or before upto_tk; at most `limit`. Floating point only proposes a number of
 * steps (the root of the cost's quadratic); exact integers decide. */
static int64_t boundaries_until(const struct kv_instance *n, kv_tick upto_tk, int64_t limit)
{
    kv_cost budget = (upto_tk - n->origin_tk) * KV_COST_PER_TICK - n->run_start;
    int64_t low = n->run_applied;
    if (low >= limit || kv_instance_run_cost(n, low + 1) > budget) return low;
    kv_cost after_lead = n->ahead ? budget - n->lead : budget;
    double half = (double)n->run.first - (double)n->run.slope / 2;
    double root = half * half + 2 * (double)n->run.slope * (double)after_lead;
    double guess = root > 0 ? n->ahead + 2 * (double)after_lead / (half + sqrt(root)) : (double)limit;
    int64_t steps = guess < (double)limit ? (int64_t)guess : limit;
    if (steps < low) steps = low;
    while (steps < limit && kv_instance_run_cost(n, steps + 1) <= budget) steps++;
    while (steps > low && kv_instance_run_cost(n, steps) > budget) steps--;
    return steps;
}

void kv_instance_advance(struct kv_instance *n, kv_tick upto_tk)
{
    if (!n->busy) return;
    int64_t applied = boundaries_until(n, upto_tk, n->run_steps - 1);
    kv_batch_roll(n, applied - n->run_applied);
    n->run_applied = applied;
}

void kv_instance_arm(struct kv_instance *n, int64_t steps)
{
    n->run_steps = steps;
    kv_timer_arm(n->serve->engine, n->timer, boundary_tk(n, steps));
}

void kv_instance_cut(struct kv_instance *n)
{
    kv_instance_settle(n);
    if (n->run_applied + 1 < n->run_steps) kv_instance_arm(n, n->run_applied + 1);
}

void kv_instance_settle(struct kv_instance *n)
{
    kv_instance_advance(n, kv_engine_seen_tk(n->serve->engine));
}

/* ---- requests leave ---------------------------------------------------------------------------------------- */

void kv_instance_release_blocks(struct kv_instance *n, struct kv_seq *q, int64_t held, bool finish)
{
    const struct kv_engine_config *engine = kv_engine_of(n);
    int64_t full = kv_divide(n->block, (uint32_t)q->computed_tokens);
    int64_t keep = finish && !engine->cache_outputs ? kv_divide(n->block, (uint32_t)q->input_tokens) : full;
    if (keep > full) keep = full;
    int64_t own = engine->enable_prefix_caching && keep > q->slot_count ? keep - q->slot_count : 0;
    kv_blocks_give(&n->blocks, held - q->slot_count - own);
    int64_t prompt = (int64_t)kv_divide(n->block, (uint32_t)q->input_tokens) - q->slot_count;
    if (own > 0) kv_blocks_retire_run(&n->blocks, own, prompt, finish ? NULL : &q->own_run);
    for (; q->slot_count > keep; q->slot_count--) {
        uint32_t slot = q->slot[q->slot_count - 1];
        if (slot == KV_NONE) kv_blocks_give(&n->blocks, 1);
        else kv_blocks_unref_forget(&n->blocks, slot);
    }
    if (q->slot_count > 0) kv_blocks_unref_all(&n->blocks, q->slot, q->slot_count);
    q->slot_count = 0;
}

/* It leaves running; what others made it wait while it ran is its own sum from now on. */
static void leave_running(struct kv_instance *n, struct kv_seq *q, uint32_t place)
{
    q->induced_tk = kv_instance_induced_tk(n, q);
    kv_batch_remove(n, place);
}

void kv_instance_finish(struct kv_instance *n, uint32_t place)
{
    uint32_t seq = n->place[place].seq;
    struct kv_seq *q = kv_seq_at(n->serve, seq);
    leave_running(n, q, place);
    q->generated_tokens = q->output_tokens;
    q->computed_tokens = q->input_tokens + q->output_tokens - 1;
    if (n->serve->tiers) kv_write_finished(n->serve->tiers, n, q, q->computed_tokens);
    kv_instance_release_blocks(n, q, kv_blocks_for(n, q->computed_tokens), true);
    n->serve->ended(n->serve->owner, seq, KV_STATUS_FINISHED);
}

/* Rule 19. The last of running goes to the front of waiting. */
static void preempt_last(struct kv_instance *n)
{
    uint32_t place = n->tail, seq = n->place[place].seq;
    struct kv_seq *q = kv_seq_at(n->serve, seq);
    kv_batch_freeze(n, place);
    if (n->ahead) kv_ahead_preempted(n, seq, n->place[place].decoding);
    leave_running(n, q, place);
    if (q->hold && q->hold->split) {
        kv_split_leave(n, q, kv_split_blocks(q));
        kv_admission_leave_loads(n, seq);
    } else {
        kv_instance_release_blocks(n, q, kv_blocks_for(n, q->computed_tokens), false);
    }
    n->outstanding_tokens += q->computed_tokens;
    q->computed_before_tokens = q->computed_tokens;
    q->computed_tokens = 0;
    q->preempted_at_tk = kv_engine_now(n->serve->engine);
    q->preemptions++;
    n->serve->counters.preemptions++;
    kv_waiting_add_preempted(&n->waiting, seq);
    kv_log(n->serve->engine, "preempt", "request=%lld instance=%d computed=%d", (long long)q->request, n->id,
           q->computed_before_tokens);
}

/* ---- the end of a step (rule 10) --------------------------------------------------------------------------- */

static void end_prefill(struct kv_instance *n, struct kv_prefill prefill)
{
    uint32_t seq = n->place[prefill.place].seq;
    struct kv_seq *q = kv_seq_at(n->serve, seq);
    q->computed_tokens += prefill.new_tokens;
    n->outstanding_tokens -= prefill.new_tokens;
    if (n->serve->tiers)
        kv_write_computed(n->serve->tiers, n, q, q->computed_tokens - prefill.new_tokens, q->computed_tokens);
    if (q->computed_tokens < kv_known_tokens(q)) return;
    q->generated_tokens++;
    if (q->first_token_tk < 0) {
        q->first_token_tk = kv_engine_now(n->serve->engine);
        kv_log(n->serve->engine, "first_token", "request=%lld instance=%d", (long long)q->request, n->id);
    }
    if (q->generated_tokens == q->output_tokens) {
        kv_instance_finish(n, prefill.place);
    } else if (q->handover) {
        leave_running(n, q, prefill.place);
        kv_handover_prefilled(n, seq);
    } else {
        kv_batch_join(n, prefill.place);
    }
}

/* Whether the next member to finish does so with this step, and stands before a place in running order
 * (KV_NONE: any). */
static bool finishes_before(const struct kv_instance *n, uint32_t before)
{
    const struct kv_heap_key *top = kv_heap_top(&n->finishing);
    return top && top->due < n->step
           && (before == KV_NONE || (uint32_t)(top->order >> 32) < n->place[before].admission);
}

/* The decoding members from `place` to before `before` of a step that has ended, in running order: chunks that it
 * filled are written, those that have their last token finish. */
static void end_decodes_one_by_one(struct kv_instance *n, uint32_t place, uint32_t before)
{
    for (uint32_t next; place != before; place = next) {
        next = n->place[place].next;
        if (!n->place[place].decoding) continue;
        int64_t ctx = n->place[place].ctx_base_tokens + n->step;
        if (kv_batch_needs_block(n, place))
            kv_write_computed(n->serve->tiers, n, kv_seq_at(n->serve, n->place[place].seq), ctx - 1, ctx);
        if (finishes_before(n, KV_NONE) && (uint32_t)kv_heap_top(&n->finishing)->order == place)
            kv_instance_finish(n, place);
    }
}

static void end_decodes(struct kv_instance *n, uint32_t place, uint32_t before)
{
    if (n->writes_each_chunk) end_decodes_one_by_one(n, place, before);
    while (finishes_before(n, before)) kv_instance_finish(n, (uint32_t)kv_heap_top(&n->finishing)->order);
}

static void end_step(struct kv_instance *n)
{
    kv_batch_roll(n, n->run_steps - 1 - n->run_applied);
    kv_cost cost = kv_instance_run_cost(n, n->run_steps);
    n->run_start += cost;
    if (n->layered.on) {
        cost -= n->layered.stall;
        kv_layered_end(n);
    }
    n->priced += cost;
    if (n->run_outside) n->priced_outside += cost;
    kv_instance_end_members(n);
}

void kv_instance_end_members(struct kv_instance *n)
{
    struct kv_counters *counters = &n->serve->counters;
    kv_batch_end_step(n);
    /* In running order: what is prefilled stands behind all decoding members, but for split ones. */
    uint32_t from = n->head;
    for (size_t i = 0; i < n->prefills.count; i++) {
        uint32_t place = n->prefills.at[i].place;
        end_decodes(n, from, place);
        from = n->place[place].next;
        int32_t tokens = n->prefills.at[i].new_tokens;
        if (tokens > 1) counters->prefill_tokens += tokens;
        else counters->decode_tokens++;
        end_prefill(n, n->prefills.at[i]);
    }
    end_decodes(n, from, KV_NONE);
}

/* ---- scheduling -------------------------------------------------------------------------------------------- */

/* The one member, if any, whose prompt is unfinished: where none is split always the last of running, because a prompt
 * is only cut when it exhausts the budget. */
static uint32_t unfinished_place(const struct kv_instance *n)
{
    return n->tail != KV_NONE && !n->place[n->tail].decoding && !n->place[n->tail].leaving ? n->tail : KV_NONE;
}

static int64_t prefill_blocks(const struct kv_instance *n, const struct kv_seq *q, int64_t tokens)
{
    return kv_blocks_for(n, q->computed_tokens + tokens) - kv_blocks_for(n, q->computed_tokens);
}

/* Of a running member, in this boundary: one token of decoding, or what of its prompt `budget` allows. */
static int64_t next_tokens(struct kv_instance *n, uint32_t place, int64_t budget)
{
    struct kv_seq *q = kv_seq_at(n->serve, n->place[place].seq);
    if (n->place[place].decoding) return 1;
    kv_split_met(n, q);
    int64_t tokens = kv_split_tokens(n, q, kv_known_tokens(q) - q->computed_tokens);
    return tokens < budget ? tokens : budget;
}

/* Blocks that it has to take for them; what has not met holds those of its KV. */
static int64_t next_blocks(const struct kv_instance *n, uint32_t place, int64_t tokens)
{
    const struct kv_seq *q = kv_seq_at(n->serve, n->place[place].seq);
    if (n->place[place].decoding) return kv_batch_needs_block(n, place);
    return q->hold && q->hold->split ? 0 : prefill_blocks(n, q, tokens);
}

/* Rule 11 one by one: when the pool cannot give every running request its blocks, preempting from the tail; or when
 * some are split (T44): decoding members have their share of the budget first. */
static void schedule_running_one_by_one(struct kv_instance *n, int64_t *budget)
{
    int64_t decoded = 0;
    for (uint32_t place = n->head; place != KV_NONE; place = n->place[place].next) {
        bool decoding = n->place[place].decoding;
        if (n->place[place].leaving) continue;
        int64_t tokens = next_tokens(n, place, *budget - (n->decode_count - decoded));
        if (tokens == 0) continue;
        int64_t need = next_blocks(n, place, tokens);
        while (kv_blocks_available(&n->blocks) < need) {
            if (n->serve->tiers && kv_write_drop_one(n->serve->tiers, n)) continue;
            bool itself = n->tail == place;
            if (itself && n->head == place && kv_admission_give_back_last(n)) continue;
            preempt_last(n);
            if (itself) return;
        }
        kv_blocks_take(&n->blocks, need);
        if (decoding) decoded++;
        else kv_admission_add_prefill(n, place, kv_seq_at(n->serve, n->place[place].seq), tokens);
        *budget -= tokens;
    }
}

/* Rule 11. True when it preempted. */
static bool schedule_running(struct kv_instance *n, int64_t *budget)
{
    uint32_t unfinished = unfinished_place(n);
    struct kv_seq *q = unfinished != KV_NONE ? kv_seq_at(n->serve, n->place[unfinished].seq) : NULL;
    int64_t left = *budget - n->decode_count, tokens = 0;
    int64_t need = kv_batch_blocks_needed(n);
    if (q) {
        tokens = kv_known_tokens(q) - q->computed_tokens;
        if (tokens > left) tokens = left;
        need += prefill_blocks(n, q, tokens);
    }
    int64_t preemptions = n->serve->counters.preemptions;
    if (n->splits == 0 && need <= kv_blocks_available(&n->blocks)) {
        kv_blocks_take(&n->blocks, need);
        if (tokens > 0) kv_admission_add_prefill(n, unfinished, q, left);
        *budget = left - tokens;
    } else {
        schedule_running_one_by_one(n, budget);
    }
    for (size_t i = 0; i < n->prefills.count; i++) {
        struct kv_prefill p = n->prefills.at[i];
        kv_batch_publish(n, p.place);
        struct kv_seq *member = kv_seq_at(n->serve, n->place[p.place].seq);
        kv_batch_register(n, member, member->computed_tokens + p.new_tokens);
    }
    kv_batch_publish(n, KV_NONE);
    return n->serve->counters.preemptions > preemptions;
}

int64_t kv_instance_steps_ahead(struct kv_instance *n, bool preempted)
{
    if (n->prefills.count > 0 || n->splits > 0 || n->ending.count > 0) return 1;
    bool slot_free = n->running < kv_engine_of(n)->max_num_seqs;
    /* A waiter may be admitted at the next boundary although nobody leaves: when this one was not allowed to look
     * (rule 12), or when a running request publishes blocks that it shares. */
    if (n->waiting.count > 0 && slot_free && (preempted || n->publishers.count > 0)) return 1;
    if (n->ready > 0 && slot_free && preempted) return 1;
    int64_t steps = kv_heap_top(&n->finishing)->due - n->step + 1;
    if (steps > n->run.steps) steps = n->run.steps;
    if (n->writes_each_chunk) steps = kv_batch_steps_to_full_block(n, steps);
    return kv_batch_steps_in_memory(n, steps);
}

void kv_instance_price(struct kv_instance *n, struct kv_batch *batch)
{
    kv_batch_summary(n, batch);
    const struct kv_compute_ops *compute = n->serve->config->compute;
    n->run = compute->price(n->compute, batch);
    n->run_outside = compute->outside && compute->outside(n->compute, batch);
    n->run.first += n->overhead;
    n->run_applied = 0;
}

void kv_instance_wake(struct kv_instance *n)
{
    if (n->busy) return;
    n->busy = true;
    n->origin_tk = kv_engine_now(n->serve->engine);
    n->run_start = 0;
}

void kv_instance_sleep(struct kv_instance *n)
{
    /* A request that fits the pool is always admitted to an empty instance, unless something on its way holds memory.
     * */
    kv_assert(n->waiting.count == 0 || n->serve->tiers);
    if (n->busy) n->busy_before_tk += kv_engine_now(n->serve->engine) - n->origin_tk;
    n->busy = false;
}

static void start_run(struct kv_instance *n, bool preempted)
{
    struct kv_batch batch;
    kv_instance_price(n, &batch);
    kv_instance_wake(n);
    for (size_t i = 0; i < n->prefills.count; i++) {
        const struct kv_seq *q = kv_seq_at(n->serve, n->place[n->prefills.at[i].place].seq);
        if (q->handover) kv_handover_push(n, q, n->prefills.at[i].new_tokens);
    }
    if (n->layered.fetchers.count > 0 || n->layered.pushers.count > 0) {
        n->run_steps = 1;
        kv_layered_start(n, &batch);
    } else {
        kv_instance_arm(n, kv_instance_steps_ahead(n, preempted));
    }
}

bool kv_instance_make_up(struct kv_instance *n)
{
    n->prefills.count = 0;
    int64_t budget = kv_engine_of(n)->max_num_batched_tokens;
    bool preempted = n->running > 0 && schedule_running(n, &budget);
    /* With holders about, the last of running may have had to go: then this boundary admits all the same (T13). */
    if (!preempted || n->running == 0) kv_admission_schedule(n, &budget);
    return preempted;
}

static void boundary(void *owner, uint32_t kind)
{
    struct kv_instance *n = owner;
    (void)kind;
    if (n->serve->config->ranks > 1) {
        kv_group_boundary(n);
        return;
    }
    if (n->ahead) {
        kv_ahead_boundary(n);
        return;
    }
    if (n->busy) end_step(n);
    bool preempted = kv_instance_make_up(n);
    if (n->serve->tiers) kv_write_evicted(n->serve->tiers, n);
    if (n->running > 0) start_run(n, preempted);
    else kv_instance_sleep(n);
}

/* ---- what the cluster calls -------------------------------------------------------------------------------- */

bool kv_instance_accepts(const struct kv_sim_config *config, int64_t input_tokens, int64_t output_tokens)
{
    const struct kv_engine_config *engine = &config->engine;
    int64_t tokens = input_tokens + output_tokens - 1;
    if (tokens > config->hbm_blocks * engine->block_tokens) return false;
    return engine->chunked_prefill || tokens <= engine->max_num_batched_tokens;
}

static void keep_evicted(void *owner, struct kv_evicted evicted)
{
    struct kv_instance *n = owner;
    kv_vec_push(&n->evicted, evicted);
}

static void open_tiers(struct kv_instance *n)
{
    const struct kv_sim_config *config = n->serve->config;
    kv_layered_open(n);
    for (int32_t tier = 1; tier < config->tier_count; tier++)
        n->writes_each_chunk |= config->tier[tier].write == KV_WRITE_THROUGH && config->tier[tier].write_decode;
    if (config->tier_count < 2 || config->tier[1].write != KV_WRITE_ON_EVICT) return;
    n->blocks.evicted = keep_evicted;
    n->blocks.evicted_owner = n;
    n->blocks.tell_generated = config->tier[1].write_decode;
}

void kv_instance_open(struct kv_instance *n, struct kv_serve *serve, int32_t id, void *compute_state)
{
    *n = (struct kv_instance){.serve = serve, .id = id, .compute = compute_state, .blocked_seq = KV_NONE};
    const struct kv_engine_config *engine = &serve->config->engine;
    if (!engine->async_scheduling) n->overhead = kv_cost_from_s(engine->host_overhead_s);
    n->block = kv_divisor_of((uint32_t)engine->block_tokens);
    kv_blocks_open(&n->blocks, &(struct kv_blocks_config){
        .evict = serve->config->evict, .evict_params = serve->config->evict_params,
        .capacity = serve->config->hbm_blocks, .chunk_blocks = 1, .block_tokens = (int32_t)engine->block_tokens,
        .ids_tokens = &serve->ids_tokens, .counters = &serve->counters});
    kv_batch_open(n);
    int32_t ranks = serve->config->ranks;
    if (ranks > 1 && id % ranks > 0) n->timer = serve->instances[id - id % ranks].timer;   /* one boundary for all */
    else n->timer = kv_timer_new(serve->engine, KV_CLASS_BOUNDARY, boundary, n, 0);
    n->last_write = KV_NONE;
    n->ahead = engine->async_scheduling && !serve->tiers;
    if (serve->tiers) open_tiers(n);
}

void kv_instance_close(struct kv_instance *n)
{
    kv_batch_close(n);
    kv_waiting_close(&n->waiting);
    kv_blocks_close(&n->blocks);
    if (n->serve->tiers) kv_layered_close(n);
    kv_vec_close(&n->holders);
    kv_vec_close(&n->ending);
    kv_vec_close(&n->evicted);
}

void kv_instance_enqueue(struct kv_instance *n, uint32_t seq)
{
    struct kv_seq *q = kv_seq_at(n->serve, seq);
    q->order = n->serve->routed++;
    q->prefill_instance = (uint16_t)n->id;
    kv_instance_wait(n, seq, q->input_tokens + q->output_tokens - 1);
}

void kv_instance_wait(struct kv_instance *n, uint32_t seq, int64_t tokens)
{
    struct kv_seq *q = kv_seq_at(n->serve, seq);
    kv_tick now = kv_engine_now(n->serve->engine);
    q->instance = (uint16_t)n->id;
    kv_waiting_add(&n->waiting, q->urgency, q->order, seq);
    n->outstanding_tokens += tokens;
    if (!n->busy) {
        kv_timer_arm(n->serve->engine, n->timer, now);
        return;
    }
    /* Only a new first waiter can change the next boundary, and only if a slot is free. */
    if (n->running >= kv_engine_of(n)->max_num_seqs || kv_waiting_first(&n->waiting) != seq) return;
    kv_instance_cut(n);
}

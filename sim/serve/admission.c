/* SPDX-License-Identifier: Apache-2.0 */
/* Who joins an instance: admission, holders that wait for their KV (rules 9, 12; T7-T13). */
#include <string.h>

#include "sim/serve/instance_parts.h"

int64_t kv_admission_add_prefill(struct kv_instance *n, uint32_t place, const struct kv_seq *q, int64_t budget)
{
    int64_t tokens = kv_split_tokens(n, q, kv_known_tokens(q) - q->computed_tokens);
    if (tokens > budget) tokens = budget;
    kv_vec_push(&n->prefills, ((struct kv_prefill){place, (int32_t)tokens}));
    return tokens;
}

/* ---- admission ---------------------------------------------------------------------------------------------- */

static int64_t tokens_of(struct kv_joining j)
{
    return j.hit_tokens - (j.computed_tokens - j.first_tokens);
}

static kv_tick compute_tk(const struct kv_instance *n, const struct kv_seq *q, int64_t from_tokens)
{
    return kv_look_up_compute_tk(n, from_tokens, q->input_tokens);
}

/* T32, T44: of what the hit saves, each source has its share. */
static void note_saved(struct kv_instance *n, const struct kv_seq *q, struct kv_joining j, const int32_t *by_source)
{
    int64_t hit_tokens = tokens_of(j);
    if (hit_tokens == 0) return;
    struct kv_tier_counters *tier = n->serve->counters.tier;
    kv_tick saved = compute_tk(n, q, 0) - compute_tk(n, q, j.hit_tokens);
    if (j.computed_tokens > j.first_tokens)
        saved -= compute_tk(n, q, j.first_tokens) - compute_tk(n, q, j.computed_tokens);
    if (saved < 0) saved = 0;
    if (!by_source) {
        tier[0].saved_tk += saved;
        return;
    }
    kv_tick given = 0;
    int32_t first = -1;
    for (int32_t i = 0; i < KV_TIERS_MAX; i++) {
        if (by_source[i] == 0) continue;
        kv_tick share = (kv_tick)((kv_cost)saved * by_source[i] / hit_tokens);
        if (first < 0) first = i;
        tier[i].saved_tk += share;
        given += share;
    }
    tier[first].saved_tk += saved - given;
}

/* For the first time: hits and prompt by source. */
static void note_first(struct kv_instance *n, struct kv_seq *q, struct kv_joining j, struct kv_pending pending)
{
    struct kv_counters *counters = &n->serve->counters;
    const int32_t *by_source = q->hold ? q->hold->hit_tokens : NULL;
    int64_t left = q->input_tokens, hit_tokens = tokens_of(j);
    q->counted = true;
    q->hit_tokens = (int32_t)hit_tokens;
    counters->hit_tokens += hit_tokens;
    counters->prompt_tokens += q->input_tokens;
    int32_t tiers = n->serve->tiers ? n->serve->tiers->count : 1;
    for (int32_t i = 0; i < tiers; i++) {
        int64_t here = by_source ? by_source[i] : i == 0 ? hit_tokens : 0;
        counters->tier[i].asked_tokens += left;
        counters->tier[i].hit_tokens += here;
        left -= here;
    }
    if (pending.tier > 0) counters->tier[pending.tier].pending_tokens += pending.tokens;
    note_saved(n, q, j, by_source);
    if (!q->hold) return;
    q->hold->counted = true;
    memcpy(q->hold->first_hit_tokens, q->hold->hit_tokens, sizeof q->hold->hit_tokens);
}

void kv_admission_note_hits(struct kv_instance *n, struct kv_seq *q, struct kv_joining j, struct kv_pending pending)
{
    if (!q->counted) {
        note_first(n, q, j, pending);
        return;
    }
    int64_t again = q->computed_before_tokens - tokens_of(j);
    if (again > 0) q->recomputed_tokens += again, n->serve->counters.recomputed_tokens += again;
}

static void note_joining(struct kv_instance *n, struct kv_seq *q)
{
    kv_tick now = kv_engine_now(n->serve->engine);
    if (q->first_sched_tk < 0) q->first_sched_tk = now;
    else if (q->first_token_tk < 0) q->paused_prefill_tk += now - q->preempted_at_tk;
    else q->paused_decode_tk += now - q->preempted_at_tk;
    q->induced_base_tk = n->induced_tk;
    kv_log(n->serve->engine, "admit", "request=%lld instance=%d hit=%d", (long long)q->request, n->id,
           q->computed_tokens);
}

/* It joins with all of its hit. */
static void note_admission(struct kv_instance *n, struct kv_seq *q, int32_t hit_tokens, struct kv_pending pending)
{
    kv_admission_note_hits(n, q, (struct kv_joining){hit_tokens, hit_tokens, hit_tokens}, pending);
    note_joining(n, q);
}

/* References the blocks of the hit that are in HBM; its slots of lower tiers stay in serve->hits. */
static void take_hit(struct kv_instance *n, struct kv_seq *q, struct kv_hit hit)
{
    int32_t block = (int32_t)kv_engine_of(n)->block_tokens;
    n->blocked_seq = KV_NONE;   /* a waiter overtaken by this one may share what it now holds */
    if (q->slot_capacity == 0 && kv_engine_of(n)->enable_prefix_caching) {
        q->slot_capacity = kv_prefix_known_blocks(&q->prefix, q->input_tokens + q->output_tokens - 1, block);
        if (q->slot_capacity > 0) q->slot = kv_slab_take(&n->serve->slab, (size_t)q->slot_capacity * sizeof *q->slot);
    }
    for (int64_t i = 0; i < hit.keyed; i++) {
        q->slot[i] = n->serve->hits.at[i];
        if (hit.below > 0 && n->serve->sources.at[i] == 0) kv_blocks_ref(&n->blocks, q->slot[i]);
    }
    if (hit.below == 0) kv_blocks_ref_all(&n->blocks, q->slot, (int32_t)hit.keyed);
    q->slot_count = (int32_t)hit.keyed;
    if (q->own_run != KV_NONE) kv_blocks_reclaim_run(&n->blocks, q->own_run, hit.blocks - hit.keyed);
    q->own_run = KV_NONE;
    q->computed_tokens = (int32_t)hit.blocks * block;
    n->outstanding_tokens -= q->computed_tokens;
}

/* References the hit, takes the blocks of the first chunk and joins running. */
static void admit(struct kv_instance *n, uint32_t seq, struct kv_hit hit, int64_t *budget)
{
    struct kv_seq *q = kv_seq_at(n->serve, seq);
    kv_waiting_take_first(&n->waiting);
    take_hit(n, q, hit);
    if (q->hold) {
        memset(q->hold->hit_tokens, 0, sizeof q->hold->hit_tokens);
        q->hold->hit_tokens[0] = q->computed_tokens;
        q->hold->hbm_only = false;
    }
    int32_t hit_tokens = q->computed_tokens;
    uint32_t place = kv_batch_add(n, seq);
    int64_t tokens = kv_admission_add_prefill(n, place, q, *budget);
    kv_blocks_take(&n->blocks, kv_blocks_for(n, q->computed_tokens + tokens) - hit.blocks);
    *budget -= tokens;
    kv_batch_register(n, q, q->computed_tokens + tokens);
    note_admission(n, q, hit_tokens, hit.pending);
}

/* ---- holders (T7-T13) --------------------------------------------------------------------------------------- */

void kv_instance_add_holder(struct kv_instance *n, uint32_t seq)
{
    int64_t order = kv_seq_at(n->serve, seq)->order;
    kv_vec_push(&n->holders, seq);
    size_t i = n->holders.count - 1;
    for (; i > 0 && kv_seq_at(n->serve, n->holders.at[i - 1])->order > order; i--)
        n->holders.at[i] = n->holders.at[i - 1];
    n->holders.at[i] = seq;
}

static void remove_holder(struct kv_instance *n, uint32_t seq)
{
    size_t i = 0;
    while (n->holders.at[i] != seq) i++;
    n->holders.count--;
    memmove(&n->holders.at[i], &n->holders.at[i + 1], (n->holders.count - i) * sizeof *n->holders.at);
    struct kv_hold *hold = kv_hold_for(kv_seq_at(n->serve, seq), n);
    n->ready -= hold->ready;
    hold->holding = hold->ready = false;
}

void kv_admission_wait_for_others(struct kv_instance *n, uint32_t seq, int64_t blocks, const uint8_t *source)
{
    const struct kv_seq *q = kv_seq_at(n->serve, seq);
    const struct kv_hold *hold = kv_hold_for(q, n);
    uint32_t last = KV_NONE;
    for (int64_t i = 0; i < blocks; i++) {
        if ((source && source[i] > 0) || !kv_blocks_pending(&n->blocks, q->slot[i])) continue;
        uint32_t load = kv_blocks_job(&n->blocks, q->slot[i]);
        if (load == last) continue;
        n->serve->counters.delayed_hits += last == KV_NONE;
        last = load;
        bool known = false;
        for (size_t k = 0; k < hold->loads.count; k++) known |= hold->loads.at[k] == load;
        if (!known) kv_load_wait(n->serve->tiers, load, seq);
    }
}

/* T7: takes its blocks, begins its load and stands aside. */
static void hold(struct kv_instance *n, uint32_t seq, struct kv_hit hit)
{
    struct kv_serve *serve = n->serve;
    struct kv_seq *q = kv_seq_at(serve, seq);
    int64_t block = kv_engine_of(n)->block_tokens, chunk = kv_engine_of(n)->max_num_batched_tokens;
    kv_waiting_take_first(&n->waiting);
    take_hit(n, q, hit);
    struct kv_hold *h = kv_hold_make(serve, q);
    h->pending = hit.pending;
    memset(h->hit_tokens, 0, sizeof h->hit_tokens);
    for (int64_t i = 0; i < hit.keyed; i++) h->hit_tokens[hit.below > 0 ? serve->sources.at[i] : 0] += (int32_t)block;
    h->hit_tokens[0] += (int32_t)((hit.blocks - hit.keyed) * block);
    int64_t left = kv_known_tokens(q) - q->computed_tokens;
    h->blocks = (int32_t)kv_blocks_for(n, q->computed_tokens + (left < chunk ? left : chunk));
    kv_blocks_take(&n->blocks, h->blocks - (hit.blocks - hit.below));
    h->holding = true;
    h->since_tk = kv_engine_now(serve->engine);
    if (hit.loading) kv_admission_wait_for_others(n, seq, hit.keyed, hit.below > 0 ? serve->sources.at : NULL);
    bool splits = hit.below > 0 && !hit.loading && serve->config->fetch.mode == KV_DELIVERY_BIDIRECTIONAL;
    if (splits) kv_split_begin(n, q, (int32_t)hit.leading, (int32_t)hit.blocks, (int32_t)hit.keyed, serve->sources.at);
    if (hit.below > 0) {
        uint32_t load = kv_load_begin(serve->tiers, n, seq, (int32_t)hit.keyed, serve->sources.at, q->slot,
                                      (struct kv_load_how){splits, hit.timeout_tk});
        if (splits) h->split->load = load;
    }
    kv_instance_add_holder(n, seq);
    kv_log(serve->engine, "hold", "request=%lld instance=%d hit=%lld load=%lld", (long long)q->request, n->id,
           (long long)(hit.blocks * block), (long long)hit.below);
    if (h->unreleased == 0) {
        h->ready = true;
        n->ready++;
    }
}

/* A wait before the first step, or for what another instance has computed, is fetch_stall (T30, T31). */
static void end_wait(struct kv_instance *n, struct kv_seq *q, struct kv_hold *hold)
{
    kv_tick waited_tk = kv_engine_now(n->serve->engine) - hold->since_tk;
    if (hold != q->hold) q->stall_decode_tk += waited_tk;
    else if (q->first_sched_tk < 0) hold->waited_tk += waited_tk;
    else return;
    n->serve->counters.fetch_stall_tk += waited_tk;
}

void kv_instance_released(struct kv_instance *n, uint32_t seq)
{
    struct kv_seq *q = kv_seq_at(n->serve, seq);
    struct kv_hold *h = kv_hold_for(q, n);
    if (!h->holding || h->ready) return;
    end_wait(n, q, h);
    h->ready = true;
    n->ready++;
    if (!n->busy) kv_timer_arm(n->serve->engine, n->timer, kv_engine_now(n->serve->engine));
    else if (n->running < kv_engine_of(n)->max_num_seqs) kv_instance_cut(n);
}

/* Of the loads that it waits for the one that began first: it is left, and may be cut, before the others (T13). */
static uint32_t take_first_begun(struct kv_tiers *t, struct kv_hold *h)
{
    size_t first = 0;
    for (size_t i = 1; i < h->loads.count; i++)
        if (kv_load_at(t, h->loads.at[i])->serial < kv_load_at(t, h->loads.at[first])->serial) first = i;
    uint32_t load = h->loads.at[first];
    h->loads.at[first] = h->loads.at[--h->loads.count];
    return load;
}

void kv_admission_leave_loads(struct kv_instance *n, uint32_t seq)
{
    struct kv_hold *h = kv_seq_at(n->serve, seq)->hold;
    while (h->loads.count > 0) kv_load_leave(n->serve->tiers, take_first_begun(n->serve->tiers, h), seq);
}

void kv_instance_give_back(struct kv_instance *n, uint32_t seq)
{
    struct kv_seq *q = kv_seq_at(n->serve, seq);
    struct kv_hold *h = q->hold;
    if (!h->ready) end_wait(n, q, h);
    remove_holder(n, seq);
    if (h->split) kv_split_leave(n, q, h->blocks);
    else kv_instance_release_blocks(n, q, h->blocks, false);
    n->outstanding_tokens += q->computed_tokens;
    q->computed_tokens = 0;
    h->unreleased = 0;
    n->serve->counters.given_back++;
    kv_admission_leave_loads(n, seq);
    if (q->preemptions > 0) kv_waiting_add_preempted_last(&n->waiting, seq);
    else kv_waiting_add(&n->waiting, q->urgency, q->order, seq);
    kv_log(n->serve->engine, "give_back", "request=%lld instance=%d", (long long)q->request, n->id);
}

bool kv_admission_give_back_last(struct kv_instance *n)
{
    for (size_t i = n->holders.count; i-- > 0;) {
        const struct kv_seq *q = kv_seq_at(n->serve, n->holders.at[i]);
        if (q->handover && q->handover->to == n) continue;
        kv_instance_give_back(n, n->holders.at[i]);
        return true;
    }
    return false;
}

/* The rest of T11: of a request that has a place in running and its tokens in the step. */
static void note_joined_holder(struct kv_instance *n, uint32_t seq, bool handed)
{
    struct kv_seq *q = kv_seq_at(n->serve, seq);
    if (handed) {
        kv_handover_joined(n, seq);
        return;
    }
    q->hold->hbm_only = false;
    if (q->hold->split) {
        kv_split_joined(n, q);
        note_joining(n, q);
        return;
    }
    kv_layered_join(n, seq);
    note_admission(n, q, q->computed_tokens, q->hold->pending);
}

/* T11: the first ready holder joins. False when it cannot. */
static bool join_first(struct kv_instance *n, int64_t *budget)
{
    size_t i = 0;
    while (!kv_hold_for(kv_seq_at(n->serve, n->holders.at[i]), n)->ready) i++;
    uint32_t seq = n->holders.at[i];
    struct kv_seq *q = kv_seq_at(n->serve, seq);
    bool handed = q->handover && q->handover->to == n;
    int64_t held = kv_hold_for(q, n)->blocks;
    if (!kv_engine_of(n)->chunked_prefill && kv_known_tokens(q) - q->computed_tokens > *budget) return false;
    remove_holder(n, seq);
    bool whole = kv_split_met(n, q);
    uint32_t place = whole ? kv_batch_add(n, seq) : kv_batch_add_split(n, seq);
    int64_t tokens = kv_admission_add_prefill(n, place, q, *budget);
    *budget -= tokens;
    kv_blocks_give(&n->blocks, held - (whole ? kv_blocks_for(n, q->computed_tokens + tokens) : kv_split_blocks(q)));
    kv_batch_register(n, q, q->computed_tokens + tokens);
    note_joined_holder(n, seq, handed);
    return true;
}

/* ---- the waiting queue -------------------------------------------------------------------------------------- */

/* True when the first waiter was found blocked before and nothing has happened since that could help it: hits on
 * blocks that others hold are what it saves, and without a registration they only get fewer. */
static bool still_blocked(const struct kv_instance *n, uint32_t seq, int64_t blocks)
{
    return n->blocked_seq == seq && n->blocked_registrations == n->blocks.registrations
           && blocks - n->blocked_shared_hits > kv_blocks_available(&n->blocks);
}

static bool fits(const struct kv_instance *n, int64_t blocks, const struct kv_hit *hit)
{
    return blocks - hit->leading <= kv_blocks_available(&n->blocks) - hit->idle;
}

/* T25, second half: nobody runs or will run, so pending writes make room. */
static bool nobody_runs(const struct kv_instance *n)
{
    return n->serve->tiers && n->running == 0 && n->holders.count == 0;
}

static bool relieve(struct kv_instance *n, const struct kv_seq *q, int64_t blocks, struct kv_hit *hit)
{
    const struct kv_pending pending = hit->pending;   /* what is dropped here was on its way when it was looked for */
    while (nobody_runs(n) && kv_write_drop_one(n->serve->tiers, n)) {
        *hit = kv_look_up(n, q);   /* blocks of the hit may have lost their last reference */
        hit->pending = pending;
        if (fits(n, blocks, hit)) return true;
    }
    return false;
}

/* Rule 12, T7. False when the first waiter stays where it is. */
static bool admit_first(struct kv_instance *n, int64_t *budget)
{
    uint32_t seq = kv_waiting_first(&n->waiting);
    const struct kv_engine_config *engine = kv_engine_of(n);
    const struct kv_seq *q = kv_seq_at(n->serve, seq);
    int64_t blocks = kv_blocks_for(n, kv_known_tokens(q));
    if (q->handover && q->handover->to == n) return kv_handover_admit(n, seq);
    if (still_blocked(n, seq, blocks) && !nobody_runs(n)) return false;
    struct kv_hit hit = kv_look_up(n, q);
    bool waits = hit.below > 0 || hit.loading;
    if (!waits && !engine->chunked_prefill && kv_known_tokens(q) - hit.blocks * engine->block_tokens > *budget)
        return false;
    if (!fits(n, blocks, &hit) && !relieve(n, q, blocks, &hit)) {
        n->blocked_seq = seq;
        n->blocked_registrations = n->blocks.registrations;
        n->blocked_shared_hits = hit.leading - hit.idle;
        return false;
    }
    if (waits) hold(n, seq, hit);
    else admit(n, seq, hit, budget);
    return true;
}

void kv_admission_schedule(struct kv_instance *n, int64_t *budget)
{
    const struct kv_engine_config *engine = kv_engine_of(n);
    while (*budget > 0 && n->running < engine->max_num_seqs) {
        if (n->ready > 0) {
            if (!join_first(n, budget)) return;
        } else if (n->waiting.count == 0 || !admit_first(n, budget)) {
            return;
        }
    }
}

void kv_instance_memory_freed(struct kv_instance *n)
{
    if (n->waiting.count == 0) return;
    if (!n->busy) {
        kv_timer_arm(n->serve->engine, n->timer, kv_engine_now(n->serve->engine));
        return;
    }
    if (n->running >= kv_engine_of(n)->max_num_seqs) return;
    uint32_t first = kv_waiting_first(&n->waiting);   /* may be another than the one found blocked (T14) */
    if (!still_blocked(n, first, kv_blocks_for(n, kv_known_tokens(kv_seq_at(n->serve, first))))) kv_instance_cut(n);
}

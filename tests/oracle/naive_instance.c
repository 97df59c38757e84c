/* SPDX-License-Identifier: Apache-2.0 */
/* What happens at a boundary: rules 10 to 20 of docs/engine.md in their order, T7, T11, T13 and T25 of docs/tiers.md
 * where they change them. */
#include <string.h>

#include "tests/oracle/naive_parts.h"

/* --- Blocks of a seat (rules 15 to 20) --- */

static void hold_tokens(struct oracle *o, struct instance *n, struct seat *s, int64_t tokens)
{
    while ((int64_t)s->held.count < ceil_div(tokens, block_tokens(o)))
        kv_vec_push(&s->held, naive_pool_take(&n->pool));
}

/* Rule 18: the blocks that become full when the request goes from `computed` to computed + tokens. */
static void register_new(struct oracle *o, struct instance *n, int64_t seat, int64_t tokens)
{
    if (!n->pool.caching) return;
    struct seat *s = &o->seats[seat];
    const struct job *j = job_of(o, seat);
    int64_t full = (s->computed + tokens) / block_tokens(o);
    for (int64_t i = s->computed / block_tokens(o); i < full && i < j->shared_count; i++) {
        if (n->pool.blocks.at[s->held.at[i]].registered) continue;     /* its load did that (T44) */
        uint64_t key = kv_prefix_key(&j->request->prefix, (int32_t)i, (int32_t)block_tokens(o));
        bool output = (i + 1) * block_tokens(o) > j->request->input_tokens;
        if (!naive_pool_register(&n->pool, s->held.at[i], key, output)) o->coverage->private_blocks++;
    }
}

int64_t naive_look_up_hbm(const struct oracle *o, const struct instance *n, int64_t seat)
{
    const struct job *j = job_of(o, seat);
    if (!n->pool.caching) return 0;
    int64_t hit = 0, most = (known(o, seat) - 1) / block_tokens(o);
    while (hit < most && naive_pool_find(&n->pool, j->request, j->shared_count, hit) != KV_NONE) hit++;
    return hit;
}

/* Rule 20; of what is there before having met all is kept, whatever is computed (T44). */
void naive_release(struct oracle *o, int64_t seat, bool finish)
{
    struct instance *n = instance_of(o, seat);
    struct seat *s = &o->seats[seat];
    const struct job *j = job_of(o, seat);
    int64_t full = s->beside ? (int64_t)s->sources.count : s->computed / block_tokens(o);
    int64_t prompt = j->request->input_tokens / block_tokens(o);
    for (int64_t i = (int64_t)s->held.count - 1; i >= 0; i--) {
        bool keep = !finish || o->config->engine.cache_outputs || i < prompt;
        uint64_t own_key = i >= j->shared_count && i < full ? naive_own_key(j->request->index, i) : 0;
        if (naive_pool_release(&n->pool, s->held.at[i], own_key, i >= prompt, keep)) o->coverage->forgotten_blocks++;
    }
    s->held.count = 0;
}

/* Rule 19, second half: own blocks that are cached but were not hit are of no use to anybody any more. */
static void drop_own(struct oracle *o, struct instance *n, int64_t seat, int64_t hit)
{
    const struct job *j = job_of(o, seat);
    int64_t end = known(o, seat) / block_tokens(o);
    for (int64_t i = hit > j->shared_count ? hit : j->shared_count; i < end; i++) {
        uint32_t block = naive_pool_find(&n->pool, j->request, j->shared_count, i);
        if (block == KV_NONE) continue;
        naive_pool_drop(&n->pool, block);
        o->coverage->own_drops++;
    }
}

/* --- A boundary (rules 10 to 13) --- */

static void remove_from(int64_t *at, size_t *count, int64_t seat)
{
    size_t i = 0;
    while (at[i] != seat) i++;
    memmove(&at[i], &at[i + 1], (*count - i - 1) * sizeof *at);
    --*count;
}

/* Rule 10. */
void naive_end_step(struct oracle *o, struct instance *n)
{
    o->counters->steps++;
    naive_step_end(o, n);
    for (size_t m = 0; m < n->step.count; m++) {
        int64_t seat = n->step.at[m].seat, tokens = n->step.at[m].tokens;
        struct seat *s = &o->seats[seat];
        struct job *j = job_of(o, seat);
        s->computed += tokens;
        *(tokens > 1 ? &o->counters->prefill_tokens : &o->counters->decode_tokens) += tokens;
        naive_propose_through(o, seat, s->computed - tokens);
        if (s->computed < known(o, seat)) continue;
        j->generated++;
        if (j->record->first_token_tk < 0) j->record->first_token_tk = o->now;
        if (j->generated < j->request->output_tokens) {
            s->decoding = true;
            if (!hands_over(o) || seat % 2 == 1) continue;
            remove_from(n->running.at, &n->running.count, seat);
            naive_handover_prompt(o, seat);
            continue;
        }
        remove_from(n->running.at, &n->running.count, seat);
        naive_propose_back(o, seat);
        naive_release(o, seat, true);
        naive_end_job(o, seat / 2, KV_STATUS_FINISHED);
    }
    n->step.count = 0;
}

/* Rule 19. */
static void preempt(struct oracle *o, struct instance *n, int64_t seat)
{
    struct seat *s = &o->seats[seat];
    struct job *j = job_of(o, seat);
    n->running.count--;
    naive_release(o, seat, false);
    s->computed_before = s->computed;
    s->computed = 0;
    s->decoding = false;
    j->preempted_at = o->now;
    j->record->preemptions++;
    o->counters->preemptions++;
    kv_vec_push(&n->preempted, seat);
    if (!s->beside) return;
    o->coverage->preempted_unmet++;
    naive_leave_load(o, seat, s->beside, s->computed_before);
}

/* Rule 11, T44. */
static int64_t tokens_of_step(struct oracle *o, int64_t seat, int64_t budget)
{
    bool met = naive_meets(o, seat);
    int64_t tokens = known(o, seat) - o->seats[seat].computed;
    if (tokens > budget) tokens = budget;
    if (met) return tokens;
    int64_t until = naive_meeting_tokens(o, seat) - o->seats[seat].computed;
    if (tokens > o->config->fetch.compute_chunk_tokens) tokens = o->config->fetch.compute_chunk_tokens;
    return tokens < until ? tokens : until;
}

/* Members behind place `i` that have their token of the budget before anybody else (T44). */
static int64_t decoding_behind(const struct oracle *o, const struct instance *n, size_t i)
{
    int64_t count = 0;
    for (i++; i < n->running.count; i++) count += o->seats[n->running.at[i]].decoding;
    return count;
}

/* Rule 11, T13, T25. True when somebody was preempted. */
bool naive_schedule_running(struct oracle *o, struct instance *n, int64_t *budget)
{
    bool preempted = false;
    for (size_t i = 0; i < n->running.count; i++) {
        int64_t seat = n->running.at[i];
        struct seat *s = &o->seats[seat];
        const struct job *j = job_of(o, seat);
        if (j->generated + j->on_way == j->request->output_tokens) continue;   /* 13b */
        int64_t tokens = tokens_of_step(o, seat, *budget - (s->decoding ? 0 : decoding_behind(o, n, i)));
        o->coverage->passed_over += tokens == 0;
        if (tokens == 0) continue;
        int64_t missing = ceil_div(s->computed + tokens, block_tokens(o)) - (int64_t)s->held.count;
        while (naive_pool_available(&n->pool) < missing && i < n->running.count) {
            if (naive_drop_write(o, n)) continue;
            if (i == 0 && n->running.count == 1 && naive_give_back_last(o, n)) continue;
            preempt(o, n, n->running.at[n->running.count - 1]);
            preempted = true;
        }
        if (i == n->running.count) {
            o->coverage->self_preemptions++;
            break;
        }
        hold_tokens(o, n, s, s->computed + tokens);
        *budget -= tokens;
        kv_vec_push(&n->step, ((struct member){seat, tokens}));
    }
    for (size_t m = 0; m < n->step.count; m++) register_new(o, n, n->step.at[m].seat, n->step.at[m].tokens);
    return preempted;
}

static void join_step(struct oracle *o, struct instance *n, int64_t seat, int64_t tokens, int64_t *budget)
{
    o->seats[seat].hbm_only = false;
    kv_vec_push(&n->running, seat);
    kv_vec_push(&n->step, ((struct member){seat, tokens}));
    *budget -= tokens;
    register_new(o, n, seat, tokens);
    naive_note_admission(o, seat);
}

/* g of T7: used blocks in HBM before the first one below, and u, those of them that nobody references. Is any used
 * block in HBM still being loaded? */
static int64_t hbm_hits(const struct oracle *o, const struct instance *n, int64_t seat, const match *found,
                        int64_t *unreferenced, bool *loading)
{
    const struct job *j = job_of(o, seat);
    int64_t hits = 0;
    *unreferenced = 0;
    bool leading = true;
    for (size_t i = 0; i < found->count; i++) {
        leading = leading && found->at[i] == 0;
        if (found->at[i] != 0) continue;
        uint32_t block = naive_pool_find(&n->pool, j->request, j->shared_count, (int64_t)i);
        if (n->pool.blocks.at[block].load) *loading = true;
        if (!leading) continue;
        hits++;
        *unreferenced += n->pool.blocks.at[block].refs == 0;
    }
    return hits;
}

static void take_hits(struct oracle *o, struct instance *n, int64_t seat, const match *found)
{
    struct seat *s = &o->seats[seat];
    const struct job *j = job_of(o, seat);
    s->sources.count = 0;
    for (size_t i = 0; i < found->count; i++) {
        uint32_t block = KV_NONE;    /* to be loaded */
        if (found->at[i] == 0) {
            block = naive_pool_find(&n->pool, j->request, j->shared_count, (int64_t)i);
            naive_pool_ref(&n->pool, block);
        }
        kv_vec_push(&s->held, block);
        kv_vec_push(&s->sources, found->at[i]);
    }
    s->leading = s->own_end = 0;
    while (s->leading < (int64_t)found->count && found->at[s->leading] == 0) s->leading++;
    s->own_end = s->leading;
    if (j->preempted_at >= 0) drop_own(o, n, seat, (int64_t)found->count);
    s->computed = (int64_t)found->count * block_tokens(o);
}

/* Rule 12 and T7, for a match of which everything is used. */
static bool admit_with(struct oracle *o, struct instance *n, int64_t seat, const match *found, kv_tick timeout_tk,
                       int64_t *budget)
{
    struct seat *s = &o->seats[seat];
    int64_t hit = (int64_t)found->count, hit_tokens = hit * block_tokens(o);
    int64_t tokens = known(o, seat) - hit_tokens, unreferenced;
    bool below = false, loading = false;
    for (int64_t i = 0; i < hit; i++) below = below || found->at[i] != 0;
    int64_t hits = hbm_hits(o, n, seat, found, &unreferenced, &loading);
    bool holder = s->handing_over || below || loading;
    bool both_ways = below && o->config->fetch.mode == KV_DELIVERY_BIDIRECTIONAL;
    if (both_ways && loading) {
        o->coverage->one_way++;
        both_ways = false;
    }
    if (!holder && tokens > *budget) {
        if (!o->config->engine.chunked_prefill) return false;
        tokens = *budget;
        o->coverage->chunked_prompts++;
    }
    int64_t needed = ceil_div(known(o, seat), block_tokens(o)) - hits;
    while (needed > naive_pool_available(&n->pool) - unreferenced) {
        o->coverage->refusals_by_hits += needed <= naive_pool_available(&n->pool);
        if (n->running.count + n->holders.count > 0 || !naive_drop_write(o, n)) return false;
        hbm_hits(o, n, seat, found, &unreferenced, &loading);
    }
    o->coverage->unreferenced_hits += unreferenced;
    if (hit > job_of(o, seat)->shared_count) o->coverage->own_hits += hit - job_of(o, seat)->shared_count;
    take_hits(o, n, seat, found);
    if (holder) {
        naive_become_holder(o, seat, timeout_tk, both_ways);
        return true;
    }
    hold_tokens(o, n, s, hit_tokens + tokens);
    join_step(o, n, seat, tokens, budget);
    return true;
}

static bool admit(struct oracle *o, struct instance *n, int64_t seat, int64_t *budget)
{
    match found = {0};
    bool hbm_only = o->seats[seat].handing_over || o->seats[seat].hbm_only;
    naive_match(o, seat, hbm_only, &found);
    naive_note_pending(o, seat, hbm_only, (int64_t)found.count);
    struct kv_fetch_choice choice = naive_choose(o, seat, &found);
    found.count = (size_t)choice.blocks;
    bool admitted = admit_with(o, n, seat, &found, choice.timeout_tk, budget);
    kv_vec_close(&found);
    return admitted;
}

/* T11: of the ready holders the one that reached the router first; -1. */
static int64_t first_ready(const struct oracle *o, const struct instance *n)
{
    int64_t first = -1;
    for (size_t i = 0; i < n->holders.count; i++) {
        int64_t seat = n->holders.at[i];
        if (o->seats[seat].ready && (first < 0 || job_of(o, seat)->order < job_of(o, first)->order)) first = seat;
    }
    return first;
}

static bool join(struct oracle *o, struct instance *n, int64_t seat, int64_t *budget)
{
    struct seat *s = &o->seats[seat];
    int64_t tokens = tokens_of_step(o, seat, *budget);
    if (known(o, seat) - s->computed > *budget) {
        if (!o->config->engine.chunked_prefill) return false;
        o->coverage->chunked_prompts++;
    }
    int64_t needed = ceil_div(s->computed + tokens, block_tokens(o));
    if (s->beside) needed = (int64_t)s->sources.count;               /* those of its load stay */
    kv_assert((int64_t)s->held.count >= needed);
    while ((int64_t)s->held.count > needed) naive_pool_release(&n->pool, s->held.at[--s->held.count], 0, false, true);
    remove_from(n->holders.at, &n->holders.count, seat);
    s->holder = false;
    for (size_t i = 0; i < s->waits.count; i++) naive_load_joined(s->waits.at[i]);
    if (s->beside) naive_load_joined(s->beside);
    join_step(o, n, seat, tokens, budget);
    return true;
}

/* Rules 9 and 12, T11. */
void naive_schedule_others(struct oracle *o, struct instance *n, int64_t *budget)
{
    while (*budget > 0 && (int64_t)n->running.count < o->config->engine.max_num_seqs) {
        int64_t ready = first_ready(o, n);
        if (ready >= 0) {
            if (!join(o, n, ready, budget)) return;
        } else if (n->preempted.count > 0) {
            if (!admit(o, n, n->preempted.at[n->preempted.count - 1], budget)) return;
            n->preempted.count--;
        } else if (n->waiting.count > 0) {
            int64_t seat = n->waiting.at[0];
            if (!admit(o, n, seat, budget)) return;
            remove_from(n->waiting.at, &n->waiting.count, seat);
        } else {
            return;
        }
    }
}

/* Rule 13 and rule 2. */
struct kv_batch naive_batch_of(struct oracle *o, const struct instance *n)
{
    struct kv_batch batch = {0};
    o->chunks.count = 0;
    for (size_t m = 0; m < n->step.count; m++) {
        int64_t seat = n->step.at[m].seat, tokens = n->step.at[m].tokens, computed = o->seats[seat].computed;
        if (tokens > 1) {
            kv_vec_push(&o->chunks, ((struct kv_chunk){tokens, computed, computed + tokens == known(o, seat)}));
            continue;
        }
        if (job_of(o, seat)->generated == 0 && computed > 0) o->coverage->one_token_remainders++;
        batch.decode_count++;
        batch.ctx_sum += computed;
        batch.ctx_sq_sum += (kv_cost)computed * computed;
        if (computed > batch.ctx_max) batch.ctx_max = computed;
    }
    batch.chunks = o->chunks.at;
    batch.chunk_count = (int32_t)o->chunks.count;
    return batch;
}

void naive_boundary(struct oracle *o, struct instance *n)
{
    if (naive_schedules_ahead(o)) {
        naive_ahead_boundary(o, n);
        return;
    }
    if (n->busy) {
        naive_end_step(o, n);
    } else {
        n->origin = o->now;
        n->spent = 0;
    }
    int64_t budget = o->config->engine.max_num_batched_tokens;
    /* T13: where nobody is left running after preemptions, the others are looked at all the same. */
    if (!naive_schedule_running(o, n, &budget) || n->step.count == 0) naive_schedule_others(o, n, &budget);
    naive_propose_evicted(o, (int32_t)(n - o->instances));
    if (n->step.count == 0) {
        if (!has_tiers(o) && !hands_over(o))
            kv_assert(n->running.count + n->waiting.count + n->preempted.count == 0);
        kv_assert(n->running.count == 0);
        n->busy = false;
        n->due = KV_TICK_NEVER;
        o->coverage->idle_periods++;
        return;
    }
    n->busy = true;
    struct kv_batch batch = naive_batch_of(o, n);
    naive_step_begin(o, n, &batch);
    o->coverage->same_tick_boundaries += n->due == o->now;
}

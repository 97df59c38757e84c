/* SPDX-License-Identifier: Apache-2.0 */
/* The books of an admission: where a prompt comes from and what is computed again (rule 12, T11, T32, T44). */
#include "tests/oracle/naive_parts.h"

/* T32. */
static void note_saved_time(struct oracle *o, int64_t seat, const int64_t *tokens_from, int64_t hit_tokens)
{
    const struct seat *s = &o->seats[seat];
    int64_t input = job_of(o, seat)->request->input_tokens, left = input, B = block_tokens(o);
    for (int32_t t = 0; t < o->tier_count; t++) {
        o->counters->tier[t].asked_tokens += left;
        o->counters->tier[t].hit_tokens += tokens_from[t];
        left -= tokens_from[t];
    }
    if (hit_tokens == 0) return;
    kv_tick saved = naive_compute_tk(o, input, 0) - naive_compute_tk(o, input, (int64_t)s->sources.count * B), rest;
    /* What lies between was computed after all (T44). */
    saved -= naive_compute_tk(o, input, s->leading * B) - naive_compute_tk(o, input, s->own_end * B);
    if (saved < 0) saved = 0;
    rest = saved;
    int32_t first = 0;
    while (tokens_from[first] == 0) first++;
    for (int32_t t = first + 1; t < o->tier_count; t++) {
        kv_tick share = (kv_tick)((kv_cost)saved * tokens_from[t] / hit_tokens);
        o->counters->tier[t].saved_tk += share;
        rest -= share;
    }
    o->counters->tier[first].saved_tk += rest;
}

void naive_count_hits(struct oracle *o, int64_t seat)
{
    struct seat *s = &o->seats[seat];
    struct job *j = job_of(o, seat);
    struct kv_record *r = j->record;
    int64_t from[KV_TIERS_MAX] = {0}, hit_tokens = 0;
    for (int64_t i = 0; i < (int64_t)s->sources.count; i++) {
        if (i >= s->leading && i < s->own_end) continue;
        from[s->sources.at[i]] += block_tokens(o);
        hit_tokens += block_tokens(o);
    }
    if (j->counted) {
        int64_t again = s->computed_before > hit_tokens ? s->computed_before - hit_tokens : 0;
        r->recomputed_tokens += again;
        o->counters->recomputed_tokens += again;
        return;
    }
    j->counted = true;
    for (int32_t t = 0; t < o->tier_count; t++) r->prompt_tokens_by_source[t] = (int32_t)from[t];
    r->prompt_tokens_by_source[o->tier_count] = (int32_t)(j->request->input_tokens - hit_tokens);
    o->counters->hit_tokens += hit_tokens;
    o->counters->prompt_tokens += j->request->input_tokens;
    if (s->pending_tokens > 0) o->counters->tier[s->pending_tier].pending_tokens += s->pending_tokens;
    note_saved_time(o, seat, from, hit_tokens);
}

/* Rule 12, the books: the first admission counts hits and the prompt, later ones what is computed again. A hand-over
 * is neither: its decode instance goes on where the prefill instance stopped. */
void naive_note_admission(struct oracle *o, int64_t seat)
{
    struct seat *s = &o->seats[seat];
    struct job *j = job_of(o, seat);
    struct kv_record *r = j->record;
    if (s->handing_over) {
        s->handing_over = false;
        return;
    }
    if (!s->beside) naive_count_hits(o, seat);
    if (r->first_sched_tk < 0) {
        r->first_sched_tk = o->now;
        if (s->beside) r->prompt_tokens_by_source[o->tier_count] = j->request->input_tokens;   /* until they meet */
        return;
    }
    *(r->first_token_tk < 0 ? &j->paused_prefill : &j->paused_decode) += o->now - j->preempted_at;
    j->preempted_at = -1;
}

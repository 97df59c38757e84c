/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/oracle/naive_replay.h"

#include <gsl/gsl_randist.h>
#include <math.h>

#include "sim/base/map.h"

static kv_tick delay_tk(const struct naive_replay *r, const struct kv_delay *d, const char *stream, int64_t index)
{
    struct kv_rng rng;
    gsl_rng *draw = kv_rng_at(&rng, r->config->seed, kv_stream(stream), (uint64_t)index);
    double s = d->mean_s;
    if (d->kind == KV_DELAY_EXPONENTIAL) s = gsl_ran_exponential(draw, d->mean_s);
    if (d->kind == KV_DELAY_LOGNORMAL)
        s = d->mean_s > 0 ? gsl_ran_lognormal(draw, log(d->mean_s) - d->sigma * d->sigma / 2, d->sigma) : 0;
    long long ns = llround(s * 1e9);
    return KV_TICKS_PER_NS * (ns > 0 ? ns : 0);
}

static void expect(struct naive_replay *r, kv_tick tick, int64_t job, bool through)
{
    kv_vec_push(&r->pending, ((struct naive_pending){tick, job, through}));
}

/* The source is read one row ahead: its next row that needs nobody's end becomes pending. */
static void pull_row(struct naive_replay *r)
{
    if (r->config->replay.mode == KV_REPLAY_CLOSED) return;
    while (r->next_row < r->count && r->follows && r->follows[r->next_row]) r->next_row++;
    if (r->next_row == r->count) return;
    expect(r, KV_TICKS_PER_NS * r->requests[r->next_row].arrival_ns, r->next_row, false);
    r->next_row++;
}

/* Ties each turn to the one before it in its session. */
static void tie_turns(struct naive_replay *r)
{
    r->follows = kv_mem_take((size_t)r->count * sizeof *r->follows);
    r->next_turn = kv_mem_take((size_t)r->count * sizeof *r->next_turn);
    struct kv_map last;
    kv_map_open(&last, 64);
    for (int64_t i = 0; i < r->count; i++) {
        r->next_turn[i] = -1;
        if (r->requests[i].session == 0) continue;
        uint64_t key = kv_mix64(r->requests[i].session);
        uint32_t before = kv_map_get(&last, key);
        if (before != KV_NONE) {
            r->follows[i] = true;
            r->next_turn[before] = i;
        }
        kv_map_put(&last, key, (uint32_t)i);
    }
    kv_map_close(&last);
}

void naive_replay_open(struct naive_replay *r, const struct kv_sim_config *config, const struct kv_request *requests,
                       int64_t count)
{
    *r = (struct naive_replay){.config = config, .requests = requests, .count = count};
    if (config->replay.mode == KV_REPLAY_CLOSED) {
        int64_t clients = config->replay.clients < count ? config->replay.clients : count;
        for (; r->next_row < clients; r->next_row++) expect(r, 0, r->next_row, false);
        return;
    }
    if (config->replay.mode == KV_REPLAY_SESSION) tie_turns(r);
    pull_row(r);
}

void naive_replay_close(struct naive_replay *r)
{
    if (r->follows) kv_mem_give(r->follows, (size_t)r->count * sizeof *r->follows);
    if (r->next_turn) kv_mem_give(r->next_turn, (size_t)r->count * sizeof *r->next_turn);
    kv_vec_close(&r->pending);
}

void naive_replay_front_end(struct naive_replay *r, kv_tick now, int64_t job)
{
    expect(r, now + delay_tk(r, &r->config->replay.frontend_overhead, "frontend_overhead", job), job, true);
}

void naive_replay_came(struct naive_replay *r, int64_t job)
{
    if (job + 1 == r->next_row) pull_row(r);
}

void naive_replay_ended(struct naive_replay *r, kv_tick now, int64_t job)
{
    kv_tick whole_ns = (now / KV_TICKS_PER_NS + 1) * KV_TICKS_PER_NS;
    if (r->config->replay.mode == KV_REPLAY_CLOSED && r->next_row < r->count) {
        kv_tick due = whole_ns + delay_tk(r, &r->config->replay.think, "think", r->next_row);
        expect(r, due, r->next_row++, false);
    } else if (r->config->replay.mode == KV_REPLAY_SESSION && r->next_turn[job] >= 0) {
        const struct kv_request *last = &r->requests[job], *next = &r->requests[r->next_turn[job]];
        int64_t think_ns = next->arrival_ns - last->arrival_ns;
        if (last->elapsed_ns >= 0) think_ns -= last->elapsed_ns;
        if (think_ns < 0) think_ns = 0;
        if (next->think_ns >= 0) think_ns = next->think_ns;
        expect(r, whole_ns + KV_TICKS_PER_NS * think_ns, r->next_turn[job], false);
    }
}

bool naive_replay_take(struct naive_replay *r, kv_tick now, struct naive_pending *out)
{
    size_t best = r->pending.count;
    for (size_t i = 0; i < r->pending.count; i++)
        if (r->pending.at[i].tick == now
            && (best == r->pending.count || r->pending.at[i].job < r->pending.at[best].job)) best = i;
    if (best == r->pending.count) return false;
    *out = r->pending.at[best];
    r->pending.at[best] = r->pending.at[--r->pending.count];
    return true;
}

kv_tick naive_replay_next_tick(const struct naive_replay *r)
{
    kv_tick next = KV_TICK_NEVER;
    for (size_t i = 0; i < r->pending.count; i++)
        if (r->pending.at[i].tick < next) next = r->pending.at[i].tick;
    return next;
}

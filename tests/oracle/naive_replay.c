/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/oracle/naive_replay.h"

#include <gsl/gsl_randist.h>
#include <math.h>

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

static bool together(const struct naive_replay *r)
{
    const struct kv_replay_config *c = &r->config->replay;
    return c->mode == KV_REPLAY_SESSION || (c->mode == KV_REPLAY_CLOSED && c->clients_take == KV_TAKE_SESSION);
}

/* --- Rules 25 and 25a, by looking at all rows each time --- */

static bool same_session(const struct naive_replay *r, int64_t a, int64_t b)
{
    return a == b || (r->requests[a].session != 0 && r->requests[a].session == r->requests[b].session);
}

static bool first_of_session(const struct naive_replay *r, int64_t row)
{
    for (int64_t i = 0; i < row; i++)
        if (same_session(r, i, row)) return false;
    return true;
}

/* 0: the main line. */
static int64_t line_of(const struct naive_replay *r, int64_t row)
{
    return first_of_session(r, row) ? 0 : r->requests[row].branch;
}

/* The last row before `row` that belongs to line `line` of its session, -1. */
static int64_t last_before(const struct naive_replay *r, int64_t row, int64_t line)
{
    for (int64_t i = row - 1; i >= 0; i--)
        if (same_session(r, i, row) && line_of(r, i) == line) return i;
    return -1;
}

/* Whom `row` follows; -1: a first turn. */
static int64_t leader(const struct naive_replay *r, int64_t row)
{
    int64_t before = last_before(r, row, line_of(r, row));
    return before >= 0 ? before : last_before(r, row, 0);
}

/* Tick at which `row`, which follows somebody, arrives; -1 while somebody it waits for has not ended. */
static kv_tick due_tick(const struct naive_replay *r, int64_t row)
{
    const struct kv_request *q = &r->requests[row];
    int64_t before = leader(r, row);
    if (r->ended[before] < 0) return -1;
    int64_t think_ns = q->arrival_ns - r->requests[before].arrival_ns;
    if (r->requests[before].elapsed_ns >= 0) {
        think_ns -= r->requests[before].elapsed_ns;
        if (think_ns < 0) think_ns = 0;
    }
    if (q->think_ns >= 0) think_ns = q->think_ns;
    kv_tick due = (r->ended[before] / KV_TICKS_PER_NS + 1 + think_ns) * KV_TICKS_PER_NS;
    if (line_of(r, row) != 0) return due;
    /* The branches whose first row lies between the two rows of the main line: their last rows must have ended. */
    for (int64_t i = before + 1; i < row; i++) {
        int64_t line = line_of(r, i);
        if (!same_session(r, i, row) || line == 0 || last_before(r, i, line) >= 0) continue;
        int64_t last = r->count - 1;
        while (!same_session(r, last, row) || line_of(r, last) != line) last--;
        if (r->ended[last] < 0) return -1;
        kv_tick after = (r->ended[last] / KV_TICKS_PER_NS + 1) * KV_TICKS_PER_NS;
        if (after > due) due = after;
    }
    return due;
}

static bool session_over(const struct naive_replay *r, int64_t row)
{
    for (int64_t i = 0; i < r->count; i++)
        if (same_session(r, i, row) && r->ended[i] < 0) return false;
    return true;
}

/* --- Who comes --- */

static void expect_row(struct naive_replay *r, kv_tick tick, int64_t row)
{
    if (r->expected) r->expected[row] = true;
    expect(r, tick, row, false);
}

/* The next row that follows nobody, and whom nobody took: taken now; -1. */
static int64_t take_row(struct naive_replay *r)
{
    while (r->next_row < r->count && together(r) && !first_of_session(r, r->next_row)) r->next_row++;
    return r->next_row < r->count ? r->next_row++ : -1;
}

/* The source is read one row ahead: its next row that needs nobody's end becomes pending. */
static void pull_row(struct naive_replay *r)
{
    if (r->config->replay.mode == KV_REPLAY_CLOSED) return;
    int64_t row = take_row(r);
    if (row >= 0) expect_row(r, KV_TICKS_PER_NS * r->requests[row].arrival_ns, row);
}

void naive_replay_open(struct naive_replay *r, const struct kv_sim_config *config, const struct kv_request *requests,
                       int64_t count)
{
    *r = (struct naive_replay){.config = config, .requests = requests, .count = count};
    if (together(r)) {
        r->ended = kv_mem_take((size_t)count * sizeof *r->ended);
        r->expected = kv_mem_take((size_t)count * sizeof *r->expected);
        for (int64_t i = 0; i < count; i++) r->ended[i] = -1;
    }
    if (config->replay.mode == KV_REPLAY_CLOSED)
        for (int64_t client = 0, row; client < config->replay.clients && (row = take_row(r)) >= 0; client++)
            expect_row(r, 0, row);
    pull_row(r);
}

void naive_replay_close(struct naive_replay *r)
{
    if (r->ended) kv_mem_give(r->ended, (size_t)r->count * sizeof *r->ended);
    if (r->expected) kv_mem_give(r->expected, (size_t)r->count * sizeof *r->expected);
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
    if (together(r)) {
        r->ended[job] = now;
        for (int64_t i = 0; i < r->count; i++) {
            if (r->expected[i] || !same_session(r, i, job) || first_of_session(r, i)) continue;
            kv_tick due = due_tick(r, i);
            if (due >= 0) expect_row(r, due, i);
        }
    }
    if (r->config->replay.mode != KV_REPLAY_CLOSED || (together(r) && !session_over(r, job))) return;
    int64_t row = take_row(r);
    if (row < 0) return;
    kv_tick whole_ns = (now / KV_TICKS_PER_NS + 1) * KV_TICKS_PER_NS;
    expect_row(r, whole_ns + delay_tk(r, &r->config->replay.think, "think", row), row);
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

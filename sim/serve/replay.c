/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/serve/replay.h"

#include <gsl/gsl_randist.h>
#include <math.h>
#include <string.h>

static const struct kv_replay_config *config_of(const struct kv_replay *r)
{
    return &r->serve->config->replay;
}

/* One draw of a delay, in whole ns. */
static int64_t delay_ns(const struct kv_delay *delay, uint64_t seed, const char *stream, int64_t request)
{
    struct kv_rng rng;
    double seconds = delay->mean_s;
    if (delay->kind != KV_DELAY_CONSTANT && delay->mean_s > 0) {
        gsl_rng *draw = kv_rng_at(&rng, seed, kv_stream(stream), (uint64_t)request);
        if (delay->kind == KV_DELAY_EXPONENTIAL) {
            seconds = gsl_ran_exponential(draw, delay->mean_s);
        } else {   /* zeta such that the mean is mean_s */
            double zeta = log(delay->mean_s) - delay->sigma * delay->sigma / 2;
            seconds = gsl_ran_lognormal(draw, zeta, delay->sigma);
        }
    }
    int64_t ns = llround(seconds * 1e9);
    return ns > 0 ? ns : 0;
}

/* First whole ns after an end: an end never brings an arrival at its own tick (rule 24). */
static int64_t ns_after(kv_tick tk)
{
    return tk / KV_TICKS_PER_NS + 1;
}

/* ---- requests on their way --------------------------------------------------------------------------------- */

/* The request will arrive at `arrival_ns`. */
static void expect(struct kv_replay *r, uint32_t seq, int64_t arrival_ns)
{
    kv_tick due_tk = arrival_ns * KV_TICKS_PER_NS;
    kv_pqueue_push(&r->thinking, (struct kv_pentry){due_tk, kv_seq_at(r->serve, seq)->request, seq});
}

static void expect_turn(struct kv_replay *r, struct kv_turn *turn, int64_t arrival_ns)
{
    expect(r, turn->seq, arrival_ns);
    turn->seq = KV_NONE;
}

static void turn_ready(void *replay, struct kv_turn *turn)
{
    expect_turn(replay, turn, turn->earliest_ns);
}

/* The request arrives: it goes through the front end to the router, unless it is refused on the spot. */
static void inject(struct kv_replay *r, uint32_t seq, kv_tick arrival_tk)
{
    struct kv_seq *q = kv_seq_at(r->serve, seq);
    int64_t overhead_ns = 0;
    if (q->refusal == KV_STATUS_FINISHED)
        overhead_ns = delay_ns(&config_of(r)->frontend_overhead, r->serve->config->seed, "frontend_overhead",
                               q->request);
    q->arrival_tk = arrival_tk;
    r->serve->counters.injected++;
    kv_pqueue_push(&r->in_front_end,
                   (struct kv_pentry){arrival_tk + overhead_ns * KV_TICKS_PER_NS, q->request, seq});
}

/* ---- rows -------------------------------------------------------------------------------------------------- */

static uint32_t make_seq(struct kv_replay *r, const struct kv_request *request)
{
    struct kv_serve *serve = r->serve;
    uint32_t seq = kv_pool_take(&serve->seqs);
    struct kv_seq *q = kv_seq_at(serve, seq);
    *q = (struct kv_seq){
        .prefix = request->prefix, .request = request->index, .trace_row = request->trace_row,
        .arrival_tk = -1, .first_sched_tk = -1, .first_token_tk = -1,
        .input_tokens = request->input_tokens, .output_tokens = request->output_tokens,
        .priority = request->priority, .resident_tokens = request->resident_tokens, .own_run = KV_NONE,
        .session = request->session, .place = KV_NONE,
        .turn = request->turn, .slo_class = request->slo_class, .instance = KV_NO_INSTANCE,
        .prefill_instance = KV_NO_INSTANCE,
    };
    if (request->failed) q->refusal = KV_STATUS_FAILED;
    else if (!kv_instance_accepts(serve->config, q->input_tokens, q->output_tokens)) q->refusal = KV_STATUS_REJECTED;
    else q->urgency = serve->config->sched->urgency(serve->config->sched_params, request);
    if (request->prefix.ids && request->prefix.ids_count == 0) q->prefix = (struct kv_prefix){0};
    if (q->prefix.ids) {
        size_t bytes = request->prefix.ids_count * sizeof *request->prefix.ids;
        uint64_t *ids = kv_slab_take(&serve->slab, bytes);
        memcpy(ids, request->prefix.ids, bytes);
        q->prefix.ids = ids;
    }
    return seq;
}

/* Takes the next row; KV_NONE at the end and on failure. */
static uint32_t take_row(struct kv_replay *r, struct kv_request *request)
{
    if (r->drained) return KV_NONE;
    memset(request, 0, sizeof *request);
    int got = r->source.next(r->source.state, request, r->err);
    if (got <= 0) {
        r->drained = true;
        return KV_NONE;
    }
    if (request->arrival_ns > KV_TICK_LIMIT / KV_TICKS_PER_NS) {
        kv_fail(r->err, KV_ETRACE, "", "row %lld arrives at %lld ns, past the end of simulated time (2^62 ticks, 208 "
                "days): shorten the trace or raise rate_scale", (long long)request->trace_row,
                (long long)request->arrival_ns);
        r->drained = true;
        return KV_NONE;
    }
    request->index = r->taken++;
    return make_seq(r, request);
}

static void read_ahead(struct kv_replay *r)
{
    struct kv_request request;
    r->ahead = take_row(r, &request);
    if (r->ahead != KV_NONE) kv_seq_at(r->serve, r->ahead)->arrival_tk = request.arrival_ns * KV_TICKS_PER_NS;
}

/* Tick of the next request that enters by the trace's own clock. */
static kv_tick next_trace_tk(const struct kv_replay *r)
{
    if (r->ahead != KV_NONE) return kv_seq_at(r->serve, r->ahead)->arrival_tk;
    if (config_of(r)->mode == KV_REPLAY_SESSION && r->next_first < r->turns.row.count)
        return r->turns.row.at[r->next_first].arrival_ns * KV_TICKS_PER_NS;
    return KV_TICK_NEVER;
}

static void skip_followers(struct kv_replay *r)
{
    while (r->next_first < r->turns.row.count && r->turns.row.at[r->next_first].follows) r->next_first++;
}

static void inject_due(struct kv_replay *r, kv_tick now)
{
    while (next_trace_tk(r) <= now) {
        if (r->ahead != KV_NONE) {
            uint32_t seq = r->ahead;
            inject(r, seq, kv_seq_at(r->serve, seq)->arrival_tk);
            read_ahead(r);
        } else {
            struct kv_turn *turn = &r->turns.row.at[r->next_first++];
            expect_turn(r, turn, turn->arrival_ns);
            skip_followers(r);
        }
    }
    while (r->thinking.count > 0 && r->thinking.at[0].key <= now) {
        struct kv_pentry top = kv_pqueue_pop(&r->thinking);
        inject(r, top.value, top.key);
    }
}

static kv_tick front_tk(const struct kv_pqueue *q)
{
    return q->count > 0 ? q->at[0].key : KV_TICK_NEVER;
}

static void arm(struct kv_replay *r)
{
    kv_tick due = next_trace_tk(r);
    if (front_tk(&r->thinking) < due) due = front_tk(&r->thinking);
    if (front_tk(&r->in_front_end) < due) due = front_tk(&r->in_front_end);
    if (due != KV_TICK_NEVER) kv_timer_arm(r->serve->engine, r->timer, due);
    else kv_timer_disarm(r->serve->engine, r->timer);
}

static void fire(void *owner, uint32_t kind)
{
    struct kv_replay *r = owner;
    (void)kind;
    kv_tick now = kv_engine_now(r->serve->engine);
    inject_due(r, now);
    while (front_tk(&r->in_front_end) <= now) r->arrive(r->owner, kv_pqueue_pop(&r->in_front_end).value);
    arm(r);
}

/* ---- the modes --------------------------------------------------------------------------------------------- */

/* A client that is free since `free_ns` (< 0: the run begins) takes the next row, or the next session. */
static void take_closed(struct kv_replay *r, int64_t free_ns)
{
    struct kv_request request = {.index = (int64_t)r->next_first};
    struct kv_turn *first = NULL;
    uint32_t seq = KV_NONE;
    if (!r->whole) {
        seq = take_row(r, &request);
    } else if (r->next_first < r->turns.row.count) {
        first = &r->turns.row.at[r->next_first++];
        seq = first->seq;
        first->seq = KV_NONE;
        skip_followers(r);
    }
    if (seq == KV_NONE) return;
    const struct kv_delay *think = &config_of(r)->think;
    expect(r, seq, free_ns < 0 ? 0 : free_ns + delay_ns(think, r->serve->config->seed, "think", request.index));
}

/* Reads the whole trace and ties each turn to the one before it. */
static void load_sessions(struct kv_replay *r)
{
    struct kv_request request;
    for (uint32_t seq; (seq = take_row(r, &request)) != KV_NONE;) kv_turns_add(&r->turns, &request, seq);
    kv_turns_tie(&r->turns);
    skip_followers(r);
}

bool kv_replay_open(struct kv_replay *r, struct kv_serve *serve, struct kv_source source, void *owner,
                    void (*arrive)(void *owner, uint32_t seq), struct kv_err *err)
{
    *r = (struct kv_replay){.serve = serve, .source = source, .owner = owner, .arrive = arrive, .err = err,
                            .ahead = KV_NONE};
    const struct kv_replay_config *c = config_of(r);
    r->timer = kv_timer_new(serve->engine, KV_CLASS_ARRIVAL, fire, r, 0);
    r->whole = c->mode == KV_REPLAY_SESSION || (c->mode == KV_REPLAY_CLOSED && c->clients_take == KV_TAKE_SESSION);
    kv_turns_open(&r->turns);
    if (r->whole) load_sessions(r);
    if (c->mode == KV_REPLAY_OPEN) read_ahead(r);
    if (c->mode == KV_REPLAY_CLOSED)
        for (int64_t client = 0; client < c->clients; client++) take_closed(r, -1);
    arm(r);
    return err->code == KV_OK;
}

void kv_replay_ended(struct kv_replay *r, int64_t request)
{
    int64_t after_ns = ns_after(kv_engine_now(r->serve->engine));
    bool closed = config_of(r)->mode == KV_REPLAY_CLOSED;
    if (!closed && !r->whole) return;
    bool over = !r->whole || kv_turns_ended(&r->turns, request, after_ns, turn_ready, r);
    if (closed && over) take_closed(r, after_ns);
    arm(r);
}

void kv_replay_finish(struct kv_replay *r, void (*visit)(void *state, uint32_t seq), void *state)
{
    for (size_t i = 0; i < r->in_front_end.count; i++) visit(state, r->in_front_end.at[i].value);
    for (size_t i = 0; i < r->thinking.count; i++) visit(state, r->thinking.at[i].value);
    r->serve->counters.injected += (int64_t)r->thinking.count;
    for (size_t i = 0; i < r->turns.row.count; i++) {
        if (r->turns.row.at[i].seq == KV_NONE) continue;
        visit(state, r->turns.row.at[i].seq);
        r->serve->counters.injected++;
    }
}

void kv_replay_close(struct kv_replay *r)
{
    kv_pqueue_close(&r->thinking);
    kv_pqueue_close(&r->in_front_end);
    kv_turns_close(&r->turns);
}

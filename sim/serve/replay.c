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
        .priority = request->priority, .own_run = KV_NONE, .session = request->session, .place = KV_NONE,
        .turn = request->turn, .slo_class = request->slo_class, .instance = KV_NO_INSTANCE,
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
    if (r->next_first < r->turns.count) return r->turns.at[r->next_first].arrival_ns * KV_TICKS_PER_NS;
    return KV_TICK_NEVER;
}

static void skip_followers(struct kv_replay *r)
{
    while (r->next_first < r->turns.count && r->turns.at[r->next_first].follows) r->next_first++;
}

static void inject_due(struct kv_replay *r, kv_tick now)
{
    while (next_trace_tk(r) <= now) {
        if (r->ahead != KV_NONE) {
            uint32_t seq = r->ahead;
            inject(r, seq, kv_seq_at(r->serve, seq)->arrival_tk);
            read_ahead(r);
        } else {
            struct kv_turn *turn = &r->turns.at[r->next_first++];
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

/* ---- the three modes --------------------------------------------------------------------------------------- */

static void take_closed(struct kv_replay *r, int64_t earliest_ns, bool think)
{
    struct kv_request request;
    uint32_t seq = take_row(r, &request);
    if (seq == KV_NONE) return;
    int64_t pause_ns = think ? delay_ns(&config_of(r)->think, r->serve->config->seed, "think", request.index) : 0;
    expect(r, seq, earliest_ns + pause_ns);
}

/* Reads the whole trace and ties each turn to the one before it. */
static void load_sessions(struct kv_replay *r)
{
    struct kv_map last_turn;
    struct kv_request request;
    kv_map_open(&last_turn, 1024);
    for (uint32_t seq; (seq = take_row(r, &request)) != KV_NONE;) {
        struct kv_turn turn = {request.arrival_ns, request.elapsed_ns, request.think_ns, seq, -1, false};
        if (request.session != 0) {
            uint64_t key = kv_mix64(request.session);
            uint32_t before_it = kv_map_get(&last_turn, key);
            if (before_it != KV_NONE) r->turns.at[before_it].next = request.index;
            turn.follows = before_it != KV_NONE;
            kv_map_put(&last_turn, key, (uint32_t)request.index);
        }
        kv_vec_push(&r->turns, turn);
    }
    kv_map_close(&last_turn);
    skip_followers(r);
}

/* Rule 25: what the user does between two turns. */
static int64_t think_ns(const struct kv_turn *turn, const struct kv_turn *next)
{
    if (next->think_ns >= 0) return next->think_ns;
    int64_t gap_ns = next->arrival_ns - turn->arrival_ns;
    if (turn->elapsed_ns < 0) return gap_ns;
    return gap_ns > turn->elapsed_ns ? gap_ns - turn->elapsed_ns : 0;
}

bool kv_replay_open(struct kv_replay *r, struct kv_serve *serve, struct kv_source source, void *owner,
                    void (*arrive)(void *owner, uint32_t seq), struct kv_err *err)
{
    *r = (struct kv_replay){.serve = serve, .source = source, .owner = owner, .arrive = arrive, .err = err,
                            .ahead = KV_NONE};
    r->timer = kv_timer_new(serve->engine, KV_CLASS_ARRIVAL, fire, r, 0);
    switch (config_of(r)->mode) {
    case KV_REPLAY_CLOSED:
        for (int64_t client = 0; client < config_of(r)->clients; client++) take_closed(r, 0, false);
        break;
    case KV_REPLAY_SESSION:
        load_sessions(r);
        break;
    default:
        read_ahead(r);
    }
    arm(r);
    return err->code == KV_OK;
}

void kv_replay_ended(struct kv_replay *r, int64_t request)
{
    kv_tick now = kv_engine_now(r->serve->engine);
    if (config_of(r)->mode == KV_REPLAY_CLOSED) {
        take_closed(r, ns_after(now), true);
        arm(r);
    } else if (config_of(r)->mode == KV_REPLAY_SESSION && r->turns.at[request].next >= 0) {
        struct kv_turn *turn = &r->turns.at[request], *next = &r->turns.at[turn->next];
        expect_turn(r, next, ns_after(now) + think_ns(turn, next));
        arm(r);
    }
}

void kv_replay_finish(struct kv_replay *r, void (*visit)(void *state, uint32_t seq), void *state)
{
    for (size_t i = 0; i < r->in_front_end.count; i++) visit(state, r->in_front_end.at[i].value);
    for (size_t i = 0; i < r->thinking.count; i++) visit(state, r->thinking.at[i].value);
    r->serve->counters.injected += (int64_t)r->thinking.count;
    for (size_t i = 0; i < r->turns.count; i++) {
        if (r->turns.at[i].seq == KV_NONE) continue;
        visit(state, r->turns.at[i].seq);
        r->serve->counters.injected++;
    }
}

void kv_replay_close(struct kv_replay *r)
{
    kv_pqueue_close(&r->thinking);
    kv_pqueue_close(&r->in_front_end);
    kv_vec_close(&r->turns);
}

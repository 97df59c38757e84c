/* SPDX-License-Identifier: Apache-2.0 */
/* The cluster: requests come from the replay, are routed to instances, and leave as records. */
#include "sim/serve/sim.h"

#include <string.h>

#include "sim/serve/replay.h"
#include "sim/serve/series.h"

struct kv_sim {
    struct kv_serve serve;
    const struct kv_sim_config *config;
    struct kv_sink sink;
    struct kv_instance *instance;
    void *compute, *route;
    struct kv_replay replay;
    struct kv_series series;
    const struct kv_seq *routing;  /* request that the router looks at */
    int64_t recorded[KV_STATUS_COUNT];
    bool limited;                  /* ended by the time limit, where the clock then stands */
    struct kv_err err;             /* first failure inside an event */
};

/* ---- records ----------------------------------------------------------------------------------------------- */

/* Rule 22. `end_tk`: the finish, or the last tick of the run. */
static void fill_stages(struct kv_record *r, const struct kv_seq *q, bool waiting, kv_tick end_tk)
{
    if (q->first_sched_tk < 0) {
        r->queue_tk = q->arrival_tk >= 0 && q->arrival_tk < end_tk ? end_tk - q->arrival_tk : 0;
        return;
    }
    bool token = q->first_token_tk >= 0;
    kv_tick pause_tk = waiting ? end_tk - q->preempted_at_tk : 0;   /* a pause that has not ended */
    kv_tick in_prefill_tk = q->paused_prefill_tk + (token ? 0 : pause_tk);
    kv_tick in_decode_tk = q->paused_decode_tk + (token ? pause_tk : 0);
    r->queue_tk = q->first_sched_tk - q->arrival_tk;
    r->preempted_tk = in_prefill_tk + in_decode_tk;
    r->prefill_tk = (token ? q->first_token_tk : end_tk) - q->first_sched_tk - in_prefill_tk;
    if (token) r->decode_tk = end_tk - q->first_token_tk - in_decode_tk;
}

static kv_tick end_tk(const struct kv_sim *sim)
{
    return sim->limited ? sim->config->time_limit_tk : kv_engine_now(sim->serve.engine);
}

static void record(struct kv_sim *sim, const struct kv_seq *q, enum kv_status status)
{
    kv_tick now = end_tk(sim);
    bool unfinished = status == KV_STATUS_UNFINISHED;
    struct kv_record r = {
        .request = q->request, .trace_row = q->trace_row, .arrival_tk = q->arrival_tk,
        .first_sched_tk = q->first_sched_tk, .first_token_tk = q->first_token_tk,
        .finish_tk = status == KV_STATUS_FINISHED ? now : -1,
        .recomputed_tokens = q->recomputed_tokens, .prompt_tokens = q->input_tokens,
        .output_tokens = q->output_tokens, .generated_tokens = q->generated_tokens,
        .preemptions = q->preemptions, .session = q->session, .turn = q->turn, .slo_class = q->slo_class,
        .instance = q->instance, .prefill_instance = q->instance, .status = (uint8_t)status,
    };
    if (unfinished && q->instance != KV_NO_INSTANCE)
        r.generated_tokens = kv_instance_generated_tokens(&sim->instance[q->instance], q);
    if (q->first_sched_tk >= 0) {
        r.prompt_tokens_by_source[0] = q->hit_tokens;
        r.prompt_tokens_by_source[1] = q->input_tokens - q->hit_tokens;
    }
    if (unfinished || status == KV_STATUS_FINISHED) fill_stages(&r, q, unfinished && q->place == KV_NONE, now);
    if (status == KV_STATUS_FINISHED)
        kv_assert(r.queue_tk + r.fetch_stall_tk + r.prefill_tk + r.decode_tk + r.preempted_tk == now - q->arrival_tk);
    sim->recorded[status]++;
    if (sim->err.code == KV_OK) sim->sink.record(sim->sink.state, &r, &sim->err);
}

static void drop_seq(struct kv_sim *sim, uint32_t seq)
{
    struct kv_seq *q = kv_seq_at(&sim->serve, seq);
    if (q->prefix.ids)
        kv_slab_give(&sim->serve.slab, (void *)(uintptr_t)q->prefix.ids, q->prefix.ids_count * sizeof *q->prefix.ids);
    if (q->slot_capacity > 0) kv_slab_give(&sim->serve.slab, q->slot, (size_t)q->slot_capacity * sizeof *q->slot);
    kv_pool_give(&sim->serve.seqs, seq);
}

/* A request has ended: its record goes out, and whoever waited for its end goes on. */
static void ended(void *owner, uint32_t seq, enum kv_status status)
{
    static const char *const verbs[] = {"finish", "reject", "fail", "unfinished"};
    struct kv_sim *sim = owner;
    const struct kv_seq *q = kv_seq_at(&sim->serve, seq);
    int64_t request = q->request;
    if (status == KV_STATUS_FINISHED) sim->serve.counters.finished++;
    else if (status == KV_STATUS_REJECTED) sim->serve.counters.rejected++;
    else sim->serve.counters.failed++;
    kv_log(sim->serve.engine, verbs[status], "request=%lld instance=%d output=%d", (long long)request,
           q->instance == KV_NO_INSTANCE ? -1 : q->instance, q->generated_tokens);
    record(sim, q, status);
    drop_seq(sim, seq);
    kv_replay_ended(&sim->replay, request);
}

/* ---- routing ----------------------------------------------------------------------------------------------- */

static int64_t load_requests(void *cluster, int32_t instance)
{
    const struct kv_instance *n = &((struct kv_sim *)cluster)->instance[instance];
    return n->waiting.count + n->running;   /* changes at events only: no need to advance */
}

static struct kv_instance *advanced(struct kv_sim *sim, int32_t instance)
{
    kv_instance_advance(&sim->instance[instance], kv_engine_seen_tk(sim->serve.engine));
    return &sim->instance[instance];
}

static int64_t load_tokens(void *cluster, int32_t instance)
{
    return kv_instance_outstanding_tokens(advanced(cluster, instance));
}

static int32_t match_blocks(void *cluster, int32_t instance)
{
    struct kv_sim *sim = cluster;
    return kv_instance_match_blocks(advanced(sim, instance), &sim->routing->prefix, sim->routing->input_tokens);
}

static void arrive(void *owner, uint32_t seq)
{
    struct kv_sim *sim = owner;
    const struct kv_seq *q = kv_seq_at(&sim->serve, seq);
    if (q->refusal != KV_STATUS_FINISHED) {
        ended(sim, seq, q->refusal);
        return;
    }
    struct kv_route_view view = {.cluster = sim, .instance_count = sim->config->instance_count,
                                 .load_requests = load_requests, .load_tokens = load_tokens,
                                 .match_blocks = match_blocks};
    struct kv_request request = {
        .index = q->request, .trace_row = q->trace_row, .input_tokens = q->input_tokens,
        .output_tokens = q->output_tokens, .priority = q->priority, .session = q->session, .turn = q->turn,
        .slo_class = q->slo_class, .prefix = q->prefix,
    };
    sim->routing = q;
    struct kv_route route = sim->config->route->pick(sim->route, sim->config->route_params, &view, &request);
    kv_assert(route.prefill >= 0 && route.prefill < view.instance_count && route.decode == route.prefill);
    kv_log(sim->serve.engine, "route", "request=%lld instance=%d input=%d output=%d", (long long)q->request,
           route.prefill, q->input_tokens, q->output_tokens);
    kv_instance_enqueue(&sim->instance[route.prefill], seq);
}

/* ---- the run ----------------------------------------------------------------------------------------------- */

struct kv_sim *kv_sim_open(const struct kv_sim_config *config, struct kv_source source, struct kv_sink sink,
                           struct kv_err *err)
{
    struct kv_sim *sim = kv_mem_take(sizeof *sim);
    sim->config = config;
    sim->sink = sink;
    sim->serve = (struct kv_serve){.config = config, .engine = kv_engine_open(config->seed), .owner = sim,
                                   .ended = ended};
    kv_pool_open(&sim->serve.seqs, sizeof(struct kv_seq));
    sim->compute = kv_mem_take(config->compute->state_bytes);
    sim->route = kv_mem_take(config->route->state_bytes);
    sim->instance = kv_mem_take((size_t)config->instance_count * sizeof *sim->instance);
    for (int32_t i = 0; i < config->instance_count; i++)
        kv_instance_open(&sim->instance[i], &sim->serve, i, sim->compute);
    kv_series_open(&sim->series, &sim->serve, sim, sim->instance, &sim->err);
    if (config->compute->open(sim->compute, config->compute_params, &config->compute_env, &sim->err)
        && kv_replay_open(&sim->replay, &sim->serve, source, sim, arrive, &sim->err))
        return sim;
    *err = sim->err;
    kv_sim_close(sim);
    return NULL;
}

bool kv_sim_run(struct kv_sim *sim, uint64_t events, enum kv_sim_end *end, struct kv_err *err)
{
    struct kv_engine *engine = sim->serve.engine;
    uint64_t until = events ? kv_engine_fired(engine) + events : UINT64_MAX;
    while (kv_engine_fired(engine) < until) {
        if (kv_engine_next_tk(engine) > sim->config->time_limit_tk && kv_engine_next_tk(engine) != KV_TICK_NEVER) {
            *end = KV_SIM_TIME_LIMIT;
            sim->limited = true;
            return true;
        }
        if (sim->config->event_limit && kv_engine_fired(engine) >= sim->config->event_limit) {
            *end = KV_SIM_EVENT_LIMIT;
            return true;
        }
        bool fired = kv_engine_step(engine, &sim->err);
        if (sim->err.code != KV_OK) {
            *err = sim->err;
            *end = KV_SIM_FAILED;
            return true;
        }
        if (!fired) {
            *end = KV_SIM_COMPLETE;
            return true;
        }
    }
    return false;
}

static void record_unfinished(void *state, uint32_t seq)
{
    struct kv_sim *sim = state;
    record(sim, kv_seq_at(&sim->serve, seq), KV_STATUS_UNFINISHED);
}

/* design.md section 6, the cheap ones: endings add up, and so do blocks. */
static void check_invariants(const struct kv_sim *sim, const struct kv_sim_state *state)
{
    const struct kv_counters *c = &state->counters;
    int64_t endings = 0;
    for (int i = 0; i < KV_STATUS_COUNT; i++) endings += sim->recorded[i];
    kv_assert(endings == c->injected);
    kv_assert(c->blocks_allocated == c->blocks_freed + state->active_blocks);
    kv_assert(state->active_blocks + state->inactive_blocks + state->free_blocks
              == sim->config->hbm_blocks * sim->config->instance_count);
    kv_assert(state->free_blocks >= 0 && state->inactive_blocks >= 0 && state->active_blocks >= 0);
}

bool kv_sim_finish(struct kv_sim *sim, struct kv_err *err)
{
    struct kv_sim_state state;
    kv_sim_read(sim, &state);   /* applies what is past, before anybody is recorded */
    kv_series_finish(&sim->series, end_tk(sim));
    for (int32_t i = 0; i < sim->config->instance_count; i++)
        kv_instance_each(&sim->instance[i], record_unfinished, sim);
    kv_replay_finish(&sim->replay, record_unfinished, sim);
    kv_sim_read(sim, &state);
    check_invariants(sim, &state);
    if (sim->err.code != KV_OK) *err = sim->err;
    return sim->err.code == KV_OK;
}

void kv_sim_close(struct kv_sim *sim)
{
    if (!sim) return;
    kv_replay_close(&sim->replay);
    kv_series_close(&sim->series);
    for (int32_t i = 0; i < sim->config->instance_count; i++) kv_instance_close(&sim->instance[i]);
    kv_mem_give(sim->instance, (size_t)sim->config->instance_count * sizeof *sim->instance);
    kv_mem_give(sim->compute, sim->config->compute->state_bytes);
    kv_mem_give(sim->route, sim->config->route->state_bytes);
    kv_vec_close(&sim->serve.hits);
    kv_slab_close(&sim->serve.slab);
    kv_pool_close(&sim->serve.seqs);
    kv_engine_close(sim->serve.engine);
    kv_mem_give(sim, sizeof *sim);
}

void kv_sim_log_to(struct kv_sim *sim, FILE *stream)
{
    kv_engine_log_to(sim->serve.engine, stream);
}

kv_tick kv_sim_now(const struct kv_sim *sim)
{
    return end_tk(sim);
}

kv_tick kv_sim_next_tk(const struct kv_sim *sim)
{
    return kv_engine_next_tk(sim->serve.engine);
}

double kv_sim_extrapolation_share(const struct kv_sim *sim)
{
    kv_cost priced = 0, outside = 0;
    for (int32_t i = 0; i < sim->config->instance_count; i++) {
        priced += sim->instance[i].priced;
        outside += sim->instance[i].priced_outside;
    }
    return priced > 0 ? (double)outside / (double)priced : 0;
}

uint64_t kv_sim_events(const struct kv_sim *sim)
{
    return kv_engine_fired(sim->serve.engine);
}

static void add_instance(const struct kv_instance *n, struct kv_sim_state *state)
{
    state->waiting += n->waiting.count;
    state->running += n->running;
    state->active_blocks += n->blocks.active;
    state->inactive_blocks += n->blocks.inactive;
    state->free_blocks += n->blocks.free;
}

void kv_sim_peek(struct kv_sim *sim, int32_t instance, kv_tick at_tk, struct kv_sim_state *state)
{
    *state = (struct kv_sim_state){0};
    kv_instance_advance(&sim->instance[instance], at_tk);
    add_instance(&sim->instance[instance], state);
}

void kv_sim_read(struct kv_sim *sim, struct kv_sim_state *state)
{
    *state = (struct kv_sim_state){0};
    for (int32_t i = 0; i < sim->config->instance_count; i++) {
        kv_instance_advance(&sim->instance[i], sim->limited ? end_tk(sim) : kv_engine_seen_tk(sim->serve.engine));
        add_instance(&sim->instance[i], state);
    }
    state->counters = sim->serve.counters;
    state->counters.tier[0].asked_tokens = state->counters.prompt_tokens;
    state->counters.tier[0].hit_tokens = state->counters.hit_tokens;
}

int32_t kv_sim_bin_count(const struct kv_sim *sim)
{
    return (int32_t)sim->series.bins.count;
}

void kv_sim_bin(const struct kv_sim *sim, int32_t index, struct kv_bin *bin)
{
    kv_series_bin(&sim->series, index, bin);
}

/* ---- stand-ins: no tier below HBM, no link ---- */

void kv_sim_tier(const struct kv_sim *sim, int32_t tier, struct kv_sim_tier_state *state)
{
    (void)sim;
    (void)tier;
    *state = (struct kv_sim_tier_state){0};
}

int32_t kv_sim_link_count(const struct kv_sim *sim)
{
    (void)sim;
    return 0;
}

void kv_sim_link(const struct kv_sim *sim, int32_t index, struct kv_sim_link *link)
{
    (void)sim;
    (void)index;
    *link = (struct kv_sim_link){.name = ""};
}

struct kv_net_counters kv_sim_net(const struct kv_sim *sim)
{
    (void)sim;
    return (struct kv_net_counters){0};
}

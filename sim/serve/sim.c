/* SPDX-License-Identifier: Apache-2.0 */
/* The cluster: requests come from the replay, are routed to instances, and leave as records. */
#include "sim/serve/sim.h"

#include <string.h>

#include "sim/serve/handover.h"
#include "sim/serve/replay.h"
#include "sim/serve/series.h"
#include "sim/serve/stuck.h"

struct kv_sim {
    struct kv_serve serve;
    const struct kv_sim_config *config;
    struct kv_sink sink;
    struct kv_instance *instance;
    void *compute, *route[2];      /* routers of the prefill (or only) and of the decode instances */
    int32_t routing_first;         /* the router looks at the instances from here on */
    struct kv_replay replay;
    struct kv_series series;
    const struct kv_seq *routing;  /* request that the router looks at */
    int64_t recorded[KV_STATUS_COUNT];
    bool limited;                  /* ended by the time limit, where the clock then stands */
    bool stuck;                    /* nothing is pending, somebody waits: the run ended at last_tk */
    kv_tick last_tk;               /* of the last event that was not a mere sample */
    struct kv_err err;             /* first failure inside an event */
};

/* ---- records ----------------------------------------------------------------------------------------------- */

/* Waits of a holder before its first step (T31). */
static kv_tick waited_tk(const struct kv_seq *q, kv_tick end_tk)
{
    if (!q->hold) return 0;
    bool waits = q->hold->holding && !q->hold->ready && q->first_sched_tk < 0;
    return q->hold->waited_tk + (waits ? end_tk - q->hold->since_tk : 0);
}

/* The same at the decode instance, behind the first token. */
static kv_tick handover_wait_tk(const struct kv_seq *q, kv_tick end_tk)
{
    const struct kv_handover *h = q->handover;
    return h && h->prefilled && h->hold.holding && !h->hold.ready ? end_tk - h->hold.since_tk : 0;
}

/* Rule 22, T31. `end_tk`: the finish, or the last tick of the run. */
static void fill_stages(struct kv_record *r, const struct kv_seq *q, bool waiting, kv_tick end_tk)
{
    kv_tick wait_tk = waited_tk(q, end_tk), decode_stall_tk = q->stall_decode_tk + handover_wait_tk(q, end_tk);
    r->fetch_stall_tk = wait_tk + q->stall_prefill_tk + decode_stall_tk;
    if (q->first_sched_tk < 0) {
        if (q->arrival_tk >= 0 && q->arrival_tk < end_tk) r->queue_tk = end_tk - q->arrival_tk - wait_tk;
        return;
    }
    bool token = q->first_token_tk >= 0;
    kv_tick pause_tk = waiting ? end_tk - q->preempted_at_tk : 0;   /* a pause that has not ended */
    kv_tick in_prefill_tk = q->paused_prefill_tk + (token ? 0 : pause_tk);
    kv_tick in_decode_tk = q->paused_decode_tk + (token ? pause_tk : 0);
    r->queue_tk = q->first_sched_tk - q->arrival_tk - wait_tk;
    r->preempted_tk = in_prefill_tk + in_decode_tk;
    r->prefill_tk = (token ? q->first_token_tk : end_tk) - q->first_sched_tk - in_prefill_tk - q->stall_prefill_tk;
    if (token) r->decode_tk = end_tk - q->first_token_tk - in_decode_tk - decode_stall_tk;
}

static kv_tick end_tk(const struct kv_sim *sim)
{
    if (sim->stuck) return sim->last_tk;
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
        .instance = q->handover ? (uint16_t)q->handover->to->id : q->instance,
        .prefill_instance = q->prefill_instance, .status = (uint8_t)status,
    };
    r.induced_stall_tk = q->induced_tk;
    if (unfinished && q->instance != KV_NO_INSTANCE) {
        r.generated_tokens = kv_instance_generated_tokens(&sim->instance[q->instance], q);
        r.induced_stall_tk = kv_instance_induced_tk(&sim->instance[q->instance], q);
    }
    int32_t tiers = sim->config->tier_count > 0 ? sim->config->tier_count : 1;
    if (q->first_sched_tk >= 0) {
        r.prompt_tokens_by_source[0] = q->hit_tokens;
        if (q->hold && q->hold->counted)
            memcpy(r.prompt_tokens_by_source, q->hold->first_hit_tokens, sizeof q->hold->first_hit_tokens);
        r.prompt_tokens_by_source[tiers] = q->input_tokens - q->hit_tokens;
    }
    /* Neither running nor on its way from its prefill instance: it was preempted, if it ever ran. */
    bool pauses = unfinished && q->place == KV_NONE && !(q->handover && q->handover->prefilled);
    if (q->hold) memcpy(r.fetched_bytes, q->hold->fetched_bytes, sizeof r.fetched_bytes);
    if (unfinished || status == KV_STATUS_FINISHED) fill_stages(&r, q, pauses, now);
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
    kv_handover_close(&sim->serve, q);
    if (q->hold) {
        kv_assert(!q->hold->split);
        kv_vec_close(&q->hold->loads);
        kv_slab_give(&sim->serve.slab, q->hold, sizeof *q->hold);
        q->hold = NULL;
    }
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
    const struct kv_sim *sim = cluster;
    const struct kv_instance *n = &sim->instance[sim->routing_first + instance];
    /* Changes at events only: no need to advance. */
    return n->waiting.count + n->running + (int64_t)n->holders.count;
}

static int64_t load_waiting(void *cluster, int32_t instance)
{
    const struct kv_sim *sim = cluster;
    return load_requests(cluster, instance) - sim->instance[sim->routing_first + instance].running;
}

static struct kv_instance *advanced(struct kv_sim *sim, int32_t instance)
{
    kv_instance_advance(&sim->instance[instance], kv_engine_seen_tk(sim->serve.engine));
    return &sim->instance[instance];
}

static int64_t load_tokens(void *cluster, int32_t instance)
{
    struct kv_sim *sim = cluster;
    return kv_instance_outstanding_tokens(advanced(sim, sim->routing_first + instance));
}

static int32_t match_blocks(void *cluster, int32_t instance)
{
    struct kv_sim *sim = cluster;
    return kv_instance_match_blocks(advanced(sim, sim->routing_first + instance), &sim->routing->prefix,
                                    sim->routing->input_tokens);
}

/* One of `count` instances from `first` on (T27). */
static int32_t pick(struct kv_sim *sim, int32_t router, int32_t first, int32_t count, struct kv_route_view *view,
                    const struct kv_request *request)
{
    sim->routing_first = first;
    view->instance_count = count;
    struct kv_route route = sim->config->route->pick(sim->route[router], sim->config->route_params, view, request);
    kv_assert(route.prefill >= 0 && route.prefill < count && route.decode == route.prefill);
    return first + route.prefill;
}

static void arrive(void *owner, uint32_t seq)
{
    struct kv_sim *sim = owner;
    const struct kv_seq *q = kv_seq_at(&sim->serve, seq);
    if (q->refusal != KV_STATUS_FINISHED) {
        ended(sim, seq, q->refusal);
        return;
    }
    int32_t pool = sim->config->handover.prefill_instances;
    struct kv_route_view view = {.cluster = sim, .instance_count = pool > 0 ? pool : sim->config->instance_count,
                                 .load_requests = load_requests, .load_tokens = load_tokens,
                                 .match_blocks = match_blocks, .load_waiting = load_waiting};
    struct kv_request request = {
        .index = q->request, .trace_row = q->trace_row, .input_tokens = q->input_tokens,
        .output_tokens = q->output_tokens, .priority = q->priority, .session = q->session, .turn = q->turn,
        .slo_class = q->slo_class, .prefix = q->prefix,
    };
    sim->routing = q;
    if (!sim->serve.prefix_seen && q->prefix.known_tokens > 0) {
        sim->serve.prefix_seen = true;
        sim->serve.ids_tokens = q->prefix.ids ? q->prefix.ids_tokens : 0;
    }
    int32_t prefill = pick(sim, 0, 0, view.instance_count, &view, &request);
    kv_log(sim->serve.engine, "route", "request=%lld instance=%d input=%d output=%d", (long long)q->request,
           prefill, q->input_tokens, q->output_tokens);
    if (sim->serve.tiers) kv_write_resident(sim->serve.tiers, prefill, q);
    if (pool > 0) {
        int32_t decode = pick(sim, 1, pool, sim->config->instance_count - pool, &view, &request);
        if (kv_handover_wanted(sim->config, q)) {
            kv_handover_begin(&sim->instance[prefill], &sim->instance[decode], seq);
            return;
        }
    }
    kv_instance_enqueue(&sim->instance[prefill], seq);
}

/* ---- the run ----------------------------------------------------------------------------------------------- */

struct kv_sim *kv_sim_open(const struct kv_sim_config *config, struct kv_source source, struct kv_sink sink,
                           struct kv_err *err)
{
    struct kv_sim *sim = kv_mem_take(sizeof *sim);
    sim->config = config;
    sim->sink = sink;
    sim->serve = (struct kv_serve){.config = config, .engine = kv_engine_open(config->seed), .sink = &sim->sink,
                                   .err = &sim->err, .owner = sim, .ended = ended};
    kv_pool_open(&sim->serve.seqs, sizeof(struct kv_seq));
    sim->compute = kv_mem_take(config->compute->state_bytes);
    for (int i = 0; i < 2; i++) sim->route[i] = kv_mem_take(config->route->state_bytes);
    sim->instance = kv_mem_take((size_t)config->instance_count * sizeof *sim->instance);
    sim->serve.instances = sim->instance;
    bool tiers = config->tier_count > 1 || config->handover.prefill_instances > 0;
    if (tiers && !(sim->serve.tiers = kv_tiers_open(&sim->serve, &sim->err))) {
        *err = sim->err;
        kv_sim_close(sim);
        return NULL;
    }
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

struct kv_sim_blockers kv_sim_blockers(const struct kv_sim *sim)
{
    return kv_stuck_blockers(&sim->serve);
}

bool kv_sim_run(struct kv_sim *sim, uint64_t events, enum kv_sim_end *end, struct kv_err *err)
{
    struct kv_engine *engine = sim->serve.engine;
    uint64_t until = events ? kv_engine_fired(engine) + events : UINT64_MAX;
    while (kv_engine_fired(engine) < until) {
        bool past = kv_engine_next_tk(engine) > sim->config->time_limit_tk;
        if (past && !kv_engine_idle(engine)) {
            *end = KV_SIM_TIME_LIMIT;
            sim->limited = true;
            return true;
        }
        if (sim->config->event_limit && kv_engine_fired(engine) >= sim->config->event_limit) {
            *end = KV_SIM_EVENT_LIMIT;
            return true;
        }
        bool fired = !past && kv_engine_step(engine, &sim->err);   /* a sample alone is nothing to wait for */
        if (kv_engine_now(engine) != sim->series.last_tk || kv_engine_next_tk(engine) != KV_TICK_NEVER)
            sim->last_tk = kv_engine_now(engine);
        if (sim->err.code != KV_OK) {
            *err = sim->err;
            *end = KV_SIM_FAILED;
            return true;
        }
        if (!fired) {
            sim->stuck = kv_stuck(&sim->serve, err);
            *end = sim->stuck ? KV_SIM_STUCK : KV_SIM_COMPLETE;
            return true;
        }
    }
    return false;
}

/* A wait ends with the run (T31). */
static void end_wait(void *state, uint32_t seq)
{
    struct kv_sim *sim = state;
    const struct kv_seq *q = kv_seq_at(&sim->serve, seq);
    kv_tick before_tk = q->hold ? q->hold->waited_tk : 0;
    sim->serve.counters.fetch_stall_tk
        += waited_tk(q, end_tk(sim)) - before_tk + handover_wait_tk(q, end_tk(sim));
    if (q->first_sched_tk < 0 || q->counted) return;
    sim->serve.counters.prompt_tokens += q->input_tokens;   /* T44: it has not met its KV */
    for (int32_t i = 0; i == 0 || i < sim->config->tier_count; i++)
        sim->serve.counters.tier[i].asked_tokens += q->input_tokens;
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

/* No pool above its capacity, and its parts add up. */
static void check_tiers(const struct kv_sim *sim)
{
    const struct kv_tiers *t = sim->serve.tiers;
    for (int32_t tier = 1; t && tier < t->count; tier++)
        for (int32_t i = 0; i < t->tier[tier].pools; i++) {
            const struct kv_blocks *b = &t->tier[tier].pool[i].chunks;
            kv_assert(b->free >= 0 && b->active >= 0 && b->inactive >= 0);
            kv_assert(b->free + b->active + b->inactive == b->capacity);
        }
}

bool kv_sim_finish(struct kv_sim *sim, struct kv_err *err)
{
    struct kv_sim_state state;
    kv_sim_read(sim, &state);   /* applies what is past, before anybody is recorded */
    for (int32_t i = 0; i < sim->config->instance_count; i++) kv_instance_each(&sim->instance[i], end_wait, sim);
    kv_series_finish(&sim->series, end_tk(sim));
    for (int32_t i = 0; i < sim->config->instance_count; i++)
        kv_instance_each(&sim->instance[i], record_unfinished, sim);
    kv_replay_finish(&sim->replay, record_unfinished, sim);
    if (sim->serve.tiers) kv_fetches_finish(sim->serve.tiers, end_tk(sim));
    kv_sim_read(sim, &state);
    check_invariants(sim, &state);
    check_tiers(sim);
    if (sim->err.code != KV_OK) *err = sim->err;
    return sim->err.code == KV_OK;
}

void kv_sim_close(struct kv_sim *sim)
{
    if (!sim) return;
    kv_replay_close(&sim->replay);
    kv_series_close(&sim->series);
    for (int32_t i = 0; i < sim->config->instance_count && sim->instance[0].serve; i++)
        kv_instance_close(&sim->instance[i]);
    kv_tiers_close(sim->serve.tiers);
    kv_mem_give(sim->instance, (size_t)sim->config->instance_count * sizeof *sim->instance);
    kv_mem_give(sim->compute, sim->config->compute->state_bytes);
    for (int i = 0; i < 2; i++) kv_mem_give(sim->route[i], sim->config->route->state_bytes);
    kv_vec_close(&sim->serve.hits);
    kv_vec_close(&sim->serve.sources);
    kv_vec_close(&sim->serve.segments);
    kv_vec_close(&sim->serve.offers);
    kv_vec_close(&sim->serve.batches);
    kv_vec_close(&sim->serve.chunk_slots);
    kv_vec_close(&sim->serve.block_slots);
    for (uint32_t i = 0; i < sim->serve.seqs.high; i++) {   /* those that had not ended */
        struct kv_seq *q = kv_seq_at(&sim->serve, i);
        if (q->hold) kv_vec_close(&q->hold->loads);
        if (q->handover) kv_vec_close(&q->handover->hold.loads);
    }
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
    state->fetching += (int64_t)n->holders.count;
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
    struct kv_tiers *t = sim->serve.tiers;
    for (int32_t tier = 1; t && tier < t->count; tier++)
        t->tier[tier].counters->evicted_chunks = t->tier[tier].block_counters.blocks_evicted;
    state->counters = sim->serve.counters;
}

void kv_sim_tier(const struct kv_sim *sim, int32_t tier, struct kv_sim_tier_state *state)
{
    *state = (struct kv_sim_tier_state){0};
    if (!sim->serve.tiers || tier < 1 || tier >= sim->serve.tiers->count) return;
    const struct kv_tier *k = &sim->serve.tiers->tier[tier];
    state->pools = k->pools;
    state->priced = k->config->store->price != NULL;
    if (state->priced) state->price = k->config->store->price(k->store);
    for (int32_t i = 0; i < k->pools; i++) {
        state->used_chunks += k->pool[i].chunks.active + k->pool[i].chunks.inactive;
        state->pinned_chunks += k->pool[i].chunks.active;
        state->waiting_accesses += k->pool[i].in_line;
    }
}

int32_t kv_sim_link_count(const struct kv_sim *sim)
{
    return sim->serve.tiers ? (int32_t)sim->serve.tiers->topology.links.count : 0;
}

void kv_sim_link(const struct kv_sim *sim, int32_t index, struct kv_sim_link *link)
{
    const struct kv_tiers *t = sim->serve.tiers;
    const struct kv_named_link *l = &t->topology.links.at[index];
    *link = (struct kv_sim_link){
        .name = l->name, .capacity_Bps = kv_rate_to_Bps(l->capacity), .flows = kv_net_flows_on(t->net, (uint32_t)index),
        .carried_bytes = (int64_t)(kv_net_carried(t->net, (uint32_t)index) / KV_SERVICE_PER_BYTE),
    };
}

struct kv_net_counters kv_sim_net(const struct kv_sim *sim)
{
    return sim->serve.tiers ? kv_net_counters(sim->serve.tiers->net) : (struct kv_net_counters){0};
}

int32_t kv_sim_bin_count(const struct kv_sim *sim)
{
    return (int32_t)sim->series.bins.count;
}

void kv_sim_bin(const struct kv_sim *sim, int32_t index, struct kv_bin *bin)
{
    kv_series_bin(&sim->series, index, bin);
}

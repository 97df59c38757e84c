/* SPDX-License-Identifier: Apache-2.0 */
/* Arrivals, records and the run: docs/engine.md, rules 1 to 9, 22 and 23. */
#include "tests/oracle/naive.h"

#include <string.h>

#include "sim/plug.h"
#include "tests/oracle/naive_parts.h"

/* --- Records (rules 22, 23, T31) --- */

static void stage_times(struct oracle *o, int64_t job, kv_tick end)
{
    struct job *j = &o->jobs[job];
    struct kv_record *r = j->record;
    kv_tick prefill = j->paused_prefill, decode = j->paused_decode;
    if (j->preempted_at >= 0) *(r->first_token_tk < 0 ? &prefill : &decode) += end - j->preempted_at;
    kv_tick waited = j->waited, stalled_decode = j->stalled_decode;
    for (int64_t seat = 2 * job; seat < 2 * job + 2; seat++) {
        if (!o->seats[seat].holder || o->seats[seat].ready) continue;
        *(o->seats[seat].handing_over ? &stalled_decode : &waited) += naive_wait_span(o, seat, end);
    }
    r->queue_tk = (r->first_sched_tk < 0 ? end : r->first_sched_tk) - r->arrival_tk - waited;
    r->preempted_tk = prefill + decode;
    if (r->first_sched_tk >= 0)
        r->prefill_tk = (r->first_token_tk < 0 ? end : r->first_token_tk) - r->first_sched_tk - prefill
                        - j->stalled_prefill;
    if (r->first_token_tk >= 0) r->decode_tk = end - r->first_token_tk - decode - stalled_decode;
    r->fetch_stall_tk = waited + j->stalled_prefill + stalled_decode;
}

/* Of a wait that ends with the run (T31). */
static kv_tick open_wait(const struct oracle *o, int64_t job)
{
    kv_tick open = 0;
    for (int64_t seat = 2 * job; seat < 2 * job + 2; seat++)
        if (o->seats[seat].holder && !o->seats[seat].ready) open += naive_wait_span(o, seat, o->now);
    return open;
}

void naive_end_job(struct oracle *o, int64_t job, enum kv_status status)
{
    struct job *j = &o->jobs[job];
    j->ended = true;
    j->record->status = (uint8_t)status;
    j->record->generated_tokens = (int32_t)j->generated;
    if (status == KV_STATUS_FINISHED) {
        o->counters->finished++;
        j->record->finish_tk = o->now;
        stage_times(o, job, o->now);
    }
    if (status == KV_STATUS_REJECTED) o->counters->rejected++;
    if (status == KV_STATUS_FAILED) o->counters->failed++;
    if (status != KV_STATUS_UNFINISHED) {
        naive_replay_ended(&o->replay, o->now, job);
    } else {
        stage_times(o, job, o->now);
        o->counters->fetch_stall_tk += open_wait(o, job);
        if (j->record->first_sched_tk >= 0 && !j->counted) {           /* it never met its load (T44) */
            o->coverage->never_met++;
            o->counters->prompt_tokens += j->request->input_tokens;
            for (int32_t t = 0; t < o->tier_count; t++)
                o->counters->tier[t].asked_tokens += j->request->input_tokens;
        }
    }
    naive_check_record(o, j->record);
}

/* --- Waking an instance (rule 4, T10) --- */

void naive_wake(struct oracle *o, int32_t instance)
{
    struct instance *n = &o->instances[naive_group_of(o, instance)];
    if (!n->busy) n->due = o->now;
}

void naive_wake_blocked(struct oracle *o, int32_t instance)
{
    const struct instance *n = &o->instances[instance];
    if (n->waiting.count + n->preempted.count + n->holders.count > 0) naive_wake(o, instance);
}

/* --- Arrival (rules 5 to 9, T27) --- */

/* Rule 9; whoever gave back (T13) stands where it stood. */
void naive_enqueue(struct oracle *o, int64_t seat)
{
    struct instance *n = instance_of(o, seat);
    const struct job *j = job_of(o, seat);
    size_t i = n->waiting.count;
    kv_vec_push(&n->waiting, seat);
    for (; i > 0; i--) {
        const struct job *other = job_of(o, n->waiting.at[i - 1]);
        if (other->urgency < j->urgency || (other->urgency == j->urgency && other->order < j->order)) break;
        n->waiting.at[i] = n->waiting.at[i - 1];
    }
    n->waiting.at[i] = seat;
    naive_wake(o, o->seats[seat].instance);
}

/* What routers see of an instance: holders are requests of it like others. */
static int64_t load(const struct oracle *o, const struct instance *n)
{
    const struct { const int64_t *at; size_t count; } lists[] = {
        {n->running.at, n->running.count}, {n->waiting.at, n->waiting.count}, {n->preempted.at, n->preempted.count},
        {n->holders.at, n->holders.count}};
    int64_t requests = 0, tokens = 0, running = (int64_t)n->running.count;
    for (int l = 0; l < 4; l++)
        for (size_t i = 0; i < lists[l].count; i++) {
            const struct kv_request *q = job_of(o, lists[l].at[i])->request;
            requests++;
            /* KV still to be computed before its end; the last token's never is. */
            tokens += q->input_tokens + q->output_tokens - 1 - o->seats[lists[l].at[i]].computed;
        }
    if (o->route == VLLM_DP) return 4 * (requests - running) + running;   /* 13h */
    return o->route == LEAST_TOKENS ? tokens : requests;
}

/* Of instances first .. first + count - 1. */
static int32_t pick_instance(const struct oracle *o, int64_t job, int32_t first, int32_t count)
{
    if (o->route == ROUND_ROBIN) return first + (int32_t)(o->routed % count);
    int32_t best = first;
    int64_t best_hit = -1;
    for (int32_t i = first; i < first + count; i++) {
        int64_t hit = o->route == PREFIX ? naive_look_up_hbm(o, &o->instances[i], 2 * job) : 0;
        if (hit < best_hit || (hit == best_hit && load(o, &o->instances[i]) >= load(o, &o->instances[best]))) continue;
        best = i;
        best_hit = hit;
    }
    return best;
}

static void reach_router(struct oracle *o, int64_t job)
{
    struct job *j = &o->jobs[job];
    int32_t prefills = o->config->handover.prefill_instances, first = hands_over(o) ? prefills : 0;
    int32_t prefill = hands_over(o) ? pick_instance(o, job, 0, prefills) : 0;
    int32_t decode = pick_instance(o, job, first, o->config->instance_count - first);
    bool goes_on = hands_over(o) && j->request->output_tokens > 1;
    if (hands_over(o) && !goes_on) decode = prefill;
    if (!hands_over(o)) prefill = decode;
    o->coverage->same_tick_arrivals += o->routed > 0 && o->last_arrival == o->now;
    o->last_arrival = o->now;
    j->order = o->routed++;
    j->record->instance = (uint16_t)decode;
    j->record->prefill_instance = (uint16_t)prefill;
    j->urgency = o->sched == PRIORITY ? j->request->priority : o->sched == SJF ? j->request->input_tokens : 0;
    o->seats[2 * job] = (struct seat){.job = job, .instance = prefill};
    o->seats[2 * job + 1] = (struct seat){.job = job, .instance = decode, .handing_over = goes_on};
    bool reserve = goes_on && o->config->handover.reserve == KV_RESERVE_AT_ROUTE;
    const struct instance *n = &o->instances[naive_group_of(o, reserve ? decode : prefill)];
    if (n->busy && n->due == o->now) o->coverage->arrivals_on_boundary++;
    naive_put_resident(o, 2 * job);
    naive_enqueue(o, reserve ? 2 * job + 1 : 2 * job);
}

static void arrive(struct oracle *o, int64_t job)
{
    struct job *j = &o->jobs[job];
    const struct kv_request *q = j->request;
    const struct kv_engine_config *engine = &o->config->engine;
    *j->record = (struct kv_record){
        .request = job, .trace_row = q->trace_row, .arrival_tk = o->now, .first_sched_tk = -1, .first_token_tk = -1,
        .finish_tk = -1, .prompt_tokens = q->input_tokens, .output_tokens = q->output_tokens, .session = q->session,
        .turn = q->turn, .slo_class = q->slo_class, .instance = KV_NO_INSTANCE, .prefill_instance = KV_NO_INSTANCE,
    };
    o->came[job] = true;
    o->counters->injected++;
    int64_t most = (int64_t)q->input_tokens + q->output_tokens - 1;
    if (q->failed) {
        naive_end_job(o, job, KV_STATUS_FAILED);
    } else if (ceil_div(most, block_tokens(o)) > o->config->hbm_blocks
               || (!engine->chunked_prefill && most > engine->max_num_batched_tokens)) {
        naive_end_job(o, job, KV_STATUS_REJECTED);
    } else {
        naive_replay_front_end(&o->replay, o->now, job);
    }
}

/* --- The run --- */

static kv_tick least(kv_tick a, kv_tick b)
{
    return a < b ? a : b;
}

static struct instance *due_instance(struct oracle *o)
{
    for (int32_t i = 0; i < o->config->instance_count; i++)
        if (o->instances[i].due == o->now) return &o->instances[i];
    return NULL;
}

/* Of whatever is pending but refused accesses that come again, and epochs. */
static kv_tick next_of_others(const struct oracle *o)
{
    kv_tick next = naive_replay_next_tick(&o->replay);
    next = least(next, naive_flows_next_tick(o));
    next = least(next, naive_layers_next_tick(o));
    next = least(next, naive_writes_next_tick(o));
    next = least(next, naive_timeouts_next_tick(o));
    for (int32_t i = 0; i < o->config->instance_count; i++) next = least(next, o->instances[i].due);
    return next;
}

kv_tick naive_next_tick(const struct oracle *o)
{
    return least(next_of_others(o), least(naive_retries_next_tick(o), o->epoch));
}

bool naive_at_rest(const struct oracle *o)
{
    return !o->rates_stale && o->epoch == KV_TICK_NEVER && naive_retries_in_vain(o)
           && next_of_others(o) == KV_TICK_NEVER;
}

/* One pass of the loop is one round of one tick (rules 3 and 3a), class by class; then the rates from here on. */
static void run(struct oracle *o)
{
    for (kv_tick t; (t = naive_next_tick(o)) != KV_TICK_NEVER && t <= o->config->time_limit_tk;) {
        bool epoch_alone = least(next_of_others(o), naive_retries_next_tick(o)) > t;
        o->now = t;
        naive_flows_serve(o, t);
        naive_flows_end(o);
        naive_check_ready(o);
        naive_writes_visible(o);
        for (struct naive_pending p; naive_replay_take(&o->replay, t, &p);) {
            if (p.through) {
                reach_router(o, p.job);
            } else {
                arrive(o, p.job);
                naive_replay_came(&o->replay, p.job);
            }
        }
        naive_timeouts(o);
        naive_epochs(o);
        /* There may be a million of them while one slow fetch is under way: nothing to check or to see then. */
        if (epoch_alone && !o->rates_stale) continue;
        naive_layers_go_on(o);
        for (struct instance *n; (n = due_instance(o));)
            (o->config->ranks > 1 ? naive_group_boundary : naive_boundary)(o, n);
        naive_rates(o);
        naive_check(o);
        naive_see(o);
    }
    /* Rule 23: cut short, the run lasts until its limit. */
    if (naive_next_tick(o) != KV_TICK_NEVER) o->now = o->config->time_limit_tk;
    for (int64_t i = 0; i < o->count; i++)
        if (o->came[i] && !o->jobs[i].ended) {
            o->coverage->stuck += naive_next_tick(o) == KV_TICK_NEVER;
            naive_end_job(o, i, KV_STATUS_UNFINISHED);
        }
    naive_flows_serve(o, o->now);
    naive_transfers_end(o);
}

/* --- Open and close --- */

/* Index of the plug-in `ops` in `names`; -1. */
static int named(enum kv_family family, const void *ops, const char *const *names, int count)
{
    for (int i = 0; i < count; i++) {
        const struct kv_plugin *plugin = kv_plugin_find(family, names[i]);
        if (plugin && (const void *)plugin->info == ops) return i;
    }
    return -1;
}

static bool know_policies(struct oracle *o, struct kv_err *err)
{
    static const char *const scheds[] = {"fcfs", "priority", "sjf"};
    static const char *const routes[] = {"round_robin", "least_loaded", "least_tokens", "prefix", "vllm_dp"};
    static const char *const evicts[] = {"lru", "fifo"};
    static const char *const admits[] = {"always", "second_hit"};
    static const char *const fetches[] = {"always", "threshold", "cost_model", "timeout"};
    const struct kv_sim_config *c = o->config;
    int sched = named(KV_FAMILY_sched, c->sched, scheds, 3), route = named(KV_FAMILY_route, c->route, routes, 5);
    int evict = named(KV_FAMILY_evict, c->evict, evicts, 2), fetch = 0;
    bool good = sched >= 0 && route >= 0 && evict >= 0;
    if (has_tiers(o)) good = good && (fetch = named(KV_FAMILY_fetch, c->fetch.policy, fetches, 4)) >= 0;
    for (int32_t t = 1; t < o->tier_count; t++) {
        int tier_evict = named(KV_FAMILY_evict, c->tier[t].evict, evicts, 2);
        int admit = named(KV_FAMILY_admit, c->tier[t].admit, admits, 2);
        good = good && tier_evict >= 0 && admit >= 0;
        o->tier[t].fifo = tier_evict == 1;
        o->tier[t].admit = admit == 1 ? SECOND_HIT : ADMIT_ALWAYS;
    }
    if (!good) return kv_fail(err, KV_ECONFIG, "oracle", "a policy that the oracle does not know; it knows those of "
                              "docs/engine.md and docs/tiers.md");
    o->sched = (enum sched)sched;
    o->route = (enum route)route;
    o->fetch = (enum fetch)fetch;
    o->fifo = evict == 1;
    return true;
}

static void open_jobs(struct oracle *o, struct kv_record *records)
{
    o->jobs = kv_mem_take((size_t)o->count * sizeof *o->jobs);
    o->seats = kv_mem_take(2 * (size_t)o->count * sizeof *o->seats);
    for (int64_t i = 0; i < o->count; i++) {
        const struct kv_request *q = &o->requests[i];
        kv_assert(q->index == i);
        o->came[i] = false;
        /* No more than all its tokens will ever be known. */
        int64_t tokens = (int64_t)q->input_tokens + q->output_tokens;
        int32_t shared = kv_prefix_known_blocks(&q->prefix, (int32_t)tokens, (int32_t)block_tokens(o));
        o->jobs[i] = (struct job){.request = q, .record = &records[i], .shared_count = shared, .preempted_at = -1};
    }
}

static void open_instances(struct oracle *o)
{
    const struct kv_sim_config *c = o->config;
    o->instances = kv_mem_take((size_t)c->instance_count * sizeof *o->instances);
    for (int32_t i = 0; i < c->instance_count; i++) {
        struct instance *n = &o->instances[i];
        naive_pool_open(&n->pool, c->hbm_blocks, c->engine.block_tokens, c->engine.enable_prefix_caching, o->fifo,
                        o->counters);
        n->due = KV_TICK_NEVER;
        n->layered.cost = kv_arena_take(&o->arena, (size_t)o->layers * sizeof(kv_cost));
        n->layered.begin = kv_arena_take(&o->arena, (size_t)o->layers * sizeof(kv_cost));
    }
    if (!o->history) return;
    o->history->instance_count = c->instance_count;
    o->history->instance = kv_mem_take((size_t)c->instance_count * sizeof *o->history->instance);
}

static void close_oracle(struct oracle *o)
{
    for (int32_t i = 0; i < o->config->instance_count; i++) {
        struct instance *n = &o->instances[i];
        naive_pool_close(&n->pool);
        kv_vec_close(&n->running);
        kv_vec_close(&n->preempted);
        kv_vec_close(&n->waiting);
        kv_vec_close(&n->holders);
        kv_vec_close(&n->step);
        kv_vec_close(&n->arriving);
    }
    for (int64_t i = 0; i < 2 * o->count; i++) {
        kv_vec_close(&o->seats[i].held);
        kv_vec_close(&o->seats[i].sources);
        kv_vec_close(&o->seats[i].waits);
    }
    naive_loads_close(o);
    naive_writes_close(o);
    naive_links_close(o);
    naive_tiers_close(o);
    kv_mem_give(o->instances, (size_t)o->config->instance_count * sizeof *o->instances);
    kv_mem_give(o->jobs, (size_t)o->count * sizeof *o->jobs);
    kv_mem_give(o->seats, 2 * (size_t)o->count * sizeof *o->seats);
    kv_mem_give(o->compute, o->config->compute->state_bytes);
    naive_replay_close(&o->replay);
    kv_vec_close(&o->chunks);
    kv_arena_close(&o->arena);
}

bool kv_oracle_run(const struct kv_sim_config *config, const struct kv_request *requests, int64_t count,
                   struct kv_record *records, bool *came, struct kv_counters *counters,
                   struct kv_oracle_history *history, struct kv_oracle_coverage *coverage, const struct kv_sink *sink,
                   struct kv_err *err)
{
    struct kv_oracle_coverage unwanted = {0};
    *counters = (struct kv_counters){0};
    struct oracle o = {.config = config, .requests = requests, .count = count, .came = came, .counters = counters,
                       .history = history, .coverage = coverage ? coverage : &unwanted, .sink = sink,
                       .epoch = KV_TICK_NEVER,
                       .tier_count = config->tier_count > 1 ? config->tier_count : 1,
                       .layers = config->compute_env.model->layers};
    if (!know_policies(&o, err)) return false;
    o.compute = kv_mem_take(config->compute->state_bytes);
    if (!config->compute->open(o.compute, config->compute_params, &config->compute_env, err)) {
        kv_mem_give(o.compute, config->compute->state_bytes);
        return false;
    }
    if (!config->engine.async_scheduling) o.overhead = kv_cost_from_s(config->engine.host_overhead_s);
    open_jobs(&o, records);
    open_instances(&o);
    naive_replay_open(&o.replay, config, requests, count);
    bool good = naive_tiers_open(&o, err);
    if (good) run(&o);
    close_oracle(&o);
    return good;
}

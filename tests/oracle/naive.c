/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/oracle/naive.h"

#include <string.h>

#include "sim/plug.h"
#include "tests/oracle/naive_blocks.h"
#include "tests/oracle/naive_replay.h"

/* A request on its way. `known` tokens = input + generated. */
struct job {
    const struct kv_request *request;
    struct kv_record *record;
    int64_t urgency;
    int64_t computed, generated, computed_before;
    int64_t shared_count;            /* its blocks with a shared key; those after them are its own (rule 15) */
    KV_VEC(uint32_t) held;           /* blocks 0.. of it */
    kv_tick preempted_at;            /* -1: not in a pause */
    kv_tick paused_prefill, paused_decode;
    bool ended;
};

struct member { int64_t job, tokens; };

struct instance {
    struct naive_pool pool;
    KV_VEC(int64_t) running;         /* jobs in order of admission */
    KV_VEC(int64_t) preempted;       /* last preempted at the end */
    KV_VEC(int64_t) waiting;         /* first to go at the start */
    KV_VEC(struct member) step;      /* the step under way */
    bool busy;
    kv_tick origin, due;             /* due = KV_TICK_NEVER when no boundary is pending */
    kv_cost spent;                   /* E of rule 1 */
};

enum sched { FCFS, PRIORITY, SJF };
enum route { ROUND_ROBIN, LEAST_LOADED, LEAST_TOKENS, PREFIX };

struct oracle {
    const struct kv_sim_config *config;
    const struct kv_request *requests;
    int64_t count;
    struct job *jobs;
    bool *came;
    struct instance *instances;
    struct naive_replay replay;
    int64_t routed;
    kv_tick now, last_arrival;
    enum sched sched;
    enum route route;
    bool fifo;
    void *compute;
    kv_cost overhead;
    KV_VEC(struct kv_chunk) chunks;
    struct kv_counters *counters;
    struct kv_oracle_history *history;
    struct kv_oracle_coverage *coverage;
};

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static int64_t known(const struct job *j)
{
    return j->request->input_tokens + j->generated;
}

static int64_t block_tokens(const struct oracle *o)
{
    return o->config->engine.block_tokens;
}

/* --- Records (rules 22, 23) --- */

static void stage_times(const struct job *j, kv_tick end)
{
    struct kv_record *r = j->record;
    kv_tick prefill = j->paused_prefill, decode = j->paused_decode;
    if (j->preempted_at >= 0) *(r->first_token_tk < 0 ? &prefill : &decode) += end - j->preempted_at;
    r->queue_tk = (r->first_sched_tk < 0 ? end : r->first_sched_tk) - r->arrival_tk;
    r->preempted_tk = prefill + decode;
    if (r->first_sched_tk >= 0)
        r->prefill_tk = (r->first_token_tk < 0 ? end : r->first_token_tk) - r->first_sched_tk - prefill;
    if (r->first_token_tk >= 0) r->decode_tk = end - r->first_token_tk - decode;
}

static void end_job(struct oracle *o, int64_t job, enum kv_status status)
{
    struct job *j = &o->jobs[job];
    j->ended = true;
    j->record->status = (uint8_t)status;
    j->record->generated_tokens = (int32_t)j->generated;
    if (status == KV_STATUS_FINISHED) {
        o->counters->finished++;
        j->record->finish_tk = o->now;
        stage_times(j, o->now);
    }
    if (status == KV_STATUS_REJECTED) o->counters->rejected++;
    if (status == KV_STATUS_FAILED) o->counters->failed++;
    if (status != KV_STATUS_UNFINISHED) naive_replay_ended(&o->replay, o->now, job);
    else stage_times(j, o->now);
    kv_vec_close(&j->held);
}

/* --- Blocks of a job (rules 15 to 20) --- */

static void hold_tokens(struct oracle *o, struct instance *n, struct job *j, int64_t tokens)
{
    while ((int64_t)j->held.count < ceil_div(tokens, block_tokens(o)))
        kv_vec_push(&j->held, naive_pool_take(&n->pool));
}

/* Rule 18: the blocks that become full when the job goes from `computed` to computed + tokens. */
static void register_new(struct oracle *o, struct instance *n, struct job *j, int64_t tokens)
{
    if (!n->pool.caching) return;
    int64_t full = (j->computed + tokens) / block_tokens(o);
    for (int64_t i = j->computed / block_tokens(o); i < full && i < j->shared_count; i++) {
        uint64_t key = kv_prefix_key(&j->request->prefix, (int32_t)i, (int32_t)block_tokens(o));
        if (!naive_pool_register(&n->pool, j->held.at[i], key)) o->coverage->private_blocks++;
    }
}

static int64_t look_up(const struct oracle *o, const struct instance *n, const struct job *j)
{
    if (!n->pool.caching) return 0;
    int64_t hit = 0, most = (known(j) - 1) / block_tokens(o);
    while (hit < most && naive_pool_find(&n->pool, j->request, j->shared_count, hit) != KV_NONE) hit++;
    return hit;
}

/* Rule 20. */
static void release(struct oracle *o, struct instance *n, struct job *j, bool finish)
{
    int64_t full = j->computed / block_tokens(o), prompt = j->request->input_tokens / block_tokens(o);
    for (int64_t i = (int64_t)j->held.count - 1; i >= 0; i--) {
        bool keep = !finish || o->config->engine.cache_outputs || i < prompt;
        uint64_t own_key = i >= j->shared_count && i < full ? naive_own_key(j->request->index, i) : 0;
        if (naive_pool_release(&n->pool, j->held.at[i], own_key, keep)) o->coverage->forgotten_blocks++;
    }
    j->held.count = 0;
}

/* Rule 19, second half: own blocks that are cached but were not hit are of no use to anybody any more. */
static void drop_own(struct oracle *o, struct instance *n, struct job *j, int64_t hit)
{
    for (int64_t i = hit > j->shared_count ? hit : j->shared_count; i < j->computed_before / block_tokens(o); i++) {
        uint32_t block = naive_pool_find(&n->pool, j->request, j->shared_count, i);
        if (block == KV_NONE) continue;
        naive_pool_drop(&n->pool, block);
        o->coverage->own_drops++;
    }
}

/* --- A boundary (rules 10 to 13) --- */

static void remove_running(struct instance *n, int64_t job)
{
    size_t i = 0;
    while (n->running.at[i] != job) i++;
    memmove(&n->running.at[i], &n->running.at[i + 1], (n->running.count - i - 1) * sizeof *n->running.at);
    n->running.count--;
}

/* Rule 10. */
static void end_step(struct oracle *o, struct instance *n)
{
    o->counters->steps++;
    for (size_t m = 0; m < n->step.count; m++) {
        struct job *j = &o->jobs[n->step.at[m].job];
        int64_t tokens = n->step.at[m].tokens;
        j->computed += tokens;
        *(tokens > 1 ? &o->counters->prefill_tokens : &o->counters->decode_tokens) += tokens;
        if (j->computed < known(j)) continue;
        j->generated++;
        if (j->record->first_token_tk < 0) j->record->first_token_tk = o->now;
        if (j->generated < j->request->output_tokens) continue;
        remove_running(n, n->step.at[m].job);
        release(o, n, j, true);
        end_job(o, n->step.at[m].job, KV_STATUS_FINISHED);
    }
    n->step.count = 0;
}

/* Rule 19. */
static void preempt(struct oracle *o, struct instance *n, int64_t job)
{
    struct job *j = &o->jobs[job];
    n->running.count--;
    release(o, n, j, false);
    j->computed_before = j->computed;
    j->computed = 0;
    j->preempted_at = o->now;
    j->record->preemptions++;
    o->counters->preemptions++;
    kv_vec_push(&n->preempted, job);
}

/* Rule 11. True when somebody was preempted. */
static bool schedule_running(struct oracle *o, struct instance *n, int64_t *budget)
{
    bool preempted = false;
    for (size_t i = 0; i < n->running.count && *budget > 0; i++) {
        int64_t job = n->running.at[i];
        struct job *j = &o->jobs[job];
        int64_t tokens = known(j) - j->computed < *budget ? known(j) - j->computed : *budget;
        int64_t missing = ceil_div(j->computed + tokens, block_tokens(o)) - (int64_t)j->held.count;
        while (naive_pool_available(&n->pool) < missing && i < n->running.count) {
            preempt(o, n, n->running.at[n->running.count - 1]);
            preempted = true;
        }
        if (i == n->running.count) {
            o->coverage->self_preemptions++;
            break;
        }
        hold_tokens(o, n, j, j->computed + tokens);
        *budget -= tokens;
        kv_vec_push(&n->step, ((struct member){job, tokens}));
    }
    for (size_t m = 0; m < n->step.count; m++)
        register_new(o, n, &o->jobs[n->step.at[m].job], n->step.at[m].tokens);
    return preempted;
}

/* Rule 12, the books: the first admission counts hits and the prompt, later ones what is computed again. */
static void note_admission(struct oracle *o, struct job *j, int64_t hit_tokens)
{
    struct kv_record *r = j->record;
    if (r->first_sched_tk < 0) {
        r->first_sched_tk = o->now;
        r->prompt_tokens_by_source[0] = (int32_t)hit_tokens;
        r->prompt_tokens_by_source[1] = (int32_t)(j->request->input_tokens - hit_tokens);
        o->counters->hit_tokens += hit_tokens;
        o->counters->prompt_tokens += j->request->input_tokens;
        return;
    }
    int64_t again = j->computed_before > hit_tokens ? j->computed_before - hit_tokens : 0;
    r->recomputed_tokens += again;
    o->counters->recomputed_tokens += again;
    *(r->first_token_tk < 0 ? &j->paused_prefill : &j->paused_decode) += o->now - j->preempted_at;
    j->preempted_at = -1;
}

static bool admit(struct oracle *o, struct instance *n, int64_t job, int64_t *budget)
{
    struct job *j = &o->jobs[job];
    int64_t hit = look_up(o, n, j), hit_tokens = hit * block_tokens(o), tokens = known(j) - hit_tokens;
    if (tokens > *budget) {
        if (!o->config->engine.chunked_prefill) return false;
        tokens = *budget;
        o->coverage->chunked_prompts++;
    }
    int64_t unreferenced = 0;
    for (int64_t i = 0; i < hit; i++)
        unreferenced += n->pool.blocks.at[naive_pool_find(&n->pool, j->request, j->shared_count, i)].refs == 0;
    int64_t needed = ceil_div(known(j), block_tokens(o)) - hit, available = naive_pool_available(&n->pool);
    if (needed > available - unreferenced) {
        o->coverage->refusals_by_hits += needed <= available;
        return false;
    }
    o->coverage->unreferenced_hits += unreferenced;
    if (hit > j->shared_count) o->coverage->own_hits += hit - j->shared_count;
    for (int64_t i = 0; i < hit; i++) {
        uint32_t block = naive_pool_find(&n->pool, j->request, j->shared_count, i);
        naive_pool_ref(&n->pool, block);
        kv_vec_push(&j->held, block);
    }
    if (j->preempted_at >= 0) drop_own(o, n, j, hit);
    j->computed = hit_tokens;
    hold_tokens(o, n, j, hit_tokens + tokens);
    kv_vec_push(&n->running, job);
    kv_vec_push(&n->step, ((struct member){job, tokens}));
    *budget -= tokens;
    register_new(o, n, j, tokens);
    note_admission(o, j, hit_tokens);
    return true;
}

/* Rules 9 and 12. */
static void schedule_waiting(struct oracle *o, struct instance *n, int64_t *budget)
{
    while (*budget > 0 && (int64_t)n->running.count < o->config->engine.max_num_seqs) {
        if (n->preempted.count > 0) {
            if (!admit(o, n, n->preempted.at[n->preempted.count - 1], budget)) return;
            n->preempted.count--;
        } else if (n->waiting.count > 0) {
            if (!admit(o, n, n->waiting.at[0], budget)) return;
            n->waiting.count--;
            memmove(&n->waiting.at[0], &n->waiting.at[1], n->waiting.count * sizeof *n->waiting.at);
        } else {
            return;
        }
    }
}

/* Rule 13 and rule 2. */
static kv_cost price(struct oracle *o, const struct instance *n)
{
    struct kv_batch batch = {0};
    o->chunks.count = 0;
    for (size_t m = 0; m < n->step.count; m++) {
        const struct job *j = &o->jobs[n->step.at[m].job];
        int64_t tokens = n->step.at[m].tokens;
        if (tokens > 1) {
            kv_vec_push(&o->chunks, ((struct kv_chunk){tokens, j->computed, j->computed + tokens == known(j)}));
            continue;
        }
        if (j->generated == 0 && j->computed > 0) o->coverage->one_token_remainders++;
        batch.decode_count++;
        batch.ctx_sum += j->computed;
        batch.ctx_sq_sum += (kv_cost)j->computed * j->computed;
        if (j->computed > batch.ctx_max) batch.ctx_max = j->computed;
    }
    batch.chunks = o->chunks.at;
    batch.chunk_count = (int32_t)o->chunks.count;
    return o->config->compute->price(o->compute, &batch).first + o->overhead;
}

static void boundary(struct oracle *o, struct instance *n)
{
    if (n->busy) {
        end_step(o, n);
    } else {
        n->origin = o->now;
        n->spent = 0;
    }
    int64_t budget = o->config->engine.max_num_batched_tokens;
    if (!schedule_running(o, n, &budget)) schedule_waiting(o, n, &budget);
    if (n->step.count == 0) {
        kv_assert(n->running.count + n->waiting.count + n->preempted.count == 0);
        n->busy = false;
        n->due = KV_TICK_NEVER;
        o->coverage->idle_periods++;
        return;
    }
    n->busy = true;
    n->spent += price(o, n);
    n->due = n->origin + kv_cost_ceil_tk(n->spent);
    o->coverage->same_tick_boundaries += n->due == o->now;
}

/* --- Arrival (rules 5 to 9) --- */

static int64_t load_requests(const struct instance *n)
{
    return (int64_t)(n->running.count + n->waiting.count + n->preempted.count);
}

/* Tokens whose KV is still to be computed before all its requests have ended (the last token's never is). */
static int64_t load_tokens(const struct oracle *o, const struct instance *n)
{
    int64_t tokens = 0;
    const struct { const int64_t *at; size_t count; } lists[] = {
        {n->running.at, n->running.count}, {n->waiting.at, n->waiting.count}, {n->preempted.at, n->preempted.count}};
    for (int l = 0; l < 3; l++)
        for (size_t i = 0; i < lists[l].count; i++) {
            const struct job *j = &o->jobs[lists[l].at[i]];
            tokens += j->request->input_tokens + j->request->output_tokens - 1 - j->computed;
        }
    return tokens;
}

static int64_t load(const struct oracle *o, const struct instance *n)
{
    return o->route == LEAST_TOKENS ? load_tokens(o, n) : load_requests(n);
}

static int32_t pick_instance(const struct oracle *o, const struct job *j)
{
    if (o->route == ROUND_ROBIN) return (int32_t)(o->routed % o->config->instance_count);
    int32_t best = 0;
    int64_t best_hit = -1;
    for (int32_t i = 0; i < o->config->instance_count; i++) {
        int64_t hit = o->route == PREFIX ? look_up(o, &o->instances[i], j) : 0;
        if (hit < best_hit || (hit == best_hit && load(o, &o->instances[i]) >= load(o, &o->instances[best]))) continue;
        best = i;
        best_hit = hit;
    }
    return best;
}

static void reach_router(struct oracle *o, int64_t job)
{
    struct job *j = &o->jobs[job];
    int32_t id = pick_instance(o, j);
    struct instance *n = &o->instances[id];
    o->coverage->same_tick_arrivals += o->routed > 0 && o->last_arrival == o->now;
    o->last_arrival = o->now;
    o->routed++;
    j->record->instance = (uint16_t)id;
    j->urgency = o->sched == PRIORITY ? j->request->priority : o->sched == SJF ? j->request->input_tokens : 0;
    size_t i = n->waiting.count;
    kv_vec_push(&n->waiting, job);
    for (; i > 0; i--) {
        const struct job *other = &o->jobs[n->waiting.at[i - 1]];
        if (other->urgency <= j->urgency) break;
        n->waiting.at[i] = n->waiting.at[i - 1];
    }
    n->waiting.at[i] = job;
    if (n->busy && n->due == o->now) o->coverage->arrivals_on_boundary++;
    if (!n->busy) n->due = o->now;
}

static void arrive(struct oracle *o, int64_t job)
{
    struct job *j = &o->jobs[job];
    const struct kv_request *q = j->request;
    const struct kv_engine_config *engine = &o->config->engine;
    *j->record = (struct kv_record){
        .request = job, .trace_row = q->trace_row, .arrival_tk = o->now, .first_sched_tk = -1, .first_token_tk = -1,
        .finish_tk = -1, .prompt_tokens = q->input_tokens, .output_tokens = q->output_tokens, .session = q->session,
        .turn = q->turn, .slo_class = q->slo_class, .instance = KV_NO_INSTANCE,
    };
    o->came[job] = true;
    o->counters->injected++;
    int64_t most = (int64_t)q->input_tokens + q->output_tokens - 1;
    if (q->failed) {
        end_job(o, job, KV_STATUS_FAILED);
    } else if (ceil_div(most, block_tokens(o)) > o->config->hbm_blocks
               || (!engine->chunked_prefill && most > engine->max_num_batched_tokens)) {
        end_job(o, job, KV_STATUS_REJECTED);
    } else {
        naive_replay_front_end(&o->replay, o->now, job);
    }
}

/* --- The run --- */

static void see_instance(struct oracle *o, int32_t id)
{
    if (!o->history) return;
    const struct instance *n = &o->instances[id];
    int64_t free_blocks = naive_pool_free(&n->pool);
    struct kv_oracle_instance now = {
        .tick = o->now, .waiting = (int64_t)(n->waiting.count + n->preempted.count),
        .running = (int64_t)n->running.count, .free_blocks = free_blocks, .inactive_blocks = n->pool.evictable,
        .active_blocks = n->pool.capacity - free_blocks - n->pool.evictable,
    };
    size_t count = o->history->instance[id].seen.count;
    if (count > 0 && o->history->instance[id].seen.at[count - 1].tick == o->now)
        o->history->instance[id].seen.at[count - 1] = now;
    else kv_vec_push(&o->history->instance[id].seen, now);
}

static void see_cluster(struct oracle *o)
{
    if (!o->history) return;
    size_t count = o->history->cluster.count;
    if (count > 0 && o->history->cluster.at[count - 1].tick == o->now) o->history->cluster.count--;
    kv_vec_push(&o->history->cluster, ((struct kv_oracle_cluster){o->now, *o->counters}));
}

static struct instance *due_instance(struct oracle *o)
{
    for (int32_t i = 0; i < o->config->instance_count; i++)
        if (o->instances[i].due == o->now) return &o->instances[i];
    return NULL;
}

static kv_tick next_tick(const struct oracle *o)
{
    kv_tick next = naive_replay_next_tick(&o->replay);
    for (int32_t i = 0; i < o->config->instance_count; i++)
        if (o->instances[i].due < next) next = o->instances[i].due;
    return next;
}

/* One pass of the loop is one round of one tick (rules 3 and 3a): the arrivals, then the boundaries. */
static void run(struct oracle *o)
{
    for (kv_tick t; (t = next_tick(o)) != KV_TICK_NEVER && t <= o->config->time_limit_tk;) {
        o->now = t;
        for (struct naive_pending p; naive_replay_take(&o->replay, t, &p);) {
            if (p.through) {
                reach_router(o, p.job);
                see_instance(o, o->jobs[p.job].record->instance);
            } else {
                arrive(o, p.job);
                naive_replay_came(&o->replay, p.job);
            }
        }
        for (struct instance *n; (n = due_instance(o));) {
            boundary(o, n);
            see_instance(o, (int32_t)(n - o->instances));
        }
        see_cluster(o);
    }
    /* Rule 23: cut short, the run lasts until its limit. */
    if (next_tick(o) != KV_TICK_NEVER) o->now = o->config->time_limit_tk;
    for (int64_t i = 0; i < o->count; i++)
        if (o->came[i] && !o->jobs[i].ended) end_job(o, i, KV_STATUS_UNFINISHED);
}

static bool know_policies(struct oracle *o, struct kv_err *err)
{
    static const char *const sched[] = {"fcfs", "priority", "sjf"};
    static const char *const route[] = {"round_robin", "least_loaded", "least_tokens", "prefix"};
    static const char *const evict[] = {"lru", "fifo"};
    int found = 0;
    int32_t count;
    const struct kv_plugin *plugin = kv_plugins(&count);
    for (int32_t p = 0; p < count; p++)
        for (int i = 0; i < 3; i++) {
            const void *ops = plugin[p].info;
            if (ops == o->config->sched && !strcmp(plugin[p].name, sched[i])) o->sched = (enum sched)i, found++;
            if (ops == o->config->route && !strcmp(plugin[p].name, route[i])) o->route = (enum route)i, found++;
            if (i < 2 && ops == o->config->evict && !strcmp(plugin[p].name, evict[i])) o->fifo = i == 1, found++;
        }
    return found == 3 || kv_fail(err, KV_ECONFIG, "oracle", "a sched, route or evict policy that the oracle does "
                                 "not know; it knows those of docs/engine.md");
}

static void open_jobs(struct oracle *o, struct kv_record *records)
{
    o->jobs = kv_mem_take((size_t)o->count * sizeof *o->jobs);
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
        naive_pool_open(&o->instances[i].pool, c->hbm_blocks, c->engine.block_tokens,
                        c->engine.enable_prefix_caching, o->fifo, o->counters);
        o->instances[i].due = KV_TICK_NEVER;
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
        kv_vec_close(&n->step);
    }
    kv_mem_give(o->instances, (size_t)o->config->instance_count * sizeof *o->instances);
    kv_mem_give(o->jobs, (size_t)o->count * sizeof *o->jobs);
    kv_mem_give(o->compute, o->config->compute->state_bytes);
    naive_replay_close(&o->replay);
    kv_vec_close(&o->chunks);
}

bool kv_oracle_run(const struct kv_sim_config *config, const struct kv_request *requests, int64_t count,
                   struct kv_record *records, bool *came, struct kv_counters *counters,
                   struct kv_oracle_history *history, struct kv_oracle_coverage *coverage, struct kv_err *err)
{
    struct kv_oracle_coverage unwanted = {0};
    *counters = (struct kv_counters){0};
    struct oracle o = {.config = config, .requests = requests, .count = count, .came = came, .counters = counters,
                       .history = history, .coverage = coverage ? coverage : &unwanted};
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
    run(&o);
    close_oracle(&o);
    return true;
}

/* --- History --- */

struct kv_oracle_instance kv_oracle_instance_at(const struct kv_oracle_history *h, int32_t instance, kv_tick t,
                                                int64_t hbm_blocks)
{
    struct kv_oracle_instance found = {.tick = -1, .free_blocks = hbm_blocks};
    for (size_t low = 0, high = h->instance[instance].seen.count; low < high;) {
        size_t middle = low + (high - low) / 2;
        const struct kv_oracle_instance *seen = &h->instance[instance].seen.at[middle];
        if (seen->tick > t) {
            high = middle;
        } else {
            found = *seen;
            low = middle + 1;
        }
    }
    return found;
}

struct kv_counters kv_oracle_counters_at(const struct kv_oracle_history *h, kv_tick t)
{
    struct kv_counters found = {0};
    for (size_t low = 0, high = h->cluster.count; low < high;) {
        size_t middle = low + (high - low) / 2;
        if (h->cluster.at[middle].tick > t) {
            high = middle;
        } else {
            found = h->cluster.at[middle].counters;
            low = middle + 1;
        }
    }
    return found;
}

void kv_oracle_history_close(struct kv_oracle_history *h)
{
    for (int32_t i = 0; i < h->instance_count; i++) kv_vec_close(&h->instance[i].seen);
    if (h->instance) kv_mem_give(h->instance, (size_t)h->instance_count * sizeof *h->instance);
    kv_vec_close(&h->cluster);
    *h = (struct kv_oracle_history){0};
}

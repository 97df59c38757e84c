/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/random_scenario.h"

#include <math.h>
#include <string.h>

#include "sim/conf/bind.h"
#include "sim/plug.h"
#include "tests/support/random_parts.h"

/* --- Plug-ins and their parameters --- */

const void *kv_test_plugin(const char *family, const char *name)
{
    int32_t count;
    const struct kv_plugin *plugin = kv_plugins(&count);
    for (int32_t i = 0; i < count; i++)
        if (!strcmp(kv_family_name(plugin[i].family), family) && !strcmp(plugin[i].name, name)) return plugin[i].info;
    kv_assert(!"plug-in exists");
    return NULL;
}

void *kv_test_params(struct kv_arena *arena, const struct kv_plugin_info *info)
{
    char *params = kv_arena_take(arena, info->params_bytes > 0 ? info->params_bytes : 1);
    for (const struct kv_param *p = info->params; p && p->key; p++) {
        const char *why = NULL;
        bool good = !p->preset || kv_value_parse(arena, p, p->preset, params + p->offset, &why);
        kv_assert(good);
    }
    if (info->prepare) info->prepare(params);
    return params;
}

void kv_test_param_set(const struct kv_plugin_info *info, void *params, const char *key, double value)
{
    const struct kv_param *p = info->params;
    while (p->key && strcmp(p->key, key)) p++;
    kv_assert(p->key);
    bool whole = p->dim == KV_DIM_COUNT || p->dim == KV_DIM_TOKENS || p->dim == KV_DIM_BYTES;
    int64_t number = llround(value);
    memcpy((char *)params + p->offset, whole ? (const void *)&number : (const void *)&value, 8);
    if (info->prepare) info->prepare(params);
}

double kv_test_exact_s(int64_t ns)
{
    double s = (double)ns / 1e9;
    const double near[] = {s, nextafter(s, 1e9), nextafter(s, 0)};
    for (int i = 0; i < 3; i++)
        if (kv_cost_from_s(near[i]) == ns * KV_COST_PER_NS) return near[i];
    kv_assert(!"a double near ns / 1e9 gives the exact cost");
    return 0;
}

static int array_next(void *state, struct kv_request *request, struct kv_err *err)
{
    (void)err;
    struct kv_array_source *a = state;
    if (a->next == a->count) return 0;
    *request = a->requests[a->next++];
    return 1;
}

struct kv_source kv_array_source(struct kv_array_source *a)
{
    return (struct kv_source){a, array_next};
}

/* --- The cluster --- */

static void draw_affine(struct kv_random_scenario *s, struct plan *p)
{
    struct dice *d = &p->dice;
    const struct kv_compute_ops *ops = kv_test_plugin("compute", "affine");
    void *params = kv_test_params(&s->arena, &ops->info);
    double coefficient[6];          /* in the order of `key` */
    static const char *const key[6] = {"prefill_base", "prefill_per_token", "prefill_per_pair",
                                       "decode_base", "decode_per_seq", "decode_per_kv_token"};
    if (chance(d, 60)) {
        p->unit_ns = PICK(d, 1, 7, 1000, 15625);
        const int64_t units[6] = {between(d, 0, 6), between(d, 0, 2), 0, between(d, 1, 6), between(d, 0, 2),
                                  chance(d, 30)};
        for (int i = 0; i < 6; i++) coefficient[i] = kv_test_exact_s(units[i] * p->unit_ns);
    } else {
        /* Most often microseconds that are no whole ticks; now and then so short that several steps share a tick. */
        double scale_s = chance(d, 15) ? 2e-12 : 1e-6 * pow(10, 3 * uniform(d));
        coefficient[0] = scale_s * uniform(d);
        coefficient[1] = scale_s * 0.05 * uniform(d);
        coefficient[2] = scale_s * 1e-4 * uniform(d);
        coefficient[3] = scale_s * (0.1 + uniform(d));
        coefficient[4] = scale_s * 0.05 * uniform(d);
        coefficient[5] = scale_s * 1e-3 * uniform(d);
    }
    for (int i = 0; i < 6; i++) kv_test_param_set(&ops->info, params, key[i], coefficient[i]);
    p->step_s = coefficient[3] + coefficient[4] + 50 * coefficient[5] + 1e-15;
    p->token_s = coefficient[1] + 50 * coefficient[2] + coefficient[0] / 20 + 1e-15;
    s->config.compute = ops;
    s->config.compute_params = params;
}

/* Any other compute model: defaults, on a small model and a slow GPU so that bases and knots matter. */
static bool draw_other_compute(struct kv_random_scenario *s, struct plan *p)
{
    int32_t count, from = (int32_t)between(&p->dice, 0, 1000);
    const struct kv_plugin *plugin = kv_plugins(&count);
    const struct kv_compute_ops *ops = NULL;
    for (int32_t i = 0; i < count && !ops; i++) {
        const struct kv_plugin *q = &plugin[(from + i) % count];
        if (q->family == KV_FAMILY_compute && strcmp(q->name, "affine")) ops = kv_plugin_ops(compute, q);
    }
    if (!ops) return false;
    void *params = kv_test_params(&s->arena, &ops->info), *state = kv_arena_take(&s->arena, ops->state_bytes);
    struct kv_err err;
    if (!ops->open(state, params, &s->config.compute_env, &err)) return false;
    struct kv_chunk chunk = {100, 0, true};
    struct kv_batch decode = {.decode_count = 1, .ctx_sum = 50, .ctx_max = 50, .ctx_sq_sum = 2500};
    struct kv_batch prefill = {.chunks = &chunk, .chunk_count = 1};
    double unit_s = 1e-9 / (double)KV_COST_PER_NS;
    p->step_s = (double)ops->price(state, &decode).first * unit_s;
    p->token_s = (double)ops->price(state, &prefill).first * unit_s / 100;
    s->config.compute = ops;
    s->config.compute_params = params;
    return true;
}

static void draw_device(struct kv_random_scenario *s, struct plan *p)
{
    struct dice *d = &p->dice;
    int32_t kv_heads = (int32_t)PICK(d, 1, 2, 4);
    s->model = (struct kv_model_shape){
        .name = "random", .attention = KV_ATTENTION_GQA, .layers = (int32_t)between(d, 1, 8), .hidden = 256,
        .heads = 4, .kv_heads = kv_heads, .head_dim = 64, .intermediate = 512, .vocabulary = 1000,
        .max_position_tokens = 1 << 20, .dtype_bytes = 2, .kv_dtype_bytes = 2,
    };
    if (chance(d, 30)) {
        s->model.experts = 8;
        s->model.experts_per_token = 2;
        s->model.expert_intermediate = 256;
    }
    s->gpu = (struct kv_gpu_spec){.name = "random", .memory_bytes = INT64_C(1) << 34,
                                  .memory_Bps = 1e9 * (1 + uniform(d)), .flops_bf16 = 1e12, .flops_fp8 = 2e12,
                                   .link_Bps = 1e10};
    s->config.tp = (int32_t)PICK(d, 1, 1, 2, 4);
    s->config.compute_env = (struct kv_compute_env){.model = &s->model, .gpu = &s->gpu, .tp = s->config.tp};
}

static void draw_engine(struct kv_random_scenario *s, struct plan *p)
{
    struct dice *d = &p->dice;
    struct kv_engine_config *e = &s->config.engine;
    e->block_tokens = PICK(d, 1, 2, 4, 8, 16, 16, 64);
    e->max_num_seqs = PICK(d, 1, 2, 3, 4, 8, 16, 64, 256);
    int64_t tokens = PICK(d, 1, 2, 3, 7, 16, 17, 64, 256, 8192);
    p->most_input = PICK(d, 4, 20, 60, 300, 1200);
    p->most_output = PICK(d, 1, 4, 20, 100);
    p->pressed = chance(d, 30);
    if (p->pressed) {
        e->block_tokens = PICK(d, 1, 2, 4, 8);
        e->max_num_seqs = PICK(d, 4, 8, 16, 64);
        tokens = PICK(d, 16, 64, 256, 8192);
        p->most_input = PICK(d, 4, 20, 60);
        p->most_output = PICK(d, 20, 100);
    }
    e->max_num_batched_tokens = tokens > e->max_num_seqs ? tokens : e->max_num_seqs;
    e->chunked_prefill = chance(d, 70);
    e->enable_prefix_caching = chance(d, 90);
    e->cache_outputs = chance(d, 80);
    e->async_scheduling = chance(d, 40);
    if (chance(d, 30))
        e->host_overhead_s = p->unit_ns > 0 ? kv_test_exact_s(p->unit_ns * between(d, 1, 3)) : p->step_s * uniform(d);
    /* Without chunks most prompts should fit a step. */
    if (!e->chunked_prefill && e->max_num_batched_tokens < p->most_input + p->most_output && chance(d, 80))
        e->max_num_batched_tokens = p->most_input + p->most_output;

    /* Pools: of a little less than the largest request needs, of a few requests, of all. */
    int64_t largest = (p->most_input + p->most_output) / e->block_tokens + 1;
    switch (p->pressed ? 1 : between(d, 0, 3)) {
    case 0: s->config.hbm_blocks = between(d, largest * 2 / 3, largest * 3 / 2); break;
    case 1: s->config.hbm_blocks = between(d, largest, largest * 4); break;
    case 2: s->config.hbm_blocks = between(d, largest * 2, largest * 20); break;
    default: s->config.hbm_blocks = largest * 100000; break;
    }
    if (s->config.hbm_blocks < 1) s->config.hbm_blocks = 1;
}

void kv_random_cluster(struct kv_random_scenario *s, struct plan *p)
{
    struct dice *d = &p->dice;
    static const char *const sched[] = {"fcfs", "priority", "sjf"};
    static const char *const route[] = {"round_robin", "least_loaded", "least_tokens", "prefix"};
    static const char *const evict[] = {"lru", "fifo"};
    s->config.seed = throw(d);
    s->config.instance_count = (int32_t)PICK(d, 1, 1, 1, 2, 2, 3, 5, 8, 16, 64);
    draw_device(s, p);
    if (chance(d, 70) || !draw_other_compute(s, p)) draw_affine(s, p);
    draw_engine(s, p);
    s->config.sched = kv_test_plugin("sched", sched[between(d, 0, 2)]);
    s->config.sched_params = kv_test_params(&s->arena, &s->config.sched->info);
    s->config.route = kv_test_plugin("route", route[between(d, 0, 2)]);
    s->config.route_params = kv_test_params(&s->arena, &s->config.route->info);
    s->config.evict = kv_test_plugin("evict", evict[between(d, 0, 1)]);
    s->config.evict_params = kv_test_params(&s->arena, &s->config.evict->info);
    s->config.timeseries_s = chance(d, 50) ? -1 : 0;
    s->config.time_limit_tk = KV_TICK_NEVER;
}

/* --- The load --- */

static struct kv_delay draw_delay(struct plan *p, double mean_s)
{
    struct dice *d = &p->dice;
    if (p->unit_ns > 0 && chance(d, 60))
        return (struct kv_delay){KV_DELAY_CONSTANT, kv_test_exact_s(p->unit_ns * between(d, 0, 5)), 0};
    switch (between(d, 0, 2)) {
    case 0: return (struct kv_delay){KV_DELAY_CONSTANT, mean_s, 0};
    case 1: return (struct kv_delay){KV_DELAY_EXPONENTIAL, mean_s, 0};
    default: return (struct kv_delay){KV_DELAY_LOGNORMAL, mean_s, 0.2 + uniform(d)};
    }
}

static void draw_replay(struct kv_random_scenario *s, struct plan *p, double service_s)
{
    struct dice *d = &p->dice;
    struct kv_replay_config *r = &s->config.replay;
    r->mode = PICK(d, KV_REPLAY_OPEN, KV_REPLAY_OPEN, KV_REPLAY_OPEN, KV_REPLAY_CLOSED, KV_REPLAY_SESSION);
    r->clients = between(d, 1, 40);
    r->think = chance(d, 40) ? (struct kv_delay){KV_DELAY_CONSTANT, 0, 0} : draw_delay(p, service_s);
    if (chance(d, 25)) r->frontend_overhead = draw_delay(p, service_s / 2);

    /* From hardly any load to four times what the batch could carry. */
    static const double load[] = {0.02, 0.3, 0.8, 1.5, 4};
    int64_t batch = s->config.engine.max_num_seqs < 8 ? s->config.engine.max_num_seqs : 8;
    double servers = (double)s->config.instance_count * (double)batch;
    double gap_s = service_s / (load[between(d, p->pressed ? 2 : 0, 4)] * servers);
    p->mean_gap_ns = (int64_t)(gap_s * 1e9) + 1;
    double limit_s = (double)s->count * gap_s * uniform(d);
    if (chance(d, 10)) s->config.time_limit_tk = (kv_tick)(limit_s * (double)KV_TICKS_PER_S);
}

static void draw_arrivals(struct kv_random_scenario *s, struct plan *p)
{
    struct dice *d = &p->dice;
    int64_t same_percent = PICK(d, 0, 0, 20, 80), now_ns = 0;
    for (int64_t i = 0; i < s->count; i++) {
        if (i > 0 && !chance(d, same_percent)) {
            int64_t gap_ns = llround(-log(1 - uniform(d)) * (double)p->mean_gap_ns);
            if (p->unit_ns > 0 && chance(d, 90)) gap_ns = (gap_ns + p->unit_ns / 2) / p->unit_ns * p->unit_ns;
            now_ns += gap_ns;
        }
        if (p->unit_ns > 0 && chance(d, 90)) now_ns = (now_ns + p->unit_ns - 1) / p->unit_ns * p->unit_ns;
        s->requests[i].arrival_ns = now_ns;
    }
}

/* Mostly short with a long tail, sometimes up to a quarter more than "most" (too large for a tight pool), one-token
 * ones often enough. */
static int32_t draw_tokens(struct dice *d, int64_t most)
{
    int64_t kind = between(d, 0, 9);
    int64_t tokens = kind == 0 ? 1 : kind <= 5 ? between(d, 1, 1 + most / 4) : between(d, 1, most);
    if (kind == 9 && chance(d, 20)) tokens = most + between(d, 0, most / 4);
    return (int32_t)tokens;
}

static void draw_request(struct kv_random_scenario *s, struct plan *p, int64_t i)
{
    struct dice *d = &p->dice;
    struct kv_request *q = &s->requests[i];
    q->index = i;
    q->trace_row = i + 1;
    q->think_ns = q->elapsed_ns = -1;
    q->input_tokens = draw_tokens(d, p->most_input);
    q->output_tokens = draw_tokens(d, p->most_output);
    q->priority = (int32_t)between(d, -1, 2);
    q->slo_class = (uint16_t)between(d, 0, 2);
}

/* Explicit ids: a forest of chains. Chain c copies the first ids of an earlier chain and goes on with its own, so
 * equal ids mean equal prefixes; a request is the beginning of a chain. The last id of a row may stand for less
 * than ids_tokens tokens, and outputs may have ids too. */
static void draw_ids(struct kv_random_scenario *s, struct plan *p)
{
    struct dice *d = &p->dice;
    int32_t block = (int32_t)s->config.engine.block_tokens;
    int32_t tokens = block * (int32_t)PICK(d, 1, 1, 2, 4);
    if (block % 4 == 0 && chance(d, 35)) tokens = block / 4;
    bool twins = p->pressed && chance(d, 60);      /* requests that generate the same blocks side by side */
    int64_t chains = between(d, 1, twins ? 2 : 8), length = (p->most_input + p->most_output) * 5 / 4 / tokens + 2;
    uint64_t **chain = kv_arena_take(&s->arena, (size_t)chains * sizeof *chain);
    for (int64_t c = 0; c < chains; c++) {
        chain[c] = kv_arena_take(&s->arena, (size_t)length * sizeof **chain);
        int64_t shared = c == 0 || chance(d, 20) ? 0 : between(d, 0, length);
        if (shared > 0) memcpy(chain[c], chain[between(d, 0, c - 1)], (size_t)shared * sizeof **chain);
        for (int64_t j = shared; j < length; j++) chain[c][j] = throw(d) >> 16;
    }
    bool partial = chance(d, 50), outputs = twins || chance(d, 40);
    for (int64_t i = 0; i < s->count; i++) {
        struct kv_request *q = &s->requests[i];
        int64_t known = q->input_tokens + (outputs && chance(d, twins ? 95 : 70) ? q->output_tokens : 0);
        q->prefix = (struct kv_prefix){.ids = chain[between(d, 0, chains - 1)], .ids_tokens = tokens,
                                       .salt = chance(d, 10) ? q->session : 0, .known_tokens = (int32_t)known};
        q->prefix.ids_count = (uint32_t)((known + (partial ? tokens - 1 : 0)) / tokens);
    }
}

/* Conversations: a turn extends the one before it, whose output the trace then knows, or starts a new version that
 * keeps the system prompt alone. In open replay turns overlap. */
static void draw_sessions(struct kv_random_scenario *s, struct plan *p)
{
    struct dice *d = &p->dice;
    int64_t sessions = between(d, 1, s->count / 3 + 1);
    int64_t *last = kv_arena_take(&s->arena, (size_t)(sessions + 1) * sizeof *last);   /* row + 1 of its last turn */
    int64_t system = chance(d, 60) ? between(d, 1, p->most_input) : 0, systems = between(d, 1, 3);
    bool recorded = chance(d, 50);
    for (int64_t i = 0; i < s->count; i++) {
        struct kv_request *q = &s->requests[i];
        if (chance(d, 10)) continue;                        /* a row without a session */
        q->session = (uint32_t)between(d, 1, sessions);
        struct kv_request *before = last[q->session] ? &s->requests[last[q->session] - 1] : NULL;
        last[q->session] = i + 1;
        q->prefix.shared_stream = kv_mix64_pair(77, q->session % (uint64_t)systems);
        q->prefix.shared_tokens = (int32_t)system;
        q->prefix.own_stream = throw(d);
        q->prefix.known_tokens = q->input_tokens;
        if (recorded && chance(d, 70)) q->think_ns = p->unit_ns * between(d, 0, 4);
        if (recorded && chance(d, 70)) q->elapsed_ns = between(d, 0, 2 * p->mean_gap_ns);
        if (!before) continue;
        q->turn = (uint16_t)(before->turn + 1);
        int64_t longer = (int64_t)before->input_tokens + before->output_tokens + q->input_tokens / 4;
        if (longer > p->most_input * 5 / 4 || chance(d, 25)) continue;
        q->input_tokens = (int32_t)longer;
        q->prefix.own_stream = before->prefix.own_stream;
        q->prefix.known_tokens = q->input_tokens;
        before->prefix.known_tokens = before->input_tokens + before->output_tokens;
    }
}

/* Some rows of sessions become sub-agents': a few rows in a row of the session, or rows strewn over all of it. */
static void draw_branches(struct kv_random_scenario *s, struct plan *p)
{
    struct dice *d = &p->dice;
    int64_t percent = PICK(d, 10, 30, 60), most = between(d, 1, 4);
    for (int64_t i = 0; i < s->count; i++)
        if (s->requests[i].session && chance(d, percent)) s->requests[i].branch = (uint32_t)between(d, 1, most);
}

/* Closed replay whose clients stay with a session. */
static void draw_clients_take(struct kv_random_scenario *s, struct plan *p)
{
    if (s->config.replay.mode == KV_REPLAY_CLOSED && chance(&p->dice, 50))
        s->config.replay.clients_take = KV_TAKE_SESSION;
}

static void draw_system_prompts(struct kv_random_scenario *s, struct plan *p)
{
    struct dice *d = &p->dice;
    int64_t prompts = between(d, 1, 6), tokens = between(d, 1, p->most_input);
    for (int64_t i = 0; i < s->count; i++) {
        struct kv_request *q = &s->requests[i];
        if (q->prefix.known_tokens > 0 || chance(d, 20)) continue;
        q->prefix.shared_stream = kv_mix64_pair(99, (uint64_t)between(d, 1, prompts));
        q->prefix.shared_tokens = q->prefix.known_tokens
            = (int32_t)(tokens < q->input_tokens ? tokens : q->input_tokens);
    }
}

void kv_random_load(struct kv_random_scenario *s, struct plan *p)
{
    struct dice *d = &p->dice;
    s->count = between(d, 20, s->config.instance_count > 4 ? 400 : 200);
    s->requests = kv_arena_take(&s->arena, (size_t)s->count * sizeof *s->requests);
    double service_s = p->token_s * (double)p->most_input * 0.4 + p->step_s * (double)p->most_output * 0.4
                       + s->config.engine.host_overhead_s;
    draw_replay(s, p, service_s);
    draw_clients_take(s, p);
    bool together = s->config.replay.mode == KV_REPLAY_SESSION || s->config.replay.clients_take == KV_TAKE_SESSION;
    for (int64_t i = 0; i < s->count; i++) draw_request(s, p, i);
    draw_arrivals(s, p);
    int64_t prefix = together ? 1 : p->sharing ? PICK(d, 1, 2, 3, 3, 3, 4) : p->pressed ? PICK(d, 0, 1, 3, 3, 3, 4)
                     : between(d, 0, 4);
    if (prefix == 1 || prefix == 2) draw_sessions(s, p);
    if (together && chance(d, 60)) draw_branches(s, p);
    if (prefix == 3 || (prefix == 2 && chance(d, 20))) draw_ids(s, p);
    if (prefix == 4 || (prefix == 1 && chance(d, 30))) draw_system_prompts(s, p);
    int64_t failed_percent = PICK(d, 0, 0, 5);
    for (int64_t i = 0; i < s->count; i++) {
        if (!chance(d, failed_percent)) continue;
        s->requests[i].failed = true;
        s->requests[i].output_tokens = 0;
        if (chance(d, 50)) s->requests[i].input_tokens = 0;
    }
}

void kv_random_scenario_draw(struct kv_random_scenario *s, uint64_t number)
{
    *s = (struct kv_random_scenario){.number = number};
    struct plan p = {.dice = {.seed = kv_mix64_pair(kv_stream("random_scenario"), number)}};
    kv_random_cluster(s, &p);
    kv_random_load(s, &p);
    const struct kv_engine_config *e = &s->config.engine;
    s->text = kv_arena_text(&s->arena, "scenario %llu (seed %llu): %lld requests, replay %lld, %d instances of %lld "
                            "blocks of %lld tokens, seqs %lld, batched %lld, chunked %d, caching %d, outputs %d",
                            (unsigned long long)number, (unsigned long long)s->config.seed, (long long)s->count,
                            (long long)s->config.replay.mode, s->config.instance_count,
                            (long long)s->config.hbm_blocks, (long long)e->block_tokens, (long long)e->max_num_seqs,
                            (long long)e->max_num_batched_tokens, e->chunked_prefill, e->enable_prefix_caching,
                            e->cache_outputs);
}

void kv_random_scenario_close(struct kv_random_scenario *s)
{
    kv_arena_close(&s->arena);
}

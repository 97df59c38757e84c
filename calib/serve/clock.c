/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/serve/clock.h"

#include "sim/iface/link.h"
#include "sim/lib/kvsize.h"

/* ---- loads ---- */

/* The slowest of PCIe, the store and the links that its tier names; what comes before the first byte. */
static bool find_way(struct kv_loop_clock *c, struct kv_arena *arena, struct kv_err *err)
{
    const struct kv_sim_config *f = c->config;
    c->rate = f->network.pcie_Bps < 0 ? KV_RATE_UNLIMITED : kv_rate_from_Bps(f->network.pcie_Bps);
    if (f->resident_tier == 0) return true;
    const struct kv_tier_config *tier = &f->tier[f->resident_tier];
    const struct kv_model_shape *model = f->compute_env.model;
    struct kv_store_env env = {
        .layers = model->layers, .chunk_tokens = tier->chunk_tokens, .block_tokens = f->engine.block_tokens,
        .chunk_bytes = kv_stored_bytes_per_token(model) * tier->chunk_tokens, .layout = tier->layout, .seed = f->seed,
    };
    struct kv_access access = { .delivery = f->fetch.mode, .chunks = 1, .under_way = 1 };
    void *store = kv_arena_take(arena, tier->store->state_bytes);
    if (!tier->store->open(store, tier->store_params, &env, err)) return false;
    struct kv_access_plan plan = tier->store->plan(store, &access);
    kv_rate device = tier->store->device_rate(store);
    c->delay_tk = plan.delay_tk;
    if (plan.limit < c->rate) c->rate = plan.limit;
    if (device < c->rate) c->rate = device;
    for (int32_t i = 0; i < KV_TIER_LINKS_MAX && tier->link[i] >= 0; i++) {
        const struct kv_link_config *link = &f->network.links[tier->link[i]];
        struct kv_link_spec spec = link->ops->spec(link->params);
        kv_rate rate = (kv_rate)((double)spec.capacity * f->network.efficiency);
        c->delay_tk += spec.latency_tk;
        if (rate < c->rate) c->rate = rate;
    }
    if (tier->store->close) tier->store->close(store);
    return true;
}

kv_tick kv_loop_clock_in_tk(const struct kv_loop_clock *c, int32_t load, int32_t layer)
{
    const struct kv_loop_flow *f = &c->load.at[load];
    if (c->rate == KV_RATE_UNLIMITED) return f->begin_tk + 1;   /* as T15 has it */
    return f->begin_tk + kv_rate_ticks(f->layer_bytes * (layer + 1) * KV_SERVICE_PER_BYTE, c->rate);
}

static int32_t layers_of(const struct kv_loop_clock *c) { return c->config->compute_env.model->layers; }

static bool load(void *state, const struct kv_loop_load *load, struct kv_err *err)
{
    struct kv_loop_clock *c = state;
    struct kv_loop_flow flow = { c->now + c->delay_tk, load->count * c->block_layer_bytes };
    if (flow.begin_tk < c->way_free_tk) flow.begin_tk = c->way_free_tk;
    kv_assert((size_t)load->number == c->load.count);
    kv_vec_push(&c->load, flow);
    c->way_free_tk = kv_loop_clock_in_tk(c, load->number, layers_of(c) - 1);
    return c->way_free_tk < KV_TICK_LIMIT || kv_fail(err, KV_ESTUCK, "load", "the way to the GPU moves nothing");
}

static int32_t arrived(void *state, int32_t load)
{
    const struct kv_loop_clock *c = state;
    int32_t layer = layers_of(c);
    while (layer > 0 && kv_loop_clock_in_tk(c, load, layer - 1) > c->now) layer--;
    return layer;
}

/* ---- steps ---- */

/* The latest arrival of a layer over all that the members wait for; -1: nothing is to come. */
static kv_tick awaited_tk(const struct kv_loop_clock *c, const struct kv_loop_batch *batch, int32_t layer)
{
    kv_tick last = -1;
    for (int32_t i = 0; i < batch->count; i++)
        for (int32_t k = 0; k < batch->member[i].load_count; k++) {
            kv_tick in = kv_loop_clock_in_tk(c, batch->member[i].load[k], layer);
            if (in > last) last = in;
        }
    return last;
}

/* What the compute model looks at (rule 13). */
static struct kv_batch summary(const struct kv_loop_clock *c, const struct kv_loop_batch *batch)
{
    struct kv_batch b = { .chunks = c->chunk };
    for (int32_t i = 0; i < batch->count; i++) {
        const struct kv_loop_member *m = &batch->member[i];
        int64_t ctx = m->ctx_tokens;
        if (m->new_tokens > 1) {
            c->chunk[b.chunk_count++] = (struct kv_chunk){ m->new_tokens, ctx, m->yields };
            continue;
        }
        b.decode_count++;
        b.ctx_sum += ctx;
        if (ctx > b.ctx_max) b.ctx_max = ctx;
        b.ctx_sq_sum += (kv_cost)ctx * ctx;
    }
    return b;
}

static kv_tick instant(const struct kv_loop_clock *c, kv_cost spent) { return c->origin + kv_cost_ceil_tk(spent); }

/* T20. Returns the cost at which the last layer is computed. */
static kv_cost layer_by_layer(struct kv_loop_clock *c, const struct kv_loop_batch *batch, const struct kv_batch *b)
{
    kv_cost before, after, at;
    kv_compute_layers(c->config->compute, c->compute, b, c->layer_cost, layers_of(c), &before, &after);
    at = c->spent + before;
    for (int32_t l = 0; l < layers_of(c); l++) {
        kv_tick loaded = awaited_tk(c, batch, l);
        kv_cost in = (loaded - c->origin) * KV_COST_PER_TICK;
        if (loaded >= 0 && in > at) at = in;
        c->layer[l] = (struct kv_loop_layer){ loaded, instant(c, at), instant(c, at + c->layer_cost[l]) };
        at += c->layer_cost[l];
    }
    return at + after;
}

static bool step(void *state, const struct kv_loop_batch *batch, struct kv_loop_step *step, struct kv_err *err)
{
    struct kv_loop_clock *c = state;
    struct kv_batch b = summary(c, batch);
    step->begin_tk = c->now;
    bool waits = awaited_tk(c, batch, layers_of(c) - 1) > c->now;
    c->spent = waits ? layer_by_layer(c, batch, &b) : c->spent + c->config->compute->price(c->compute, &b).first;
    step->layer = waits ? c->layer : NULL;
    step->device_s = kv_tick_to_s(instant(c, c->spent) - c->now);
    c->spent += c->overhead;
    c->now = step->end_tk = instant(c, c->spent);
    step->launch_s = kv_tick_to_s(kv_cost_ceil_tk(c->overhead));
    return c->now < KV_TICK_LIMIT || kv_fail(err, KV_ESTUCK, "step", "the run is past the end of time");
}

/* ---- the rest ---- */

static kv_tick now(void *state) { return ((struct kv_loop_clock *)state)->now; }

static bool wait(void *state, kv_tick until_tk, int32_t load, int32_t layers, struct kv_err *err)
{
    struct kv_loop_clock *c = state;
    kv_tick in = load < 0 || layers == 0 ? KV_TICK_NEVER : kv_loop_clock_in_tk(c, load, layers - 1);
    (void)err;
    c->origin = c->now = in < until_tk ? in : until_tk;
    c->spent = 0;
    return true;
}

static bool fill(void *state, const struct kv_loop_load *load, struct kv_err *err)
{
    (void)state, (void)load, (void)err;
    return true;
}

static void start(void *state) { (void)state; }

bool kv_loop_clock_open(struct kv_loop_clock *c, const struct kv_sim_config *config, struct kv_arena *arena,
                        struct kv_err *err)
{
    size_t layers = (size_t)config->compute_env.model->layers;
    *c = (struct kv_loop_clock){
        .config = config, .compute = kv_arena_take(arena, config->compute->state_bytes),
        .overhead = config->engine.async_scheduling ? 0 : kv_cost_from_s(config->engine.host_overhead_s),
        .block_layer_bytes = config->engine.block_tokens
                             * kv_bytes_per_token_per_layer_per_gpu(config->compute_env.model, 1),
        .chunk = kv_arena_take(arena, (size_t)config->engine.max_num_seqs * sizeof *c->chunk),
        .layer_cost = kv_arena_take(arena, layers * sizeof *c->layer_cost),
        .layer = kv_arena_take(arena, layers * sizeof *c->layer),
    };
    return config->compute->open(c->compute, config->compute_params, &config->compute_env, err)
           && find_way(c, arena, err);
}

void kv_loop_clock_close(struct kv_loop_clock *c)
{
    kv_vec_close(&c->load);
}

static void close_clock(void *state) { kv_loop_clock_close(state); }

const struct kv_loop_device_ops kv_loop_clock_ops = {
    .help = "computes nothing: steps last as long as the scenario's compute model says",
    .now = now, .wait = wait, .fill = fill, .start = start, .load = load, .arrived = arrived, .step = step,
    .close = close_clock,
};

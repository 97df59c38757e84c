/* SPDX-License-Identifier: Apache-2.0 */
/* Steps that wait for layers (T18-T21, T41). With free-running flows nothing happens between the layers: the step's end
 * is worked out once, when the last byte is in, from the service curves. Where something hangs on a layer's own start
 * (a
 * bounded look-ahead) or end (a hand-over pushed layer by layer), the step is walked. */
#include "sim/lib/overlap.h"
#include "sim/serve/instance_parts.h"

static void walk_on(void *owner, uint32_t kind);

static int32_t layers(const struct kv_instance *n)
{
    return n->serve->tiers->layers;
}

void kv_layered_open(struct kv_instance *n)
{
    struct kv_layered *y = &n->layered;
    y->layer = kv_mem_take((size_t)layers(n) * sizeof *y->layer);
    y->arrival = kv_mem_take((size_t)layers(n) * sizeof *y->arrival);
    y->timer = kv_timer_new(n->serve->engine, KV_CLASS_POLICY, walk_on, n, 0);
}

void kv_layered_close(struct kv_instance *n)
{
    struct kv_layered *y = &n->layered;
    if (y->layer) kv_mem_give(y->layer, (size_t)layers(n) * sizeof *y->layer);
    if (y->arrival) kv_mem_give(y->arrival, (size_t)layers(n) * sizeof *y->arrival);
    kv_vec_close(&y->fetchers);
    kv_vec_close(&y->pushers);
    kv_vec_close(&y->own_tk);
    kv_vec_close(&y->told_tk);
}

void kv_layered_join(struct kv_instance *n, uint32_t seq)
{
    const struct kv_hold *hold = kv_seq_at(n->serve, seq)->hold;
    for (size_t i = 0; i < hold->loads.count; i++) {
        kv_load_use(n->serve->tiers, hold->loads.at[i]);
        kv_load_at(n->serve->tiers, hold->loads.at[i])->joined = true;
        kv_vec_push(&n->layered.fetchers, ((struct kv_fetcher){seq, hold->loads.at[i]}));
    }
    if (hold->loads.count > 0) kv_load_arm_timeouts(n->serve->tiers);
}

static kv_cost since_origin(const struct kv_instance *n, kv_tick at_tk)
{
    return (kv_cost)(at_tk - n->origin_tk) * KV_COST_PER_TICK;
}

/* ---- arrivals ------------------------------------------------------------------------------------------------ */

static void no_arrivals(struct kv_instance *n)
{
    for (int32_t l = 0; l < layers(n); l++) n->layered.arrival[l] = -1;
}

static void add_arrivals(struct kv_instance *n, uint32_t load)
{
    struct kv_tiers *t = n->serve->tiers;
    kv_tick *arrival = n->layered.arrival;
    if (!kv_load_at(t, load)->layer_tk) {
        kv_load_arrivals(t, load, arrival);
        return;
    }
    for (int32_t l = 0; l < layers(n); l++)
        if (kv_load_layer_tk(t, load, l) > arrival[l]) arrival[l] = kv_load_layer_tk(t, load, l);
}

/* End of the step since origin, with the arrivals in the scratch array. */
static kv_cost end_with_arrivals(const struct kv_instance *n)
{
    const struct kv_layered *y = &n->layered;
    return kv_overlap_end(n->run_start + y->before, y->arrival, n->origin_tk, y->layer, layers(n)) + y->after
           + n->overhead;
}

/* ---- what is told of it (T41) ------------------------------------------------------------------------------- */

static bool tells(const struct kv_instance *n)
{
    return n->serve->sink->layers != NULL;
}

/* A fetching member's arrivals, in the scratch array. */
static void note_arrivals(struct kv_instance *n)
{
    for (int32_t l = 0; tells(n) && l < layers(n); l++) kv_vec_push(&n->layered.told_tk, n->layered.arrival[l]);
}

/* Behind them when each layer starts and ends, with all arrivals. */
static void note_layers(struct kv_instance *n)
{
    struct kv_layered *y = &n->layered;
    size_t count = (size_t)layers(n), arrivals = y->told_tk.count;
    kv_cost at = n->run_start + y->before;
    y->ready_tk = n->origin_tk + kv_cost_ceil_tk(at);
    for (size_t l = 0; l < 2 * count && arrivals > 0; l++) kv_vec_push(&y->told_tk, 0);
    for (size_t l = 0; l < count && arrivals > 0; l++) {
        for (size_t i = l; i < arrivals; i += count)
            if (since_origin(n, y->told_tk.at[i]) > at) at = since_origin(n, y->told_tk.at[i]);
        y->told_tk.at[arrivals + l] = n->origin_tk + kv_cost_ceil_tk(at);
        at += y->layer[l];
        y->told_tk.at[arrivals + count + l] = n->origin_tk + kv_cost_ceil_tk(at);
    }
}

static void tell_layers(struct kv_instance *n)
{
    const struct kv_layered *y = &n->layered;
    struct kv_serve *serve = n->serve;
    const kv_tick *arrival = y->told_tk.at, *start = arrival + y->told_tk.count - 2 * layers(n);
    for (size_t i = 0; i < y->fetchers.count; i++) {
        if (i > 0 && y->fetchers.at[i].seq == y->fetchers.at[i - 1].seq) continue;
        struct kv_layers_record record = {kv_seq_at(serve, y->fetchers.at[i].seq)->request, layers(n), arrival, start,
                                          start + layers(n), y->ready_tk};
        if (serve->err->code == KV_OK) serve->sink->layers(serve->sink->state, &record, serve->err);
        arrival += layers(n);
    }
}

/* ---- its end ------------------------------------------------------------------------------------------------- */

/* All arrivals are known: T20. */
static void finish_step(struct kv_instance *n)
{
    struct kv_layered *y = &n->layered;
    kv_tick plain_tk = kv_cost_ceil_tk(n->run_start + n->run.first);
    kv_cost end = n->run_start + n->run.first;
    y->own_tk.count = y->told_tk.count = 0;
    for (size_t i = 0; i < y->fetchers.count; i++) {
        kv_tick own_tk = 0;
        bool first = i == 0 || y->fetchers.at[i].seq != y->fetchers.at[i - 1].seq;   /* loads of one stand together */
        if (first) {
            no_arrivals(n);
            for (size_t j = i; j < y->fetchers.count && y->fetchers.at[j].seq == y->fetchers.at[i].seq; j++)
                add_arrivals(n, y->fetchers.at[j].load);
            note_arrivals(n);
            kv_cost own = end_with_arrivals(n);
            own_tk = kv_cost_ceil_tk(own) - plain_tk;
            if (own > end) end = own;   /* max-plus: the latest of all ends is the end with all arrivals */
        }
        kv_vec_push(&y->own_tk, own_tk);
    }
    for (size_t i = 0; i < y->fetchers.count; i++) kv_load_unuse(n->serve->tiers, y->fetchers.at[i].load);
    note_layers(n);
    y->stall = end - n->run_start - n->run.first;
    y->stall_tk = kv_cost_ceil_tk(end) - plain_tk;
    y->open = false;
    n->run.first += y->stall;
    kv_instance_arm(n, 1);
}

void kv_layered_end(struct kv_instance *n)
{
    struct kv_layered *y = &n->layered;
    struct kv_counters *counters = &n->serve->counters;
    kv_tick own_sum_tk = 0;
    for (size_t i = 0; i < y->fetchers.count; i++) {
        struct kv_seq *q = kv_seq_at(n->serve, y->fetchers.at[i].seq);
        kv_tick own_tk = y->own_tk.at[i];
        *(q->first_token_tk < 0 ? &q->stall_prefill_tk : &q->stall_decode_tk) += own_tk;
        q->induced_tk -= own_tk;
        own_sum_tk += own_tk;
    }
    n->induced_tk += y->stall_tk;
    counters->fetch_stall_tk += own_sum_tk;
    counters->induced_stall_tk += y->stall_tk * n->running - own_sum_tk;
    if (y->told_tk.count > 0) tell_layers(n);
    y->told_tk.count = 0;
    y->on = false;
    y->fetchers.count = y->pushers.count = 0;
}

/* ---- walking ------------------------------------------------------------------------------------------------ */

/* Arrival of a layer over all fetchers; KV_TICK_NEVER while one is to come. */
static kv_tick layer_tk(const struct kv_instance *n, int32_t layer)
{
    kv_tick latest = n->origin_tk;
    for (size_t i = 0; i < n->layered.fetchers.count; i++) {
        kv_tick at = kv_load_layer_tk(n->serve->tiers, n->layered.fetchers.at[i].load, layer);
        if (at > latest) latest = at;
    }
    return latest;
}

static void layer_starts(struct kv_instance *n)
{
    const struct kv_layered *y = &n->layered;
    int64_t ahead = n->serve->config->fetch.lookahead_layers;
    for (size_t i = 0; i < y->fetchers.count && ahead > 0; i++)
        kv_load_permit(n->serve->tiers, y->fetchers.at[i].load, y->next + 1 + (int32_t)ahead);
}

static void layer_ends(struct kv_instance *n)
{
    struct kv_tiers *t = n->serve->tiers;
    const struct kv_layered *y = &n->layered;
    int64_t bytes = t->layer_bytes[y->next + 1] - t->layer_bytes[y->next];
    for (size_t i = 0; i < y->pushers.count; i++)
        kv_load_computed(t, y->pushers.at[i].load,
                         kv_load_ready_bytes(t, y->pushers.at[i].load) + bytes * y->pushers.at[i].tokens);
}

/* Goes on as far as the present tick allows. */
static void walk(struct kv_instance *n)
{
    struct kv_layered *y = &n->layered;
    while (y->next < layers(n)) {
        if (!y->at_end) {
            kv_tick arrival_tk = layer_tk(n, y->next);
            if (arrival_tk == KV_TICK_NEVER) return;
            if (since_origin(n, arrival_tk) > y->ready) y->ready = since_origin(n, arrival_tk);
        }
        kv_tick due = n->origin_tk + kv_cost_ceil_tk(y->ready);
        if (due > kv_engine_now(n->serve->engine)) {
            kv_timer_arm(n->serve->engine, y->timer, due);
            return;
        }
        if (!y->at_end) {
            layer_starts(n);
            y->ready += y->layer[y->next];
            y->at_end = y->pushers.count > 0;
            y->next += !y->at_end;
        } else {
            layer_ends(n);
            y->at_end = false;
            y->next++;
        }
    }
    y->walks = false;
    finish_step(n);
}

static void walk_on(void *owner, uint32_t kind)
{
    (void)kind;
    walk(owner);
}

void kv_layered_start(struct kv_instance *n, const struct kv_batch *batch)
{
    struct kv_layered *y = &n->layered;
    const struct kv_sim_config *config = n->serve->config;
    kv_compute_layers(config->compute, n->compute, batch, y->layer, layers(n), &y->before, &y->after);
    y->on = y->open = true;
    y->next = 0;
    y->at_end = false;
    y->ready = n->run_start + y->before;
    y->walks = config->fetch.lookahead_layers > 0 || y->pushers.count > 0;
    kv_timer_disarm(n->serve->engine, n->timer);
    if (y->walks) walk(n);
}

/* Permissions are given after all ends of flows of the tick (T19). */
void kv_instance_layer_came(struct kv_instance *n)
{
    if (n->layered.on && n->layered.walks)
        kv_timer_arm(n->serve->engine, n->layered.timer, kv_engine_now(n->serve->engine));
}

void kv_instance_load_ended(struct kv_instance *n)
{
    const struct kv_layered *y = &n->layered;
    if (!y->open || y->walks) return;
    for (size_t i = 0; i < y->fetchers.count; i++)
        if (kv_load_at(n->serve->tiers, y->fetchers.at[i].load)->live) return;
    finish_step(n);
}

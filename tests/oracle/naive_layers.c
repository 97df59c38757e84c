/* SPDX-License-Identifier: Apache-2.0 */
/* Steps whose layers wait for KV (T20), and what the beginnings (T19) and ends (T29) of layers permit: one event a
 * layer. Everything is exact and counted from tick 0: instants here are costs. */
#include "tests/oracle/naive_parts.h"

static kv_cost later(kv_cost a, kv_cost b)
{
    return a > b ? a : b;
}

static kv_cost of_tick(kv_tick tick)
{
    return (kv_cost)tick * KV_COST_PER_TICK;
}

/* Loads that a member of the step waits for. `member` -1: all members. */
static kv_tick arrival(const struct oracle *o, const struct instance *n, int64_t member, int32_t layer)
{
    kv_tick latest = 0;
    for (size_t m = 0; m < n->step.count; m++) {
        const struct seat *s = &o->seats[n->step.at[m].seat];
        for (size_t i = 0; i < s->waits.count && (member < 0 || (size_t)member == m); i++) {
            const struct load *load = s->waits.at[i];
            if (load->layerwise && load->layer_in[layer] > latest) latest = load->layer_in[layer];
        }
    }
    return latest;
}

/* End of the step if only the arrivals of that member counted (-1: all, -2: none). */
static kv_cost end_with(const struct oracle *o, const struct instance *n, int64_t member)
{
    const struct layered *y = &n->layered;
    kv_cost at = y->start + y->before;
    for (int32_t l = 0; l < o->layers; l++) {
        if (member > -2) at = later(at, of_tick(arrival(o, n, member, l)));
        at += y->cost[l];
    }
    return at + y->after + o->overhead;
}

static void stop_waiting_for_ended(struct seat *s)
{
    for (size_t i = 0; i < s->waits.count; i++)
        if (s->waits.at[i]->over) s->waits.at[i--] = s->waits.at[--s->waits.count];
}

/* S_l of the layers whose KV is in; with the last of them the end of the step is known. */
static void find_begins(struct oracle *o, struct instance *n)
{
    struct layered *y = &n->layered;
    if (!y->on || y->known == o->layers) return;
    while (y->known < o->layers) {
        kv_tick in = arrival(o, n, -1, y->known);
        if (in == KV_TICK_NEVER) return;
        kv_cost ready = y->known == 0 ? y->start + y->before : y->begin[y->known - 1] + y->cost[y->known - 1];
        y->begin[y->known++] = later(ready, of_tick(in));
    }
    kv_cost end = y->begin[o->layers - 1] + y->cost[o->layers - 1] + y->after + o->overhead;
    n->spent = end - of_tick(n->origin);
    n->due = n->origin + kv_cost_ceil_tk(n->spent);
    kv_assert(end == end_with(o, n, -1));
}

static void tell(struct oracle *o, struct instance *n);

void naive_step_begin(struct oracle *o, struct instance *n, const struct kv_batch *batch)
{
    struct layered *y = &n->layered;
    bool waits = false, pushes = false;
    for (size_t m = 0; m < n->step.count; m++) {
        struct seat *s = &o->seats[n->step.at[m].seat];
        stop_waiting_for_ended(s);
        waits = waits || s->waits.count > 0;
        naive_handover_step(o, n->step.at[m].seat);
        for (int32_t l = 0; l < o->layers; l++)
            pushes = pushes || naive_handover_wants(o, n->step.at[m].seat, l, s->computed + n->step.at[m].tokens);
    }
    y->on = waits || pushes;
    if (!y->on) {
        n->spent += o->config->compute->price(o->compute, batch).first + o->overhead;
        n->due = n->origin + kv_cost_ceil_tk(n->spent);
        return;
    }
    o->coverage->layered_steps += waits;
    y->start = of_tick(n->origin) + n->spent;
    y->known = y->begins_told = y->ends_told = 0;
    kv_compute_layers(o->config->compute, o->compute, batch, y->cost, o->layers, &y->before, &y->after);
    n->due = KV_TICK_NEVER;
    find_begins(o, n);
    tell(o, n);                      /* what is due at this very tick */
}

/* --- Permissions --- */

/* Load of a member that goes on with layer `layer` + lookahead when this layer begins. */
static bool pauses_before(const struct oracle *o, const struct load *load, int32_t layer)
{
    int64_t lookahead = o->config->fetch.lookahead_layers;
    return load->layerwise && !load->over && lookahead > 0 && layer + lookahead < o->layers
           && load->permitted_layers <= layer + lookahead;
}

static bool begin_matters(const struct oracle *o, const struct instance *n, int32_t layer)
{
    for (size_t m = 0; m < n->step.count; m++) {
        const struct seat *s = &o->seats[n->step.at[m].seat];
        for (size_t i = 0; i < s->waits.count; i++)
            if (pauses_before(o, s->waits.at[i], layer)) return true;
    }
    return false;
}

static bool end_matters(const struct oracle *o, const struct instance *n, int32_t layer)
{
    for (size_t m = 0; m < n->step.count; m++) {
        int64_t seat = n->step.at[m].seat;
        if (naive_handover_wants(o, seat, layer, o->seats[seat].computed + n->step.at[m].tokens)) return true;
    }
    return false;
}

static void permit_layer(struct oracle *o, struct load *load, int32_t layer)
{
    if (!pauses_before(o, load, layer)) return;
    load->permitted_layers = layer + (int32_t)o->config->fetch.lookahead_layers + 1;
    for (size_t p = 0; p < load->parts.count; p++) {
        struct access *a = load->parts.at[p].accesses.at[0];
        if (a->phase == OVER) continue;
        int64_t tokens = a->bytes / naive_read_bytes(o, o->layers);
        naive_permit(o, a, tokens * naive_read_bytes(o, load->permitted_layers));
    }
}

static void layer_begins(struct oracle *o, struct instance *n, int32_t layer)
{
    for (size_t m = 0; m < n->step.count; m++) {
        const struct seat *s = &o->seats[n->step.at[m].seat];
        for (size_t i = 0; i < s->waits.count; i++) permit_layer(o, s->waits.at[i], layer);
    }
}

static void layer_ends(struct oracle *o, struct instance *n, int32_t layer)
{
    for (size_t m = 0; m < n->step.count; m++) {
        int64_t seat = n->step.at[m].seat;
        naive_handover_layer(o, seat, layer, o->seats[seat].computed + n->step.at[m].tokens);
    }
}

static kv_tick begin_tick(const struct layered *y, int32_t layer)
{
    return kv_cost_ceil_tk(y->begin[layer]);
}

static kv_tick end_tick(const struct layered *y, int32_t layer)
{
    return kv_cost_ceil_tk(y->begin[layer] + y->cost[layer]);
}

/* All beginnings and ends up to now. */
static void tell(struct oracle *o, struct instance *n)
{
    struct layered *y = &n->layered;
    if (!y->on) return;
    for (; y->begins_told < y->known && begin_tick(y, y->begins_told) <= o->now; y->begins_told++)
        layer_begins(o, n, y->begins_told);
    for (; y->ends_told < y->known && end_tick(y, y->ends_told) <= o->now; y->ends_told++)
        layer_ends(o, n, y->ends_told);
}

void naive_layers_go_on(struct oracle *o)
{
    for (int32_t i = 0; i < o->config->instance_count; i++) {
        find_begins(o, &o->instances[i]);
        tell(o, &o->instances[i]);
    }
}

kv_tick naive_layers_next_tick(const struct oracle *o)
{
    kv_tick next = KV_TICK_NEVER;
    for (int32_t i = 0; i < o->config->instance_count; i++) {
        const struct instance *n = &o->instances[i];
        const struct layered *y = &n->layered;
        if (!y->on) continue;
        for (int32_t l = y->begins_told; l < y->known; l++)
            if (begin_matters(o, n, l) && begin_tick(y, l) < next) next = begin_tick(y, l);
        for (int32_t l = y->ends_told; l < y->known; l++)
            if (end_matters(o, n, l) && end_tick(y, l) < next) next = end_tick(y, l);
    }
    return next;
}

/* --- The end of the step: who waited for whom --- */

/* T41. */
static void tell_member(struct oracle *o, const struct instance *n, int64_t member)
{
    const struct layered *y = &n->layered;
    kv_tick *in = kv_arena_take(&o->arena, (size_t)o->layers * sizeof *in);
    kv_tick *start = kv_arena_take(&o->arena, (size_t)o->layers * sizeof *start);
    kv_tick *end = kv_arena_take(&o->arena, (size_t)o->layers * sizeof *end);
    struct kv_err err;
    for (int32_t l = 0; l < o->layers; l++) {
        in[l] = arrival(o, n, member, l);
        start[l] = begin_tick(y, l);
        end[l] = end_tick(y, l);
    }
    struct kv_layers_record record = {.request = o->seats[n->step.at[member].seat].job, .layers = o->layers,
                                      .fetch_end_tk = in, .compute_start_tk = start, .compute_end_tk = end};
    if (!o->sink->layers(o->sink->state, &record, &err)) kv_assert(!"the sink takes every record");
}

void naive_step_end(struct oracle *o, struct instance *n)
{
    struct layered *y = &n->layered;
    if (!y->on) return;
    tell(o, n);
    kv_tick none = kv_cost_ceil_tk(end_with(o, n, -2) - of_tick(n->origin)), most = 0;
    most = kv_cost_ceil_tk(end_with(o, n, -1) - of_tick(n->origin)) - none;
    for (size_t m = 0; m < n->step.count; m++) {
        struct job *j = job_of(o, n->step.at[m].seat);
        kv_tick own = kv_cost_ceil_tk(end_with(o, n, (int64_t)m) - of_tick(n->origin)) - none;
        *(j->record->first_token_tk < 0 ? &j->stalled_prefill : &j->stalled_decode) += own;
        j->record->induced_stall_tk += most - own;
        o->counters->fetch_stall_tk += own;
        o->counters->induced_stall_tk += most - own;
    }
    for (size_t m = 0; m < n->step.count; m++) {
        struct seat *s = &o->seats[n->step.at[m].seat];
        for (size_t i = 0; i < s->waits.count; i++) kv_assert(s->waits.at[i]->over);   /* T21 */
        if (s->waits.count > 0 && o->sink && o->sink->layers) tell_member(o, n, (int64_t)m);
        s->waits.count = 0;
    }
    y->on = false;
}

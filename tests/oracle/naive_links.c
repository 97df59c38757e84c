/* SPDX-License-Identifier: Apache-2.0 */
/* Accesses and flows (T15, T17a, T19): turns, delays, and rates that are found anew, part by part and over all links,
 * whenever anything has changed. */
#include <string.h>

#include "tests/oracle/naive_parts.h"

/* On its links: neither waiting for a first permission, nor paused, nor over. */
static bool moving(const struct access *a)
{
    return a->phase == FLOWING && a->flow >= 0 && !a->paused;
}

/* --- Turns, delays, starts --- */

static void start_flow(struct oracle *o, struct access *a)
{
    a->phase = FLOWING;
    a->flow = a->permitted > 0 ? o->flow_orders++ : -1;
    o->rates_stale = true;
}

static void start_delay(struct oracle *o, struct access *a)
{
    a->phase = DELAYED;
    a->delay_end = o->now + a->delay_tk;
    if (a->delay_tk == 0) start_flow(o, a);
}

static bool turn_free(const struct oracle *o, const struct tier_pool *p)
{
    int64_t limit = o->tier[p->tier].concurrency_limit;
    return limit == 0 || p->under_way < limit;
}

static void take_turn(struct oracle *o, struct access *a)
{
    a->turn = true;
    a->pool->under_way++;
    start_delay(o, a);
}

static void leave_line(struct tier_pool *p, const struct access *a)
{
    size_t i = 0;
    while (p->line.at[i] != a) i++;
    p->line.count--;
    memmove(&p->line.at[i], &p->line.at[i + 1], (p->line.count - i) * sizeof *p->line.at);
}

/* The turn goes to the next in line. */
static void give_turn_back(struct oracle *o, struct access *a)
{
    if (!a->turn) return;
    struct tier_pool *p = a->pool;
    a->turn = false;
    p->under_way--;
    while (p->line.count > 0 && turn_free(o, p)) {
        struct access *next = p->line.at[0];
        leave_line(p, next);
        take_turn(o, next);
    }
}

static void enter(struct oracle *o, struct access *a)
{
    a->order = o->access_orders++;
    a->flow = -1;
    kv_vec_push(&o->accesses, a);
}

void naive_access_comes(struct oracle *o, struct access *a, int32_t instance, enum kv_delivery delivery,
                        int64_t chunks)
{
    struct tier_pool *p = a->pool;
    struct kv_access access = {.write = a->write, .delivery = delivery, .chunks = chunks,
                               .number = (uint64_t)p->numbers++};
    struct kv_access_plan plan = o->config->tier[p->tier].store->plan(o->tier[p->tier].store, &access);
    if (a->from) naive_spill_path(o, a->from, p, access.number, &a->path);
    else naive_path(o, p, instance, a->write, access.number, &a->path);
    a->delay_tk = plan.delay_tk + a->path.latency_tk;
    a->ack_tk = plan.ack_tk;
    a->limit = plan.limit >= KV_RATE_UNLIMITED ? plan.limit : plan.limit / o->config->tp;
    enter(o, a);
    o->counters->tier[p->tier].accesses++;
    if (turn_free(o, p)) {
        take_turn(o, a);
        return;
    }
    a->phase = IN_LINE;
    kv_vec_push(&p->line, a);
    o->counters->tier[p->tier].waited_accesses++;
}

void naive_handover_flow(struct oracle *o, struct access *a)
{
    a->delay_tk = a->path.latency_tk;
    a->limit = KV_RATE_UNLIMITED;
    enter(o, a);
    start_delay(o, a);
}

void naive_permit(struct oracle *o, struct access *a, int64_t permitted)
{
    if (permitted <= a->permitted) return;
    a->permitted = permitted;
    if (a->phase != FLOWING) return;
    a->paused = false;
    if (a->flow < 0) a->flow = o->flow_orders++;
    o->rates_stale = true;
}

static void over(struct oracle *o, struct access *a)
{
    size_t i = 0;
    while (o->accesses.at[i] != a) i++;
    o->accesses.count--;
    memmove(&o->accesses.at[i], &o->accesses.at[i + 1], (o->accesses.count - i) * sizeof *o->accesses.at);
    if (a->phase == IN_LINE) leave_line(a->pool, a);
    a->phase = OVER;
    o->rates_stale = true;
    give_turn_back(o, a);
}

int64_t naive_cancel(struct oracle *o, struct access *a)
{
    kv_assert(a->phase != OVER);
    over(o, a);
    return (int64_t)(a->done / KV_SERVICE_PER_BYTE);
}

/* --- Service --- */

void naive_flows_serve(struct oracle *o, kv_tick tick)
{
    kv_tick span = tick - o->flowed;
    o->flowed = tick;
    for (size_t i = 0; span > 0 && i < o->accesses.count; i++) {
        struct access *a = o->accesses.at[i];
        if (!moving(a)) continue;
        kv_service most = (kv_service)a->permitted * KV_SERVICE_PER_BYTE, served = (kv_service)a->rate * span;
        a->done = a->rate >= KV_RATE_UNLIMITED || served > most - a->done ? most : a->done + served;
    }
}

/* Ticks from `flowed` until the flow has delivered `bytes`. */
static kv_tick ticks_to(const struct access *a, int64_t bytes)
{
    kv_service missing = (kv_service)bytes * KV_SERVICE_PER_BYTE - a->done;
    kv_assert(missing > 0);
    return a->rate >= KV_RATE_UNLIMITED ? 1 : kv_rate_ticks(missing, a->rate);
}

/* Where the next layer of a layerwise read is in; all bytes for others. */
static int64_t next_layer_end(const struct oracle *o, const struct access *a)
{
    if (!a->load || !a->load->layerwise) return a->bytes;
    const struct load_part *part = &a->load->parts.at[a->part];
    int64_t tokens = a->bytes / naive_read_bytes(o, o->layers);
    return part->layers_in < o->layers ? tokens * naive_read_bytes(o, part->layers_in + 1) : a->bytes;
}

kv_tick naive_flows_next_tick(const struct oracle *o)
{
    kv_tick next = KV_TICK_NEVER;
    for (size_t i = 0; i < o->accesses.count; i++) {
        const struct access *a = o->accesses.at[i];
        kv_tick at = KV_TICK_NEVER;
        if (a->phase == DELAYED) at = a->delay_end;
        if (moving(a)) {
            int64_t layer = next_layer_end(o, a);
            kv_tick ticks = ticks_to(a, layer < a->permitted ? layer : a->permitted);
            if (ticks < KV_TICK_NEVER - o->flowed) at = o->flowed + ticks;
        }
        if (at < next) next = at;
    }
    return next;
}

/* --- Ends (class 0) --- */

static void reached(struct oracle *o, struct access *a)
{
    if (a->permitted < a->bytes) {
        a->paused = true;
        o->rates_stale = true;
        o->coverage->pauses++;
        give_turn_back(o, a);
        return;
    }
    over(o, a);
    if (a->write_job) naive_write_ended(o, a->write_job);
    else if (a->pool) naive_read_ended(o, a);
    else naive_load_ended(o, a->load);
}

/* A layerwise read: layers that are in now. */
static void note_layers(struct oracle *o, const struct access *a)
{
    if (!a->load || !a->load->layerwise) return;
    struct load_part *part = &a->load->parts.at[a->part];
    while (part->layers_in < o->layers && a->done >= (kv_service)next_layer_end(o, a) * KV_SERVICE_PER_BYTE)
        part->layers_in++;
    naive_note_layers(o, a->load);
}

void naive_flows_end(struct oracle *o)
{
    for (size_t i = 0; i < o->accesses.count; i++) note_layers(o, o->accesses.at[i]);
    for (int64_t last = -1;;) {
        struct access *first = NULL;
        for (size_t i = 0; i < o->accesses.count; i++) {
            struct access *a = o->accesses.at[i];
            if (!moving(a) || a->flow <= last || a->done < (kv_service)a->permitted * KV_SERVICE_PER_BYTE) continue;
            if (!first || a->flow < first->flow) first = a;
        }
        if (!first) break;
        last = first->flow;
        reached(o, first);
    }
    for (;;) {
        struct access *first = NULL;
        for (size_t i = 0; i < o->accesses.count && !first; i++) {
            struct access *a = o->accesses.at[i];
            if (a->phase == DELAYED && a->delay_end <= o->now) first = a;
        }
        if (!first) break;
        start_flow(o, first);
    }
}

/* --- Rates (sim/lib/maxmin.h, with every part a class of its own) --- */

struct part { struct access *access; int32_t number; kv_rate limit, rate; bool fixed; };
typedef KV_VEC(struct part) parts;

/* In order: another flow that started before this one is on the same link. */
static bool blocked(const struct oracle *o, const struct access *a)
{
    for (size_t i = 0; i < o->accesses.count; i++) {
        const struct access *other = o->accesses.at[i];
        if (!moving(other) || other->flow >= a->flow) continue;
        for (int32_t p = 0; p < o->config->tp; p++)
            for (int32_t h = 0; h < a->path.hops[p]; h++) {
                int32_t link = a->path.link[p][h];
                if (o->links.at[link].in_order && naive_parts_on(&other->path, o->config->tp, link) > 0) return true;
            }
    }
    return false;
}

static void add_parts(struct oracle *o, struct access *a, parts *all)
{
    bool waits = blocked(o, a);
    o->coverage->fifo_blocked += waits;
    for (int32_t p = 0; p < o->config->tp; p++) {
        kv_rate limit = waits ? 0 : a->limit;
        for (int32_t h = 0; h < a->path.hops[p]; h++) {
            int32_t link = a->path.link[p][h];
            kv_rate share = o->links.at[link].capacity / naive_parts_on(&a->path, o->config->tp, link);
            if (share < limit) limit = share;
        }
        kv_vec_push(all, ((struct part){.access = a, .number = p, .limit = limit}));
    }
}

static kv_rate share_of(const struct link *l)
{
    return (kv_rate)(l->left / l->unfixed);
}

/* What is left of each link, and who still wants it; then the least share of those that somebody wants. */
static kv_rate least_share(struct oracle *o, const parts *all)
{
    for (size_t l = 0; l < o->links.count; l++) {
        o->links.at[l].left = o->links.at[l].capacity;
        o->links.at[l].unfixed = 0;
    }
    for (size_t i = 0; i < all->count; i++) {
        const struct part *part = &all->at[i];
        const struct path *path = &part->access->path;
        for (int32_t h = 0; h < path->hops[part->number]; h++) {
            struct link *l = &o->links.at[path->link[part->number][h]];
            if (part->fixed) l->left -= part->rate;
            else l->unfixed++;
        }
    }
    kv_rate least = KV_RATE_UNLIMITED;
    for (size_t l = 0; l < o->links.count; l++) {
        if (o->links.at[l].unfixed == 0) continue;
        kv_assert(o->links.at[l].left >= 0);
        if (share_of(&o->links.at[l]) < least) least = share_of(&o->links.at[l]);
    }
    return least;
}

static bool crosses_full_link(const struct oracle *o, const struct part *part, kv_rate lambda)
{
    const struct path *path = &part->access->path;
    for (int32_t h = 0; h < path->hops[part->number]; h++) {
        const struct link *l = &o->links.at[path->link[part->number][h]];
        if (l->unfixed > 0 && share_of(l) == lambda) return true;
    }
    return false;
}

static void fix(struct part *part, kv_rate rate, int64_t *unfixed)
{
    part->fixed = true;
    part->rate = rate;
    --*unfixed;
}

static void share_links(struct oracle *o, parts *all)
{
    for (int64_t unfixed = (int64_t)all->count; unfixed > 0;) {
        kv_rate lambda = least_share(o, all);
        int64_t before = unfixed;
        for (size_t i = 0; i < all->count; i++)
            if (!all->at[i].fixed && all->at[i].limit <= lambda) fix(&all->at[i], all->at[i].limit, &unfixed);
        if (unfixed < before) continue;
        for (size_t i = 0; i < all->count; i++)
            if (!all->at[i].fixed && crosses_full_link(o, &all->at[i], lambda)) fix(&all->at[i], lambda, &unfixed);
        kv_assert(unfixed < before);
        o->coverage->saturated++;
    }
}

void naive_rates(struct oracle *o)
{
    if (!o->rates_stale) return;
    o->rates_stale = false;
    parts all = {0};
    const struct load *layerwise = NULL;
    for (size_t i = 0; i < o->accesses.count; i++) {
        struct access *a = o->accesses.at[i];
        if (!moving(a)) continue;
        add_parts(o, a, &all);
        if (!a->load || !a->load->layerwise) continue;
        o->coverage->overlapping += layerwise && layerwise != a->load;
        layerwise = a->load;
    }
    share_links(o, &all);
    for (size_t i = 0; i < all.count; i++) {
        /* The coflow is symmetric: all parts of a flow go equally fast, so each of them is in when all are. */
        if (all.at[i].number > 0) kv_assert(all.at[i].rate == all.at[i - 1].rate);
        all.at[i].access->rate = all.at[i].rate;
    }
    kv_vec_close(&all);
}

void naive_links_close(struct oracle *o)
{
    kv_vec_close(&o->links);
    kv_vec_close(&o->accesses);
}

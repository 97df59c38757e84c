/* SPDX-License-Identifier: Apache-2.0 */
/* Flows (T15, T17a, T19, T38a): what they have delivered, and rates that are found anew, part by part and over all
 * links, whenever anything has changed. */
#include <string.h>

#include "tests/oracle/naive_parts.h"

/* --- Service --- */

void naive_flows_serve(struct oracle *o, kv_tick tick)
{
    kv_tick span = tick - o->flowed;
    o->flowed = tick;
    for (size_t i = 0; span > 0 && i < o->accesses.count; i++) {
        struct access *a = o->accesses.at[i];
        if (!naive_moving(a)) continue;
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
        if (naive_moving(a)) {
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
        naive_give_turn_back(o, a);
        return;
    }
    naive_access_over(o, a);
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
            if (!naive_moving(a) || a->flow <= last) continue;
            if (a->done < (kv_service)a->permitted * KV_SERVICE_PER_BYTE) continue;
            if (!first || a->flow < first->flow) first = a;
        }
        if (!first) break;
        last = first->flow;
        reached(o, first);
    }
    naive_delays_end(o);
}

/* --- Rates (sim/lib/maxmin.h, with every part a class of its own) --- */

struct part { struct access *access; int32_t number; kv_rate limit, rate; bool fixed; };
typedef KV_VEC(struct part) parts;

/* Another flow that started before this one is on the same link. */
static bool behind_another(const struct oracle *o, const struct access *a, int32_t link)
{
    for (size_t i = 0; i < o->accesses.count; i++) {
        const struct access *other = o->accesses.at[i];
        if (!naive_moving(other) || other->flow >= a->flow) continue;
        if (naive_parts_on(&other->path, o->config->tp, link) > 0) return true;
    }
    return false;
}

static bool blocked(const struct oracle *o, const struct access *a)
{
    for (int32_t p = 0; p < o->config->tp; p++)
        for (int32_t h = 0; h < a->path.hops[p]; h++) {
            int32_t link = a->path.link[p][h];
            if (o->links.at[link].in_order && behind_another(o, a, link)) return true;
        }
    return false;
}

/* T37 to T39: the least of what the access may and what its fetch was granted. */
static kv_rate part_limit(const struct oracle *o, const struct access *a)
{
    kv_rate granted = naive_grant_limit(o, a), limit = a->limit < granted ? a->limit : granted;
    return limit >= KV_RATE_UNLIMITED ? limit : limit / o->config->tp;
}

static void add_parts(struct oracle *o, struct access *a, parts *all)
{
    bool waits = blocked(o, a);
    o->coverage->fifo_blocked += waits;
    for (int32_t p = 0; p < o->config->tp; p++) {
        kv_rate limit = waits ? 0 : part_limit(o, a);
        for (int32_t h = 0; h < a->path.hops[p]; h++) {
            int32_t link = a->path.link[p][h];
            kv_rate share = o->links.at[link].now / naive_parts_on(&a->path, o->config->tp, link);
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
        o->links.at[l].left = o->links.at[l].now;
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

/* T38a: what each link carries with the parts that are on it. */
static void find_capacities(struct oracle *o)
{
    for (size_t l = 0; l < o->links.count; l++) {
        int64_t on = 0;
        for (size_t i = 0; i < o->accesses.count; i++)
            if (naive_moving(o->accesses.at[i]))
                on += naive_parts_on(&o->accesses.at[i]->path, o->config->tp, (int32_t)l);
        o->links.at[l].now = naive_capacity(o, &o->links.at[l], on);
    }
}

static void note_bound(struct oracle *o, kv_rate lambda)
{
    o->coverage->saturated++;
    for (size_t i = 0; i < o->links.count; i++) {
        const struct link *l = &o->links.at[i];
        if (l->curve && l->unfixed > 0 && share_of(l) == lambda && l->now < naive_capacity(o, l, 0))
            o->coverage->curve_bound++;
    }
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
        note_bound(o, lambda);
    }
}

void naive_rates(struct oracle *o)
{
    if (!o->rates_stale) return;
    o->rates_stale = false;
    parts all = {0};
    const struct load *layerwise = NULL;
    find_capacities(o);
    for (size_t i = 0; i < o->accesses.count; i++) {
        struct access *a = o->accesses.at[i];
        if (!naive_moving(a)) continue;
        o->coverage->ungranted += naive_grant_limit(o, a) == 0;
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

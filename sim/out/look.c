/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/out/look.h"

#include <math.h>

const char *const kv_saturation_names[KV_SATURATION_COUNT] = {"STABLE", "BACKLOGGED", "OVERLOADED", "UNKNOWN"};

#define GROWTH_OF_ARRIVALS_MAX 0.05
#define GROWTH_REQUESTS_MAX 10
/* At its limit is: a link above this share of its rate, instances busy for it, accesses of a tier that wait for their
 * turn, blocks in use. Blocks are never used up quite: the last ones are held for the next chunk of somebody. */
#define FULL_LINK 0.99
#define FULL_GPU 0.99
#define FULL_TURNS 0.9
#define FULL_BLOCKS 0.95
/* Named one by one; the rest is counted. */
#define LINKS_NAMED 3

/* Running sums over the bins of the window: of a least-squares line through (bin centre, backlog), and of what
 * stands beside it. */
struct window {
    double n, x, y, xx, xy, waiting, fetching, running, injected, from_s, to_s;
    double busy_s, blocks_used, blocks_s;
    int64_t accesses[KV_TIERS_MAX], waited[KV_TIERS_MAX];
};

struct link_sums { int64_t before, in_window; double flows_s; };

struct look {
    const struct kv_bins *bins;
    struct kv_bins_view *view;
    struct kv_arena *arena;
    struct window window;
    struct link_sums *link;
    double used_s, blocks_s, time_s;          /* referenced blocks of all x time; time of bins with samples */
    double tier_s[KV_TIERS_MAX];              /* chunks held x time */
    kv_tick busy_tk;                          /* of all instances at the end of the bin before */
};

static double larger(double a, double b)
{
    return a > b || isnan(b) ? a : b;
}

static void window_add(struct window *w, const struct kv_bin *b, double busy_s)
{
    double at_s = (kv_tick_to_s(b->start_tk) + kv_tick_to_s(b->end_tk)) / 2;
    double waiting = kv_bin_gauge(b, b->waiting), fetching = kv_bin_gauge(b, b->fetching), y = waiting + fetching;
    if (!w->n) w->from_s = kv_tick_to_s(b->start_tk);
    w->to_s = kv_tick_to_s(b->end_tk);
    at_s -= w->from_s;
    w->n += 1;
    w->x += at_s;
    w->y += y;
    w->xx += at_s * at_s;
    w->xy += at_s * y;
    w->waiting += waiting;
    w->fetching += fetching;
    w->running += kv_bin_gauge(b, b->running);
    w->injected += (double)b->grown.injected;
    w->busy_s += busy_s;
    w->blocks_used += b->active_blocks;
    w->blocks_s += b->active_blocks + b->inactive_blocks + b->free_blocks;
    for (int32_t t = 0; t < KV_TIERS_MAX; t++) {
        w->accesses[t] += b->grown.tier[t].accesses;
        w->waited[t] += b->grown.tier[t].waited_accesses;
    }
}

static void window_judge(const struct window *w, struct kv_bins_view *view)
{
    if (w->n < 4) return;
    double spread = w->n * w->xx - w->x * w->x;
    view->backlog_slope_per_s = spread > 0 ? (w->n * w->xy - w->x * w->y) / spread : 0;
    view->waiting_mean = w->waiting / w->n;
    view->fetching_mean = w->fetching / w->n;
    view->running_mean = w->running / w->n;
    double growth = view->backlog_slope_per_s * (w->to_s - w->from_s);
    if (growth > GROWTH_OF_ARRIVALS_MAX * w->injected && growth > GROWTH_REQUESTS_MAX) {
        view->saturation = KV_OVERLOADED;
    } else {
        view->saturation = w->y / w->n > view->running_mean ? KV_BACKLOGGED : KV_STABLE;
    }
}

/* ---- one bin after the other ---- */

static void add_tiers(struct look *l, const struct kv_bin *b, double span_s)
{
    for (int32_t t = 0; t < l->bins->plant->tier_count; t++) {
        struct kv_tier_gauge g = kv_bin_tier(l->bins->plant, b, t);
        struct kv_tier_view *v = &l->view->tier[t];
        l->tier_s[t] += (g.active + g.inactive) * span_s;
        v->used_peak = larger(g.active + g.inactive, v->used_peak);
        v->occupancy_peak = larger(g.share, v->occupancy_peak);
    }
}

static void add_links(struct look *l, const struct kv_bin *b, bool in_window)
{
    double span_s = kv_tick_to_s(b->end_tk - b->start_tk);
    for (int32_t k = 0; k < l->bins->plant->link_count; k++) {
        struct link_sums *sum = &l->link[k];
        struct kv_link_view *v = &l->view->link[k];
        int64_t bytes = b->link_bytes[k] - sum->before;
        double room = l->bins->plant->link[k].capacity_Bps * span_s, flows = kv_bin_gauge(b, (double)b->link_flows[k]);
        sum->before = b->link_bytes[k];
        if (in_window) sum->in_window += bytes;
        if (room > 0) v->util_peak = larger((double)bytes / room, v->util_peak);
        if (bytes > 0 || !b->samples || !b->link_flows[k]) v->still_since_tk = -1;
        else if (v->still_since_tk < 0) v->still_since_tk = b->start_tk;
        if (!b->samples) continue;
        sum->flows_s += flows * span_s;
        v->flows_peak = larger(flows, v->flows_peak);
    }
}

static void add_bin(struct look *l, const struct kv_bin *b, kv_tick from_tk, kv_tick to_tk)
{
    double span_s = kv_tick_to_s(b->end_tk - b->start_tk);
    bool in_window = b->samples && b->start_tk >= from_tk && b->end_tk <= to_tk;
    kv_tick busy_tk = 0;
    for (int32_t i = 0; i < l->bins->plant->instance_count; i++) busy_tk += b->busy_tk[i];
    if (in_window) window_add(&l->window, b, kv_tick_to_s(busy_tk - l->busy_tk));
    l->busy_tk = busy_tk;
    add_links(l, b, in_window);
    if (!b->samples) return;
    double blocks = b->active_blocks + b->inactive_blocks + b->free_blocks;
    double share = blocks > 0 ? b->active_blocks / blocks : 0;
    l->used_s += share * span_s;
    l->time_s += span_s;
    l->view->kv_utilization_peak = larger(share, l->view->kv_utilization_peak);
    add_tiers(l, b, span_s);
}

/* ---- what is at its limit ---- */

static void limit(struct look *l, const char *words)
{
    struct kv_bins_view *v = l->view;
    const char **list = kv_arena_take(l->arena, ((size_t)v->limit_count + 1) * sizeof *list);
    for (int32_t i = 0; i < v->limit_count; i++) list[i] = v->limit[i];
    list[v->limit_count++] = words;
    v->limit = list;
}

/* The busiest first; a link that moves nothing is fuller than full. */
static double fullness(const struct look *l, int32_t k)
{
    double room = l->bins->plant->link[k].capacity_Bps * (l->window.to_s - l->window.from_s);
    if (l->view->link[k].still_since_tk >= 0) return 2 + l->view->link[k].flows_mean;
    return room > 0 ? (double)l->link[k].in_window / room : 0;
}

static void limit_link(struct look *l, int32_t k)
{
    const struct kv_sim_link *link = &l->bins->plant->link[k];
    double full = fullness(l, k);
    if (full < 2) {
        limit(l, kv_arena_text(l->arena, "link %s carries %.1f %% of its rate", link->name, 100 * full));
        return;
    }
    limit(l, kv_arena_text(l->arena, "link %s moves nothing since %.6g s, %lld flows wait on it", link->name,
                           kv_tick_to_s(l->view->link[k].still_since_tk), (long long)link->flows));
}

static void limit_links(struct look *l)
{
    int32_t count = l->bins->plant->link_count, full = 0;
    bool *told = kv_arena_take(l->arena, ((size_t)count + 1) * sizeof *told);
    for (int32_t k = 0; k < count; k++) full += fullness(l, k) > FULL_LINK;
    for (int32_t n = 0; n < full && n < LINKS_NAMED; n++) {
        int32_t most = -1;
        for (int32_t k = 0; k < count; k++) {
            if (!told[k] && (most < 0 || fullness(l, k) > fullness(l, most))) most = k;
        }
        told[most] = true;
        limit_link(l, most);
    }
    if (full > LINKS_NAMED) limit(l, kv_arena_text(l->arena, "%d more links are full", (int)(full - LINKS_NAMED)));
}

static void find_limits(struct look *l)
{
    const struct window *w = &l->window;
    const struct kv_plant *plant = l->bins->plant;
    if (w->n < 4) return;
    limit_links(l);
    for (int32_t t = 1; t < plant->tier_count; t++) {
        double waited = (double)w->waited[t], all = (double)w->accesses[t];
        if (waited > FULL_TURNS * all) {
            limit(l, kv_arena_text(l->arena, "tier %s lets %.1f %% of its accesses wait for their turn", plant->tier[t],
                                   100 * waited / all));
        }
    }
    double busy = w->busy_s / ((w->to_s - w->from_s) * plant->instance_count);
    double used = w->blocks_s > 0 ? w->blocks_used / w->blocks_s : 0;
    if (busy > FULL_GPU) limit(l, kv_arena_text(l->arena, "GPUs are busy %.1f %% of the time", 100 * busy));
    if (used > FULL_BLOCKS) {
        limit(l, kv_arena_text(l->arena, "%.1f %% of the KV blocks of %s are in use", 100 * used, plant->tier[0]));
    }
}

/* ---- the whole ---- */

/* Where a link that can carry nothing stops flows, the others on their way only wait for it. */
static void blame_dead_links(struct look *l)
{
    const struct kv_plant *plant = l->bins->plant;
    bool dead = false;
    for (int32_t k = 0; k < plant->link_count; k++) {
        dead = dead || (l->view->link[k].still_since_tk >= 0 && !(plant->link[k].capacity_Bps > 0));
    }
    for (int32_t k = 0; dead && k < plant->link_count; k++) {
        if (plant->link[k].capacity_Bps > 0) l->view->link[k].still_since_tk = -1;
    }
}

static void sum_up(struct look *l, kv_tick end_tk)
{
    const struct kv_plant *plant = l->bins->plant;
    struct kv_bins_view *v = l->view;
    double end_s = kv_tick_to_s(end_tk);
    if (l->time_s > 0) v->kv_utilization_mean = l->used_s / l->time_s;
    if (end_s > 0) v->gpu_busy_frac = kv_tick_to_s(l->busy_tk) / (end_s * plant->instance_count);
    for (int32_t t = 0; t < plant->tier_count && l->time_s > 0; t++) {
        v->tier[t].used_mean = l->tier_s[t] / l->time_s;
        if (plant->capacity[t] > 0) v->tier[t].occupancy_mean = v->tier[t].used_mean / (double)plant->capacity[t];
    }
    for (int32_t k = 0; k < plant->link_count && l->time_s > 0; k++) {
        v->link[k].flows_mean = l->link[k].flows_s / l->time_s;
    }
}

struct kv_bins_view kv_bins_look(const struct kv_bins *bins, kv_tick from_tk, kv_tick to_tk, struct kv_arena *arena)
{
    double none = (double)NAN;
    struct kv_bins_view view = {
        .saturation = KV_SATURATION_UNKNOWN, .backlog_slope_per_s = none, .waiting_mean = none, .fetching_mean = none,
        .running_mean = none, .kv_utilization_mean = none, .kv_utilization_peak = none, .gpu_busy_frac = none,
    };
    struct look l = {.bins = bins, .view = &view, .arena = arena};
    size_t links = (size_t)bins->plant->link_count;
    struct kv_bin b = {0};
    l.link = kv_arena_take(arena, (links + 1) * sizeof *l.link);
    view.link = kv_arena_take(arena, (links + 1) * sizeof *view.link);
    for (size_t k = 0; k < links; k++) view.link[k] = (struct kv_link_view){none, none, none, -1};
    for (int32_t t = 0; t < KV_TIERS_MAX; t++) view.tier[t] = (struct kv_tier_view){none, none, none, none};
    for (int32_t i = 0; i < bins->count; i++) {
        bins->read(bins->state, i, &b);
        add_bin(&l, &b, from_tk, to_tk);
    }
    if (!bins->count) return view;
    sum_up(&l, b.end_tk);
    blame_dead_links(&l);
    window_judge(&l.window, &view);
    find_limits(&l);
    return view;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures of /timeseries. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "sim/iface/record.h"
#include "sim/out/format.h"
#include "sim/out/plot.h"

/* Points drawn of a curve over time: more would show as noise. */
#define TIME_POINTS_MAX 240

/* From the fastest tier on; what was computed is grey. */
static const char *const tier_colour[KV_TIERS_MAX] = {
    "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#CC79A7", "#222222", "#D55E00",
};
#define COMPUTE_COLOUR "#BFC4C9"

/* Bins joined in groups, so that at most TIME_POINTS_MAX remain. */
struct axis { int64_t bins, points, group; const int64_t *start, *end; double *x; };

static bool read_axis(struct kv_plotter *p, struct axis *a)
{
    *a = (struct axis){.bins = 0};
    if (!kv_h5in_has(p->in, "/timeseries/time")) return true;
    a->start = kv_h5in_ints(p->in, "/timeseries/time", &a->bins, &p->arena, p->err);
    a->end = a->start ? kv_h5in_ints(p->in, "/timeseries/time_end", &a->bins, &p->arena, p->err) : NULL;
    if (!a->end) return false;
    a->group = (a->bins + TIME_POINTS_MAX - 1) / TIME_POINTS_MAX;
    if (a->group < 1) a->group = 1;
    a->points = (a->bins + a->group - 1) / a->group;
    a->x = kv_arena_take(&p->arena, ((size_t)a->points + 1) * sizeof *a->x);
    for (int64_t i = 0; i < a->points; i++) {
        int64_t last = (i + 1) * a->group < a->bins ? (i + 1) * a->group - 1 : a->bins - 1;
        a->x[i] = (kv_tick_to_s(a->start[i * a->group]) + kv_tick_to_s(a->end[last])) / 2;
    }
    return true;
}

/* A column of the bins: [bin][width]. `label`: of the second dimension, NULL where there is none. */
struct series { const double *value; int32_t width; const char **label; };

static bool read_series(struct kv_plotter *p, const char *path, struct series *s)
{
    struct kv_h5in_column c;
    int64_t rows;
    if (!kv_h5in_column_open(p->in, path, &c, p->err)) return false;
    kv_h5in_column_close(&c);
    *s = (struct series){.width = c.width, .value = kv_h5in_reals(p->in, path, &rows, &p->arena, p->err)};
    if (c.is_wide) s->label = kv_h5in_labels(p->in, path, &p->arena);
    return s->value && (!c.is_wide || s->label || kv_h5in_fail(p->in, path, p->err));
}

/* Column k of a series at the points of the axis: a gauge (mean over the time of the group) or a count (a second). */
static double *points(struct kv_plotter *p, const struct axis *a, const struct series *s, int32_t k, bool per_second)
{
    double *y = kv_arena_take(&p->arena, ((size_t)a->points + 1) * sizeof *y);
    for (int64_t i = 0; i < a->points; i++) {
        double sum = 0, time_s = 0;
        for (int64_t b = i * a->group; b < (i + 1) * a->group && b < a->bins; b++) {
            double span_s = kv_tick_to_s(a->end[b] - a->start[b]), v = s->value[b * s->width + k];
            if (isnan(v)) continue;
            sum += per_second ? v : v * span_s;
            time_s += span_s;
        }
        y[i] = time_s > 0 ? sum / time_s : (double)NAN;
    }
    return y;
}

static void add_curve(struct kv_panel *panel, const struct axis *a, const char *name, double *y, const char *colour)
{
    for (int64_t i = 0; i < a->points && panel->stacked; i++) if (isnan(y[i])) y[i] = 0;
    panel->curve[panel->curve_count++] = (struct kv_curve){name, a->points, a->x, y, colour};
}

static bool add_gauge(struct kv_plotter *p, const struct axis *a, struct kv_panel *panel, const char *name,
                      const char *path)
{
    struct series s;
    if (!read_series(p, path, &s)) return false;
    add_curve(panel, a, name, points(p, a, &s, 0, false), NULL);
    return true;
}

static struct kv_panel blank(const char *title, const char *y_name)
{
    return (struct kv_panel){.title = title, .x_name = "simulated time", .y_name = y_name, .x_axis = KV_AXIS_TIME,
                             .y_axis = KV_AXIS_COUNT, .empty = "the file has no time series"};
}

/* ---- prompt tokens by source ---- */

/* Curves of tokens a second, tiers first, then what was computed. `shares`: names tell the share of the run. */
static bool add_sources(struct kv_plotter *p, const struct axis *a, struct kv_panel *panel, bool shares)
{
    struct series hits, prompt;
    if (!read_series(p, "/timeseries/tier_hits_tokens", &hits)
        || !read_series(p, "/timeseries/prompt_tokens", &prompt)) return false;
    int32_t tiers = hits.width < KV_TIERS_MAX ? hits.width : KV_TIERS_MAX;
    double *rest = points(p, a, &prompt, 0, true), all = 0, found[KV_TIERS_MAX + 1] = {0};
    for (int64_t b = 0; b < a->bins; b++) {
        all += prompt.value[b];
        for (int32_t t = 0; t < tiers; t++) found[t] += hits.value[b * hits.width + t];
    }
    found[tiers] = all;
    for (int32_t t = 0; t <= tiers; t++) {
        char text[KV_FORMAT_MAX];
        double *y = t < tiers ? points(p, a, &hits, t, true) : rest;
        const char *name = t < tiers ? hits.label[t] : "compute";
        for (int64_t i = 0; i < a->points && t < tiers; i++) rest[i] -= y[i];
        if (t < tiers) found[tiers] -= found[t];
        if (shares) {
            name = kv_arena_text(&p->arena, "%s %s", name, kv_format_percent(text, all > 0 ? found[t] / all : 0));
        }
        add_curve(panel, a, name, y, t < tiers ? tier_colour[t] : COMPUTE_COLOUR);
    }
    return true;
}

/* The curves of `from`, each as a share of their sum. */
static void add_shares(struct kv_plotter *p, const struct kv_panel *from, struct kv_panel *panel)
{
    for (int32_t c = 0; c < from->curve_count; c++) {
        const struct kv_curve *curve = &from->curve[c];
        double *y = kv_arena_take(&p->arena, ((size_t)curve->count + 1) * sizeof *y);
        for (int64_t i = 0; i < curve->count; i++) {
            double sum = 0;
            for (int32_t k = 0; k < from->curve_count; k++) sum += from->curve[k].y[i];
            y[i] = sum > 0 ? curve->y[i] / sum : 0;
        }
        panel->curve[panel->curve_count++] = (struct kv_curve){curve->name, curve->count, curve->x, y, curve->colour};
    }
}

bool kv_plot_sources(struct kv_plotter *p, struct kv_page *page)
{
    struct axis a;
    struct kv_panel *tokens = &page->panel[0], *shares = &page->panel[1];
    if (!read_axis(p, &a)) return false;
    *tokens = blank("Prompt tokens by source", "tokens/s");
    *shares = blank("Share of each source", "");
    tokens->wide = shares->wide = tokens->stacked = shares->stacked = true;
    shares->y_axis = KV_AXIS_SHARE;
    page->panel_count = 2;
    page->footer[0] = "Tokens of requests when they were admitted; percentages are shares of the run, warm-up "
                      "included. compute: found nowhere.";
    if (!a.points) return true;
    if (!add_sources(p, &a, tokens, true)) return false;
    add_shares(p, tokens, shares);
    return true;
}

/* ---- overview ---- */

bool kv_plot_overview(struct kv_plotter *p, struct kv_page *page)
{
    struct axis a;
    struct kv_panel *queue = &page->panel[1], *tokens = &page->panel[2], *blocks = &page->panel[3];
    if (!kv_plot_latencies(p, &page->panel[0]) || !read_axis(p, &a)) return false;
    *queue = blank("Requests in the cluster", "requests");
    *tokens = blank("Prompt tokens by source", "tokens/s");
    *blocks = blank("KV blocks", "blocks");
    tokens->stacked = blocks->stacked = true;
    page->panel_count = 4;
    if (!a.points) return true;
    return add_gauge(p, &a, queue, "waiting", "/timeseries/queue_depth")
           && (kv_plot_fact(p, "fetches") == 0 || add_gauge(p, &a, queue, "fetching", "/timeseries/fetching_seqs"))
           && add_gauge(p, &a, queue, "running", "/timeseries/running_seqs")
           && add_sources(p, &a, tokens, false)
           && add_gauge(p, &a, blocks, "active", "/timeseries/active_blocks")
           && add_gauge(p, &a, blocks, "cached", "/timeseries/inactive_blocks")
           && add_gauge(p, &a, blocks, "free", "/timeseries/free_blocks");
}

/* ---- use of links, GPUs and tiers ---- */

/* Mean over time, weighted by it; -1 where nothing is known. */
static double mean_of(const struct axis *a, const struct series *s, int32_t k)
{
    double sum = 0, time_s = 0;
    for (int64_t b = 0; b < a->bins; b++) {
        double span_s = kv_tick_to_s(a->end[b] - a->start[b]), v = s->value[b * s->width + k];
        if (isnan(v)) continue;
        sum += v * span_s;
        time_s += span_s;
    }
    return time_s > 0 ? sum / time_s : -1;
}

/* The fullest links, as many as there are colours. */
static bool add_links(struct kv_plotter *p, const struct axis *a, struct kv_panel *panel)
{
    struct series util;
    panel->empty = "no link of the run has a finite rate";
    if (!kv_h5in_has(p->in, "/timeseries/link_util")) return true;
    if (!read_series(p, "/timeseries/link_util", &util)) return false;
    int32_t shown = util.width < KV_CURVES_MAX ? util.width : KV_CURVES_MAX;
    double *mean = kv_arena_take(&p->arena, (size_t)util.width * sizeof *mean);
    for (int32_t k = 0; k < util.width; k++) mean[k] = mean_of(a, &util, k);
    for (int32_t n = 0; n < shown; n++) {
        char text[KV_FORMAT_MAX];
        int32_t most = 0;
        for (int32_t k = 1; k < util.width; k++) if (mean[k] > mean[most]) most = k;
        const char *share = kv_format_percent(text, mean[most] < 0 ? (double)NAN : mean[most]);
        add_curve(panel, a, kv_arena_text(&p->arena, "%s %s", util.label[most], share),
                  points(p, a, &util, most, false), NULL);
        mean[most] = -2;   /* told */
    }
    if (shown < util.width) {
        panel->title = kv_arena_text(&p->arena, "Links: the %d fullest of %d", (int)shown, (int)util.width);
    }
    return true;
}

/* Mean, least and most over the instances. */
static bool add_gpus(struct kv_plotter *p, const struct axis *a, struct kv_panel *panel)
{
    struct series util;
    if (!read_series(p, "/timeseries/gpu_util", &util)) return false;
    double *mean = points(p, a, &util, 0, false), *least = points(p, a, &util, 0, false);
    double *most = points(p, a, &util, 0, false);
    for (int32_t k = 1; k < util.width; k++) {
        const double *y = points(p, a, &util, k, false);
        for (int64_t i = 0; i < a->points; i++) {
            mean[i] += y[i];
            if (y[i] < least[i]) least[i] = y[i];
            if (y[i] > most[i]) most[i] = y[i];
        }
    }
    for (int64_t i = 0; i < a->points; i++) mean[i] /= util.width;
    add_curve(panel, a, "mean", mean, NULL);
    if (util.width < 2) return true;
    add_curve(panel, a, "busiest instance", most, "#E69F00");
    add_curve(panel, a, "least busy", least, "#56B4E9");
    return true;
}

static bool add_tiers(struct kv_plotter *p, const struct axis *a, struct kv_panel *panel)
{
    struct series held;
    if (!read_series(p, "/timeseries/tier_occupancy", &held)) return false;
    for (int32_t t = 0; t < held.width && t < KV_TIERS_MAX; t++) {
        if (mean_of(a, &held, t) < 0) continue;   /* unlimited */
        add_curve(panel, a, held.label[t], points(p, a, &held, t, false), tier_colour[t]);
    }
    return true;
}

bool kv_plot_util(struct kv_plotter *p, struct kv_page *page)
{
    struct axis a;
    struct kv_panel *links = &page->panel[0], *gpus = &page->panel[1], *tiers = &page->panel[2];
    if (!read_axis(p, &a)) return false;
    *links = blank("Links", "share of the rate");
    *gpus = blank("GPUs", "share of time busy");
    *tiers = blank("Tiers", "share that holds something");
    links->wide = true;
    links->y_axis = gpus->y_axis = tiers->y_axis = KV_AXIS_SHARE;
    page->panel_count = 3;
    page->footer[0] = "Percentages beside the names of links are means over the run. Unlimited tiers are left out.";
    if (!a.points) return true;
    return add_links(p, &a, links) && add_gpus(p, &a, gpus) && add_tiers(p, &a, tiers);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* kvsim plot: from a results file to the panels of a page. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/version.h"
#include "sim/out/format.h"
#include "sim/out/out.h"
#include "sim/out/read.h"
#include "sim/out/svg.h"

/* Points drawn of a distribution and of a curve over time: more do not show at this size, or only as noise. */
#define POINTS_MAX 400
#define TIME_POINTS_MAX 240

const char *const kv_plot_kinds[] = {
    "overview", "latency distributions; queue, cached tokens and KV blocks over time", NULL,
};

struct plotter { struct kv_h5in *in; struct kv_arena arena; struct kv_err *err; };

/* ---- latency distributions ---- */

struct requests { int64_t count; int64_t *arrival, *first_token, *finish, *generated; };

static bool read_requests(struct plotter *p, struct requests *q)
{
    int64_t count;
    return (q->arrival = kv_h5in_ints(p->in, "/requests/arrival", &q->count, &p->arena, p->err))
           && (q->first_token = kv_h5in_ints(p->in, "/requests/first_token", &count, &p->arena, p->err))
           && (q->finish = kv_h5in_ints(p->in, "/requests/finish", &count, &p->arena, p->err))
           && (q->generated = kv_h5in_ints(p->in, "/requests/generated_tokens", &count, &p->arena, p->err));
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Cumulative distribution of `value`, at most POINTS_MAX steps. A logarithmic axis has no place for 0. */
static struct kv_curve distribution(struct plotter *p, const char *name, double *value, int64_t count)
{
    qsort(value, (size_t)count, sizeof *value, by_value);
    int64_t points = count < POINTS_MAX ? count : POINTS_MAX;
    double *x = kv_arena_take(&p->arena, ((size_t)points + 1) * sizeof *x);
    double *y = kv_arena_take(&p->arena, ((size_t)points + 1) * sizeof *y);
    double least = 1e-9;
    for (int64_t i = 0; i + 1 < count && value[i] <= 0; i++) if (value[i + 1] > 0) least = value[i + 1];
    for (int64_t i = 0; i < points; i++) {
        int64_t rank = points > 1 ? i * (count - 1) / (points - 1) : 0;
        x[i] = value[rank] > 0 ? value[rank] : least;
        y[i] = (double)(rank + 1) / (double)count;
    }
    return (struct kv_curve){name, points, x, y};
}

static bool add_latencies(struct plotter *p, struct kv_panel *panel)
{
    struct requests q = {.count = 0};
    *panel = (struct kv_panel){.title = "Latency", .x_name = "time", .y_name = "share of requests",
                               .x_axis = KV_AXIS_LOG_TIME, .y_axis = KV_AXIS_SHARE, .empty = "no requests to show"};
    if (!kv_h5in_has(p->in, "/requests")) return true;
    if (!read_requests(p, &q)) return false;
    size_t bytes = ((size_t)q.count + 1) * sizeof(double);
    double *ttft = kv_arena_take(&p->arena, bytes), *tpot = kv_arena_take(&p->arena, bytes);
    double *e2e = kv_arena_take(&p->arena, bytes), warmup_s = kv_h5in_attribute_real(p->in, "/meta", "warmup_s");
    int64_t finished = 0, gaps = 0;
    for (int64_t i = 0; i < q.count; i++) {
        if (q.finish[i] < 0 || kv_tick_to_s(q.arrival[i]) < warmup_s) continue;
        ttft[finished] = kv_tick_to_s(q.first_token[i] - q.arrival[i]);
        e2e[finished++] = kv_tick_to_s(q.finish[i] - q.arrival[i]);
        if (q.generated[i] > 1) {
            tpot[gaps++] = kv_tick_to_s(q.finish[i] - q.first_token[i]) / (double)(q.generated[i] - 1);
        }
    }
    if (!finished) return true;
    panel->curve[panel->curve_count++] = distribution(p, "TTFT", ttft, finished);
    if (gaps) panel->curve[panel->curve_count++] = distribution(p, "TPOT", tpot, gaps);
    panel->curve[panel->curve_count++] = distribution(p, "E2E", e2e, finished);
    return true;
}

/* ---- over time ---- */

/* Bins joined in groups, so that at most TIME_POINTS_MAX remain. */
struct axis { int64_t bins, points, group; const int64_t *start, *end; double *x; };

static bool read_axis(struct plotter *p, struct axis *a)
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

/* One value a bin; a column of many tiers counts as their sum. */
static double *read_series(struct plotter *p, const char *path)
{
    struct kv_h5in_column c;
    int64_t rows;
    if (!kv_h5in_column_open(p->in, path, &c, p->err)) return NULL;
    kv_h5in_column_close(&c);
    double *value = kv_h5in_reals(p->in, path, &rows, &p->arena, p->err);
    for (int64_t b = 0; value && b < rows; b++) {
        double sum = 0;
        for (int32_t i = 0; i < c.width; i++) sum += value[b * c.width + i];
        value[b] = sum;
    }
    return value;
}

/* A gauge (mean over the time of the group) or a count (per second); `minus` is taken from it when given. */
static bool add_curve(struct plotter *p, const struct axis *a, struct kv_panel *panel, const char *name,
                      const char *path, const char *minus, bool per_second)
{
    const double *value = read_series(p, path), *less = NULL;
    if (!value || (minus && !(less = read_series(p, minus)))) return false;
    double *y = kv_arena_take(&p->arena, ((size_t)a->points + 1) * sizeof *y);
    for (int64_t i = 0; i < a->points; i++) {
        double sum = 0, time_s = 0;
        for (int64_t b = i * a->group; b < (i + 1) * a->group && b < a->bins; b++) {
            double span_s = kv_tick_to_s(a->end[b] - a->start[b]), v = value[b] - (less ? less[b] : 0);
            if (isnan(v)) continue;
            sum += per_second ? v : v * span_s;
            time_s += span_s;
        }
        y[i] = time_s > 0 ? sum / time_s : panel->stacked ? 0 : (double)NAN;
    }
    panel->curve[panel->curve_count++] = (struct kv_curve){name, a->points, a->x, y};
    return true;
}

static bool add_time_panels(struct plotter *p, struct kv_page *page)
{
    struct axis a;
    if (!read_axis(p, &a)) return false;
    struct kv_panel blank = {.x_name = "simulated time", .x_axis = KV_AXIS_TIME, .y_axis = KV_AXIS_COUNT,
                             .empty = "the file has no time series"};
    struct kv_panel *queue = &page->panel[1], *tokens = &page->panel[2], *blocks = &page->panel[3];
    *queue = *tokens = *blocks = blank;
    page->panel_count = 4;
    queue->title = "Requests in the cluster";
    queue->y_name = "requests";
    tokens->title = "Prompt tokens by source";
    tokens->y_name = "tokens/s";
    tokens->stacked = true;
    blocks->title = "KV blocks";
    blocks->y_name = "blocks";
    blocks->stacked = true;
    if (!a.points) return true;
    return add_curve(p, &a, queue, "waiting", "/timeseries/queue_depth", NULL, false)
           && add_curve(p, &a, queue, "running", "/timeseries/running_seqs", NULL, false)
           && add_curve(p, &a, tokens, "computed", "/timeseries/prompt_tokens", "/timeseries/tier_hits_tokens", true)
           && add_curve(p, &a, tokens, "from cache", "/timeseries/tier_hits_tokens", NULL, true)
           && add_curve(p, &a, blocks, "active", "/timeseries/active_blocks", NULL, false)
           && add_curve(p, &a, blocks, "cached", "/timeseries/inactive_blocks", NULL, false)
           && add_curve(p, &a, blocks, "free", "/timeseries/free_blocks", NULL, false);
}

/* ---- words ---- */

static double fact(struct plotter *p, const char *name)
{
    int64_t rows;
    double *value = kv_h5in_reals(p->in, kv_arena_text(&p->arena, "/summary/%s", name), &rows, &p->arena, NULL);
    return value ? value[0] : (double)NAN;
}

static void add_words(struct plotter *p, struct kv_page *page)
{
    char text[6][KV_FORMAT_MAX];
    struct kv_arena *arena = &p->arena;
    int64_t seed = 0;
    const char *name = kv_h5in_attribute(p->in, "/meta", "scenario_name", arena);
    const char *digest = kv_h5in_attribute(p->in, "/meta", "trace_sha256", arena);
    const char *status = kv_h5in_attribute(p->in, "/meta", "status", arena);
    const char *saturation = kv_h5in_text(p->in, "/quality/saturation", arena);
    kv_h5in_attribute_int(p->in, "/meta", "seed", &seed);
    page->title = name && *name ? name : "kvsim";
    page->subtitle = kv_arena_text(arena, "TTFT p50 %s, p99 %s \u2002\u00b7\u2002 TPOT p50 %s \u2002\u00b7\u2002 "
                                   "%s requests/s \u2002\u00b7\u2002 hit ratio %s by token \u2002\u00b7\u2002 %s",
                                   kv_format_duration(text[0], fact(p, "ttft.p50")),
                                   kv_format_duration(text[1], fact(p, "ttft.p99")),
                                   kv_format_duration(text[2], fact(p, "tpot.p50")),
                                   kv_format_rate(text[3], fact(p, "request_throughput")),
                                   kv_format_percent(text[4], fact(p, "hit_ratio_token")),
                                   saturation ? saturation : "");
    page->footer[0] = kv_arena_text(arena, "N = %s finished of %s measured requests (%s in the run), 1 seed (%lld), "
                                    "warm-up %s, %s; no calibration, the compute model is a formula",
                                    kv_format_count(text[0], (int64_t)fact(p, "measured.finished")),
                                    kv_format_count(text[1], (int64_t)fact(p, "measured")),
                                    kv_format_count(text[2], (int64_t)fact(p, "requests")), (long long)seed,
                                    kv_format_duration(text[3], kv_h5in_attribute_real(p->in, "/meta", "warmup_s")),
                                    status ? status : "");
    page->footer[1] = kv_arena_text(arena, "trace sha256 %s; drawn by kvsim %s", digest && *digest ? digest : "(none)",
                                    KV_VERSION);
}

/* The numbers of a page: panel, curve, x, y. */
static void write_csv(const struct kv_page *page, FILE *out)
{
    fputs("panel,curve,x,y\n", out);
    for (int32_t i = 0; i < page->panel_count; i++) {
        for (int32_t c = 0; c < page->panel[i].curve_count; c++) {
            const struct kv_curve *curve = &page->panel[i].curve[c];
            for (int64_t k = 0; k < curve->count; k++) {
                char x[KV_FORMAT_MAX], y[KV_FORMAT_MAX];
                fprintf(out, "%s,%s,%s,%s\n", page->panel[i].title, curve->name, kv_format_real(x, curve->x[k]),
                        kv_format_real(y, curve->y[k]));
            }
        }
    }
}

bool kv_results_plot(const char *path, const char *kind, bool csv, FILE *out, struct kv_err *err)
{
    if (strcmp(kind, "overview")) {
        return kv_fail(err, KV_EUSAGE, "plot", "unknown plot '%s'; known: overview (`kvsim plot list`)", kind);
    }
    struct plotter p = {.err = err, .in = kv_h5in_open(path, err)};
    if (!p.in) return false;
    struct kv_page page = {.panel_count = 1};
    bool ok = add_latencies(&p, &page.panel[0]) && add_time_panels(&p, &page);
    if (ok) {
        add_words(&p, &page);
        if (csv) write_csv(&page, out);
        else kv_svg_write(&page, out);
    }
    kv_h5in_close(p.in);
    kv_arena_close(&p.arena);
    return ok;
}

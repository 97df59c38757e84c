/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures of /requests: distributions of latencies, and what latencies are made of. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sim/out/h5.h"
#include "sim/out/plot.h"

/* Points drawn of a distribution: more do not show at this size. */
#define POINTS_MAX 400

/* ---- latency distributions ---- */

struct requests { int64_t count; int64_t *arrival, *first_token, *finish, *generated; };

static bool read_requests(struct kv_plotter *p, struct requests *q)
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
static struct kv_curve distribution(struct kv_plotter *p, const char *name, double *value, int64_t count)
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
    return (struct kv_curve){name, points, x, y, NULL};
}

bool kv_plot_latencies(struct kv_plotter *p, struct kv_panel *panel)
{
    struct requests q = {.count = 0};
    *panel = (struct kv_panel){.title = "Latency", .x_name = "time", .y_name = "share of requests",
                               .x_axis = KV_AXIS_LOG_TIME, .y_axis = KV_AXIS_SHARE, .empty = "no requests to show"};
    if (!kv_h5in_has(p->in, "/requests")) return true;
    if (!read_requests(p, &q)) return false;
    size_t bytes = ((size_t)q.count + 1) * sizeof(double);
    double *ttft = kv_arena_take(&p->arena, bytes), *tpot = kv_arena_take(&p->arena, bytes);
    double *e2e = kv_arena_take(&p->arena, bytes);
    int64_t finished = 0, gaps = 0;
    for (int64_t i = 0; i < q.count; i++) {
        if (q.finish[i] < 0 || kv_tick_to_s(q.arrival[i]) < p->warmup_s) continue;
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

/* ---- splits ---- */

#define INPUTS(X) \
    X(arrival) X(first_token) X(finish) X(t_queue) X(t_fetch_stall) X(t_prefill) X(t_decode) X(t_preempt) \
    X(t_induced_stall)
enum input {
#define X(name) IN_##name,
    INPUTS(X)
#undef X
    INPUT_COUNT
};

#define PARTS_MAX 5
struct split { const char *title; int parts; const char *name[PARTS_MAX], *colour[PARTS_MAX]; };
static const struct split to_first = {
    "Time to first token", 4, {"queue", "fetch stall", "prefill", "preempted"},
    {"#0072B2", "#D55E00", "#009E73", "#CC79A7"},
};
static const struct split to_last = {
    "End to end", 5, {"queue", "fetch stall", "computing", "induced stall", "preempted"},
    {"#0072B2", "#D55E00", "#56B4E9", "#E69F00", "#CC79A7"},
};

/* Ticks, whole ones; they add up to `sum`. */
struct row { double sum, part[PARTS_MAX]; };

/* What is neither queue nor prefill of the time to first token is the wait for KV, and the rest a preemption. */
static struct row row_of(const struct split *split, const int64_t *v)
{
    kv_tick ttft_tk = v[IN_first_token] - v[IN_arrival], rest_tk = ttft_tk - v[IN_t_queue] - v[IN_t_prefill];
    kv_tick fetch_tk = v[IN_t_fetch_stall] < rest_tk ? v[IN_t_fetch_stall] : rest_tk;
    const kv_tick first[PARTS_MAX] = {v[IN_t_queue], fetch_tk, v[IN_t_prefill], rest_tk - fetch_tk};
    const kv_tick last[PARTS_MAX] = {v[IN_t_queue], v[IN_t_fetch_stall],
                                     v[IN_t_prefill] + v[IN_t_decode] - v[IN_t_induced_stall], v[IN_t_induced_stall],
                                     v[IN_t_preempt]};
    struct row row = {.sum = 0};
    for (int i = 0; i < split->parts; i++) {
        row.part[i] = (double)(split == &to_first ? first : last)[i];
        row.sum += row.part[i];
    }
    return row;
}

static int by_sum(const void *a, const void *b)
{
    double x = ((const struct row *)a)->sum, y = ((const struct row *)b)->sum;
    return (x > y) - (x < y);
}

/* The rows of finished requests after the warm-up, or of p->request alone; *count of them. kv_mem memory of `room`. */
struct rows { struct row *at; int64_t count, room; };

static bool read_rows(struct kv_plotter *p, const struct split *split, struct rows *rows)
{
    static const char *const path[] = {
#define X(name) "/requests/" #name,
        INPUTS(X)
#undef X
    };
    struct kv_h5in_column column[INPUT_COUNT] = {{.handle = 0}};
    int64_t *value[INPUT_COUNT], total = 0, v[INPUT_COUNT];
    bool ok = true;
    for (int i = 0; ok && i < INPUT_COUNT; i++) {
        ok = kv_h5in_column_open(p->in, path[i], &column[i], p->err);
        value[i] = kv_arena_take(&p->arena, KV_H5_CHUNK_ROWS * sizeof *value[i]);
    }
    if (ok) total = column[0].rows;
    *rows = (struct rows){.room = total + 1};
    rows->at = kv_mem_take((size_t)rows->room * sizeof *rows->at);
    for (int64_t first = 0; ok && first < total; first += KV_H5_CHUNK_ROWS) {
        int64_t here = total - first < KV_H5_CHUNK_ROWS ? total - first : KV_H5_CHUNK_ROWS;
        for (int i = 0; ok && i < INPUT_COUNT; i++) {
            ok = kv_h5in_column_ints(&column[i], first, here, value[i]) || kv_h5in_fail(p->in, path[i], p->err);
        }
        for (int64_t r = 0; ok && r < here; r++) {
            for (int i = 0; i < INPUT_COUNT; i++) v[i] = value[i][r];
            bool one = p->request == first + r, measured = kv_tick_to_s(v[IN_arrival]) >= p->warmup_s;
            if (v[IN_finish] < 0 || !(p->request >= 0 ? one : measured)) continue;
            rows->at[rows->count++] = row_of(split, v);
        }
    }
    for (int i = 0; i < INPUT_COUNT; i++) kv_h5in_column_close(&column[i]);
    qsort(rows->at, (size_t)rows->count, sizeof *rows->at, by_sum);
    return ok;
}

/* Seconds: mean of the rows within half a percent of rank q; of all when q < 0. */
static double part_at(const struct rows *rows, int part, double q)
{
    int64_t middle = (int64_t)(q * (double)(rows->count - 1) + 0.5), half = rows->count / 200;
    int64_t first = q < 0 || middle < half ? 0 : middle - half, end = q < 0 ? rows->count : middle + half + 1;
    if (end > rows->count) end = rows->count;
    double sum = 0;
    for (int64_t i = first; i < end; i++) sum += rows->at[i].part[part];
    return sum / (double)(end - first) / (double)KV_TICKS_PER_S;
}

static bool add_split(struct kv_plotter *p, const struct split *split, struct kv_panel *panel)
{
    static const char *const names[] = {"mean", "p50", "p90", "p99"};
    static const double rank[] = {-1, 0.5, 0.9, 0.99};
    int32_t bars = p->request >= 0 ? 1 : 4;
    struct rows rows;
    *panel = (struct kv_panel){.title = split->title, .x_name = "time", .y_name = "", .x_axis = KV_AXIS_TIME,
                               .wide = true, .stacked = true, .bar = names, .bar_count = bars,
                               .empty = "no request finished after the warm-up"};
    bool ok = read_rows(p, split, &rows);
    if (ok && p->request >= 0 && !rows.count) {
        ok = kv_fail(p->err, KV_EUSAGE, "plot", "request %lld did not finish, or is not one of the run",
                     (long long)p->request);
    }
    if (p->request >= 0) {
        const char **one = kv_arena_take(&p->arena, sizeof *one);
        *one = kv_arena_text(&p->arena, "%lld", (long long)p->request);
        panel->bar = one;
        panel->y_name = "request";
    }
    for (int c = 0; ok && rows.count && c < split->parts; c++) {
        double *y = kv_arena_take(&p->arena, (size_t)bars * sizeof *y);
        for (int32_t i = 0; i < bars; i++) y[i] = part_at(&rows, c, rank[i]);
        panel->curve[panel->curve_count++] = (struct kv_curve){split->name[c], bars, NULL, y, split->colour[c]};
    }
    kv_mem_give(rows.at, (size_t)rows.room * sizeof *rows.at);
    return ok;
}

bool kv_plot_waterfall(struct kv_plotter *p, struct kv_page *page)
{
    if (!kv_h5in_has(p->in, "/requests")) {
        return kv_fail(p->err, KV_EIO, "plot", "the file has no /requests: the run had output.requests none");
    }
    page->panel_count = 2;
    page->footer[0] = "p50, p90, p99: requests within half a percent of that rank, their mean. Induced stall: steps "
                      "made longer by the layers of other requests; in the upper panel it is part of prefill.";
    return add_split(p, &to_first, &page->panel[0]) && add_split(p, &to_last, &page->panel[1]);
}

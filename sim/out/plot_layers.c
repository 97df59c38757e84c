/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures of /layers: for each layer of a request when its KV came, how long the step waited and computed. */
#include <math.h>
#include <stdlib.h>

#include "sim/out/plot.h"

/* Requests of a page, unless one is asked for. */
#define REQUESTS_SHOWN 4

/* Seconds [row][layer]; NaN where there is none. */
struct times { int64_t rows; int32_t layers; double *fetch_end, *compute_start, *compute_end, *stall, *ready; };

static double *read_seconds(struct kv_plotter *p, const char *path, int64_t *rows, int32_t *layers)
{
    struct kv_h5in_column c;
    if (!kv_h5in_column_open(p->in, path, &c, p->err)) return NULL;
    size_t count = (size_t)c.rows * (size_t)c.width;
    int64_t *tick = kv_arena_take(&p->arena, (count + 1) * sizeof *tick);
    double *second = kv_arena_take(&p->arena, (count + 1) * sizeof *second);
    bool ok = kv_h5in_column_ints(&c, 0, c.rows, tick) || kv_h5in_fail(p->in, path, p->err);
    for (size_t i = 0; i < count; i++) second[i] = tick[i] < 0 ? (double)NAN : kv_tick_to_s(tick[i]);
    *rows = c.rows;
    *layers = c.width;
    kv_h5in_column_close(&c);
    return ok ? second : NULL;
}

static bool read_times(struct kv_plotter *p, struct times *t)
{
    int32_t one;
    return (t->fetch_end = read_seconds(p, "/layers/fetch_end", &t->rows, &t->layers))
           && (t->compute_start = read_seconds(p, "/layers/compute_start", &t->rows, &t->layers))
           && (t->compute_end = read_seconds(p, "/layers/compute_end", &t->rows, &t->layers))
           && (t->stall = read_seconds(p, "/layers/fetch_stall", &t->rows, &t->layers))
           && (t->ready = read_seconds(p, "/layers/ready", &t->rows, &one));
}

static double stall_s(const struct times *t, int64_t row)
{
    double sum = 0;
    for (int32_t l = 0; l < t->layers; l++) sum += t->stall[row * t->layers + l];
    return sum;
}

/* 0 of the picture: the first layer was there before the step could begin, or it could have begun before that. */
static double origin_s(const struct times *t, int64_t row)
{
    double first = t->ready[row];
    for (int32_t l = 0; l < t->layers; l++) first = fmin(first, t->fetch_end[row * t->layers + l]);
    return first;
}

/* Layers come one after the other: each since the one before, the first since the origin. */
static void add_fetch(struct kv_plotter *p, const struct times *t, int64_t row, struct kv_panel *panel)
{
    double *from = kv_arena_take(&p->arena, (size_t)t->layers * sizeof *from);
    double *to = kv_arena_take(&p->arena, (size_t)t->layers * sizeof *to);
    double origin = origin_s(t, row), before = origin;
    for (int32_t l = 0; l < t->layers; l++) {
        double end = t->fetch_end[row * t->layers + l];
        from[l] = isnan(end) ? (double)NAN : before - origin;
        to[l] = end - origin;
        if (!isnan(end)) before = end;
    }
    panel->curve[panel->curve_count++] = (struct kv_curve){"KV comes", t->layers, from, to, "#0072B2"};
}

static void add_step(struct kv_plotter *p, const struct times *t, int64_t row, struct kv_panel *panel)
{
    size_t bytes = (size_t)t->layers * sizeof(double);
    double *wait = kv_arena_take(&p->arena, bytes), *start = kv_arena_take(&p->arena, bytes);
    double *end = kv_arena_take(&p->arena, bytes), origin = origin_s(t, row);
    for (int32_t l = 0; l < t->layers; l++) {
        int64_t at = row * t->layers + l;
        start[l] = t->compute_start[at] - origin;
        wait[l] = start[l] - t->stall[at];
        end[l] = t->compute_end[at] - origin;
    }
    panel->curve[panel->curve_count++] = (struct kv_curve){"step waits", t->layers, wait, start, "#D55E00"};
    panel->curve[panel->curve_count++] = (struct kv_curve){"computed", t->layers, start, end, "#009E73"};
}

static void add_request(struct kv_plotter *p, const struct times *t, int64_t row, int64_t request,
                        struct kv_page *page)
{
    struct kv_panel *panel = &page->panel[page->panel_count++];
    const char **name = kv_arena_take(&p->arena, (size_t)t->layers * sizeof *name);
    for (int32_t l = 0; l < t->layers; l++) name[l] = kv_arena_text(&p->arena, "%d", (int)l);
    *panel = (struct kv_panel){
        .title = kv_arena_text(&p->arena, "Request %lld", (long long)request), .x_name = "time",
        .y_name = "layer", .x_axis = KV_AXIS_TIME, .wide = true, .span = name, .span_count = t->layers,
    };
    add_fetch(p, t, row, panel);
    add_step(p, t, row, panel);
}

/* The row that waited longest of those not shown yet; -1: none. */
static int64_t next_row(const struct times *t, const bool *shown)
{
    int64_t most = -1;
    for (int64_t i = 0; i < t->rows; i++)
        if (!shown[i] && (most < 0 || stall_s(t, i) > stall_s(t, most))) most = i;
    return most;
}

bool kv_plot_layers(struct kv_plotter *p, struct kv_page *page)
{
    struct times t;
    int64_t rows;
    if (!kv_h5in_has(p->in, "/layers"))
        return kv_fail(p->err, KV_EIO, "plot", "the file has no /layers: run with output.layers: {sample: N}");
    const int64_t *request = kv_h5in_ints(p->in, "/layers/request", &rows, &p->arena, p->err);
    if (!request || !read_times(p, &t)) return false;
    bool *shown = kv_arena_take(&p->arena, (size_t)rows + 1);
    for (int64_t i = 0; i < rows && p->request >= 0; i++)
        if (request[i] == p->request) add_request(p, &t, i, request[i], page);
    if (p->request >= 0 && !page->panel_count)
        return kv_fail(p->err, KV_EUSAGE, "plot", "the layers of request %lld are not in the file: it did not wait "
                       "for any, or is not one of the sample", (long long)p->request);
    for (int64_t row; page->panel_count < REQUESTS_SHOWN && p->request < 0 && (row = next_row(&t, shown)) >= 0;) {
        shown[row] = true;
        add_request(p, &t, row, request[row], page);
    }
    if (!page->panel_count)
        page->panel[page->panel_count++] = (struct kv_panel){.title = "Layers", .wide = true,
                                                             .empty = "no request waited for layers"};
    page->footer[0] = kv_arena_text(&p->arena, "%s of a sample of %lld. Upper bars: the KV of the layer came; lower "
                                    "bars: the step waited for a layer, and computed it. 0: the step could have begun, "
                                    "or the first layer was there.",
                                    p->request >= 0 ? "One" : "Those that waited longest", (long long)rows);
    return true;
}

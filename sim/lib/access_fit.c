/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/lib/access_fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sim/lib/robust.h"

#define NORMAL 1.4826          /* from the median absolute deviation to the deviation of a normal */
#define LEAST_S 1e-9           /* a knot's resolution */

/* ---- cells ---- */

static int by_cell(const void *a, const void *b)
{
    const struct kv_access_sample *x = *(const struct kv_access_sample *const *)a,
                                  *y = *(const struct kv_access_sample *const *)b;
    if (x->op != y->op) return x->op < y->op ? -1 : 1;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? -1 : 1;
    if (x->connections != y->connections) return x->connections < y->connections ? -1 : 1;
    return x < y ? -1 : x > y;
}

static bool same_cell(const struct kv_access_sample *x, const struct kv_access_sample *y)
{
    return x->op == y->op && x->bytes == y->bytes && x->connections == y->connections;
}

static struct kv_access_cell cell_of(const struct kv_access_sample *const *sample, size_t count, double *work)
{
    struct kv_access_cell cell = { .op = sample[0]->op, .bytes = sample[0]->bytes,
                                   .connections = sample[0]->connections, .count = (int32_t)count };
    for (size_t i = 0; i < count; i++) work[i] = sample[i]->first_byte_s;
    cell.first_byte_s = kv_median(work, count);
    for (size_t i = 0; i < count; i++) work[i] = fabs(log(sample[i]->first_byte_s / cell.first_byte_s));
    cell.sigma = NORMAL * kv_median(work, count);
    for (size_t i = 0; i < count; i++) work[i] = sample[i]->sent_s;
    cell.sent_s = kv_median(work, count);
    for (size_t i = 0; i < count; i++) work[i] = sample[i]->total_s, cell.mean_s += work[i] / (double)count;
    cell.total_s = kv_median(work, count);
    return cell;
}

int32_t kv_access_cells(struct kv_arena *arena, const struct kv_access_sample *sample, size_t count, const bool *wanted,
                        struct kv_access_cell **cells)
{
    const struct kv_access_sample **order = kv_arena_take(arena, (count + 1) * sizeof *order);
    double *work = kv_arena_take(arena, (count + 1) * sizeof *work);
    size_t used = 0;
    int32_t made = 0;
    for (size_t i = 0; i < count; i++)
        if (!wanted || wanted[i]) order[used++] = &sample[i];
    if (used) qsort(order, used, sizeof *order, by_cell);
    *cells = kv_arena_take(arena, (used + 1) * sizeof **cells);
    for (size_t from = 0, to; from < used; from = to) {
        for (to = from + 1; to < used && same_cell(order[from], order[to]); to++) { }
        (*cells)[made++] = cell_of(order + from, to - from, work);
    }
    return made;
}

/* ---- grids ---- */

/* The cells of some kinds as a full grid. */
struct grid { int32_t rows, columns; int64_t *x, *y; const struct kv_access_cell **cell; };

static int32_t add(int64_t *list, int32_t count, int64_t value)
{
    int32_t at = 0;
    while (at < count && list[at] < value) at++;
    if (at < count && list[at] == value) return count;
    memmove(list + at + 1, list + at, (size_t)(count - at) * sizeof *list);
    list[at] = value;
    return count + 1;
}

static const struct kv_access_cell *find(const struct kv_access_cell *cell, int32_t count, enum kv_access_op op,
                                         int64_t bytes, int64_t connections)
{
    for (int32_t i = 0; i < count; i++)
        if (cell[i].op == op && cell[i].bytes == bytes && cell[i].connections == connections) return &cell[i];
    return NULL;
}

/* Cells that a line of the grid lacks: of one size (connections across), or of one number of connections. */
static int32_t holes(const struct kv_access_cell *cell, int32_t count, enum kv_access_op op, int64_t bytes,
                     int64_t connections, const int64_t *across, int32_t across_count)
{
    int32_t missing = 0;
    for (int32_t i = 0; i < across_count; i++)
        missing += !find(cell, count, op, bytes ? bytes : across[i], bytes ? across[i] : connections);
    return missing;
}

/* Sizes and connections between which there is no hole: the line with most holes goes, until none is left. */
static struct grid grid_of(struct kv_arena *arena, const struct kv_access_cell *cell, int32_t count,
                           enum kv_access_op op)
{
    struct grid g = { .x = kv_arena_take(arena, (size_t)(count + 2) * sizeof *g.x),
                      .y = kv_arena_take(arena, (size_t)(count + 2) * sizeof *g.y) };
    for (int32_t i = 0; i < count; i++) {
        if (cell[i].op != op) continue;
        g.rows = add(g.x, g.rows, cell[i].bytes);
        g.columns = add(g.y, g.columns, cell[i].connections);
    }
    for (;;) {
        int32_t most = 0, row = -1, column = -1;
        for (int32_t i = 0; i < g.rows; i++) {
            int32_t n = holes(cell, count, op, g.x[i], 0, g.y, g.columns);
            if (n * g.rows > most) most = n * g.rows, row = i, column = -1;
        }
        for (int32_t i = 0; i < g.columns; i++) {
            int32_t n = holes(cell, count, op, 0, g.y[i], g.x, g.rows);
            if (n * g.columns > most) most = n * g.columns, row = -1, column = i;
        }
        if (!most) break;
        if (row >= 0) memmove(g.x + row, g.x + row + 1, (size_t)(--g.rows - row) * sizeof *g.x);
        else memmove(g.y + column, g.y + column + 1, (size_t)(--g.columns - column) * sizeof *g.y);
    }
    g.cell = kv_arena_take(arena, (size_t)(g.rows * g.columns + 1) * sizeof *g.cell);
    for (int32_t i = 0; i < g.rows * g.columns; i++)
        g.cell[i] = find(cell, count, op, g.x[i / g.columns], g.y[i % g.columns]);
    return g;
}

/* Never less with more: half-way, in logarithms, between the least such surface above and the highest below. */
static void level(double *at, int32_t rows, int32_t columns, double *upper)
{
    for (int32_t i = 0; i < rows * columns; i++) {
        upper[i] = at[i];
        if (i >= columns && upper[i - columns] > upper[i]) upper[i] = upper[i - columns];
        if (i % columns && upper[i - 1] > upper[i]) upper[i] = upper[i - 1];
    }
    for (int32_t i = rows * columns - 1; i >= 0; i--) {
        if (i + columns < rows * columns && at[i + columns] < at[i]) at[i] = at[i + columns];
        if ((i + 1) % columns && at[i + 1] < at[i]) at[i] = at[i + 1];
    }
    for (int32_t i = 0; i < rows * columns; i++) at[i] = sqrt(at[i] * upper[i]);
}

/* Values of the grid in whole units of a table; at least one. */
static struct kv_knots knots_of(struct kv_arena *arena, const struct grid *g, const double *at, double unit)
{
    struct kv_knots k = { .rows = g->rows, .columns = g->columns, .x = g->x, .y = g->y,
                          .at = kv_arena_take(arena, (size_t)(g->rows * g->columns + 1) * sizeof *k.at) };
    for (int32_t i = 0; i < g->rows * g->columns; i++) {
        double whole = round(at[i] / unit);
        k.at[i] = whole < 1 ? 1 : whole > (double)KV_KNOTS_NS_MAX ? KV_KNOTS_NS_MAX : (int64_t)whole;
    }
    return k;
}

/* ---- an object store ---- */

/* The medians of a kind of read over its grid, levelled; NULL without a grid. */
static double *fit_waits(struct kv_arena *arena, const struct grid *g, struct kv_knots *knots)
{
    size_t points = (size_t)(g->rows * g->columns);
    double *wait = kv_arena_take(arena, (points + 1) * sizeof *wait);
    double *upper = kv_arena_take(arena, (points + 1) * sizeof *upper);
    if (!points) return NULL;
    for (size_t i = 0; i < points; i++) wait[i] = g->cell[i]->first_byte_s;
    level(wait, g->rows, g->columns, upper);
    *knots = knots_of(arena, g, wait, 1e-9);
    return wait;
}

static void fit_reads(struct kv_arena *arena, const struct kv_access_cell *cell, int32_t count,
                      struct kv_access_fit *fit)
{
    struct grid parts = grid_of(arena, cell, count, KV_OP_RANGE), g = grid_of(arena, cell, count, KV_OP_GET);
    const double *wait = fit_waits(arena, &g, &fit->first_byte);
    if (!wait) return;
    fit_waits(arena, &parts, &fit->range_first_byte);
    double *rate = kv_arena_take(arena, (size_t)(g.rows * g.columns) * sizeof *rate);
    for (int32_t i = 0; i < g.rows * g.columns; i++) {
        double rest_s = g.cell[i]->total_s - wait[i];
        rate[i] = (double)g.cell[i]->bytes * (double)g.cell[i]->connections / (rest_s > LEAST_S ? rest_s : LEAST_S);
    }
    fit->backend = knots_of(arena, &g, rate, 1e3);
}

/* The rate at which the largest body goes out on one connection; what is left of each time is the wait. */
static void fit_writes(struct kv_arena *arena, const struct kv_access_cell *cell, int32_t count,
                       struct kv_access_fit *fit)
{
    struct grid g = grid_of(arena, cell, count, KV_OP_PUT);
    size_t points = (size_t)(g.rows * g.columns + 1);
    double *wait = kv_arena_take(arena, points * sizeof *wait), *upper = kv_arena_take(arena, points * sizeof *upper);
    if (!g.rows || !g.columns) return;
    const struct kv_access_cell *largest = g.cell[(g.rows - 1) * g.columns];
    double sent_s = largest->sent_s > 0 && largest->sent_s < largest->total_s ? largest->sent_s : largest->total_s;
    fit->write_stream_Bps = (double)largest->bytes / sent_s;
    for (int32_t i = 0; i < g.rows * g.columns; i++) {
        wait[i] = g.cell[i]->total_s - (double)g.cell[i]->bytes / fit->write_stream_Bps;
        if (wait[i] < LEAST_S) wait[i] = LEAST_S;
    }
    level(wait, g.rows, g.columns, upper);
    fit->put_ack = knots_of(arena, &g, wait, 1e-9);
}

/* Constants of a single stream, of one kind. */
static bool fit_stream(struct kv_arena *arena, const struct kv_access_sample *sample, size_t count, const bool *wanted,
                       enum kv_access_op op, bool alone, double *start_s, double *rate_Bps)
{
    struct kv_robust_point *point = kv_arena_take(arena, (count + 1) * sizeof *point);
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if ((wanted && !wanted[i]) || sample[i].op != op || (alone && sample[i].connections != 1)) continue;
        double time_s = !alone && sample[i].sent_s > 0 ? sample[i].sent_s : sample[i].total_s;
        point[used++] = (struct kv_robust_point){ (double)sample[i].bytes, (double)sample[i].connections, time_s };
    }
    return kv_robust_stream(point, used, start_s, rate_Bps);
}

static void fit_bandwidth(const struct kv_access_cell *cell, int32_t count, struct kv_access_fit *fit)
{
    for (int32_t i = 0; i < count; i++) {
        double Bps = (double)cell[i].bytes * (double)cell[i].connections / cell[i].mean_s;
        if (Bps > fit->bandwidth_Bps) fit->bandwidth_Bps = Bps;
    }
}

bool kv_access_fit_object(struct kv_arena *arena, const struct kv_access_sample *sample, size_t count,
                          const bool *wanted, struct kv_access_fit *fit, struct kv_err *err)
{
    struct kv_access_cell *cell;
    int32_t cells = kv_access_cells(arena, sample, count, wanted, &cell);
    *fit = (struct kv_access_fit){0};
    if (!fit_stream(arena, sample, count, wanted, KV_OP_GET, true, &fit->first_byte_s, &fit->stream_Bps))
        return kv_fail(err, KV_ECALIB, "fit", "whole GETs over one connection are needed, of at least two sizes; there "
                       "are %d cells in all", cells);
    fit->line_start_s = fit->first_byte_s;
    fit->line_Bps = fit->stream_Bps;
    fit_reads(arena, cell, cells, fit);
    fit_writes(arena, cell, cells, fit);
    fit_bandwidth(cell, cells, fit);
    if (!fit_stream(arena, sample, count, wanted, KV_OP_PUT, true, &fit->put_ack_s, &(double){0})) fit->put_ack_s = 0;
    double *sigma = kv_arena_take(arena, (size_t)(cells + 1) * sizeof *sigma);
    size_t found = 0;
    for (int32_t i = 0; i < cells; i++)
        if (cell[i].op == KV_OP_GET && cell[i].count > 4) sigma[found++] = cell[i].sigma;
    fit->sigma = found ? kv_median(sigma, found) : 0;
    if (fit->backend.rows) fit->stream_Bps = 0;   /* the curve says it, by size */
    return true;
}

/* ---- files ---- */

bool kv_access_fit_files(struct kv_arena *arena, const struct kv_access_sample *sample, size_t count,
                         const bool *wanted, struct kv_access_fit *fit, struct kv_err *err)
{
    struct kv_access_cell *cell;
    int32_t cells = kv_access_cells(arena, sample, count, wanted, &cell);
    *fit = (struct kv_access_fit){0};
    if (!fit_stream(arena, sample, count, wanted, KV_OP_RANGE, false, &fit->first_byte_s, &fit->stream_Bps))
        return kv_fail(err, KV_ECALIB, "fit", "reads of at least two sizes are needed; there are %d cells in all",
                       cells);
    fit->line_start_s = fit->first_byte_s;
    fit->line_Bps = fit->stream_Bps;
    if (!fit_stream(arena, sample, count, wanted, KV_OP_PUT, false, &fit->write_start_s, &fit->write_stream_Bps))
        fit->write_stream_Bps = fit->write_start_s = 0;
    double *ack = kv_arena_take(arena, (size_t)(cells + 1) * sizeof *ack);
    size_t found = 0;
    for (int32_t i = 0; i < cells; i++)
        if (cell[i].op == KV_OP_PUT) ack[found++] = cell[i].total_s - cell[i].sent_s;
    fit->put_ack_s = found ? kv_median(ack, found) : 0;
    fit->bandwidth_Bps = fit->stream_Bps > fit->write_stream_Bps ? fit->stream_Bps : fit->write_stream_Bps;
    return true;
}

/* ---- the model ---- */

static double wait_at(const struct kv_knots *k, double bytes, double connections)
{
    double last = (double)k->y[k->columns - 1];
    return kv_knots_at(k, bytes, connections) * 1e-9 * (connections > last ? connections / last : 1);
}

struct kv_access_times kv_access_model(const struct kv_access_fit *fit, const struct kv_access_cell *cell)
{
    double bytes = (double)cell->bytes, width = (double)cell->connections, first_s, total_s;
    double busy_s = fit->bandwidth_Bps > 0 ? width * bytes / fit->bandwidth_Bps : 0;
    if (cell->op == KV_OP_PUT) {
        double rest_s = fit->put_ack.rows ? wait_at(&fit->put_ack, bytes, width) : fit->put_ack_s;
        double rate = fit->write_stream_Bps > 0 ? fit->write_stream_Bps : fit->line_Bps, sent_s = bytes / rate;
        if (!fit->put_ack.rows && width * bytes / rate > fit->write_start_s + sent_s) sent_s = width * bytes / rate;
        else sent_s += fit->write_start_s;
        first_s = total_s = sent_s + rest_s;
    } else if (fit->first_byte.rows) {
        bool part = cell->op == KV_OP_RANGE && fit->range_first_byte.rows;
        first_s = wait_at(part ? &fit->range_first_byte : &fit->first_byte, bytes, width);
        double share = kv_knots_log_at(&fit->backend, bytes, width) * 1e3 / width;
        total_s = first_s + bytes / share;
    } else {
        first_s = fit->first_byte_s;
        total_s = fit->first_byte_s + bytes / fit->stream_Bps;
        busy_s = width * bytes / fit->stream_Bps;
    }
    return (struct kv_access_times){ first_s, total_s > busy_s ? total_s : busy_s };
}

static void take(struct kv_access_error *error, double model, double measured)
{
    double off = fabs(model / measured - 1);
    error->mean = (error->mean * error->cells + off) / (error->cells + 1);
    error->worst = off > error->worst ? off : error->worst;
    error->cells++;
}

void kv_access_score(const struct kv_access_fit *fit, const struct kv_access_cell *cell, int32_t count,
                     struct kv_access_error *first_byte, struct kv_access_error *read, struct kv_access_error *write)
{
    *first_byte = *read = *write = (struct kv_access_error){0};
    for (int32_t i = 0; i < count; i++) {
        struct kv_access_times model = kv_access_model(fit, &cell[i]);
        if (cell[i].op == KV_OP_PUT) take(write, model.total_s, cell[i].total_s);
        else take(read, model.total_s, cell[i].total_s);
        /* One I/O of a file has no first byte of its own. */
        if (cell[i].op != KV_OP_PUT && fit->first_byte.rows) take(first_byte, model.first_byte_s, cell[i].first_byte_s);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/lib/fit.h"

#include <gsl/gsl_fit.h>
#include <gsl/gsl_linalg.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A full grid; `keep` says which of its lines are knots. */
struct grid {
    int32_t rows, columns;
    int64_t *x, *y;
    double *at;
    bool *keep_row, *keep_column;
};

static int by_value(const void *a, const void *b)
{
    int64_t p = *(const int64_t *)a, q = *(const int64_t *)b;
    return (p > q) - (p < q);
}

/* Sorted, each once. */
static int32_t distinct(int64_t *value, size_t count)
{
    qsort(value, count, sizeof *value, by_value);
    int32_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (i == 0 || value[i] != value[kept - 1]) value[kept++] = value[i];
    return kept;
}

static int32_t index_of(const int64_t *value, int32_t count, int64_t wanted)
{
    int32_t low = 0, high = count;
    while (high - low > 1) {
        int32_t middle = (low + high) / 2;
        *(value[middle] <= wanted ? &low : &high) = middle;
    }
    return low;
}

/* ---- 1: cells ---- */

/* Fills the empty cells (< 0) of one line between full ones; past the outermost full ones too when `ends`. */
static void fill_line(double *at, int32_t stride, const int64_t *where, int32_t count, bool ends)
{
    int32_t last = -1;
    for (int32_t i = 0; i <= count; i++) {
        if (i < count && at[i * stride] < 0) continue;
        for (int32_t j = last + 1; j < i && (last >= 0 || i < count); j++) {
            if (last >= 0 && i < count)
                at[j * stride] = at[last * stride] + (at[i * stride] - at[last * stride])
                                 * (double)(where[j] - where[last]) / (double)(where[i] - where[last]);
            else if (ends)
                at[j * stride] = at[(last >= 0 ? last : i) * stride];
        }
        last = i;
    }
}

static void fill_holes(struct grid *g)
{
    for (int32_t pass = 0; pass < 2; pass++) {
        for (int32_t i = 0; i < g->rows; i++) fill_line(g->at + i * g->columns, 1, g->y, g->columns, pass > 0);
        for (int32_t j = 0; j < g->columns; j++) fill_line(g->at + j, g->columns, g->x, g->rows, pass > 0);
    }
}

static struct grid make_grid(struct kv_arena *arena, const struct kv_fit_point *point, size_t count)
{
    struct grid g = {.x = kv_arena_take(arena, count * sizeof *g.x), .y = kv_arena_take(arena, count * sizeof *g.y)};
    for (size_t i = 0; i < count; i++) {
        g.x[i] = point[i].x;
        g.y[i] = point[i].y;
    }
    g.rows = distinct(g.x, count);
    g.columns = distinct(g.y, count);
    size_t cells = (size_t)g.rows * (size_t)g.columns;
    double *weight = kv_arena_take(arena, cells * sizeof *weight);
    g.at = kv_arena_take(arena, cells * sizeof *g.at);
    for (size_t i = 0; i < count; i++) {
        size_t cell = (size_t)(index_of(g.x, g.rows, point[i].x) * g.columns
                               + index_of(g.y, g.columns, point[i].y));
        g.at[cell] += point[i].ns > 0 ? point[i].ns : 0;
        weight[cell]++;
    }
    for (size_t i = 0; i < cells; i++) g.at[i] = weight[i] > 0 ? g.at[i] / weight[i] : -1;
    g.keep_row = kv_arena_take(arena, (size_t)g.rows);
    g.keep_column = kv_arena_take(arena, (size_t)g.columns);
    memset(g.keep_row, 1, (size_t)g.rows);
    memset(g.keep_column, 1, (size_t)g.columns);
    fill_holes(&g);
    return g;
}

/* ---- 2: which lines stay ---- */

/* For every line the kept ones around it, and its share of the way from one to the other. */
struct between { int32_t from, to; double share; };

static void place(const bool *keep, const int64_t *where, int32_t count, struct between *b)
{
    int32_t from = 0;
    for (int32_t i = 0; i < count; i++) {
        if (keep[i]) from = i;
        int32_t to = from + 1 < count ? from + 1 : from;
        while (to < count - 1 && !keep[to]) to++;
        double way = to > from ? (double)(where[i] - where[from]) / (double)(where[to] - where[from]) : 0;
        b[i] = (struct between){from, to, way};
    }
}

static double worst_error(const struct grid *g, double floor_ns, struct between *row, struct between *column)
{
    double worst = 0;
    place(g->keep_row, g->x, g->rows, row);
    place(g->keep_column, g->y, g->columns, column);
    for (int32_t i = 0; i < g->rows; i++) {
        for (int32_t j = 0; j < g->columns; j++) {
            const double *upper = g->at + row[i].from * g->columns, *lower = g->at + row[i].to * g->columns;
            double right = column[j].share, real = g->at[i * g->columns + j];
            double a = upper[column[j].from] * (1 - right) + upper[column[j].to] * right;
            double b = lower[column[j].from] * (1 - right) + lower[column[j].to] * right;
            double error = fabs(a + (b - a) * row[i].share - real) / fmax(real, floor_ns);
            if (error > worst) worst = error;
        }
    }
    return worst;
}

static int32_t count_kept(const bool *keep, int32_t count)
{
    int32_t kept = 0;
    for (int32_t i = 0; i < count; i++) kept += keep[i];
    return kept;
}

/* Drops the line whose loss hurts least; false when none may go. */
static bool drop_line(struct grid *g, const struct kv_fit_rule *rule, struct between *row, struct between *column)
{
    bool *best = NULL;
    double least = 0;
    bool too_many_rows = count_kept(g->keep_row, g->rows) > rule->rows_max;
    bool too_many_columns = count_kept(g->keep_column, g->columns) > rule->columns_max;
    bool forced = too_many_rows || too_many_columns;
    for (int32_t i = 1; i < g->rows + g->columns - 1; i++) {
        bool is_row = i < g->rows - 1;
        if (i == g->rows - 1 || i == g->rows) continue;   /* the outermost stay */
        bool *line = is_row ? &g->keep_row[i] : &g->keep_column[i - g->rows];
        if (!*line || (forced && !(is_row ? too_many_rows : too_many_columns))) continue;
        *line = false;
        double error = worst_error(g, rule->floor_ns, row, column);
        *line = true;
        if (best && error >= least) continue;
        best = line;
        least = error;
    }
    if (!best || (!forced && least > rule->tolerance)) return false;
    *best = false;
    return true;
}

/* ---- 3: values ---- */

static struct kv_knots kept_knots(struct kv_arena *arena, const struct grid *g)
{
    struct kv_knots k = {.rows = count_kept(g->keep_row, g->rows), .columns = count_kept(g->keep_column, g->columns)};
    k.x = kv_arena_take(arena, (size_t)k.rows * sizeof *k.x);
    k.y = kv_arena_take(arena, (size_t)k.columns * sizeof *k.y);
    k.at = kv_arena_take(arena, (size_t)k.rows * (size_t)k.columns * sizeof *k.at);
    int32_t rows = 0, columns = 0;
    for (int32_t j = 0; j < g->columns; j++)
        if (g->keep_column[j]) k.y[columns++] = g->y[j];
    for (int32_t i = 0; i < g->rows; i++) {
        if (!g->keep_row[i]) continue;
        k.x[rows] = g->x[i];
        for (int32_t j = 0, column = 0; j < g->columns; j++)
            if (g->keep_column[j]) k.at[rows * columns + column++] = llround(g->at[i * g->columns + j]);
        rows++;
    }
    if (k.columns == 1) k.y = NULL;
    return k;
}

/* Weight of a knot's own value beside the points': holds knots that no point is near. */
#define PRIOR 1e-3

/* Share of the way from knot i to the next at `x`; 0 below the first and where there is no next. */
static double share_of(const int64_t *knot, int32_t count, int32_t i, int64_t x)
{
    if (i + 1 >= count || x <= knot[i]) return 0;
    return fmin(1, (double)(x - knot[i]) / (double)(knot[i + 1] - knot[i]));
}

/* Normal equations in units of the knots' own values, which makes them well conditioned; a point touches four knots
 * at most. */
static void refine(struct kv_knots *k, const struct kv_fit_point *point, size_t count, double floor_ns)
{
    size_t unknowns = (size_t)(k->rows * k->columns);
    gsl_matrix *a = gsl_matrix_calloc(unknowns, unknowns);
    gsl_vector *b = gsl_vector_calloc(unknowns);
    for (size_t i = 0; i < count; i++) {
        const struct kv_fit_point *p = &point[i];
        double time = fmax(p->ns, floor_ns), weight[4];
        int32_t row = index_of(k->x, k->rows, p->x), column = k->y ? index_of(k->y, k->columns, p->y) : 0;
        double down = share_of(k->x, k->rows, row, p->x);
        double right = k->y ? share_of(k->y, k->columns, column, p->y) : 0;
        size_t cell[4];
        for (int32_t c = 0; c < 4; c++) {
            weight[c] = (c & 2 ? down : 1 - down) * (c & 1 ? right : 1 - right);
            cell[c] = (size_t)((row + (c >> 1)) * k->columns + column + (c & 1));
            weight[c] *= weight[c] > 0 ? fmax((double)k->at[cell[c]], floor_ns) / time : 0;
        }
        for (int32_t c = 0; c < 16; c++)
            if (weight[c & 3] > 0 && weight[c >> 2] > 0)
                *gsl_matrix_ptr(a, cell[c & 3], cell[c >> 2]) += weight[c & 3] * weight[c >> 2];
        for (int32_t c = 0; c < 4; c++)
            if (weight[c] > 0) *gsl_vector_ptr(b, cell[c]) += weight[c] * p->ns / time;
    }
    for (size_t i = 0; i < unknowns; i++) {
        double unit = fmax((double)k->at[i], floor_ns);
        *gsl_matrix_ptr(a, i, i) += PRIOR;
        *gsl_vector_ptr(b, i) += PRIOR * (double)k->at[i] / unit;
    }
    gsl_linalg_cholesky_decomp1(a);   /* positive definite: PRIOR on the diagonal */
    gsl_linalg_cholesky_svx(a, b);
    for (size_t i = 0; i < unknowns; i++)
        k->at[i] = llround(gsl_vector_get(b, i) * fmax((double)k->at[i], floor_ns));
    gsl_matrix_free(a);
    gsl_vector_free(b);
}

/* ---- 4: rising ---- */

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* At least 1 ns more at every knot: equal costs of unequal work would leave their order to rounding. */
static void make_rising(struct kv_arena *arena, struct kv_knots *k)
{
    int32_t rows = k->rows, columns = k->columns, cells = rows * columns;
    int64_t *upper = kv_arena_take(arena, (size_t)cells * sizeof *upper);
    int64_t *lower = kv_arena_take(arena, (size_t)cells * sizeof *lower);
    for (int32_t i = 0; i < cells; i++) {
        upper[i] = k->at[i];
        if (i >= columns) upper[i] = larger(upper[i], upper[i - columns]);
        if (i % columns) upper[i] = larger(upper[i], upper[i - 1]);
    }
    for (int32_t i = cells - 1; i >= 0; i--) {
        lower[i] = k->at[i];
        if (i + columns < cells && lower[i + columns] < lower[i]) lower[i] = lower[i + columns];
        if ((i + 1) % columns && lower[i + 1] < lower[i]) lower[i] = lower[i + 1];
    }
    for (int32_t i = 0; i < cells; i++) {
        k->at[i] = larger((upper[i] + lower[i]) / 2, 1);
        if (i >= columns) k->at[i] = larger(k->at[i], k->at[i - columns] + 1);
        if (i % columns) k->at[i] = larger(k->at[i], k->at[i - 1] + 1);
    }
}

void kv_fit_knots(struct kv_arena *arena, const struct kv_fit_point *point, size_t count,
                  const struct kv_fit_rule *rule, struct kv_knots *knots)
{
    struct kv_arena scratch = {0};
    struct grid g = make_grid(&scratch, point, count);
    struct between *row = kv_arena_take(&scratch, (size_t)g.rows * sizeof *row);
    struct between *column = kv_arena_take(&scratch, (size_t)g.columns * sizeof *column);
    while (drop_line(&g, rule, row, column)) { }
    *knots = kept_knots(arena, &g);
    refine(knots, point, count, rule->floor_ns);
    make_rising(&scratch, knots);
    kv_arena_close(&scratch);
}

double kv_fit_factor(const struct kv_fit_pair *pair, size_t count)
{
    double factor, variance, chi;
    if (count == 0) return 0;
    const size_t step = sizeof *pair / sizeof(double);
    gsl_fit_wmul(&pair->x, step, &pair->weight, step, &pair->y, step, count, &factor, &variance, &chi);
    return factor;
}

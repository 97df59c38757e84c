/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/lib/robust.h"

#include <gsl/gsl_multifit_nlinear.h>
#include <gsl/gsl_sort.h>
#include <gsl/gsl_statistics.h>
#include <math.h>

#include "sim/base/arena.h"

#define PASSES 20
#define STEPS 100
#define BISQUARE 4.685       /* 95 % efficient where the errors are normal */
#define LEFT_MAX 100         /* a factor of e^100 */
#define DEVIATION 1.4826     /* from the median absolute deviation to the standard deviation of a normal */

double kv_median(double *value, size_t count)
{
    gsl_sort(value, 1, count);
    return gsl_stats_median_from_sorted_data(value, 1, count);
}

struct points { const struct kv_robust_point *at; size_t count; };

/* p = log(start), log(1 / rate). */
static double model_s(const gsl_vector *p, const struct kv_robust_point *at)
{
    double slope = exp(gsl_vector_get(p, 1)) * at->bytes, alone_s = exp(gsl_vector_get(p, 0)) + slope;
    return alone_s > slope * at->width ? alone_s : slope * at->width;
}

static int residuals(const gsl_vector *p, void *data, gsl_vector *f)
{
    const struct points *points = data;
    for (size_t i = 0; i < points->count; i++) {
        double left = log(model_s(p, &points->at[i]) / points->at[i].time_s);
        /* Where the stream starts at once its start tells nothing, and a step may go anywhere: such a one is worse than
         * any, not infinite, so that a smaller one is tried. */
        if (!(left < LEFT_MAX)) left = LEFT_MAX;
        gsl_vector_set(f, i, left);
    }
    return GSL_SUCCESS;
}

/* New weights from what is left over; how much the largest changed. */
static double reweigh(const gsl_vector *left, double *sorted, gsl_vector *weight)
{
    double most = 0;
    for (size_t i = 0; i < left->size; i++) sorted[i] = fabs(gsl_vector_get(left, i));
    double scale = DEVIATION * kv_median(sorted, left->size);
    if (scale < 1e-9) scale = 1e-9;
    for (size_t i = 0; i < left->size; i++) {
        double u = gsl_vector_get(left, i) / (BISQUARE * scale), w = fabs(u) < 1 ? (1 - u * u) * (1 - u * u) : 0;
        double change = fabs(w - gsl_vector_get(weight, i));
        most = change > most ? change : most;
        gsl_vector_set(weight, i, w > 1e-9 ? w : 1e-9);
    }
    return most;
}

/* A start that is near: the least time, and the rate of the largest. */
static bool guess(const struct kv_robust_point *point, size_t count, gsl_vector *p)
{
    size_t least = 0, largest = 0, smallest = 0;
    for (size_t i = 0; i < count; i++) {
        if (point[i].time_s < point[least].time_s) least = i;
        if (point[i].bytes > point[largest].bytes) largest = i;
        if (point[i].bytes < point[smallest].bytes) smallest = i;
    }
    if (!count || point[largest].bytes <= point[smallest].bytes) return false;
    gsl_vector_set(p, 0, log(point[least].time_s));
    gsl_vector_set(p, 1, log(point[largest].time_s / (point[largest].bytes * point[largest].width)));
    return true;
}

bool kv_robust_stream(const struct kv_robust_point *point, size_t count, double *start_s, double *rate_Bps)
{
    double first[2];
    gsl_vector_view p = gsl_vector_view_array(first, 2);
    if (count < 3 || !guess(point, count, &p.vector)) return false;
    struct points points = {point, count};
    gsl_multifit_nlinear_fdf fdf = { .f = residuals, .n = count, .p = 2, .params = &points };
    gsl_multifit_nlinear_parameters how = gsl_multifit_nlinear_default_parameters();
    gsl_multifit_nlinear_workspace *w = gsl_multifit_nlinear_alloc(gsl_multifit_nlinear_trust, &how, count, 2);
    gsl_vector *weight = gsl_vector_alloc(count), *left = gsl_vector_alloc(count);
    double *sorted = kv_mem_take(count * sizeof *sorted), change = 1;
    gsl_vector_set_all(weight, 1);
    for (int pass = 0; pass < PASSES && change > 1e-4; pass++) {
        int info;
        gsl_multifit_nlinear_winit(&p.vector, weight, &fdf, w);
        gsl_multifit_nlinear_driver(STEPS, 1e-10, 1e-10, 0, NULL, NULL, &info, w);
        gsl_vector_memcpy(&p.vector, gsl_multifit_nlinear_position(w));
        residuals(&p.vector, &points, left);
        change = reweigh(left, sorted, weight);
    }
    *start_s = exp(first[0]);
    *rate_Bps = exp(-first[1]);
    kv_mem_give(sorted, count * sizeof *sorted);
    gsl_vector_free(left);
    gsl_vector_free(weight);
    gsl_multifit_nlinear_free(w);
    return isfinite(*start_s) && isfinite(*rate_Bps);
}

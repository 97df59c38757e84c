/* SPDX-License-Identifier: Apache-2.0 */
/* From measured points to knots: as few as meet the points, rising in every axis.
 *
 *   1. cells of equal (x, y) are averaged, holes of the grid filled from their neighbours
 *   2. lines of the grid go, one by one, while the rest still meets every cell within `tolerance`
 *   3. the values at the lines left are those of least squared relative error over all points (GSL)
 *   4. what falls with more work is levelled out: half-way between the two monotone envelopes
 *
 * Both step 2 and step 3 look at relative errors, of times not below `floor_ns`. */
#ifndef KV_LIB_FIT_H
#define KV_LIB_FIT_H

#include "sim/lib/knots.h"

struct kv_fit_point { int64_t x, y; double ns; };   /* y = 0 everywhere: one axis */

struct kv_fit_rule {
    double tolerance;            /* > 0; < 0: no line goes */
    double floor_ns;             /* > 0 */
    int32_t rows_max, columns_max;   /* the tolerance gives way to these */
};

/* At least one point. The knots are in the arena. */
void kv_fit_knots(struct kv_arena *arena, const struct kv_fit_point *point, size_t count,
                  const struct kv_fit_rule *rule, struct kv_knots *knots);

/* The factor c of least squared weighted error of y = c * x. */
struct kv_fit_pair { double x, y, weight; };
double kv_fit_factor(const struct kv_fit_pair *pair, size_t count);

#endif

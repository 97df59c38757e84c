/* SPDX-License-Identifier: Apache-2.0 */
/* Times at whole-numbered knots, over one axis or a full grid of two: what a profile's CSV tables hold.
 *
 * The first columns are the axes, the others values: `NAME_us` a time in microseconds (exact to the ns),
 * `NAME_permille` a share in thousandths. Rows are sorted by the axes, without gaps in the grid. Inside the knots
 * values are interpolated linearly; below the first knot of an axis they stay, past the last they are the reader's
 * affair. */
#ifndef KV_LIB_KNOTS_H
#define KV_LIB_KNOTS_H

#include "sim/base/arena.h"
#include "sim/base/err.h"

#define KV_KNOTS_MAX 512            /* of one axis */
#define KV_KNOTS_AXIS_MAX (INT64_C(1) << 30)
#define KV_KNOTS_NS_MAX (INT64_C(3600) * 1000000000)

struct kv_knots {
    int32_t rows, columns;          /* columns is 1 for one axis */
    int64_t *x, *y;                 /* ascending; y is NULL for one axis */
    int64_t *at;                    /* [row * columns + column], ns or thousandths */
};

/* Columns of a table, in order; each list ends with NULL. */
struct kv_knots_form { const char *axis[3], *value[4]; };

/* Reads PATH into one kv_knots a value column. Failures name file and line. */
bool kv_knots_read(struct kv_arena *arena, const char *path, const struct kv_knots_form *form, struct kv_knots *knots,
                   struct kv_err *err);
/* The file that kv_knots_read reads back as the same numbers; replaces PATH. */
bool kv_knots_write(const char *path, const struct kv_knots_form *form, const struct kv_knots *knots,
                    struct kv_err *err);

/* Bilinear between knots, the nearest knot's value outside: for fits and their errors, not for pricing. `y` is
 * ignored where there is one axis. */
double kv_knots_at(const struct kv_knots *knots, double x, double y);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Times at whole-numbered knots, over one axis or a full grid of two: what a profile's CSV tables hold.
 *
 * The first columns are the axes, the others values: `NAME_us` a time in microseconds (exact to the ns),
 * `NAME_permille` a share in thousandths, `NAME_GBps` a rate in 10^9 byte/s (exact to the kB/s). Rows are sorted by
 * the axes, without gaps in the grid. Inside the knots values are interpolated linearly; below the first knot of an
 * axis they stay, past the last they are the reader's affair. */
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
    int64_t *at;                    /* [row * columns + column]: ns, thousandths, kB/s */
};

/* Columns of a table, in order; each list ends with NULL. */
struct kv_knots_form { const char *axis[3], *value[4]; };

/* Reads PATH into one kv_knots a value column. Failures name file and line. */
bool kv_knots_read(struct kv_arena *arena, const char *path, const struct kv_knots_form *form, struct kv_knots *knots,
                   struct kv_err *err);
/* The file that kv_knots_read reads back as the same numbers; replaces PATH. */
bool kv_knots_write(const char *path, const struct kv_knots_form *form, const struct kv_knots *knots,
                    struct kv_err *err);

/* What the values of a table must be: told with file and line. POSITIVE: > 0. RISING: that, and never less with more of
 * either axis. */
enum kv_knots_rule { KV_KNOTS_POSITIVE, KV_KNOTS_RISING };
bool kv_knots_check(const char *path, const struct kv_knots *knots, enum kv_knots_rule rule, struct kv_err *err);

/* Bilinear between knots, the nearest knot's value outside: for fits and their errors, not for pricing. `y` is
 * ignored where there is one axis. */
double kv_knots_at(const struct kv_knots *knots, double x, double y);

/* The same, bilinear in the logarithms of axes and values: for what grows by factors. Axes and values > 0. */
double kv_knots_log_at(const struct kv_knots *knots, double x, double y);

#endif

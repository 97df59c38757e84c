/* SPDX-License-Identifier: Apache-2.0 */
/* Reading results files back, for export and plot. Knows the schema no better than any other reader does. */
#ifndef KV_OUT_READ_H
#define KV_OUT_READ_H

#include "sim/base/arena.h"
#include "sim/base/err.h"

struct kv_h5in;
/* Refuses what is not a kvsim results file of a known major version. */
struct kv_h5in *kv_h5in_open(const char *path, struct kv_err *err);
void kv_h5in_close(struct kv_h5in *f);

bool kv_h5in_has(struct kv_h5in *f, const char *path);
/* NULL when there is none. Arena text. */
const char *kv_h5in_text(struct kv_h5in *f, const char *path, struct kv_arena *arena);
const char *kv_h5in_attribute(struct kv_h5in *f, const char *object, const char *name, struct kv_arena *arena);
bool kv_h5in_attribute_int(struct kv_h5in *f, const char *object, const char *name, int64_t *value);
double kv_h5in_attribute_real(struct kv_h5in *f, const char *object, const char *name);   /* NaN when there is none */

/* A dataset of rows x width (width 1 for one dimension; scalars have one row). */
struct kv_h5in_column {
    int64_t handle;              /* hid_t */
    int64_t rows;
    int32_t width;
    bool is_real, is_text, ticks, is_scalar;   /* ticks: seconds in units of a tick */
    bool is_wide;                /* two dimensions, whatever the width */
    bool fills;                  /* -1 in integers: undefined */
};
bool kv_h5in_column_open(struct kv_h5in *f, const char *path, struct kv_h5in_column *c, struct kv_err *err);
bool kv_h5in_column_ints(const struct kv_h5in_column *c, int64_t first, int64_t rows, int64_t *value);
bool kv_h5in_column_reals(const struct kv_h5in_column *c, int64_t first, int64_t rows, double *value);
void kv_h5in_column_close(struct kv_h5in_column *c);
/* A whole column in arena memory; NULL and *err on failure. */
int64_t *kv_h5in_ints(struct kv_h5in *f, const char *path, int64_t *rows, struct kv_arena *arena, struct kv_err *err);
double *kv_h5in_reals(struct kv_h5in *f, const char *path, int64_t *rows, struct kv_arena *arena, struct kv_err *err);
/* Texts of a one-dimensional dataset. */
const char **kv_h5in_texts(struct kv_h5in *f, const char *path, int32_t *count, struct kv_arena *arena);

/* Labels along the second dimension of a wide dataset, as many as its width: the scale's texts, or numbers. NULL when
 * it has no scale. */
const char **kv_h5in_labels(struct kv_h5in *f, const char *path, struct kv_arena *arena);
/* Names of the values 0, 1, .. of a dataset that has names for its values, in that order; NULL when it has none. */
const char **kv_h5in_meanings(struct kv_h5in *f, const char *path, int32_t *count, struct kv_arena *arena);
/* Is the dataset a dimension scale? */
bool kv_h5in_is_scale(struct kv_h5in *f, const char *path);

/* Names of the datasets of a group, in the order of their making. */
const char **kv_h5in_members(struct kv_h5in *f, const char *group, int32_t *count, struct kv_arena *arena);

/* Fills err: the file is damaged or not readable. */
bool kv_h5in_fail(struct kv_h5in *f, const char *object, struct kv_err *err);

#endif

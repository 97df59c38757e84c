/* SPDX-License-Identifier: Apache-2.0 */
/* Measured times of GPU operators: a folder with samples.yaml and CSV tables (docs/calibration.md, "Raw samples"), as
 * `kvsim calib gpu` writes it; and the tables of others with columns of other names. */
#ifndef KV_CONF_OP_SAMPLES_H
#define KV_CONF_OP_SAMPLES_H

#include "sim/base/err.h"
#include "sim/lib/op_model.h"

#define KV_OP_SAMPLES_VERSION 1

/* Where measurements come from: the same in samples.yaml and in the profile made of them. */
struct kv_op_origin {
    const char *gpu, *label, *date, *driver, *cuda, *clocks, *engine, *origin, *commit, *licence, *note;
    int64_t sms;                  /* multiprocessors */
};

struct kv_op_samples {
    struct kv_op_origin from;
    struct kv_op_rows table[KV_OPS];   /* count 0: not measured */
};

/* Columns of one table: names of the keys in the order of kv_op_forms, and how a time becomes us. */
struct kv_op_columns {
    const char *type, *key[KV_OP_KEYS_MAX + 1], *time;
    double us;                    /* of one unit of the time column */
    const char *only, *value;     /* rows whose column `only` says anything but `value` are passed over; or NULL */
    const char *second;           /* of ours: the column of a second time; or NULL */
    bool raw;                     /* ours: spread_us and samples as well, no other columns, sorted, no key twice */
};

/* Adds the rows of PATH (or PATH.gz); texts are in the arena. False where neither is there: *err with code KV_EIO. */
bool kv_op_rows_read(struct kv_arena *arena, const char *path, const struct kv_op_columns *columns,
                     struct kv_op_rows *rows, struct kv_err *err);

/* Reads FOLDER. A failure names file, line and reason. Close what was read in any case. */
bool kv_op_samples_read(struct kv_arena *arena, const char *folder, struct kv_op_samples *samples, struct kv_err *err);
void kv_op_samples_close(struct kv_op_samples *samples);

/* Holds out rows: `permille` of them at random, or all those of `permille` of the shapes (what kv_op_shape_of tells
 * apart) when `shapes`. */
void kv_op_hold(enum kv_op op, struct kv_op_rows *rows, int64_t permille, bool shapes, uint64_t seed);

/* Mean |predicted / measured - 1| over the held rows of one type (NULL: all); 0 where there are none. */
double kv_op_score(const struct kv_op_model *model, enum kv_op op, int32_t multiprocessors,
                   const struct kv_op_rows *rows, int64_t *count);

#endif

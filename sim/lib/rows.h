/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of a trace file, line by line: what all readers do alike around the reading of one row. Empty lines are
 * passed over; a damaged row is told, or with skip_bad_rows counted and left out; a file without rows is an error. */
#ifndef KV_LIB_ROWS_H
#define KV_LIB_ROWS_H

#include "sim/lib/csv.h"
#include "sim/lib/field.h"

/* What became of a line. BAD: *err is filled; where in->failed is set too, the file cannot be read on. */
enum kv_row_kind { KV_ROW_BAD = -1, KV_ROW_NONE, KV_ROW_GOOD };

struct kv_rows {
    struct kv_input in;
    struct kv_order order;     /* of the last good row: kv_order_check */
    bool skip_bad_rows;
    bool header;               /* CSV: the header has been read */
    int64_t good, bad;
};

/* The struct must be zeroed; `path` must outlive it. A file that cannot be opened is KV_EIO. */
bool kv_rows_open(struct kv_rows *r, const char *path, bool digest, bool skip_bad_rows, struct kv_err *err);
void kv_rows_close(struct kv_rows *r);
/* The next good row: `read` is called for each line. 1: it has one; 0: the end; -1: *err. */
int kv_rows_next(struct kv_rows *r, enum kv_row_kind (*read)(void *state, struct kv_err *err), void *state,
                 struct kv_err *err);

/* Columns of a CSV file, found by the names in its header; others are passed over. */
#define KV_COLUMNS_MAX 16
struct kv_columns {
    const char *const *name;   /* NULL-terminated; the first `required` must be there */
    int32_t required;
    int32_t place[KV_COLUMNS_MAX];   /* in the file, -1: absent */
    int32_t width;             /* columns of the file */
    struct kv_csv csv;         /* the current line */
};
/* The current line as the header, which is told to `rows`. KV_ROW_NONE, or KV_ROW_BAD and the end of the file. */
enum kv_row_kind kv_columns_header(struct kv_columns *c, struct kv_rows *rows, struct kv_err *err);
/* The current line as a row. False with *err. */
bool kv_columns_row(struct kv_columns *c, const struct kv_rows *rows, struct kv_err *err);
/* Fields of the row. */
static inline const struct kv_csv_field *kv_columns_field(const struct kv_columns *c, int32_t column)
{
    return &c->csv.field[c->place[column]];
}
bool kv_columns_whole(const struct kv_columns *c, const struct kv_rows *rows, int32_t column, int64_t max,
                      int64_t *value, struct kv_err *err);

#endif

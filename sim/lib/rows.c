/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/lib/rows.h"

#include <string.h>

bool kv_rows_open(struct kv_rows *r, const char *path, bool digest, bool skip_bad_rows, struct kv_err *err)
{
    r->skip_bad_rows = skip_bad_rows;
    return kv_input_open(&r->in, path, digest, err);
}

void kv_rows_close(struct kv_rows *r)
{
    kv_input_close(&r->in);
}

int kv_rows_next(struct kv_rows *r, enum kv_row_kind (*read)(void *state, struct kv_err *err), void *state,
                 struct kv_err *err)
{
    for (;;) {
        int got = kv_input_line(&r->in, err);
        if (got < 0) return -1;
        if (got == 0) break;
        if (r->in.length == 0) continue;
        enum kv_row_kind kind = read(state, err);
        if (kind == KV_ROW_GOOD) {
            r->good++;
            return 1;
        }
        if (kind == KV_ROW_NONE) continue;
        if (r->in.failed) return -1;
        r->bad++;
        if (!r->skip_bad_rows) return -1;
    }
    if (r->good + r->bad > 0 || r->in.failed) return 0;
    return kv_input_stop(&r->in, err, r->header ? "the file has a header but no rows" : "the file is empty");
}

enum kv_row_kind kv_columns_header(struct kv_columns *c, struct kv_rows *rows, struct kv_err *err)
{
    struct kv_input *in = &rows->in;
    if (!kv_csv_split(&c->csv, in->line, in->length)) return kv_input_stop(in, err, "this is not a CSV header");
    for (int32_t k = 0; c->name[k]; k++) {
        c->place[k] = kv_csv_find(&c->csv, c->name[k]);
        if (c->place[k] < 0 && k < c->required) {
            return kv_input_stop(in, err, "the header has no column '%s'; it begins with '%s'", c->name[k],
                                 kv_excerpt(c->csv.field[0].text, c->csv.field[0].length).text);
        }
        for (int32_t i = c->place[k] + 1; i < c->csv.count; i++) {
            if (c->place[k] >= 0 && strcmp(c->csv.field[i].text, c->name[k]) == 0)
                return kv_input_stop(in, err, "the header has the column '%s' twice", c->name[k]);
        }
    }
    rows->header = true;
    c->width = c->csv.count;
    return KV_ROW_NONE;
}

bool kv_columns_row(struct kv_columns *c, const struct kv_rows *rows, struct kv_err *err)
{
    if (!kv_csv_split(&c->csv, rows->in.line, rows->in.length))
        return kv_input_fail(&rows->in, err, "a quoted field does not end, or there are too many fields");
    return c->csv.count == c->width
           || kv_input_fail(&rows->in, err, "%d fields found, the header has %d", c->csv.count, c->width);
}

bool kv_columns_whole(const struct kv_columns *c, const struct kv_rows *rows, int32_t column, int64_t max,
                      int64_t *value, struct kv_err *err)
{
    const struct kv_csv_field *f = kv_columns_field(c, column);
    return kv_field_whole(&rows->in, c->name[column], f->text, f->length, max, value, err);
}

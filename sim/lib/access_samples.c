/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/lib/access_samples.h"

#include <string.h>

#include "sim/lib/rows.h"

static const char *const op_names[] = {"get", "range", "put"};
enum { OP, BYTES, CONNECTIONS, ROUND, FIRST_BYTE, SENT, TOTAL, OUTCOME };
static const char *const column_names[] = {"op", "bytes", "connections", "round", "first_byte_us", "sent_us",
                                           "total_us", "outcome", NULL};

const char *kv_access_op_name(enum kv_access_op op)
{
    return op_names[op];
}

struct reading {
    struct kv_rows rows;
    struct kv_columns columns;
    KV_VEC(struct kv_access_sample) sample;
    struct kv_access_samples *out;
};

static bool read_op(const struct reading *r, enum kv_access_op *op, struct kv_err *err)
{
    const struct kv_csv_field *f = kv_columns_field(&r->columns, OP);
    for (size_t i = 0; i < sizeof op_names / sizeof *op_names; i++) {
        if (strcmp(f->text, op_names[i]) != 0) continue;
        *op = (enum kv_access_op)i;
        return true;
    }
    return kv_input_fail(&r->rows.in, err, "op: '%s' is none of get, range, put", kv_excerpt(f->text, f->length).text);
}

static bool read_time(const struct reading *r, int32_t column, double *time_s, struct kv_err *err)
{
    const struct kv_csv_field *f = kv_columns_field(&r->columns, column);
    int64_t ns;
    if (!kv_field_ns(&r->rows.in, column_names[column], f->text, f->length, 3, &ns, err)) return false;
    *time_s = (double)ns * 1e-9;
    return true;
}

static enum kv_row_kind read_row(void *state, struct kv_err *err)
{
    struct reading *r = state;
    if (!r->rows.header) return kv_columns_header(&r->columns, &r->rows, err);
    struct kv_access_sample s = {0};
    int64_t connections, round;
    if (!kv_columns_row(&r->columns, &r->rows, err) || !read_op(r, &s.op, err)
        || !kv_columns_whole(&r->columns, &r->rows, BYTES, KV_KNOTS_AXIS_MAX, &s.bytes, err)
        || !kv_columns_whole(&r->columns, &r->rows, CONNECTIONS, 65536, &connections, err)
        || !kv_columns_whole(&r->columns, &r->rows, ROUND, 1 << 30, &round, err)
        || !read_time(r, FIRST_BYTE, &s.first_byte_s, err) || !read_time(r, SENT, &s.sent_s, err)
        || !read_time(r, TOTAL, &s.total_s, err)) return KV_ROW_BAD;
    s.connections = (int32_t)connections;
    if (round > r->out->rounds) r->out->rounds = (int32_t)round;
    if (strcmp(kv_columns_field(&r->columns, OUTCOME)->text, "ok") != 0) {
        r->out->failed++;
        return KV_ROW_GOOD;
    }
    if (s.bytes > 0 && connections > 0 && s.first_byte_s > 0 && s.total_s >= s.first_byte_s) {
        kv_vec_push(&r->sample, s);
        return KV_ROW_GOOD;
    }
    return kv_input_fail(&r->rows.in, err, "bytes, connections and times of a request that went well are more than "
                         "zero, and the end is not before the first byte"), KV_ROW_BAD;
}

bool kv_access_samples_read(struct kv_arena *arena, const char *path, struct kv_access_samples *samples,
                            struct kv_err *err)
{
    struct reading r = { .columns = { .name = column_names, .required = 8 }, .out = samples };
    *samples = (struct kv_access_samples){0};
    int got = kv_rows_open(&r.rows, path, false, false, err) ? 1 : -1;
    while (got == 1) got = kv_rows_next(&r.rows, read_row, &r, err);
    kv_rows_close(&r.rows);
    samples->count = r.sample.count;
    samples->at = kv_arena_take(arena, (r.sample.count + 1) * sizeof *samples->at);
    if (r.sample.count) memcpy(samples->at, r.sample.at, r.sample.count * sizeof *samples->at);
    kv_vec_close(&r.sample);
    /* Part of a profile, whatever the scanner of traces calls its faults. */
    if (got < 0 && err && err->code == KV_ETRACE) err->code = KV_ECONFIG;
    return got == 0;
}

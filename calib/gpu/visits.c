/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "calib/gpu/session.h"
#include "sim/lib/number.h"
#include "sim/lib/rows.h"

enum { OP, DTYPE, MODEL, X, TIME = X + KV_GPU_X, SPREAD, BATCHES, SUM, SM_MHZ, THROTTLE, ROUND, COLUMNS };
static const char *const columns[] = {"op", "dtype", "model", "x1", "x2", "x3", "x4", "x5", "x6", "time_us",
                                      "spread_us", "batches", "sum_us", "sm_mhz", "throttle", "round", NULL};

/* ---- writing ---- */

bool kv_gpu_visits_header(FILE *f)
{
    bool good = true;
    for (int32_t c = 0; c < COLUMNS; c++) good = fprintf(f, "%s%s", columns[c], c + 1 < COLUMNS ? "," : "\n") > 0;
    return good;
}

bool kv_gpu_visits_row(FILE *f, const struct kv_gpu_visit *v)
{
    const struct kv_gpu_point *p = &v->point;
    const struct kv_gpu_result *r = &v->result;
    fprintf(f, "%s,%s,%s", kv_gpu_op_name(p->op), kv_gpu_type_name(p->type), p->model ? p->model->name : "");
    for (int i = 0; i < KV_GPU_X; i++) fprintf(f, ",%lld", (long long)p->x[i]);
    return fprintf(f, ",%.6g,%.6g,%d,%.6g,%d,%s,%d\n", r->time_s * 1e6, r->spread_s * 1e6, r->batches, r->sum_s * 1e6,
                   r->sm_MHz, r->throttle, v->round) > 0;
}

/* ---- reading ---- */

struct reader { struct kv_rows rows; struct kv_columns columns; struct kv_arena *arena; struct kv_gpu_visits *visits; };

static const char *text_of(const struct reader *r, int32_t column)
{
    return kv_columns_field(&r->columns, column)->text;
}

static int32_t index_of(const char *text, const char *(*name)(int32_t), int32_t count)
{
    int32_t i = 0;
    while (i < count && strcmp(text, name(i)) != 0) i++;
    return i;
}
static const char *op_of(int32_t i) { return kv_gpu_op_name((enum kv_gpu_op)i); }
static const char *type_of(int32_t i) { return kv_gpu_type_name((enum kv_gpu_type)i); }

/* The numbers must be such that nothing that looks at them goes out of its tables. */
static bool is_sound(const struct kv_gpu_point *p)
{
    return (p->op != KV_GPU_COPY || p->x[0] < KV_GPU_WAYS) && (p->op != KV_GPU_SHARE || p->x[0] < KV_GPU_SHAREDS)
           && (p->op == KV_GPU_LAYERS) == (p->model != NULL) && (p->op != KV_GPU_LAYERS || p->x[3] <= 1);
}

static bool read_point(struct reader *r, struct kv_gpu_point *p, struct kv_err *err)
{
    int32_t op = index_of(text_of(r, OP), op_of, KV_GPU_OPS);
    int32_t type = index_of(text_of(r, DTYPE), type_of, KV_GPU_TYPES);
    const char *model = text_of(r, MODEL);
    if (op == KV_GPU_OPS || type == KV_GPU_TYPES)
        return kv_input_fail(&r->rows.in, err, "found '%s' of '%s', expected an operator and a type of this program",
                             text_of(r, OP), text_of(r, DTYPE));
    *p = (struct kv_gpu_point){ .op = (enum kv_gpu_op)op, .type = (enum kv_gpu_type)type };
    for (int i = 0; i < KV_GPU_X; i++)
        if (!kv_columns_whole(&r->columns, &r->rows, X + i, INT64_C(1) << 40, &p->x[i], err)) return false;
    if (*model) {
        struct kv_model_shape *shape = kv_arena_take(r->arena, sizeof *shape);
        shape->name = kv_arena_copy(r->arena, model, strlen(model));
        p->model = shape;
    }
    return is_sound(p) || kv_input_fail(&r->rows.in, err, "found numbers that no point of %s has", op_of(op));
}

static bool read_seconds(struct reader *r, int32_t column, double *seconds, struct kv_err *err)
{
    const struct kv_csv_field *field = kv_columns_field(&r->columns, column);
    const char *wrong = kv_number_real(field->text, field->length, seconds);
    *seconds *= 1e-6;
    return !wrong || kv_input_fail(&r->rows.in, err, "%s: '%s' %s", columns[column], field->text, wrong);
}

static enum kv_row_kind read_row(void *state, struct kv_err *err)
{
    struct reader *r = state;
    if (!r->rows.header) return kv_columns_header(&r->columns, &r->rows, err);
    struct kv_gpu_visit v = {0};
    int64_t batches, clock, round;
    if (!kv_columns_row(&r->columns, &r->rows, err) || !read_point(r, &v.point, err)
        || !read_seconds(r, TIME, &v.result.time_s, err) || !read_seconds(r, SPREAD, &v.result.spread_s, err)
        || !read_seconds(r, SUM, &v.result.sum_s, err)
        || !kv_columns_whole(&r->columns, &r->rows, BATCHES, 1000000, &batches, err)
        || !kv_columns_whole(&r->columns, &r->rows, SM_MHZ, 1000000, &clock, err)
        || !kv_columns_whole(&r->columns, &r->rows, ROUND, 1000000, &round, err)) return KV_ROW_BAD;
    if (!(v.result.time_s > 0) || batches < 1) {
        kv_input_fail(&r->rows.in, err, "expected a time above 0 and at least one batch");
        return KV_ROW_BAD;
    }
    v.result.batches = (int32_t)batches;
    v.result.sm_MHz = (int32_t)clock;
    v.result.throttle = kv_arena_copy(r->arena, text_of(r, THROTTLE), strlen(text_of(r, THROTTLE)));
    v.round = (int32_t)round;
    kv_vec_push(&r->visits->at, v);
    return KV_ROW_GOOD;
}

bool kv_gpu_visits_read(struct kv_arena *arena, const char *path, struct kv_gpu_visits *visits, struct kv_err *err)
{
    struct reader r = { .columns = { .name = columns, .required = COLUMNS }, .arena = arena, .visits = visits };
    int got = kv_rows_open(&r.rows, path, false, false, err) ? 1 : -1;
    while (got == 1) got = kv_rows_next(&r.rows, read_row, &r, err);
    kv_rows_close(&r.rows);
    if (got < 0 && err && err->code == KV_ETRACE) err->code = KV_ECALIB;
    return got == 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/conf/op_samples.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "sim/base/rng.h"
#include "sim/conf/bind.h"
#include "sim/lib/csv.h"
#include "sim/lib/field.h"

/* ---- one table ---- */

#define KEY_MAX (INT64_C(1) << 40)

struct reader {
    struct kv_arena *arena;
    struct kv_input in;
    const struct kv_op_columns *columns;
    int32_t at_type, at_key[KV_OP_KEYS_MAX], at_time, at_spread, at_samples, at_second, at_only, fields;
    const char *last_type;        /* one text a run of equal ones */
};

static int32_t find(struct reader *r, const struct kv_csv *header, const char *name, bool *good, struct kv_err *err)
{
    int32_t at = kv_csv_find(header, name);
    if (at < 0 && *good) *good = kv_input_fail(&r->in, err, "no column '%s'", name);
    return at;
}

static bool read_header(struct reader *r, struct kv_err *err)
{
    const struct kv_op_columns *c = r->columns;
    struct kv_csv header;
    int got = kv_input_line(&r->in, err);
    if (got < 0) return false;
    if (got == 0) return kv_fail(err, KV_ECONFIG, r->in.path, "the file is empty");
    bool good = kv_csv_split(&header, r->in.line, r->in.length) || kv_input_fail(&r->in, err, "a quote is not closed");
    if (!good) return false;
    int32_t wanted = 2;
    r->at_type = find(r, &header, c->type, &good, err);
    for (int32_t k = 0; c->key[k]; k++, wanted++) r->at_key[k] = find(r, &header, c->key[k], &good, err);
    r->at_time = find(r, &header, c->time, &good, err);
    if (c->raw) {
        r->at_spread = find(r, &header, "spread_us", &good, err);
        r->at_samples = find(r, &header, "samples", &good, err);
        if (c->second) r->at_second = find(r, &header, c->second, &good, err);
        wanted += 2 + (c->second != NULL);
        if (good && header.count != wanted)
            good = kv_input_fail(&r->in, err, "%d columns, expected %d and no others", header.count, wanted);
    }
    if (c->only) r->at_only = find(r, &header, c->only, &good, err);
    r->fields = header.count;
    return good;
}

static bool read_time(struct reader *r, const struct kv_csv_field *f, const char *name, bool zero, double *us,
                      struct kv_err *err)
{
    const char *why = kv_number_real(f->text, f->length, us);
    if (!why && *us == 0 && !zero) why = "is not a time";
    if (!why && *us > 1e12) why = "is too large";
    return !why || kv_input_fail(&r->in, err, "%s: '%s' %s", name, kv_excerpt(f->text, f->length).text, why);
}

/* Types as kvsim names them. */
static const char *type_text(struct reader *r, const struct kv_csv_field *f)
{
    static const char *const alias[][2] = {{"bfloat16", "bf16"}};
    for (size_t i = 0; i < sizeof alias / sizeof *alias; i++)
        if (strcmp(f->text, alias[i][0]) == 0) return alias[i][1];
    if (!r->last_type || strcmp(r->last_type, f->text) != 0) r->last_type = kv_arena_copy(r->arena, f->text, f->length);
    return r->last_type;
}

/* < 0: a comes first. */
static int by_key(const struct kv_op_row *a, const struct kv_op_row *b)
{
    int order = strcmp(a->type, b->type);
    for (int32_t k = 0; order == 0 && k < KV_OP_KEYS_MAX; k++)
        order = (a->key[k] > b->key[k]) - (a->key[k] < b->key[k]);
    return order;
}

static bool read_row(struct reader *r, struct kv_op_rows *rows, struct kv_err *err)
{
    const struct kv_op_columns *c = r->columns;
    struct kv_csv line;
    struct kv_op_row row = {.samples = 1};
    if (!kv_csv_split(&line, r->in.line, r->in.length) || line.count != r->fields)
        return kv_input_fail(&r->in, err, "%d columns, expected %d", line.count, r->fields);
    if (c->only && strcmp(line.field[r->at_only].text, c->value) != 0) return true;
    const struct kv_csv_field *type = &line.field[r->at_type];
    if (type->length == 0) return kv_input_fail(&r->in, err, "%s: nothing there", c->type);
    row.type = type_text(r, type);
    for (int32_t k = 0; c->key[k]; k++) {
        const struct kv_csv_field *f = &line.field[r->at_key[k]];
        if (!kv_field_whole(&r->in, c->key[k], f->text, f->length, KEY_MAX, &row.key[k], err)) return false;
        bool zero = strstr(c->key[k], "window") || strstr(c->key[k], "cached") || strstr(c->key[k], "prefix")
                    || !strcmp(c->key[k], "direct");
        if (row.key[k] == 0 && !zero) return kv_input_fail(&r->in, err, "%s: 0 is out of range", c->key[k]);
    }
    if (!read_time(r, &line.field[r->at_time], c->time, false, &row.time_us, err)) return false;
    row.time_us *= c->us;
    if (c->raw) {
        const struct kv_csv_field *n = &line.field[r->at_samples];
        if (!read_time(r, &line.field[r->at_spread], "spread_us", true, &row.spread_us, err)
            || !kv_field_whole(&r->in, "samples", n->text, n->length, KEY_MAX, &row.samples, err)
            || (c->second && !read_time(r, &line.field[r->at_second], c->second, false, &row.second_us, err)))
            return false;
        if (row.samples == 0) return kv_input_fail(&r->in, err, "samples: 0 is out of range");
        int order = rows->count ? by_key(&rows->at[rows->count - 1], &row) : -1;
        if (order >= 0)
            return kv_input_fail(&r->in, err, order == 0 ? "the same key as the row before"
                                                         : "rows must be sorted by %s and the keys after it", c->type);
    }
    kv_vec_push(rows, row);
    return true;
}

bool kv_op_rows_read(struct kv_arena *arena, const char *path, const struct kv_op_columns *columns,
                     struct kv_op_rows *rows, struct kv_err *err)
{
    const char *zipped = kv_arena_text(arena, "%s.gz", path);
    struct reader r = {.arena = arena, .columns = columns};
    bool good = kv_input_open(&r.in, access(path, R_OK) != 0 && access(zipped, R_OK) == 0 ? zipped : path, false, err);
    if (good) {
        int got = 1;
        good = read_header(&r, err);
        while (good && (got = kv_input_line(&r.in, err)) == 1) good = read_row(&r, rows, err);
        good = good && got == 0;
        if (good && rows->count == 0) good = kv_input_fail(&r.in, err, "no rows");
    }
    kv_input_close(&r.in);
    if (!good && err->code == KV_ETRACE) err->code = KV_ECONFIG;
    return good;
}

/* ---- the folder ---- */

struct head { int64_t version; const char *unit; struct kv_op_origin from; };
#define TEXT(key, preset, help) \
    { #key, KV_DIM_TEXT, offsetof(struct head, from.key), preset, 0, 0, NULL, help, NULL }
static const struct kv_param head_params[] = {
    { "kvsim_samples", KV_DIM_COUNT, offsetof(struct head, version), NULL, 1, 1 << 20, NULL,
      "version of this form", NULL },
    { "unit", KV_DIM_TEXT, offsetof(struct head, unit), NULL, 0, 0, NULL, "unit of all times: us", NULL },
    TEXT(gpu, NULL, "name of the GPU (models/gpus)"),
    { "sms", KV_DIM_COUNT, offsetof(struct head, from.sms), NULL, 1, 4096, NULL, "multiprocessors", NULL },
    TEXT(label, NULL, "measured or imported"),
    TEXT(date, NULL, "when"),
    TEXT(driver, NULL, "version of the driver"),
    TEXT(cuda, NULL, "version of CUDA"),
    TEXT(clocks, NULL, "clocks that were set or seen"),
    TEXT(engine, NULL, "what ran"),
    TEXT(origin, NULL, "where the measurements come from"),
    TEXT(commit, NULL, "their version"),
    TEXT(licence, NULL, "their licence"),
    TEXT(note, "", "anything else"),
    KV_PARAM_END
};

static bool check_head(const struct head *h, struct kv_yaml *root, struct kv_diag *diag)
{
    if (h->version != KV_OP_SAMPLES_VERSION)
        kv_diag_add(diag, KV_ERROR, kv_yaml_get(root, "kvsim_samples")->pos, NULL,
                    "samples of version %lld; this program reads version %d", (long long)h->version,
                    KV_OP_SAMPLES_VERSION);
    if (strcmp(h->unit, "us") != 0)
        kv_diag_add(diag, KV_ERROR, kv_yaml_get(root, "unit")->pos, NULL, "unit '%s', expected us", h->unit);
    if (strcmp(h->from.label, "measured") != 0 && strcmp(h->from.label, "imported") != 0)
        kv_diag_add(diag, KV_ERROR, kv_yaml_get(root, "label")->pos, NULL, "label '%s', expected measured or imported",
                    h->from.label);
    return diag->errors == 0;
}

static bool read_head(struct kv_arena *arena, const char *path, struct kv_op_origin *from, struct kv_err *err)
{
    struct kv_diag diag = {0};
    const char *text;
    size_t length;
    if (kv_yaml_read(arena, path, &text, &length, &diag)) {
        struct head head = {0};
        struct kv_yaml *root = kv_yaml_parse(arena, path, text, length, &diag);
        if (root && kv_bind(arena, root, "", head_params, &head, &diag)
            && kv_bind_unknown(root, "samples", head_params, NULL, NULL, &diag) && check_head(&head, root, &diag))
            *from = head.from;
    }
    bool good = diag.errors == 0 || kv_diag_fail(&diag, err);
    kv_diag_close(&diag);
    return good;
}

bool kv_op_samples_read(struct kv_arena *arena, const char *folder, struct kv_op_samples *samples, struct kv_err *err)
{
    *samples = (struct kv_op_samples){0};
    const char *head = kv_arena_text(arena, "%s/samples.yaml", folder);
    if (access(head, R_OK) != 0) return kv_fail(err, KV_ECALIB, head, "no such samples");
    if (!read_head(arena, head, &samples->from, err)) return false;
    bool any = false;
    for (int32_t op = 0; op < KV_OPS; op++) {
        const struct kv_op_form *form = &kv_op_forms[op];
        struct kv_op_columns columns = {.type = form->type, .time = "time_us", .us = 1, .raw = true,
                                        .second = form->second};
        const char *path = kv_arena_text(arena, "%s/%s.csv", folder, form->file);
        memcpy(columns.key, form->key, sizeof columns.key);
        if (access(path, F_OK) != 0 && access(kv_arena_text(arena, "%s.gz", path), F_OK) != 0) continue;
        if (!kv_op_rows_read(arena, path, &columns, &samples->table[op], err)) return false;
        any = true;
    }
    return any || kv_fail(err, KV_ECALIB, folder, "no table of samples; gemm.csv is one");
}

void kv_op_samples_close(struct kv_op_samples *samples)
{
    for (int32_t op = 0; op < KV_OPS; op++) kv_vec_close(&samples->table[op]);
}

/* ---- held out ---- */

/* What makes a shape: the keys that a model fixes, and not what a batch does. */
static uint64_t shape_of(enum kv_op op, const struct kv_op_row *row)
{
    static const int32_t from[KV_OPS] = {[KV_OP_GEMM] = KV_GEMM_N, [KV_OP_PREFILL] = KV_PREFILL_HEADS,
                                         [KV_OP_DECODE] = KV_DECODE_HEADS, [KV_OP_MOE] = KV_MOE_HIDDEN};
    uint64_t shape = 0;
    int32_t count = op == KV_OP_PREFILL || op == KV_OP_DECODE ? 3 : op == KV_OP_MOE ? 4 : 2;
    for (int32_t k = 0; k < count; k++) shape = kv_mix64_pair(shape, (uint64_t)row->key[from[op] + k]);
    return shape;
}

void kv_op_hold(enum kv_op op, struct kv_op_rows *rows, int64_t permille, bool shapes, uint64_t seed)
{
    for (size_t i = 0; i < rows->count; i++)
        rows->at[i].held = (int64_t)(kv_mix64_pair(seed, shapes ? shape_of(op, &rows->at[i]) : i) % 1000) < permille;
}

double kv_op_score(const struct kv_op_model *model, enum kv_op op, int32_t multiprocessors,
                   const struct kv_op_rows *rows, int64_t *count)
{
    double sum = 0;
    *count = 0;
    for (size_t i = 0; i < rows->count; i++) {
        const struct kv_op_row *row = &rows->at[i];
        if (!row->held || (model->type && strcmp(model->type, row->type) != 0)) continue;
        sum += fabs(kv_op_us(model, op, multiprocessors, row->type, row->key) / row->time_us - 1);
        ++*count;
    }
    return *count ? sum / (double)*count : 0;
}

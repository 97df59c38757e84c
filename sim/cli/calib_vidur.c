/* SPDX-License-Identifier: Apache-2.0 */
/* Vidur's tables of layers without attention, and of all-reduces, as samples of operators.
 *
 * A row of mlp.csv is one layer of a model on one GPU of tp, its times medians of kernels in ms: QKV, output, up (with
 * gate) and down products in 16 bits, rotary, activation, norms. It counts for all models of such shapes. Tables repeat
 * rows, and models share shapes: rows of one key become their median. */
#include <glob.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "sim/cli/calib.h"
#include "sim/conf/diag.h"
#include "sim/lib/csv.h"
#include "sim/lib/field.h"
#include "sim/scenario/shapes.h"

#define WHOLE_MAX (INT64_C(1) << 40)
#define TIME_MAX_MS 1e9

/* A column by Vidur's own name, or by a short one. */
struct column { const char *theirs, *brief; };
#define COLUMNS_MAX 16

/* What is taken of one file: `whole` columns of whole numbers, then times in ms; what else it may have. */
struct form { struct column column[COLUMNS_MAX]; int32_t whole; const char *other[COLUMNS_MAX]; };
#define TIME(of, brief) { "time_stats." of ".median", brief }

enum { TOKENS, TP, HEADS, KV_HEADS, EMBD, FFN, GATED, QKV, ROPE, OUTPUT, UP, ACT, DOWN, NORM };
static const struct form mlp = {
    .column = {{"num_tokens", "tokens"}, {"num_tensor_parallel_workers", "tp"}, {"n_head", "n_head"},
               {"n_kv_head", "n_kv_head"}, {"n_embd", "n_embd"}, {"n_expanded_embd", "n_ffn"},
               {"use_gated_mlp", "gated"}, TIME("attn_pre_proj", "attn_pre_proj_ms"),
               TIME("attn_rope", "attn_rope_ms"), TIME("attn_post_proj", "attn_post_proj_ms"),
               TIME("mlp_up_proj", "mlp_up_proj_ms"), TIME("mlp_act", "mlp_act_ms"),
               TIME("mlp_down_proj", "mlp_down_proj_ms"), TIME("input_layernorm", "input_layernorm_ms")},
    .whole = 7, .other = {"vocab_size", "vocab", "emb_ms", "post_attention_layernorm_ms", "add_ms", ""},
};
enum { GPUS, BYTES, A_NODE, MEDIAN };
static const struct form all_reduce = {
    .column = {{"num_workers", "gpus"}, {"size", "bytes"}, {"devices_per_node", "devices_per_node"},
               TIME("all_reduce", "median_ms")},
    .whole = 3, .other = {"rank", "collective", "max_devices_per_node", "min_ms", "max_ms", "mean_ms", "std_ms", ""},
};

/* The row that comes nearest to the data sheet, as a part of the time that it allows: tells a wrong unit. */
struct best { double part; const char *path; int64_t line; };
struct import {
    struct kv_arena *arena;
    struct kv_op_samples *to;
    struct kv_gpu_spec gpu;
    struct best best;
    struct kv_input in;
};
struct row { int64_t whole[COLUMNS_MAX]; double us[COLUMNS_MAX]; };
typedef bool take_row(struct import *m, const struct row *row, struct kv_err *err);

/* ---- rows ---- */

static void add(struct import *m, enum kv_op op, const char *type, const int64_t *key, int32_t keys, double us)
{
    struct kv_op_row row = {.type = type, .samples = 1, .time_us = us};
    memcpy(row.key, key, (size_t)keys * sizeof *key);
    kv_vec_push(&m->to->table[op], row);
}

static void add_product(struct import *m, int64_t rows, int64_t out, int64_t in, double us)
{
    double r = (double)rows, o = (double)out, i = (double)in;
    double least_s = fmax(2 * r * o * i / m->gpu.flops_bf16, 2 * (r * i + o * i + r * o) / m->gpu.memory_Bps);
    if (1e6 * least_s / us > m->best.part) m->best = (struct best){1e6 * least_s / us, m->in.path, m->in.line_number};
    add(m, KV_OP_GEMM, "bf16", (const int64_t[]){rows, out, in}, 3, us);
}

static bool take_mlp(struct import *m, const struct row *row, struct kv_err *err)
{
    const int64_t *n = row->whole;
    int64_t tp = n[TP];
    if (n[EMBD] % n[HEADS] || n[HEADS] % tp || n[KV_HEADS] % tp || n[FFN] % tp)
        return kv_input_fail(&m->in, err, "%lld wide, %lld heads, %lld KV heads, %lld inner: not divided by tp %lld, "
                             "or the width by its heads", (long long)n[EMBD], (long long)n[HEADS],
                             (long long)n[KV_HEADS], (long long)n[FFN], (long long)tp);
    int64_t dim = n[EMBD] / n[HEADS], turned = (n[HEADS] + n[KV_HEADS]) / tp * dim, width = n[FFN] / tp;
    add_product(m, n[TOKENS], turned + n[KV_HEADS] / tp * dim, n[EMBD], row->us[QKV]);
    add_product(m, n[TOKENS], n[EMBD], n[EMBD] / tp, row->us[OUTPUT]);
    add_product(m, n[TOKENS], (n[GATED] ? 2 : 1) * width, n[EMBD], row->us[UP]);
    add_product(m, n[TOKENS], n[EMBD], width, row->us[DOWN]);
    if (!n[GATED]) return true;   /* other norms and activations, and not all of a head is turned */
    add(m, KV_OP_ELEMENTWISE, "rotary", (const int64_t[]){n[TOKENS], turned}, 2, row->us[ROPE]);
    add(m, KV_OP_ELEMENTWISE, "silu_mul", (const int64_t[]){n[TOKENS], width}, 2, row->us[ACT]);
    /* Ours adds the residual and moves twice the bytes of this one, which is one of half the width. */
    add(m, KV_OP_ELEMENTWISE, "rmsnorm", (const int64_t[]){n[TOKENS], n[EMBD] / 2}, 2, row->us[NORM]);
    return true;
}

/* Within one node: what crosses the network is no all-reduce of tensor parallelism here. */
static bool take_all_reduce(struct import *m, const struct row *row, struct kv_err *err)
{
    (void)err;
    if (row->whole[GPUS] == row->whole[A_NODE])
        add(m, KV_OP_ALL_REDUCE, "nccl", row->whole, 2, row->us[MEDIAN]);
    return true;
}

/* ---- text ---- */

static bool read_time(struct import *m, const char *name, const struct kv_csv_field *f, double *us, struct kv_err *err)
{
    double ms;
    const char *why = kv_number_real(f->text, f->length, &ms);
    if (!why && ms <= 0) why = "is not a time";
    if (!why && ms > TIME_MAX_MS) why = "is too large";
    if (why) return kv_input_fail(&m->in, err, "%s: '%s' %s", name, kv_excerpt(f->text, f->length).text, why);
    *us = 1e3 * ms;
    return true;
}

static bool read_whole(struct import *m, const char *name, const struct kv_csv_field *f, bool truth, int64_t *value,
                       struct kv_err *err)
{
    if (truth && (strcmp(f->text, "True") == 0 || strcmp(f->text, "False") == 0)) {
        *value = f->text[0] == 'T';
        return true;
    }
    if (!kv_field_whole(&m->in, name, f->text, f->length, truth ? 1 : WHOLE_MAX, value, err)) return false;
    return truth || *value > 0 || kv_input_fail(&m->in, err, "%s: 0 is out of range", name);
}

static bool read_row(struct import *m, const struct form *form, const struct kv_csv *header, const int32_t *at,
                     const char *const *name, struct row *row, struct kv_err *err)
{
    struct kv_csv line;
    if (!kv_csv_split(&line, m->in.line, m->in.length) || line.count != header->count)
        return kv_input_fail(&m->in, err, "%d columns, expected %d", line.count, header->count);
    for (int32_t c = 0; c < COLUMNS_MAX && form->column[c].theirs; c++) {
        const struct kv_csv_field *f = &line.field[at[c]];
        bool truth = form == &mlp && c == GATED;
        if (c < form->whole ? !read_whole(m, name[c], f, truth, &row->whole[c], err)
                            : !read_time(m, name[c], f, &row->us[c], err))
            return false;
    }
    return true;
}

/* A column of another name may hold another unit: no file is taken that has one. */
static bool check_column(struct import *m, const struct form *form, const char *name, struct kv_err *err)
{
    const char *known[3 * COLUMNS_MAX];
    int32_t count = 0;
    for (int32_t c = 0; c < COLUMNS_MAX && form->column[c].theirs; c++) {
        known[count++] = form->column[c].theirs;
        known[count++] = form->column[c].brief;
    }
    for (int32_t c = 0; c < COLUMNS_MAX && form->other[c]; c++) known[count++] = form->other[c];
    for (int32_t c = 0; c < count; c++)
        if (strcmp(name, known[c]) == 0) return true;
    if (strncmp(name, "time_stats.", 11) == 0) return true;
    const char *near = kv_suggest(name, known, count);
    return kv_input_fail(&m->in, err, "column '%s' is none of Vidur's%s%s%s", kv_excerpt(name, strlen(name)).text,
                         near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static bool read_header(struct import *m, const struct form *form, struct kv_csv *header, int32_t *at,
                        const char **name, struct kv_err *err)
{
    int got = kv_input_line(&m->in, err);
    if (got < 0) return false;
    if (got == 0) return kv_fail(err, KV_ECONFIG, m->in.path, "the file is empty");
    if (!kv_csv_split(header, m->in.line, m->in.length)) return kv_input_fail(&m->in, err, "no line of columns");
    for (int32_t i = 0; i < header->count; i++)
        if (!check_column(m, form, header->field[i].text, err)) return false;
    for (int32_t c = 0; c < COLUMNS_MAX && form->column[c].theirs; c++) {
        name[c] = form->column[c].theirs;
        at[c] = kv_csv_find(header, name[c]);
        if (at[c] < 0) at[c] = kv_csv_find(header, name[c] = form->column[c].brief);
        if (at[c] < 0)
            return kv_input_fail(&m->in, err, "no column '%s' or '%s'", form->column[c].theirs, form->column[c].brief);
    }
    return true;
}

static bool read_file(struct import *m, const char *path, const struct form *form, take_row *take, struct kv_err *err)
{
    struct kv_csv header;
    int32_t at[COLUMNS_MAX], got = 0;
    int64_t rows = 0;
    const char *name[COLUMNS_MAX];
    m->in = (struct kv_input){0};
    bool good = kv_input_open(&m->in, path, false, err) && read_header(m, form, &header, at, name, err);
    while (good && (got = kv_input_line(&m->in, err)) == 1) {
        struct row row;
        good = read_row(m, form, &header, at, name, &row, err) && take(m, &row, err);
        rows++;
    }
    good = good && got == 0 && (rows > 0 || kv_input_fail(&m->in, err, "no rows"));
    kv_input_close(&m->in);
    if (!good && err->code == KV_ETRACE) err->code = KV_ECONFIG;
    return good;
}

/* ---- the folder ---- */

/* MODEL/mlp.csv, or as Vidur has it MAKER/MODEL/mlp.csv; plain or gzip. */
static bool find_tables(struct kv_arena *arena, const char *folder, glob_t *found)
{
    static const char *const below[] = {"*/mlp.csv", "*/mlp.csv.gz", "*/*/mlp.csv", "*/*/mlp.csv.gz"};
    *found = (glob_t){0};
    for (size_t i = 0; i < sizeof below / sizeof *below; i++)
        (void)glob(kv_arena_text(arena, "%s/%s", folder, below[i]), i ? GLOB_APPEND : 0, NULL, found);
    return found->gl_pathc > 0;
}

/* Whether .../MODEL/mlp.csv of both is of one model. */
static bool is_same_model(const char *a, const char *b)
{
    const char *end_a = strrchr(a, '/'), *end_b = strrchr(b, '/');
    while (end_a > a && end_b > b && end_a[-1] != '/' && end_a[-1] == end_b[-1]) end_a--, end_b--;
    return end_a[-1] == '/' && end_b[-1] == '/';
}

/* A model twice is a folder of several GPUs, or a table beside its gzip. */
static bool check_tables(const glob_t *found, struct kv_err *err)
{
    for (size_t i = 0; i < found->gl_pathc; i++)
        for (size_t j = 0; j < i; j++)
            if (is_same_model(found->gl_pathv[j], found->gl_pathv[i]))
                return kv_fail(err, KV_ECONFIG, found->gl_pathv[i], "the same model as in %s: DIR must hold the tables "
                               "of one GPU, each once", found->gl_pathv[j]);
    return true;
}

bool kv_calib_is_vidur(struct kv_arena *arena, const char *folder)
{
    glob_t found;
    bool is = find_tables(arena, folder, &found);
    globfree(&found);
    return is;
}

/* The best of all products reaches half or more of what the data sheet allows (and more where weights stay in a cache);
 * a thousandth of it or a thousand times it are us or s. */
static bool check_unit(const struct import *m, struct kv_err *err)
{
    if (m->best.part > 0.02 && m->best.part < 20) return true;
    const char *at = kv_arena_text(m->arena, "%s:%lld", m->best.path, (long long)m->best.line);
    return kv_fail(err, KV_ECONFIG, at, "the fastest product takes %.3g times what the data sheet of %s allows: times "
                   "are expected in ms", 1 / m->best.part, m->gpu.name);
}

bool kv_calib_vidur(struct kv_arena *arena, const char *folder, struct kv_op_samples *s, struct kv_err *err)
{
    struct import m = {.arena = arena, .to = s};
    glob_t models;
    if (!kv_calib_gpu(arena, s->from.gpu, &m.gpu, err)) return false;
    bool good = find_tables(arena, folder, &models)
                || kv_fail(err, KV_ECALIB, folder, "no MODEL/mlp.csv or MODEL/mlp.csv.gz");
    good = good && check_tables(&models, err);
    for (size_t i = 0; good && i < models.gl_pathc; i++)
        good = read_file(&m, models.gl_pathv[i], &mlp, take_mlp, err);
    good = good && check_unit(&m, err);
    globfree(&models);
    kv_op_rows_merge(&s->table[KV_OP_GEMM]);
    kv_op_rows_merge(&s->table[KV_OP_ELEMENTWISE]);
    return good;
}

bool kv_calib_vidur_all_reduce(struct kv_arena *arena, const char *folder, struct kv_op_samples *s, struct kv_err *err)
{
    struct import m = {.arena = arena, .to = s};
    const char *path = kv_arena_text(arena, "%s/all_reduce.csv", folder);
    const char *zipped = kv_arena_text(arena, "%s.gz", path);
    bool plain = access(path, R_OK) == 0 || access(zipped, R_OK) != 0;
    if (!read_file(&m, plain ? path : zipped, &all_reduce, take_all_reduce, err)) return false;
    kv_op_rows_merge(&s->table[KV_OP_ALL_REDUCE]);
    return true;
}

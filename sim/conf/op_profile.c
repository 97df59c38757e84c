/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/conf/op_profile.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim/conf/bind.h"
#include "sim/lib/csv.h"
#include "sim/lib/input.h"
#include "sim/lib/writer.h"

const struct kv_op_part_form kv_op_parts[KV_PARTS] = {
    {"gemm_bf16", KV_OP_GEMM, "bf16"}, {"gemm_fp8", KV_OP_GEMM, "fp8"}, {"gemm_fp8_block", KV_OP_GEMM, "fp8_block"},
    {"attention_prefill", KV_OP_PREFILL, NULL}, {"attention_decode", KV_OP_DECODE, NULL},
    {"moe_bf16", KV_OP_MOE, "bf16"}, {"moe_fp8", KV_OP_MOE, "fp8"},
};

const enum kv_op kv_op_collectives[KV_COLLECTIVES] = {
    [KV_ALL_REDUCE] = KV_OP_ALL_REDUCE, [KV_ALL_GATHER] = KV_OP_ALL_GATHER, [KV_REDUCE_SCATTER] = KV_OP_REDUCE_SCATTER,
};

static const struct kv_knots_form collective_form = {{"ranks", "bytes"}, {"time_us"}};

static const char *collective_path(struct kv_arena *arena, const char *folder, enum kv_collective which)
{
    return kv_arena_text(arena, "%s/%s.csv", folder, kv_op_forms[kv_op_collectives[which]].file);
}

double kv_op_profile_us(const struct kv_op_profile *p, enum kv_op_part part, const char *type, const int64_t *key)
{
    return kv_op_us(p->part[part], kv_op_parts[part].op, (int32_t)p->from.sms, type, key);
}

/* ---- one part: lines of kind, name and numbers ---- */

struct lines {
    struct kv_op_model *model;
    struct kv_writer *out;        /* NULL: reading */
    struct kv_input in;
    struct kv_err *err;
};

/* Three digits of a weight do: a net of 3,000 is the sum of many. */
static void write_numbers(struct kv_writer *w, const float *value, int32_t count, int32_t digits)
{
    for (int32_t i = 0; i < count; i++) kv_writer_text(w, "%s%.*g", i ? " " : "", digits, (double)value[i]);
    kv_writer_text(w, "\n");
}

static bool read_numbers(struct lines *l, const char *kind, const char *name, float *value, int32_t count)
{
    struct kv_csv line;
    int got = kv_input_line(&l->in, l->err);
    if (got == 0) return kv_input_fail(&l->in, l->err, "the file ends before line '%s,%s'", kind, name);
    if (got < 0) return false;
    if (!kv_csv_split(&line, l->in.line, l->in.length) || line.count != 3
        || strcmp(line.field[0].text, kind) != 0 || strcmp(line.field[1].text, name) != 0)
        return kv_input_fail(&l->in, l->err, "expected line '%s,%s,NUMBERS'", kind, name);
    const char *text = line.field[2].text;
    for (int32_t i = 0; i < count; i++) {
        char *end;
        value[i] = strtof(text, &end);
        if (end == text || !isfinite(value[i]))
            return kv_input_fail(&l->in, l->err, "number %d of %d is not one", i + 1, count);
        text = end;
    }
    return *text == '\0' || kv_input_fail(&l->in, l->err, "more than %d numbers", count);
}

static bool numbers(struct lines *l, const char *kind, const char *name, float *value, int32_t count)
{
    if (!l->out) return read_numbers(l, kind, name, value, count);
    kv_writer_text(l->out, "%s,%s,", kind, name);
    write_numbers(l->out, value, count, strcmp(kind, "first") == 0 ? 4 : count > 20 ? 3 : 9);
    return true;
}

static bool number(struct lines *l, const char *kind, const char *name, double *value)
{
    float narrow = (float)*value;
    bool good = numbers(l, kind, name, &narrow, 1);
    if (!l->out) *value = (double)narrow;
    if (good && !l->out && !(*value > 0)) return kv_input_fail(&l->in, l->err, "%s: must be greater than 0", name);
    return good;
}

static const char *counted(char *text, size_t size, int32_t i)
{
    char digits[12];
    int32_t n = 0;
    do digits[n++] = (char)('0' + i % 10); while ((i /= 10) > 0 && n < 11);
    for (int32_t k = 0; k < n && (size_t)k + 1 < size; k++) text[k] = digits[n - 1 - k];
    text[n] = '\0';
    return text;
}

/* The whole part, read or written in the same order. */
static bool part_lines(struct lines *l, enum kv_op op)
{
    struct kv_op_model *m = l->model;
    struct kv_ratio_net *net = &m->net;
    char name[16];
    double rows = (double)m->rows, inputs = net->inputs;
    bool good = number(l, "samples", "rows", &rows) && number(l, "roof", "flops_per_us", &m->flops_per_us)
                && number(l, "roof", "bytes_per_us", &m->bytes_per_us) && number(l, "roof", "floor_us", &m->floor_us)
                && number(l, "ratio", "inputs", &inputs);
    for (int32_t k = 0; good && kv_op_forms[op].key[k]; k++) {
        float most = (float)m->most_key[k];
        good = numbers(l, "most", kv_op_forms[op].key[k], &most, 1);
        if (good && !l->out && !(most >= 0 && most < 0x1p50F)) good = kv_input_fail(&l->in, l->err, "out of range");
        if (good) m->most_key[k] = (int64_t)most;
    }
    if (good && !(inputs >= 1 && inputs <= KV_RATIO_INPUTS_MAX))
        good = kv_input_fail(&l->in, l->err, "inputs: 1 to %d are possible", KV_RATIO_INPUTS_MAX);
    if (!good) return false;
    net->inputs = (int32_t)inputs;
    m->rows = (int64_t)rows;
    good = numbers(l, "input", "least", net->least, net->inputs) && numbers(l, "input", "most", net->most, net->inputs);
    for (int32_t i = 0; good && i <= net->inputs; i++)
        good = numbers(l, "first", counted(name, sizeof name, i), net->first[i], KV_RATIO_UNITS);
    for (int32_t i = 0; good && i <= KV_RATIO_UNITS; i++)
        good = numbers(l, "second", counted(name, sizeof name, i), net->second[i], KV_RATIO_UNITS);
    return good && numbers(l, "third", "", net->third, KV_RATIO_UNITS + 1);
}

static bool write_part(const char *path, enum kv_op op, const struct kv_op_model *model, struct kv_err *err)
{
    struct kv_writer w;
    struct kv_op_model copy = *model;
    struct lines l = {.model = &copy, .out = &w, .err = err};
    if (!kv_writer_open(&w, path, true, err)) return false;
    kv_writer_text(&w, "kind,name,numbers\n");
    bool good = part_lines(&l, op) && kv_writer_commit(&w, err);
    kv_writer_close(&w);
    return good;
}

static bool read_part(struct kv_arena *arena, const char *path, const struct kv_op_part_form *form,
                      const struct kv_op_model **model, struct kv_err *err)
{
    struct kv_op_model *m = kv_arena_take(arena, sizeof *m);
    struct lines l = {.model = m, .err = err};
    m->type = form->type;
    bool good = kv_input_open(&l.in, path, false, err);
    int got = good ? kv_input_line(&l.in, err) : -1;
    if (good && (got != 1 || strcmp(l.in.line, "kind,name,numbers") != 0))
        good = got < 0 ? false : kv_input_fail(&l.in, err, "expected the header kind,name,numbers");
    good = good && part_lines(&l, form->op);
    if (good && kv_input_line(&l.in, err) == 1) good = kv_input_fail(&l.in, err, "expected the end of the file");
    kv_input_close(&l.in);
    if (!good && err->code == KV_ETRACE) err->code = KV_ECONFIG;
    if (good) *model = m;
    return good;
}

/* ---- profile.yaml ---- */

struct head { int64_t version; struct kv_op_profile p; };
#define TEXT(key, preset, help) \
    { #key, KV_DIM_TEXT, offsetof(struct head, p.from.key), preset, 0, 0, NULL, help, NULL }
#define COUNT(key, field, most, help) \
    { key, KV_DIM_COUNT, offsetof(struct head, field), NULL, 0, most, NULL, help, NULL }
#define SMALL(key, i) \
    { key "_base", KV_DIM_TIME, offsetof(struct head, p.small[i].base_s), NULL, 0, 1, NULL, "without work", NULL }, \
    { key "_rate", KV_DIM_BITS_PER_S, offsetof(struct head, p.small[i].rate_Bps), NULL, 1e6, 1e18, NULL, \
      "bytes moved a second", NULL }
static const struct kv_param head_params[] = {
    { "kvsim_operators", KV_DIM_COUNT, offsetof(struct head, version), NULL, 1, 1 << 20, NULL, "version of this form",
      NULL },
    TEXT(gpu, NULL, "name of the GPU (models/gpus)"),
    { "sms", KV_DIM_COUNT, offsetof(struct head, p.from.sms), NULL, 1, 4096, NULL, "multiprocessors", NULL },
    TEXT(label, NULL, "measured or imported"), TEXT(date, NULL, "when"), TEXT(driver, NULL, "of the measurement"),
    TEXT(cuda, NULL, "of the measurement"), TEXT(clocks, NULL, "that were set or seen"),
    TEXT(engine, NULL, "what ran"), TEXT(origin, NULL, "where the measurements come from"),
    TEXT(commit, NULL, "their version"), TEXT(licence, NULL, "their licence"), TEXT(note, "", "anything else"),
    { "small_measured", KV_DIM_BOOL, offsetof(struct head, p.small_measured), NULL, 0, 0, NULL,
      "whether the small operators were measured; else they are as the smallest and the fastest products", NULL },
    SMALL("norm", KV_SMALL_NORM), SMALL("rotary", KV_SMALL_ROTARY), SMALL("activation", KV_SMALL_ACTIVATION),
    SMALL("scatter", KV_SMALL_SCATTER),
    { "kernel_gap_graph", KV_DIM_TIME, offsetof(struct head, p.gap_s[0]), "0s", 0, 1, NULL,
      "what a kernel takes more in a layer in a CUDA graph than by itself; 0: not measured", NULL },
    { "kernel_gap_eager", KV_DIM_TIME, offsetof(struct head, p.gap_s[1]), "0s", 0, 1, NULL,
      "the same where kernels are launched one by one", NULL },
    COUNT("holdout_points_permille", p.holdout_points_permille, 999, "rows held out at random"),
    COUNT("holdout_shapes_permille", p.holdout_shapes_permille, 999, "shapes held out as a whole"),
    COUNT("holdout_seed", p.holdout_seed, 0x1p52, "which"),
    KV_PARAM_END
};
#define ERROR(key, i) { key, KV_DIM_NUMBER, (i) * sizeof(double), "0", 0, 1000, NULL, "mean relative error", NULL }
static const struct kv_param error_params[] = {
    ERROR("gemm_bf16", KV_PART_GEMM_BF16), ERROR("gemm_fp8", KV_PART_GEMM_FP8),
    ERROR("gemm_fp8_block", KV_PART_GEMM_FP8_BLOCK), ERROR("attention_prefill", KV_PART_PREFILL),
    ERROR("attention_decode", KV_PART_DECODE), ERROR("moe_bf16", KV_PART_MOE_BF16), ERROR("moe_fp8", KV_PART_MOE_FP8),
    KV_PARAM_END
};
static const char *const other_keys[] = {"holdout_points", "holdout_shapes", NULL};

static void bind_errors(struct kv_arena *arena, struct kv_yaml *root, const char *key, double *errors,
                        struct kv_diag *diag)
{
    struct kv_yaml *map = kv_yaml_get(root, key);
    if (!map) kv_diag_add(diag, KV_ERROR, root->pos, NULL, "missing required key '%s'", key);
    else if (kv_bind(arena, map, key, error_params, errors, diag))
        kv_bind_unknown(map, key, error_params, NULL, NULL, diag);
}

static void bind_head(struct kv_arena *arena, struct kv_yaml *root, struct kv_op_profile *p, struct kv_diag *diag)
{
    struct head head = {0};
    struct kv_yaml *version = kv_yaml_get(root, "kvsim_operators");
    if (!kv_bind(arena, root, "", head_params, &head, diag)) return;
    if (head.version != KV_OP_PROFILE_VERSION)
        kv_diag_add(diag, KV_ERROR, version->pos, NULL,
                    "an operator profile of version %lld; this program reads version %d", (long long)head.version,
                    KV_OP_PROFILE_VERSION);
    bind_errors(arena, root, "holdout_points", head.p.point_error, diag);
    bind_errors(arena, root, "holdout_shapes", head.p.shape_error, diag);
    kv_bind_unknown(root, "an operator profile", head_params, other_keys, NULL, diag);
    for (int32_t i = 0; i < KV_SMALLS; i++) head.p.small[i].rate_Bps /= 8;
    *p = head.p;
}

bool kv_op_profile_is(struct kv_arena *arena, const char *folder)
{
    struct kv_diag diag = {0};
    const char *text, *path = kv_arena_text(arena, "%s/profile.yaml", folder);
    size_t length;
    bool is = access(path, R_OK) == 0 && kv_yaml_read(arena, path, &text, &length, &diag)
              && strncmp(text, "kvsim_operators:", 16) == 0;
    kv_diag_close(&diag);
    return is;
}

bool kv_op_collective_read(struct kv_arena *arena, const char *folder, enum kv_collective which,
                           struct kv_knots *knots, struct kv_err *err)
{
    const char *path = collective_path(arena, folder, which);
    *knots = (struct kv_knots){0};
    return access(path, F_OK) != 0 || (kv_knots_read(arena, path, &collective_form, knots, err)
                                       && kv_knots_check(path, knots, KV_KNOTS_POSITIVE, err));
}

static bool read_parts(struct kv_arena *arena, const char *folder, struct kv_op_profile *p, struct kv_err *err)
{
    for (int32_t i = 0; i < KV_PARTS; i++) {
        const char *path = kv_arena_text(arena, "%s/%s.csv", folder, kv_op_parts[i].name);
        bool needed = i == KV_PART_GEMM_BF16 || i == KV_PART_PREFILL || i == KV_PART_DECODE;
        if (access(path, F_OK) != 0 && !needed) continue;
        if (!read_part(arena, path, &kv_op_parts[i], &p->part[i], err)) return false;
    }
    for (int32_t i = 0; i < KV_COLLECTIVES; i++)
        if (!kv_op_collective_read(arena, folder, i, &p->collective[i], err)) return false;
    return true;
}

bool kv_op_profile_read(struct kv_arena *arena, const char *folder, struct kv_op_profile *profile, struct kv_err *err)
{
    struct kv_diag diag = {0};
    const char *text, *path = kv_arena_text(arena, "%s/profile.yaml", folder);
    size_t length;
    *profile = (struct kv_op_profile){0};
    if (access(path, F_OK) != 0) return kv_fail(err, KV_ECALIB, path, "no such profile");
    if (kv_yaml_read(arena, path, &text, &length, &diag)) {
        struct kv_yaml *root = kv_yaml_parse(arena, path, text, length, &diag);
        if (root) bind_head(arena, root, profile, &diag);
    }
    bool good = diag.errors == 0 || kv_diag_fail(&diag, err);
    kv_diag_close(&diag);
    return good && read_parts(arena, folder, profile, err);
}

static void write_params(struct kv_arena *arena, struct kv_writer *w, const struct kv_param *params, const void *from,
                         const char *indent)
{
    for (const struct kv_param *p = params; p->key; p++) {
        const void *value = (const char *)from + p->offset;
        if (p->preset && p->dim == KV_DIM_TIME && *(const double *)value <= 0) continue;   /* not measured */
        kv_writer_text(w, "%s%s: %s\n", indent, p->key,
                       p->dim == KV_DIM_TEXT ? kv_text_quoted(arena, *(const char *const *)value)
                                             : kv_value_text(arena, p, value));
    }
}

/* Four digits are all that errors and rates have to say. */
static double rounded(double value)
{
    double unit = value > 0 ? pow(10, floor(log10(value)) - 3) : 1;
    return round(value / unit) * unit;
}

static bool write_head(struct kv_arena *arena, const char *folder, const struct kv_op_profile *p, struct kv_err *err)
{
    struct kv_writer w;
    struct head head = {KV_OP_PROFILE_VERSION, *p};
    if (!kv_writer_open(&w, kv_arena_text(arena, "%s/profile.yaml", folder), true, err)) return false;
    for (int32_t i = 0; i < KV_SMALLS; i++) head.p.small[i].rate_Bps = rounded(8 * p->small[i].rate_Bps);
    for (int i = 0; i < 2; i++) head.p.gap_s[i] = round(1e9 * p->gap_s[i]) / 1e9;
    for (int32_t i = 0; i < KV_PARTS; i++) {
        head.p.point_error[i] = round(1e4 * p->point_error[i]) / 1e4;
        head.p.shape_error[i] = round(1e4 * p->shape_error[i]) / 1e4;
    }
    write_params(arena, &w, head_params, &head, "");
    kv_writer_text(&w, "holdout_points:   # mean |error| / measured, of rows that a fit had not seen\n");
    write_params(arena, &w, error_params, head.p.point_error, "  ");
    kv_writer_text(&w, "holdout_shapes:   # the same, of shapes of which a fit had seen no row\n");
    write_params(arena, &w, error_params, head.p.shape_error, "  ");
    bool good = kv_writer_commit(&w, err);
    kv_writer_close(&w);
    return good;
}

bool kv_op_profile_write(struct kv_arena *arena, const char *folder, const struct kv_op_profile *profile,
                         struct kv_err *err)
{
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        return kv_fail(err, KV_EIO, folder, "cannot make the folder: %s", strerror(errno));
    for (int32_t i = 0; i < KV_PARTS; i++)
        if (profile->part[i] && !write_part(kv_arena_text(arena, "%s/%s.csv", folder, kv_op_parts[i].name),
                                            kv_op_parts[i].op, profile->part[i], err))
            return false;
    for (int32_t i = 0; i < KV_COLLECTIVES; i++)
        if (profile->collective[i].rows
            && !kv_knots_write(collective_path(arena, folder, i), &collective_form, &profile->collective[i], err))
            return false;
    return write_head(arena, folder, profile, err);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* From samples to an operator profile. */
#include <math.h>
#include <string.h>

#include "sim/conf/op_profile.h"
#include "sim/lib/fit.h"
#include "sim/lib/robust.h"

static bool has_type(const struct kv_op_rows *rows, const char *type)
{
    for (size_t i = 0; i < rows->count; i++)
        if (!type || strcmp(rows->at[i].type, type) == 0) return true;
    return false;
}

/* Mean error at rows that a fit had not seen. */
static double held_error(struct kv_op_rows *rows, const struct kv_op_part_form *form, int64_t permille, bool shapes,
                         struct kv_op_fit_rule rule)
{
    struct kv_arena scratch = {0};
    struct kv_op_model *m = kv_arena_take(&scratch, sizeof *m);
    int64_t count;
    kv_op_hold(form->op, rows, permille, shapes, rule.seed);
    double error = kv_op_fit(m, form->op, form->type, rows, &rule)
                   ? kv_op_score(m, form->op, rule.multiprocessors, rows, &count) : 0;
    kv_arena_close(&scratch);
    return error;
}

static void fit_part(struct kv_arena *arena, struct kv_op_samples *samples, const struct kv_op_holdout *holdout,
                     int32_t i, struct kv_op_profile *p)
{
    const struct kv_op_part_form *form = &kv_op_parts[i];
    struct kv_op_rows *rows = &samples->table[form->op];
    struct kv_op_fit_rule rule = {(int32_t)samples->from.sms, holdout->epochs, holdout->seed, false};
    if (!has_type(rows, form->type)) return;
    if (holdout->points_permille)
        p->point_error[i] = held_error(rows, form, holdout->points_permille, false, rule);
    if (holdout->shapes_permille)
        p->shape_error[i] = held_error(rows, form, holdout->shapes_permille, true, rule);
    struct kv_op_model *m = kv_arena_take(arena, sizeof *m);
    rule.all = true;
    kv_op_fit(m, form->op, form->type, rows, &rule);
    p->part[i] = m;
}

/* Bytes that a small operator moves for one element of its width, in bf16: what it reads and writes. */
static const struct { const char *op; double bytes; } smalls[KV_SMALLS] = {
    [KV_SMALL_NORM] = {"rmsnorm", 8},          /* input and residual, both ways */
    [KV_SMALL_ROTARY] = {"rotary", 4},
    [KV_SMALL_ACTIVATION] = {"silu_mul", 6},   /* two inputs, one result */
    [KV_SMALL_SCATTER] = {"scatter_kv", 4},
};

/* Least squares of the relative error of base + bytes / rate; both at least 0. */
static bool fit_small(const struct kv_op_rows *rows, int32_t i, struct kv_op_small *small)
{
    double one = 0, x = 0, xx = 0, y = 0, xy = 0, least = INFINITY;
    for (size_t r = 0; r < rows->count; r++) {
        const struct kv_op_row *row = &rows->at[r];
        if (strcmp(row->type, smalls[i].op) != 0) continue;
        double bytes = smalls[i].bytes * (double)row->key[0] * (double)row->key[1];
        double weight = 1 / (row->time_us * row->time_us);
        one += weight;
        x += weight * bytes;
        xx += weight * bytes * bytes;
        y += weight * row->time_us;
        xy += weight * bytes * row->time_us;
        least = fmin(least, row->time_us);
    }
    double spread = one * xx - x * x;
    if (!(spread > 0)) return false;
    double per_byte = (one * xy - x * y) / spread, base = (y - per_byte * x) / one;
    if (base < 0) {
        base = 0;
        per_byte = xy / xx;
    }
    if (per_byte <= 0) return false;
    *small = (struct kv_op_small){base * 1e-6, 1e6 / per_byte};
    return true;
}

/* Not measured: a kernel takes what the smallest products take, and moves bytes as the fastest ones do. */
static void fit_smalls(const struct kv_op_samples *samples, struct kv_op_profile *p)
{
    const struct kv_op_model *gemm = p->part[KV_PART_GEMM_BF16];
    p->small_measured = true;
    for (int32_t i = 0; i < KV_SMALLS; i++) {
        if (fit_small(&samples->table[KV_OP_ELEMENTWISE], i, &p->small[i])) continue;
        p->small[i] = (struct kv_op_small){round(1e3 * gemm->floor_us) * 1e-9, gemm->bytes_per_us * 1e6};
        p->small_measured = false;
    }
}

/* Times in a CUDA graph where there are such, else NCCL's; its own tables tell types instead, `half` has two bytes as
 * bf16. Every number of ranks has the same sizes in the tables. */
static void fit_collective(struct kv_arena *arena, const struct kv_op_rows *rows, struct kv_knots *knots)
{
    const char *mode = has_type(rows, "graph") ? "graph" : has_type(rows, "nccl") ? "nccl" : "half";
    KV_VEC(struct kv_fit_point) point = {0};
    for (size_t i = 0; i < rows->count; i++) {
        const struct kv_op_row *r = &rows->at[i];
        if (strcmp(r->type, mode) == 0 && r->key[1] <= KV_KNOTS_AXIS_MAX)
            kv_vec_push(&point, ((struct kv_fit_point){r->key[0], r->key[1], r->time_us * 1e3}));
    }
    if (point.count)
        kv_fit_knots(arena, point.at, point.count, &(struct kv_fit_rule){0.03, 1000, 8, 32}, knots);
    kv_vec_close(&point);
}

/* The median over decodes of two layers, of KV_OP_LAYER_KERNELS operators each; never below 0. */
static double fit_gap(const struct kv_op_rows *rows, int64_t direct)
{
    double *gap_s = kv_mem_take((rows->count + 1) * sizeof *gap_s);
    size_t count = 0;
    for (size_t i = 0; i < rows->count; i++) {
        const struct kv_op_row *r = &rows->at[i];
        if (r->key[KV_LAYERS_DIRECT] == direct && r->key[KV_LAYERS_NEW] == 1)
            gap_s[count++] = 1e-6 * (r->time_us - r->second_us) / (2 * KV_OP_LAYER_KERNELS);
    }
    double median = count ? kv_median(gap_s, count) : 0;
    kv_mem_give(gap_s, (rows->count + 1) * sizeof *gap_s);
    return fmax(median, 0);
}

bool kv_op_profile_fit(struct kv_arena *arena, struct kv_op_samples *samples, const struct kv_op_holdout *holdout,
                       struct kv_op_profile *profile, struct kv_err *err)
{
    *profile = (struct kv_op_profile){
        .from = samples->from, .holdout_points_permille = holdout->points_permille,
        .holdout_shapes_permille = holdout->shapes_permille, .holdout_seed = (int64_t)holdout->seed,
    };
    for (int32_t i = 0; i < KV_PARTS; i++) fit_part(arena, samples, holdout, i, profile);
    if (!profile->part[KV_PART_GEMM_BF16] || !profile->part[KV_PART_PREFILL] || !profile->part[KV_PART_DECODE])
        return kv_fail(err, KV_ECALIB, "samples", "gemm (bf16), attention_prefill and attention_decode are all needed");
    fit_smalls(samples, profile);
    for (int32_t i = 0; i < KV_COLLECTIVES; i++)
        fit_collective(arena, &samples->table[kv_op_collectives[i]], &profile->collective[i]);
    for (int i = 0; i < 2; i++) profile->gap_s[i] = fit_gap(&samples->table[KV_OP_LAYERS], i);
    return true;
}

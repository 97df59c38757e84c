/* SPDX-License-Identifier: Apache-2.0 */
/* An operator profile: what operators cost on one kind of GPU, by shape, so that any model of known shape can be priced
 * on it. A folder models/profiles/GPU with
 *
 *   profile.yaml    gpu, where the measurements come from, small operators, errors of fits that had not seen the rows
 *   PART.csv        one fitted ratio each (sim/lib/op_model.h): gemm_bf16 gemm_fp8 gemm_fp8_block attention_prefill
 *                   attention_decode moe_bf16 moe_fp8; those that were measured
 *   all_reduce.csv  ranks, bytes: time between GPUs of one node, as in a CUDA graph; where measured
 *   all_gather.csv, reduce_scatter.csv  the same of NCCL; bytes: all that is gathered, all that is scattered
 *
 * sim/conf/op_compose.h makes layers of it. */
#ifndef KV_CONF_OP_PROFILE_H
#define KV_CONF_OP_PROFILE_H

#include "sim/conf/op_samples.h"
#include "sim/lib/knots.h"

#define KV_OP_PROFILE_VERSION 1

enum kv_op_part { KV_PART_GEMM_BF16, KV_PART_GEMM_FP8, KV_PART_GEMM_FP8_BLOCK, KV_PART_PREFILL, KV_PART_DECODE,
                  KV_PART_MOE_BF16, KV_PART_MOE_FP8, KV_PARTS };
struct kv_op_part_form { const char *name; enum kv_op op; const char *type; };
extern const struct kv_op_part_form kv_op_parts[KV_PARTS];

enum kv_collective { KV_ALL_REDUCE, KV_ALL_GATHER, KV_REDUCE_SCATTER, KV_COLLECTIVES };
extern const enum kv_op kv_op_collectives[KV_COLLECTIVES];   /* whose file is kv_op_forms[].file */

/* Of a dense layer: two norms, four products, rotary embedding, cache write, attention, activation. */
#define KV_OP_LAYER_KERNELS 10

/* A small operator, bound by memory: base + bytes moved / rate. */
enum { KV_SMALL_NORM, KV_SMALL_ROTARY, KV_SMALL_ACTIVATION, KV_SMALL_SCATTER, KV_SMALLS };
struct kv_op_small { double base_s, rate_Bps; };

struct kv_op_profile {
    struct kv_op_origin from;
    const struct kv_op_model *part[KV_PARTS];     /* NULL: not measured */
    double point_error[KV_PARTS], shape_error[KV_PARTS];   /* mean |error| / measured of rows held out of a fit: at
                                                              random, and whole shapes */
    int64_t holdout_points_permille, holdout_shapes_permille, holdout_seed;
    struct kv_op_small small[KV_SMALLS];
    double gap_s[2];                              /* what a kernel takes more among others than by itself: in a CUDA
                                                     graph; launched one by one (eager). 0: not measured */
    bool small_measured;                          /* else taken from the products: see kv_op_profile_fit */
    struct kv_knots collective[KV_COLLECTIVES];   /* of ranks and bytes; rows 0: not measured */
};

/* Whether FOLDER holds an operator profile; no message. */
bool kv_op_profile_is(struct kv_arena *arena, const char *folder);
/* Reads FOLDER; all in the arena. A failure names file, line and reason. */
bool kv_op_profile_read(struct kv_arena *arena, const char *folder, struct kv_op_profile *profile, struct kv_err *err);
/* One collective of FOLDER alone; rows 0 where it was not measured. */
bool kv_op_collective_read(struct kv_arena *arena, const char *folder, enum kv_collective which,
                           struct kv_knots *knots, struct kv_err *err);
/* Writes FOLDER, made if need be. */
bool kv_op_profile_write(struct kv_arena *arena, const char *folder, const struct kv_op_profile *profile,
                         struct kv_err *err);

/* Fits to all samples; before that, to those that are not held out, for the errors. Needs products in bf16 and both
 * attentions. */
struct kv_op_holdout { int64_t points_permille, shapes_permille; uint64_t seed; int32_t epochs; };
bool kv_op_profile_fit(struct kv_arena *arena, struct kv_op_samples *samples, const struct kv_op_holdout *holdout,
                       struct kv_op_profile *profile, struct kv_err *err);

/* Time of one call in us; `type`: of kv_op_parts, bf16 or fp8 of the cache in attention. The part must be there. */
double kv_op_profile_us(const struct kv_op_profile *p, enum kv_op_part part, const char *type, const int64_t *key);

#endif

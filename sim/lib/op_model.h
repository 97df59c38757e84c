/* SPDX-License-Identifier: Apache-2.0 */
/* Times of GPU operators by shape: a roofline times a ratio fitted to measured times (sim/lib/ratio_net.h).
 *
 *   time = max(flops / F, bytes / B, floor) * exp(f(features))
 *
 * F, B and floor are those of the samples: the flops and bytes a second that one sample in a hundred passes, the time
 * that one in fifty stays below. The features are logarithms of the shape and what drives a kernel beside its work:
 * thread blocks against multiprocessors, how full the last wave of them is, tiles cut off by the edge, alignment. */
#ifndef KV_LIB_OP_MODEL_H
#define KV_LIB_OP_MODEL_H

#include "sim/base/arena.h"
#include "sim/lib/ratio_net.h"

enum kv_op { KV_OP_GEMM, KV_OP_PREFILL, KV_OP_DECODE, KV_OP_MOE, KV_OP_ALL_REDUCE, KV_OP_ALL_GATHER,
             KV_OP_REDUCE_SCATTER, KV_OP_ELEMENTWISE, KV_OP_COPY, KV_OP_SM_SHARE, KV_OP_LAYERS, KV_OPS };
#define KV_OPS_PRICED 4           /* those that an op_model prices come first */
#define KV_OP_KEYS_MAX 7

/* What the rows of an operator are told apart by: `file` without .csv, the text column, the whole-numbered ones in
 * order, ended by NULL; and a second time, or NULL. */
struct kv_op_form { const char *file, *type, *key[KV_OP_KEYS_MAX + 1], *second; };
extern const struct kv_op_form kv_op_forms[KV_OPS];

/* Keys by place. */
enum { KV_GEMM_M, KV_GEMM_N, KV_GEMM_K };
enum { KV_PREFILL_BATCH, KV_PREFILL_NEW, KV_PREFILL_CACHED, KV_PREFILL_HEADS };   /* then kv_heads, head_dim, window */
enum { KV_DECODE_BATCH, KV_DECODE_TOKENS, KV_DECODE_HEADS };
enum { KV_LAYERS_BATCH, KV_LAYERS_NEW, KV_LAYERS_CACHED, KV_LAYERS_DIRECT };
enum { KV_MOE_TOKENS, KV_MOE_HIDDEN, KV_MOE_INTER, KV_MOE_TOPK, KV_MOE_EXPERTS, KV_MOE_TP, KV_MOE_EP };

/* One measured time. `type` is interned: bf16, fp8 ... (of the cache in attention), graph ..., rmsnorm ... */
struct kv_op_row {
    const char *type;
    int64_t key[KV_OP_KEYS_MAX], samples;
    double time_us, spread_us;
    double second_us;             /* two_layers: their operators one by one; else 0 */
    bool held;                    /* left out of a fit */
};
struct kv_op_rows { struct kv_op_row *at; size_t count, capacity; };   /* a KV_VEC */

struct kv_op_model {
    const char *type;             /* NULL: all types of the operator */
    double flops_per_us, bytes_per_us, floor_us;
    int64_t most_key[KV_OP_KEYS_MAX];   /* largest of each key in the samples: the domain */
    int64_t rows;                 /* samples fitted to */
    struct kv_ratio_net net;
};

/* Fits to the rows of `type` (NULL: all) that are not held, or to all of them when `all`. False: no such row. */
struct kv_op_fit_rule { int32_t multiprocessors, epochs; uint64_t seed; bool all; };
bool kv_op_fit(struct kv_op_model *model, enum kv_op op, const char *type, const struct kv_op_rows *rows,
               const struct kv_op_fit_rule *rule);

/* Time of one call, in us. */
double kv_op_us(const struct kv_op_model *model, enum kv_op op, int32_t multiprocessors, const char *type,
                const int64_t *key);

/* Bytes of a number of a type (bf16 2, fp8 1, nvfp4 and int4 1/2); 2 where the name is not known. */
double kv_op_type_bytes(const char *type);

#endif

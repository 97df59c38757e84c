/* SPDX-License-Identifier: Apache-2.0 */
/* A transformer as Llama and Mistral are built, in double precision on the CPU, for models that are small: embedding;
 * layers of root-mean-square norm, grouped-query attention with rotary positions, norm, gated linear units; norm and
 * output matrix. Weights are random: a function of seed, tensor and index. */
#ifndef KV_CALIB_SERVE_LLAMA_H
#define KV_CALIB_SERVE_LLAMA_H

#include <stdbool.h>

#include "sim/base/arena.h"
#include "sim/lib/shape.h"

#define KV_LLAMA_EPSILON 1e-5      /* of the norms; rms_norm_eps of Llama 3 */
#define KV_LLAMA_THETA 500000.0    /* of rotary positions; rope_theta of Llama 3 */

/* Matrices as a linear layer keeps them: [outputs][inputs]. */
struct kv_llama_layer { double *norm, *qkv, *out, *mlp_norm, *gate_up, *down; };
struct kv_llama {
    const struct kv_model_shape *shape;
    struct kv_llama_layer *layer;
    double *embedding, *norm, *head;     /* [vocabulary][hidden]; [hidden]; [vocabulary][hidden] */
};

/* Dense, with grouped-query attention; NULL: the loop can compute it. Else what it is that it has. */
const char *kv_llama_lacks(const struct kv_model_shape *shape);
/* Bytes that kv_llama_open takes. */
int64_t kv_llama_bytes(const struct kv_model_shape *shape);
void kv_llama_open(struct kv_llama *m, const struct kv_model_shape *shape, uint64_t seed, struct kv_arena *arena);

/* out[outputs] = w in[inputs]. */
void kv_llama_linear(const double *w, const double *in, int32_t inputs, int32_t outputs, double *out);
void kv_llama_norm(const double *x, const double *weight, int32_t width, double *out);
/* Turns `heads` heads in place by their position. */
void kv_llama_rotate(double *heads_at, int32_t heads, int32_t head_dim, int32_t position);
/* x += what the second half of a layer makes of it; scratch of hidden + 2 intermediate doubles. */
void kv_llama_mlp(const struct kv_llama *m, int32_t layer, double *x, double *scratch);

/* Attention of one row: query [heads][head_dim] over `tokens` rows of keys and values [kv_heads][head_dim], which
 * `row` finds. scratch of `tokens` doubles. */
struct kv_llama_rows { const void *state; void (*at)(const void *state, int32_t token, const double **k,
                                                     const double **v); };
void kv_llama_attend(const struct kv_llama *m, const double *q, int32_t tokens, const struct kv_llama_rows *rows,
                     double *scratch, double *out);

#endif

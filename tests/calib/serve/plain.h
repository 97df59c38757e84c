/* SPDX-License-Identifier: Apache-2.0 */
/* One pass of a small model over a whole request, without pages, chunks or caches: what devices are compared with. */
#ifndef KV_TESTS_CALIB_SERVE_PLAIN_H
#define KV_TESTS_CALIB_SERVE_PLAIN_H

#include <string.h>

#include "calib/serve/llama.h"
#include "calib/serve/text.h"

static const struct kv_model_shape test_tiny = {
    .name = "tiny", .attention = KV_ATTENTION_GQA, .layers = 2, .hidden = 64, .heads = 4, .kv_heads = 2, .head_dim = 16,
    .intermediate = 96, .vocabulary = 61, .max_position_tokens = 1 << 20, .dtype_bytes = 2, .kv_dtype_bytes = 2,
};

struct test_plain { double *k, *v; int32_t row; };
static inline void test_plain_row(const void *state, int32_t token, const double **k, const double **v)
{
    const struct test_plain *p = state;
    *k = p->k + (int64_t)token * p->row;
    *v = p->v + (int64_t)token * p->row;
}

static inline void test_plain_layer(const struct kv_llama *m, int32_t layer, double *x, int32_t tokens,
                                    struct kv_arena *arena)
{
    const struct kv_model_shape *s = m->shape;
    const struct kv_llama_layer *w = &m->layer[layer];
    int32_t row = s->kv_heads * s->head_dim, wide = s->heads * s->head_dim;
    size_t kv_bytes = (size_t)(tokens * row) * sizeof(double), q_bytes = (size_t)(tokens * wide) * sizeof(double);
    struct test_plain kv = { kv_arena_take(arena, kv_bytes), kv_arena_take(arena, kv_bytes), row };
    double *q = kv_arena_take(arena, q_bytes), *scratch = kv_arena_take(arena, (size_t)(tokens + 300) * 8);
    double in[64], out[64];
    for (int32_t t = 0; t < tokens; t++) {
        kv_llama_norm(x + t * s->hidden, w->norm, s->hidden, in);
        kv_llama_linear(w->qkv, in, s->hidden, wide, q + t * wide);
        kv_llama_linear(w->qkv + wide * s->hidden, in, s->hidden, row, kv.k + t * row);
        kv_llama_linear(w->qkv + (wide + row) * s->hidden, in, s->hidden, row, kv.v + t * row);
        kv_llama_rotate(q + t * wide, s->heads, s->head_dim, t);
        kv_llama_rotate(kv.k + t * row, s->kv_heads, s->head_dim, t);
    }
    for (int32_t t = 0; t < tokens; t++) {
        kv_llama_attend(m, q + t * wide, t + 1, &(struct kv_llama_rows){ &kv, test_plain_row }, scratch, out);
        kv_llama_linear(w->out, out, wide, s->hidden, in);
        for (int32_t i = 0; i < s->hidden; i++) x[t * s->hidden + i] += in[i];
        kv_llama_mlp(m, layer, x + t * s->hidden, scratch);
    }
}

/* Hidden states behind the last layer of a request's first `tokens` tokens. */
static inline double *test_plain_pass(const struct kv_llama *m, const struct kv_request *r, int32_t block_tokens,
                                      int32_t tokens, struct kv_arena *arena)
{
    double *x = kv_arena_take(arena, (size_t)(tokens * m->shape->hidden) * sizeof *x);
    for (int32_t t = 0; t < tokens; t++)
        memcpy(x + t * m->shape->hidden, m->embedding + m->shape->hidden
               * kv_loop_token(r, t, block_tokens, m->shape->vocabulary), (size_t)m->shape->hidden * sizeof *x);
    for (int32_t l = 0; l < m->shape->layers; l++) test_plain_layer(m, l, x, tokens, arena);
    return x;
}

/* Logits behind token `last`. */
static inline void test_plain_logits(const struct kv_llama *m, const double *pass, int32_t last, double *logits)
{
    double x[64];
    kv_llama_norm(pass + last * m->shape->hidden, m->norm, m->shape->hidden, x);
    kv_llama_linear(m->head, x, m->shape->hidden, m->shape->vocabulary, logits);
}

#endif

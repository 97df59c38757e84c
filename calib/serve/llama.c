/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/serve/llama.h"

#include <math.h>

#include "sim/base/rng.h"

const char *kv_llama_lacks(const struct kv_model_shape *s)
{
    if (s->attention != KV_ATTENTION_GQA) return "multi-head latent attention";
    if (s->experts > 0) return "experts";
    return NULL;
}

static int64_t qkv_rows(const struct kv_model_shape *s) { return (int64_t)(s->heads + 2 * s->kv_heads) * s->head_dim; }

static int64_t layer_numbers(const struct kv_model_shape *s)
{
    int64_t h = s->hidden;
    return 2 * h + qkv_rows(s) * h + (int64_t)s->heads * s->head_dim * h + 3 * h * s->intermediate;
}

int64_t kv_llama_bytes(const struct kv_model_shape *s)
{
    int64_t numbers = s->layers * layer_numbers(s) + s->hidden + 2 * (int64_t)s->vocabulary * s->hidden;
    return numbers * (int64_t)sizeof(double);
}

/* Uniform, with the deviation that keeps the size of what goes through: 1 / sqrt(inputs). */
static double *matrix(struct kv_arena *arena, uint64_t seed, uint64_t *tensor, int64_t outputs, int64_t inputs)
{
    double *w = kv_arena_take(arena, (size_t)(outputs * inputs) * sizeof *w), scale = sqrt(3.0 / (double)inputs);
    uint64_t stream = kv_mix64_pair(seed, (*tensor)++);
    for (int64_t i = 0; i < outputs * inputs; i++)
        w[i] = scale * ((double)(kv_mix64_pair(stream, (uint64_t)i) >> 11) / 0x1p52 - 1);
    return w;
}

static double *ones(struct kv_arena *arena, int64_t count)
{
    double *w = kv_arena_take(arena, (size_t)count * sizeof *w);
    for (int64_t i = 0; i < count; i++) w[i] = 1;
    return w;
}

void kv_llama_open(struct kv_llama *m, const struct kv_model_shape *s, uint64_t seed, struct kv_arena *arena)
{
    uint64_t tensor = 0;
    *m = (struct kv_llama){ .shape = s, .layer = kv_arena_take(arena, (size_t)s->layers * sizeof *m->layer) };
    for (int32_t l = 0; l < s->layers; l++)
        m->layer[l] = (struct kv_llama_layer){
            .norm = ones(arena, s->hidden), .mlp_norm = ones(arena, s->hidden),
            .qkv = matrix(arena, seed, &tensor, qkv_rows(s), s->hidden),
            .out = matrix(arena, seed, &tensor, s->hidden, (int64_t)s->heads * s->head_dim),
            .gate_up = matrix(arena, seed, &tensor, 2 * (int64_t)s->intermediate, s->hidden),
            .down = matrix(arena, seed, &tensor, s->hidden, s->intermediate),
        };
    m->embedding = matrix(arena, seed, &tensor, s->vocabulary, s->hidden);
    m->norm = ones(arena, s->hidden);
    m->head = matrix(arena, seed, &tensor, s->vocabulary, s->hidden);
}

void kv_llama_linear(const double *w, const double *in, int32_t inputs, int32_t outputs, double *out)
{
    for (int32_t o = 0; o < outputs; o++) {
        double sum = 0;
        for (int32_t i = 0; i < inputs; i++) sum += w[(int64_t)o * inputs + i] * in[i];
        out[o] = sum;
    }
}

void kv_llama_norm(const double *x, const double *weight, int32_t width, double *out)
{
    double sum = 0;
    for (int32_t i = 0; i < width; i++) sum += x[i] * x[i];
    double scale = 1 / sqrt(sum / width + KV_LLAMA_EPSILON);
    for (int32_t i = 0; i < width; i++) out[i] = x[i] * scale * weight[i];
}

void kv_llama_rotate(double *at, int32_t heads, int32_t head_dim, int32_t position)
{
    int32_t half = head_dim / 2;
    for (int32_t i = 0; i < half; i++) {
        double angle = position * pow(KV_LLAMA_THETA, -2.0 * i / head_dim), c = cos(angle), s = sin(angle);
        for (int32_t h = 0; h < heads; h++) {
            double *x = at + (int64_t)h * head_dim + i, a = x[0], b = x[half];
            x[0] = a * c - b * s;
            x[half] = b * c + a * s;
        }
    }
}

void kv_llama_mlp(const struct kv_llama *m, int32_t layer, double *x, double *scratch)
{
    const struct kv_llama_layer *w = &m->layer[layer];
    int32_t hidden = m->shape->hidden, wide = m->shape->intermediate;
    double *in = scratch, *gate = scratch + hidden, *up = gate + wide;
    kv_llama_norm(x, w->mlp_norm, hidden, in);
    kv_llama_linear(w->gate_up, in, hidden, 2 * wide, gate);
    for (int32_t i = 0; i < wide; i++) gate[i] = gate[i] / (1 + exp(-gate[i])) * up[i];
    kv_llama_linear(w->down, gate, wide, hidden, in);
    for (int32_t i = 0; i < hidden; i++) x[i] += in[i];
}

void kv_llama_attend(const struct kv_llama *m, const double *q, int32_t tokens, const struct kv_llama_rows *rows,
                     double *score, double *out)
{
    const struct kv_model_shape *s = m->shape;
    int32_t dim = s->head_dim, group = s->heads / s->kv_heads;
    const double *k, *v;
    for (int32_t h = 0; h < s->heads; h++, q += dim, out += dim) {
        int64_t at = (int64_t)(h / group) * dim;
        double most = -INFINITY, sum = 0;
        for (int32_t t = 0; t < tokens; t++) {
            rows->at(rows->state, t, &k, &v);
            score[t] = 0;
            for (int32_t i = 0; i < dim; i++) score[t] += q[i] * k[at + i];
            score[t] /= sqrt(dim);
            most = fmax(most, score[t]);
        }
        for (int32_t i = 0; i < dim; i++) out[i] = 0;
        for (int32_t t = 0; t < tokens; t++) {
            double p = exp(score[t] - most);
            rows->at(rows->state, t, &k, &v);
            sum += p;
            for (int32_t i = 0; i < dim; i++) out[i] += p * v[at + i];
        }
        for (int32_t i = 0; i < dim; i++) out[i] /= sum;
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Two layers of a model in one go, and the sum of their operators measured one by one: whether a step is the sum of its
 * parts, as a table of operators takes for granted. */
#include "calib/cuda/ops.h"
#include "calib/gpu/bench.h"

enum { LAYERS = 2 };

struct layers {
    struct kv_gpu_bench *bench;
    int64_t tokens, hidden, inner, qkv_width, attention_width;
    int32_t heads, kv_heads, head_dim;
    const kv_bf16 *norm, *qkv_w[LAYERS], *out_w[LAYERS], *gate_up_w[LAYERS], *down_w[LAYERS];
    kv_bf16 *x, *normed, *qkv, *attended, *added, *gate_up, *gated;
    const int32_t *position, *slot;
    struct kv_gpu_attention attention;
};

static bool product(const struct layers *l, const kv_bf16 *a, const kv_bf16 *w, kv_bf16 *out, int64_t n, int64_t k,
                    kv_cuda_stream stream, struct kv_err *err)
{
    return kv_gemm_run(l->bench->gemm, KV_GEMM_BF16, l->tokens, n, k, a, w, out, stream, err);
}

/* Keys and values go to the pages of their layer, whose numbers are those of an earlier set of KV. */
static bool one_layer(struct layers *l, int32_t layer, kv_cuda_stream stream, struct kv_err *err)
{
    const kv_bf16 *keys = l->qkv + l->heads * l->head_dim, *values = keys + l->kv_heads * l->head_dim;
    struct kv_pages pages = l->attention.pages;
    pages.keys += layer * l->attention.set_elements;
    pages.values += layer * l->attention.set_elements;
    return kv_rmsnorm(l->x, l->added, l->norm, l->normed, l->tokens, (int32_t)l->hidden, 1e-5f, stream, err)
           && product(l, l->normed, l->qkv_w[layer], l->qkv, l->qkv_width, l->hidden, stream, err)
           && kv_rotary(l->qkv, l->qkv_width, l->position, l->tokens, l->heads + l->kv_heads, l->head_dim, 500000,
                        stream, err)
           && kv_write_pages(keys, values, l->qkv_width, l->slot, l->tokens, &pages, stream, err)
           && kv_gpu_attention_run(&l->attention, layer, stream, err)
           && product(l, l->attended, l->out_w[layer], l->added, l->hidden, l->attention_width, stream, err)
           && kv_rmsnorm(l->x, l->added, l->norm, l->normed, l->tokens, (int32_t)l->hidden, 1e-5f, stream, err)
           && product(l, l->normed, l->gate_up_w[layer], l->gate_up, 2 * l->inner, l->hidden, stream, err)
           && kv_silu_mul(l->gate_up, l->gated, l->tokens, (int32_t)l->inner, stream, err)
           && product(l, l->gated, l->down_w[layer], l->added, l->hidden, l->inner, stream, err);
}

static bool run(void *state, int32_t set, kv_cuda_stream stream, struct kv_err *err)
{
    (void)set;
    for (int32_t i = 0; i < LAYERS; i++)
        if (!one_layer(state, i, stream, err)) return false;
    return true;
}

/* ---- setting up ---- */

static bool take(struct layers *l)
{
    struct kv_gpu_bench *b = l->bench;
    bool good = (l->norm = kv_gpu_take(&b->bf16, 2 * l->hidden)) != NULL;
    for (int32_t i = 0; i < LAYERS; i++)
        good = (l->qkv_w[i] = kv_gpu_take(&b->bf16, 2 * l->qkv_width * l->hidden)) != NULL
               && (l->out_w[i] = kv_gpu_take(&b->bf16, 2 * l->hidden * l->attention_width)) != NULL
               && (l->gate_up_w[i] = kv_gpu_take(&b->bf16, 4 * l->inner * l->hidden)) != NULL
               && (l->down_w[i] = kv_gpu_take(&b->bf16, 2 * l->hidden * l->inner)) != NULL && good;
    const struct { kv_bf16 **at; int64_t width; } out[] = {
        {&l->x, l->hidden}, {&l->normed, l->hidden}, {&l->qkv, l->qkv_width}, {&l->attended, l->attention_width},
        {&l->added, l->hidden}, {&l->gate_up, 2 * l->inner}, {&l->gated, l->inner},
    };
    for (size_t i = 0; i < sizeof out / sizeof *out; i++)
        good = (*out[i].at = kv_gpu_take(&b->out, 2 * l->tokens * out[i].width)) != NULL && good;
    return good;
}

/* Where the new tokens of each sequence stand, and where they go: the places that the table of pages says. */
static bool place_tokens(struct layers *l, const int64_t x[3], struct kv_err *err)
{
    struct kv_gpu_bench *b = l->bench;
    const struct kv_pages *p = &l->attention.pages;
    int32_t *position = kv_arena_take(&b->arena, (size_t)l->tokens * sizeof *position);
    int32_t *slot = kv_arena_take(&b->arena, (size_t)l->tokens * sizeof *slot);
    size_t entries = (size_t)x[0] * (size_t)p->table_stride;
    int32_t *table = kv_arena_take(&b->arena, entries * sizeof *table);
    if (!kv_cuda_copy(table, p->table, (int64_t)(entries * sizeof *table), b->stream, err)
        || !kv_cuda_wait(b->stream, err)) return false;
    for (int64_t i = 0; i < l->tokens; i++) {
        int64_t sequence = i / x[1], at = x[2] + i % x[1];
        position[i] = (int32_t)at;
        slot[i] = table[sequence * p->table_stride + at / p->page_tokens] * p->page_tokens
                  + (int32_t)(at % p->page_tokens);
    }
    l->position = kv_gpu_take_whole(b, position, l->tokens, err);
    l->slot = l->position ? kv_gpu_take_whole(b, slot, l->tokens, err) : NULL;
    return l->slot != NULL;
}

static enum kv_gpu_outcome set_up(struct layers *l, const struct kv_gpu_point *point, struct kv_err *err)
{
    const struct kv_model_shape *m = point->model;
    const int64_t heads[3] = {m->heads, m->kv_heads, m->head_dim};
    l->tokens = point->x[0] * point->x[1];
    l->hidden = m->hidden;
    l->inner = m->intermediate;
    l->heads = m->heads;
    l->kv_heads = m->kv_heads;
    l->head_dim = m->head_dim;
    l->attention_width = (int64_t)m->heads * m->head_dim;
    l->qkv_width = l->attention_width + 2 * (int64_t)m->kv_heads * m->head_dim;
    if (!take(l)) return kv_gpu_no_room(err);
    l->attention.q = l->qkv;
    l->attention.out = l->attended;
    enum kv_gpu_outcome outcome = kv_gpu_attention_open(&l->attention, l->bench, point->x[1] == 1, point->x, heads,
                                                        LAYERS, err);
    if (outcome != KV_GPU_MEASURED) return outcome;
    /* What attention reads of its inputs is written by this step: it has to lie among the outputs. */
    int64_t elements = 2 * LAYERS * l->attention.set_elements;
    kv_bf16 *keys = kv_gpu_take(&l->bench->out, 2 * elements);
    if (!keys) return kv_gpu_no_room(err);
    if (!kv_cuda_copy(keys, l->attention.pages.keys, 2 * elements, l->bench->stream, err)
        || !kv_cuda_zero(l->x, 2 * l->tokens * l->hidden, l->bench->stream, err)
        || !kv_cuda_zero(l->added, 2 * l->tokens * l->hidden, l->bench->stream, err)) return KV_GPU_FAILED;
    l->attention.pages.keys = keys;
    l->attention.pages.values = keys + LAYERS * l->attention.set_elements;
    return place_tokens(l, point->x, err) ? KV_GPU_MEASURED : kv_gpu_outcome_of(err);
}

/* ---- the parts ---- */

/* Time of the ten operators of a layer, each as its own point. */
static enum kv_gpu_outcome sum_of_parts(struct kv_gpu_bench *b, const struct kv_gpu_point *point, double *seconds,
                                        struct kv_err *err)
{
    const struct kv_model_shape *m = point->model;
    int64_t tokens = point->x[0] * point->x[1], attention = (int64_t)m->heads * m->head_dim;
    int64_t kv = (int64_t)m->kv_heads * m->head_dim;
    const struct kv_gpu_point decode = { .op = KV_GPU_DECODE,
                                         .x = {point->x[0], point->x[2], m->heads, m->kv_heads, m->head_dim} };
    const struct kv_gpu_point prefill = { .op = KV_GPU_PREFILL, .x = {point->x[0], point->x[1], point->x[2], m->heads,
                                                                      m->kv_heads, m->head_dim} };
    const struct kv_gpu_point part[] = {
        { .op = KV_GPU_NORM, .x = {tokens, m->hidden} }, { .op = KV_GPU_NORM, .x = {tokens, m->hidden} },
        { .op = KV_GPU_GEMM, .x = {tokens, attention + 2 * kv, m->hidden} },
        { .op = KV_GPU_ROTARY, .x = {tokens, attention + kv} }, { .op = KV_GPU_WRITE, .x = {tokens, 2 * kv} },
        point->x[1] == 1 ? decode : prefill, { .op = KV_GPU_GEMM, .x = {tokens, m->hidden, attention} },
        { .op = KV_GPU_GEMM, .x = {tokens, 2 * m->intermediate, m->hidden} },
        { .op = KV_GPU_SILU, .x = {tokens, m->intermediate} },
        { .op = KV_GPU_GEMM, .x = {tokens, m->hidden, m->intermediate} },
    };
    *seconds = 0;
    for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
        struct kv_gpu_result one;
        enum kv_gpu_outcome outcome = kv_gpu_bench_measure(b, &part[i], &one, err);
        if (outcome != KV_GPU_MEASURED) return outcome;
        *seconds += LAYERS * one.time_s;
    }
    return KV_GPU_MEASURED;
}

enum kv_gpu_outcome kv_gpu_measure_layers(struct kv_gpu_bench *b, const struct kv_gpu_point *point,
                                          struct kv_gpu_result *result, struct kv_err *err)
{
    struct layers l = { .bench = b };
    double sum_s;
    enum kv_gpu_outcome outcome = sum_of_parts(b, point, &sum_s, err);
    kv_gpu_reset(b);
    if (outcome == KV_GPU_MEASURED) outcome = set_up(&l, point, err);
    if (outcome != KV_GPU_MEASURED) return outcome;
    struct kv_gpu_call call = { .state = &l, .run = run, .sets = 1, .direct = point->x[3] != 0 };
    if (!kv_gpu_time(b, &call, result, err)) return kv_gpu_outcome_of(err);
    result->sum_s = sum_s;
    return KV_GPU_MEASURED;
}

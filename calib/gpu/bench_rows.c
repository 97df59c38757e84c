/* SPDX-License-Identifier: Apache-2.0 */
/* What lies between products, and KV into its pages. Rows are what the kernel before has just written, so they stay in
 * the L2 cache where they fit. */
#include "calib/cuda/ops.h"
#include "calib/gpu/bench.h"

#define CHUNK_TOKENS 256   /* of a fetched prefix, at the most */

struct rows {
    enum kv_gpu_op op;
    int64_t tokens;
    int32_t width;
    const kv_bf16 *in, *weight;
    kv_bf16 *x, *out;
    const int32_t *index;            /* positions, slots or pages */
    struct kv_pages pages;
};

static bool run(void *state, int32_t set, kv_cuda_stream stream, struct kv_err *err)
{
    const struct rows *r = state;
    int32_t dim = kv_gpu_head_dim(r->width);
    (void)set;
    switch (r->op) {
    case KV_GPU_NORM:
        return kv_rmsnorm(r->x, r->in, r->weight, r->out, r->tokens, r->width, 1e-5f, stream, err);
    case KV_GPU_ROTARY:
        return kv_rotary(r->x, r->width, r->index, r->tokens, r->width / dim, dim, 500000, stream, err);
    case KV_GPU_SILU: return kv_silu_mul(r->in, r->out, r->tokens, r->width, stream, err);
    case KV_GPU_WRITE:
        return kv_write_pages(r->in, r->in + r->width / 2, r->width, r->index, r->tokens, &r->pages, stream, err);
    default: {
        int32_t chunk = r->tokens < CHUNK_TOKENS ? (int32_t)r->tokens : CHUNK_TOKENS;
        return kv_scatter(r->in, chunk, (int32_t)(r->tokens / chunk), r->index, &r->pages, stream, err);
    }
    }
}

/* Numbers that go up from 0, or down to it: what is written goes to places in another order. */
static const int32_t *count(struct kv_gpu_bench *b, int64_t many, bool down, struct kv_err *err)
{
    int32_t *number = kv_arena_take(&b->arena, (size_t)many * sizeof *number);
    for (int64_t i = 0; i < many; i++) number[i] = (int32_t)(down ? many - 1 - i : i);
    return kv_gpu_take_whole(b, number, many, err);
}

static enum kv_gpu_outcome place_pages(struct kv_gpu_bench *b, struct rows *r, struct kv_err *err)
{
    int64_t pages = (r->tokens + KV_GPU_PAGE_TOKENS - 1) / KV_GPU_PAGE_TOKENS;
    int64_t elements = pages * KV_GPU_PAGE_TOKENS * r->width / 2;
    int32_t dim = kv_gpu_head_dim(r->width / 2);
    kv_bf16 *keys = kv_gpu_take(&b->out, 2 * elements * 2);
    if (!keys) return kv_gpu_no_room(err);
    r->pages = (struct kv_pages){ keys, keys + elements, NULL, 0, KV_GPU_PAGE_TOKENS, r->width / 2 / dim, dim };
    r->index = r->op == KV_GPU_SCATTER ? count(b, pages, true, err) : count(b, r->tokens, false, err);
    return r->index ? KV_GPU_MEASURED : kv_gpu_outcome_of(err);
}

enum kv_gpu_outcome kv_gpu_measure_rows(struct kv_gpu_bench *b, const struct kv_gpu_point *point,
                                        struct kv_gpu_result *result, struct kv_err *err)
{
    struct rows r = { .op = point->op, .tokens = point->x[0], .width = (int32_t)point->x[1] };
    int64_t bytes = r.tokens * r.width * 2;
    r.in = kv_gpu_take(&b->bf16, r.op == KV_GPU_SILU ? 2 * bytes : bytes);
    r.weight = kv_gpu_take(&b->bf16, r.width * 2);
    r.x = kv_gpu_take(&b->out, bytes);
    r.out = kv_gpu_take(&b->out, bytes);
    if (!r.in || !r.weight || !r.x || !r.out) return kv_gpu_no_room(err);
    /* What is changed in place begins with numbers like all inputs. */
    if (!kv_cuda_copy(r.x, r.in, bytes, b->stream, err)) return KV_GPU_FAILED;
    if (r.op == KV_GPU_ROTARY) r.index = count(b, r.tokens, false, err);
    enum kv_gpu_outcome outcome = r.op == KV_GPU_WRITE || r.op == KV_GPU_SCATTER ? place_pages(b, &r, err)
                                                                                 : KV_GPU_MEASURED;
    if (outcome != KV_GPU_MEASURED) return outcome;
    if (r.op == KV_GPU_ROTARY && !r.index) return kv_gpu_outcome_of(err);
    struct kv_gpu_call call = { .state = &r, .run = run, .sets = 1 };
    return kv_gpu_time(b, &call, result, err) ? KV_GPU_MEASURED : kv_gpu_outcome_of(err);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Attention over paged KV. The pages of a sequence lie in disorder over its set, as they do in a pool that has been in
 * use for a while. */
#include <math.h>

#include "calib/cuda/ops.h"
#include "calib/gpu/bench.h"
#include "sim/base/rng.h"

/* A table for all sequences: the pages of a set in an order of chance (Fisher and Yates), each once. */
static const int32_t *disorder(struct kv_gpu_bench *b, int64_t pages, struct kv_err *err)
{
    int32_t *page = kv_arena_take(&b->arena, (size_t)pages * sizeof *page);
    for (int64_t i = 0; i < pages; i++) page[i] = (int32_t)i;
    for (int64_t i = pages - 1; i > 0; i--) {
        int64_t j = (int64_t)(kv_mix64((uint64_t)i) % (uint64_t)(i + 1));
        int32_t kept = page[i];
        page[i] = page[j];
        page[j] = kept;
    }
    return kv_gpu_take_whole(b, page, pages, err);
}

/* `count` numbers: the first and the step from one to the next. */
static const int32_t *progression(struct kv_gpu_bench *b, int64_t count, int32_t first, int32_t step,
                                  struct kv_err *err)
{
    int32_t *number = kv_arena_take(&b->arena, (size_t)count * sizeof *number);
    for (int64_t i = 0; i < count; i++) number[i] = (int32_t)(first + i * step);
    return kv_gpu_take_whole(b, number, count, err);
}

/* Pages, tables and lengths. */
static enum kv_gpu_outcome place_kv(struct kv_gpu_attention *a, const int64_t heads[3], int32_t sets,
                                    struct kv_err *err)
{
    struct kv_gpu_bench *b = a->bench;
    int64_t stride = (a->longest + KV_GPU_PAGE_TOKENS - 1) / KV_GPU_PAGE_TOKENS, pages = stride * a->sequences;
    a->set_elements = pages * KV_GPU_PAGE_TOKENS * heads[1] * heads[2];
    kv_bf16 *keys = kv_gpu_take(&b->bf16, 2 * sets * a->set_elements * 2);
    if (!keys || pages > INT32_MAX) return kv_gpu_no_room(err);
    a->pages = (struct kv_pages){ keys, keys + sets * a->set_elements, disorder(b, pages, err), (int32_t)stride,
                                  KV_GPU_PAGE_TOKENS, (int32_t)heads[1], (int32_t)heads[2] };
    a->first = a->pages.table ? progression(b, a->sequences + 1, 0, a->fresh, err) : NULL;
    a->before = a->first ? progression(b, a->sequences, a->cached, 0, err) : NULL;
    a->length = a->before ? progression(b, a->sequences, a->longest, 0, err) : NULL;
    return a->length ? KV_GPU_MEASURED : kv_gpu_outcome_of(err);
}

enum kv_gpu_outcome kv_gpu_attention_open(struct kv_gpu_attention *a, struct kv_gpu_bench *b, bool decode,
                                          const int64_t x[3], const int64_t heads[3], int32_t sets,
                                          struct kv_err *err)
{
    const kv_bf16 *q = a->q;
    kv_bf16 *out = a->out;
    *a = (struct kv_gpu_attention){
        .bench = b, .decode = decode, .sequences = (int32_t)x[0], .fresh = (int32_t)x[1], .cached = (int32_t)x[2],
        .heads = (int32_t)heads[0], .longest = (int32_t)(x[1] + x[2]), .q_stride = (heads[0] + 2 * heads[1]) * heads[2],
    };
    int64_t rows = x[0] * x[1];
    a->q = q ? q : kv_gpu_take(&b->bf16, rows * a->q_stride * 2);
    a->out = out ? out : kv_gpu_take(&b->out, rows * heads[0] * heads[2] * 2);
    a->splits = decode ? kv_decode_splits(b->device.sms, a->sequences, (int32_t)heads[1], a->longest) : 1;
    int64_t scratch = kv_decode_scratch_bytes(a->sequences, a->heads, (int32_t)heads[2], a->splits);
    a->scratch = scratch ? kv_gpu_take(&b->out, scratch) : NULL;
    if (!a->q || !a->out || (scratch && !a->scratch)) return kv_gpu_no_room(err);
    return place_kv(a, heads, sets, err);
}

bool kv_gpu_attention_run(void *attention, int32_t set, kv_cuda_stream stream, struct kv_err *err)
{
    const struct kv_gpu_attention *a = attention;
    float scale = 1 / sqrtf((float)a->pages.head_dim);
    struct kv_pages pages = a->pages;
    pages.keys += set * a->set_elements;
    pages.values += set * a->set_elements;
    if (a->decode) {
        struct kv_decode d = { a->q, a->q_stride, a->out, a->length, a->sequences, a->heads, a->longest, a->splits,
                               a->scratch, scale, pages };
        return kv_attention_decode(&d, stream, err);
    }
    struct kv_prefill p = { a->q, a->q_stride, a->out, a->first, a->before, a->sequences, a->heads, a->fresh, scale,
                            pages };
    return kv_attention_prefill(&p, stream, err);
}

enum kv_gpu_outcome kv_gpu_measure_attention(struct kv_gpu_bench *b, const struct kv_gpu_point *point,
                                             struct kv_gpu_result *result, struct kv_err *err)
{
    struct kv_gpu_attention a = {0};
    bool decode = point->op == KV_GPU_DECODE;
    const int64_t x[3] = { point->x[0], decode ? 1 : point->x[1], decode ? point->x[1] : point->x[2] };
    const int64_t *heads = decode ? &point->x[2] : &point->x[3];
    if (point->type != KV_GPU_BF16) {
        kv_fail(err, KV_ENOHW, "", "attention over KV in fp8 is left out: the kernel is for bf16");
        return KV_GPU_LEFT_OUT;
    }
    int64_t set_bytes = 4 * x[0] * (x[1] + x[2]) * heads[1] * heads[2];
    int32_t sets = kv_gpu_sets(b, set_bytes);
    while (sets > 1 && sets * set_bytes > b->bf16.bytes / 2) sets--;
    enum kv_gpu_outcome outcome = kv_gpu_attention_open(&a, b, decode, x, heads, sets, err);
    if (outcome != KV_GPU_MEASURED) return outcome;
    struct kv_gpu_call call = { .state = &a, .run = kv_gpu_attention_run, .sets = sets };
    return kv_gpu_time(b, &call, result, err) ? KV_GPU_MEASURED : kv_gpu_outcome_of(err);
}

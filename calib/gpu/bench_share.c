/* SPDX-License-Identifier: Apache-2.0 */
/* One problem of each kind on a part of the SMs: what a step keeps of its speed when another has the rest. */
#include <math.h>

#include "calib/cuda/part.h"
#include "calib/gpu/bench.h"

/* Products of a chunk, a prompt, and decodes of a model of 8 billion parameters. */
enum { M = 2048, N = 4096, K = 4096 };
static const int64_t heads[3] = {32, 8, 128}, prompt[3] = {1, 2048, 0}, decodes[3] = {64, 1, 2047};

struct problem {
    struct kv_gpu_bench *bench;
    struct kv_gpu_attention attention;
    const kv_bf16 *a, *w;
    kv_bf16 *out;
};

static bool multiply(void *state, int32_t set, kv_cuda_stream stream, struct kv_err *err)
{
    const struct problem *p = state;
    return kv_gemm_run(p->bench->gemm, KV_GEMM_BF16, M, N, K, p->a, p->w + (int64_t)set * N * K, p->out, stream, err);
}

static bool attend(void *state, int32_t set, kv_cuda_stream stream, struct kv_err *err)
{
    struct problem *p = state;
    return kv_gpu_attention_run(&p->attention, set, stream, err);
}

static enum kv_gpu_outcome set_up(struct problem *p, enum kv_gpu_shared what, struct kv_gpu_call *call,
                                  struct kv_err *err)
{
    struct kv_gpu_bench *b = p->bench;
    *call = (struct kv_gpu_call){ .state = p, .run = attend, .sets = 1, .direct = true };
    if (what != KV_GPU_SHARED_GEMM) {
        bool decode = what == KV_GPU_SHARED_DECODE;
        return kv_gpu_attention_open(&p->attention, b, decode, decode ? decodes : prompt, heads, 1, err);
    }
    call->run = multiply;
    call->sets = kv_gpu_sets(b, (int64_t)2 * N * K);
    p->a = kv_gpu_take(&b->bf16, 2 * M * K);
    p->w = kv_gpu_take(&b->bf16, (int64_t)call->sets * 2 * N * K);
    p->out = kv_gpu_take(&b->out, 2 * M * N);
    return p->a && p->w && p->out ? KV_GPU_MEASURED : kv_gpu_no_room(err);
}

enum kv_gpu_outcome kv_gpu_measure_share(struct kv_gpu_bench *b, const struct kv_gpu_point *point,
                                         struct kv_gpu_result *result, struct kv_err *err)
{
    struct problem p = { .bench = b };
    struct kv_gpu_call call;
    struct kv_part *part;
    int32_t sms = (int32_t)lround((double)point->x[1] * b->device.sms / 1000);
    enum kv_gpu_outcome outcome = set_up(&p, (enum kv_gpu_shared)point->x[0], &call, err);
    if (outcome != KV_GPU_MEASURED) return outcome;
    /* Code is loaded at its first launch, which waits for the whole device: not beside a kernel that does not end. */
    if (!call.run(call.state, 0, b->stream, err) || !kv_cuda_wait(b->stream, err)) return KV_GPU_FAILED;
    if (!kv_part_open(&part, &b->device, sms, err)) return kv_gpu_outcome_of(err);
    call.stream = kv_part_stream(part);
    bool good = kv_gpu_time(b, &call, result, err);
    kv_part_close(part);
    return good ? KV_GPU_MEASURED : kv_gpu_outcome_of(err);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Products: weights come from memory, rows from where they come. */
#include "calib/gpu/bench.h"

struct product {
    struct kv_gpu_bench *bench;
    enum kv_gemm_type type;
    int64_t m, n, k, set_bytes;
    const char *a, *w;
    kv_bf16 *out;
};

static bool run(void *state, int32_t set, kv_cuda_stream stream, struct kv_err *err)
{
    const struct product *p = state;
    return kv_gemm_run(p->bench->gemm, p->type, p->m, p->n, p->k, p->a, p->w + set * p->set_bytes, p->out, stream, err);
}

enum kv_gpu_outcome kv_gpu_measure_gemm(struct kv_gpu_bench *b, const struct kv_gpu_point *point,
                                        struct kv_gpu_result *result, struct kv_err *err)
{
    bool fp8 = point->type == KV_GPU_FP8;
    struct kv_gpu_area *in = fp8 ? &b->fp8 : &b->bf16;
    struct product p = { .bench = b, .type = fp8 ? KV_GEMM_FP8 : KV_GEMM_BF16, .m = point->x[0], .n = point->x[1],
                         .k = point->x[2] };
    if (fp8 && b->device.major * 10 + b->device.minor < 89) {
        kv_fail(err, KV_ENOHW, "", "fp8 is left out: the device has compute capability %d.%d, and 8.9 is needed",
                b->device.major, b->device.minor);
        return KV_GPU_LEFT_OUT;
    }
    int64_t size = fp8 ? 1 : 2, weights = p.n * p.k * size;
    p.set_bytes = (weights + 255) & ~(int64_t)255;
    p.a = kv_gpu_take(in, p.m * p.k * size);
    p.out = kv_gpu_take(&b->out, p.m * p.n * 2);
    int32_t sets = kv_gpu_sets(b, weights);
    if (!p.a || !p.out) return kv_gpu_no_room(err);
    while (sets > 1 && sets * p.set_bytes > in->bytes - in->used) sets--;
    p.w = kv_gpu_take(in, sets * p.set_bytes);
    if (!p.w) return kv_gpu_no_room(err);
    struct kv_gpu_call call = { .state = &p, .run = run, .sets = sets };
    return kv_gpu_time(b, &call, result, err) ? KV_GPU_MEASURED : kv_gpu_outcome_of(err);
}

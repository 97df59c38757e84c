/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/serve_cuda/pick.h"

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#define THREADS 256

struct best { float value; int32_t index; };

static __device__ struct best better(struct best a, struct best b)
{
    return b.value > a.value || (b.value == a.value && b.index < a.index) ? b : a;
}

static __global__ void __launch_bounds__(THREADS)
pick_kernel(const kv_bf16 *logits, int32_t width, int32_t *picked)
{
    __shared__ struct best shared[THREADS];
    const kv_bf16 *row = logits + (int64_t)blockIdx.x * width;
    struct best mine = { -INFINITY, width };
    for (int32_t i = (int32_t)threadIdx.x; i < width; i += THREADS)
        mine = better(mine, { __bfloat162float(__ushort_as_bfloat16(row[i])), i });
    shared[threadIdx.x] = mine;
    for (int32_t half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if ((int32_t)threadIdx.x < half)
            shared[threadIdx.x] = better(shared[threadIdx.x], shared[threadIdx.x + half]);
    }
    if (threadIdx.x == 0) picked[blockIdx.x] = shared[0].index < width ? shared[0].index : 0;
}

extern "C" bool kv_pick(const kv_bf16 *logits, int64_t rows, int32_t width, int32_t *picked, kv_cuda_stream stream,
                        struct kv_err *err)
{
    if (rows <= 0) return true;
    pick_kernel<<<(unsigned)rows, THREADS, 0, stream>>>(logits, width, picked);
    return kv_cuda_launched("picking tokens", err);
}

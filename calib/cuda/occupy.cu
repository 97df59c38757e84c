/* SPDX-License-Identifier: Apache-2.0 */
#include <cuda_runtime.h>

#include "calib/cuda/part.h"
#include "calib/cuda/refuse.h"

/* Time from a clock in nanoseconds, so that no change of the SMs' own clock matters; it may go in steps of a
 * microsecond. */
static __device__ __forceinline__ unsigned long long now_ns()
{
    unsigned long long now;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
    return now;
}

static __global__ void __launch_bounds__(32)
occupy_kernel(volatile int32_t *here, volatile int32_t *end, unsigned long long most_ns)
{
    if (threadIdx.x != 0) return;
    const unsigned long long until = now_ns() + most_ns;
    atomicAdd_system((int32_t *)here, 1);
    while (!*end && now_ns() < until) __nanosleep(1000);
}

extern "C" bool kv_occupy(int32_t blocks, int32_t shared_bytes, volatile int32_t *here, volatile int32_t *end,
                          double most_s, kv_cuda_stream stream, struct kv_err *err)
{
    if (!kv_refuse_unless(blocks > 0 && most_s > 0 && most_s < 1e6, "no blocks, or no time, to occupy", err))
        return false;
    /* As much shared memory as a block may have: no second one finds room on its SM, nor any that needs some. */
    if (!kv_cuda_good(cudaFuncSetAttribute(occupy_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes),
                      "shared memory for occupying an SM", err)) return false;
    occupy_kernel<<<(unsigned)blocks, 32, (size_t)shared_bytes, stream>>>(here, end,
                                                                         (unsigned long long)(most_s * 1e9));
    return kv_cuda_launched("occupying SMs", err);
}

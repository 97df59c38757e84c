/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels that also run on the CPU, so that their arithmetic of indices is tested where there is no GPU.
 *
 * The body of a kernel is written once, in what C and C++ have in common, over these macros. Under nvcc a thread runs
 * it for itself: KV_EACH_THREAD and KV_EACH_WARP are entered once, arrays over lanes have one element, products and
 * exchanges of a warp are the hardware's. Elsewhere one call does the work of a whole block: KV_EACH_THREAD goes over
 * all its threads, KV_EACH_WARP over its warps, arrays hold all 32 lanes, and what a warp does together is done lane by
 * lane as the PTX manual (ISA 9.0, mma.m16n8k16, ldmatrix, cp.async) lays registers out. Asynchronous copies happen no
 * sooner there than they must, at the wait: a wait that is missing or too weak shows as zeros (tests/calib/cuda).
 * What the CPU cannot show are races between warps of a block, and speed. */
#ifndef KV_CALIB_CUDA_SIMT_H
#define KV_CALIB_CUDA_SIMT_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "calib/cuda/pages.h"

#ifdef __CUDACC__
/* ---- on the device ---- */
#include <cuda_bf16.h>

#define KV_ALIGNED16 __align__(16)
#define KV_FN static __device__ __forceinline__
#define KV_UNROLL _Pragma("unroll")
#define KV_LANES 1
#define KV_THREAD_SLOTS(n) 1
#define KV_WARP_SLOTS(n) 1
/* `slot` is the place of the thread in arrays over threads, `t` its number in the block. */
#define KV_EACH_THREAD(slot, t, threads) \
    for (int slot = 0, t = (int)threadIdx.x; slot < 1 && t >= 0; slot++)
/* `slot` is the place of the warp in arrays over warps, `w` its number in the block. */
#define KV_EACH_WARP(slot, w, warps) \
    for (int slot = 0, w = (int)threadIdx.x / 32; slot < 1 && w >= 0; slot++)
/* Where a lane of warp `w` stands in arrays over threads. */
#define KV_OF_LANE(w, slot) 0
/* `slot` is the place of the lane in arrays over lanes, `lane` its number in the warp. */
#define KV_EACH_LANE(slot, lane) \
    for (int slot = 0, lane = (int)threadIdx.x % 32; slot < 1 && lane >= 0; slot++)

KV_FN void kv_sync_block(void) { __syncthreads(); }
KV_FN void kv_sync_warp(void) { __syncwarp(); }

KV_FN float kv_bf16_float(kv_bf16 bits) { return __uint_as_float((uint32_t)bits << 16); }
KV_FN kv_bf16 kv_float_bf16(float value) { return __bfloat16_as_ushort(__float2bfloat16_rn(value)); }
KV_FN float kv_exp2(float value) { return exp2f(value); }
KV_FN void kv_load8(kv_bf16 to[8], const kv_bf16 *from)
{
    const uint4 all = *(const uint4 *)from;
    memcpy(to, &all, sizeof all);
}
KV_FN void kv_store8(kv_bf16 *to, const kv_bf16 from[8])
{
    uint4 all;
    memcpy(&all, from, sizeof all);
    *(uint4 *)to = all;
}

/* 16 bytes to shared memory, zeros where `there` is false; `from` is then not read. */
KV_FN void kv_copy_async16(void *to, const void *from, bool there)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"((uint32_t)__cvta_generic_to_shared(to)),
                 "l"(from), "r"(there ? 16 : 0) : "memory");
}
/* What the thread has copied since the last call is one group. */
KV_FN void kv_copy_group(void) { asm volatile("cp.async.commit_group;\n" ::: "memory"); }
/* All groups of the thread but the last `but` have arrived; others' only after a sync. */
#define kv_copy_wait(but) asm volatile("cp.async.wait_group %0;\n" ::"n"(but) : "memory")

KV_FN void kv_ldmatrix4(uint32_t out[KV_LANES][4], const void *const row[KV_LANES])
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(out[0][0]), "=r"(out[0][1]), "=r"(out[0][2]), "=r"(out[0][3])
                 : "r"((uint32_t)__cvta_generic_to_shared(row[0])) : "memory");
}
KV_FN void kv_ldmatrix4_turned(uint32_t out[KV_LANES][4], const void *const row[KV_LANES])
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(out[0][0]), "=r"(out[0][1]), "=r"(out[0][2]), "=r"(out[0][3])
                 : "r"((uint32_t)__cvta_generic_to_shared(row[0])) : "memory");
}
/* d (16 x 8) += a (16 x 16) times what registers `b` and `b` + 1 of `two` hold (16 x 8). */
KV_FN void kv_mma(float d[KV_LANES][4], uint32_t a[KV_LANES][4], uint32_t two[KV_LANES][4], int b)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                 "{%0,%1,%2,%3};\n"
                 : "+f"(d[0][0]), "+f"(d[0][1]), "+f"(d[0][2]), "+f"(d[0][3])
                 : "r"(a[0][0]), "r"(a[0][1]), "r"(a[0][2]), "r"(a[0][3]), "r"(two[0][b]), "r"(two[0][b + 1]));
}
/* Over the four lanes that share a row of an mma result. */
KV_FN void kv_quad_max(float value[KV_LANES])
{
    value[0] = fmaxf(value[0], __shfl_xor_sync(0xffffffffu, value[0], 1));
    value[0] = fmaxf(value[0], __shfl_xor_sync(0xffffffffu, value[0], 2));
}
KV_FN void kv_quad_sum(float value[KV_LANES])
{
    value[0] += __shfl_xor_sync(0xffffffffu, value[0], 1);
    value[0] += __shfl_xor_sync(0xffffffffu, value[0], 2);
}
/* Over the 32 lanes of the warp; all get it. */
KV_FN void kv_warp_sum(float value[KV_LANES])
{
    KV_UNROLL for (int step = 16; step; step /= 2) value[0] += __shfl_xor_sync(0xffffffffu, value[0], step);
}

#else
/* ---- on the CPU: what the tests run ---- */

#define KV_ALIGNED16
#define KV_FN static inline
#define KV_UNROLL
#define KV_LANES 32
#define KV_THREAD_SLOTS(n) (n)
#define KV_WARP_SLOTS(n) (n)
#define KV_EACH_THREAD(slot, t, threads) for (int slot = 0, t = 0; t < (threads); t = ++slot)
#define KV_EACH_WARP(slot, w, warps) for (int slot = 0, w = 0; w < (warps); w = ++slot)
#define KV_EACH_LANE(slot, lane) for (int slot = 0, lane = 0; lane < 32; lane = ++slot)
#define KV_OF_LANE(w, slot) (32 * (w) + (slot))

KV_FN void kv_sync_block(void) {}
KV_FN void kv_sync_warp(void) {}

KV_FN float kv_bf16_float(kv_bf16 bits)
{
    uint32_t word = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &word, sizeof value);
    return value;
}
/* Ties to even; NaN stays one. */
KV_FN kv_bf16 kv_float_bf16(float value)
{
    uint32_t word;
    memcpy(&word, &value, sizeof word);
    if (value != value) return 0x7fff;
    return (kv_bf16)((word + 0x7fff + (word >> 16 & 1)) >> 16);
}
KV_FN float kv_exp2(float value) { return exp2f(value); }
KV_FN void kv_load8(kv_bf16 to[8], const kv_bf16 *from) { memcpy(to, from, 16); }
KV_FN void kv_store8(kv_bf16 *to, const kv_bf16 from[8]) { memcpy(to, from, 16); }

/* Copies under way, oldest first: `group` counts the calls of kv_copy_group before them. */
#define KV_SIMT_COPIES 65536
struct kv_simt_copy { void *to; const void *from; int32_t group; bool there; };
static struct kv_simt_copy kv_simt_copy[KV_SIMT_COPIES];
static int32_t kv_simt_copies, kv_simt_group;

KV_FN void kv_copy_async16(void *to, const void *from, bool there)
{
    if (kv_simt_copies == KV_SIMT_COPIES || ((uintptr_t)to | (there ? (uintptr_t)from : 0)) % 16) {
        kv_simt_copies = -1;   /* the next wait faults: too many at once, or not aligned */
        return;
    }
    kv_simt_copy[kv_simt_copies++] = (struct kv_simt_copy){ to, from, kv_simt_group, there };
}
/* Groups are counted for the block or the warp that works: bodies make one when all its threads have copied. */
KV_FN void kv_copy_group(void) { kv_simt_group++; }
KV_FN void kv_copy_wait(int32_t but)
{
    int32_t kept = 0;
    for (int32_t i = 0; i < kv_simt_copies; i++) {
        const struct kv_simt_copy *c = &kv_simt_copy[i];
        if (c->group >= kv_simt_group - but) kv_simt_copy[kept++] = *c;
        else if (c->there) memcpy(c->to, c->from, 16);
        else memset(c->to, 0, 16);
    }
    kv_simt_copies = kept;
}

/* Register i of lane l holds two elements of row l / 4 of matrix i; lane 8 i + r names the place of row r. */
KV_FN void kv_ldmatrix4(uint32_t out[KV_LANES][4], const void *const row[KV_LANES])
{
    for (int l = 0; l < 32; l++)
        for (int i = 0; i < 4; i++) memcpy(&out[l][i], (const char *)row[8 * i + l / 4] + 4 * (l % 4), 4);
}
KV_FN void kv_ldmatrix4_turned(uint32_t out[KV_LANES][4], const void *const row[KV_LANES])
{
    for (int l = 0; l < 32; l++)
        for (int i = 0; i < 4; i++) {
            kv_bf16 low, high;
            memcpy(&low, (const char *)row[8 * i + 2 * (l % 4)] + 2 * (l / 4), 2);
            memcpy(&high, (const char *)row[8 * i + 2 * (l % 4) + 1] + 2 * (l / 4), 2);
            out[l][i] = low | (uint32_t)high << 16;
        }
}
KV_FN float kv_simt_half(uint32_t pair, int which) { return kv_bf16_float((kv_bf16)(pair >> 16 * which)); }
KV_FN void kv_mma(float d[KV_LANES][4], uint32_t a[KV_LANES][4], uint32_t two[KV_LANES][4], int b)
{
    for (int l = 0; l < 32; l++)
        for (int c = 0; c < 4; c++) {
            int row = l / 4 + 8 * (c / 2), column = 2 * (l % 4) + c % 2;
            for (int k = 0; k < 16; k++) {
                uint32_t of_a = a[row % 8 * 4 + k % 8 / 2][row / 8 + 2 * (k / 8)];
                uint32_t of_b = two[column * 4 + k % 8 / 2][b + k / 8];
                d[l][c] += kv_simt_half(of_a, k % 2) * kv_simt_half(of_b, k % 2);
            }
        }
}
KV_FN void kv_quad_max(float value[KV_LANES])
{
    for (int l = 0; l < 32; l += 4) {
        float most = fmaxf(fmaxf(value[l], value[l + 1]), fmaxf(value[l + 2], value[l + 3]));
        for (int i = 0; i < 4; i++) value[l + i] = most;
    }
}
KV_FN void kv_quad_sum(float value[KV_LANES])
{
    for (int l = 0; l < 32; l += 4) {
        float sum = (value[l] + value[l + 1]) + (value[l + 2] + value[l + 3]);
        for (int i = 0; i < 4; i++) value[l + i] = sum;
    }
}
KV_FN void kv_warp_sum(float value[KV_LANES])
{
    float sum = 0;
    for (int l = 0; l < 32; l++) sum += value[l];
    for (int l = 0; l < 32; l++) value[l] = sum;
}
#endif

/* Two floats as the two halves of a register, the first in the low one. */
KV_FN uint32_t kv_pair(float low, float high)
{
    return kv_float_bf16(low) | (uint32_t)kv_float_bf16(high) << 16;
}

#endif

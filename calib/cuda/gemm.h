/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix products through cuBLASLt: out[m][n] = a[m][k] * transposed w[n][k], as a linear layer stores its weights.
 * bf16 or fp8 (e4m3, both operands, scale 1) in, float inside, bf16 out. The algorithm is the first that the library's
 * heuristic names, as in serving engines; it is looked up once for a shape and kept. */
#ifndef KV_CALIB_CUDA_GEMM_H
#define KV_CALIB_CUDA_GEMM_H

#include "calib/cuda/device.h"
#include "calib/cuda/pages.h"

#ifdef __cplusplus
extern "C" {
#endif

enum kv_gemm_type { KV_GEMM_BF16, KV_GEMM_FP8 };

struct kv_gemm;
/* With a workspace of 32 MiB on the device. One stream at a time may use it. False leaves nothing to close. */
bool kv_gemm_open(struct kv_gemm **gemm, struct kv_err *err);
void kv_gemm_close(struct kv_gemm *gemm);   /* NULL is fine */
/* m, n, k >= 1; n and k multiples of 8 (bf16) or 16 (fp8, which needs compute capability 8.9). Pointers 16-byte
 * aligned. False with KV_EUSAGE for other shapes, KV_ENOHW where the library has no algorithm for it on this device. */
bool kv_gemm_run(struct kv_gemm *gemm, enum kv_gemm_type type, int64_t m, int64_t n, int64_t k, const void *a,
                 const void *w, kv_bf16 *out, kv_cuda_stream stream, struct kv_err *err);
/* Whatever a first product of a shape has to do besides, done now: the algorithm is looked up for every m up to 2048,
 * from there up to m_most for each multiple of 256, and each algorithm runs once, for the code of a kernel is loaded at
 * its first launch (some 3 ms, as measured on an H200; a search 0.2 ms). Operands as for kv_gemm_run with m_most. */
bool kv_gemm_prepare(struct kv_gemm *gemm, enum kv_gemm_type type, int64_t m_most, int64_t n, int64_t k, const void *a,
                     const void *w, kv_bf16 *out, kv_cuda_stream stream, struct kv_err *err);
/* Version of the library: 130001 is 13.0.1. */
int64_t kv_gemm_version(void);

#ifdef __cplusplus
}
#endif

#endif

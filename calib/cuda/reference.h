/* SPDX-License-Identifier: Apache-2.0 */
/* The operators of calib/cuda/ops.h and gemm.h again, on the CPU, in float64, straight from their definitions: what the
 * kernels' results are checked against before anything is timed. Inputs are what the device was given (bf16, fp8), so
 * that only the arithmetic differs; pages and tables are of the host here. Needs no CUDA. */
#ifndef KV_CALIB_CUDA_REFERENCE_H
#define KV_CALIB_CUDA_REFERENCE_H

#include <stdbool.h>

#include "calib/cuda/pages.h"

/* ---- numbers ---- */

double kv_bf16_value(kv_bf16 bits);
kv_bf16 kv_bf16_nearest(double value);       /* ties to even; too large becomes infinite */
double kv_fp8_value(uint8_t bits);           /* e4m3 (OCP): no infinity, 0x7f and 0xff are NaN */
uint8_t kv_fp8_nearest(double value);        /* ties to even; too large becomes +-448 */

/* ---- operators; outputs are dense ---- */

/* out[m][n] of a[m][k], w[n][k]. */
void kv_reference_gemm(const kv_bf16 *a, const kv_bf16 *w, int64_t m, int64_t n, int64_t k, double *out);
void kv_reference_gemm_fp8(const uint8_t *a, const uint8_t *w, int64_t m, int64_t n, int64_t k, double *out);
/* Attention of one sequence, `sequence` of the table: `rows` queries, the first at position `cached`, [heads][head_dim]
 * in rows of q_stride; out: [rows][heads][head_dim]. Decode is one row at cached = length - 1. */
void kv_reference_attention(const kv_bf16 *q, int64_t q_stride, const struct kv_pages *pages, int32_t sequence,
                            int32_t rows, int32_t cached, int32_t heads, double scale, double *out);
/* `added` may be NULL; `sum` (may be NULL) is x + added as bf16, the new x. */
void kv_reference_rmsnorm(const kv_bf16 *x, const kv_bf16 *added, const kv_bf16 *weight, int64_t rows, int32_t width,
                          double epsilon, kv_bf16 *sum, double *out);
/* out: [rows][heads][head_dim]. */
void kv_reference_rotary(const kv_bf16 *qkv, int64_t stride, const int32_t *position, int64_t rows, int32_t heads,
                         int32_t head_dim, double theta, double *out);
void kv_reference_silu_mul(const kv_bf16 *gate_up, int64_t rows, int32_t width, double *out);
/* Exact copies: pages are written. */
void kv_reference_write_pages(const kv_bf16 *keys, const kv_bf16 *values, int64_t stride, const int32_t *slot,
                              int64_t rows, struct kv_pages *pages);
void kv_reference_scatter(const kv_bf16 *from, int32_t chunk_tokens, int32_t chunks, const int32_t *page,
                          struct kv_pages *pages);

/* ---- comparison ---- */

/* The largest |found - wanted| / (|wanted| + floor), NaN where a NaN is found, and where it is. `floor`, the size of a
 * typical value, keeps values near 0 from counting. */
double kv_reference_error(const kv_bf16 *found, const double *wanted, int64_t count, double floor, int64_t *where);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Greedy sampling on a CUDA device. */
#ifndef KV_CALIB_SERVE_CUDA_PICK_H
#define KV_CALIB_SERVE_CUDA_PICK_H

#include "calib/cuda/device.h"
#include "calib/cuda/pages.h"

#ifdef __cplusplus
extern "C" {
#endif

/* picked[i] = index of the largest number of row i of logits, [rows][width], width >= 1; the first of equals. Rows of
 * NaN alone pick 0. Puts a kernel into `stream`; pointers are of the device. */
bool kv_pick(const kv_bf16 *logits, int64_t rows, int32_t width, int32_t *picked, kv_cuda_stream stream,
             struct kv_err *err);

#ifdef __cplusplus
}
#endif

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What launchers refuse before they launch: each false with KV_EUSAGE and a sentence. */
#ifndef KV_CALIB_CUDA_REFUSE_H
#define KV_CALIB_CUDA_REFUSE_H

#include "calib/cuda/device.h"
#include "calib/cuda/pages.h"

#ifdef __cplusplus
extern "C" {
#endif

bool kv_refuse_unless(bool good, const char *what, struct kv_err *err);
/* Pages whose shape a kernel is for, with `heads` query heads. */
bool kv_refuse_pages(const struct kv_pages *pages, int32_t heads, struct kv_err *err);
/* Rows of `width` elements of 2 bytes, `stride` apart: aligned to 16 bytes, and not one over the other. */
bool kv_refuse_rows(const void *at, int64_t stride, int64_t width, struct kv_err *err);

#ifdef __cplusplus
}
#endif

#endif

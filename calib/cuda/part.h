/* SPDX-License-Identifier: Apache-2.0 */
/* A part of the SMs of the current device: a stream whose kernels run on those alone. Green contexts where the driver
 * has them (12.4 and later), else a kernel that sits on the other SMs and waits. */
#ifndef KV_CALIB_CUDA_PART_H
#define KV_CALIB_CUDA_PART_H

#include "calib/cuda/device.h"

#ifdef __cplusplus
extern "C" {
#endif

struct kv_part;
/* `sms` of the device's SMs, at least one. False with *err. */
bool kv_part_open(struct kv_part **part, const struct kv_cuda_device *device, int32_t sms, struct kv_err *err);
/* NULL is fine. What was put into the stream must have ended. */
void kv_part_close(struct kv_part *part);
kv_cuda_stream kv_part_stream(const struct kv_part *part);
/* "green context" or "occupied SMs". */
const char *kv_part_how(const struct kv_part *part);

/* For the second way: `blocks` blocks of threads that take an SM each, count themselves in *here when they are there,
 * and end when *end is set, or after `most_s`. Both are numbers in pinned memory. */
bool kv_occupy(int32_t blocks, int32_t shared_bytes, volatile int32_t *here, volatile int32_t *end, double most_s,
               kv_cuda_stream stream, struct kv_err *err);

#ifdef __cplusplus
}
#endif

#endif

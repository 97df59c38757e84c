/* SPDX-License-Identifier: Apache-2.0 */
/* All-reduce over the GPUs of this machine by NCCL, where it was there when this was built. */
#ifndef KV_CALIB_CUDA_REDUCE_H
#define KV_CALIB_CUDA_REDUCE_H

#include <stdbool.h>
#include <stdint.h>

struct kv_err;
struct kv_reduce;

/* Devices 0 .. gpus - 1 as ranks, each with room for `most_bytes` of bf16. A small sum is checked. False with *err:
 * KV_ENOHW where NCCL was left out of the build or there are not so many devices, KV_ECHECK when the sum is wrong.
 * The current device stays device `current`. */
bool kv_reduce_open(struct kv_reduce **reduce, int32_t gpus, int64_t most_bytes, int32_t current, struct kv_err *err);
void kv_reduce_close(struct kv_reduce *reduce);   /* NULL is fine */
/* Seconds of one of `calls` all-reduces of `bytes` of each rank, one after the other, seen by rank 0. */
bool kv_reduce_time(struct kv_reduce *reduce, int64_t bytes, int32_t calls, double *seconds, struct kv_err *err);
/* "NCCL 2.27.3", or "" where it was left out. */
const char *kv_reduce_version(void);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks of the device, and what slows them, from NVML, which comes with the driver and is looked for at run time. */
#ifndef KV_CALIB_GPU_CLOCKS_H
#define KV_CALIB_GPU_CLOCKS_H

#include "sim/base/arena.h"

struct kv_gpu_clocks;
/* For the device at a PCI address. Never NULL: where NVML is not here, nothing is known. */
struct kv_gpu_clocks *kv_gpu_clocks_open(const char *bus);
void kv_gpu_clocks_close(struct kv_gpu_clocks *clocks);   /* NULL is fine */
/* Of the SMs, now, in MHz; 0: not known. */
int32_t kv_gpu_clocks_sm_MHz(struct kv_gpu_clocks *clocks);
/* What holds them down now: "none", or names joined by '+'; "unknown". Lives as long as the clocks. */
const char *kv_gpu_clocks_throttle(struct kv_gpu_clocks *clocks);
/* "535.104.05"; "" when not known. Lives as long as the clocks. */
const char *kv_gpu_clocks_driver(const struct kv_gpu_clocks *clocks);
/* "at most 1980 MHz, memory 2619 MHz", or why nothing is known. Text in the arena. */
const char *kv_gpu_clocks_text(struct kv_arena *arena, struct kv_gpu_clocks *clocks);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The device that is meant: one NVIDIA GPU, weights and pages in its memory, kernels of calib/cuda. Steps run in one
 * stream; loads are copied from pinned host memory in a second one, layer by layer, and each layer of a step waits for
 * the event behind its copy (layerwise), or the step begins when all is there (the loop sees to that). */
#ifndef KV_CALIB_SERVE_CUDA_CUDA_H
#define KV_CALIB_SERVE_CUDA_CUDA_H

#include <signal.h>

#include "calib/serve/device.h"
#include "sim/iface/config.h"

struct kv_loop_cuda_options {
    const struct kv_sim_config *config;
    int64_t slots;             /* places in host memory */
    int64_t longest_tokens;    /* the longest request, output included */
    int64_t fill_tokens;       /* the longest prefix that host memory is filled with */
    int32_t gpu;
    uint64_t seed;             /* of the weights */
    bool warm_up;              /* steps of several sizes before the start: kernels are loaded, products chosen */
    int64_t layers_every;      /* a step of so many has its layers timed, loads or not; 0: those with loads only */
    const volatile sig_atomic_t *stop;
};

/* False with KV_ENOHW: there is no GPU, or the model does not fit; the message says what would. *device is to be closed
 * where it has ops, also then. *about: "gpu: NAME" lines for run.yaml, text of the arena. */
bool kv_loop_cuda_open(struct kv_loop_device *device, const struct kv_loop_cuda_options *options, const char **about,
                       struct kv_arena *arena, struct kv_err *err);

#endif

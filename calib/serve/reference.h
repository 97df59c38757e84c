/* SPDX-License-Identifier: Apache-2.0 */
/* A device that computes a small model in double precision, over pages and host memory as a GPU does, and whose time is
 * that of the clock (calib/serve/clock.h). Loaded pages hold nothing but NaN until the layer they are in is brought:
 * then, and not before, when the clock says so or the step waits for it. */
#ifndef KV_CALIB_SERVE_REFERENCE_H
#define KV_CALIB_SERVE_REFERENCE_H

#include "calib/serve/clock.h"
#include "calib/serve/llama.h"

struct kv_loop_arriving { int32_t *slot, *page; int32_t count, layers; };   /* layers: brought so far */
struct kv_loop_reference {
    struct kv_loop_clock clock;
    struct kv_llama model;
    int32_t block_tokens, layers, row;   /* row: numbers of K, and of V, of a token in a layer */
    double *page, *host;                 /* [layer][page or slot][K, V][block_tokens][row] */
    int64_t pages, slots;
    KV_VEC(struct kv_loop_arriving) load;
    size_t first_load;                   /* all before have been brought */
    /* Of the step: [token][hidden], [member][vocabulary], [member]. */
    KV_VEC(double) x, logits, scratch;
    KV_VEC(int32_t) token;
};

/* `slots`: places in host memory. False with KV_ENOHW when the model and its pages need more than `bytes_most`. */
bool kv_loop_reference_open(struct kv_loop_reference *r, const struct kv_sim_config *config, int64_t slots,
                            uint64_t seed, int64_t bytes_most, struct kv_arena *arena, struct kv_err *err);

extern const struct kv_loop_device_ops kv_loop_reference_ops;

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What the loop asks of whoever computes: steps of a batch, and loads of KV from host memory beside them.
 *
 * Three devices implement it: a clock, which takes from kvsim's own compute model what a step costs; a reference, which
 * computes a small model in double precision; and CUDA. All instants are ticks since the start of the run. */
#ifndef KV_CALIB_SERVE_DEVICE_H
#define KV_CALIB_SERVE_DEVICE_H

#include "sim/base/err.h"
#include "sim/iface/request.h"

/* A request's part of a step: `new_tokens` >= 1 behind `ctx_tokens` whose KV is there, or comes with its loads. */
struct kv_loop_member {
    const struct kv_request *request;
    int32_t new_tokens, ctx_tokens;
    bool yields;               /* they end what is known of it: the step gives a new token */
    const int32_t *page;       /* page[i] holds its tokens [i * block_tokens, ...); enough for ctx and new */
    const int32_t *load;       /* loads that it may still wait for, layer by layer */
    int32_t load_count;
};
struct kv_loop_batch {
    const struct kv_loop_member *member;
    int32_t count;
    int64_t tokens;
};

/* Blocks on their way from places of host memory to pages; numbers count up from 0. The device keeps no pointer. */
struct kv_loop_load {
    int32_t number, count;
    const struct kv_request *request;
    const int32_t *slot, *page;
};

/* When a layer of a step had its KV (never: nothing was to come, -1) and was computed. */
struct kv_loop_layer { kv_tick loaded_tk, begin_tk, end_tk; };
struct kv_loop_step {
    kv_tick begin_tk, end_tk;       /* handed over; new tokens known */
    double device_s, launch_s;      /* of it: what the device was at work, what the host needed to start it all */
    const struct kv_loop_layer *layer;   /* of each layer, until the next call; NULL: not measured */
    const int32_t *token;           /* of each member, the one it yields (-1: none), until the next call; NULL */
};

struct kv_loop_device_ops {
    const char *help;
    kv_tick (*now)(void *state);
    /* Until that instant, or until `layers` layers of the load are in (load < 0: none), or a signal has come. */
    bool (*wait)(void *state, kv_tick until_tk, int32_t load, int32_t layers, struct kv_err *err);
    /* Computes the KV of the first count * block_tokens tokens of a prompt and puts it into host memory. Before the
     * start only; `page` lends as many pages. */
    bool (*fill)(void *state, const struct kv_loop_load *load, struct kv_err *err);
    /* The time starts. */
    void (*start)(void *state);
    /* Begins; loads are brought one after the other, each layer by layer. */
    bool (*load)(void *state, const struct kv_loop_load *load, struct kv_err *err);
    /* Layers of a load that are in by now, from the first on. */
    int32_t (*arrived)(void *state, int32_t load);
    /* Computes and waits for the end. Layer l waits for layer l of the loads of all members. */
    bool (*step)(void *state, const struct kv_loop_batch *batch, struct kv_loop_step *step, struct kv_err *err);
    void (*close)(void *state);
};
struct kv_loop_device { void *state; const struct kv_loop_device_ops *ops; };

#endif

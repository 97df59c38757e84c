/* SPDX-License-Identifier: Apache-2.0 */
/* Contract of models/compute: what a step costs.
 *
 * One function prices a step and all identical steps after it. A *run* is a sequence of steps in which the
 * batch stays the same and every decoding sequence grows by one token a step; inside it the cost of step i is
 *     first + i * slope,   0 <= i < steps
 * exactly, in integers of 2^-32 tick. `steps` says how far that holds (up to the model's next knot, kink or
 * bucket edge; at least 1). A batch with prefill chunks always answers steps = 1. A model that knows no closed
 * form answers steps = 1 and slope = 0 and is stepped one by one.
 *
 * The caller may ask for a run starting at any step of an earlier run; the answers agree: the cost of step i
 * priced from the start equals `first` priced with ctx_sum grown by i * decode_count (contract test).
 * Pricing has no side effects and no memory: the same batch always costs the same. */
#ifndef KV_IFACE_COMPUTE_H
#define KV_IFACE_COMPUTE_H

#include "sim/base/err.h"
#include "sim/base/tick.h"
#include "sim/conf/param.h"
#include "sim/iface/model.h"

/* A prefill chunk: `new_tokens` (>= 2; a one-token remainder is a decode) on top of `ctx_tokens` cached ones. */
struct kv_chunk { int64_t new_tokens, ctx_tokens; bool last; /* completes its prompt: yields a token */ };

/* Context of a sequence = tokens in its KV cache before the step. Each summary is closed under one more token
 * per sequence: ctx_sum += R, ctx_max += 1, ctx_sq_sum += 2 ctx_sum + R (old ctx_sum). */
struct kv_batch {
    int64_t decode_count;   /* R, sequences that decode one token */
    int64_t ctx_sum, ctx_max;
    kv_cost ctx_sq_sum;
    const struct kv_chunk *chunks;
    int32_t chunk_count;
};

struct kv_run { kv_cost first, slope; int64_t steps; };

/* What a model may look at when it opens; outlives the model. */
struct kv_compute_env {
    const struct kv_model_shape *model;
    const struct kv_gpu_spec *gpu;   /* NULL when the scenario names none */
    int32_t tp;                      /* tensor-parallel GPUs of an instance */
    int32_t ranks;                   /* instances that share the experts in lock-step; 0 or 1: none do */
    double peer_Bps, peer_latency_s; /* between two of them, one direction */
};

struct kv_compute_ops {
    struct kv_plugin_info info;
    size_t state_bytes;              /* given zeroed to open */
    bool needs_gpu;                  /* open fails without env->gpu; the scenario checks first */
    bool (*open)(void *state, const void *params, const struct kv_compute_env *env, struct kv_err *err);
    /* Cost >= 1 unit. Without host overhead, which the engine adds. */
    struct kv_run (*price)(const void *state, const struct kv_batch *batch);
    /* A step that env->ranks instances take together, each with its own batch (empty: it has nothing to do), their
     * experts spread over all of them (docs/engine.md, rule 13g). NULL: the model cannot tell. */
    kv_cost (*together)(const void *state, const struct kv_batch *batch);
    /* How `price(batch).first` (steps = 1) is spent: `layers` costs in layer order, and what comes before the first
     * and after the last; all >= 0 and the sum is exactly the price. NULL: equal layers, nothing before, the remainder
     * of the division after (kv_compute_layers). */
    void (*layers)(const void *state, const struct kv_batch *batch, kv_cost *layer, kv_cost *before, kv_cost *after);
    /* True when part of the batch lies outside what the model was measured for; NULL: the model is a formula. The
     * same for all steps of a run. */
    bool (*outside)(const void *state, const struct kv_batch *batch);
};

/* The price of a step layer by layer; `count` = layers of the model, >= 1. */
static inline void kv_compute_layers(const struct kv_compute_ops *ops, const void *state, const struct kv_batch *batch,
                                     kv_cost *layer, int32_t count, kv_cost *before, kv_cost *after)
{
    if (ops->layers) {
        ops->layers(state, batch, layer, before, after);
        return;
    }
    kv_cost price = ops->price(state, batch).first, each = price / count;
    for (int32_t l = 0; l < count; l++) layer[l] = each;
    *before = 0;
    *after = price - each * count;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What the `kvsim calib` commands share. */
#ifndef KV_CLI_CALIB_H
#define KV_CLI_CALIB_H

#include "sim/conf/profile.h"
#include "sim/iface/model.h"

/* Points held out of the fit to tell its error, and which. */
struct kv_holdout { int64_t permille; uint64_t seed; };

/* The per-layer tables that LLMServingSim's profiler takes inside vLLM, from folder `tp<N>` (its meta.yaml lies above),
 * as a profile: fitted without the points held out, scored on them, then fitted with all. */
bool kv_calib_vllm_layers(struct kv_arena *arena, const char *folder, const struct kv_model_shape *model,
                          const struct kv_holdout *holdout, struct kv_profile *profile, struct kv_err *err);

#endif

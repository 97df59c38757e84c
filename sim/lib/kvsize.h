/* SPDX-License-Identifier: Apache-2.0 */
/* How much memory a model needs: KV bytes per token, weights, activations. The same arithmetic as vLLM's,
 * so that the number of blocks of an instance equals what vLLM reports (tests/sim/lib/test_kvsize.c). */
#ifndef KV_LIB_KVSIZE_H
#define KV_LIB_KVSIZE_H

#include "sim/lib/shape.h"

/* KV heads that one of `tp` tensor-parallel GPUs holds: sharded, at least one (replicated when kv_heads <
 * tp). */
int32_t kv_heads_per_gpu(const struct kv_model_shape *model, int32_t tp);

/* KV bytes of one token on one of `tp` GPUs, in one layer and in all. GQA: K and V of the local heads. MLA:
 * latent and rope part, replicated on every GPU (semantics 13). */
int64_t kv_bytes_per_token_per_layer_per_gpu(const struct kv_model_shape *model, int32_t tp);
int64_t kv_bytes_per_token_per_gpu(const struct kv_model_shape *model, int32_t tp);

/* KV bytes of one token as a lower tier stores it, all layers: one copy, whatever the number of GPUs that read it. */
int64_t kv_stored_bytes_per_token(const struct kv_model_shape *model);

/* Parameters of the whole model: matrices, embeddings and layer norms. Biases and the norms inside
 * attention are left out (< 0.01 %); so are multi-token-prediction heads, which serving does not load. */
int64_t kv_parameter_count(const struct kv_model_shape *model);
/* All parameters at dtype_bytes, over all GPUs of an instance: divide by tp for the share of one. */
int64_t kv_weight_bytes(const struct kv_model_shape *model);

/* Memory of one GPU that is neither weights nor KV: the activation peak of the engine's profiling step
 * (`max_tokens` in one forward, or `max_seqs` rows of logits in the sampler, whichever is larger) plus what
 * lies outside the tensor allocator. Constants and what they were checked against: docs/models.md,
 * "Activation peak". */
int64_t kv_activation_bytes(const struct kv_model_shape *model, int32_t tp, int64_t max_tokens, int64_t max_seqs);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/lib/kvsize.h"

#include <math.h>

/* Activations are bf16 whatever the weights are. */
#define ACTIVATION_BYTES 2
/* Bytes the sampler holds at its peak for one logit: bf16 logit 2, its float32 copy 4, then top-k/top-p:
 * sorted copy 4, int64 index 8, softmax 4, cumulative sum 4, mask and scattered result 4. */
#define SAMPLER_BYTES_PER_LOGIT 30
/* Outside the tensor allocator: CUDA context, NCCL, workspaces. Fitted: with it the one run that records its block
 * count (vLLM 0.19, RTX 4090) comes out exact. Logs of vLLM show 0.16 GiB (vllm#12126) and 0.20 GiB (vllm#14447). */
#define NON_TENSOR_BYTES (INT64_C(240) << 20)

int32_t kv_heads_per_gpu(const struct kv_model_shape *model, int32_t tp)
{
    return model->kv_heads > tp ? model->kv_heads / tp : 1;
}

int64_t kv_bytes_per_token_per_layer_per_gpu(const struct kv_model_shape *model, int32_t tp)
{
    int64_t elements = model->attention == KV_ATTENTION_MLA
        ? (int64_t)model->kv_lora_rank + model->rope_head_dim
        : INT64_C(2) * kv_heads_per_gpu(model, tp) * model->head_dim;
    return (int64_t)ceil((double)elements * model->kv_dtype_bytes);
}

int64_t kv_bytes_per_token_per_gpu(const struct kv_model_shape *model, int32_t tp)
{
    return kv_bytes_per_token_per_layer_per_gpu(model, tp) * model->layers;
}

int64_t kv_stored_bytes_per_token(const struct kv_model_shape *model)
{
    return kv_bytes_per_token_per_gpu(model, 1);
}

static int64_t attention_parameters(const struct kv_model_shape *m)
{
    int64_t hidden = m->hidden, heads = m->heads;
    if (m->attention == KV_ATTENTION_GQA)
        return hidden * (heads + 2 * (int64_t)m->kv_heads) * m->head_dim + heads * m->head_dim * hidden;
    int64_t query_dim = (int64_t)m->nope_head_dim + m->rope_head_dim;
    int64_t query = m->q_lora_rank > 0 ? (hidden + heads * query_dim) * m->q_lora_rank
                                       : hidden * heads * query_dim;
    int64_t latent = hidden * ((int64_t)m->kv_lora_rank + m->rope_head_dim);
    int64_t expand = m->kv_lora_rank * heads * ((int64_t)m->nope_head_dim + m->value_head_dim);
    return query + latent + expand + heads * m->value_head_dim * hidden;
}

int64_t kv_parameter_count(const struct kv_model_shape *m)
{
    int64_t hidden = m->hidden;
    int64_t dense_layers = m->experts > 0 ? m->dense_layers : m->layers;
    int64_t dense_mlp = 3 * hidden * m->intermediate;
    int64_t expert_mlp = 3 * hidden * m->expert_intermediate * ((int64_t)m->experts + m->shared_experts)
                         + hidden * m->experts;   /* the router */
    int64_t embeddings = (m->tied_embeddings ? 1 : 2) * m->vocabulary * hidden;
    return embeddings + m->layers * (attention_parameters(m) + 2 * hidden) + hidden
           + dense_layers * dense_mlp + (m->layers - dense_layers) * expert_mlp;
}

int64_t kv_weight_bytes(const struct kv_model_shape *model)
{
    return (int64_t)ceil((double)kv_parameter_count(model) * model->dtype_bytes);
}

int64_t kv_activation_bytes(const struct kv_model_shape *m, int32_t tp, int64_t max_tokens, int64_t max_seqs)
{
    /* Live at once in a forward step: residual and hidden state, and the widest MLP's gate, up and product.
     * A mixture of experts has one row of its experts' width for every expert a token goes to. */
    int64_t width = m->intermediate;
    int64_t expert_width = (int64_t)m->expert_intermediate * m->experts_per_token;
    if (m->experts > 0 && expert_width > width) width = expert_width;
    int64_t forward = max_tokens * (2 * (int64_t)m->hidden + 3 * width / tp) * ACTIVATION_BYTES;
    int64_t sampler = max_seqs * m->vocabulary * SAMPLER_BYTES_PER_LOGIT;
    return (forward > sampler ? forward : sampler) + NON_TENSOR_BYTES;
}

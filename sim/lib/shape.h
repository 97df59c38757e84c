/* SPDX-License-Identifier: Apache-2.0 */
/* Shapes: the transformer whose KV is cached, and the GPU it runs on. Plain data, read from models/data and
 * models/gpus by sim/scenario; everybody else gets them through sim/iface/model.h. They stand on this floor
 * because the size arithmetic of sim/lib/kvsize.h needs them. */
#ifndef KV_LIB_SHAPE_H
#define KV_LIB_SHAPE_H

#include <stdbool.h>
#include <stdint.h>

enum kv_attention { KV_ATTENTION_GQA, KV_ATTENTION_MLA };   /* GQA covers MHA and MQA */

struct kv_model_shape {
    const char *name;
    enum kv_attention attention;
    int32_t layers, hidden, heads, kv_heads, head_dim;
    int32_t intermediate;         /* width of a dense MLP */
    int32_t vocabulary;
    int32_t max_position_tokens;
    bool tied_embeddings;
    bool qk_norm;                 /* heads of queries and keys are normalised before they are turned */
    /* MoE; experts = 0 for a dense model */
    int32_t experts, experts_per_token, expert_intermediate, shared_experts;
    int32_t dense_layers;         /* leading layers that keep a dense MLP */
    /* MLA */
    int32_t q_lora_rank, kv_lora_rank, rope_head_dim, nope_head_dim, value_head_dim;
    double dtype_bytes, kv_dtype_bytes;   /* of weights, of the cache: 2 bf16, 1 fp8 */
};

struct kv_gpu_spec {
    const char *name;
    int64_t memory_bytes;
    double memory_Bps, flops_bf16, flops_fp8, link_Bps;   /* data sheet, dense; link = one way between GPUs */
    double pcie_Bps;       /* payload between host and GPU, one way; 0: unknown */
};

#endif

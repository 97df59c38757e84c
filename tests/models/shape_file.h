/* SPDX-License-Identifier: Apache-2.0 */
/* Reads models/data/NAME.yaml and models/gpus/NAME.yaml for tests, independent of sim/scenario's loader. A
 * missing file or key aborts. Run from the repository root. */
#ifndef KV_TESTS_MODELS_SHAPE_FILE_H
#define KV_TESTS_MODELS_SHAPE_FILE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/conf/bind.h"
#include "sim/iface/model.h"

static inline struct kv_yaml *shape_tree(struct kv_arena *arena, const char *folder, const char *name)
{
    struct kv_diag diag = {0};
    const char *text, *path = kv_arena_text(arena, "models/%s/%s.yaml", folder, name);
    size_t length;
    struct kv_yaml *tree = kv_yaml_read(arena, path, &text, &length, &diag)
                           ? kv_yaml_parse(arena, path, text, length, &diag) : NULL;
    if (!tree) {
        fprintf(stderr, "%s", kv_diag_text(&diag, false));
        abort();
    }
    kv_diag_close(&diag);
    return tree;
}

static inline double shape_number(struct kv_yaml *tree, const char *key, bool required)
{
    struct kv_yaml *node = kv_yaml_get(tree, key);
    if (!node && required) {
        fprintf(stderr, "shape file: no key %s\n", key);
        abort();
    }
    return node ? strtod(node->text, NULL) : 0;
}

static inline struct kv_model_shape shape_model(struct kv_arena *arena, const char *name)
{
    struct kv_yaml *t = shape_tree(arena, "data", name);
    struct kv_model_shape s = { .name = name };
    s.attention = strcmp(kv_yaml_get(t, "attention")->text, "mla") == 0 ? KV_ATTENTION_MLA : KV_ATTENTION_GQA;
    s.tied_embeddings = strcmp(kv_yaml_get(t, "tied_embeddings")->text, "true") == 0;
#define NEEDED(key) s.key = (int32_t)shape_number(t, #key, true)
#define OPTIONAL(key) s.key = (int32_t)shape_number(t, #key, false)
    NEEDED(layers); NEEDED(hidden); NEEDED(heads); NEEDED(kv_heads); NEEDED(head_dim); NEEDED(intermediate);
    NEEDED(vocabulary); NEEDED(max_position_tokens);
    OPTIONAL(experts); OPTIONAL(experts_per_token); OPTIONAL(expert_intermediate); OPTIONAL(shared_experts);
    OPTIONAL(dense_layers); OPTIONAL(q_lora_rank); OPTIONAL(kv_lora_rank); OPTIONAL(rope_head_dim);
    OPTIONAL(nope_head_dim); OPTIONAL(value_head_dim);
#undef NEEDED
#undef OPTIONAL
    s.dtype_bytes = shape_number(t, "dtype_bytes", true);
    s.kv_dtype_bytes = shape_number(t, "kv_dtype_bytes", true);
    return s;
}

/* A quantity with its unit. */
static inline double shape_quantity(struct kv_arena *arena, struct kv_yaml *tree, const char *key,
                                    enum kv_dim dim)
{
    struct kv_yaml *node = kv_yaml_get(tree, key);
    if (!node) return 0;
    struct kv_param row = { .key = key, .dim = dim };
    union { double number; int64_t count; } value = {0};
    const char *why = NULL;
    if (!kv_value_parse(arena, &row, node->text, &value, &why)) {
        fprintf(stderr, "shape file: %s: %s\n", key, why);
        abort();
    }
    return dim == KV_DIM_BYTES ? (double)value.count : value.number;
}

static inline struct kv_gpu_spec shape_gpu(struct kv_arena *arena, const char *name)
{
    struct kv_yaml *t = shape_tree(arena, "gpus", name);
    return (struct kv_gpu_spec){
        .name = name,
        .memory_bytes = (int64_t)shape_quantity(arena, t, "memory", KV_DIM_BYTES),
        .memory_Bps = shape_quantity(arena, t, "memory_bandwidth", KV_DIM_BITS_PER_S) / 8,
        .flops_bf16 = shape_quantity(arena, t, "flops_bf16", KV_DIM_FLOPS),
        .flops_fp8 = shape_quantity(arena, t, "flops_fp8", KV_DIM_FLOPS),
        .link_Bps = shape_quantity(arena, t, "link_bandwidth", KV_DIM_BITS_PER_S) / 8,
    };
}

#endif

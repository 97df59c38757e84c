/* SPDX-License-Identifier: Apache-2.0 */
/* tiers: where KV lives. The first tier is the GPU's memory; how many blocks it holds is decided here. */
#include <string.h>

#include "sim/lib/kvsize.h"
#include "sim/scenario/load.h"

struct tier_keys { const char *name; };
static const char *const kinds[] = {"hbm", NULL};
static const struct kv_param tier_params[] = {
    { "name", KV_DIM_TEXT, offsetof(struct tier_keys, name), "hbm", 0, 0, NULL,
      "name of the tier in the results", NULL },
    KV_PARAM_END
};

static const char *const autos[] = {"auto", NULL};
static const struct kv_special tier_specials[] = {
    { { "kind", KV_DIM_CHOICE, 0, "hbm", 0, 0, kinds, "what it is made of; the first tier is hbm", NULL },
      KV_FORM_OPTIONAL, KV_FAMILY_COUNT, NULL },
    { { "capacity", KV_DIM_BYTES, 0, "auto", 1, 1e15, autos,
        "KV bytes of a GPU; auto: device memory * gpu_memory_utilization - weights / tp - activation peak", NULL },
      KV_FORM_WORD, KV_FAMILY_COUNT, NULL },
    { { "gpu_memory_utilization", KV_DIM_FRACTION, 0, "0.9", 0.01, 1, NULL,
        "share of the device memory that the engine may use (capacity: auto)", "vLLM --gpu-memory-utilization" },
      KV_FORM_OPTIONAL, KV_FAMILY_COUNT, NULL },
    { { "activation", KV_DIM_BYTES, 0, "auto", 0, 1e15, autos,
        "activation peak of a GPU (capacity: auto); auto: estimated from shape and batch limits", NULL },
      KV_FORM_WORD, KV_FAMILY_COUNT, NULL },
    { { "num_gpu_blocks", KV_DIM_COUNT, 0, NULL, 1, 2147483647, NULL,
        "blocks of an instance, as measured; in place of capacity", "vLLM --num-gpu-blocks-override" },
      KV_FORM_OPTIONAL, KV_FAMILY_COUNT, NULL },
    { { "evict", KV_DIM_TEXT, 0, "lru", 0, 0, NULL, "which unreferenced block leaves", NULL },
      KV_FORM_PLUGIN, KV_FAMILY_evict, NULL },
    KV_SPECIAL_END
};
const struct kv_section kv_section_tier = { "tiers[]", "the first tier: GPU memory", tier_params, tier_specials };

/* Device memory * utilization - weights / tp - activations, as vLLM reckons it. -1 when something is missing. */
static int64_t automatic_capacity(struct kv_load *l, struct kv_yaml *tier, const struct kv_yaml *at)
{
    struct kv_scenario *s = l->s;
    double utilization = 0.9;
    int64_t activation = 0;
    if (!kv_yaml_get(tier, "gpu_memory_utilization")) kv_load_default(l, tier, "gpu_memory_utilization", "0.9");
    kv_load_optional(l, tier, &kv_section_tier, "gpu_memory_utilization", &utilization);
    bool estimate = kv_load_word(l, tier, &kv_section_tier, "activation", &activation) == 0;
    if (!s->gpu.name) {
        kv_load_no_gpu(l, "tiers[0].capacity: auto");
        return -1;
    }
    if (!l->model_known) return -1;
    int32_t tp = s->sim.tp;
    int64_t usable = (int64_t)((double)s->gpu.memory_bytes * utilization), weights = kv_weight_bytes(&s->model);
    if (estimate)
        activation = kv_activation_bytes(&s->model, tp, s->sim.engine.max_num_batched_tokens,
                                         s->sim.engine.max_num_seqs);
    s->hbm.weight_bytes = (weights + tp - 1) / tp;
    s->hbm.activation_bytes = activation;
    int64_t left = usable - s->hbm.weight_bytes - activation;
    if (left > 0) return left;
    double GB = 1e9;
    if (at->origin == KV_FROM_DEFAULT) at = kv_yaml_get(kv_yaml_get(s->tree, "model"), "use");
    kv_load_error(l, at, NULL,
                  "tiers[0].capacity: %s does not fit on %d x %s: %.1f GB a GPU at utilization %.4g, weights take "
                  "%.1f GB and activations %.1f GB; raise tp or choose a smaller dtype", s->model.name, tp,
                  s->gpu.name,
                  (double)usable / GB, utilization, (double)s->hbm.weight_bytes / GB, (double)activation / GB);
    return -1;
}

/* Blocks of an instance, by exactly one of three rules. */
static void size_pool(struct kv_load *l, struct kv_yaml *tier)
{
    struct kv_scenario *s = l->s;
    int64_t block_tokens = s->sim.engine.block_tokens, blocks = 0, capacity = 0;
    s->hbm.block_bytes = l->model_known ? block_tokens * kv_bytes_per_token_per_gpu(&s->model, s->sim.tp) : 0;
    struct kv_yaml *given = kv_yaml_get(tier, "num_gpu_blocks"), *size = kv_yaml_get(tier, "capacity");
    static const char *const auto_only[] = {"gpu_memory_utilization", "activation"};
    if (given && size) {
        kv_load_error(l, size, NULL, "tiers[0]: both capacity and num_gpu_blocks size the pool; give exactly one");
        kv_load_optional(l, tier, &kv_section_tier, "num_gpu_blocks", &blocks);
        for (int32_t i = 0; i < 2; i++) kv_yaml_get(tier, auto_only[i]);
        return;
    }
    bool automatic = !given && kv_load_word(l, tier, &kv_section_tier, "capacity", &capacity) == 0;
    for (int32_t i = 0; i < 2 && !automatic; i++)
        if (kv_yaml_get(tier, auto_only[i]))
            kv_load_warning(l, kv_yaml_get(tier, auto_only[i]),
                            "tiers[0].%s has no effect without capacity: auto", auto_only[i]);
    if (given) {
        s->hbm.rule = "num_gpu_blocks";
        if (!kv_load_optional(l, tier, &kv_section_tier, "num_gpu_blocks", &blocks)) return;
        s->hbm.capacity_bytes = blocks * s->hbm.block_bytes;
        s->sim.hbm_blocks = blocks;
        return;
    }
    const struct kv_yaml *at = kv_yaml_get(tier, "capacity");
    s->hbm.rule = automatic ? "auto" : "capacity";
    if (automatic) capacity = automatic_capacity(l, tier, at);
    if (capacity <= 0 || !s->hbm.block_bytes) return;
    s->hbm.capacity_bytes = capacity;
    s->sim.hbm_blocks = capacity / s->hbm.block_bytes;
    if (s->sim.hbm_blocks < 1)
        kv_load_error(l, at, NULL, "tiers[0].capacity: %s holds no block: %lld tokens take %s a GPU",
                      kv_value_text(l->arena, &(struct kv_param){.dim = KV_DIM_BYTES}, &capacity),
                      (long long)block_tokens,
                      kv_value_text(l->arena, &(struct kv_param){.dim = KV_DIM_BYTES}, &s->hbm.block_bytes));
    if (s->sim.hbm_blocks > INT32_MAX)
        kv_load_error(l, at, NULL,
                      "tiers[0].capacity: %lld blocks are more than the 2147483647 that can be named; raise "
                      "engine.block_tokens", (long long)s->sim.hbm_blocks);
}

static void load_first(struct kv_load *l, struct kv_yaml *tier)
{
    struct tier_keys k = {0};
    kv_bind(l->arena, tier, "tiers[0]", tier_params, &k, l->diag);
    if (tier->kind != KV_YAML_MAP) return;
    const struct kv_yaml *kind = kv_yaml_get(tier, "kind");
    if (!kind) kv_load_default(l, tier, "kind", "hbm");
    else if (kind->kind == KV_YAML_SCALAR && strcmp(kind->text, "hbm") != 0)
        kv_load_error(l, kind, NULL, "tiers[0].kind: the first tier is the GPU's own memory, kind hbm; found %s",
                      kind->text);
    size_pool(l, tier);
    const struct kv_plugin *plugin = kv_load_plugin(l, tier, "evict", KV_FAMILY_evict, "lru", NULL, NULL,
                                                    &l->s->sim.evict_params);
    if (plugin) l->s->sim.evict = kv_plugin_ops(evict, plugin);
    l->s->hbm.name = k.name;
    kv_load_end(l, tier, &kv_section_tier, kv_arena_text(l->arena, "tiers[0] (%s)", k.name));
}

int32_t kv_load_lower_count(struct kv_load *l)
{
    const struct kv_yaml *list = kv_yaml_get(l->s->tree, "tiers");
    return list && list->kind == KV_YAML_LIST && list->count > 1 ? list->count - 1 : 0;
}

void kv_load_tiers(struct kv_load *l)
{
    struct kv_yaml *list = kv_yaml_get(l->s->tree, "tiers");
    if (!list) {
        list = kv_load_map(l, l->s->tree, "tiers");
        list->kind = KV_YAML_LIST;
    }
    if (list->kind != KV_YAML_LIST || (list->origin != KV_FROM_DEFAULT && !list->child)) {
        kv_load_error(l, list, NULL, "tiers: found %s, expected a list of tiers, the first of kind hbm",
                      list->kind == KV_YAML_LIST ? "an empty list" : list->kind == KV_YAML_MAP ? "a map"
                          : "a single value");
        return;
    }
    if (!list->child) {
        struct kv_yaml *tier = kv_arena_take(l->arena, sizeof *tier);
        *tier = (struct kv_yaml){.kind = KV_YAML_MAP, .origin = KV_FROM_DEFAULT, .used = true, .parent = list,
                                 .pos = list->pos};
        list->child = tier;
        list->count = 1;
    }
    struct kv_sim_config *c = &l->s->sim;
    load_first(l, list->child);
    c->tier[0].name = l->s->hbm.name;
    c->tier_count = 1;
    for (struct kv_yaml *tier = list->child->next; tier && c->tier_count < KV_TIERS_MAX; tier = tier->next)
        kv_load_lower_tier(l, tier, c->tier_count++);
    if (list->count > KV_TIERS_MAX)
        kv_load_error(l, list, NULL, "tiers: %d of them; there may be %d below the first", list->count,
                      KV_TIERS_MAX - 1);
    kv_load_check_tiers(l, list->child);
}

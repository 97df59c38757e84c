/* SPDX-License-Identifier: Apache-2.0 */
/* fetch, disaggregation: how KV moves between tiers and between instances. */
#include "sim/scenario/load.h"

/* ---- fetch ---- */

struct fetch_keys { int64_t mode; };
static const char *const modes[] = {"bulk", "chunkwise", "layerwise", "auto", "bidirectional", NULL};
static const struct kv_param fetch_params[] = {
    { "mode", KV_DIM_CHOICE, offsetof(struct fetch_keys, mode), "layerwise", 0, 0, modes,
      "all at once, chunk by chunk, or layer by layer while the step computes; auto: of the latter two by the size of "
      "a load; bidirectional: computed from the head, loaded from the tail, until they meet", NULL },
    KV_PARAM_END
};
static const char *const unlimited[] = {"unlimited", NULL};
static const struct kv_special fetch_specials[] = {
    { { "release_after_layers", KV_DIM_COUNT, 0, "1", 0, 1024, NULL,
        "layerwise: layers that must be there before the request joins a step (at most all)", NULL },
      KV_FORM_OPTIONAL, KV_FAMILY_COUNT, NULL },
    { { "lookahead_layers", KV_DIM_COUNT, 0, "unlimited", 1, 1024, unlimited,
        "layerwise: layers fetched ahead of compute", NULL },
      KV_FORM_WORD, KV_FAMILY_COUNT, NULL },
    { { "concurrency", KV_DIM_COUNT, 0, "16", 1, 1 << 20, NULL,
        "chunkwise: chunks of a request that are on their way at a time, from each tier; bidirectional: from all", NULL },
      KV_FORM_OPTIONAL, KV_FAMILY_COUNT, NULL },
    { { "compute_chunk", KV_DIM_COUNT, 0, "512", 1, 1 << 30, NULL,
        "bidirectional: most tokens that a step computes of a request before it has met its KV", "Cake, arXiv "
        "2410.03065" },
      KV_FORM_OPTIONAL, KV_FAMILY_COUNT, NULL },
    { { "auto_threshold", KV_DIM_BYTES, 0, "512MB", 1, 9e15, NULL,
        "auto: a load of at least so many bytes comes layer by layer, a smaller one chunk by chunk", "ObjectCache, "
        "arXiv 2605.22850, Theta" },
      KV_FORM_OPTIONAL, KV_FAMILY_COUNT, NULL },
    { { "policy", KV_DIM_TEXT, 0, "always", 0, 0, NULL, "load or compute; a name or a map {kind: NAME, parameters}",
        NULL },
      KV_FORM_PLUGIN, KV_FAMILY_fetch, NULL },
    KV_SPECIAL_END
};
const struct kv_section kv_section_fetch = { "fetch", "how KV comes from lower tiers", fetch_params, fetch_specials };

/* An optional count with its default, where its mode is on; else a warning when it is given. */
static int64_t load_count(struct kv_load *l, struct kv_yaml *map, const char *key, const char *preset, bool on,
                          const char *mode)
{
    int64_t value = 0;
    const struct kv_yaml *node = kv_yaml_get(map, key);
    if (!node && on) kv_load_default(l, map, key, preset);
    kv_load_optional(l, map, &kv_section_fetch, key, &value);
    if (node && !on) kv_load_warning(l, node, "fetch.%s has no effect: it belongs to mode: %s", key, mode);
    return value;
}

void kv_load_fetch(struct kv_load *l)
{
    struct kv_fetch_config *f = &l->s->sim.fetch;
    *f = (struct kv_fetch_config){.mode = KV_DELIVERY_LAYERWISE, .release_after_layers = 1, .concurrency = 1};
    f->policy = kv_plugin_ops(fetch, kv_plugin_find(KV_FAMILY_fetch, "always"));
    struct kv_yaml *map = kv_yaml_get(l->s->tree, "fetch");
    bool lower = kv_load_lower_count(l) > 0;
    if (map && !lower) kv_load_warning(l, map, "fetch has no effect: there is no tier below the first");
    if (!map && !lower) return;
    if (!map) map = kv_load_map(l, l->s->tree, "fetch");
    struct fetch_keys k = {KV_DELIVERY_LAYERWISE};
    kv_bind(l->arena, map, "fetch", fetch_params, &k, l->diag);
    if (map->kind != KV_YAML_MAP) return;
    f->mode = k.mode;
    bool sized = k.mode == KV_DELIVERY_AUTO, layerwise = sized || k.mode == KV_DELIVERY_LAYERWISE;
    bool bidirectional = k.mode == KV_DELIVERY_BIDIRECTIONAL;
    bool chunkwise = sized || bidirectional || k.mode == KV_DELIVERY_CHUNKWISE;
    f->auto_bytes = load_count(l, map, "auto_threshold", "512MB", sized, "auto");
    f->release_after_layers = load_count(l, map, "release_after_layers", "1", layerwise, "layerwise");
    f->concurrency = (int32_t)load_count(l, map, "concurrency", "16", chunkwise, "chunkwise");
    if (f->concurrency < 1) f->concurrency = 1;
    f->compute_chunk_tokens = load_count(l, map, "compute_chunk", "512", bidirectional, "bidirectional");
    if (bidirectional && !l->s->sim.engine.chunked_prefill)
        kv_load_error(l, kv_yaml_get(map, "mode"), NULL, "fetch.mode: bidirectional needs engine.chunked_prefill: a "
                      "prompt is computed in pieces while its KV comes");
    const struct kv_yaml *lookahead = kv_yaml_get(map, "lookahead_layers");
    int64_t layers = 0;
    if (lookahead || layerwise)
        f->lookahead_layers = kv_load_word(l, map, &kv_section_fetch, "lookahead_layers", &layers) < 0 ? layers : 0;
    if (lookahead && !layerwise)
        kv_load_warning(l, lookahead, "fetch.lookahead_layers has no effect: it belongs to mode: layerwise");
    const struct kv_plugin *plugin = kv_load_plugin(l, map, "policy", KV_FAMILY_fetch, "always", NULL, NULL,
                                                    &f->params);
    if (plugin) f->policy = kv_plugin_ops(fetch, plugin);
    kv_load_end(l, map, &kv_section_fetch, "fetch");
}

/* ---- disaggregation ---- */

struct handover_keys { int64_t prefill_instances, push, reserve; };
static const char *const pushes[] = {"bulk", "layerwise", NULL};
static const char *const reserves[] = {"on_arrival", "at_route", NULL};
static const struct kv_param handover_params[] = {
    { "prefill_instances", KV_DIM_COUNT, offsetof(struct handover_keys, prefill_instances), "0", 0, 65533, NULL,
      "instances that compute prompts, from the first on; the others decode; 0: all do both", NULL },
    { "push", KV_DIM_CHOICE, offsetof(struct handover_keys, push), "bulk", 0, 0, pushes,
      "when the KV goes over: after the prompt, or layer by layer during it", NULL },
    { "reserve", KV_DIM_CHOICE, offsetof(struct handover_keys, reserve), "on_arrival", 0, 0, reserves,
      "when memory of the decode instance is taken: when the prompt is computed, or before", NULL },
    KV_PARAM_END
};
const struct kv_section kv_section_handover = { "disaggregation", "prefill and decode on different instances",
                                                handover_params, NULL };

void kv_load_handover(struct kv_load *l)
{
    struct kv_yaml *map = kv_yaml_get(l->s->tree, "disaggregation");
    if (!map) return;
    struct kv_yaml *push = kv_yaml_get(map, "push"), *reserve = kv_yaml_get(map, "reserve");
    struct handover_keys k = {0};
    kv_bind(l->arena, map, "disaggregation", handover_params, &k, l->diag);
    if (map->kind != KV_YAML_MAP) return;
    struct kv_yaml *count = kv_yaml_get(map, "prefill_instances");
    if (k.prefill_instances >= l->s->sim.instance_count && k.prefill_instances > 0)
        kv_load_error(l, count, NULL, "disaggregation.prefill_instances: %lld of %d instances leave none to decode",
                      (long long)k.prefill_instances, (int)l->s->sim.instance_count);
    if (k.push == KV_PUSH_LAYERWISE && k.reserve != KV_RESERVE_AT_ROUTE)
        kv_load_error(l, push, NULL, "disaggregation.push: layerwise needs reserve: at_route: layers go over while the "
                      "prompt is computed, so their memory must be there before");
    if (k.prefill_instances > 0 && l->s->sim.fetch.mode == KV_DELIVERY_BIDIRECTIONAL)
        kv_load_error(l, count, NULL, "disaggregation.prefill_instances: fetch.mode: bidirectional needs instances that "
                      "compute prompts and decode");
    struct kv_yaml *idle = k.prefill_instances ? NULL : push && k.push != KV_PUSH_BULK ? push
                           : reserve && k.reserve != KV_RESERVE_ON_ARRIVAL ? reserve : NULL;
    if (idle)
        kv_load_warning(l, idle, "disaggregation.%s has no effect with prefill_instances: 0", idle->key);
    l->s->sim.handover = (struct kv_handover_config){(int32_t)k.prefill_instances, k.push, k.reserve};
    kv_load_end(l, map, &kv_section_handover, "disaggregation");
}

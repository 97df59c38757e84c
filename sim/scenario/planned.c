/* SPDX-License-Identifier: Apache-2.0 */
/* network, fetch, transfer: the keys are agreed and their values are checked, but nothing is built behind them yet.
 * A scenario that uses them is refused rather than run without them. */
#include <string.h>

#include "sim/scenario/load.h"

struct link_keys { const char *kind; double bandwidth_bps, latency_s; };
static const struct kv_param link_params[] = {
    { "kind", KV_DIM_TEXT, offsetof(struct link_keys, kind), "fair", 0, 0, NULL, "how flows share it", NULL },
    { "bandwidth", KV_DIM_BITS_PER_S, offsetof(struct link_keys, bandwidth_bps), NULL, 1, 1e15, NULL,
      "payload rate", NULL },
    { "latency", KV_DIM_TIME, offsetof(struct link_keys, latency_s), "0s", 0, 10, NULL, "one way", NULL },
    KV_PARAM_END
};
const struct kv_section kv_section_link = { "network.links.*", "a link", link_params, NULL, true };

struct gateway_keys { int64_t count; double nic_bps; };
static const struct kv_param gateway_params[] = {
    { "count", KV_DIM_COUNT, offsetof(struct gateway_keys, count), "1", 1, 65536, NULL,
      "gateways of the object store", NULL },
    { "nic", KV_DIM_BITS_PER_S, offsetof(struct gateway_keys, nic_bps), "100Gbps", 1, 1e15, NULL,
      "network rate of one", NULL },
    KV_PARAM_END
};
const struct kv_section kv_section_gateway = { "network.gateway", "front of the object store", gateway_params,
                                               NULL, true };

static const struct kv_special network_specials[] = {
    { { "links", KV_DIM_TEXT, 0, NULL, 0, 0, NULL, "links by name", NULL }, KV_FORM_MAP_OF, KV_FAMILY_COUNT,
      "network.links.*" },
    { { "gateway", KV_DIM_TEXT, 0, NULL, 0, 0, NULL, "front of the object store", NULL },
      KV_FORM_MAP, KV_FAMILY_COUNT, "network.gateway" },
    KV_SPECIAL_END
};
const struct kv_section kv_section_network = { "network", "links and gateways", NULL, network_specials, true };

struct fetch_keys { const char *policy; int64_t mode, release_after_layers, concurrency; double timeout_s; };
static const char *const modes[] = {"bulk", "chunkwise", "layerwise", NULL};
static const struct kv_param fetch_params[] = {
    { "mode", KV_DIM_CHOICE, offsetof(struct fetch_keys, mode), "layerwise", 0, 0, modes, "how KV is fetched", NULL },
    { "release_after_layers", KV_DIM_COUNT, offsetof(struct fetch_keys, release_after_layers), "1", 0, 1024, NULL,
      "layers that must be there before the first step", NULL },
    { "policy", KV_DIM_TEXT, offsetof(struct fetch_keys, policy), "always", 0, 0, NULL, "fetch or recompute", NULL },
    { "concurrency", KV_DIM_COUNT, offsetof(struct fetch_keys, concurrency), "1", 1, 1 << 20, NULL,
      "chunkwise: objects at a time", NULL },
    { "timeout", KV_DIM_TIME, offsetof(struct fetch_keys, timeout_s), "30s", 0, 1e7, NULL,
      "then it is recomputed", NULL },
    KV_PARAM_END
};
static const char *const unlimited[] = {"unlimited", NULL};
static const struct kv_special fetch_specials[] = {
    { { "lookahead_layers", KV_DIM_COUNT, 0, "unlimited", 1, 1024, unlimited, "layers fetched ahead of compute",
        NULL },
      KV_FORM_WORD, KV_FAMILY_COUNT, NULL },
    KV_SPECIAL_END
};
const struct kv_section kv_section_fetch = { "fetch", "how KV comes from lower tiers", fetch_params,
                                             fetch_specials, true };

struct transfer_keys { const char *policy; double efficiency; bool work_conserving; };
static const struct kv_param transfer_params[] = {
    { "policy", KV_DIM_TEXT, offsetof(struct transfer_keys, policy), "equal", 0, 0, NULL,
      "who gets how much bandwidth", NULL },
    { "efficiency", KV_DIM_FRACTION, offsetof(struct transfer_keys, efficiency), "1", 0, 1, NULL,
      "share of a grant that arrives", NULL },
    { "work_conserving", KV_DIM_BOOL, offsetof(struct transfer_keys, work_conserving), "true", 0, 0, NULL,
      "unused grants are given on", NULL },
    KV_PARAM_END
};
static const char *const epochs[] = {"on_arrival", NULL};
static const struct kv_special transfer_specials[] = {
    { { "epoch", KV_DIM_TIME, 0, "on_arrival", 1e-9, 1e7, epochs, "when grants are set", NULL },
      KV_FORM_WORD, KV_FAMILY_COUNT, NULL },
    KV_SPECIAL_END
};
const struct kv_section kv_section_transfer = { "transfer", "bandwidth of flows", transfer_params,
                                                transfer_specials, true };

static void load_network(struct kv_load *l, struct kv_yaml *map)
{
    kv_bind(l->arena, map, "network", NULL, NULL, l->diag);
    struct kv_yaml *links = kv_yaml_get(map, "links"), *gateway = kv_yaml_get(map, "gateway");
    if (links) kv_bind(l->arena, links, "network.links", NULL, NULL, l->diag);
    for (struct kv_yaml *c = links && links->kind == KV_YAML_MAP ? links->child : NULL; c; c = c->next) {
        struct link_keys k;
        const char *path = kv_yaml_path(l->arena, c);
        c->used = true;
        kv_bind(l->arena, c, path, link_params, &k, l->diag);
        kv_load_end(l, c, &kv_section_link, path);
    }
    if (gateway) {
        struct gateway_keys k;
        kv_bind(l->arena, gateway, "network.gateway", gateway_params, &k, l->diag);
        kv_load_end(l, gateway, &kv_section_gateway, "network.gateway");
    }
    kv_load_end(l, map, &kv_section_network, "network");
}

static void load_fetch(struct kv_load *l, struct kv_yaml *map)
{
    struct fetch_keys k;
    int64_t layers;
    kv_bind(l->arena, map, "fetch", fetch_params, &k, l->diag);
    kv_load_word(l, map, &kv_section_fetch, "lookahead_layers", &layers);
    kv_load_end(l, map, &kv_section_fetch, "fetch");
}

static void load_transfer(struct kv_load *l, struct kv_yaml *map)
{
    struct transfer_keys k;
    double epoch_s;
    kv_bind(l->arena, map, "transfer", transfer_params, &k, l->diag);
    kv_load_word(l, map, &kv_section_transfer, "epoch", &epoch_s);
    kv_load_end(l, map, &kv_section_transfer, "transfer");
}

void kv_load_planned(struct kv_load *l)
{
    static const struct { const char *key; void (*load)(struct kv_load *, struct kv_yaml *); } planned[] = {
        {"network", load_network}, {"fetch", load_fetch}, {"transfer", load_transfer},
    };
    for (size_t i = 0; i < sizeof planned / sizeof *planned; i++) {
        struct kv_yaml *map = kv_yaml_get(l->s->tree, planned[i].key);
        if (!map) continue;
        planned[i].load(l, map);
        kv_load_error(l, map, NULL, "%s: not built yet: so far nothing is moved between tiers", planned[i].key);
    }
}

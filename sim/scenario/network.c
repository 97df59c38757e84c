/* SPDX-License-Identifier: Apache-2.0 */
/* network: links and gateways; and, with the tiers known, the rates of the nodes. What nothing crosses is told. */
#include <string.h>

#include "sim/scenario/load.h"

/* ---- links ---- */

#define LINKS_MAX 64

static const char *const scopes[] = {"gpu", "node", "rack", "cluster", NULL};
struct link_keys { int64_t scope; bool duplex; };
static const struct kv_param link_params[] = {
    { "scope", KV_DIM_CHOICE, offsetof(struct link_keys, scope), "cluster", 0, 0, scopes,
      "one such link for each of these; gpu: for each instance", NULL },
    { "duplex", KV_DIM_BOOL, offsetof(struct link_keys, duplex), "true", 0, 0, NULL,
      "two directions that do not disturb each other", NULL },
    KV_PARAM_END
};
static const struct kv_special link_specials[] = {
    { { "kind", KV_DIM_TEXT, 0, "fair", 0, 0, NULL, "how flows share it; beside it, that model's parameters", NULL },
      KV_FORM_NAME, KV_FAMILY_link, NULL },
    { { "profile", KV_DIM_TEXT, 0, NULL, 0, 0, NULL, "presets kind and parameters: a name, or the path of a profile",
        NULL }, KV_FORM_NAME, KV_FAMILY_COUNT, NULL },
    KV_SPECIAL_END
};
const struct kv_section kv_section_link = { "network.links.*", "a link", link_params, link_specials };

struct gateway_keys { int64_t count; };
static const struct kv_param gateway_params[] = {
    { "count", KV_DIM_COUNT, offsetof(struct gateway_keys, count), "1", 1, 65536, NULL,
      "gateways of the object store; accesses take them in turn", NULL },
    KV_PARAM_END
};
static const char *const unlimited[] = {"unlimited", NULL};
static const struct kv_special gateway_specials[] = {
    { { "nic", KV_DIM_BITS_PER_S, 0, "unlimited", 1, 1e15, unlimited, "network rate of one, one way", NULL },
      KV_FORM_WORD, KV_FAMILY_COUNT, NULL },
    KV_SPECIAL_END
};
const struct kv_section kv_section_gateway = { "network.gateway", "front of the object store", gateway_params,
                                               gateway_specials };

static const struct kv_special network_specials[] = {
    { { "links", KV_DIM_TEXT, 0, NULL, 0, 0, NULL,
        "links by name; `fabric` is crossed by whatever leaves a node, others by the tiers that name them", NULL },
      KV_FORM_MAP_OF, KV_FAMILY_link, "network.links.*" },
    { { "gateway", KV_DIM_TEXT, 0, NULL, 0, 0, NULL, "front of the object store", NULL },
      KV_FORM_MAP, KV_FAMILY_COUNT, "network.gateway" },
    KV_SPECIAL_END
};
const struct kv_section kv_section_network = { "network", "links and gateways", NULL, network_specials };

/* A profile also says the kind, where the link does not. */
static void load_link_profile(struct kv_load *l, struct kv_yaml *map)
{
    const struct kv_yaml *kind = kv_yaml_get(map, "kind");
    const char *path = kv_arena_text(l->arena, "network.links.%s", map->key);
    kv_load_profile(l, map, path, kv_link_profile_load,
                    kind && kind->kind == KV_YAML_SCALAR ? kind->text : NULL);
}

void kv_load_links(struct kv_load *l)
{
    struct kv_network_config *n = &l->s->sim.network;
    *n = (struct kv_network_config){
        .pcie_Bps = -1, .nic_Bps = -1, .gateway_Bps = -1, .gateways = 1, .efficiency = 1, .fabric = -1,
        .gpus_per_node = (int32_t)(l->s->gpus_per_node ? l->s->gpus_per_node : 1),
        .nodes_per_rack = (int32_t)(l->s->nodes ? l->s->nodes : 1),
    };
    struct kv_yaml *map = kv_yaml_get(l->s->tree, "network");
    if (!map) return;
    kv_bind(l->arena, map, "network", NULL, NULL, l->diag);
    struct kv_yaml *links = kv_yaml_get(map, "links");
    if (!links) return;
    kv_bind(l->arena, links, "network.links", NULL, NULL, l->diag);
    if (links->kind != KV_YAML_MAP) return;
    if (links->count > LINKS_MAX) {
        kv_load_error(l, links, NULL, "network.links: %d links; at most %d", links->count, LINKS_MAX);
        return;
    }
    struct kv_link_config *list = kv_arena_take(l->arena, (size_t)(links->count + 1) * sizeof *list);
    n->links = list;
    for (struct kv_yaml *c = links->child; c; c = c->next) {
        struct link_keys k = {.scope = KV_SCOPE_CLUSTER, .duplex = true};
        struct kv_link_config *link = &list[n->link_count];
        c->used = true;
        if (!*c->key || strlen(c->key) > 64)
            kv_diag_add(l->diag, KV_ERROR, c->key_pos, NULL, "network.links: a name has 1 to 64 characters");
        *link = (struct kv_link_config){.name = c->key};
        if (c->kind == KV_YAML_MAP) load_link_profile(l, c);
        const struct kv_plugin *plugin = kv_load_plugin(l, links, c->key, KV_FAMILY_link, "fair", link_params, &k,
                                                        &link->params);
        link->ops = plugin ? kv_plugin_ops(link, plugin) : NULL;
        link->scope = k.scope;
        link->duplex = k.duplex;
        if (!strcmp(c->key, "fabric")) n->fabric = n->link_count;
        n->link_count++;
    }
}

/* ---- what crosses what ---- */

int32_t kv_load_node_of(const struct kv_load *l, int32_t instance)
{
    int32_t gpus = l->s->sim.network.gpus_per_node, tp = l->s->sim.tp;
    return tp > gpus ? instance * (tp / gpus) : instance / (gpus / tp > 0 ? gpus / tp : 1);
}

struct crossings { bool pcie, nic, gateways, rack; uint64_t links; /* bit i: link i */ };

static uint64_t bit_of(int32_t link)
{
    return link < 0 ? 0 : UINT64_C(1) << link;
}

static struct crossings find_crossings(const struct kv_load *l)
{
    const struct kv_sim_config *c = &l->s->sim;
    struct crossings x = {.pcie = c->tier_count > 1 || c->handover.prefill_instances > 0};
    x.nic = c->handover.prefill_instances > 0 && kv_load_node_of(l, c->instance_count - 1) > 0;
    for (int32_t t = 1; t < c->tier_count; t++) {
        const struct kv_tier_config *tier = &c->tier[t];
        x.nic = x.nic || (tier->store && tier->store->network);
        x.gateways = x.gateways || (tier->store && tier->store->gateways);
        x.rack = x.rack || tier->scope == KV_SCOPE_RACK;
        for (int32_t i = 0; i < KV_TIER_LINKS_MAX; i++) x.links |= bit_of(tier->link[i]);
    }
    if (x.nic) x.links |= bit_of(c->network.fabric);
    for (int32_t i = 0; i < c->network.link_count; i++)
        x.rack = x.rack || (c->network.links[i].scope == KV_SCOPE_RACK && (x.links & bit_of(i)));
    return x;
}

/* A rate under `key`, -1 for `unlimited`; the default where it is absent. `word_Bps`: of word 0. */
static double load_rate(struct kv_load *l, struct kv_yaml *map, const struct kv_section *section, const char *key,
                        double word_Bps)
{
    double bps = 0;
    int32_t word = kv_load_word(l, map, section, key, &bps);
    return word == 0 ? word_Bps : word > 0 ? -1 : bps / 8;
}

static void load_nodes(struct kv_load *l, const struct crossings *x)
{
    struct kv_network_config *n = &l->s->sim.network;
    struct kv_yaml *map = kv_yaml_get(kv_yaml_get(l->s->tree, "cluster"), "nodes");
    if (!map || map->kind != KV_YAML_MAP) return;
    static const char *const why[] = {"nothing leaves a node: there is no tier over the network and no hand-over",
                                      "there is no lower tier and no hand-over",
                                      "no tier or link has scope: rack"};
    struct kv_yaml *nic = kv_yaml_get(map, "nic"), *pcie = kv_yaml_get(map, "pcie"), *rack = kv_yaml_get(map, "rack");
    if (nic || x->nic) n->nic_Bps = load_rate(l, map, &kv_section_nodes, "nic", -1);
    double data_sheet_Bps = l->s->gpu.name && l->s->gpu.pcie_Bps > 0 ? l->s->gpu.pcie_Bps : -1;
    if (pcie || x->pcie) n->pcie_Bps = load_rate(l, map, &kv_section_nodes, "pcie", data_sheet_Bps);
    int64_t rack_nodes;
    if (kv_load_optional(l, map, &kv_section_nodes, "rack", &rack_nodes)) n->nodes_per_rack = (int32_t)rack_nodes;
    else if (!rack && x->rack)
        kv_load_default(l, map, "rack", kv_arena_text(l->arena, "%d", n->nodes_per_rack));
    bool tell = l->diag->errors == 0;   /* else what is crossed is not known */
    if (tell && nic && !x->nic) kv_load_warning(l, nic, "cluster.nodes.nic has no effect: %s", why[0]);
    if (tell && pcie && !x->pcie) kv_load_warning(l, pcie, "cluster.nodes.pcie has no effect: %s", why[1]);
    if (tell && rack && !x->rack) kv_load_warning(l, rack, "cluster.nodes.rack has no effect: %s", why[2]);
    kv_load_end(l, map, &kv_section_nodes, "cluster.nodes");
}

static void load_gateway(struct kv_load *l, struct kv_yaml *network, bool crossed)
{
    struct kv_yaml *map = kv_yaml_get(network, "gateway");
    struct gateway_keys k = {1};
    if (map && !crossed && !l->diag->errors)
        kv_load_warning(l, map, "network.gateway has no effect: no tier is an object store behind gateways");
    if (!map) map = kv_load_map(l, network, "gateway");
    kv_bind(l->arena, map, "network.gateway", gateway_params, &k, l->diag);
    if (map->kind != KV_YAML_MAP) return;
    l->s->sim.network.gateways = (int32_t)k.count;
    l->s->sim.network.gateway_Bps = load_rate(l, map, &kv_section_gateway, "nic", -1);
    kv_load_end(l, map, &kv_section_gateway, "network.gateway");
}

void kv_load_network(struct kv_load *l)
{
    const struct kv_network_config *n = &l->s->sim.network;
    struct crossings x = find_crossings(l);
    load_nodes(l, &x);
    if (kv_yaml_get(l->s->tree, "transfer") && !x.pcie && !l->diag->errors)
        kv_load_warning(l, kv_yaml_get(l->s->tree, "transfer"),
                        "transfer has no effect: there is no lower tier and no hand-over");
    struct kv_yaml *map = kv_yaml_get(l->s->tree, "network");
    if (!map && x.gateways) map = kv_load_map(l, l->s->tree, "network");
    if (!map || map->kind != KV_YAML_MAP) return;
    if (x.gateways || kv_yaml_get(map, "gateway")) load_gateway(l, map, x.gateways);
    struct kv_yaml *links = kv_yaml_get(map, "links");
    for (int32_t i = 0; i < n->link_count; i++)
        if (!(x.links & bit_of(i)) && !l->diag->errors)
            kv_load_warning(l, kv_yaml_get(links, n->links[i].name), "network.links.%s has no effect: %s",
                            n->links[i].name, i == n->fabric ? "nothing leaves a node" : "no tier names it in `link`");
    kv_load_end(l, map, &kv_section_network, "network");
}

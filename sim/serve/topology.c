/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/serve/topology.h"

/* ---- domains ------------------------------------------------------------------------------------------------ */

static int32_t node_of(const struct kv_sim_config *config, int32_t instance)
{
    int32_t gpus = config->network.gpus_per_node, tp = config->tp;
    if (gpus <= 0) return instance;
    return tp > gpus ? instance * (tp / gpus) : instance / (gpus / tp);
}

int32_t kv_domain_of(const struct kv_sim_config *config, int64_t scope, int32_t instance)
{
    int32_t rack = config->network.nodes_per_rack;
    switch (scope) {
    case KV_SCOPE_GPU: return instance;
    case KV_SCOPE_NODE: return node_of(config, instance);
    case KV_SCOPE_RACK: return rack > 0 ? node_of(config, instance) / rack : 0;
    default: return 0;
    }
}

int32_t kv_domain_count(const struct kv_sim_config *config, int64_t scope)
{
    return kv_domain_of(config, scope, config->instance_count - 1) + 1;
}

int32_t kv_domain_first(const struct kv_sim_config *config, int64_t scope, int32_t domain)
{
    int32_t instance = 0;
    while (kv_domain_of(config, scope, instance) < domain) instance++;
    return instance;
}

/* ---- links -------------------------------------------------------------------------------------------------- */

static uint32_t add_link(struct kv_topology *t, kv_rate capacity, bool in_order, const char *name)
{
    uint32_t link = kv_net_add_link(t->net, capacity, in_order);
    kv_assert(link == t->links.count);
    kv_vec_push(&t->links, ((struct kv_named_link){name, capacity, capacity}));
    return link;
}

/* `count` pairs of links of one kind; a negative rate is unlimited. */
static struct kv_link_pair *add_pairs(struct kv_topology *t, const char *name, int32_t count, kv_rate capacity,
                                      bool in_order, bool duplex)
{
    struct kv_link_pair *pairs = kv_arena_take(&t->arena, (size_t)count * sizeof *pairs);
    for (int32_t i = 0; i < count; i++) {
        pairs[i] = (struct kv_link_pair){KV_NONE, KV_NONE};
        if (capacity < 0) continue;
        if (!duplex) {
            pairs[i].in = pairs[i].out = add_link(t, capacity, in_order, kv_arena_text(&t->arena, "%s.%d", name, i));
            continue;
        }
        pairs[i].in = add_link(t, capacity, in_order, kv_arena_text(&t->arena, "%s.%d.in", name, i));
        pairs[i].out = add_link(t, capacity, in_order, kv_arena_text(&t->arena, "%s.%d.out", name, i));
    }
    return pairs;
}

/* Gives a link its curve, lowered by the efficiency entry by entry as capacities are (T38a). */
static void bend(struct kv_topology *t, uint32_t link, const struct kv_link_spec *spec, double efficiency)
{
    KV_VEC(kv_rate) curve = {0};
    for (int32_t i = 0; i < spec->curve_count; i++)
        kv_vec_push(&curve, (kv_rate)((double)spec->curve[i] * efficiency));
    kv_net_link_curve(t->net, link, curve.at, spec->curve_count);
    t->links.at[link].first = curve.at[0];
    kv_vec_close(&curve);
}

static void bend_pairs(struct kv_topology *t, const struct kv_link_pair *pairs, int32_t count,
                       const struct kv_link_spec *spec, double efficiency)
{
    for (int32_t i = 0; i < count && spec->curve; i++) {
        bend(t, pairs[i].in, spec, efficiency);
        if (pairs[i].out != pairs[i].in) bend(t, pairs[i].out, spec, efficiency);
    }
}

static kv_rate rate_of(double Bps)
{
    return Bps < 0 ? -1 : kv_rate_from_Bps(Bps);
}

void kv_topology_open(struct kv_topology *t, const struct kv_sim_config *config, struct kv_net *net,
                      const kv_rate *device_rate)
{
    const struct kv_network_config *n = &config->network;
    *t = (struct kv_topology){.config = config, .net = net};
    kv_map_open(&t->index, 64);
    t->pcie = add_pairs(t, "pcie", config->instance_count, rate_of(n->pcie_Bps), false, true);
    t->nic = add_pairs(t, "nic", kv_domain_count(config, KV_SCOPE_NODE), rate_of(n->nic_Bps * n->efficiency), false,
                       true);
    t->gateway = add_pairs(t, "gateway", n->gateways > 0 ? n->gateways : 1, rate_of(n->gateway_Bps * n->efficiency),
                           false, true);
    for (int32_t i = 0; i < n->link_count; i++) {
        const struct kv_link_config *link = &n->links[i];
        struct kv_link_spec spec = link->ops->spec(link->params);
        kv_rate capacity = (kv_rate)((double)spec.capacity * n->efficiency);
        int32_t domains = kv_domain_count(config, link->scope);
        t->named[i] = add_pairs(t, link->name, domains, capacity, spec.in_order, link->duplex);
        bend_pairs(t, t->named[i], domains, &spec, n->efficiency);
    }
    for (int32_t tier = 1; tier < config->tier_count; tier++) {
        int32_t pools = kv_domain_count(config, config->tier[tier].scope);
        t->device[tier] = kv_arena_take(&t->arena, (size_t)pools * sizeof *t->device[tier]);
        for (int32_t i = 0; i < pools; i++)
            t->device[tier][i] = device_rate[tier] >= KV_RATE_UNLIMITED ? KV_NONE
                : add_link(t, device_rate[tier], false,
                           kv_arena_text(&t->arena, "device.%s.%d", config->tier[tier].name, i));
    }
}

void kv_topology_close(struct kv_topology *t)
{
    kv_vec_close(&t->links);
    kv_vec_close(&t->ways);
    if (t->index.cell) kv_map_close(&t->index);
    kv_arena_close(&t->arena);
}

/* ---- ways --------------------------------------------------------------------------------------------------- */

struct route { struct kv_hop hop[KV_HOPS_MAX]; int32_t count; kv_tick latency_tk; uint64_t messages; };

static void cross(struct route *r, uint32_t link, int32_t parts)
{
    if (link == KV_NONE) return;
    for (int32_t i = 0; i < r->count; i++)
        if (r->hop[i].link == link) return;   /* a half-duplex link on the way there and back is one link */
    kv_assert(r->count < KV_HOPS_MAX);
    r->hop[r->count++] = (struct kv_hop){link, parts};
}

static uint32_t side(struct kv_link_pair pair, bool in)
{
    return in ? pair.in : pair.out;
}

static void cross_named(struct kv_topology *t, struct route *r, int32_t link, int32_t instance, bool in)
{
    const struct kv_link_config *c = &t->config->network.links[link];
    cross(r, side(t->named[link][kv_domain_of(t->config, c->scope, instance)], in), t->config->tp);
    r->latency_tk += c->ops->spec(c->params).latency_tk;
    if (c->ops->message_rate) r->messages |= UINT64_C(1) << link;
}

/* Fabric, the tier's own links and the NIC: what lies between a store of the network and a node. */
static void cross_network(struct kv_topology *t, struct route *r, const struct kv_tier_config *tier, int32_t instance,
                          bool in)
{
    const struct kv_sim_config *config = t->config;
    int32_t gpus = config->network.gpus_per_node;
    bool network = !tier || tier->store->network;
    if (network && config->network.fabric >= 0) cross_named(t, r, config->network.fabric, instance, in);
    for (int32_t i = 0; tier && i < KV_TIER_LINKS_MAX; i++)
        if (tier->link[i] >= 0) cross_named(t, r, tier->link[i], instance, in);
    if (network)
        cross(r, side(t->nic[node_of(config, instance)], in), gpus > 0 && config->tp > gpus ? gpus : config->tp);
}

static struct kv_way finish(struct kv_topology *t, uint64_t key, const struct route *r)
{
    struct kv_way way = {kv_net_add_path(t->net, r->hop, r->count), r->latency_tk, KV_RATE_UNLIMITED,
                         r->messages};
    for (int32_t i = 0; i < r->count; i++) {
        kv_rate alone = t->links.at[r->hop[i].link].first / r->hop[i].parts_on_it;
        if (alone < way.slowest) way.slowest = alone;
    }
    kv_map_put(&t->index, key, (uint32_t)t->ways.count);
    kv_vec_push(&t->ways, way);
    return way;
}

enum way_kind { READ, WRITE, EVICT, HANDOVER };

/* Injective in its arguments: instances are below 2^16, gateways below 2^17. */
static uint64_t key_of(enum way_kind kind, int32_t tier, int32_t instance, int32_t other)
{
    return kv_mix64((uint64_t)kind << 60 | (uint64_t)(uint32_t)tier << 52 | (uint64_t)(uint32_t)instance << 32
                    | (uint32_t)other);
}

static struct kv_way access_way(struct kv_topology *t, enum way_kind kind, int32_t tier, int32_t instance,
                                int32_t gateway)
{
    uint64_t key = key_of(kind, tier, instance, gateway);
    uint32_t known = kv_map_get(&t->index, key);
    if (known != KV_NONE) return t->ways.at[known];
    const struct kv_sim_config *config = t->config;
    const struct kv_tier_config *c = &config->tier[tier];
    struct route r = {.count = 0};
    if (kind == EVICT && tier > 1)
        cross(&r, t->device[tier - 1][kv_domain_of(config, config->tier[tier - 1].scope, instance)], config->tp);
    cross(&r, t->device[tier][kv_domain_of(config, c->scope, instance)], config->tp);
    if (c->store->gateways) cross(&r, side(t->gateway[gateway], kind == READ), config->tp);
    cross_network(t, &r, c, instance, kind == READ);
    if (kind != EVICT) cross(&r, side(t->pcie[instance], kind == READ), 1);
    return finish(t, key, &r);
}

struct kv_way kv_way_read(struct kv_topology *t, int32_t tier, int32_t instance, int32_t gateway)
{
    return access_way(t, READ, tier, instance, gateway);
}

struct kv_way kv_way_write(struct kv_topology *t, int32_t tier, int32_t instance, int32_t gateway)
{
    return access_way(t, WRITE, tier, instance, gateway);
}

struct kv_way kv_way_evict(struct kv_topology *t, int32_t tier, int32_t instance, int32_t gateway)
{
    return access_way(t, EVICT, tier, instance, gateway);
}

struct kv_way kv_way_handover(struct kv_topology *t, int32_t from, int32_t to)
{
    uint64_t key = key_of(HANDOVER, 0, from, to);
    uint32_t known = kv_map_get(&t->index, key);
    if (known != KV_NONE) return t->ways.at[known];
    struct route r = {.count = 0};
    cross(&r, t->pcie[from].out, 1);
    if (node_of(t->config, from) != node_of(t->config, to)) {
        int32_t gpus = t->config->network.gpus_per_node, tp = t->config->tp;
        cross(&r, t->nic[node_of(t->config, from)].out, gpus > 0 && tp > gpus ? gpus : tp);
        cross_network(t, &r, NULL, to, true);
    }
    cross(&r, t->pcie[to].in, 1);
    return finish(t, key, &r);
}

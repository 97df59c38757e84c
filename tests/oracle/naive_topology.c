/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes and paths (T16, T17). Every GPU has its PCIe link and every node its NIC here; that the parts of a flow go
 * equally fast all the same is asserted where rates are found. */
#include "sim/lib/kvsize.h"
#include "tests/oracle/naive_parts.h"

int64_t naive_read_bytes(const struct oracle *o, int32_t layers)
{
    const struct kv_sim_config *c = o->config;
    if (!c->read_layer_bytes) return layers * kv_bytes_per_token_per_layer_per_gpu(c->compute_env.model, c->tp);
    int64_t bytes = 0;
    for (int32_t l = 0; l < layers; l++) bytes += c->read_layer_bytes[l];
    return bytes;
}

int64_t naive_written_bytes(const struct oracle *o)
{
    int64_t copy = kv_bytes_per_token_per_layer_per_gpu(o->config->compute_env.model, 1);
    return o->layers * ceil_div(copy, o->config->tp);
}

static kv_rate rate_of(double Bps, double efficiency)
{
    return Bps < 0 ? KV_RATE_UNLIMITED : kv_rate_from_Bps(Bps * efficiency);
}

kv_rate naive_scaled(const struct oracle *o, kv_rate rate)
{
    return rate >= KV_RATE_UNLIMITED ? rate : (kv_rate)((double)rate * o->config->network.efficiency);
}

kv_rate naive_capacity(const struct oracle *o, const struct link *l, int64_t flows)
{
    if (!l->curve) return l->capacity;
    int64_t at = flows < l->curve_count ? flows : l->curve_count;
    return naive_scaled(o, l->curve[at > 0 ? at - 1 : 0]);
}

kv_rate naive_message_rate(const struct oracle *o, const struct path *path, int64_t bytes, int64_t requests)
{
    kv_rate least = KV_RATE_UNLIMITED;
    for (int32_t i = 0; i < path->named_count; i++) {
        const struct kv_link_config *link = &o->config->network.links[path->named[i]];
        if (!link->ops->message_rate) continue;
        kv_rate rate = link->ops->message_rate(link->params, (double)bytes / (double)requests);
        if (rate < least) least = rate;
    }
    return least;
}

/* The link, made when first asked for; -1: it is unlimited. */
static int32_t link_of(struct oracle *o, struct link want)
{
    if (want.capacity >= KV_RATE_UNLIMITED) return -1;
    for (size_t i = 0; i < o->links.count; i++) {
        const struct link *l = &o->links.at[i];
        if (l->kind == want.kind && l->a == want.a && l->b == want.b && l->direction == want.direction)
            return (int32_t)i;
    }
    kv_vec_push(&o->links, want);
    return (int32_t)o->links.count - 1;
}

static void cross(struct path *path, int32_t part, int32_t link)
{
    if (link < 0) return;
    kv_assert(path->hops[part] < NAIVE_HOPS_MAX);
    path->link[part][path->hops[part]++] = link;
}

static void cross_pcie(struct oracle *o, struct path *path, int32_t part, int32_t instance, int32_t direction)
{
    cross(path, part, link_of(o, (struct link){.kind = LINK_PCIE, .a = instance, .b = part, .direction = direction,
                                               .capacity = rate_of(o->config->network.pcie_Bps, 1)}));
}

/* The node that GPU `part` of the instance is on. */
static int32_t node_of_part(const struct oracle *o, int32_t instance, int32_t part)
{
    int32_t gpus = o->config->network.gpus_per_node;
    return naive_node_of(o, instance) + (o->config->tp > gpus ? part / gpus : 0);
}

static void cross_nic(struct oracle *o, struct path *path, int32_t part, int32_t instance, int32_t direction)
{
    const struct kv_network_config *net = &o->config->network;
    cross(path, part, link_of(o, (struct link){.kind = LINK_NIC, .a = node_of_part(o, instance, part),
                                               .direction = direction,
                                               .capacity = rate_of(net->nic_Bps, net->efficiency)}));
}

/* Link `index` of the scenario, in the domain of the instance, by all parts. */
static void cross_named(struct oracle *o, struct path *path, int32_t index, int32_t instance, int32_t direction)
{
    const struct kv_link_config *c = &o->config->network.links[index];
    struct kv_link_spec spec = c->ops->spec(c->params);
    path->latency_tk += spec.latency_tk;
    path->named[path->named_count++] = index;
    struct link link = {.kind = LINK_NAMED, .a = index, .b = naive_domain_of(o, instance, c->scope),
                        .direction = c->duplex ? direction : 0, .capacity = naive_scaled(o, spec.capacity),
                        .in_order = spec.in_order, .curve = spec.curve, .curve_count = spec.curve_count};
    for (int32_t part = 0; part < o->config->tp; part++) cross(path, part, link_of(o, link));
}

static void cross_device(struct oracle *o, struct path *path, const struct tier_pool *p)
{
    struct link device = {.kind = LINK_DEVICE, .a = p->tier, .b = p->domain,
                          .capacity = o->tier[p->tier].device_rate};
    for (int32_t part = 0; part < o->config->tp; part++) cross(path, part, link_of(o, device));
}

/* All of a path but PCIe. */
static void cross_to_node(struct oracle *o, const struct tier_pool *p, int32_t instance, bool write, uint64_t number,
                          struct path *path)
{
    const struct kv_tier_config *tier = &o->config->tier[p->tier];
    const struct kv_network_config *net = &o->config->network;
    int32_t tp = o->config->tp, direction = write;
    struct link gateway = {.kind = LINK_GATEWAY, .direction = direction,
                           .capacity = rate_of(net->gateway_Bps, net->efficiency)};
    if (net->gateways > 0) gateway.a = (int32_t)(number % (uint64_t)net->gateways);
    cross_device(o, path, p);
    for (int32_t part = 0; part < tp && tier->store->network && tier->store->gateways; part++)
        cross(path, part, link_of(o, gateway));
    if (tier->store->network && net->fabric >= 0) cross_named(o, path, net->fabric, instance, direction);
    for (int i = 0; i < KV_TIER_LINKS_MAX; i++)
        if (tier->link[i] >= 0) cross_named(o, path, tier->link[i], instance, direction);
    for (int32_t part = 0; part < tp && tier->store->network; part++) cross_nic(o, path, part, instance, direction);
}

void naive_path(struct oracle *o, const struct tier_pool *p, int32_t instance, bool write, uint64_t number,
                struct path *path)
{
    *path = (struct path){0};
    cross_to_node(o, p, instance, write, number, path);
    for (int32_t part = 0; part < o->config->tp; part++) cross_pcie(o, path, part, instance, write);
}

/* T17b: from the device of the tier above, without any GPU. */
void naive_spill_path(struct oracle *o, const struct tier_pool *from, const struct tier_pool *to, uint64_t number,
                      struct path *path)
{
    *path = (struct path){0};
    cross_device(o, path, from);
    cross_to_node(o, to, naive_first_instance(o, from), true, number, path);
}

void naive_handover_path(struct oracle *o, int32_t from, int32_t to, struct path *path)
{
    *path = (struct path){0};
    bool one_node = naive_node_of(o, from) == naive_node_of(o, to);
    if (!one_node && o->config->network.fabric >= 0) cross_named(o, path, o->config->network.fabric, to, 0);
    for (int32_t part = 0; part < o->config->tp; part++) {
        cross_pcie(o, path, part, from, 1);
        cross_pcie(o, path, part, to, 0);
        if (one_node) continue;
        cross_nic(o, path, part, from, 1);
        cross_nic(o, path, part, to, 0);
    }
}

int64_t naive_parts_on(const struct path *path, int32_t parts, int32_t link)
{
    int64_t on = 0;
    for (int32_t p = 0; p < parts; p++)
        for (int32_t h = 0; h < path->hops[p]; h++) on += path->link[p][h] == link;
    return on;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Where instances, pools and links are, and which links an access crosses (docs/tiers.md T1, T17). */
#ifndef KV_SERVE_TOPOLOGY_H
#define KV_SERVE_TOPOLOGY_H

#include "sim/base/map.h"
#include "sim/iface/config.h"
#include "sim/serve/net.h"

/* A path of the network with what an access has to know of it. */
struct kv_way {
    uint32_t path;
    kv_tick latency_tk;            /* sum over its links, one way */
    kv_rate slowest;               /* of a part that is alone on it; KV_RATE_UNLIMITED */
    uint64_t messages;             /* bit i: it crosses network.links[i], which limits by the size of messages */
};

struct kv_named_link { const char *name; kv_rate capacity, first; };   /* first: with one flow on it */
struct kv_link_pair { uint32_t in, out; };   /* towards the GPUs, and away; KV_NONE: unlimited */

struct kv_topology {
    const struct kv_sim_config *config;
    struct kv_net *net;
    struct kv_arena arena;                 /* names and the arrays below */
    struct kv_link_pair *pcie;             /* [instance]: stands for each of its GPUs' */
    struct kv_link_pair *nic, *gateway;    /* [node], [gateway] */
    struct kv_link_pair *named[64];        /* [link][domain] */
    uint32_t *device[KV_TIERS_MAX];        /* [tier][domain]; both directions */
    KV_VEC(struct kv_named_link) links;    /* by link id */
    struct kv_map index;                   /* what a way joins -> way */
    KV_VEC(struct kv_way) ways;
};

/* Domain of a scope on which an instance stands, and how many there are. */
int32_t kv_domain_of(const struct kv_sim_config *config, int64_t scope, int32_t instance);
int32_t kv_domain_count(const struct kv_sim_config *config, int64_t scope);
/* An instance of the domain: the first. */
int32_t kv_domain_first(const struct kv_sim_config *config, int64_t scope, int32_t domain);

/* `device_rate[tier]`: of one pool, KV_RATE_UNLIMITED: no device link. */
void kv_topology_open(struct kv_topology *t, const struct kv_sim_config *config, struct kv_net *net,
                      const kv_rate *device_rate);
void kv_topology_close(struct kv_topology *t);

/* Between an instance's GPUs and its pool of a tier. `gateway`: which of them, for stores behind gateways. */
struct kv_way kv_way_read(struct kv_topology *t, int32_t tier, int32_t instance, int32_t gateway);
struct kv_way kv_way_write(struct kv_topology *t, int32_t tier, int32_t instance, int32_t gateway);
/* From the pool of tier - 1 to that of `tier`, where `instance` stands. */
struct kv_way kv_way_evict(struct kv_topology *t, int32_t tier, int32_t instance, int32_t gateway);
struct kv_way kv_way_handover(struct kv_topology *t, int32_t from, int32_t to);

#endif

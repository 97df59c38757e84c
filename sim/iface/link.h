/* SPDX-License-Identifier: Apache-2.0 */
/* Contract of models/link: what a link can carry. Pure functions of parameters; the sharing itself (max-min over paths)
 * is the network's (sim/serve/net.h, docs/tiers.md). */
#ifndef KV_IFACE_LINK_H
#define KV_IFACE_LINK_H

#include <stdbool.h>

#include "sim/base/rate.h"
#include "sim/conf/param.h"

struct kv_link_spec {
    kv_rate capacity;      /* of one direction, payload; 0: nothing ever moves */
    kv_tick latency_tk;    /* one way; added to the delay of every access whose path crosses the link */
    bool in_order;         /* flows one after another instead of side by side */
    /* Capacity with n = 1, 2, ... curve_count flows on it, falling from curve[0] <= capacity; more flows than that:
     * the last. In memory of the parameters. NULL: always `capacity`. */
    const kv_rate *curve;
    int32_t curve_count;
};

struct kv_link_ops {
    struct kv_plugin_info info;
    struct kv_link_spec (*spec)(const void *params);
    /* The most one access moves over it when it comes in messages of so many bytes (>= 1); NULL: no limit. */
    kv_rate (*message_rate)(const void *params, double message_bytes);
};

#endif

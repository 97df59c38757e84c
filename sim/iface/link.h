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
};

struct kv_link_ops {
    struct kv_plugin_info info;
    struct kv_link_spec (*spec)(const void *params);
};

#endif

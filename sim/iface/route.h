/* SPDX-License-Identifier: Apache-2.0 */
/* Contract of policies/route: which instance serves a request. Decided once, at arrival (semantics B.14). */
#ifndef KV_IFACE_ROUTE_H
#define KV_IFACE_ROUTE_H

#include "sim/conf/param.h"
#include "sim/iface/request.h"

/* What a router may read. All values are exact at the tick of the arrival: the cluster advances every instance
 * the policy asks about (boundaries before this arrival in the total order are applied). Ids are 0..count-1. */
struct kv_route_view {
    void *cluster;
    int32_t instance_count;
    int64_t (*load_requests)(void *cluster, int32_t instance);        /* waiting + running */
    int64_t (*load_tokens)(void *cluster, int32_t instance);          /* still to be computed, of waiting + running */
    int32_t (*match_blocks)(void *cluster, int32_t instance);         /* cached leading blocks of this request */
    int64_t (*load_waiting)(void *cluster, int32_t instance);         /* of load_requests, those that do not run */
};

/* prefill == decode unless the cluster is disaggregated. */
struct kv_route { int32_t prefill, decode; };

/* The instance with the least of one of the view's loads; ties go to the lowest id. */
static inline int32_t kv_route_least(const struct kv_route_view *view, int64_t (*load)(void *cluster, int32_t instance))
{
    int32_t best = 0;
    int64_t best_load = load(view->cluster, 0);
    for (int32_t i = 1; i < view->instance_count && best_load > 0; i++) {
        int64_t other = load(view->cluster, i);
        if (other >= best_load) continue;
        best = i;
        best_load = other;
    }
    return best;
}

struct kv_route_ops {
    struct kv_plugin_info info;
    size_t state_bytes;   /* given zeroed; lives for the run */
    struct kv_route (*pick)(void *state, const void *params, const struct kv_route_view *view,
                            const struct kv_request *request);
};

#endif

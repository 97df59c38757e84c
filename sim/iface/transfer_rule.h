/* SPDX-License-Identifier: Apache-2.0 */
/* What transfer policies have in common: one after the other, and in proportion. */
#ifndef KV_IFACE_TRANSFER_RULE_H
#define KV_IFACE_TRANSFER_RULE_H

#include <math.h>

#include "sim/iface/transfer.h"
#include "sim/lib/waterfill.h"

/* A number of a flow: what it is ordered by, what it can take, its weight. */
typedef double kv_transfer_number(const void *params, const struct kv_transfer_flow *flow);

/* Can take: what its stream allows. A kv_transfer_number. */
static inline double kv_transfer_stream_Bps(const void *params, const struct kv_transfer_flow *flow)
{
    (void)params;
    return flow->limit_Bps;
}

/* The first in order of (key, serial) among those with a grant below 0; -1: there is none. */
static inline int32_t kv_transfer_first(kv_transfer_number *key, const void *params,
                                        const struct kv_transfer_flow *flow, int32_t count, const double *grant_Bps)
{
    int32_t first = -1;
    double least = 0;
    for (int32_t i = 0; i < count; i++) {
        if (grant_Bps[i] >= 0) continue;
        double its = key(params, &flow[i]);
        if (first >= 0 && (its > least || (its == least && flow[i].serial > flow[first].serial))) continue;
        first = i;
        least = its;
    }
    return first;
}

/* In order of (key, serial), each takes the least of `want` (>= 0) and what is left of left_Bps. The time is the
 * number of flows times that of those who get anything. */
static inline void kv_transfer_in_order(kv_transfer_number *key, kv_transfer_number *want, const void *params,
                                        const struct kv_transfer_flow *flow, int32_t count, double left_Bps,
                                        double *grant_Bps)
{
    for (int32_t i = 0; i < count; i++) grant_Bps[i] = -1;
    for (int32_t i; left_Bps > 0 && (i = kv_transfer_first(key, params, flow, count, grant_Bps)) >= 0;) {
        grant_Bps[i] = fmin(want(params, &flow[i]), left_Bps);
        left_Bps -= grant_Bps[i];
    }
    for (int32_t i = 0; i < count; i++)
        if (grant_Bps[i] < 0) grant_Bps[i] = 0;
}

/* Each its part of the cap by weight (> 0), whatever it can take. */
static inline void kv_transfer_in_proportion(kv_transfer_number *weight, const struct kv_transfer_flow *flow,
                                             int32_t count, double cap_Bps, double *grant_Bps)
{
    double sum = 0;
    for (int32_t i = 0; i < count; i++) sum += weight(NULL, &flow[i]);
    for (int32_t i = 0; i < count; i++) grant_Bps[i] = cap_Bps * (weight(NULL, &flow[i]) / sum);
}

/* Least sum of the times s / r of a layer, with r <= r* + delta: in proportion to sqrt(s), those whose part is
 * above their bound get the bound (ObjectCache, arXiv 2605.22850, section 3.6). The bound is r* + delta alone: the
 * published grants (table A9) are not bounded by the 5 GB/s of a stream. */
struct kv_transfer_stall { const struct kv_transfer_flow *flow; double delta_Bps; };
static inline struct kv_waterfill_item kv_transfer_stall_item(const void *of, int32_t i)
{
    const struct kv_transfer_stall *stall = of;
    const struct kv_transfer_flow *flow = &stall->flow[i];
    return (struct kv_waterfill_item){ sqrt(flow->layer_bytes), kv_transfer_no_stall_Bps(flow) + stall->delta_Bps };
}
static inline void kv_transfer_least_stall(double delta_Bps, const struct kv_transfer_flow *flow, int32_t count,
                                           double cap_Bps, double *grant_Bps)
{
    kv_waterfill(&(struct kv_transfer_stall){ flow, delta_Bps }, kv_transfer_stall_item, count, cap_Bps, grant_Bps);
}

#endif

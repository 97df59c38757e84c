/* SPDX-License-Identifier: Apache-2.0 */
/* Contract of policies/transfer: how a scheduler divides a cap of bandwidth among the fetches of a cluster
 * (ObjectCache, arXiv 2605.22850, section 3.6). It sets *grants*; what a fetch then gets is
 * min(grant x efficiency, limit of its stream, its share of the links) (docs/tiers.md, "Grants"). */
#ifndef KV_IFACE_TRANSFER_H
#define KV_IFACE_TRANSFER_H

#include <math.h>

#include "sim/conf/param.h"

/* A fetch: what one load brings from one tier. Bytes and rates are of all its tensor-parallel parts. */
struct kv_transfer_flow {
    uint64_t serial;        /* order of coming; no two are equal */
    int64_t layers;         /* >= 1 */
    double layer_bytes;     /* s: of one layer, > 0 */
    double left_bytes;      /* not yet delivered, > 0 */
    double window_s;        /* C: time one layer of the step that uses it computes, alone; > 0 */
    double waited_s;        /* since it came */
    double limit_Bps;       /* of its stream; INFINITY: none */
};

struct kv_transfer_ops {
    struct kv_plugin_info info;
    /* Fills grant_Bps[count], each >= 0, sum <= cap_Bps (but for rounding). Pure: no memory, and the same whatever the
     * order of the flows but for rounding. count >= 1, cap_Bps >= 0. A flow granted 0 asks again at the next epoch;
     * so does one whose grant for life would be a scrap (kv_transfer_least_Bps). */
    void (*grant)(const void *params, const struct kv_transfer_flow *flow, int32_t count, double cap_Bps,
                  double *grant_Bps);
};

/* r*: rate at which a layer comes while a layer computes. */
static inline double kv_transfer_no_stall_Bps(const struct kv_transfer_flow *flow)
{
    return flow->layer_bytes / flow->window_s;
}

/* What is worth holding for the life of a fetch: `min_Bps`, or less where its stream takes no more, or where its layers
 * come in time all the same (docs/tiers.md, T39). */
static inline double kv_transfer_least_Bps(const struct kv_transfer_flow *flow, double min_Bps)
{
    return fmin(min_Bps, fmin(flow->limit_Bps, kv_transfer_no_stall_Bps(flow)));
}

#endif

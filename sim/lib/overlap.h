/* SPDX-License-Identifier: Apache-2.0 */
/* Layers that arrive, overlapped with layers that are computed: the recurrence S_l = max(S_{l-1} + C_{l-1}, A_l) in
 * exact costs (semantics 23, 24; ObjectCache, arXiv 2605.22850, Eq. 3 with the arrivals of look-ahead 1). */
#ifndef KV_LIB_OVERLAP_H
#define KV_LIB_OVERLAP_H

#include "sim/base/tick.h"

/* End of the last layer's compute. `start`: earliest start of layer 0, a cost since `origin_tk`; arrival_tk[l]: when
 * layer l is there; cost[l]: its compute. */
static inline kv_cost kv_overlap_end(kv_cost start, const kv_tick *arrival_tk, kv_tick origin_tk, const kv_cost *cost,
                                     int32_t layers)
{
    kv_cost at = start;
    for (int32_t l = 0; l < layers; l++) {
        kv_cost arrival = (kv_cost)(arrival_tk[l] - origin_tk) * KV_COST_PER_TICK;
        if (arrival > at) at = arrival;
        at += cost[l];
    }
    return at;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Rates and times of parameters, as links and stores keep them, and what all kinds of links have in common. */
#ifndef KV_LIB_PIPE_H
#define KV_LIB_PIPE_H

#include "sim/base/rate.h"

/* More than any device: bounds of parameters [bit/s]; 12.5 PB/s. */
#define KV_PIPE_BPS_MAX 1e17

/* A duration in seconds (0..1e7) in ticks, rounded up. */
static inline kv_tick kv_pipe_ticks(double seconds)
{
    return kv_cost_ceil_tk(kv_cost_from_s(seconds));
}

/* A rate in byte/s; at least the smallest there is, for rates that are positive but below one unit. */
static inline kv_rate kv_pipe_rate(double Bps)
{
    if (Bps >= KV_PIPE_BPS_MAX / 8) return KV_RATE_UNLIMITED;
    kv_rate rate = kv_rate_from_Bps(Bps);
    return rate < 1 ? 1 : rate;
}

/* Parameters of a link; the rows of its table, for `struct kv_pipe_params`. */
struct kv_pipe_params { double bandwidth_bps, latency_s; };
#define KV_PIPE_PARAMS \
    { "bandwidth", KV_DIM_BITS_PER_S, offsetof(struct kv_pipe_params, bandwidth_bps), NULL, 0, KV_PIPE_BPS_MAX, NULL, \
      "payload rate of one direction; 0bps: nothing ever moves", NULL }, \
    { "latency", KV_DIM_TIME, offsetof(struct kv_pipe_params, latency_s), "0s", 0, 10, NULL, \
      "one way; added to the delay of every access that crosses it", NULL }

#endif

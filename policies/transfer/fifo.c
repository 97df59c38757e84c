/* SPDX-License-Identifier: Apache-2.0 */
/* First come, first served: in order of coming, each gets what its stream can carry, as far as the cap goes. */
#include "sim/iface/transfer_rule.h"

static double nothing(const void *params, const struct kv_transfer_flow *flow)
{
    (void)params, (void)flow;
    return 0;
}

static void grant(const void *params, const struct kv_transfer_flow *flow, int32_t count, double cap_Bps,
                  double *grant_Bps)
{
    kv_transfer_in_order(nothing, kv_transfer_stream_Bps, params, flow, count, cap_Bps, grant_Bps);
}

const struct kv_transfer_ops kv_transfer_fifo = {
    .info = { .help = "in order of coming, each as fast as it can" },
    .grant = grant,
};

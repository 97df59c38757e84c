/* SPDX-License-Identifier: Apache-2.0 */
/* Least bytes left first, each as fast as its stream can carry, as far as the cap goes: shortest remaining
 * processing time, which is best in mean time on one link (Schrage, Operations Research 16(3), 1968). Grants that
 * are kept for life order by what is left when they are given; with work_conserving: true the order follows what
 * is left. */
#include "sim/iface/transfer_rule.h"

static double left_bytes(const void *params, const struct kv_transfer_flow *flow)
{
    (void)params;
    return flow->left_bytes;
}

static void grant(const void *params, const struct kv_transfer_flow *flow, int32_t count, double cap_Bps,
                  double *grant_Bps)
{
    kv_transfer_in_order(left_bytes, kv_transfer_stream_Bps, params, flow, count, cap_Bps, grant_Bps);
}

const struct kv_transfer_ops kv_transfer_shortest_remaining = {
    .info = { .help = "least bytes left first, each as fast as it can",
              .source = "SRPT: Schrage, Operations Research 16(3), 1968" },
    .grant = grant,
};

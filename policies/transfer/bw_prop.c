/* SPDX-License-Identifier: Apache-2.0 */
/* r = cap x r* / sum of r*, r* = s / C the rate at which a layer comes while a layer computes ("BW-prop" of
 * ObjectCache, arXiv 2605.22850, table A9). Where the cap is more than all r* together, all get more than they
 * need. */
#include "sim/iface/transfer_rule.h"

static double no_stall_Bps(const void *params, const struct kv_transfer_flow *flow)
{
    (void)params;
    return kv_transfer_no_stall_Bps(flow);
}

static void grant(const void *params, const struct kv_transfer_flow *flow, int32_t count, double cap_Bps,
                  double *grant_Bps)
{
    (void)params;
    kv_transfer_in_proportion(no_stall_Bps, flow, count, cap_Bps, grant_Bps);
}

const struct kv_transfer_ops kv_transfer_bw_prop = {
    .info = { .help = "in proportion to the rate at which layers would not stall",
              .source = "ObjectCache, arXiv 2605.22850, table A9" },
    .grant = grant,
};

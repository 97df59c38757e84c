/* SPDX-License-Identifier: Apache-2.0 */
/* Least sum of s / r with r <= r*: in proportion to sqrt(s), nobody above the rate at which its layers would not
 * stall ("Stall-opt" of ObjectCache, arXiv 2605.22850, section 3.6). What that leaves of the cap is granted to
 * nobody. A fetch at r* has no slack: any less than what it was granted, and it stalls at each layer
 * (stall_opt_cal). */
#include "sim/iface/transfer_rule.h"

static void grant(const void *params, const struct kv_transfer_flow *flow, int32_t count, double cap_Bps,
                  double *grant_Bps)
{
    (void)params;
    kv_transfer_least_stall(0, flow, count, cap_Bps, grant_Bps);
}

const struct kv_transfer_ops kv_transfer_stall_opt = {
    .info = { .help = "least time of layers in all, none faster than it computes",
              .source = "ObjectCache, arXiv 2605.22850, section 3.6" },
    .grant = grant,
};

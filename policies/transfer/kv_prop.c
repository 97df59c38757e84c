/* SPDX-License-Identifier: Apache-2.0 */
/* r = cap x s / sum of s, s the bytes of a layer: who brings more gets more, however long its layers compute
 * ("KV-prop" of ObjectCache, arXiv 2605.22850, table A9). */
#include "sim/iface/transfer_rule.h"

static double layer_bytes(const void *params, const struct kv_transfer_flow *flow)
{
    (void)params;
    return flow->layer_bytes;
}

static void grant(const void *params, const struct kv_transfer_flow *flow, int32_t count, double cap_Bps,
                  double *grant_Bps)
{
    (void)params;
    kv_transfer_in_proportion(layer_bytes, flow, count, cap_Bps, grant_Bps);
}

const struct kv_transfer_ops kv_transfer_kv_prop = {
    .info = { .help = "in proportion to the bytes of a layer", .source = "ObjectCache, arXiv 2605.22850, table A9" },
    .grant = grant,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* r = cap / N for each of N fetches, whatever it needs or can take ("Equal" of ObjectCache, arXiv 2605.22850,
 * table A9). */
#include "sim/iface/transfer.h"

static void grant(const void *params, const struct kv_transfer_flow *flow, int32_t count, double cap_Bps,
                  double *grant_Bps)
{
    (void)params, (void)flow;
    for (int32_t i = 0; i < count; i++) grant_Bps[i] = cap_Bps / count;
}

const struct kv_transfer_ops kv_transfer_equal = {
    .info = { .help = "the cap divided by the number of fetches", .source = "ObjectCache, arXiv 2605.22850, table A9" },
    .grant = grant,
};

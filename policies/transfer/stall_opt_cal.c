/* SPDX-License-Identifier: Apache-2.0 */
/* As stall_opt with r <= r* + delta: slack for what a grant loses on its way ("Calibrated Stall-opt" of
 * ObjectCache, arXiv 2605.22850, section 3.6; 5 Gbps there). */
#include "sim/iface/transfer_rule.h"

struct stall_opt_cal_params { double delta_bps; };
static const struct kv_param params[] = {
    { "delta", KV_DIM_BITS_PER_S, offsetof(struct stall_opt_cal_params, delta_bps), "5Gbps", 0, 1e15, NULL,
      "granted above the rate at which layers would not stall", "ObjectCache, arXiv 2605.22850, section 3.6" },
    KV_PARAM_END
};

static void grant(const void *given, const struct kv_transfer_flow *flow, int32_t count, double cap_Bps,
                  double *grant_Bps)
{
    const struct stall_opt_cal_params *p = given;
    kv_transfer_least_stall(p->delta_bps / 8, flow, count, cap_Bps, grant_Bps);
}

const struct kv_transfer_ops kv_transfer_stall_opt_cal = {
    .info = { .help = "as stall_opt, with some slack for each", .source = "ObjectCache, arXiv 2605.22850, section 3.6",
              .params = params, .params_bytes = sizeof(struct stall_opt_cal_params) },
    .grant = grant,
};

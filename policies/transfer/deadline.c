/* SPDX-License-Identifier: Apache-2.0 */
/* Earliest deadline first (Liu and Layland, JACM 20(1), 1973). The last byte of a fetch should be in `ttft` after
 * it came, less the time that its last layer computes: rest = ttft - waited - C. First each gets, in order of
 * rest, the least rate that still does it, left / rest, as far as its stream carries that; who is past it, all its
 * stream can carry. What is left of the cap is given in the same order, again as far as streams go. */
#include "sim/iface/transfer_rule.h"

struct deadline_params { double ttft_s; };
static const struct kv_param params[] = {
    { "ttft", KV_DIM_TIME, offsetof(struct deadline_params, ttft_s), "2s", 0, 1e6, NULL,
      "from the coming of a fetch until the first token should be out", NULL },
    KV_PARAM_END
};

static double rest_s(const void *given, const struct kv_transfer_flow *flow)
{
    return ((const struct deadline_params *)given)->ttft_s - flow->waited_s - flow->window_s;
}

static double needed_Bps(const void *given, const struct kv_transfer_flow *flow)
{
    double rest = rest_s(given, flow);
    return rest > 0 ? fmin(flow->left_bytes / rest, flow->limit_Bps) : flow->limit_Bps;
}

static double more_Bps(const void *given, const struct kv_transfer_flow *flow)
{
    double needed = needed_Bps(given, flow);
    return needed < flow->limit_Bps ? flow->limit_Bps - needed : 0;   /* both may be INFINITY */
}

static void grant(const void *given, const struct kv_transfer_flow *flow, int32_t count, double cap_Bps,
                  double *grant_Bps)
{
    double needed = 0;
    for (int32_t i = 0; i < count; i++) needed += needed_Bps(given, &flow[i]);
    if (needed >= cap_Bps) {
        kv_transfer_in_order(rest_s, needed_Bps, given, flow, count, cap_Bps, grant_Bps);
        return;
    }
    kv_transfer_in_order(rest_s, more_Bps, given, flow, count, cap_Bps - needed, grant_Bps);
    for (int32_t i = 0; i < count; i++) grant_Bps[i] += needed_Bps(given, &flow[i]);
}

const struct kv_transfer_ops kv_transfer_deadline = {
    .info = { .help = "earliest deadline first, each what it needs; the rest in that order",
              .source = "EDF: Liu and Layland, JACM 20(1), 1973", .params = params,
              .params_bytes = sizeof(struct deadline_params) },
    .grant = grant,
};

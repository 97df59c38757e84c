/* SPDX-License-Identifier: Apache-2.0 */
/* Least 4 * waiting + running; ties go to the lowest id: vLLM's front end for data-parallel engines
 * (DPLBAsyncMPClient), with counts that are never old. */
#include "sim/iface/route.h"

static struct kv_route pick(void *state, const void *params, const struct kv_route_view *view,
                            const struct kv_request *request)
{
    (void)state; (void)params; (void)request;
    int32_t best = 0;
    int64_t least = INT64_MAX;
    for (int32_t i = 0; i < view->instance_count && least > 0; i++) {
        /* 4 waiting + running */
        int64_t load = view->load_requests(view->cluster, i) + 3 * view->load_waiting(view->cluster, i);
        if (load >= least) continue;
        best = i;
        least = load;
    }
    return (struct kv_route){best, best};
}

const struct kv_route_ops kv_route_vllm_dp = {
    .info = { .help = "least 4 x waiting + running, as vLLM for data-parallel engines; ties to the lowest id" },
    .pick = pick,
};

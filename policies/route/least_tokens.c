/* SPDX-License-Identifier: Apache-2.0 */
/* Fewest tokens still to be computed for the instance's requests; ties go to the lowest id (semantics 14). Knows how
 * long responses will be, as a router with a good length predictor would. */
#include "sim/iface/route.h"

static struct kv_route pick(void *state, const void *params, const struct kv_route_view *view,
                            const struct kv_request *request)
{
    (void)state; (void)params; (void)request;
    int32_t best = 0;
    int64_t best_load = view->load_tokens(view->cluster, 0);
    for (int32_t i = 1; i < view->instance_count && best_load > 0; i++) {
        int64_t load = view->load_tokens(view->cluster, i);
        if (load < best_load) {
            best = i;
            best_load = load;
        }
    }
    return (struct kv_route){best, best};
}

const struct kv_route_ops kv_route_least_tokens = {
    .info = { .help = "fewest outstanding prompt and generated tokens; ties to the lowest id" },
    .pick = pick,
};

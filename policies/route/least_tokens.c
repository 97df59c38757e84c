/* SPDX-License-Identifier: Apache-2.0 */
/* Fewest tokens still to be computed for the instance's requests; ties go to the lowest id (semantics 14). Knows how
 * long responses will be, as a router with a good length predictor would. */
#include "sim/iface/route.h"

static struct kv_route pick(void *state, const void *params, const struct kv_route_view *view,
                            const struct kv_request *request)
{
    (void)state; (void)params; (void)request;
    int32_t best = kv_route_least(view, view->load_tokens);
    return (struct kv_route){best, best};
}

const struct kv_route_ops kv_route_least_tokens = {
    .info = { .help = "fewest outstanding prompt and generated tokens; ties to the lowest id" },
    .pick = pick,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* Fewest waiting + running requests; ties go to the lowest id (semantics 14). */
#include "sim/iface/route.h"

static struct kv_route pick(void *state, const void *params, const struct kv_route_view *view,
                            const struct kv_request *request)
{
    (void)state; (void)params; (void)request;
    int32_t best = kv_route_least(view, view->load_requests);
    return (struct kv_route){best, best};
}

const struct kv_route_ops kv_route_least_loaded = {
    .info = { .help = "fewest waiting and running requests; ties to the lowest id" },
    .pick = pick,
};

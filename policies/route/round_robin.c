/* SPDX-License-Identifier: Apache-2.0 */
/* The n-th routed request goes to instance n mod count. Reads nothing, so it never advances an instance. */
#include "sim/iface/route.h"

struct round_robin { int32_t next; };

static struct kv_route pick(void *state, const void *params, const struct kv_route_view *view,
                            const struct kv_request *request)
{
    (void)params; (void)request;
    struct round_robin *r = state;
    int32_t instance = r->next;
    r->next = instance + 1 == view->instance_count ? 0 : instance + 1;
    return (struct kv_route){instance, instance};
}

const struct kv_route_ops kv_route_round_robin = {
    .info = { .help = "each instance in turn" },
    .state_bytes = sizeof(struct round_robin), .pick = pick,
};

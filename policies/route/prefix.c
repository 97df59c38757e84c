/* SPDX-License-Identifier: Apache-2.0 */
/* Most cached leading blocks of this request; ties by fewest waiting + running, then the lowest id
 * (semantics 14). */
#include "sim/iface/route.h"

static struct kv_route pick(void *state, const void *params, const struct kv_route_view *view,
                            const struct kv_request *request)
{
    (void)state; (void)params; (void)request;
    int32_t best = 0, best_match = -1;
    int64_t best_load = 0;
    for (int32_t i = 0; i < view->instance_count; i++) {
        int32_t match = view->match_blocks(view->cluster, i);
        if (match < best_match) continue;
        int64_t load = view->load_requests(view->cluster, i);
        if (match > best_match || load < best_load) {
            best = i;
            best_match = match;
            best_load = load;
        }
    }
    return (struct kv_route){best, best};
}

const struct kv_route_ops kv_route_prefix = {
    .info = { .help = "longest cached prefix; ties as least_loaded" },
    .pick = pick,
};

/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/serve/stuck.h"

struct kv_sim_blockers kv_stuck_blockers(const struct kv_serve *serve)
{
    struct kv_sim_blockers b = {0};
    const struct kv_tiers *t = serve->tiers;
    for (int32_t i = 0; t && i < serve->config->instance_count; i++)
        b.writes += kv_write_pending_count(t, &serve->instances[i]);
    if (t) b.refused = kv_access_refused_count(t);
    return b;
}

/* Of a link without capacity that somebody waits for; NULL. */
static const char *dead_link(const struct kv_tiers *t)
{
    for (size_t i = 0; t && i < t->topology.links.count; i++) {
        const struct kv_named_link *link = &t->topology.links.at[i];
        if (link->capacity <= 0 && kv_net_flows_on(t->net, (uint32_t)i) > 0) return link->name;
    }
    return NULL;
}

bool kv_stuck(const struct kv_serve *serve, struct kv_err *err)
{
    int64_t waiting = 0, holding = 0;
    for (int32_t i = 0; i < serve->config->instance_count; i++) {
        const struct kv_instance *n = &serve->instances[i];
        waiting += n->waiting.count + n->running + (int64_t)n->holders.count;
        holding += (int64_t)n->holders.count;
    }
    if (waiting == 0) return false;
    const char *what = holding > 0 ? "KV that never comes"
                       : kv_stuck_blockers(serve).writes > 0 ? "HBM blocks that writes keep which never end" : "memory";
    const char *link = dead_link(serve->tiers);
    kv_fail(err, KV_ESTUCK, "", "nothing can happen any more, but %lld requests have not ended: they wait for %s%s%s",
            (long long)waiting, what, link ? "; a link moves nothing: " : "", link ? link : "");
    return true;
}

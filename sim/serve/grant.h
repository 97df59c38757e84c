/* SPDX-License-Identifier: Apache-2.0 */
/* Grants: a transfer policy divides a cap of bandwidth among the fetches over the network (docs/tiers.md T39). */
#ifndef KV_SERVE_GRANT_H
#define KV_SERVE_GRANT_H

#include "sim/serve/tier.h"

void kv_grants_open(struct kv_tiers *t);
/* Whether fetches from a tier are the policy's business. */
static inline bool kv_grant_manages(const struct kv_tiers *t, int32_t tier)
{
    return t->transfer->policy && tier > 0 && t->tier[tier].config->store->network;
}
/* A fetch begins to ask; it has ended, or is cut. */
void kv_grant_ask(struct kv_tiers *t, uint32_t fetch);
void kv_grant_end(struct kv_tiers *t, uint32_t fetch);
/* What its grant leaves of the limit `own` of one of its accesses, all parts. */
kv_rate kv_grant_limit(const struct kv_tiers *t, uint32_t fetch, kv_rate own);

#endif

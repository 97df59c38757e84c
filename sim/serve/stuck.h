/* SPDX-License-Identifier: Apache-2.0 */
/* Runs in which nothing is pending any more (docs/tiers.md T34). */
#ifndef KV_SERVE_STUCK_H
#define KV_SERVE_STUCK_H

#include "sim/serve/instance.h"
#include "sim/serve/sim.h"

/* True when requests have not ended: they wait for something that will never come, and *err (KV_ESTUCK) says what. */
bool kv_stuck(const struct kv_serve *serve, struct kv_err *err);
struct kv_sim_blockers kv_stuck_blockers(const struct kv_serve *serve);

#endif

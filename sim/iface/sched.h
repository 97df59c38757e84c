/* SPDX-License-Identifier: Apache-2.0 */
/* Contract of policies/sched: the order of an instance's waiting queue.
 *
 * Waiting requests are taken in ascending (urgency, order of reaching the router). Preempted ones stand before all
 * others, the last preempted first, whatever their urgency (semantics B.9). Who runs stays in admission order. */
#ifndef KV_IFACE_SCHED_H
#define KV_IFACE_SCHED_H

#include "sim/conf/param.h"
#include "sim/iface/request.h"

struct kv_sched_ops {
    struct kv_plugin_info info;
    /* Pure; smaller goes first. What a real scheduler knows: not output_tokens, unless the policy is an oracle. */
    int64_t (*urgency)(const void *params, const struct kv_request *request);
};

#endif

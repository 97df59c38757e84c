/* SPDX-License-Identifier: Apache-2.0 */
/* First come, first served: equal urgency leaves the order to the request index. */
#include "sim/iface/sched.h"

static int64_t urgency(const void *params, const struct kv_request *request)
{
    (void)params; (void)request;
    return 0;
}

const struct kv_sched_ops kv_sched_fcfs = {
    .info = { .help = "first come, first served", .source = "vLLM v1 --scheduling-policy fcfs" },
    .urgency = urgency,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* By the priority the trace gives a request: the smaller number first, then first come, first served. */
#include "sim/iface/sched.h"

static int64_t urgency(const void *params, const struct kv_request *request)
{
    (void)params;
    return request->priority;
}

const struct kv_sched_ops kv_sched_priority = {
    .info = { .help = "smallest priority number of the trace first; ties as fcfs",
              .source = "vLLM v1 --scheduling-policy priority" },
    .urgency = urgency,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* Shortest job first by what a server knows on arrival: the prompt length. Output lengths are the future. */
#include "sim/iface/sched.h"

static int64_t urgency(const void *params, const struct kv_request *request)
{
    (void)params;
    return request->input_tokens;
}

const struct kv_sched_ops kv_sched_sjf = {
    .info = { .help = "shortest prompt first; ties as fcfs" },
    .urgency = urgency,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* Flows one after another, in the order of their starts: a copy engine, or a transfer queue with one worker. */
#include "sim/iface/link.h"
#include "sim/lib/pipe.h"

static const struct kv_param params[] = { KV_PIPE_PARAMS, KV_PARAM_END };

static struct kv_link_spec spec(const void *given)
{
    const struct kv_pipe_params *p = given;
    return (struct kv_link_spec){ .capacity = kv_rate_from_Bps(p->bandwidth_bps / 8),
                                  .latency_tk = kv_pipe_ticks(p->latency_s), .in_order = true };
}

const struct kv_link_ops kv_link_fifo = {
    .info = { .help = "flows cross it one after another, in the order of their starts",
              .params = params, .params_bytes = sizeof(struct kv_pipe_params) },
    .spec = spec,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of other machines, over the network: a pool as Mooncake Store keeps it, read and written by RDMA.
 *
 * An access registers its buffers (once for all where they are registered for good) and asks where the chunks are;
 * then its bytes go in messages, each of which costs `message_cost` beside its bytes:
 *
 *   limit = message_bytes / (message_cost + message_bytes / stream_bandwidth)
 */
#include "sim/iface/store.h"
#include "sim/lib/pipe.h"

struct remote_params {
    double registration_s, latency_s, message_cost_s, stream_bps, bandwidth_bps;
    int64_t message_bytes, concurrency_limit;
};
struct remote { kv_rate device, limit; kv_tick delay_tk, ack_tk; int64_t concurrency_limit, chunk_messages; };

#define ROW(key, dim, field, preset, min, max, help, source) \
    { key, dim, offsetof(struct remote_params, field), preset, min, max, NULL, help, source }
static const struct kv_param params[] = {
    ROW("registration", KV_DIM_TIME, registration_s, "0s", 0, 10, "of the buffers of an access with the NIC",
        "Mooncake and LMCache register their pools once, at the start; nixl issue 1074 has it in every transfer"),
    ROW("latency", KV_DIM_TIME, latency_s, "5us", 0, 10, "of asking for an access, before its first byte",
        "a message and its answer: 4.2 us (ucx_perftest tag_lat, 8 B, loopback)"),
    ROW("message_bytes", KV_DIM_BYTES, message_bytes, "64KiB", 1, 1e12, "bytes of a message",
        "Mooncake Transfer Engine: slice_size 65536 (MC_SLICE_SIZE)"),
    ROW("message_cost", KV_DIM_TIME, message_cost_s, "100ns", 0, 1, "of a message beside its bytes",
        "published.csv, mooncake_te: 87 GB/s over 4 x 200 Gb/s: 65536 B / 87 GB/s - 65536 B / 100 GB/s"),
    ROW("stream_bandwidth", KV_DIM_BITS_PER_S, stream_bps, "0bps", 0, KV_PIPE_BPS_MAX,
        "of one access; 0bps: what the network gives", NULL),
    ROW("bandwidth", KV_DIM_BITS_PER_S, bandwidth_bps, "0bps", 0, KV_PIPE_BPS_MAX,
        "of the serving machines, all accesses together; 0bps: no bound of their own", NULL),
    ROW("concurrency_limit", KV_DIM_COUNT, concurrency_limit, "0", 0, 1e9, "accesses at a time; 0: any number", NULL),
    KV_PARAM_END
};

static bool open_state(void *state, const void *given, const struct kv_store_env *env, struct kv_err *err)
{
    (void)err;
    const struct remote_params *p = given;
    double message = (double)p->message_bytes, stream_Bps = p->stream_bps / 8;
    double message_s = p->message_cost_s + (stream_Bps > 0 ? message / stream_Bps : 0);
    *(struct remote *)state = (struct remote){
        .device = p->bandwidth_bps > 0 ? kv_pipe_rate(p->bandwidth_bps / 8) : KV_RATE_UNLIMITED,
        .limit = message_s > 0 ? kv_pipe_rate(message / message_s) : KV_RATE_UNLIMITED,
        .delay_tk = kv_pipe_ticks(p->registration_s) + kv_pipe_ticks(p->latency_s),
        .ack_tk = kv_pipe_ticks(p->latency_s),
        .concurrency_limit = p->concurrency_limit,
        .chunk_messages = (env->chunk_bytes + p->message_bytes - 1) / p->message_bytes,
    };
    return true;
}

static struct kv_access_plan plan(const void *state, const struct kv_access *access)
{
    const struct remote *r = state;
    return (struct kv_access_plan){ .delay_tk = r->delay_tk, .limit = r->limit,
                                    .ack_tk = access->write ? r->ack_tk : 0,
                                    .requests = access->chunks * r->chunk_messages };
}

static kv_rate device_rate(const void *state)
{
    return ((const struct remote *)state)->device;
}

static int64_t concurrency_limit(const void *state)
{
    return ((const struct remote *)state)->concurrency_limit;
}

const struct kv_store_ops kv_store_remote = {
    .info = { .help = "memory of other machines, by RDMA", .source = "Mooncake (Qin et al., FAST'25)", .params = params,
              .params_bytes = sizeof(struct remote_params) },
    .network = true, .state_bytes = sizeof(struct remote),
    .open = open_state, .plan = plan, .device_rate = device_rate, .concurrency_limit = concurrency_limit,
};

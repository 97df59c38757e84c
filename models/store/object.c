/* SPDX-License-Identifier: Apache-2.0 */
/* An object store (S3) behind gateways.
 *
 * A chunk is an object (layout per_layer: one a layer), so an access of n chunks is n requests; in the order of layers
 * it is a ranged request for each layer of each chunk (block_major: for each block of it). `aggregate` makes it one
 * request whatever the layout: a gateway that puts the layers together itself (ObjectCache). k connections work through
 * them, k = min(streams, requests). A request waits request_cost for the server, then its bytes come at the rate of
 * a stream; q = bytes / requests:
 *
 *   limit = k * q / (request_cost + q / stream_bandwidth)
 *
 * The delay is first_byte less the request_cost that the limit has for the first request: alone, an access takes
 * first_byte + (requests / k - 1) * request_cost + bytes / (k * stream_bandwidth). With sigma > 0 first_byte is the
 * median of a log-normal variate, one an access. */
#include <gsl/gsl_randist.h>
#include <math.h>

#include "sim/base/rng.h"
#include "sim/iface/store.h"
#include "sim/lib/chunk_ranges.h"
#include "sim/lib/pipe.h"

#define DELAY_MAX_S 1e6   /* of a draw: far out in the tail; a kv_cost holds more */

struct object_params {
    double first_byte_s, sigma, request_cost_s, stream_bps, write_stream_bps, bandwidth_bps, put_ack_s;
    int64_t streams, concurrency_limit;
    bool aggregate;
};
struct object {
    struct object_params p;
    struct kv_store_env env;
    uint64_t stream;           /* of random numbers */
    double log_first_byte;
    kv_rate device;
    kv_tick ack_tk;
};

#define ROW(key, dim, field, preset, min, max, help, source) \
    { key, dim, offsetof(struct object_params, field), preset, min, max, NULL, help, source }
#define MEASURED "Ceph RGW 16.2.15, loopback, memstore (models/stores/rgw-loopback.yaml): "
static const struct kv_param params[] = {
    ROW("first_byte", KV_DIM_TIME, first_byte_s, "0.65ms", 0, 1e4, "from the request to its first byte (the median)",
        MEASURED "GET of 4 KiB, p50"),
    ROW("first_byte_sigma", KV_DIM_NUMBER, sigma, "0", 0, 5, "deviation of its logarithm; 0: always the same", NULL),
    ROW("request_cost", KV_DIM_TIME, request_cost_s, "0.65ms", 0, 1e4,
        "of each further request of a stream, beside its bytes", MEASURED "one request after the other, t = 0.65 ms + "
        "bytes / 1.2 GB/s"),
    ROW("stream_bandwidth", KV_DIM_BITS_PER_S, stream_bps, "1.2GB/s", 0, KV_PIPE_BPS_MAX,
        "of one connection; 0bps: what the network gives", MEASURED "GET up to 4 MiB, p50"),
    ROW("write_stream_bandwidth", KV_DIM_BITS_PER_S, write_stream_bps, "0bps", 0, KV_PIPE_BPS_MAX,
        "the same for writes; 0bps: as for reads", NULL),
    ROW("streams", KV_DIM_COUNT, streams, "16", 1, 65536, "connections that one access uses at most", NULL),
    ROW("aggregate", KV_DIM_BOOL, aggregate, "false", 0, 0,
        "the gateway answers a whole access with one stream, in the order asked for", "ObjectCache's S3Agg path"),
    ROW("bandwidth", KV_DIM_BITS_PER_S, bandwidth_bps, "0bps", 0, KV_PIPE_BPS_MAX,
        "of all gateways, reads and writes together; 0bps: what their NICs give", NULL),
    ROW("concurrency_limit", KV_DIM_COUNT, concurrency_limit, "0", 0, 1e9, "accesses at a time; 0: any number", NULL),
    ROW("put_ack", KV_DIM_TIME, put_ack_s, "2.4ms", 0, 1e4, "from the last byte of a write to its acknowledgement",
        MEASURED "PUT of 4 to 64 KiB in 3 ms, less first_byte"),
    KV_PARAM_END
};

static bool open_state(void *state, const void *given, const struct kv_store_env *env, struct kv_err *err)
{
    (void)err;
    const struct object_params *p = given;
    *(struct object *)state = (struct object){
        .p = *p, .env = *env, .stream = kv_stream("store.object.first_byte"),
        .log_first_byte = p->first_byte_s > 0 ? log(p->first_byte_s) : 0,
        .device = p->bandwidth_bps > 0 ? kv_pipe_rate(p->bandwidth_bps / 8) : KV_RATE_UNLIMITED,
        .ack_tk = kv_pipe_ticks(p->put_ack_s),
    };
    return true;
}

static double first_byte_s(const struct object *o, uint64_t number)
{
    if (o->p.sigma <= 0 || o->p.first_byte_s <= 0) return o->p.first_byte_s;
    struct kv_rng rng;
    double drawn_s = gsl_ran_lognormal(kv_rng_at(&rng, o->env.seed, o->stream, number), o->log_first_byte, o->p.sigma);
    return drawn_s < DELAY_MAX_S ? drawn_s : DELAY_MAX_S;
}

/* Requests of an access of one chunk. */
static int64_t chunk_requests(const struct object *o, const struct kv_access *access)
{
    struct kv_chunk_ranges shape = {
        .layers = o->env.layers, .blocks = o->env.chunk_tokens / o->env.block_tokens,
        .object_per_layer = o->env.layout == KV_LAYOUT_PER_LAYER, .block_major = o->env.layout == KV_LAYOUT_BLOCK_MAJOR,
        .by_layer = !access->write && access->delivery == KV_DELIVERY_LAYERWISE,
    };
    return kv_chunk_ranges(&shape);
}

static struct kv_access_plan plan(const void *state, const struct kv_access *access)
{
    const struct object *o = state;
    double chunks = (double)access->chunks, per_chunk = (double)chunk_requests(o, access);
    double requests = o->p.aggregate ? 1 : chunks * per_chunk;
    double streams = requests < (double)o->p.streams ? requests : (double)o->p.streams;
    double request_bytes = (double)o->env.chunk_bytes * (o->p.aggregate ? chunks : 1 / per_chunk);
    double stream_bps = access->write && o->p.write_stream_bps > 0 ? o->p.write_stream_bps : o->p.stream_bps;
    double request_s = o->p.request_cost_s + (stream_bps > 0 ? request_bytes * 8 / stream_bps : 0);
    double delay_s = first_byte_s(o, access->number) - o->p.request_cost_s;
    return (struct kv_access_plan){
        .delay_tk = delay_s > 0 ? kv_pipe_ticks(delay_s) : 0,
        .limit = request_s > 0 ? kv_pipe_rate(streams * request_bytes / request_s) : KV_RATE_UNLIMITED,
        .ack_tk = access->write ? o->ack_tk : 0,
    };
}

static kv_rate device_rate(const void *state)
{
    return ((const struct object *)state)->device;
}

static int64_t concurrency_limit(const void *state)
{
    return ((const struct object *)state)->p.concurrency_limit;
}

const struct kv_store_ops kv_store_object = {
    .info = { .help = "object store (S3) behind gateways", .source = "ObjectCache; Ceph RGW", .params = params,
              .params_bytes = sizeof(struct object_params) },
    .network = true, .gateways = true, .preset_chunk_tokens = 256, .state_bytes = sizeof(struct object),
    .open = open_state, .plan = plan, .device_rate = device_rate, .concurrency_limit = concurrency_limit,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* An object store (S3) behind gateways.
 *
 * A chunk is an object (layout per_layer: one a layer), so an access of n chunks is n requests; in the order of layers
 * it is a ranged request for each layer of each chunk (block_major: for each block of it). `aggregate` makes it one
 * request whatever the layout: a gateway that puts the layers together itself (ObjectCache). k connections work through
 * them, k = min(streams, requests); c = k * accesses under way are then open, if the others are like this one.
 * A request of q = bytes / requests waits w for the server, then its bytes come at the rate s of a stream.
 *
 * Constants: w = request_cost, s = stream_bandwidth, and
 *
 *   limit = k * q / (w + q / s)          delay = first_byte - w
 *
 * so that alone an access takes first_byte + (requests / k - 1) * w + bytes / (k * s).
 *
 * Measured: `first_byte_curve` gives w by q and c, `put_ack_curve` the wait of a write for its acknowledgement.
 * The first of them is a wait of its own, the limit holds those of the further requests of a connection only:
 *
 *   limit = k * q / (w * (1 - k / requests) + q / s)      delay = w (a read), ack = w (a write)
 *
 * Between the points of these two, waits are linear; a size past the last waits as long as the last, more connections
 * than the last wait in proportion (a server that is busy all the time).
 * `backend_curve` is what the devices behind the gateways give to c reads of q bytes at a time; a read has its share of
 * it, s = min(stream_bandwidth, curve / c). A gateway that aggregates reads the pieces it puts together with `streams`
 * reads at a time: s = min(aggregate_bandwidth, curve(piece, c) / under way). Past the last point the curve is flat.
 *
 * A request for a part of an object (layers of it) may have a wait of its own, `range_first_byte_curve`.
 *
 * With look-ahead n a layerwise read asks for n layers at a time: k = min(streams, requests of n layers). Permitted on
 * after a pause it waits for the server again: `resume_delay` = delay, of the median and as many connections as when
 * it had its turn. With n = 1 it pauses in each layer, so that the first requests of each wait there and not in the
 * limit: `requests` in it are those of one layer. A gateway that aggregates pushes, and nobody waits again.
 * With sigma > 0 the wait for the first byte is the median of a log-normal variate, one an access. A refused access
 * (queue_limit) comes again after min(retry_max, retry_first * 2^(attempt - 1) * u), u even over 1 - jitter..1. */
#include <gsl/gsl_randist.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "sim/base/arena.h"
#include "sim/base/rng.h"
#include "sim/conf/data.h"
#include "sim/iface/store.h"
#include "sim/lib/knots.h"
#include "sim/lib/pipe.h"

#define DELAY_MAX_S 1e6   /* of a draw: far out in the tail; a kv_cost holds more */

struct object_params {
    double first_byte_s, sigma, request_cost_s, stream_bps, write_stream_bps, aggregate_bps, aggregate_first_s;
    double bandwidth_bps, put_ack_s;
    double retry_first_s, retry_max_s, retry_jitter;
    double read_price, write_price, month_price;
    int64_t streams, concurrency_limit, queue_limit;
    const char *first_byte_curve, *range_first_byte_curve, *put_ack_curve, *backend_curve;
    bool aggregate;
};
struct object {
    struct object_params p;
    struct kv_store_env env;
    struct kv_arena arena;     /* of the curves */
    uint64_t stream, retry_stream;   /* of random numbers */
    double log_first_byte, log_aggregate_first;
    kv_rate device;
    kv_tick ack_tk;
    struct curve { bool given; struct kv_knots knots; } first_byte, range_first_byte, put_ack, backend;
};

#define ROW(key, dim, field, preset, min, max, help, source) \
    { key, dim, offsetof(struct object_params, field), preset, min, max, NULL, help, source }
#define MEASURED "Ceph RGW 16.2.15, loopback, memstore (models/stores/rgw-loopback.yaml): "
#define BOTOCORE "botocore, retry mode standard: at most 20 s, any part of it"
static const struct kv_param params[] = {
    ROW("first_byte", KV_DIM_TIME, first_byte_s, "0.65ms", 0, 1e4, "from the request to its first byte (the median)",
        MEASURED "GET of 4 KiB, p50"),
    ROW("first_byte_sigma", KV_DIM_NUMBER, sigma, "0", 0, 5, "deviation of its logarithm; 0: always the same", NULL),
    ROW("first_byte_curve", KV_DIM_TEXT, first_byte_curve, "none", 0, 0,
        "CSV bytes,connections,first_byte_us: in place of first_byte and request_cost, for reads", NULL),
    ROW("range_first_byte_curve", KV_DIM_TEXT, range_first_byte_curve, "none", 0, 0,
        "the same for requests of a part of an object; none: as for whole ones", NULL),
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
    ROW("aggregate_bandwidth", KV_DIM_BITS_PER_S, aggregate_bps, "0bps", 0, KV_PIPE_BPS_MAX,
        "of a stream of layers that a gateway puts together; 0bps: as of any stream", NULL),
    ROW("aggregate_first_byte", KV_DIM_TIME, aggregate_first_s, "0s", 0, 1e4,
        "of such a stream; 0s: as of any request", NULL),
    ROW("backend_curve", KV_DIM_TEXT, backend_curve, "none", 0, 0,
        "CSV bytes,connections,rate_GBps: what the devices give to reads of that size, so many at a time", NULL),
    ROW("bandwidth", KV_DIM_BITS_PER_S, bandwidth_bps, "0bps", 0, KV_PIPE_BPS_MAX,
        "of all gateways, reads and writes together; 0bps: what their NICs give", NULL),
    ROW("concurrency_limit", KV_DIM_COUNT, concurrency_limit, "0", 0, 1e9, "accesses at a time; 0: any number", NULL),
    ROW("queue_limit", KV_DIM_COUNT, queue_limit, "-1", -1, 1e9,
        "accesses that may wait for their turn; others are refused (503) and come again; -1: any number", NULL),
    ROW("retry_first", KV_DIM_TIME, retry_first_s, "1s", 1e-6, 1e4, "longest wait before the first repetition",
        BOTOCORE " of 1 s, 2 s, 4 s, ..."),
    ROW("retry_max", KV_DIM_TIME, retry_max_s, "20s", 1e-6, 1e4, "longest wait before any", BOTOCORE),
    ROW("retry_jitter", KV_DIM_FRACTION, retry_jitter, "1", 0, 1, "part of the wait that is drawn; 0: none", BOTOCORE),
    ROW("put_ack", KV_DIM_TIME, put_ack_s, "2.4ms", 0, 1e4, "from the last byte of a write to its acknowledgement",
        MEASURED "PUT of 4 to 64 KiB in 3 ms, less first_byte"),
    ROW("put_ack_curve", KV_DIM_TEXT, put_ack_curve, "none", 0, 0,
        "CSV bytes,connections,put_ack_us: in place of put_ack; a write then begins at once", NULL),
    ROW("price_read_request", KV_DIM_NUMBER, read_price, "0", 0, 1, "USD of a GET", NULL),
    ROW("price_write_request", KV_DIM_NUMBER, write_price, "0", 0, 1, "USD of a PUT", NULL),
    ROW("price_GiB_month", KV_DIM_NUMBER, month_price, "0", 0, 1e3, "USD of a GiB kept for a month", NULL),
    KV_PARAM_END
};

/* ---- curves ---- */

/* As it is named; else among the profiles that ship. */
static bool read_curve(struct object *o, const char *name, const char *value, enum kv_knots_rule rule,
                       struct curve *curve, struct kv_err *err)
{
    if (!*name || !strcmp(name, "none")) return true;
    const char *path = name, *data = access(name, R_OK) ? kv_data_folder(&o->arena) : NULL;
    if (data) {
        const char *shipped = kv_arena_text(&o->arena, "%s/models/stores/%s", data, name);
        if (!access(shipped, R_OK)) path = shipped;
    }
    struct kv_knots_form form = { .axis = {"bytes", "connections"}, .value = {value} };
    curve->given = kv_knots_read(&o->arena, path, &form, &curve->knots, err);
    return curve->given && kv_knots_check(path, &curve->knots, rule, err);
}

static double wait_s(const struct kv_knots *k, double bytes, double connections)
{
    double last = (double)k->y[k->columns - 1], wait_ns = kv_knots_at(k, bytes, connections);
    return wait_ns * 1e-9 * (connections > last ? connections / last : 1);
}

/* ---- one access ---- */

static void close_state(void *state)
{
    struct object *o = state;
    kv_arena_close(&o->arena);
}

static bool open_state(void *state, const void *given, const struct kv_store_env *env, struct kv_err *err)
{
    const struct object_params *p = given;
    struct object *o = state;
    *o = (struct object){
        .p = *p, .env = *env, .stream = kv_stream("store.object.first_byte"),
        .retry_stream = kv_stream("store.object.retry"),
        .log_first_byte = p->first_byte_s > 0 ? log(p->first_byte_s) : 0,
        .log_aggregate_first = p->aggregate_first_s > 0 ? log(p->aggregate_first_s) : 0,
        .device = p->bandwidth_bps > 0 ? kv_pipe_rate(p->bandwidth_bps / 8) : KV_RATE_UNLIMITED,
        .ack_tk = kv_pipe_ticks(p->put_ack_s),
    };
    if (read_curve(o, p->first_byte_curve, "first_byte_us", KV_KNOTS_RISING, &o->first_byte, err)
        && read_curve(o, p->range_first_byte_curve, "first_byte_us", KV_KNOTS_RISING, &o->range_first_byte, err)
        && read_curve(o, p->put_ack_curve, "put_ack_us", KV_KNOTS_RISING, &o->put_ack, err)
        && read_curve(o, p->backend_curve, "rate_GBps", KV_KNOTS_POSITIVE, &o->backend, err)) return true;
    close_state(o);
    return false;
}

/* A draw around a median, or the median itself. */
static double drawn_s(const struct object *o, double median_s, double log_median, uint64_t number)
{
    if (o->p.sigma <= 0 || median_s <= 0) return median_s;
    struct kv_rng rng;
    double s = gsl_ran_lognormal(kv_rng_at(&rng, o->env.seed, o->stream, number), log_median, o->p.sigma);
    return s < DELAY_MAX_S ? s : DELAY_MAX_S;
}

/* How an access is cut up: what goes over a connection, and what is read behind the gateway. */
struct cut {
    double requests, streams, request_bytes, under_way, connections, reads, piece_bytes;
    double waiting;            /* requests among which those stand whose wait is a delay of its own */
    bool ranged, joined, resumes;
};

static struct cut cut_up(const struct object *o, const struct kv_access *access)
{
    double chunks = (double)access->chunks, per_chunk = (double)kv_access_ranges(&o->env, access);
    double most = (double)o->p.streams;
    double pieces = chunks * per_chunk, requests = o->p.aggregate ? 1 : pieces;
    bool ranged = !access->write && !o->p.aggregate && o->env.layout != KV_LAYOUT_PER_LAYER && per_chunk > 1;
    bool layered = !access->write && access->delivery == KV_DELIVERY_LAYERWISE;
    bool bounded = layered && !o->p.aggregate && o->env.lookahead_layers > 0;
    double ahead = bounded && o->env.lookahead_layers < o->env.layers ? (double)o->env.lookahead_layers
                                                                      : (double)o->env.layers;
    double at_a_time = requests * ahead / (double)o->env.layers, streams = at_a_time < most ? at_a_time : most;
    double under_way = access->under_way > 1 ? (double)access->under_way : 1;
    return (struct cut){
        .requests = requests, .streams = streams,
        .request_bytes = (double)o->env.chunk_bytes * (o->p.aggregate ? chunks : 1 / per_chunk),
        .under_way = under_way, .connections = streams * under_way,
        .reads = (pieces < most ? pieces : most) * under_way, .piece_bytes = (double)o->env.chunk_bytes / per_chunk,
        .waiting = bounded && ahead == 1 ? at_a_time : requests,
        .ranged = ranged, .joined = o->p.aggregate && layered, .resumes = bounded && ahead < (double)o->env.layers,
    };
}

/* Of one connection in bit/s; 0: no bound of its own. */
static double stream_bps(const struct object *o, const struct cut *c, bool write)
{
    if (write && o->p.write_stream_bps > 0) return o->p.write_stream_bps;
    double bps = c->joined && o->p.aggregate_bps > 0 ? o->p.aggregate_bps : o->p.stream_bps;
    if (write || !o->backend.given) return bps;
    double share = kv_knots_log_at(&o->backend.knots, c->piece_bytes, c->reads) * 8e3 / (c->under_way * c->streams);
    return bps > 0 && bps < share ? bps : share;
}

static kv_tick delay_tk(double delay_s)
{
    return delay_s > 0 ? kv_pipe_ticks(delay_s < DELAY_MAX_S ? delay_s : DELAY_MAX_S) : 0;
}

static struct kv_access_plan plan(const void *state, const struct kv_access *access)
{
    const struct object *o = state;
    struct cut c = cut_up(o, access);
    double bps = stream_bps(o, &c, access->write), bytes_s = bps > 0 ? c.request_bytes * 8 / bps : 0;
    const struct curve *curve = access->write ? &o->put_ack : c.ranged && o->range_first_byte.given
                                ? &o->range_first_byte : &o->first_byte;
    double cost_s = o->p.request_cost_s, again_s = o->p.first_byte_s - cost_s, delay_s, ack_s = 0;
    if (c.joined && o->p.aggregate_first_s > 0) {
        delay_s = drawn_s(o, o->p.aggregate_first_s, o->log_aggregate_first, access->number);
        cost_s = 0;
    } else if (curve->given) {
        double median_s = wait_s(&curve->knots, c.request_bytes, c.connections);
        cost_s = median_s * (1 - c.streams / c.waiting);
        again_s = median_s;
        delay_s = access->write ? 0 : drawn_s(o, median_s, log(median_s), access->number);
        ack_s = median_s < DELAY_MAX_S ? median_s : DELAY_MAX_S;
    } else {
        delay_s = drawn_s(o, o->p.first_byte_s, o->log_first_byte, access->number) - cost_s;
    }
    double request_s = cost_s + bytes_s;
    return (struct kv_access_plan){
        .delay_tk = delay_tk(delay_s), .resume_delay_tk = c.resumes ? delay_tk(again_s) : 0,
        .limit = request_s > 0 ? kv_pipe_rate(c.streams * c.request_bytes / request_s) : KV_RATE_UNLIMITED,
        .ack_tk = !access->write ? 0 : curve->given ? kv_pipe_ticks(ack_s) : o->ack_tk,
        .requests = (int64_t)c.requests,
    };
}

/* ---- what all accesses share ---- */

static kv_rate device_rate(const void *state)
{
    return ((const struct object *)state)->device;
}

static int64_t concurrency_limit(const void *state)
{
    return ((const struct object *)state)->p.concurrency_limit;
}

static int64_t queue_limit(const void *state)
{
    return ((const struct object *)state)->p.queue_limit;
}

static kv_tick retry_tk(const void *state, uint64_t number, int32_t attempt)
{
    const struct object *o = state;
    struct kv_rng rng;
    gsl_rng *at = kv_rng_at(&rng, o->env.seed, o->retry_stream, kv_mix64_pair(number, (uint64_t)attempt));
    double share = 1 - o->p.retry_jitter * gsl_rng_uniform(at);
    double wait = ldexp(o->p.retry_first_s, attempt < 64 ? attempt - 1 : 63) * share;
    kv_tick ticks = kv_pipe_ticks(wait < o->p.retry_max_s ? wait : o->p.retry_max_s);
    return ticks > 0 ? ticks : 1;
}

static struct kv_store_price price(const void *state)
{
    const struct object_params *p = &((const struct object *)state)->p;
    return (struct kv_store_price){ p->read_price, p->write_price, p->month_price };
}

const struct kv_store_ops kv_store_object = {
    .info = { .help = "object store (S3) behind gateways", .source = "ObjectCache; Ceph RGW", .params = params,
              .params_bytes = sizeof(struct object_params) },
    .network = true, .gateways = true, .preset_chunk_tokens = 256, .state_bytes = sizeof(struct object),
    .open = open_state, .close = close_state, .plan = plan, .device_rate = device_rate,
    .concurrency_limit = concurrency_limit, .queue_limit = queue_limit, .retry_tk = retry_tk, .price = price,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* An NVMe drive (or a stripe of them) of a node.
 *
 * Consecutive bytes are read in I/Os of at most block_bytes, queue_depth of them at a time. An I/O of b bytes takes
 * latency + b / bandwidth, so an access with q I/Os under way moves at
 *
 *   rate(b, q) = min(bandwidth, q * b / (latency + b / bandwidth))
 *
 * How long the pieces of consecutive bytes are follows from layout and delivery (sim/lib/chunk_ranges.h): small pieces
 * make small I/Os. The delay is what is left of the first I/O's latency, so that an access alone takes
 * max(latency + bytes / bandwidth, bytes / rate(b, q)). Reads and writes share the drive, whose rate is the larger of
 * the two bandwidths; several writes at once are bound by that only. */
#include "sim/iface/store.h"
#include "sim/lib/pipe.h"

struct way { double bandwidth_bps, latency_s; };
struct disk_params { struct way read, write; double ack_s; int64_t queue_depth, block_bytes; };

struct disk {
    struct disk_params p;
    struct kv_store_env env;
    kv_tick ack_tk;
};

#define ROW(key, dim, field, preset, min, max, help, source) \
    { key, dim, offsetof(struct disk_params, field), preset, min, max, NULL, help, source }
#define SHEET "Intel D7-P5500 (PCIe 4.0 x4), announcement of June 2020: "
static const struct kv_param params[] = {
    ROW("read_bandwidth", KV_DIM_BITS_PER_S, read.bandwidth_bps, "7GB/s", 1e3, 1e15, "sequential reads",
        SHEET "7,000 MB/s"),
    ROW("write_bandwidth", KV_DIM_BITS_PER_S, write.bandwidth_bps, "4.3GB/s", 1e3, 1e15, "sequential writes",
        SHEET "4,300 MB/s"),
    ROW("read_latency", KV_DIM_TIME, read.latency_s, "80us", 0, 10, "of one read, before its bytes",
        "assumed: TLC flash answers a 4 KiB read in some 50 to 100 us"),
    ROW("write_latency", KV_DIM_TIME, write.latency_s, "15us", 0, 10, "of one write, before its bytes",
        "assumed: writes end in the drive's protected buffer, 10 to 20 us"),
    ROW("queue_depth", KV_DIM_COUNT, queue_depth, "32", 1, 65536, "I/Os of one access under way at most",
        "a common depth of data sheets and fio jobs"),
    ROW("block_bytes", KV_DIM_BYTES, block_bytes, "128KiB", 512, 1 << 30, "largest I/O",
        "data sheets measure sequential rates with 128 KiB"),
    ROW("ack", KV_DIM_TIME, ack_s, "0s", 0, 10, "from the last byte written to its being durable (fsync)",
        "drives with power-loss protection have nothing left to flush"),
    KV_PARAM_END
};

static bool open_state(void *state, const void *given, const struct kv_store_env *env, struct kv_err *err)
{
    (void)err;
    const struct disk_params *p = given;
    *(struct disk *)state = (struct disk){ .p = *p, .env = *env, .ack_tk = kv_pipe_ticks(p->ack_s) };
    return true;
}

static struct kv_access_plan plan(const void *state, const struct kv_access *access)
{
    const struct disk *d = state;
    const struct way *way = access->write ? &d->p.write : &d->p.read;
    int64_t ranges = kv_access_ranges(&d->env, access);
    int64_t range_bytes = (d->env.chunk_bytes + ranges - 1) / ranges;
    int64_t range_ios = (range_bytes + d->p.block_bytes - 1) / d->p.block_bytes;
    double io_count = (double)access->chunks * (double)ranges * (double)range_ios;
    double io_bytes = (double)range_bytes / (double)range_ios;
    double depth = io_count < (double)d->p.queue_depth ? io_count : (double)d->p.queue_depth;

    double full_Bps = way->bandwidth_bps / 8;
    double Bps = depth * io_bytes / (way->latency_s + io_bytes / full_Bps), delay_s = way->latency_s;
    if (Bps >= full_Bps) Bps = full_Bps;
    else delay_s -= (double)access->chunks * (double)d->env.chunk_bytes * (1 / Bps - 1 / full_Bps);
    return (struct kv_access_plan){ .delay_tk = delay_s > 0 ? kv_pipe_ticks(delay_s) : 0, .limit = kv_pipe_rate(Bps),
                                    .ack_tk = access->write ? d->ack_tk : 0,
                                    .requests = access->chunks * ranges * range_ios };
}

static kv_rate device_rate(const void *state)
{
    const struct disk_params *p = &((const struct disk *)state)->p;
    return kv_pipe_rate((p->read.bandwidth_bps > p->write.bandwidth_bps ? p->read : p->write).bandwidth_bps / 8);
}

static int64_t concurrency_limit(const void *state)
{
    (void)state;
    return 0;
}

const struct kv_store_ops kv_store_disk = {
    .info = { .help = "NVMe drive of a node: I/O size and queue depth set the rate", .params = params,
              .params_bytes = sizeof(struct disk_params) },
    .state_bytes = sizeof(struct disk),
    .open = open_state, .plan = plan, .device_rate = device_rate, .concurrency_limit = concurrency_limit,
};

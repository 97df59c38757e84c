/* SPDX-License-Identifier: Apache-2.0 */
/* Host memory of a node. The way to the GPU (PCIe) is the network's; the memory itself is rarely the bound, so it
 * has no rate unless one is given. Bytes go in copies of consecutive ones, each of which may cost something beside
 * them:
 *
 *   limit = piece / (copy_cost + piece / stream_bandwidth) */
#include "sim/iface/store.h"
#include "sim/lib/pipe.h"

struct dram_params { double bandwidth_bps, latency_s, copy_cost_s, stream_bps; };
struct dram { struct dram_params p; struct kv_store_env env; kv_rate device, stream; kv_tick latency_tk; };

#define ROW(key, dim, field, preset, max, help, source) \
    { key, dim, offsetof(struct dram_params, field), preset, 0, max, NULL, help, source }
static const struct kv_param params[] = {
    ROW("bandwidth", KV_DIM_BITS_PER_S, bandwidth_bps, "0bps", KV_PIPE_BPS_MAX,
        "of the memory, all accesses together, both directions; 0bps: no bound of its own", NULL),
    ROW("latency", KV_DIM_TIME, latency_s, "3.3us", 10, "before the first byte of an access",
        "start-up of a copy: published.csv, pcie_cpu_to_gpu_dma (H100): time of a block of 4 KiB to 1 MiB "
        "= 3.3 us + bytes / 51 GB/s"),
    ROW("copy_cost", KV_DIM_TIME, copy_cost_s, "0s", 1,
        "of each copy of consecutive bytes beside the bytes themselves; pieces are as layout and delivery make them",
        NULL),
    ROW("stream_bandwidth", KV_DIM_BITS_PER_S, stream_bps, "0bps", KV_PIPE_BPS_MAX,
        "of one access (a copy thread); 0bps: no bound of its own", NULL),
    KV_PARAM_END
};

static kv_rate optional_rate(double bps)
{
    return bps > 0 ? kv_pipe_rate(bps / 8) : KV_RATE_UNLIMITED;
}

static bool open_state(void *state, const void *given, const struct kv_store_env *env, struct kv_err *err)
{
    (void)err;
    const struct dram_params *p = given;
    *(struct dram *)state = (struct dram){ *p, *env, optional_rate(p->bandwidth_bps), optional_rate(p->stream_bps),
                                           kv_pipe_ticks(p->latency_s) };
    return true;
}

static struct kv_access_plan plan(const void *state, const struct kv_access *access)
{
    const struct dram *d = state;
    int64_t pieces = kv_access_ranges(&d->env, access);
    kv_rate limit = d->stream;
    if (d->p.copy_cost_s > 0) {
        double bytes = (double)d->env.chunk_bytes / (double)pieces, Bps = d->p.stream_bps / 8;
        limit = kv_pipe_rate(bytes / (d->p.copy_cost_s + (Bps > 0 ? bytes / Bps : 0)));
    }
    return (struct kv_access_plan){ .delay_tk = d->latency_tk, .limit = limit, .requests = access->chunks * pieces };
}

static kv_rate device_rate(const void *state)
{
    return ((const struct dram *)state)->device;
}

static int64_t concurrency_limit(const void *state)
{
    (void)state;
    return 0;
}

const struct kv_store_ops kv_store_dram = {
    .info = { .help = "host memory of a node, behind PCIe", .params = params,
              .params_bytes = sizeof(struct dram_params) },
    .fills = true, .state_bytes = sizeof(struct dram),
    .open = open_state, .plan = plan, .device_rate = device_rate, .concurrency_limit = concurrency_limit,
};

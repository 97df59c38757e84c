/* SPDX-License-Identifier: Apache-2.0 */
/* A device that computes nothing: steps last as long as the scenario's compute model says (docs/engine.md, rules 1 and
 * 2; docs/tiers.md, T20), loads as long as their bytes need, one after the other, over the slowest of the ways between
 * host memory and GPU. Time is its own, so a run takes no longer than its bookkeeping. With it the loop must give what
 * `kvsim run` gives. */
#ifndef KV_CALIB_SERVE_CLOCK_H
#define KV_CALIB_SERVE_CLOCK_H

#include "calib/serve/device.h"
#include "sim/base/rate.h"
#include "sim/iface/config.h"

struct kv_loop_clock {
    const struct kv_sim_config *config;
    void *compute;                     /* state of the compute model */
    kv_cost overhead;                  /* host, each step */
    kv_tick origin, now;               /* busy since `origin`, and `spent` since then (rule 1) */
    kv_cost spent;
    kv_tick delay_tk;                  /* before the first byte of a load */
    kv_rate rate;                      /* of loads */
    int64_t block_layer_bytes;         /* of one block in one layer */
    kv_tick way_free_tk;               /* when the last load begun will have ended */
    KV_VEC(struct kv_loop_flow { kv_tick begin_tk; int64_t layer_bytes; }) load;
    struct kv_chunk *chunk;
    kv_cost *layer_cost;
    struct kv_loop_layer *layer;
};

/* Memory is of `arena`. A compute model that does not open is the error. */
bool kv_loop_clock_open(struct kv_loop_clock *c, const struct kv_sim_config *config, struct kv_arena *arena,
                        struct kv_err *err);
void kv_loop_clock_close(struct kv_loop_clock *c);
/* The instant at which layer l of a load is in. */
kv_tick kv_loop_clock_in_tk(const struct kv_loop_clock *c, int32_t load, int32_t layer);

extern const struct kv_loop_device_ops kv_loop_clock_ops;

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The time series of a run: gauges sampled and counters binned at a fixed step, or (auto) at a step that doubles
 * whenever KV_SERIES_BINS_AUTO bins are full, merging them pairwise. Reading instances never changes them. */
#ifndef KV_SERVE_SERIES_H
#define KV_SERVE_SERIES_H

#include "sim/serve/instance.h"
#include "sim/serve/sim.h"

#define KV_SERIES_BINS_AUTO 4096
#define KV_SERIES_BINS_MAX 1000000

struct kv_series {
    struct kv_serve *serve;
    struct kv_sim *sim;            /* read through kv_sim_read */
    const struct kv_instance *instances;
    uint32_t timer;
    bool automatic;
    kv_tick step_tk;               /* 0: no series */
    KV_VEC(struct kv_bin) bins;
    KV_VEC(kv_tick) busy_tk;       /* [bin][instance], busy time at the end of the bin since the start of the run */
    kv_tick last_tk;
    struct kv_err *err;
};

void kv_series_open(struct kv_series *s, struct kv_serve *serve, struct kv_sim *sim,
                    const struct kv_instance *instances, struct kv_err *err);
/* Ends the last bin at end_tk. */
void kv_series_finish(struct kv_series *s, kv_tick end_tk);
void kv_series_bin(const struct kv_series *s, int32_t index, struct kv_bin *bin);
void kv_series_close(struct kv_series *s);

#endif

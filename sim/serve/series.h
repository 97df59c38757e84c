/* SPDX-License-Identifier: Apache-2.0 */
/* The time series of a run: gauges sampled and counters binned at a fixed step, or (auto) at a step that doubles
 * whenever KV_SERIES_BINS_AUTO bins are full, merging them pairwise. Reading instances never changes them. */
#ifndef KV_SERVE_SERIES_H
#define KV_SERVE_SERIES_H

#include "sim/serve/instance.h"
#include "sim/serve/sim.h"

#define KV_SERIES_BINS_AUTO 4096
#define KV_SERIES_BINS_MAX 1000000

struct kv_series_head { kv_tick start_tk, end_tk; int64_t samples; };
/* A bin is a head and a row of 64-bit words, as many as this run's tiers, links and instances ask for: sums of the
 * samples first, then totals since the start of the run as they stand at the end of the bin. */
struct kv_series {
    struct kv_serve *serve;
    struct kv_sim *sim;            /* read through kv_sim_read, kv_sim_tier, kv_sim_link */
    const struct kv_instance *instances;
    uint32_t timer;
    bool automatic;
    kv_tick step_tk;               /* 0: no series */
    KV_VEC(struct kv_series_head) bins;
    KV_VEC(int64_t) words;         /* [bin][width] */
    size_t tiers, links;
    size_t sums, width;            /* words of a row that are sums; all; 0 before the first sample */
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

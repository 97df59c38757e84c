/* SPDX-License-Identifier: Apache-2.0 */
/* /timeseries: the bins of a run, and what stands in the cluster that they are about. */
#ifndef KV_OUT_BINS_H
#define KV_OUT_BINS_H

#include "sim/iface/record.h"
#include "sim/out/h5.h"
#include "sim/serve/sim.h"

/* Second dimensions of wide columns. */
struct kv_plant {
    int32_t instance_count, tier_count, link_count;
    const char *const *tier;                /* names, from the fastest; at least one */
    int64_t capacity[KV_TIERS_MAX];         /* chunks of all pools of a tier, blocks of the first; < 0: unlimited */
    const struct kv_sim_link *link;         /* as at the end of the run */
};

/* The bins of a run, from wherever they lie. */
struct kv_bins {
    void *state;
    int32_t count;
    void (*read)(void *state, int32_t index, struct kv_bin *bin);
    const struct kv_plant *plant;
};

/* Of a sum over the samples of a bin their mean; NaN without samples. */
double kv_bin_gauge(const struct kv_bin *b, double sum);
/* Means of what a tier holds in a bin, in chunks, of the first tier blocks: pinned or referenced, evictable, free
 * (NaN: unlimited); and the share of it that is held. */
struct kv_tier_gauge { double active, inactive, free, share; };
struct kv_tier_gauge kv_bin_tier(const struct kv_plant *plant, const struct kv_bin *b, int32_t tier);

void kv_bins_write(struct kv_h5 *f, const struct kv_bins *bins);

#endif

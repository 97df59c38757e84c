/* SPDX-License-Identifier: Apache-2.0 */
/* /timeseries, and what the bins say about the run as a whole. */
#ifndef KV_OUT_BINS_H
#define KV_OUT_BINS_H

#include "sim/iface/record.h"
#include "sim/out/h5.h"

/* The bins of a run, from wherever they lie. */
struct kv_bins {
    void *state;
    int32_t count, instance_count;
    void (*read)(void *state, int32_t index, struct kv_bin *bin);
};

/* Does the cluster keep up? From the queue between the warm-up and the last arrival:
 *   OVERLOADED   the queue grows, on a least-squares line, by more than 5 % of the arrivals (and by 10 requests)
 *   BACKLOGGED   it does not, but on average more requests wait than run
 *   STABLE       neither
 *   UNKNOWN      fewer than 4 bins to look at */
enum kv_saturation { KV_STABLE, KV_BACKLOGGED, KV_OVERLOADED, KV_SATURATION_UNKNOWN, KV_SATURATION_COUNT };
extern const char *const kv_saturation_names[KV_SATURATION_COUNT];

/* NaN without bins. */
struct kv_bins_view {
    enum kv_saturation saturation;
    double backlog_slope_per_s;              /* requests a second */
    double waiting_mean, running_mean;       /* over the same window */
    double kv_utilization_mean, kv_utilization_peak;   /* referenced blocks of all; mean over time, peak over bins */
    double gpu_busy_frac;                    /* mean over instances */
};
/* Window in ticks: [from_tk, to_tk]. */
struct kv_bins_view kv_bins_look(const struct kv_bins *bins, kv_tick from_tk, kv_tick to_tk);

/* `tier`: names of the tiers, from the fastest; at least one. */
void kv_bins_write(struct kv_h5 *f, const struct kv_bins *bins, const char *const *tier, int32_t tier_count);

#endif

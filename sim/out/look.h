/* SPDX-License-Identifier: Apache-2.0 */
/* What the bins say about a run as a whole: does the cluster keep up, how full is what, and what sets the limit. */
#ifndef KV_OUT_LOOK_H
#define KV_OUT_LOOK_H

#include "sim/base/arena.h"
#include "sim/out/bins.h"

/* Does the cluster keep up? From the backlog, which is the requests that wait and those that wait for their KV,
 * between the warm-up and the last arrival:
 *   OVERLOADED   it grows, on a least-squares line, by more than 5 % of the arrivals (and by 10 requests)
 *   BACKLOGGED   it does not, but on average it is more requests than run
 *   STABLE       neither
 *   UNKNOWN      fewer than 4 bins to look at */
enum kv_saturation { KV_STABLE, KV_BACKLOGGED, KV_OVERLOADED, KV_SATURATION_UNKNOWN, KV_SATURATION_COUNT };
extern const char *const kv_saturation_names[KV_SATURATION_COUNT];

/* Chunks (of the first tier blocks) and shares of the tier; NaN without bins, shares also of an unlimited tier. */
struct kv_tier_view { double used_mean, used_peak, occupancy_mean, occupancy_peak; };
/* `still_since_tk`: at the end flows wait on the link, and none of them moved since then; -1: not so, or only because
 * another link of theirs can carry nothing. */
struct kv_link_view { double util_peak, flows_mean, flows_peak; kv_tick still_since_tk; };

/* NaN without bins. */
struct kv_bins_view {
    enum kv_saturation saturation;
    double backlog_slope_per_s;              /* requests a second */
    double waiting_mean, fetching_mean, running_mean;  /* over the same window */
    double kv_utilization_mean, kv_utilization_peak;   /* referenced blocks of all; mean over time, peak over bins */
    double gpu_busy_frac;                    /* mean over instances */
    struct kv_tier_view tier[KV_TIERS_MAX];
    struct kv_link_view *link;               /* arena; one a link */
    const char **limit;                      /* arena; what is at its limit in that window, in words */
    int32_t limit_count;
};
/* Window in ticks: [from_tk, to_tk]. */
struct kv_bins_view kv_bins_look(const struct kv_bins *bins, kv_tick from_tk, kv_tick to_tk, struct kv_arena *arena);

#endif

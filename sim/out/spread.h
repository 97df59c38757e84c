/* SPDX-License-Identifier: Apache-2.0 */
/* A distribution of durations: mean, percentiles, maximum.
 *
 * Exact: every value is kept (8 bytes) and percentiles interpolate linearly between neighbours, as
 * numpy.percentile does. Otherwise an integer log-linear histogram stands for the values: percentiles are the
 * upper edge of their bucket, within 0.1 %; mean and maximum stay exact. */
#ifndef KV_OUT_SPREAD_H
#define KV_OUT_SPREAD_H

#include <stdbool.h>

#include "sim/base/hist.h"
#include "sim/base/tick.h"

struct kv_spread {
    bool exact;
    KV_VEC(uint64_t) bits;     /* exact: the values but for zeros; non-negative doubles sort like their bits */
    size_t zeros;              /* exact: many a run has no stall at all, which need not take memory */
    struct kv_hist hist;       /* else: the values as whole numbers */
    int64_t count;
    double sum, max;
};

/* In the unit of the values. NaN where there is no value. p99_low..p99_high holds the true 99th percentile with
 * 95 % confidence (order statistics, normal approximation of the binomial); NaN for histograms. */
struct kv_spread_view { int64_t count; double mean, p50, p90, p95, p99, max, p99_low, p99_high; };

void kv_spread_open(struct kv_spread *s, bool exact);
void kv_spread_add(struct kv_spread *s, double value);   /* >= 0 */
struct kv_spread_view kv_spread_end(struct kv_spread *s);
void kv_spread_close(struct kv_spread *s);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Exact statistics of whole numbers >= 0 in bounded memory: a counter for every value below 2^20, a list of the
 * larger ones (rare in what is counted here: token lengths, turns). Percentiles are numpy.percentile's. */
#ifndef KV_LIB_TALLY_H
#define KV_LIB_TALLY_H

#include <stdbool.h>

#include "sim/base/arena.h"
#include "sim/base/tick.h"

#define KV_TALLY_COUNTED (INT64_C(1) << 20)

struct kv_tally {
    KV_VEC(int64_t) times;    /* times[v] = how often v came */
    KV_VEC(int64_t) large;
    bool sorted;              /* large is in order */
    int64_t count, min, max;
    kv_cost sum;
};

/* A zeroed struct is empty. */
void kv_tally_add(struct kv_tally *t, int64_t value);
double kv_tally_mean(const struct kv_tally *t);                 /* 0 when empty */
/* percent in 0..100; linear interpolation at percent/100 * (n - 1); 0 when empty. */
double kv_tally_percentile(struct kv_tally *t, double percent);
void kv_tally_close(struct kv_tally *t);

#endif

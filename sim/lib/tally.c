/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/lib/tally.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void kv_tally_add(struct kv_tally *t, int64_t value)
{
    if (t->count++ == 0) t->min = t->max = value;
    if (value < t->min) t->min = value;
    if (value > t->max) t->max = value;
    t->sum += value;
    if (value >= KV_TALLY_COUNTED) {
        kv_vec_push(&t->large, value);
        t->sorted = false;
        return;
    }
    size_t index = (size_t)value;
    if (index >= t->times.count) {
        kv_vec_reserve(&t->times, index + 1);
        memset(t->times.at + t->times.count, 0, (index + 1 - t->times.count) * sizeof *t->times.at);
        t->times.count = index + 1;
    }
    t->times.at[index]++;
}

double kv_tally_mean(const struct kv_tally *t)
{
    return t->count ? (double)t->sum / (double)t->count : 0;
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The value of that rank, from 0. */
static int64_t value_at(const struct kv_tally *t, int64_t rank)
{
    for (size_t v = 0; v < t->times.count; v++) {
        if (rank < t->times.at[v]) return (int64_t)v;
        rank -= t->times.at[v];
    }
    return t->large.at[rank];
}

double kv_tally_percentile(struct kv_tally *t, double percent)
{
    if (t->count == 0) return 0;
    if (!t->sorted) {
        if (t->large.count) qsort(t->large.at, t->large.count, sizeof *t->large.at, compare);
        t->sorted = true;
    }
    double place = percent / 100 * (double)(t->count - 1);
    int64_t below = (int64_t)floor(place);
    double low = (double)value_at(t, below);
    double high = below + 1 < t->count ? (double)value_at(t, below + 1) : low;
    return low + (place - (double)below) * (high - low);
}

void kv_tally_close(struct kv_tally *t)
{
    kv_vec_close(&t->times);
    kv_vec_close(&t->large);
}

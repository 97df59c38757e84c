/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/out/spread.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/err.h"

void kv_spread_open(struct kv_spread *s, bool exact)
{
    *s = (struct kv_spread){.exact = exact};
}

void kv_spread_close(struct kv_spread *s)
{
    kv_vec_close(&s->bits);
    kv_hist_close(&s->hist);
}

void kv_spread_add(struct kv_spread *s, double value)
{
    uint64_t bits;
    kv_assert(value >= 0);
    if (s->exact && value == 0) {
        s->zeros++;
    } else if (s->exact) {
        memcpy(&bits, &value, sizeof bits);
        kv_vec_push(&s->bits, bits);
    } else {
        kv_hist_add(&s->hist, (int64_t)(value + 0.5));
    }
    s->count++;
    s->sum += value;
    if (value > s->max) s->max = value;
}

/* ---- order statistics ---- */

/* Sorts at[] with `other` as room, least significant byte first; bytes that are the same everywhere are skipped. */
static void radix_sort(uint64_t *at, uint64_t *other, size_t count)
{
    uint64_t *from = at, *to = other;
    for (int digit = 0; digit < 8; digit++) {
        size_t place[256] = {0}, start = 0;
        for (size_t i = 0; i < count; i++) place[from[i] >> 8 * digit & 255]++;
        if (place[from[0] >> 8 * digit & 255] == count) continue;
        for (int i = 0; i < 256; i++) {
            size_t here = place[i];
            place[i] = start;
            start += here;
        }
        for (size_t i = 0; i < count; i++) to[place[from[i] >> 8 * digit & 255]++] = from[i];
        uint64_t *swap = from;
        from = to;
        to = swap;
    }
    if (from != at) memcpy(at, from, count * sizeof *at);
}

#define BUCKETS_MAX 65536

/* Some values a bucket are enough; more buckets than that would only have to be cleared. */
static int bucket_count(size_t values)
{
    int count = 256;
    while (count < BUCKETS_MAX && (size_t)count < 2 * values) count *= 2;
    return count;
}

/* Values at ascending `rank`s (from 0) of the sorted order: deals the values into buckets by their leading bits and
 * sorts only the buckets that hold a rank. Doubles' bits are nearly a logarithm, so buckets are fine whatever the
 * scale; the worst case is one radix sort of everything. */
static void order_statistics(const uint64_t *at, size_t count, const size_t *rank, int ranks, uint64_t *value)
{
    uint64_t least = at[0], most = at[0];
    for (size_t i = 1; i < count; i++) {
        if (at[i] < least) least = at[i];
        if (at[i] > most) most = at[i];
    }
    int shift = 0, buckets = bucket_count(count);
    while ((most - least) >> shift >= (uint64_t)buckets) shift++;
    size_t *bucket = kv_mem_take((size_t)buckets * sizeof *bucket);
    for (size_t i = 0; i < count; i++) bucket[(at[i] - least) >> shift]++;

    /* bucket[b] becomes where its values are gathered, or SIZE_MAX when nobody asks for them. */
    struct { size_t gathered, first_rank, count; } part[16];
    int parts = 0;
    size_t below = 0, gathered = 0;
    for (int b = 0, r = 0; b < buckets; b++) {
        size_t here = bucket[b];
        bucket[b] = SIZE_MAX;
        if (r < ranks && rank[r] < below + here) {
            part[parts].gathered = bucket[b] = gathered;
            part[parts].first_rank = below;
            part[parts++].count = here;
            gathered += here;
            while (r < ranks && rank[r] < below + here) r++;
        }
        below += here;
    }
    uint64_t *room = kv_mem_take(2 * gathered * sizeof *room);
    for (size_t i = 0; i < count; i++) {
        size_t *to = &bucket[(at[i] - least) >> shift];
        if (*to != SIZE_MAX) room[(*to)++] = at[i];
    }
    for (int p = 0, r = 0; p < parts; p++) {
        radix_sort(room + part[p].gathered, room + gathered, part[p].count);
        for (; r < ranks && rank[r] < part[p].first_rank + part[p].count; r++) {
            value[r] = room[part[p].gathered + rank[r] - part[p].first_rank];
        }
    }
    kv_mem_give(room, 2 * gathered * sizeof *room);
    kv_mem_give(bucket, (size_t)buckets * sizeof *bucket);
}

/* ---- percentiles ---- */

enum { AT_P50, AT_P90, AT_P95, AT_P99, AT_COUNT };
static const double fraction[AT_COUNT] = {0.50, 0.90, 0.95, 0.99};
/* With more values than this the confidence interval of p99 is of no interest (ux.md 4.1). */
#define CONFIDENCE_COUNT_MAX 10000

/* numpy's linear interpolation, operation for operation (numpy/lib/function_base.py, _lerp). */
static double between(double low, double high, double t)
{
    return t >= 0.5 ? high - (high - low) * (1 - t) : low + (high - low) * t;
}

static int by_rank(const void *a, const void *b)
{
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return (x > y) - (x < y);
}

static double value_at(const size_t *rank, const uint64_t *bits, int ranks, size_t wanted)
{
    double value = (double)NAN;
    for (int i = 0; i < ranks; i++) {
        if (rank[i] == wanted) memcpy(&value, &bits[i], sizeof value);
    }
    return value;
}

/* Ranks between which the true quantile lies with 95 % confidence: n q -+ 1.96 sqrt(n q (1 - q)). */
static void confidence_ranks(size_t count, double q, size_t *low, size_t *high)
{
    double n = (double)count, middle = n * q, half = 1.96 * sqrt(n * q * (1 - q));
    double first = floor(middle - half) - 1, last = ceil(middle + half);   /* ranks count from 0 */
    *low = first < 0 ? 0 : (size_t)first;
    *high = last > n - 1 ? count - 1 : (size_t)last;
}

/* Bits of the values at ascending ranks: zeros come first. */
static void ranked_values(const struct kv_spread *s, const size_t *rank, int ranks, uint64_t *value)
{
    size_t among_others[2 * AT_COUNT + 2];
    int of_zeros = 0;
    for (; of_zeros < ranks && rank[of_zeros] < s->zeros; of_zeros++) value[of_zeros] = 0;
    for (int i = of_zeros; i < ranks; i++) among_others[i] = rank[i] - s->zeros;
    if (of_zeros == ranks) return;
    order_statistics(s->bits.at, s->bits.count, among_others + of_zeros, ranks - of_zeros, value + of_zeros);
}

static void exact_percentiles(const struct kv_spread *s, struct kv_spread_view *view)
{
    size_t count = (size_t)s->count, low[AT_COUNT], rank[2 * AT_COUNT + 2], confident[2] = {0, 0};
    uint64_t value[2 * AT_COUNT + 2];
    double *const percentile[AT_COUNT] = {&view->p50, &view->p90, &view->p95, &view->p99};
    int ranks = 0;
    for (int i = 0; i < AT_COUNT; i++) {
        low[i] = (size_t)(fraction[i] * (double)(count - 1));
        rank[ranks++] = low[i];
        rank[ranks++] = low[i] + 1 < count ? low[i] + 1 : low[i];
    }
    bool confidence = count < CONFIDENCE_COUNT_MAX;
    if (confidence) {
        confidence_ranks(count, fraction[AT_P99], &confident[0], &confident[1]);
        rank[ranks++] = confident[0];
        rank[ranks++] = confident[1];
    }
    qsort(rank, (size_t)ranks, sizeof *rank, by_rank);
    ranked_values(s, rank, ranks, value);
    for (int i = 0; i < AT_COUNT; i++) {
        size_t next = low[i] + 1 < count ? low[i] + 1 : low[i];
        *percentile[i] = between(value_at(rank, value, ranks, low[i]), value_at(rank, value, ranks, next),
                                 fraction[i] * (double)(count - 1) - (double)low[i]);
    }
    if (confidence) {
        view->p99_low = value_at(rank, value, ranks, confident[0]);
        view->p99_high = value_at(rank, value, ranks, confident[1]);
    }
}

struct kv_spread_view kv_spread_end(struct kv_spread *s)
{
    double none = (double)NAN;
    struct kv_spread_view view = {s->count, none, none, none, none, none, none, none, none};
    if (!s->count) return view;
    view.mean = s->sum / (double)s->count;
    view.max = s->max;
    double *const percentile[AT_COUNT] = {&view.p50, &view.p90, &view.p95, &view.p99};
    for (int i = 0; i < AT_COUNT && !s->exact; i++) {
        double edge = (double)kv_hist_quantile(&s->hist, fraction[i]);
        *percentile[i] = edge < s->max ? edge : s->max;
    }
    if (s->exact) exact_percentiles(s, &view);
    return view;
}

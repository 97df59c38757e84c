/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/base/hist.h"

#include <math.h>

#include "sim/base/err.h"

#define FINE_BITS 10
#define LINEAR ((int64_t)2 << FINE_BITS)   /* values below have a bucket each */

/* Octave [2^e, 2^(e+1)) with e > FINE_BITS keeps the FINE_BITS bits behind the leading one. Buckets of octave
 * FINE_BITS + s start at (s + 1) << FINE_BITS, which joins on to the linear part. */
static size_t bucket_of(int64_t value)
{
    int shift = 0;
    while (value >> shift >= LINEAR) shift++;
    return ((size_t)shift << FINE_BITS) + (size_t)(value >> shift);
}

static int64_t greatest_of(size_t bucket)
{
    if (bucket < (size_t)LINEAR) return (int64_t)bucket;
    int shift = (int)(bucket >> FINE_BITS) - 1;
    int64_t mantissa = (int64_t)(bucket - ((size_t)shift << FINE_BITS));
    return (mantissa << shift) | (((int64_t)1 << shift) - 1);
}

static void cover(struct kv_hist *h, size_t buckets)
{
    kv_vec_reserve(&h->bucket, buckets);
    while (h->bucket.count < buckets) h->bucket.at[h->bucket.count++] = 0;
}

void kv_hist_add(struct kv_hist *h, int64_t value)
{
    kv_assert(value >= 0);
    size_t bucket = bucket_of(value);
    cover(h, bucket + 1);
    h->bucket.at[bucket]++;
    h->count++;
}

void kv_hist_merge(struct kv_hist *into, const struct kv_hist *from)
{
    cover(into, from->bucket.count);
    for (size_t i = 0; i < from->bucket.count; i++) into->bucket.at[i] += from->bucket.at[i];
    into->count += from->count;
}

int64_t kv_hist_quantile(const struct kv_hist *h, double q)
{
    kv_assert(q >= 0 && q <= 1);
    /* The factor takes back the product's rounding: 0.07 of 100 values is the 7th, not the 8th. */
    int64_t rank = (int64_t)ceil(q * (double)h->count * (1 - 0x1p-50)), below = 0;
    if (rank < 1) rank = 1;
    for (size_t i = 0; i < h->bucket.count; i++) {
        below += h->bucket.at[i];
        if (below >= rank) return greatest_of(i);
    }
    return -1;
}

void kv_hist_close(struct kv_hist *h)
{
    kv_vec_close(&h->bucket);
    h->count = 0;
}

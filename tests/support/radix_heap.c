/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/radix_heap.h"

#include "sim/base/err.h"

static kv_u128 number(const struct kv_heap_key *key)
{
    return (kv_u128)(uint64_t)key->due << 64 | key->order;
}

static int bucket_of(kv_u128 key, kv_u128 last)
{
    int bucket = 0;
    for (kv_u128 differs = key ^ last; differs; differs >>= 1) bucket++;
    return bucket;
}

void kv_radix_push(struct kv_radix_heap *h, struct kv_heap_key key)
{
    kv_assert(key.due >= 0 && number(&key) >= h->last);
    kv_vec_push(&h->bucket[bucket_of(number(&key), h->last)], key);
    h->count++;
}

bool kv_radix_pop(struct kv_radix_heap *h, struct kv_heap_key *key)
{
    if (h->count == 0) return false;
    if (h->bucket[0].count == 0) {
        int b = 1;
        while (h->bucket[b].count == 0) b++;
        kv_u128 least = number(&h->bucket[b].at[0]);
        for (size_t i = 1; i < h->bucket[b].count; i++)
            if (number(&h->bucket[b].at[i]) < least) least = number(&h->bucket[b].at[i]);
        h->last = least;
        /* All keys of b share its bit with the new `last`, so each moves to a lower bucket. */
        for (size_t i = 0; i < h->bucket[b].count; i++) {
            struct kv_heap_key moved = h->bucket[b].at[i];
            kv_vec_push(&h->bucket[bucket_of(number(&moved), least)], moved);
        }
        h->bucket[b].count = 0;
    }
    *key = h->bucket[0].at[--h->bucket[0].count];
    h->count--;
    return true;
}

void kv_radix_close(struct kv_radix_heap *h)
{
    for (int b = 0; b < KV_RADIX_BUCKETS; b++) kv_vec_close(&h->bucket[b]);
}

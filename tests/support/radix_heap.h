/* SPDX-License-Identifier: Apache-2.0 */
/* Radix heap (Ahuja, Mehlhorn, Orlin, Tarjan, J. ACM 1990) of 128-bit keys: a second opinion on sim/engine/heap. It
 * is monotone, so a key must not be smaller than the last one popped, and it can neither move nor remove a key. */
#ifndef KV_TESTS_SUPPORT_RADIX_HEAP_H
#define KV_TESTS_SUPPORT_RADIX_HEAP_H

#include "sim/base/tick.h"
#include "sim/engine/heap.h"

#define KV_RADIX_BUCKETS 129

/* Bucket b > 0 holds the keys whose highest bit that differs from `last` is bit b - 1; bucket 0 those equal to it. */
struct kv_radix_heap {
    struct { struct kv_heap_key *at; size_t count, capacity; } bucket[KV_RADIX_BUCKETS];
    kv_u128 last;
    size_t count;
};

void kv_radix_push(struct kv_radix_heap *h, struct kv_heap_key key);   /* key.due >= 0 */
bool kv_radix_pop(struct kv_radix_heap *h, struct kv_heap_key *key);   /* false when empty */
void kv_radix_close(struct kv_radix_heap *h);

#endif

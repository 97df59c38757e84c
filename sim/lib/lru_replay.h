/* SPDX-License-Identifier: Apache-2.0 */
/* What a prefix cache would have hit, from the block ids of a trace alone: several LRU capacities in one pass, and
 * the infinite cache. The reference rule (../shared/traces/README.md), for requests in file order:
 *
 *   1. count the leading blocks that are present, stopping at the first absent one: these are the hits;
 *   2. then touch or insert every block of the request, evicting the least recently used block whenever more than
 *      the capacity are held. Root first touches in list order, so that heads of prefixes get old first; leaf
 *      first in reverse.
 *
 * No pinning, no generated tokens, no time: cache-only figures, never those of a serving run. Hit tokens of a
 * request are min(matched blocks * block size, prompt). */
#ifndef KV_LIB_LRU_REPLAY_H
#define KV_LIB_LRU_REPLAY_H

#include <stdbool.h>

#include "sim/base/ilist.h"
#include "sim/base/map.h"

struct kv_hits {
    int64_t blocks, tokens;
    double ratio_sum;           /* of hit tokens / prompt tokens over requests */
};

struct kv_lru {
    int64_t capacity;           /* blocks, >= 1 */
    struct kv_hits hits;
    /* private */
    struct kv_ilinks links;
    struct kv_ilist order;      /* head = oldest */
    KV_VEC(bool) present;
    int64_t held;
};

struct kv_lru_replay {
    struct kv_map index_of;     /* block -> dense index in order of appearance */
    KV_VEC(uint32_t) request;   /* indexes of the current request */
    struct kv_lru *lru;
    int32_t lru_count;
    bool leaf_first;
    struct kv_hits infinite;
    int64_t requests, blocks, unique, tokens;   /* requests: with at least one prompt token */
};

void kv_lru_replay_open(struct kv_lru_replay *r, const int64_t *capacities, int32_t count, bool leaf_first);
/* Ids of different `scope`s never name the same block; 0 where ids are global. */
void kv_lru_replay_request(struct kv_lru_replay *r, const uint64_t *ids, int64_t ids_count, uint64_t scope,
                           int64_t block_tokens, int64_t input_tokens);
void kv_lru_replay_close(struct kv_lru_replay *r);

#endif

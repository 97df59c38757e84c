/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/lib/lru_replay.h"

#include <string.h>

#include "sim/base/rng.h"

void kv_lru_replay_open(struct kv_lru_replay *r, const int64_t *capacities, int32_t count, bool leaf_first)
{
    *r = (struct kv_lru_replay){.lru_count = count, .leaf_first = leaf_first};
    kv_map_open(&r->index_of, 1 << 16);
    if (count == 0) return;
    r->lru = kv_mem_take((size_t)count * sizeof *r->lru);
    for (int32_t i = 0; i < count; i++) r->lru[i] = (struct kv_lru){.capacity = capacities[i], .order = KV_ILIST_EMPTY};
}

void kv_lru_replay_close(struct kv_lru_replay *r)
{
    for (int32_t i = 0; i < r->lru_count; i++) {
        kv_vec_close(&r->lru[i].links);
        kv_vec_close(&r->lru[i].present);
    }
    if (r->lru) kv_mem_give(r->lru, (size_t)r->lru_count * sizeof *r->lru);
    kv_map_close(&r->index_of);
    kv_vec_close(&r->request);
}

static void count_hits(struct kv_hits *hits, int64_t matched, int64_t block_tokens, int64_t input_tokens)
{
    int64_t tokens = matched * block_tokens < input_tokens ? matched * block_tokens : input_tokens;
    hits->blocks += matched;
    hits->tokens += tokens;
    if (input_tokens > 0) hits->ratio_sum += (double)tokens / (double)input_tokens;
}

static void touch(struct kv_lru *c, uint32_t block)
{
    if (c->present.at[block]) {
        kv_ilist_unlink(&c->order, &c->links, block);
    } else {
        c->present.at[block] = true;
        c->held++;
    }
    kv_ilist_push_tail(&c->order, &c->links, block);
    if (c->held > c->capacity) {
        uint32_t oldest = c->order.head;
        kv_ilist_unlink(&c->order, &c->links, oldest);
        c->present.at[oldest] = false;
        c->held--;
    }
}

/* Slots for every block seen so far. */
static void cover(struct kv_lru *c, size_t blocks)
{
    if (blocks <= c->present.count) return;
    kv_vec_reserve(&c->present, blocks);
    memset(c->present.at + c->present.count, 0, (blocks - c->present.count) * sizeof *c->present.at);
    c->present.count = blocks;
    kv_ilinks_cover(&c->links, (uint32_t)blocks - 1);
}

void kv_lru_replay_request(struct kv_lru_replay *r, const uint64_t *ids, int64_t ids_count, uint64_t scope,
                           int64_t block_tokens, int64_t input_tokens)
{
    int64_t known = r->unique, matched = 0;
    r->request.count = 0;
    for (int64_t i = 0; i < ids_count; i++) {
        uint64_t key = scope ? kv_mix64_pair(scope, ids[i]) : kv_mix64(ids[i]);
        uint32_t index = kv_map_get(&r->index_of, key);
        if (index == KV_NONE) kv_map_put(&r->index_of, key, index = (uint32_t)r->unique++);
        if (index < known && matched == i) matched++;
        kv_vec_push(&r->request, index);
    }
    r->requests += input_tokens > 0;
    r->blocks += ids_count;
    r->tokens += input_tokens;
    count_hits(&r->infinite, matched, block_tokens, input_tokens);
    for (int32_t c = 0; c < r->lru_count; c++) {
        struct kv_lru *lru = &r->lru[c];
        cover(lru, (size_t)r->unique);
        for (matched = 0; matched < ids_count && lru->present.at[r->request.at[matched]];) matched++;
        count_hits(&lru->hits, matched, block_tokens, input_tokens);
        for (int64_t i = 0; i < ids_count; i++) {
            touch(lru, r->request.at[r->leaf_first ? ids_count - 1 - i : i]);
        }
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The oracle's KV blocks: one object a block (docs/engine.md, rules 14 to 21). */
#ifndef KV_TESTS_ORACLE_NAIVE_BLOCKS_H
#define KV_TESTS_ORACLE_NAIVE_BLOCKS_H

#include "sim/base/arena.h"
#include "sim/base/map.h"
#include "sim/iface/record.h"
#include "sim/iface/request.h"

/* registered: its key leads to it. own: the key is unique to (request, index), rule 15. output: it holds a generated
 * token of the request that registered it. load: it is being loaded by that (T7). */
struct load;
struct naive_block {
    int64_t refs;
    bool registered, own, output;
    uint64_t key;
    struct load *load;
    int64_t first_unreferenced, last_unreferenced;   /* order stamps; first = 0: never since registered */
};

struct naive_candidate { int64_t stamp; uint32_t block; };
struct naive_evicted { uint64_t key; bool own, output; };

struct naive_pool {
    int64_t capacity, block_tokens;
    bool caching, fifo;
    KV_VEC(struct naive_block) blocks;       /* made when first needed */
    KV_VEC(uint32_t) freed;                  /* blocks that were used before and are free again */
    int64_t evictable;
    int64_t now;                             /* stamps handed out */
    /* Binary heap of evictable blocks by stamp. Entries go stale when a block is referenced again or dropped and
     * are skipped when they come up: a stamp names one stay among the evictable ones (fifo: one registration). */
    KV_VEC(struct naive_candidate) candidates;
    struct kv_map shared_keys, own_keys;     /* key -> block */
    KV_VEC(struct naive_evicted) evicted;    /* in order, since somebody emptied it (T22) */
    struct kv_counters *counters;
};

void naive_pool_open(struct naive_pool *p, int64_t capacity, int64_t block_tokens, bool caching, bool fifo,
                     struct kv_counters *counters);
void naive_pool_close(struct naive_pool *p);
int64_t naive_pool_free(const struct naive_pool *p);
static inline int64_t naive_pool_available(const struct naive_pool *p) { return naive_pool_free(p) + p->evictable; }

/* Block that holds block `index` of a request, KV_NONE. `shared_count`: its blocks with a shared key (rule 15). */
uint32_t naive_pool_find(const struct naive_pool *p, const struct kv_request *request, int64_t shared_count,
                         int64_t index);
/* Rule 17. A fresh block with one reference. */
uint32_t naive_pool_take(struct naive_pool *p);
/* A hit: one more reference. */
void naive_pool_ref(struct naive_pool *p, uint32_t block);
/* Rule 18. False when the key is registered already: the block stays private. */
bool naive_pool_register(struct naive_pool *p, uint32_t block, uint64_t key, bool output);
/* A block in use is registered no more. */
void naive_pool_forget(struct naive_pool *p, uint32_t block);
/* Rule 20, one block: `own_key` != 0 registers a full own block (of `output`) if this was its last reference; `keep`
 * = false makes it free instead of evictable. Returns true when a registered block was forgotten. */
bool naive_pool_release(struct naive_pool *p, uint32_t block, uint64_t own_key, bool output, bool keep);
/* Rule 19: an evictable block becomes free. */
void naive_pool_drop(struct naive_pool *p, uint32_t block);
/* Unique for every (request, index): a bijection of request * 2^24 + index. */
uint64_t naive_own_key(int64_t request, int64_t index);

#endif

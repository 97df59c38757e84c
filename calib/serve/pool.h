/* SPDX-License-Identifier: Apache-2.0 */
/* Pages of KV in the memory of the GPU: who holds them, and which are cached under which key (docs/engine.md, rules 14
 * to 21, with lru). A page is free, or held by requests, or cached and unheld: then the next one taken may be it. */
#ifndef KV_CALIB_SERVE_POOL_H
#define KV_CALIB_SERVE_POOL_H

#include <stdbool.h>

#include "sim/base/ilist.h"
#include "sim/base/map.h"

struct kv_loop_page {
    uint64_t key;        /* when registered */
    int32_t holders;
    bool registered;     /* found under its key */
    bool own;            /* of one request alone: a key that nobody else asks for */
    int32_t load;        /* the load that brings it; -1: its KV was computed here */
};

struct kv_loop_pool {
    struct kv_loop_page *page;
    int32_t count;
    int32_t *free;             /* stack of free pages */
    int32_t free_count;
    struct kv_map by_key;
    struct kv_ilinks links;
    struct kv_ilist unheld;    /* cached pages that nobody holds, in the order in which they were let go */
    int32_t unheld_count;
    int64_t taken, evicted;
};

void kv_loop_pool_open(struct kv_loop_pool *p, int32_t pages);
void kv_loop_pool_close(struct kv_loop_pool *p);
/* Pages that can be taken now: free or unheld. */
static inline int32_t kv_loop_pool_room(const struct kv_loop_pool *p) { return p->free_count + p->unheld_count; }
/* The page registered under that key, or -1. */
int32_t kv_loop_pool_find(const struct kv_loop_pool *p, uint64_t key);
/* A page with one holder and no key: a free one, else the one let go longest ago, which is forgotten. There must be
 * room. */
int32_t kv_loop_pool_take(struct kv_loop_pool *p);
/* One holder more, one less. A page without holders that is registered stays cached, another becomes free. */
void kv_loop_pool_hold(struct kv_loop_pool *p, int32_t page);
void kv_loop_pool_let_go(struct kv_loop_pool *p, int32_t page);
/* From now on the page is found under the key, unless another one is already: false. */
bool kv_loop_pool_register(struct kv_loop_pool *p, int32_t page, uint64_t key, bool own);
/* It is found no longer; free when nobody holds it. */
void kv_loop_pool_forget(struct kv_loop_pool *p, int32_t page);

#endif

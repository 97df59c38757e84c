/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/serve/pool.h"

#include "sim/base/err.h"

void kv_loop_pool_open(struct kv_loop_pool *p, int32_t pages)
{
    *p = (struct kv_loop_pool){ .page = kv_mem_take((size_t)pages * sizeof *p->page), .count = pages,
                                .free = kv_mem_take((size_t)pages * sizeof *p->free), .unheld = KV_ILIST_EMPTY };
    kv_map_open(&p->by_key, (uint64_t)pages);
    kv_ilinks_cover(&p->links, (uint32_t)pages);
    while (pages > 0) p->free[p->free_count++] = --pages;
}

void kv_loop_pool_close(struct kv_loop_pool *p)
{
    kv_mem_give(p->page, (size_t)p->count * sizeof *p->page);
    kv_mem_give(p->free, (size_t)p->count * sizeof *p->free);
    kv_map_close(&p->by_key);
    kv_vec_close(&p->links);
}

int32_t kv_loop_pool_find(const struct kv_loop_pool *p, uint64_t key)
{
    uint32_t page = kv_map_get(&p->by_key, key);
    return page == KV_NONE ? -1 : (int32_t)page;
}

static void leave_unheld(struct kv_loop_pool *p, int32_t page)
{
    kv_ilist_unlink(&p->unheld, &p->links, (uint32_t)page);
    p->unheld_count--;
}

int32_t kv_loop_pool_take(struct kv_loop_pool *p)
{
    kv_assert(kv_loop_pool_room(p) > 0);
    if (p->free_count == 0) {
        kv_loop_pool_forget(p, (int32_t)p->unheld.head);
        p->evicted++;
    }
    int32_t page = p->free[--p->free_count];
    p->page[page] = (struct kv_loop_page){ .holders = 1, .load = -1 };
    p->taken++;
    return page;
}

void kv_loop_pool_hold(struct kv_loop_pool *p, int32_t page)
{
    if (p->page[page].holders++ == 0) leave_unheld(p, page);
}

void kv_loop_pool_let_go(struct kv_loop_pool *p, int32_t page)
{
    struct kv_loop_page *g = &p->page[page];
    kv_assert(g->holders > 0);
    if (--g->holders > 0) return;
    if (g->registered) {
        kv_ilist_push_tail(&p->unheld, &p->links, (uint32_t)page);
        p->unheld_count++;
    } else {
        p->free[p->free_count++] = page;
    }
}

bool kv_loop_pool_register(struct kv_loop_pool *p, int32_t page, uint64_t key, bool own)
{
    if (kv_map_get(&p->by_key, key) != KV_NONE) return false;
    kv_map_put(&p->by_key, key, (uint32_t)page);
    p->page[page].key = key;
    p->page[page].registered = true;
    p->page[page].own = own;
    return true;
}

void kv_loop_pool_forget(struct kv_loop_pool *p, int32_t page)
{
    struct kv_loop_page *g = &p->page[page];
    kv_assert(g->registered);
    kv_map_drop(&p->by_key, g->key);
    g->registered = false;
    if (g->holders > 0) return;
    leave_unheld(p, page);
    p->free[p->free_count++] = page;
}

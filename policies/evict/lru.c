/* SPDX-License-Identifier: Apache-2.0 */
/* Least recently used: the slot that was unpinned, inserted or hit longest ago leaves first. In a GPU pool
 * this is vLLM's free queue (semantics 19: order of unpinning). A pinned slot is simply not on the list.
 * O(1) per call. */
#include "sim/base/ilist.h"
#include "sim/iface/evict.h"

struct lru { struct kv_ilist order; struct kv_ilinks links; };   /* head = oldest */

static void open_state(void *state, const void *params, int64_t capacity_blocks)
{
    (void)params; (void)capacity_blocks;
    ((struct lru *)state)->order = KV_ILIST_EMPTY;
}

static void close_state(void *state)
{
    kv_vec_close(&((struct lru *)state)->links);
}

static void insert(void *state, uint32_t slot)
{
    struct lru *l = state;
    kv_ilinks_cover(&l->links, slot);
    kv_ilist_push_tail(&l->order, &l->links, slot);
}

static void pin(void *state, uint32_t slot)
{
    struct lru *l = state;
    kv_ilist_unlink(&l->order, &l->links, slot);
}

static void unpin(void *state, uint32_t slot)
{
    struct lru *l = state;
    kv_ilist_push_tail(&l->order, &l->links, slot);
}

static void hit(void *state, uint32_t slot)
{
    pin(state, slot);
    unpin(state, slot);
}

static uint32_t victim(void *state)
{
    return ((struct lru *)state)->order.head;
}

const struct kv_evict_ops kv_evict_lru = {
    .info = { .help = "least recently used: order of the last unpin, insert or hit",
              .source = "vLLM v1 free block queue (vllm/v1/core/kv_cache_utils.py)" },
    .state_bytes = sizeof(struct lru),
    .open = open_state, .close = close_state, .insert = insert, .hit = hit, .pin = pin, .unpin = unpin,
    .victim = victim, .remove = pin,
};

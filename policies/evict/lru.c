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

static void unpin_all(void *state, const uint32_t *slots, int32_t count)
{
    struct lru *l = state;
    for (int32_t i = 0; i < count; i++) kv_ilist_push_tail(&l->order, &l->links, slots[i]);
}

static void insert_all(void *state, const uint32_t *slots, int32_t count)
{
    struct lru *l = state;
    for (int32_t i = 0; i < count; i++) kv_ilinks_cover(&l->links, slots[i]);
    unpin_all(state, slots, count);
}

static void pin_all(void *state, const uint32_t *slots, int32_t count)
{
    struct lru *l = state;
    for (int32_t i = 0; i < count; i++) kv_ilist_unlink(&l->order, &l->links, slots[i]);
}

static void insert(void *state, uint32_t slot)
{
    insert_all(state, &slot, 1);
}

static void pin(void *state, uint32_t slot)
{
    pin_all(state, &slot, 1);
}

static void unpin(void *state, uint32_t slot)
{
    unpin_all(state, &slot, 1);
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

static int32_t victims(void *state, uint32_t *slots, int32_t want)
{
    const struct lru *l = state;
    int32_t named = 0;
    for (uint32_t slot = l->order.head; slot != KV_NONE && named < want; slot = l->links.at[slot].next)
        slots[named++] = slot;
    return named;
}

const struct kv_evict_ops kv_evict_lru = {
    .info = { .help = "least recently used: order of the last unpin, insert or hit",
              .source = "vLLM v1 free block queue (vllm/v1/core/kv_cache_utils.py)" },
    .state_bytes = sizeof(struct lru),
    .open = open_state, .close = close_state, .insert = insert, .hit = hit, .pin = pin, .unpin = unpin,
    .victim = victim, .remove = pin,
    .insert_all = insert_all, .pin_all = pin_all, .unpin_all = unpin_all, .remove_all = pin_all, .victims = victims,
};

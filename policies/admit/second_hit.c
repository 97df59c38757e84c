/* SPDX-License-Identifier: Apache-2.0 */
/* A chunk is written when it is proposed for the second time: what is used once only never reaches the tier. The last
 * `ghost_chunks` keys that were refused are remembered, in the order of their first proposal; one that is proposed
 * again is admitted and forgotten, and the oldest is forgotten when the list is full. O(1) per call; memory grows with
 * the keys remembered. */
#include "sim/base/ilist.h"
#include "sim/base/map.h"
#include "sim/iface/admit.h"

struct second_hit_params { int64_t ghost_chunks; };
static const struct kv_param params[] = {
    { "ghost_chunks", KV_DIM_COUNT, offsetof(struct second_hit_params, ghost_chunks), "65536", 1, 1 << 30, NULL,
      "keys of refused chunks that are remembered", "a convention: 16 Mi tokens in chunks of 256" },
    KV_PARAM_END
};

struct second_hit {
    struct kv_map slot_of;           /* by key */
    KV_VEC(uint64_t) key;            /* by slot */
    struct kv_ilist order, unused;   /* head = first proposed; slots that were used and are free */
    struct kv_ilinks links;
    int64_t ghost_max;
};

static void open_state(void *state, const void *given, int64_t capacity_chunks)
{
    (void)capacity_chunks;
    struct second_hit *s = state;
    s->ghost_max = ((const struct second_hit_params *)given)->ghost_chunks;
    s->order = s->unused = KV_ILIST_EMPTY;
    kv_map_open(&s->slot_of, 0);
}

static void close_state(void *state)
{
    struct second_hit *s = state;
    kv_map_close(&s->slot_of);
    kv_vec_close(&s->key);
    kv_vec_close(&s->links);
}

static void forget(struct second_hit *s, uint32_t slot)
{
    kv_map_drop(&s->slot_of, s->key.at[slot]);
    kv_ilist_unlink(&s->order, &s->links, slot);
    kv_ilist_push_tail(&s->unused, &s->links, slot);
}

static void remember(struct second_hit *s, uint64_t key)
{
    if (s->slot_of.count >= (uint64_t)s->ghost_max) forget(s, s->order.head);
    uint32_t slot = s->unused.head;
    if (slot == KV_NONE) {
        slot = (uint32_t)s->key.count;
        kv_vec_push(&s->key, key);
        kv_ilinks_cover(&s->links, slot);
    } else {
        kv_ilist_unlink(&s->unused, &s->links, slot);
        s->key.at[slot] = key;
    }
    kv_map_put(&s->slot_of, key, slot);
    kv_ilist_push_tail(&s->order, &s->links, slot);
}

static bool take(void *state, uint64_t key)
{
    struct second_hit *s = state;
    uint32_t slot = kv_map_get(&s->slot_of, key);
    if (slot == KV_NONE) remember(s, key);
    else forget(s, slot);
    return slot != KV_NONE;
}

const struct kv_admit_ops kv_admit_second_hit = {
    .info = { .help = "what is proposed for the second time",
              .source = "the doorkeeper of TinyLFU (Einziger et al., ACM TOS 2017)", .params = params,
              .params_bytes = sizeof(struct second_hit_params) },
    .state_bytes = sizeof(struct second_hit), .open = open_state, .close = close_state, .take = take,
};

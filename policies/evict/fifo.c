/* SPDX-License-Identifier: Apache-2.0 */
/* First in, first out: of the unpinned slots, the one first inserted longest ago leaves first. Hits and
 * pins do not renew a slot: after unpin it stands where it stood before.
 *
 * Slots never pinned stand in a list (stamps grow along it, all operations O(1)). A slot that comes back
 * from a pin belongs somewhere in the middle, so it waits in a binary heap by its old stamp instead; the
 * victim is the older of the two fronts. Heap calls are O(log returned slots). */
#include "sim/base/ilist.h"
#include "sim/iface/evict.h"

#define IN_LIST UINT32_MAX

struct place { uint64_t stamp; uint32_t heap_index; };   /* IN_LIST: on the list; meaningless while pinned */
struct entry { uint64_t stamp; uint32_t slot; };

struct fifo {
    struct kv_ilist fresh;         /* head = oldest */
    struct kv_ilinks links;
    KV_VEC(struct place) place;    /* by slot */
    KV_VEC(struct entry) back;     /* heap of returned slots, least stamp first */
    uint64_t inserted;             /* stamps handed out */
};

static void put(struct fifo *f, size_t i, struct entry e)
{
    f->back.at[i] = e;
    f->place.at[e.slot].heap_index = (uint32_t)i;
}

static void sift_up(struct fifo *f, size_t i, struct entry e)
{
    for (size_t up; i > 0 && f->back.at[up = (i - 1) / 2].stamp > e.stamp; i = up) put(f, i, f->back.at[up]);
    put(f, i, e);
}

static void sift_down(struct fifo *f, size_t i, struct entry e)
{
    for (size_t child; (child = 2 * i + 1) < f->back.count; i = child) {
        if (child + 1 < f->back.count && f->back.at[child + 1].stamp < f->back.at[child].stamp) child++;
        if (f->back.at[child].stamp > e.stamp) break;
        put(f, i, f->back.at[child]);
    }
    put(f, i, e);
}

static void open_state(void *state, const void *params, int64_t capacity_blocks)
{
    (void)params; (void)capacity_blocks;
    ((struct fifo *)state)->fresh = KV_ILIST_EMPTY;
}

static void close_state(void *state)
{
    struct fifo *f = state;
    kv_vec_close(&f->links);
    kv_vec_close(&f->place);
    kv_vec_close(&f->back);
}

static void insert(void *state, uint32_t slot)
{
    struct fifo *f = state;
    kv_ilinks_cover(&f->links, slot);
    kv_vec_reserve(&f->place, (size_t)slot + 1);
    f->place.at[slot] = (struct place){f->inserted++, IN_LIST};
    kv_ilist_push_tail(&f->fresh, &f->links, slot);
}

static void hit(void *state, uint32_t slot)
{
    (void)state; (void)slot;
}

/* Also `remove`: either way the slot stops being a candidate. */
static void pin(void *state, uint32_t slot)
{
    struct fifo *f = state;
    size_t i = f->place.at[slot].heap_index;
    if (i == IN_LIST) {
        kv_ilist_unlink(&f->fresh, &f->links, slot);
        return;
    }
    struct entry last = f->back.at[--f->back.count];
    if (i == f->back.count) return;
    if (i > 0 && last.stamp < f->back.at[(i - 1) / 2].stamp) sift_up(f, i, last);
    else sift_down(f, i, last);
}

static void unpin(void *state, uint32_t slot)
{
    struct fifo *f = state;
    struct entry e = {f->place.at[slot].stamp, slot};
    kv_vec_push(&f->back, e);
    sift_up(f, f->back.count - 1, e);
}

static uint32_t victim(void *state)
{
    const struct fifo *f = state;
    if (f->back.count == 0) return f->fresh.head;
    struct entry e = f->back.at[0];
    bool fresh_is_older = f->fresh.head != KV_NONE && f->place.at[f->fresh.head].stamp < e.stamp;
    return fresh_is_older ? f->fresh.head : e.slot;
}

const struct kv_evict_ops kv_evict_fifo = {
    .info = { .help = "first in, first out: order of the first insert, never renewed" },
    .state_bytes = sizeof(struct fifo),
    .open = open_state, .close = close_state, .insert = insert, .hit = hit, .pin = pin, .unpin = unpin,
    .victim = victim, .remove = pin,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* How loads end: whole, given up (T13), or cut short by a timeout (T14). */
#include "sim/serve/load_parts.h"

#include <string.h>

static void forget_load(struct kv_hold *hold, uint32_t load)
{
    size_t kept = 0;
    for (size_t i = 0; i < hold->loads.count; i++)
        if (hold->loads.at[i] != load) hold->loads.at[kept++] = hold->loads.at[i];
    hold->loads.count = kept;
}

/* ---- end ---------------------------------------------------------------------------------------------------- */

void kv_load_free(struct kv_tiers *t, uint32_t load)
{
    struct kv_load *l = kv_load_at(t, load);
    struct kv_slab *slab = &t->serve->slab;
    for (int32_t part = 0; part < l->part_count; part++) {
        struct kv_load_part *p = &l->part[part];
        if (p->access != KV_NONE) kv_access_drop(t, p->access);
        if (p->chunk_slot) kv_slab_give(slab, p->chunk_slot, (size_t)p->chunks * sizeof *p->chunk_slot);
        int32_t width = kv_load_width(t);
        if (p->get) kv_slab_give(slab, p->get, (size_t)width * sizeof *p->get);
        if (p->arrived) kv_slab_give(slab, p->arrived, (size_t)p->chunks);
    }
    if (l->block) kv_slab_give(slab, l->block, (size_t)l->block_count * sizeof *l->block);
    if (l->layer_tk) kv_slab_give(slab, l->layer_tk, (size_t)t->layers * sizeof *l->layer_tk);
    kv_vec_close(&l->waiters);
    kv_vec_close(&l->fills);
    kv_pool_give(&t->loads, load);
}

/* Whether all blocks of a fill, which the load brings, have arrived. */
static bool filled(const struct kv_tiers *t, const struct kv_load *l, const struct kv_fill *f)
{
    int32_t width = t->tier[f->pool->tier].blocks, first = f->chunk * width, low = 0, high = l->block_count;
    while (high - low > 1) {
        int32_t middle = (low + high) / 2;
        *(l->block[middle].block <= first ? &low : &high) = middle;
    }
    for (int32_t i = low; i < low + width; i++)
        if (!l->part[l->block[i].part].arrived[l->block[i].chunk]) return false;
    return true;
}

/* Fills become visible, or go when the load was cut short. */
enum end { END_WHOLE, END_MET, END_CUT };
static void end_fills(struct kv_tiers *t, struct kv_load *l, enum end end)
{
    for (size_t i = 0; i < l->fills.count; i++) {
        struct kv_fill f = l->fills.at[i];
        if (end == END_CUT || (end == END_MET && !filled(t, l, &f))) {
            kv_blocks_unref_forget(&f.pool->chunks, f.slot);
            continue;
        }
        kv_blocks_settle_all(&f.pool->chunks, &f.slot, 1);
        t->tier[f.pool->tier].counters->inserted_chunks++;
        t->tier[f.pool->tier].counters->filled_chunks++;
    }
}

/* Whether the content of a block of a load that ends is there. */
static bool has_arrived(const struct kv_load *l, const struct kv_load_block *b, const int64_t *whole_chunks)
{
    const struct kv_load_part *p = &l->part[b->part];
    if (b->block < l->computed_blocks) return true;
    return p->arrived ? p->arrived[b->chunk] : b->chunk < whole_chunks[b->part];
}

/* The load lets go of its blocks, last first; whole_chunks: by part, what has arrived (T14). What has not is held by
 * nobody else any more, unless a write reads it: then it was computed (T13). */
static void end_blocks(struct kv_load *l, const int64_t *whole_chunks)
{
    struct kv_blocks *blocks = &l->instance->blocks;
    for (int32_t i = l->block_count - 1; i >= 0; i--) {
        const struct kv_load_block *b = &l->block[i];
        if (has_arrived(l, b, whole_chunks) || kv_blocks_refs(blocks, b->slot) > 1) {
            kv_blocks_arrived(blocks, b->slot);
            kv_blocks_unref(blocks, b->slot);
        } else {
            kv_blocks_unref_forget(blocks, b->slot);
        }
    }
}

/* The load of an entry if its timeout still means something; NULL. */
static const struct kv_load *timed(const struct kv_tiers *t, const struct kv_pentry *entry)
{
    const struct kv_load *l = entry->value < t->loads.high ? kv_load_at(t, entry->value) : NULL;
    return l && l->live && (int64_t)l->serial == entry->tie && !l->joined ? l : NULL;
}

/* Only for what can still time out: a timer for nobody would be an event of the run. */
void kv_load_arm_timeouts(struct kv_tiers *t)
{
    while (t->timeouts.count > 0 && !timed(t, &t->timeouts.at[0])) kv_pqueue_pop(&t->timeouts);
    if (t->timeouts.count > 0) kv_timer_arm(t->serve->engine, t->timeout_timer, t->timeouts.at[0].key);
    else kv_timer_disarm(t->serve->engine, t->timeout_timer);
}

/* Nobody waits for it any more. */
static void dismiss(struct kv_tiers *t, uint32_t load)
{
    struct kv_load *l = kv_load_at(t, load);
    kv_load_release(t, load);
    for (size_t i = 0; i < l->waiters.count; i++) forget_load(kv_load_hold(t, l, l->waiters.at[i]), load);
    l->waiters.count = 0;
    bool used = l->users > 0;   /* then it is freed with its last user */
    kv_instance_load_ended(l->instance);
    if (!used) kv_load_free(t, load);
    kv_load_arm_timeouts(t);
}

void kv_load_complete(struct kv_tiers *t, uint32_t load)
{
    struct kv_load *l = kv_load_at(t, load);
    const int64_t all[KV_TIERS_MAX] = {INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX};
    l->live = false;
    kv_instance_settle(l->instance);
    end_fills(t, l, END_WHOLE);
    end_blocks(l, all);
    if (l->from) kv_handover_arrived(t->serve, l->owner);
    kv_log(t->serve->engine, "loaded", "request=%lld instance=%d blocks=%d",
           l->owner == KV_NONE ? -1LL : (long long)kv_seq_at(t->serve, l->owner)->request, l->instance->id,
           l->block_count);
    struct kv_instance *n = l->instance;
    dismiss(t, load);
    kv_instance_memory_freed(n);
}

/* Cancels those accesses of a part that wait for a turn, or those that do not; returns what they moved. Who waits
 * leaves the line first, so that nobody about to be cancelled gets a turn (T15). */
static int64_t drop_gets(struct kv_tiers *t, struct kv_load_part *p, bool that_wait)
{
    int64_t moved = 0;
    for (int32_t i = 0; i < kv_load_width(t); i++) {
        if (p->get[i].access == KV_NONE || kv_access_waits(t, p->get[i].access) != that_wait) continue;
        moved += kv_access_drop(t, p->get[i].access);
        p->get[i].access = KV_NONE;
    }
    return moved;
}

/* Cancels what is under way and says how many chunks of each part are whole. Bytes are wasted but for those. */
static void cancel_accesses(struct kv_tiers *t, struct kv_load *l, bool keep, int64_t *whole_chunks)
{
    for (int32_t part = 0; part < l->part_count; part++) {
        struct kv_load_part *p = &l->part[part];
        whole_chunks[part] = keep && p->over ? p->chunks : 0;
        if (p->over) continue;
        kv_fetch_end(t, p, true);
        int64_t moved = 0, whole = 0;
        if (p->access != KV_NONE) {
            moved = kv_access_drop(t, p->access);
            if (keep && !kv_load_layerwise(l, p)) whole = moved / t->tier[p->tier].read_bytes;
        }
        if (p->get) moved = drop_gets(t, p, true) + drop_gets(t, p, false);
        p->access = KV_NONE;
        whole_chunks[part] = whole;
        kv_load_count(t, l, p->tier, moved);
        t->tier[p->tier].counters->wasted_bytes
            += (moved - whole * t->tier[p->tier].read_bytes) * t->serve->config->tp;
        kv_load_leave_tier(l, p);
    }
}

/* T13: the last one that waited for it has left. */
static void abandon(struct kv_tiers *t, uint32_t load)
{
    struct kv_load *l = kv_load_at(t, load);
    int64_t none[KV_TIERS_MAX];
    l->live = false;
    t->serve->counters.fetch_cancels++;
    cancel_accesses(t, l, false, none);
    for (int32_t part = 0; part < l->part_count && !l->keeps_arrived; part++)
        if (l->part[part].arrived) memset(l->part[part].arrived, 0, (size_t)l->part[part].chunks);
    end_fills(t, l, END_CUT);
    l->owner = KV_NONE;
    end_blocks(l, none);
    dismiss(t, load);
}

void kv_load_leave(struct kv_tiers *t, uint32_t load, uint32_t seq)
{
    struct kv_load *l = kv_load_at(t, load);
    size_t kept = 0;
    for (size_t i = 0; i < l->waiters.count; i++)
        if (l->waiters.at[i] != seq) l->waiters.at[kept++] = l->waiters.at[i];
    l->waiters.count = kept;
    if (kept == 0 && l->live) {
        abandon(t, load);
        return;
    }
    if (l->owner == seq) l->owner = KV_NONE;
    l->keeps_arrived = false;   /* for others it goes on as any load */
    l->computed_blocks = 0;
}

/* ---- from the tail (T44) ------------------------------------------------------------------------------------ */

void kv_load_keep_arrived(struct kv_tiers *t, uint32_t load, int32_t computed_blocks)
{
    kv_load_at(t, load)->keeps_arrived = true;
    kv_load_at(t, load)->computed_blocks = computed_blocks;
}

void kv_load_meet(struct kv_tiers *t, uint32_t load)
{
    struct kv_load *l = kv_load_at(t, load);
    int64_t whole_chunks[KV_TIERS_MAX];
    l->live = false;
    l->computed_blocks = kv_load_meeting_block(l);
    cancel_accesses(t, l, false, whole_chunks);
    end_fills(t, l, END_MET);
    end_blocks(l, whole_chunks);
    dismiss(t, load);
}

/* ---- timeouts (T14) ----------------------------------------------------------------------------------------- */

static void cut(struct kv_tiers *t, uint32_t load)
{
    struct kv_load *l = kv_load_at(t, load);
    int64_t whole_chunks[KV_TIERS_MAX];
    l->live = false;
    t->serve->counters.fetch_timeouts++;
    kv_instance_settle(l->instance);
    cancel_accesses(t, l, true, whole_chunks);
    end_fills(t, l, END_CUT);
    while (l->waiters.count > 0) {
        uint32_t seq = l->waiters.at[l->waiters.count - 1];
        kv_seq_at(t->serve, seq)->hold->hbm_only = true;
        kv_instance_give_back(l->instance, seq);
    }
    end_blocks(l, whole_chunks);
    kv_log(t->serve->engine, "timeout", "instance=%d", l->instance->id);
    struct kv_instance *n = l->instance;
    dismiss(t, load);
    kv_instance_memory_freed(n);
}

/* Holders of a hand-over never give back (T13). */
static bool awaited_by_handover(const struct kv_tiers *t, const struct kv_load *l)
{
    for (size_t i = 0; i < l->waiters.count; i++) {
        const struct kv_seq *q = kv_seq_at(t->serve, l->waiters.at[i]);
        if (q->handover && q->handover->to == l->instance) return true;
    }
    return false;
}

void kv_load_timeouts(struct kv_tiers *t)
{
    kv_tick now = kv_engine_now(t->serve->engine);
    while (t->timeouts.count > 0 && t->timeouts.at[0].key <= now) {
        struct kv_pentry top = kv_pqueue_pop(&t->timeouts);
        const struct kv_load *l = timed(t, &top);
        if (l && !awaited_by_handover(t, l)) cut(t, top.value);
    }
    kv_load_arm_timeouts(t);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Loads cut short: given up because nobody waits for them any more (T13), or by a timeout (T14). */
#include <string.h>

#include "tests/oracle/naive_parts.h"

static bool waits_for(const struct seat *s, const struct load *load)
{
    if (s->beside == load) return true;
    for (size_t i = 0; i < s->waits.count; i++)
        if (s->waits.at[i] == load) return true;
    return false;
}

static void stop_waiting(struct seat *s, const struct load *load)
{
    if (s->beside == load) s->beside = NULL;
    for (size_t i = 0; i < s->waits.count; i++)
        if (s->waits.at[i] == load) s->waits.at[i--] = s->waits.at[--s->waits.count];
}

/* --- What has arrived when a load is cut --- */

/* Whole chunks of this part that stay after a timeout, in order; chunkwise: see `in`. */
static int64_t leading_chunks(const struct oracle *o, const struct load *load, const struct load_part *part)
{
    if (part->over) return (int64_t)part->index.count;
    if (load->mode != KV_DELIVERY_BULK) return 0;
    int64_t chunk = o->config->tier[part->pool->tier].chunk_tokens * naive_read_bytes(o, o->layers);
    return (int64_t)(part->accesses.at[0]->done / KV_SERVICE_PER_BYTE) / chunk;
}

static bool chunk_arrived(const struct oracle *o, const struct load *load, const struct load_part *part, size_t i)
{
    return (int64_t)i < leading_chunks(o, load, part) || (load->mode == KV_DELIVERY_CHUNKWISE && part->in.at[i]);
}

bool naive_block_arrived(const struct oracle *o, const struct load *load, const struct load_block *b)
{
    for (size_t p = 0; p < load->parts.count; p++) {
        const struct load_part *part = &load->parts.at[p];
        if (part->pool->tier != b->tier) continue;
        for (size_t i = 0; i < part->index.count; i++)
            if (part->index.at[i] == b->index / naive_chunk_blocks(o, b->tier)) return chunk_arrived(o, load, part, i);
    }
    kv_assert(!"every block of a load is in a chunk of one of its parts");
    return false;
}

/* --- Cutting --- */

static void cancel_read(struct oracle *o, struct load *load, struct load_part *part, struct access *a, bool keep)
{
    int64_t kept = 0, moved;
    int32_t tier = part->pool->tier;
    if (keep)
        kept = leading_chunks(o, load, part) * o->config->tier[tier].chunk_tokens * naive_read_bytes(o, o->layers);
    moved = naive_cancel(o, a);
    naive_count_read(o, load, tier, moved);
    o->counters->tier[tier].wasted_bytes += (moved - kept) * o->config->tp;
}

/* Accesses that have no turn leave first, so that no turn is passed on to one that is about to be cancelled. */
void naive_cancel_reads(struct oracle *o, struct load *load, bool keep)
{
    for (int pass = 0; pass < 2; pass++)
        for (size_t p = 0; p < load->parts.count; p++) {
            struct load_part *part = &load->parts.at[p];
            for (size_t i = 0; i < part->accesses.count; i++) {
                struct access *a = part->accesses.at[i];
                if (a->phase != OVER && (pass == 1 || a->phase < DELAYED)) cancel_read(o, load, part, a, keep);
            }
        }
    for (size_t p = 0; p < load->parts.count; p++) {
        if (load->parts.at[p].over) continue;
        naive_unpin_part(o, &load->parts.at[p]);
        naive_transfer_over(o, load->parts.at[p].transfer, true);
    }
}

/* A block that is referenced by more than the load is read by a write: it was computed. */
static void forget_missing(struct oracle *o, struct load *load, const bool *arrived)
{
    struct naive_pool *pool = &o->instances[load->instance].pool;
    for (size_t i = 0; i < load->blocks.count; i++) {
        uint32_t block = load->blocks.at[i].block;
        if (!arrived[i] && pool->blocks.at[block].refs == 1) naive_pool_forget(pool, block);
    }
}

static void cut_rest(struct oracle *o, struct load *load)
{
    naive_load_lets_go(o, load);
    for (size_t i = 0; i < load->fills.count; i++) naive_leave(load->fills.at[i].pool, load->fills.at[i].chunk);
    naive_wake_blocked(o, load->instance);
}

/* T13. */
/* `kept`: blocks below that stay, and whatever has arrived (T44); < 0: nothing does. */
static void cut_unwanted(struct oracle *o, struct load *load, int64_t kept)
{
    if (load->over || load->joined || load->timed_out) return;
    const struct instance *n = &o->instances[load->instance];
    for (size_t i = 0; i < n->holders.count; i++)
        if (waits_for(&o->seats[n->holders.at[i]], load)) return;
    kv_assert(!load->handover);
    bool *arrived = kv_arena_take(&o->arena, load->blocks.count);
    for (size_t i = 0; i < load->blocks.count; i++) {
        const struct load_block *b = &load->blocks.at[i];
        arrived[i] = kept >= 0 && (b->index < kept || naive_block_arrived(o, load, b));
    }
    naive_cancel_reads(o, load, false);
    forget_missing(o, load, arrived);
    cut_rest(o, load);
    o->counters->fetch_cancels++;
    naive_load_close(load);
}

void naive_leave_load(struct oracle *o, int64_t seat, struct load *load, int64_t computed)
{
    int64_t kept = o->seats[seat].beside == load ? computed / block_tokens(o) : -1;
    stop_waiting(&o->seats[seat], load);
    if (load->over) return;
    if (load->owner == seat) load->joined = false;
    cut_unwanted(o, load, kept);
    if (load->owner == seat) load->owner = -1;       /* what is cut because it leaves was still brought for it */
}

/* --- Giving back (T13) --- */

static void give_back(struct oracle *o, int64_t seat)
{
    struct instance *n = instance_of(o, seat);
    struct seat *s = &o->seats[seat];
    if (!s->ready) naive_wait_ends(o, seat);
    size_t at = 0;
    while (n->holders.at[at] != seat) at++;
    n->holders.count--;
    memmove(&n->holders.at[at], &n->holders.at[at + 1], (n->holders.count - at) * sizeof *n->holders.at);
    s->holder = s->ready = false;
    naive_release(o, seat, false);
    int64_t computed = s->computed;
    s->computed = 0;
    if (job_of(o, seat)->preempted_at >= 0) {      /* behind all others that were preempted */
        kv_vec_push(&n->preempted, seat);
        memmove(&n->preempted.at[1], &n->preempted.at[0], (n->preempted.count - 1) * sizeof *n->preempted.at);
        n->preempted.at[0] = seat;
    } else {
        naive_enqueue(o, seat);
    }
    o->counters->given_back++;
    while (s->waits.count > 0) {                   /* the load that began first leaves first */
        struct load *load = s->waits.at[0];
        for (size_t i = 1; i < s->waits.count; i++)
            if (s->waits.at[i]->order < load->order) load = s->waits.at[i];
        naive_leave_load(o, seat, load, 0);
    }
    if (s->beside) naive_leave_load(o, seat, s->beside, computed);
}

/* Of the holders but those of a hand-over the one that reached the router last; -1. */
static int64_t last_holder(const struct oracle *o, const struct instance *n)
{
    int64_t last = -1;
    for (size_t i = 0; i < n->holders.count; i++) {
        int64_t seat = n->holders.at[i];
        if (o->seats[seat].handing_over) continue;
        if (last < 0 || job_of(o, seat)->order > job_of(o, last)->order) last = seat;
    }
    return last;
}

bool naive_give_back_last(struct oracle *o, struct instance *n)
{
    int64_t seat = last_holder(o, n);
    if (seat >= 0) give_back(o, seat);
    return seat >= 0;
}

/* --- Timeouts (T14) --- */

static int64_t last_waiter(const struct oracle *o, const struct load *load)
{
    const struct instance *n = &o->instances[load->instance];
    for (size_t i = n->holders.count; i-- > 0;)      /* they stand in the order in which they began waiting */
        if (waits_for(&o->seats[n->holders.at[i]], load)) return n->holders.at[i];
    return -1;
}

static void time_out(struct oracle *o, struct load *load)
{
    load->timed_out = true;
    o->counters->fetch_timeouts++;
    size_t count = load->blocks.count;
    bool *arrived = kv_arena_take(&o->arena, count);
    for (size_t i = 0; i < count; i++) arrived[i] = naive_block_arrived(o, load, &load->blocks.at[i]);
    naive_cancel_reads(o, load, true);
    for (int64_t seat; (seat = last_waiter(o, load)) >= 0;) {
        o->seats[seat].hbm_only = true;
        give_back(o, seat);
    }
    forget_missing(o, load, arrived);
    cut_rest(o, load);
    naive_load_close(load);
}

static bool times_out(const struct load *load)
{
    return !load->joined && load->deadline != KV_TICK_NEVER;
}

static bool awaited_by_handover(const struct oracle *o, const struct load *load)
{
    const struct instance *n = &o->instances[load->instance];
    for (size_t i = 0; i < n->holders.count; i++) {
        const struct seat *s = &o->seats[n->holders.at[i]];
        if (s->handing_over && waits_for(s, load)) return true;
    }
    return false;
}

void naive_timeouts(struct oracle *o)
{
    for (size_t i = 0; i < o->loads.count;) {
        struct load *load = o->loads.at[i];
        i++;
        if (!times_out(load) || load->deadline > o->now) continue;
        if (awaited_by_handover(o, load)) {
            load->deadline = KV_TICK_NEVER;
            continue;
        }
        time_out(o, load);
        i = 0;                       /* others may have gone with it */
    }
}

kv_tick naive_timeouts_next_tick(const struct oracle *o)
{
    kv_tick next = KV_TICK_NEVER;
    for (size_t i = 0; i < o->loads.count; i++)
        if (times_out(o->loads.at[i]) && o->loads.at[i]->deadline < next) next = o->loads.at[i]->deadline;
    return next;
}

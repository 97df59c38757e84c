/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/serve/handover.h"

#include <string.h>

#include "sim/serve/instance_parts.h"

static struct kv_handover *make(struct kv_instance *from, struct kv_instance *to, struct kv_seq *q)
{
    struct kv_handover *h = kv_slab_take(&from->serve->slab, sizeof *h);
    memset(h, 0, sizeof *h);
    h->from = from;
    h->to = to;
    h->at_route = from->serve->config->handover.reserve == KV_RESERVE_AT_ROUTE;
    h->load = KV_NONE;
    q->handover = h;
    return h;
}

void kv_handover_begin(struct kv_instance *from, struct kv_instance *to, uint32_t seq)
{
    struct kv_seq *q = kv_seq_at(from->serve, seq);
    bool at_route = make(from, to, q)->at_route;
    q->order = from->serve->routed++;
    q->prefill_instance = (uint16_t)from->id;
    kv_instance_wait(at_route ? to : from, seq, q->input_tokens + q->output_tokens - 1);
}

/* What the request holds at one instance and what it holds at the other change places. */
static void swap_sides(struct kv_seq *q)
{
    struct kv_handover *h = q->handover;
    uint32_t *slot = q->slot;
    int32_t count = q->slot_count, capacity = q->slot_capacity;
    q->slot = h->slot;
    q->slot_count = h->slot_count;
    q->slot_capacity = h->slot_capacity;
    h->slot = slot;
    h->slot_count = count;
    h->slot_capacity = capacity;
}

/* ---- at the decode instance --------------------------------------------------------------------------------- */

/* Leading full blocks of the prompt that are there, at most all. */
static int32_t hit_blocks(struct kv_instance *n, const struct kv_seq *q, int32_t *idle)
{
    int32_t block = (int32_t)n->block.by, hit = 0;
    int32_t most = kv_prefix_known_blocks(&q->prefix, q->input_tokens, block);
    n->serve->hits.count = 0;
    *idle = 0;
    for (; hit < most && kv_engine_of(n)->enable_prefix_caching; hit++) {
        uint32_t slot = kv_blocks_find(&n->blocks, kv_blocks_place(&n->blocks, &q->prefix, hit));
        if (slot == KV_NONE) break;
        kv_vec_push(&n->serve->hits, slot);
        *idle += kv_blocks_refs(&n->blocks, slot) == 0;
    }
    return hit;
}

/* References the hit and takes the other blocks of the prompt and one token more. */
static void take_blocks(struct kv_instance *n, struct kv_seq *q, int32_t hit, int64_t blocks)
{
    int32_t block = (int32_t)n->block.by;
    if (kv_engine_of(n)->enable_prefix_caching)
        q->slot_capacity = kv_prefix_known_blocks(&q->prefix, q->input_tokens + q->output_tokens - 1, block);
    if (q->slot_capacity > 0) q->slot = kv_slab_take(&n->serve->slab, (size_t)q->slot_capacity * sizeof *q->slot);
    for (int32_t i = 0; i < hit; i++) {
        q->slot[i] = n->serve->hits.at[i];
        kv_blocks_ref(&n->blocks, q->slot[i]);
    }
    kv_blocks_take(&n->blocks, blocks - hit);
}

static int64_t part_bytes(const struct kv_instance *n, int64_t tokens)
{
    const struct kv_tiers *t = n->serve->tiers;
    return tokens * t->layer_bytes[t->layers];
}

bool kv_handover_admit(struct kv_instance *n, uint32_t seq)
{
    struct kv_seq *q = kv_seq_at(n->serve, seq);
    struct kv_handover *h = q->handover;
    int32_t block = (int32_t)n->block.by, idle;
    int64_t blocks = kv_blocks_for(n, q->input_tokens + 1);
    int32_t hit = hit_blocks(n, q, &idle);
    while (blocks - hit > kv_blocks_available(&n->blocks) - idle) {
        /* T25: nobody runs or will run, so pending writes make room. */
        if (n->running > 0 || n->holders.count > 0 || !kv_write_drop_one(n->serve->tiers, n)) return false;
        hit = hit_blocks(n, q, &idle);
    }
    kv_waiting_take_first(&n->waiting);
    n->blocked_seq = KV_NONE;
    take_blocks(n, q, hit, blocks);
    h->hit_tokens = h->sent_tokens = hit * block;
    n->outstanding_tokens -= h->hit_tokens;
    h->hold.blocks = (int32_t)blocks;
    h->hold.holding = true;
    h->hold.since_tk = kv_engine_now(n->serve->engine);
    int64_t bytes = part_bytes(n, q->input_tokens - h->hit_tokens);
    int32_t keyed = q->slot_capacity > 0 ? kv_prefix_known_blocks(&q->prefix, q->input_tokens, block) : 0;
    kv_instance_add_holder(n, seq);
    kv_admission_wait_for_others(n, seq, hit, NULL);
    h->load = kv_load_begin_handover(n->serve->tiers, n, seq, h->from, hit, keyed, bytes);
    q->slot_count = keyed;
    kv_log(n->serve->engine, "reserve", "request=%lld instance=%d hit=%d", (long long)q->request, n->id, h->hit_tokens);
    if (h->prefilled) {
        kv_load_computed(n->serve->tiers, h->load, bytes);
        return true;
    }
    h->hold.unreleased++;   /* and for its first token */
    swap_sides(q);
    kv_instance_wait(h->from, seq, q->input_tokens + q->output_tokens - 1);
    return true;
}

void kv_handover_joined(struct kv_instance *n, uint32_t seq)
{
    struct kv_seq *q = kv_seq_at(n->serve, seq);
    /* Layers of others' loads that it shares may still be to come. */
    const struct kv_hold *waits = &q->handover->hold;
    for (size_t i = 0; i < waits->loads.count; i++)
        kv_vec_push(&kv_hold_make(n->serve, q)->loads, waits->loads.at[i]);
    kv_handover_close(n->serve, q);
    if (q->hold) kv_layered_join(n, seq);
    q->induced_base_tk = n->induced_tk;
    kv_log(n->serve->engine, "admit", "request=%lld instance=%d hit=%d", (long long)q->request, n->id,
           q->computed_tokens);
}

void kv_handover_close(struct kv_serve *serve, struct kv_seq *q)
{
    struct kv_handover *h = q->handover;
    if (!h) return;
    kv_vec_close(&h->hold.loads);
    if (h->slot_capacity > 0) kv_slab_give(&serve->slab, h->slot, (size_t)h->slot_capacity * sizeof *h->slot);
    kv_slab_give(&serve->slab, h, sizeof *h);
    q->handover = NULL;
}

/* ---- at the prefill instance -------------------------------------------------------------------------------- */

/* The prefill instance lets go of it, as at a finish. */
static void release_prefill(struct kv_seq *q)
{
    struct kv_instance *n = q->handover->from;
    kv_instance_settle(n);
    swap_sides(q);
    kv_write_finished(n->serve->tiers, n, q, q->input_tokens);
    int32_t computed = q->computed_tokens;
    q->computed_tokens = q->input_tokens;
    kv_instance_release_blocks(n, q, kv_blocks_for(n, q->input_tokens), true);
    q->computed_tokens = computed;
    kv_write_evicted(n->serve->tiers, n);
    swap_sides(q);
    kv_instance_memory_freed(n);
}

void kv_handover_prefilled(struct kv_instance *n, uint32_t seq)
{
    struct kv_seq *q = kv_seq_at(n->serve, seq);
    struct kv_handover *h = q->handover;
    h->prefilled = true;
    n->serve->counters.handed_over++;
    n->outstanding_tokens -= q->output_tokens - 1;
    swap_sides(q);
    kv_log(n->serve->engine, "hand_over", "request=%lld from=%d to=%d", (long long)q->request, n->id, h->to->id);
    if (!h->at_route) {
        kv_instance_wait(h->to, seq, q->input_tokens + q->output_tokens - 1);
        return;
    }
    q->instance = (uint16_t)h->to->id;
    h->hold.since_tk = kv_engine_now(n->serve->engine);   /* until now it waited for more than its KV */
    if (h->arrived) release_prefill(q);
    else kv_load_computed(n->serve->tiers, h->load, part_bytes(n, q->input_tokens - h->hit_tokens));
    if (--h->hold.unreleased == 0) kv_instance_released(h->to, seq);
}

void kv_handover_arrived(struct kv_serve *serve, uint32_t seq)
{
    struct kv_seq *q = kv_seq_at(serve, seq);
    struct kv_handover *h = q->handover;
    h->arrived = true;
    h->to->outstanding_tokens -= q->input_tokens - h->hit_tokens;
    if (h->prefilled) release_prefill(q);
}

void kv_handover_push(struct kv_instance *n, const struct kv_seq *q, int64_t tokens)
{
    struct kv_handover *h = q->handover;
    if (!h->at_route || n->serve->config->handover.push != KV_PUSH_LAYERWISE) return;
    kv_load_open_way(n->serve->tiers, h->load);
    int32_t end = q->computed_tokens + (int32_t)tokens, fresh = end - h->sent_tokens;
    if (fresh <= 0) return;
    h->sent_tokens = end;
    kv_vec_push(&n->layered.pushers, ((struct kv_pusher){h->load, fresh}));
}

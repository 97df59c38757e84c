/* SPDX-License-Identifier: Apache-2.0 */
/* Holders and their loads: T7 to T10, T15, T18, and fills (T26). How loads are cut short: naive_cuts.c. */
#include <string.h>

#include "tests/oracle/naive_parts.h"

/* --- Waiting (T10, T31) --- */

/* Layers of a layerwise load that must be in; 0: it may not have begun. */
static int32_t layers_needed(const struct oracle *o)
{
    int64_t needed = o->config->fetch.release_after_layers, lookahead = o->config->fetch.lookahead_layers;
    if (needed > o->layers) needed = o->layers;
    if (lookahead > 0 && needed > lookahead) needed = lookahead;
    return (int32_t)needed;
}

static bool far_enough(const struct oracle *o, const struct load *load)
{
    if (load->over) return true;
    int32_t needed = layers_needed(o);
    return load->layerwise && (needed == 0 || load->layer_in[needed - 1] != KV_TICK_NEVER);
}

/* How much of its wait up to `end` counts as fetch_stall. */
kv_tick naive_wait_span(const struct oracle *o, int64_t seat, kv_tick end)
{
    const struct seat *s = &o->seats[seat];
    const struct kv_record *r = job_of(o, seat)->record;
    if (s->handing_over) {
        if (r->first_token_tk < 0) return 0;
        return end - (s->since > r->first_token_tk ? s->since : r->first_token_tk);
    }
    return r->first_sched_tk < 0 ? end - s->since : 0;
}

void naive_wait_ends(struct oracle *o, int64_t seat)
{
    struct job *j = job_of(o, seat);
    kv_tick span = naive_wait_span(o, seat, o->now);
    *(o->seats[seat].handing_over ? &j->stalled_decode : &j->waited) += span;
    o->counters->fetch_stall_tk += span;
}

static void check_ready(struct oracle *o, int64_t seat)
{
    struct seat *s = &o->seats[seat];
    bool ready = !s->ready && !s->prompt_due;
    for (size_t i = 0; i < s->waits.count; i++) ready = ready && far_enough(o, s->waits.at[i]);
    if (!ready) return;
    naive_wait_ends(o, seat);
    s->ready = true;
    naive_wake(o, s->instance);
}

void naive_check_ready(struct oracle *o)
{
    for (int32_t i = 0; i < o->config->instance_count; i++)
        for (size_t h = 0; h < o->instances[i].holders.count; h++) check_ready(o, o->instances[i].holders.at[h]);
}

/* --- The begin of a load (T9, T15) --- */

static struct load_part *add_part(struct oracle *o, struct load *load, int32_t tier)
{
    kv_vec_push(&load->parts, ((struct load_part){.pool = naive_pool_of(o, tier, load->instance)}));
    return &load->parts.at[load->parts.count - 1];
}

/* Which chunks are read from which tier; they are hit and pinned. */
static void pin_chunks(struct oracle *o, struct load *load)
{
    for (int32_t t = 1; t < o->tier_count; t++) {
        struct load_part *part = NULL;
        for (size_t i = 0; i < load->blocks.count; i++) {
            if (load->blocks.at[i].tier != t) continue;
            int64_t index = load->blocks.at[i].index / naive_chunk_blocks(o, t);
            if (!part) part = add_part(o, load, t);
            if (part->index.count > 0 && part->index.at[part->index.count - 1] == index) continue;
            uint64_t key = naive_chunk_key(o, &o->jobs[load->job], t, index);
            uint32_t chunk = kv_map_get(&part->pool->keys, key);
            kv_vec_push(&part->index, index);
            kv_vec_push(&part->chunk, chunk);
            kv_vec_push(&part->in, false);
            naive_hit_and_pin(o, part->pool, chunk);
        }
    }
}

void naive_ask(struct oracle *o, struct load *load, int32_t number, int64_t chunk)
{
    struct load_part *part = &load->parts.at[number];
    int64_t chunks = load->mode == KV_DELIVERY_CHUNKWISE ? 1 : (int64_t)part->index.count;
    int64_t tokens = chunks * o->config->tier[part->pool->tier].chunk_tokens;
    struct access *a = kv_arena_take(&o->arena, sizeof *a);
    *a = (struct access){.pool = part->pool, .load = load, .part = number, .chunk = chunk,
                         .bytes = tokens * naive_read_bytes(o, o->layers)};
    a->permitted = load->layerwise ? tokens * naive_read_bytes(o, load->permitted_layers) : a->bytes;
    part->asked++;
    kv_vec_push(&part->accesses, a);
    naive_access_comes(o, a, load->instance, load->mode, chunks);
}

/* Accesses that this part of a load will have had in the end. */
static int64_t accesses_of(const struct load *load, const struct load_part *part)
{
    return load->mode == KV_DELIVERY_CHUNKWISE ? (int64_t)part->index.count : 1;
}

static void ask_tiers(struct oracle *o, struct load *load)
{
    for (size_t p = 0; p < load->parts.count; p++) {
        int64_t count = accesses_of(load, &load->parts.at[p]);
        if (load->mode == KV_DELIVERY_CHUNKWISE && count > o->config->fetch.concurrency)
            count = o->config->fetch.concurrency;
        while (load->parts.at[p].asked < count) naive_ask(o, load, (int32_t)p, load->parts.at[p].asked);
    }
}

/* --- Fills (T26) --- */

/* All blocks of the chunk come by this load from tiers that fill `tier`. */
static bool fills_chunk(const struct oracle *o, const struct load *load, int32_t tier, int64_t chunk)
{
    int64_t r = naive_chunk_blocks(o, tier), found = 0;
    for (size_t i = 0; i < load->blocks.count; i++) {
        const struct load_block *b = &load->blocks.at[i];
        found += b->index / r == chunk && (o->config->tier[b->tier].fill >> tier & 1) != 0;
    }
    return found == r;
}

static void fill_tier(struct oracle *o, struct load *load, int32_t tier)
{
    const struct job *j = &o->jobs[load->job];
    struct tier_pool *p = naive_pool_of(o, tier, load->instance);
    int64_t last = load->blocks.at[load->blocks.count - 1].index / naive_chunk_blocks(o, tier);
    proposal evicted = {0};
    bool full = false;
    for (int64_t c = 0; c <= last; c++) {
        if (!fills_chunk(o, load, tier, c)) continue;
        struct proposed chunk = {.key = naive_chunk_key(o, j, tier, c)};
        if (kv_map_get(&p->keys, chunk.key) != KV_NONE) continue;
        uint32_t place = full ? KV_NONE : naive_take_space(o, p, &chunk, &evicted);
        full = place == KV_NONE;
        if (full) o->counters->tier[tier].dropped_chunks++;
        else kv_vec_push(&load->fills, ((struct fill){p, place}));
    }
    naive_spill(o, p, &evicted);
}

static void fill(struct oracle *o, struct load *load)
{
    uint32_t tiers = 0;
    for (size_t p = 0; p < load->parts.count; p++) tiers |= o->config->tier[load->parts.at[p].pool->tier].fill;
    for (int32_t t = 1; t < o->tier_count; t++)
        if (tiers >> t & 1) fill_tier(o, load, t);
}

/* --- Becoming a holder (T7) --- */

static void add_wait(struct seat *s, struct load *load)
{
    for (size_t i = 0; i < s->waits.count; i++)
        if (s->waits.at[i] == load) return;
    kv_vec_push(&s->waits, load);
}

/* The load's own reference on a block, registered if its key is free: that of a hand-over may not be. */
static void bring(struct oracle *o, struct load *load, int64_t seat, int64_t index, int32_t tier)
{
    struct naive_pool *pool = &instance_of(o, seat)->pool;
    const struct job *j = job_of(o, seat);
    uint32_t block = o->seats[seat].held.at[index];
    bool output = (index + 1) * block_tokens(o) > j->request->input_tokens;
    bool full = tier > 0 || !output;
    if (pool->caching && full && index < j->shared_count) {
        uint64_t key = kv_prefix_key(&j->request->prefix, (int32_t)index, (int32_t)block_tokens(o));
        bool registered = naive_pool_register(pool, block, key, output);
        kv_assert(registered || tier == 0);
    }
    naive_pool_ref(pool, block);
    pool->blocks.at[block].load = load;
    kv_vec_push(&load->blocks, ((struct load_block){index, block, tier}));
}

/* T35. */
static void choose_mode(struct oracle *o, struct load *load)
{
    int64_t tokens = 0;
    for (size_t p = 0; p < load->parts.count; p++)
        tokens += (int64_t)load->parts.at[p].index.count * o->config->tier[load->parts.at[p].pool->tier].chunk_tokens;
    load->mode = naive_delivery(o, tokens * naive_read_bytes(o, o->layers));
    load->layerwise = load->mode == KV_DELIVERY_LAYERWISE;
    if (o->config->fetch.mode != KV_DELIVERY_AUTO) return;
    (*(load->layerwise ? &o->coverage->made_layerwise : &o->coverage->made_chunkwise))++;
}

static struct load *begin_load(struct oracle *o, int64_t seat, kv_tick timeout_tk, bool both_ways)
{
    struct seat *s = &o->seats[seat];
    struct load *load = kv_arena_take(&o->arena, sizeof *load);
    int64_t lookahead = o->config->fetch.lookahead_layers;
    *load = (struct load){
        .order = o->load_orders, .job = s->job, .owner = seat, .instance = s->instance, .handover = s->handing_over,
        .deadline = timeout_tk < KV_TICK_LIMIT ? o->now + timeout_tk : KV_TICK_NEVER,
        .mode = KV_DELIVERY_BULK, .both_ways = both_ways,
        .permitted_layers = lookahead > 0 && lookahead < o->layers ? (int32_t)lookahead : o->layers,
        .layer_in = kv_arena_take(&o->arena, (size_t)o->layers * sizeof(kv_tick)),
    };
    for (int32_t l = 0; l < o->layers; l++) load->layer_in[l] = KV_TICK_NEVER;
    int64_t hit = (int64_t)s->sources.count, end = hit;
    if (s->handing_over) end = ceil_div(job_of(o, seat)->request->input_tokens, block_tokens(o));
    for (int64_t i = s->handing_over ? hit : 0; i < end; i++)
        if (s->handing_over || s->sources.at[i] > 0) bring(o, load, seat, i, s->handing_over ? 0 : s->sources.at[i]);
    if (load->blocks.count == 0) return NULL;
    o->load_orders++;
    o->counters->fetches++;
    kv_vec_push(&o->loads, load);
    if (both_ways) s->beside = load;
    else add_wait(s, load);
    if (load->handover) {
        naive_transfer_begins(o, load, -1);
        return load;
    }
    pin_chunks(o, load);
    choose_mode(o, load);
    fill(o, load);
    for (size_t p = 0; p < load->parts.count; p++) naive_transfer_begins(o, load, (int32_t)p);
    if (both_ways) naive_ask_from_the_end(o, load);
    else ask_tiers(o, load);
    return load;
}

void naive_become_holder(struct oracle *o, int64_t seat, kv_tick timeout_tk, bool both_ways)
{
    struct seat *s = &o->seats[seat];
    struct instance *n = instance_of(o, seat);
    int64_t tokens = s->computed + o->config->engine.max_num_batched_tokens;
    if (tokens > known(o, seat) || s->handing_over) tokens = known(o, seat);
    s->waits.count = 0;
    for (size_t i = 0; i < s->held.count; i++) {
        struct load *other = s->held.at[i] == KV_NONE ? NULL : n->pool.blocks.at[s->held.at[i]].load;
        if (other) add_wait(s, other);
    }
    o->counters->delayed_hits += s->waits.count > 0;
    for (int64_t i = 0; i < ceil_div(tokens, block_tokens(o)); i++) {
        if (i == (int64_t)s->held.count) kv_vec_push(&s->held, KV_NONE);
        if (s->held.at[i] == KV_NONE) s->held.at[i] = naive_pool_take(&n->pool);
    }
    s->holder = true;
    s->ready = false;
    s->since = o->now;
    kv_vec_push(&n->holders, seat);
    if (both_ways) s->computed = s->leading * block_tokens(o);
    struct load *load = begin_load(o, seat, timeout_tk, both_ways);
    if (s->handing_over) naive_handover_held(o, seat, load);
    check_ready(o, seat);
}

/* --- Arrivals and the end of a load --- */

void naive_note_layers(struct oracle *o, struct load *load)
{
    int32_t in = o->layers;
    for (size_t p = 0; p < load->parts.count; p++)
        if (load->parts.at[p].layers_in < in) in = load->parts.at[p].layers_in;
    for (int32_t l = 0; l < in; l++)
        if (load->layer_in[l] == KV_TICK_NEVER) load->layer_in[l] = o->now;
}

void naive_count_read(struct oracle *o, const struct load *load, int32_t tier, int64_t bytes)
{
    bytes *= o->config->tp;
    o->counters->tier[tier].read_bytes += bytes;
    if (load->owner >= 0) o->jobs[load->job].record->fetched_bytes[tier] += bytes;
}

void naive_unpin_part(struct oracle *o, struct load_part *part)
{
    part->over = true;
    for (size_t i = 0; i < part->chunk.count; i++) naive_unpin(o, part->pool, part->chunk.at[i]);
}

void naive_read_ended(struct oracle *o, struct access *a)
{
    struct load *load = a->load;
    struct load_part *part = &load->parts.at[a->part];
    naive_count_read(o, load, part->pool->tier, a->bytes);
    part->ended++;
    part->in.at[a->chunk] = true;
    if (load->both_ways) naive_ask_from_the_end(o, load);
    else if (part->asked < accesses_of(load, part)) naive_ask(o, load, a->part, part->asked);
    if (part->ended < accesses_of(load, part)) return;
    naive_unpin_part(o, part);
    naive_transfer_over(o, part->transfer, false);
    for (size_t p = 0; p < load->parts.count; p++)
        if (!load->parts.at[p].over) return;
    naive_load_ended(o, load);
}

/* T9: the load's references end. */
void naive_load_lets_go(struct oracle *o, struct load *load)
{
    struct naive_pool *pool = &o->instances[load->instance].pool;
    for (size_t i = load->blocks.count; i-- > 0;) {
        pool->blocks.at[load->blocks.at[i].block].load = NULL;
        naive_pool_release(pool, load->blocks.at[i].block, 0, false, true);
    }
    load->over = true;
    size_t i = 0;
    while (o->loads.at[i] != load) i++;
    o->loads.count--;
    memmove(&o->loads.at[i], &o->loads.at[i + 1], (o->loads.count - i) * sizeof *o->loads.at);
}

void naive_load_ended(struct oracle *o, struct load *load)
{
    for (size_t i = 0; i < load->fills.count; i++) {
        struct tier_pool *p = load->fills.at[i].pool;
        naive_make_visible(o, p, load->fills.at[i].chunk);
        o->counters->tier[p->tier].filled_chunks++;
    }
    naive_load_lets_go(o, load);
    if (load->handover) {
        naive_transfer_over(o, load->transfer, false);
        naive_handover_over(o, load);
    }
    naive_wake_blocked(o, load->instance);
    naive_check_ready(o);
    naive_load_close(load);
}

void naive_load_close(struct load *load)
{
    for (size_t p = 0; p < load->parts.count; p++) {
        kv_vec_close(&load->parts.at[p].index);
        kv_vec_close(&load->parts.at[p].chunk);
        kv_vec_close(&load->parts.at[p].accesses);
        kv_vec_close(&load->parts.at[p].in);
    }
    kv_vec_close(&load->parts);
    kv_vec_close(&load->last_first);
    kv_vec_close(&load->blocks);
    kv_vec_close(&load->fills);
}

void naive_loads_close(struct oracle *o)
{
    for (size_t i = 0; i < o->loads.count; i++) naive_load_close(o->loads.at[i]);
    kv_vec_close(&o->loads);
}

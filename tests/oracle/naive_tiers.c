/* SPDX-License-Identifier: Apache-2.0 */
/* Pools of the tiers below HBM, the look-up over all tiers, admission and eviction (T1 to T5, T23). */
#include <string.h>

#include "sim/lib/kvsize.h"
#include "tests/oracle/naive_parts.h"

/* --- Places (T1) --- */

int32_t naive_node_of(const struct oracle *o, int32_t instance)
{
    int32_t tp = o->config->tp, gpus = o->config->network.gpus_per_node;
    if (tp > gpus) return instance * (tp / gpus);
    return instance / (gpus / tp);
}

int32_t naive_domain_of(const struct oracle *o, int32_t instance, int64_t scope)
{
    switch (scope) {
    case KV_SCOPE_GPU: return instance;
    case KV_SCOPE_NODE: return naive_node_of(o, instance);
    case KV_SCOPE_RACK: return naive_node_of(o, instance) / o->config->network.nodes_per_rack;
    default: return 0;
    }
}

/* Of those that the pool belongs to. */
int32_t naive_first_instance(const struct oracle *o, const struct tier_pool *p)
{
    int32_t i = 0;
    while (naive_domain_of(o, i, o->config->tier[p->tier].scope) != p->domain) i++;
    return i;
}

struct tier_pool *naive_pool_of(struct oracle *o, int32_t tier, int32_t instance)
{
    int32_t domain = naive_domain_of(o, instance, o->config->tier[tier].scope);
    for (size_t i = 0; i < o->pools.count; i++)
        if (o->pools.at[i]->tier == tier && o->pools.at[i]->domain == domain) return o->pools.at[i];
    struct tier_pool *p = kv_arena_take(&o->arena, sizeof *p);
    p->tier = tier;
    p->domain = domain;
    kv_map_open(&p->keys, 64);
    kv_vec_push(&o->pools, p);
    return p;
}

bool naive_tiers_open(struct oracle *o, struct kv_err *err)
{
    const struct kv_sim_config *c = o->config;
    int64_t copy = kv_bytes_per_token_per_layer_per_gpu(c->compute_env.model, 1) * o->layers;
    for (int32_t t = 1; t < o->tier_count; t++) {
        const struct kv_tier_config *tier = &c->tier[t];
        struct kv_store_env *env = kv_arena_take(&o->arena, sizeof *env);
        *env = (struct kv_store_env){
            .layers = o->layers, .chunk_tokens = tier->chunk_tokens, .block_tokens = c->engine.block_tokens,
            .chunk_bytes = copy * tier->chunk_tokens, .layout = tier->layout, .concurrency = c->fetch.concurrency,
            .lookahead_layers = (int32_t)c->fetch.lookahead_layers, .seed = c->seed,
        };
        void *store = kv_mem_take(tier->store->state_bytes + 1);
        if (!tier->store->open(store, tier->store_params, env, err)) {
            kv_mem_give(store, tier->store->state_bytes + 1);
            return false;
        }
        o->tier[t].store = store;
        o->tier[t].device_rate = tier->store->device_rate(store);
        o->tier[t].concurrency_limit = tier->store->concurrency_limit(store);
        o->tier[t].queue_limit = tier->store->queue_limit ? tier->store->queue_limit(store) : -1;
    }
    return true;
}

void naive_tiers_close(struct oracle *o)
{
    for (int32_t t = 1; t < o->tier_count; t++) {
        const struct kv_store_ops *ops = o->config->tier[t].store;
        if (!o->tier[t].store) continue;
        if (ops->close) ops->close(o->tier[t].store);
        kv_mem_give(o->tier[t].store, ops->state_bytes + 1);
    }
    for (size_t i = 0; i < o->pools.count; i++) {
        kv_vec_close(&o->pools.at[i]->chunks);
        kv_map_close(&o->pools.at[i]->keys);
        kv_vec_close(&o->pools.at[i]->ghosts);
        kv_vec_close(&o->pools.at[i]->line);
    }
    kv_vec_close(&o->pools);
}

/* A store that says nothing of requests takes one. */
struct kv_access_plan naive_plan(const struct oracle *o, int32_t tier, const struct kv_access *access)
{
    struct kv_access_plan plan = o->config->tier[tier].store->plan(o->tier[tier].store, access);
    if (plan.requests < 1) plan.requests = 1;
    return plan;
}

/* --- Chunks of a request (T2) --- */

int64_t naive_chunk_blocks(const struct oracle *o, int32_t tier)
{
    return o->config->tier[tier].chunk_tokens / block_tokens(o);
}

bool naive_chunk_known(const struct oracle *o, const struct job *j, int32_t tier, int64_t chunk)
{
    return (chunk + 1) * naive_chunk_blocks(o, tier) <= j->shared_count;
}

/* That of its last block; of a known chunk. */
uint64_t naive_chunk_key(const struct oracle *o, const struct job *j, int32_t tier, int64_t chunk)
{
    int64_t last = (chunk + 1) * naive_chunk_blocks(o, tier) - 1;
    return kv_prefix_key(&j->request->prefix, (int32_t)last, (int32_t)block_tokens(o));
}

/* --- Look-up (T5) --- */

/* First lower tier in which block `index` is visible to the instance; 0: none. A chunk whose end lies behind what is
 * known so far has no key yet (rule 15). */
static int32_t find_below(struct oracle *o, int64_t seat, int64_t index)
{
    const struct job *j = job_of(o, seat);
    int32_t instance = o->seats[seat].instance;
    if (index >= j->shared_count) return 0;
    for (int32_t t = 1; t < o->tier_count; t++) {
        int64_t chunk = index / naive_chunk_blocks(o, t);
        if (!naive_chunk_known(o, j, t, chunk)) continue;
        if ((chunk + 1) * o->config->tier[t].chunk_tokens > known(o, seat)) continue;
        const struct tier_pool *p = naive_pool_of(o, t, instance);
        uint32_t found = kv_map_get(&p->keys, naive_chunk_key(o, j, t, chunk));
        if (found == KV_NONE) continue;
        if (p->chunks.at[found].visible) return t;
        o->coverage->not_yet_visible++;
    }
    return 0;
}

void naive_match(struct oracle *o, int64_t seat, bool hbm_only, match *found)
{
    const struct instance *n = instance_of(o, seat);
    const struct job *j = job_of(o, seat);
    if (!n->pool.caching) return;
    int64_t most = (known(o, seat) - 1) / block_tokens(o);
    for (int64_t i = 0; i < most; i++) {
        int32_t source = 0;
        if (naive_pool_find(&n->pool, j->request, j->shared_count, i) == KV_NONE) {
            source = hbm_only ? 0 : find_below(o, seat, i);
            if (source == 0) return;
        }
        kv_vec_push(found, source);
    }
}

/* Chunk of block `index` of the request is being brought to the pool. */
static bool arriving(const struct oracle *o, int64_t seat, const struct tier_pool *p, int64_t index)
{
    const struct job *j = job_of(o, seat);
    int64_t chunk = index / naive_chunk_blocks(o, p->tier);
    if (!naive_chunk_known(o, j, p->tier, chunk)) return false;
    if ((chunk + 1) * o->config->tier[p->tier].chunk_tokens > known(o, seat)) return false;
    uint32_t found = kv_map_get(&p->keys, naive_chunk_key(o, j, p->tier, chunk));
    return found != KV_NONE && !p->chunks.at[found].visible;
}

void naive_note_pending(struct oracle *o, int64_t seat, bool hbm_only, int64_t end)
{
    struct seat *s = &o->seats[seat];
    int64_t most = (known(o, seat) - 1) / block_tokens(o), i = end;
    s->pending_tokens = 0;
    if (hbm_only || !has_tiers(o) || !o->config->engine.enable_prefix_caching) return;
    if (i < most && i < job_of(o, seat)->shared_count)
        for (int32_t t = 1; t < o->tier_count && i == end; t++) {
            const struct tier_pool *p = naive_pool_of(o, t, s->instance);
            while (i < most && i < job_of(o, seat)->shared_count && arriving(o, seat, p, i)) i++;
            s->pending_tier = t;
        }
    s->pending_tokens = (i - end) * block_tokens(o);
}

/* --- Admission (T23) --- */

static bool second_hit(struct oracle *o, struct tier_pool *p, uint64_t key)
{
    int64_t ghosts;
    memcpy(&ghosts, o->config->tier[p->tier].admit_params, sizeof ghosts);
    size_t i = 0;
    while (i < p->ghosts.count && p->ghosts.at[i] != key) i++;
    bool remembered = i < p->ghosts.count;
    bool full = !remembered && (int64_t)p->ghosts.count == ghosts;
    if (full) i = 0;
    if (remembered || (full && ghosts > 0)) {
        p->ghosts.count--;
        memmove(&p->ghosts.at[i], &p->ghosts.at[i + 1], (p->ghosts.count - i) * sizeof *p->ghosts.at);
    }
    if (!remembered && ghosts > 0) kv_vec_push(&p->ghosts, key);
    return remembered;
}

bool naive_admits(struct oracle *o, struct tier_pool *p, const struct proposed *c)
{
    if (o->tier[p->tier].admit == ADMIT_ALWAYS) return true;
    bool taken = !c->own && second_hit(o, p, c->key);
    o->coverage->second_hit_refusals += !taken;
    return taken;
}

/* --- Space and eviction (T4) --- */

static bool lru(const struct oracle *o, const struct tier_pool *p)
{
    return !o->tier[p->tier].fifo;
}

void naive_leave(struct tier_pool *p, uint32_t chunk)
{
    struct chunk *c = &p->chunks.at[chunk];
    kv_assert(c->live && c->readers == 0);
    if (!c->own) kv_map_drop(&p->keys, c->key);
    *c = (struct chunk){0};
    p->used--;
}

/* The visible chunk of least stamp that is not parked; a pinned one is parked and the next is asked for. */
static uint32_t victim(struct oracle *o, struct tier_pool *p)
{
    for (;;) {
        uint32_t best = KV_NONE;
        for (uint32_t i = 0; i < p->chunks.count; i++) {
            const struct chunk *c = &p->chunks.at[i];
            if (!c->live || !c->visible || c->parked) continue;
            if (best == KV_NONE || c->stamp < p->chunks.at[best].stamp) best = i;
        }
        if (best == KV_NONE || p->chunks.at[best].readers == 0) return best;
        p->chunks.at[best].parked = true;
        o->coverage->parked++;
    }
}

uint32_t naive_take_space(struct oracle *o, struct tier_pool *p, const struct proposed *c, proposal *evicted)
{
    if (p->used >= o->config->tier[p->tier].capacity_chunks) {
        uint32_t out = victim(o, p);
        if (out == KV_NONE) return KV_NONE;
        struct proposed gone = {.key = p->chunks.at[out].key, .own = p->chunks.at[out].own};
        o->coverage->own_evicted += gone.own;
        kv_vec_push(evicted, gone);
        naive_leave(p, out);
        o->counters->tier[p->tier].evicted_chunks++;
    }
    uint32_t i = 0;
    while (i < p->chunks.count && p->chunks.at[i].live) i++;
    if (i == p->chunks.count) kv_vec_push(&p->chunks, ((struct chunk){0}));
    p->chunks.at[i] = (struct chunk){.live = true, .own = c->own, .key = c->key};
    p->used++;
    if (!c->own) kv_map_put(&p->keys, c->key, i);
    return i;
}

void naive_make_visible(struct oracle *o, struct tier_pool *p, uint32_t chunk)
{
    p->chunks.at[chunk].visible = true;
    p->chunks.at[chunk].stamp = ++p->stamps;
    o->counters->tier[p->tier].inserted_chunks++;
}

void naive_hit_and_pin(struct oracle *o, struct tier_pool *p, uint32_t chunk)
{
    struct chunk *c = &p->chunks.at[chunk];
    kv_assert(c->live && c->visible);
    if (!c->parked && lru(o, p)) c->stamp = ++p->stamps;
    c->readers++;
}

void naive_unpin(struct oracle *o, struct tier_pool *p, uint32_t chunk)
{
    struct chunk *c = &p->chunks.at[chunk];
    kv_assert(c->live && c->readers > 0);
    if (--c->readers > 0 || !c->parked) return;
    c->parked = false;
    if (lru(o, p)) c->stamp = ++p->stamps;
}

/* --- Resident tokens (T36) --- */

void naive_put_resident(struct oracle *o, int64_t seat)
{
    const struct job *j = job_of(o, seat);
    int32_t t = o->config->resident_tier;
    if (t == 0 || !o->config->engine.enable_prefix_caching) return;
    struct tier_pool *p = naive_pool_of(o, t, o->seats[seat].instance);
    struct kv_tier_counters *c = &o->counters->tier[t];
    proposal evicted = {0};
    bool full = false;
    for (int64_t i = 0; (i + 1) * o->config->tier[t].chunk_tokens <= j->request->resident_tokens; i++) {
        if (!naive_chunk_known(o, j, t, i)) break;
        struct proposed chunk = {.key = naive_chunk_key(o, j, t, i)};
        if (kv_map_get(&p->keys, chunk.key) != KV_NONE) continue;
        uint32_t place = full ? KV_NONE : naive_take_space(o, p, &chunk, &evicted);
        full = place == KV_NONE;
        if (full) {
            c->dropped_chunks++;
            continue;
        }
        naive_make_visible(o, p, place);
        c->resident_chunks++;
    }
    o->coverage->resident_evictions += (int64_t)evicted.count;
    naive_spill(o, p, &evicted);
}

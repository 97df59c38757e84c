/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/serve/tier.h"

#include "sim/lib/kvsize.h"
#include "sim/serve/instance.h"
#include "sim/serve/load.h"
#include "sim/serve/write.h"

/* ---- pools -------------------------------------------------------------------------------------------------- */

static void keep_evicted(void *owner, struct kv_evicted evicted)
{
    struct kv_tier_pool *pool = owner;
    kv_vec_push(&pool->evicted, evicted);
}

static void open_pool(struct kv_tiers *t, int32_t tier, int32_t domain)
{
    const struct kv_tier_config *c = t->tier[tier].config;
    struct kv_tier_pool *pool = &t->tier[tier].pool[domain];
    pool->tier = tier;
    pool->domain = domain;
    pool->instance = kv_domain_first(t->serve->config, c->scope, domain);
    int64_t capacity = c->capacity_chunks < KV_BLOCKS_UNLIMITED ? c->capacity_chunks : KV_BLOCKS_UNLIMITED;
    kv_blocks_open(&pool->chunks, &(struct kv_blocks_config){
        .evict = c->evict, .evict_params = c->evict_params, .capacity = capacity,
        .chunk_blocks = t->tier[tier].blocks, .block_tokens = (int32_t)t->serve->config->engine.block_tokens,
        .ids_tokens = &t->serve->ids_tokens, .counters = &t->tier[tier].block_counters});
    pool->chunks.by_hit = pool->chunks.tell_generated = true;
    if (tier + 1 < t->count && t->serve->config->tier[tier + 1].write == KV_WRITE_ON_EVICT) {
        pool->chunks.evicted = keep_evicted;
        pool->chunks.evicted_owner = pool;
    }
    pool->admit = kv_mem_take(c->admit->state_bytes);
    c->admit->open(pool->admit, c->admit_params, capacity);
}

/* ---- set-up ------------------------------------------------------------------------------------------------- */

/* Bytes of a token and part up to each layer. */
static void sum_layers(struct kv_tiers *t)
{
    const struct kv_sim_config *config = t->serve->config;
    const struct kv_model_shape *model = config->compute_env.model;
    int64_t alike = kv_bytes_per_token_per_layer_per_gpu(model, config->tp);
    t->layers = model->layers;
    t->scratch = kv_mem_take((size_t)t->layers * 2 * sizeof *t->scratch);
    t->layer_bytes = kv_mem_take((size_t)(t->layers + 1) * sizeof *t->layer_bytes);
    for (int32_t l = 0; l < t->layers; l++)
        t->layer_bytes[l + 1] = t->layer_bytes[l] + (config->read_layer_bytes ? config->read_layer_bytes[l] : alike);
}

static bool open_tier(struct kv_tiers *t, int32_t tier, struct kv_err *err)
{
    const struct kv_sim_config *config = t->serve->config;
    struct kv_tier *k = &t->tier[tier];
    int64_t token_bytes = kv_bytes_per_token_per_gpu(config->compute_env.model, 1);
    k->config = &config->tier[tier];
    k->counters = &t->serve->counters.tier[tier];
    k->blocks = (int32_t)(k->config->chunk_tokens / config->engine.block_tokens);
    k->read_bytes = k->config->chunk_tokens * t->layer_bytes[t->layers];
    int64_t layer_bytes = kv_bytes_per_token_per_layer_per_gpu(config->compute_env.model, 1);
    k->write_bytes = k->config->chunk_tokens * t->layers * ((layer_bytes + config->tp - 1) / config->tp);
    k->store = kv_mem_take(k->config->store->state_bytes);
    struct kv_store_env env = {
        .layers = t->layers, .chunk_tokens = k->config->chunk_tokens, .block_tokens = config->engine.block_tokens,
        .chunk_bytes = k->config->chunk_tokens * token_bytes, .layout = k->config->layout,
        .concurrency = config->fetch.concurrency,
        .lookahead_layers = (int32_t)config->fetch.lookahead_layers, .seed = config->seed,
    };
    if (!k->config->store->open(k->store, k->config->store_params, &env, err)) return false;
    k->turns = k->config->store->concurrency_limit(k->store);
    k->line = k->config->store->queue_limit ? k->config->store->queue_limit(k->store) : -1;
    k->pools = kv_domain_count(config, k->config->scope);
    k->pool = kv_mem_take((size_t)k->pools * sizeof *k->pool);
    for (int32_t domain = 0; domain < k->pools; domain++) open_pool(t, tier, domain);
    return true;
}

static void timeouts_end(void *owner, uint32_t kind)
{
    (void)kind;
    kv_load_timeouts(owner);
}

static void acks_come(void *owner, uint32_t kind)
{
    (void)kind;
    kv_write_visible(owner);
}

struct kv_tiers *kv_tiers_open(struct kv_serve *serve, struct kv_err *err)
{
    const struct kv_sim_config *config = serve->config;
    struct kv_tiers *t = kv_mem_take(sizeof *t);
    t->serve = serve;
    t->transfer = &config->transfer;
    t->count = config->tier_count > 0 ? config->tier_count : 1;
    /* The order of these timers is that of docs/tiers.md T15: ends of flows, ends of delays, who comes again. */
    t->net = kv_net_open(serve->engine, kv_access_flow_done, t);
    t->delay_timer = kv_timer_new(serve->engine, KV_CLASS_COMPLETION, kv_access_delays_end, t, 0);
    t->retry_timer = kv_timer_new(serve->engine, KV_CLASS_COMPLETION, kv_access_retries_come, t, 0);
    t->visible_timer = kv_timer_new(serve->engine, KV_CLASS_VISIBLE, acks_come, t, 0);
    t->timeout_timer = kv_timer_new(serve->engine, KV_CLASS_POLICY, timeouts_end, t, 0);
    kv_pool_open(&t->accesses, sizeof(struct kv_access_job));
    kv_pool_open(&t->loads, sizeof(struct kv_load));
    kv_pool_open(&t->writes, sizeof(struct kv_write_job));
    kv_fetches_open(t);
    t->topology.config = config;
    sum_layers(t);
    kv_rate device_rate[KV_TIERS_MAX];
    for (int32_t tier = 1; tier < t->count; tier++) {
        if (!open_tier(t, tier, err)) {
            kv_tiers_close(t);
            return NULL;
        }
        device_rate[tier] = t->tier[tier].config->store->device_rate(t->tier[tier].store);
    }
    kv_topology_open(&t->topology, config, t->net, device_rate);
    return t;
}

void kv_tiers_close(struct kv_tiers *t)
{
    if (!t) return;
    for (int32_t tier = 1; tier < t->count; tier++) {
        struct kv_tier *k = &t->tier[tier];
        for (int32_t i = 0; i < k->pools; i++) {
            kv_blocks_close(&k->pool[i].chunks);
            k->config->admit->close(k->pool[i].admit);
            kv_mem_give(k->pool[i].admit, k->config->admit->state_bytes);
            kv_vec_close(&k->pool[i].queue);
            kv_vec_close(&k->pool[i].evicted);
        }
        if (k->pool) kv_mem_give(k->pool, (size_t)k->pools * sizeof *k->pool);
        if (k->store && k->config->store->close) k->config->store->close(k->store);
        if (k->store) kv_mem_give(k->store, k->config->store->state_bytes);
    }
    for (uint32_t i = 0; i < t->loads.high; i++) {   /* those under way at the end of the run */
        kv_vec_close(&kv_load_at(t, i)->waiters);
        kv_vec_close(&kv_load_at(t, i)->fills);
    }
    kv_topology_close(&t->topology);
    kv_net_close(t->net);
    kv_mem_give(t->scratch, (size_t)t->layers * 2 * sizeof *t->scratch);
    kv_mem_give(t->layer_bytes, (size_t)(t->layers + 1) * sizeof *t->layer_bytes);
    kv_pqueue_close(&t->delays);
    kv_pqueue_close(&t->retries);
    kv_pqueue_close(&t->timeouts);
    kv_pqueue_close(&t->acks);
    kv_pool_close(&t->accesses);
    kv_pool_close(&t->loads);
    kv_fetches_close(t);
    kv_pool_close(&t->writes);
    kv_mem_give(t, sizeof *t);
}

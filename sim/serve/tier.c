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

bool kv_tier_take(struct kv_tier_pool *pool)
{
    if (kv_blocks_available(&pool->chunks) == 0) return false;
    kv_blocks_take(&pool->chunks, 1);
    return true;
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
        .concurrency = config->fetch.concurrency, .seed = config->seed,
    };
    if (!k->config->store->open(k->store, k->config->store_params, &env, err)) return false;
    k->turns = k->config->store->concurrency_limit(k->store);
    k->pools = kv_domain_count(config, k->config->scope);
    k->pool = kv_mem_take((size_t)k->pools * sizeof *k->pool);
    for (int32_t domain = 0; domain < k->pools; domain++) open_pool(t, tier, domain);
    return true;
}

static void flow_done(void *owner, uint32_t flow, uint64_t tag, int64_t bytes_done);
static void delays_end(void *owner, uint32_t kind);

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
    t->count = config->tier_count > 0 ? config->tier_count : 1;
    /* The order of these timers is that of docs/tiers.md T15: ends of flows before ends of delays. */
    t->net = kv_net_open(serve->engine, flow_done, t);
    t->delay_timer = kv_timer_new(serve->engine, KV_CLASS_COMPLETION, delays_end, t, 0);
    t->visible_timer = kv_timer_new(serve->engine, KV_CLASS_VISIBLE, acks_come, t, 0);
    t->timeout_timer = kv_timer_new(serve->engine, KV_CLASS_POLICY, timeouts_end, t, 0);
    kv_pool_open(&t->accesses, sizeof(struct kv_access_job));
    kv_pool_open(&t->loads, sizeof(struct kv_load));
    kv_pool_open(&t->writes, sizeof(struct kv_write_job));
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
    kv_topology_close(&t->topology);
    kv_net_close(t->net);
    kv_mem_give(t->scratch, (size_t)t->layers * 2 * sizeof *t->scratch);
    kv_mem_give(t->layer_bytes, (size_t)(t->layers + 1) * sizeof *t->layer_bytes);
    kv_pqueue_close(&t->delays);
    kv_pqueue_close(&t->timeouts);
    kv_pqueue_close(&t->acks);
    kv_pool_close(&t->accesses);
    kv_pool_close(&t->loads);
    kv_pool_close(&t->writes);
    kv_mem_give(t, sizeof *t);
}

/* ---- accesses ----------------------------------------------------------------------------------------------- */

static void start_flow(struct kv_tiers *t, uint32_t access)
{
    struct kv_access_job *a = kv_access_at(t, access);
    int32_t parts = t->serve->config->tp;
    if (a->permitted == 0) {
        a->state = KV_ACCESS_CLOSED;
        return;
    }
    kv_rate limit = a->plan.limit >= KV_RATE_UNLIMITED ? KV_RATE_UNLIMITED : a->plan.limit / parts;
    a->state = KV_ACCESS_FLOWING;
    a->flow = kv_flow_start(t->net, a->way.path, limit, a->bytes, a->permitted, access);
    if (a->mark < a->permitted) kv_flow_mark(t->net, a->flow, a->mark);
}

static void arm_delays(struct kv_tiers *t)
{
    if (t->delays.count > 0) kv_timer_arm(t->serve->engine, t->delay_timer, t->delays.at[0].key);
}

/* Its turn has come. */
static void go(struct kv_tiers *t, uint32_t access)
{
    struct kv_access_job *a = kv_access_at(t, access);
    kv_tick delay_tk = a->plan.delay_tk + a->way.latency_tk;
    if (delay_tk == 0) {
        start_flow(t, access);
        return;
    }
    a->state = KV_ACCESS_DELAYED;
    kv_pqueue_push(&t->delays, (struct kv_pentry){kv_engine_now(t->serve->engine) + delay_tk, (int64_t)a->serial, access});
    arm_delays(t);
}

static void delays_end(void *owner, uint32_t kind)
{
    struct kv_tiers *t = owner;
    kv_tick now = kv_engine_now(t->serve->engine);
    (void)kind;
    while (t->delays.count > 0 && t->delays.at[0].key <= now) {
        uint32_t access = kv_pqueue_pop(&t->delays).value;
        if (kv_access_at(t, access)->state == KV_ACCESS_DEAD) kv_pool_give(&t->accesses, access);
        else start_flow(t, access);
    }
    arm_delays(t);
}

/* The next in line of a pool have their turn. */
static void give_turns(struct kv_tiers *t, struct kv_tier_pool *pool)
{
    while (pool->queue_front < pool->queue.count && pool->under_way < t->tier[pool->tier].turns) {
        uint32_t access = pool->queue.at[pool->queue_front++];
        struct kv_access_job *a = kv_access_at(t, access);
        if (a->state == KV_ACCESS_DEAD) {
            kv_pool_give(&t->accesses, access);
            continue;
        }
        a->has_turn = true;
        pool->under_way++;
        go(t, access);
    }
    if (pool->queue_front < pool->queue.count) return;
    pool->queue.count = pool->queue_front = 0;
}

static void give_turn_back(struct kv_tiers *t, struct kv_access_job *a)
{
    if (!a->has_turn) return;
    a->has_turn = false;
    a->pool->under_way--;
    give_turns(t, a->pool);
}

static uint32_t begin(struct kv_tiers *t, const struct kv_access_job *job)
{
    uint32_t access = kv_pool_take(&t->accesses);
    struct kv_access_job *a = kv_access_at(t, access);
    *a = *job;
    a->serial = t->serial++;
    a->flow = KV_NONE;
    if (a->mark == 0) a->mark = a->permitted;
    int64_t turns = a->pool ? t->tier[a->pool->tier].turns : 0;
    if (turns == 0) {
        go(t, access);
        return access;
    }
    if (a->pool->under_way < turns) {
        a->has_turn = true;
        a->pool->under_way++;
        go(t, access);
    } else {
        a->state = KV_ACCESS_QUEUED;
        t->tier[a->pool->tier].counters->waited_accesses++;
        kv_vec_push(&a->pool->queue, access);
    }
    return access;
}

static struct kv_way way_of(struct kv_tiers *t, const struct kv_access_request *r, uint64_t number)
{
    const struct kv_network_config *n = &t->serve->config->network;
    int32_t gateway = n->gateways > 1 ? (int32_t)(number % (uint64_t)n->gateways) : 0;
    if (!r->write) return kv_way_read(&t->topology, r->pool->tier, r->instance, gateway);
    if (r->evicted) return kv_way_evict(&t->topology, r->pool->tier, r->instance, gateway);
    return kv_way_write(&t->topology, r->pool->tier, r->instance, gateway);
}

uint32_t kv_access_begin(struct kv_tiers *t, const struct kv_access_request *r)
{
    const struct kv_tier *tier = &t->tier[r->pool->tier];
    uint64_t number = r->pool->accesses++;
    struct kv_access ask = {.write = r->write, .delivery = r->delivery, .chunks = r->chunks, .number = number};
    int64_t bytes = r->chunks * (r->write ? tier->write_bytes : tier->read_bytes);
    tier->counters->accesses++;
    return begin(t, &(struct kv_access_job){
        .pool = r->pool, .way = way_of(t, r, number), .plan = tier->config->store->plan(tier->store, &ask),
        .bytes = bytes, .permitted = r->permitted > 0 ? r->permitted : bytes,
        .mark = r->mark, .owner = r->owner, .part = r->part, .write = r->write,
    });
}

uint32_t kv_access_begin_handover(struct kv_tiers *t, int32_t from, int32_t to, int64_t bytes, uint32_t owner,
                                  int32_t part)
{
    return begin(t, &(struct kv_access_job){
        .way = kv_way_handover(&t->topology, from, to), .plan = {.limit = KV_RATE_UNLIMITED}, .bytes = bytes,
        .owner = owner, .part = part,
    });
}

static void count_bytes(struct kv_tiers *t, const struct kv_access_job *a, int64_t part_bytes)
{
    struct kv_tier_counters *c = a->pool ? t->tier[a->pool->tier].counters : &t->serve->counters.tier[0];
    *(a->write ? &c->written_bytes : &c->read_bytes) += part_bytes * t->serve->config->tp;
}

static void flow_done(void *owner, uint32_t flow, uint64_t tag, int64_t bytes_done)
{
    struct kv_tiers *t = owner;
    uint32_t access = (uint32_t)tag;
    struct kv_access_job *a = kv_access_at(t, access);
    (void)flow;
    bool ended = bytes_done == a->bytes, paused = !ended && bytes_done == a->permitted;
    a->mark = a->permitted;
    if (ended) {
        a->state = KV_ACCESS_ENDED;
        count_bytes(t, a, a->bytes);
    }
    if (ended || paused) give_turn_back(t, a);
    if (a->write) kv_write_told(t, a->owner, bytes_done);
    else kv_load_told(t, a->owner, a->part, access, bytes_done);
}

void kv_access_permit(struct kv_tiers *t, uint32_t access, int64_t permitted)
{
    struct kv_access_job *a = kv_access_at(t, access);
    if (a->mark == a->permitted) a->mark = permitted;
    a->permitted = permitted;
    if (a->state == KV_ACCESS_FLOWING) kv_flow_permit(t->net, a->flow, permitted);
    else if (a->state == KV_ACCESS_CLOSED) start_flow(t, access);
}

void kv_access_mark(struct kv_tiers *t, uint32_t access, int64_t mark)
{
    struct kv_access_job *a = kv_access_at(t, access);
    a->mark = mark;
    if (a->state == KV_ACCESS_FLOWING) kv_flow_mark(t->net, a->flow, mark);
}

int64_t kv_access_drop(struct kv_tiers *t, uint32_t access)
{
    struct kv_access_job *a = kv_access_at(t, access);
    int64_t moved = 0;
    uint8_t was = a->state;
    a->state = KV_ACCESS_DEAD;
    if (was == KV_ACCESS_FLOWING) {
        moved = kv_flow_moved_bytes(t->net, a->flow);
        count_bytes(t, a, moved);
    } else if (was == KV_ACCESS_ENDED) {
        moved = a->bytes;
    }
    if (was == KV_ACCESS_FLOWING || was == KV_ACCESS_ENDED) kv_flow_drop(t->net, a->flow);
    give_turn_back(t, a);
    /* One that waits is given back where it comes up. */
    if (was != KV_ACCESS_QUEUED && was != KV_ACCESS_DELAYED) kv_pool_give(&t->accesses, access);
    return moved;
}

kv_tick kv_access_estimate_tk(struct kv_tiers *t, const struct kv_tier_pool *pool, int32_t instance, int64_t chunks)
{
    const struct kv_tier *tier = &t->tier[pool->tier];
    struct kv_way way = kv_way_read(&t->topology, pool->tier, instance, 0);
    enum kv_delivery delivery = (enum kv_delivery)t->serve->config->fetch.mode;
    struct kv_access ask = {.delivery = delivery, .chunks = delivery == KV_DELIVERY_CHUNKWISE ? 1 : chunks,
                            .number = pool->accesses};
    struct kv_access_plan plan = tier->config->store->plan(tier->store, &ask);
    kv_rate limit = plan.limit >= KV_RATE_UNLIMITED ? KV_RATE_UNLIMITED : plan.limit / t->serve->config->tp;
    if (way.slowest < limit) limit = way.slowest;
    if (limit >= KV_RATE_UNLIMITED) return plan.delay_tk + way.latency_tk + 1;
    kv_tick flow_tk = kv_rate_ticks((kv_service)(chunks * tier->read_bytes) * KV_SERVICE_PER_BYTE, limit);
    return flow_tk == KV_TICK_NEVER ? KV_TICK_NEVER : plan.delay_tk + way.latency_tk + flow_tk;
}

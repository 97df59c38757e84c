/* SPDX-License-Identifier: Apache-2.0 */
/* Accesses to pools, from their coming to their end (T15, T37, T38): a turn, a delay, a flow. */
#include "sim/serve/grant.h"
#include "sim/serve/instance.h"
#include "sim/serve/load.h"
#include "sim/serve/tier.h"
#include "sim/serve/write.h"

/* The fetch that it is an access of; KV_NONE where nobody wants to know of it. */
static uint32_t fetch_of(const struct kv_tiers *t, const struct kv_access_job *a)
{
    return a->write ? KV_NONE : kv_load_at(t, a->owner)->part[a->part].fetch;
}

/* Of a part: its own, and what the grant of its fetch leaves of it. */
static kv_rate limit_of(const struct kv_tiers *t, const struct kv_access_job *a)
{
    kv_rate limit = kv_grant_limit(t, fetch_of(t, a), a->plan.limit);
    return limit >= KV_RATE_UNLIMITED ? KV_RATE_UNLIMITED : limit / t->serve->config->tp;
}

static void start_flow(struct kv_tiers *t, uint32_t access)
{
    struct kv_access_job *a = kv_access_at(t, access);
    if (a->permitted == 0) {
        a->state = KV_ACCESS_CLOSED;
        return;
    }
    kv_fetch_flows(t, fetch_of(t, a));
    a->state = KV_ACCESS_FLOWING;
    a->flow = kv_flow_start(t->net, a->way.path, limit_of(t, a), a->bytes, a->permitted, access);
    if (a->mark < a->permitted) kv_flow_mark(t->net, a->flow, a->mark);
}

/* For the first of the queue that is still wanted: a timer for nobody would be an event of the run. */
static void arm_first(struct kv_tiers *t, struct kv_pqueue *queue, uint32_t timer)
{
    while (queue->count > 0 && kv_access_at(t, queue->at[0].value)->state == KV_ACCESS_DEAD)
        kv_pool_give(&t->accesses, kv_pqueue_pop(queue).value);
    if (queue->count > 0) kv_timer_arm(t->serve->engine, timer, queue->at[0].key);
    else kv_timer_disarm(t->serve->engine, timer);
}

static void arm_delays(struct kv_tiers *t)
{
    arm_first(t, &t->delays, t->delay_timer);
}

static void start_delay(struct kv_tiers *t, uint32_t access, kv_tick delay_tk)
{
    kv_tick due = kv_engine_now(t->serve->engine) + delay_tk;
    kv_pqueue_push(&t->delays, (struct kv_pentry){due, (int64_t)kv_access_at(t, access)->serial, access});
    arm_delays(t);
}

static void go(struct kv_tiers *t, uint32_t access)
{
    struct kv_access_job *a = kv_access_at(t, access);
    kv_tick delay_tk = a->plan.delay_tk + a->way.latency_tk;
    if (delay_tk == 0) {
        start_flow(t, access);
        return;
    }
    a->state = KV_ACCESS_DELAYED;
    start_delay(t, access, delay_tk);
}

/* It goes on with what it may deliver by now. */
static void resume(struct kv_tiers *t, uint32_t access)
{
    struct kv_access_job *a = kv_access_at(t, access);
    a->paused = a->resuming = false;
    kv_flow_permit(t->net, a->flow, a->permitted);
    if (a->mark < a->permitted) kv_flow_mark(t->net, a->flow, a->mark);
}

void kv_access_delays_end(void *owner, uint32_t kind)
{
    struct kv_tiers *t = owner;
    kv_tick now = kv_engine_now(t->serve->engine);
    (void)kind;
    while (t->delays.count > 0 && t->delays.at[0].key <= now) {
        uint32_t access = kv_pqueue_pop(&t->delays).value;
        const struct kv_access_job *a = kv_access_at(t, access);
        if (a->state == KV_ACCESS_DEAD) kv_pool_give(&t->accesses, access);
        else if (a->resuming) resume(t, access);
        else start_flow(t, access);
    }
    arm_delays(t);
}

/* ---- turns ---------------------------------------------------------------------------------------------------- */

/* What the store says to an access of `bytes` a part, and the links that its messages cross (T38). */
static struct kv_access_plan ask_for_plan(const struct kv_tiers *t, const struct kv_tier *tier,
                                          const struct kv_way *way, const struct kv_access *ask, int64_t bytes)
{
    struct kv_access_plan plan = tier->config->store->plan(tier->store, ask);
    if (plan.requests < 1) plan.requests = 1;
    double message_bytes = (double)(bytes * t->serve->config->tp) / (double)plan.requests;
    for (uint64_t links = way->messages; links; links &= links - 1) {
        const struct kv_link_config *link = &t->serve->config->network.links[__builtin_ctzll(links)];
        kv_rate most = link->ops->message_rate(link->params, message_bytes);
        if (most < plan.limit) plan.limit = most;
    }
    return plan;
}

static void take_turn(struct kv_tiers *t, uint32_t access)
{
    struct kv_access_job *a = kv_access_at(t, access);
    const struct kv_tier *tier = &t->tier[a->pool->tier];
    a->has_turn = true;
    a->pool->under_way++;
    a->plan = ask_for_plan(t, tier, &a->way, &(struct kv_access){
        .write = a->write, .delivery = (enum kv_delivery)a->delivery, .chunks = a->chunks, .number = a->number,
        .under_way = a->pool->under_way}, a->bytes);
    *(a->write ? &tier->counters->write_requests : &tier->counters->read_requests) += a->plan.requests;
    kv_fetch_planned(t, fetch_of(t, a), a->number, a->plan.limit);
    go(t, access);
}

static void arm_retries(struct kv_tiers *t)
{
    arm_first(t, &t->retries, t->retry_timer);
}

static bool turn_free(const struct kv_tiers *t, const struct kv_tier_pool *pool)
{
    int64_t turns = t->tier[pool->tier].turns;
    return turns == 0 || pool->under_way < turns;
}

static bool place_free(const struct kv_tiers *t, const struct kv_tier_pool *pool)
{
    int64_t line = t->tier[pool->tier].line;
    return line < 0 || pool->in_line < line;
}

/* It comes, or comes again (T37a): a turn, a place in the line, or a refusal. */
static void come(struct kv_tiers *t, uint32_t access)
{
    struct kv_access_job *a = kv_access_at(t, access);
    struct kv_tier_pool *pool = a->pool;
    const struct kv_tier *tier = &t->tier[pool->tier];
    if (turn_free(t, pool)) {
        take_turn(t, access);
    } else if (place_free(t, pool)) {
        a->state = KV_ACCESS_QUEUED;
        tier->counters->waited_accesses++;
        pool->in_line++;
        kv_vec_push(&pool->queue, access);
    } else {
        a->state = KV_ACCESS_REFUSED;
        tier->counters->refused_accesses++;
        kv_fetch_refused(t, fetch_of(t, a));
        kv_tick pause_tk = tier->config->store->retry_tk(tier->store, a->number, ++a->attempt);
        kv_assert(pause_tk > 0);
        kv_pqueue_push(&t->retries, (struct kv_pentry){kv_engine_now(t->serve->engine) + pause_tk, (int64_t)a->serial,
                                                       access});
        arm_retries(t);
    }
}

int64_t kv_access_refused_count(const struct kv_tiers *t)
{
    int64_t refused = 0;
    for (size_t i = 0; i < t->retries.count; i++)
        refused += kv_access_at(t, t->retries.at[i].value)->state == KV_ACCESS_REFUSED;
    return refused;
}

bool kv_access_idle(const struct kv_tiers *t)
{
    if (!kv_engine_idle_but(t->serve->engine, t->retry_timer)) return false;
    for (size_t i = 0; i < t->retries.count; i++) {
        const struct kv_access_job *a = kv_access_at(t, t->retries.at[i].value);
        if (a->state == KV_ACCESS_REFUSED && (turn_free(t, a->pool) || place_free(t, a->pool))) return false;
    }
    return true;
}

void kv_access_retries_come(void *owner, uint32_t kind)
{
    struct kv_tiers *t = owner;
    kv_tick now = kv_engine_now(t->serve->engine);
    (void)kind;
    while (t->retries.count > 0 && t->retries.at[0].key <= now) {
        uint32_t access = kv_pqueue_pop(&t->retries).value;
        if (kv_access_at(t, access)->state == KV_ACCESS_DEAD) kv_pool_give(&t->accesses, access);
        else come(t, access);
    }
    arm_retries(t);
    if (kv_access_idle(t)) kv_timer_disarm(t->serve->engine, t->retry_timer);   /* T37a: the run is stuck */
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
        pool->in_line--;
        take_turn(t, access);
    }
    if (pool->queue_front < pool->queue.count) return;
    pool->queue.count = pool->queue_front = 0;
}

static void give_turn_back(struct kv_tiers *t, struct kv_access_job *a)
{
    if (!a->has_turn) return;
    a->has_turn = false;
    a->pool->under_way--;
    if (t->tier[a->pool->tier].turns > 0) give_turns(t, a->pool);
}

static uint32_t begin(struct kv_tiers *t, const struct kv_access_job *job)
{
    uint32_t access = kv_pool_take(&t->accesses);
    struct kv_access_job *a = kv_access_at(t, access);
    *a = *job;
    a->serial = t->serial++;
    a->flow = KV_NONE;
    if (a->mark == 0) a->mark = a->permitted;
    if (a->pool) come(t, access);
    else go(t, access);
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
    int64_t bytes = r->chunks * (r->write ? tier->write_bytes : tier->read_bytes);
    tier->counters->accesses++;
    return begin(t, &(struct kv_access_job){
        .pool = r->pool, .way = way_of(t, r, number), .number = number, .delivery = (uint8_t)r->delivery,
        .chunks = r->chunks, .bytes = bytes, .permitted = r->permitted > 0 ? r->permitted : bytes,
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

void kv_access_flow_done(void *owner, uint32_t flow, uint64_t tag, int64_t bytes_done)
{
    struct kv_tiers *t = owner;
    uint32_t access = (uint32_t)tag;
    struct kv_access_job *a = kv_access_at(t, access);
    (void)flow;
    bool ended = bytes_done == a->bytes, paused = !ended && bytes_done == a->permitted;
    a->mark = a->permitted;
    a->paused = paused;
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
    if (a->state == KV_ACCESS_CLOSED) {
        start_flow(t, access);
        return;
    }
    if (a->state != KV_ACCESS_FLOWING || a->resuming) return;
    if (a->paused && a->plan.resume_delay_tk > 0) {
        a->resuming = true;
        start_delay(t, access, a->plan.resume_delay_tk + a->way.latency_tk);
    } else {
        a->paused = false;
        kv_flow_permit(t->net, a->flow, permitted);
    }
}

void kv_access_mark(struct kv_tiers *t, uint32_t access, int64_t mark)
{
    struct kv_access_job *a = kv_access_at(t, access);
    a->mark = mark;
    if (a->state == KV_ACCESS_FLOWING && !a->resuming) kv_flow_mark(t->net, a->flow, mark);
}

int64_t kv_access_moved_bytes(const struct kv_tiers *t, uint32_t access, kv_tick at_tk)
{
    const struct kv_access_job *a = kv_access_at(t, access);
    if (a->state == KV_ACCESS_FLOWING) return kv_flow_moved_bytes_by(t->net, a->flow, at_tk);
    return a->state == KV_ACCESS_ENDED ? a->bytes : 0;
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
    if (was == KV_ACCESS_QUEUED) a->pool->in_line--;
    give_turn_back(t, a);
    /* One that waits is given back where it comes up, which is now if it is the first. */
    if (was == KV_ACCESS_REFUSED) arm_retries(t);
    else if (was == KV_ACCESS_DELAYED || a->resuming) arm_delays(t);
    else if (was != KV_ACCESS_QUEUED) kv_pool_give(&t->accesses, access);
    return moved;
}

void kv_access_limit(struct kv_tiers *t, uint32_t access)
{
    const struct kv_access_job *a = kv_access_at(t, access);
    if (a->state == KV_ACCESS_FLOWING) kv_flow_limit(t->net, a->flow, limit_of(t, a));
}

/* ---- without beginning one ------------------------------------------------------------------------------------- */

/* Plan of the access that comes next at a pool, to read `chunks` chunks or, chunkwise, one of them. */
static struct kv_access_plan plan_next(const struct kv_tiers *t, const struct kv_tier_pool *pool,
                                       const struct kv_way *way, enum kv_delivery delivery, int64_t chunks,
                                       int64_t under_way)
{
    const struct kv_tier *tier = &t->tier[pool->tier];
    if (delivery == KV_DELIVERY_CHUNKWISE) chunks = 1;
    struct kv_access ask = {.delivery = delivery, .chunks = chunks, .number = pool->accesses, .under_way = under_way};
    return ask_for_plan(t, tier, way, &ask, chunks * tier->read_bytes);
}

kv_rate kv_access_stream_limit(struct kv_tiers *t, const struct kv_tier_pool *pool, int32_t instance,
                               enum kv_delivery delivery, int64_t chunks)
{
    struct kv_way way = kv_way_read(&t->topology, pool->tier, instance, 0);
    return plan_next(t, pool, &way, delivery, chunks, 1).limit;
}

kv_tick kv_access_estimate_tk(struct kv_tiers *t, const struct kv_tier_pool *pool, int32_t instance,
                              enum kv_delivery delivery, int64_t chunks)
{
    const struct kv_tier *tier = &t->tier[pool->tier];
    struct kv_way way = kv_way_read(&t->topology, pool->tier, instance, 0);
    struct kv_access_plan plan = plan_next(t, pool, &way, delivery, chunks, pool->under_way + 1);
    kv_rate limit = plan.limit >= KV_RATE_UNLIMITED ? KV_RATE_UNLIMITED : plan.limit / t->serve->config->tp;
    if (way.slowest < limit) limit = way.slowest;
    if (limit >= KV_RATE_UNLIMITED) return plan.delay_tk + way.latency_tk + 1;
    kv_tick flow_tk = kv_rate_ticks((kv_service)(chunks * tier->read_bytes) * KV_SERVICE_PER_BYTE, limit);
    return flow_tk == KV_TICK_NEVER ? KV_TICK_NEVER : plan.delay_tk + way.latency_tk + flow_tk;
}

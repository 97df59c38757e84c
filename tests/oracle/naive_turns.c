/* SPDX-License-Identifier: Apache-2.0 */
/* Accesses (T15, T37, T38): their turns, those refused, and their delays, up to the start of the flow. */
#include <string.h>

#include "tests/oracle/naive_parts.h"

/* --- Delays and starts --- */

static void on_its_way(struct oracle *o, struct access *a)
{
    struct transfer *t = naive_transfer_of(a);
    a->flow = o->flow_orders++;
    if (t && t->record.first_tk < 0) t->record.first_tk = o->now;
}

static void start_flow(struct oracle *o, struct access *a)
{
    a->phase = FLOWING;
    a->paused = false;
    if (a->permitted == 0) return;
    if (a->flow < 0) on_its_way(o, a);
    o->rates_stale = true;
}

static void start_delay(struct oracle *o, struct access *a, kv_tick delay_tk)
{
    a->phase = DELAYED;
    a->delay_end = o->now + delay_tk;
    if (delay_tk == 0) start_flow(o, a);
}

/* --- Turns --- */

static bool turn_free(const struct oracle *o, const struct tier_pool *p)
{
    int64_t limit = o->tier[p->tier].concurrency_limit;
    return limit == 0 || p->under_way < limit;
}

static bool place_free(const struct oracle *o, const struct tier_pool *p)
{
    int64_t places = o->tier[p->tier].queue_limit;
    return places < 0 || (int64_t)p->line.count < places;
}

/* T37: only now the store says what it takes. */
static void take_turn(struct oracle *o, struct access *a)
{
    struct tier_pool *p = a->pool;
    struct kv_tier_counters *c = &o->counters->tier[p->tier];
    a->turn = true;
    p->under_way++;
    struct kv_access access = {.write = a->write, .delivery = a->delivery, .chunks = a->chunks_asked,
                               .number = a->number, .under_way = p->under_way};
    struct kv_access_plan plan = naive_plan(o, p->tier, &access);
    *(a->write ? &c->write_requests : &c->read_requests) += plan.requests;
    kv_rate messages = naive_message_rate(o, &a->path, a->bytes * o->config->tp, plan.requests);
    o->coverage->message_limited += messages < plan.limit;
    a->limit = messages < plan.limit ? messages : plan.limit;
    a->delay_tk = plan.delay_tk + a->path.latency_tk;
    a->ack_tk = plan.ack_tk;
    a->resume_tk = plan.resume_delay_tk > 0 ? plan.resume_delay_tk + a->path.latency_tk : 0;
    if (a->load && a == a->load->parts.at[a->part].accesses.at[0]) naive_transfer_first(naive_transfer_of(a), a->limit);
    start_delay(o, a, a->delay_tk);
}

static void leave_line(struct tier_pool *p, const struct access *a)
{
    size_t i = 0;
    while (p->line.at[i] != a) i++;
    p->line.count--;
    memmove(&p->line.at[i], &p->line.at[i + 1], (p->line.count - i) * sizeof *p->line.at);
}

/* The turn goes to the next in line. */
void naive_give_turn_back(struct oracle *o, struct access *a)
{
    if (!a->turn) return;
    struct tier_pool *p = a->pool;
    a->turn = false;
    p->under_way--;
    while (p->line.count > 0 && turn_free(o, p)) {
        struct access *next = p->line.at[0];
        leave_line(p, next);
        take_turn(o, next);
    }
}

/* T37a: it will come again. */
static void refuse(struct oracle *o, struct access *a)
{
    int32_t tier = a->pool->tier;
    a->phase = REFUSED;
    a->attempts++;
    a->again_at = o->now + o->config->tier[tier].store->retry_tk(o->tier[tier].store, a->number, a->attempts);
    o->counters->tier[tier].refused_accesses++;
    if (a->load) naive_transfer_of(a)->record.refused++;
}

/* For the first time, or again: a turn, a place in the line, or neither. */
static void seek_turn(struct oracle *o, struct access *a)
{
    struct tier_pool *p = a->pool;
    if (turn_free(o, p)) {
        o->coverage->came_again += a->attempts > 0;
        take_turn(o, a);
    } else if (!place_free(o, p)) {
        refuse(o, a);
    } else {
        o->coverage->came_again += a->attempts > 0;
        a->phase = IN_LINE;
        kv_vec_push(&p->line, a);
        o->counters->tier[p->tier].waited_accesses++;
    }
}

static void enter(struct oracle *o, struct access *a)
{
    a->order = o->access_orders++;
    a->flow = -1;
    kv_vec_push(&o->accesses, a);
}

void naive_access_comes(struct oracle *o, struct access *a, int32_t instance, enum kv_delivery delivery,
                        int64_t chunks)
{
    struct tier_pool *p = a->pool;
    a->delivery = delivery;
    a->chunks_asked = chunks;
    a->number = (uint64_t)p->numbers++;
    if (a->from) naive_spill_path(o, a->from, p, a->number, &a->path);
    else naive_path(o, p, instance, a->write, a->number, &a->path);
    enter(o, a);
    o->counters->tier[p->tier].accesses++;
    seek_turn(o, a);
}

void naive_handover_flow(struct oracle *o, struct access *a)
{
    a->delay_tk = a->path.latency_tk;
    a->limit = KV_RATE_UNLIMITED;
    enter(o, a);
    start_delay(o, a, a->delay_tk);
}

void naive_permit(struct oracle *o, struct access *a, int64_t permitted)
{
    if (permitted <= a->permitted) return;
    a->permitted = permitted;
    if (a->phase != FLOWING) return;
    if (a->paused) {
        o->coverage->resumes_late += a->resume_tk > 0;
        start_delay(o, a, a->resume_tk);
        return;
    }
    if (a->flow < 0) on_its_way(o, a);
    o->rates_stale = true;
}

/* --- Ends --- */

void naive_access_over(struct oracle *o, struct access *a)
{
    size_t i = 0;
    while (o->accesses.at[i] != a) i++;
    o->accesses.count--;
    memmove(&o->accesses.at[i], &o->accesses.at[i + 1], (o->accesses.count - i) * sizeof *o->accesses.at);
    if (a->phase == IN_LINE) leave_line(a->pool, a);
    o->coverage->cancelled_refused += a->phase == REFUSED;
    a->phase = OVER;
    o->rates_stale = true;
    naive_give_turn_back(o, a);
}

int64_t naive_cancel(struct oracle *o, struct access *a)
{
    kv_assert(a->phase != OVER);
    naive_access_over(o, a);
    return (int64_t)(a->done / KV_SERVICE_PER_BYTE);
}

/* The access that came first of those in `phase` whose time has come; NULL. */
static struct access *first_due(const struct oracle *o, enum phase phase)
{
    for (size_t i = 0; i < o->accesses.count; i++) {
        struct access *a = o->accesses.at[i];
        if (a->phase == phase && (phase == DELAYED ? a->delay_end : a->again_at) <= o->now) return a;
    }
    return NULL;
}

kv_tick naive_retries_next_tick(const struct oracle *o)
{
    kv_tick next = KV_TICK_NEVER;
    for (size_t i = 0; i < o->accesses.count; i++) {
        const struct access *a = o->accesses.at[i];
        if (a->phase == REFUSED && a->again_at < next) next = a->again_at;
    }
    return next;
}

bool naive_retries_in_vain(const struct oracle *o)
{
    for (size_t i = 0; i < o->accesses.count; i++) {
        const struct access *a = o->accesses.at[i];
        if (a->phase == REFUSED && (turn_free(o, a->pool) || place_free(o, a->pool))) return false;
    }
    return true;
}

/* The run is stuck (T37a): nobody comes again. */
static void give_up_retries(struct oracle *o)
{
    for (size_t i = 0; i < o->accesses.count; i++) {
        struct access *a = o->accesses.at[i];
        if (a->phase != REFUSED) continue;
        a->again_at = KV_TICK_NEVER;
        o->coverage->refused_for_ever++;
    }
}

void naive_delays_end(struct oracle *o)
{
    for (struct access *a; (a = first_due(o, DELAYED));) start_flow(o, a);
    bool came = false;
    for (struct access *a; (a = first_due(o, REFUSED)); came = true) seek_turn(o, a);
    if (came && naive_at_rest(o)) give_up_retries(o);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/engine/engine.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "sim/engine/heap.h"

/* More rounds than this at one tick is a livelock: no real chain of causes within 4 ps is longer. So are more fires
 * than this, which a timer that arms itself in its own class would reach without a new round. */
#define ROUNDS_MAX 50000u
#define FIRES_MAX (UINT64_C(1) << 24)

struct timer { kv_fire fire; void *owner; uint32_t kind; enum kv_class class; };

struct kv_engine {
    struct kv_clock clock;         /* first: kv_engine_now */
    struct kv_heap due;
    struct kv_heap_key front;      /* an armed timer that is kept out of the heap; due KV_TICK_NEVER: none */
    KV_VEC(struct timer) timers;
    enum kv_class class;           /* being fired; KV_CLASS_COUNT outside */
    uint32_t round;                /* of the tick `now` */
    uint64_t fired, fired_before;  /* in all; before the tick `now` */
    FILE *log;
};

/* order = round:16 | class:8 | zero:8 | timer:32. The round comes first: a timer armed for the current tick in a
 * class that has passed waits until every class of this round has had its turn. */
static uint64_t order_of(uint32_t round, enum kv_class class, uint32_t timer)
{
    return (uint64_t)round << 48 | (uint64_t)class << 40 | timer;
}

struct kv_engine *kv_engine_open(uint64_t seed)
{
    struct kv_engine *e = kv_mem_take(sizeof *e);
    e->class = KV_CLASS_COUNT;
    e->front.due = KV_TICK_NEVER;
    kv_assert_context(&e->clock.now, seed);
    return e;
}

void kv_engine_close(struct kv_engine *e)
{
    kv_assert_context(NULL, 0);
    kv_heap_close(&e->due);
    kv_vec_close(&e->timers);
    kv_mem_give(e, sizeof *e);
}

uint32_t kv_timer_new(struct kv_engine *e, enum kv_class class, kv_fire fire, void *owner, uint32_t kind)
{
    kv_vec_push(&e->timers, ((struct timer){fire, owner, kind, class}));
    return (uint32_t)(e->timers.count - 1);
}

static bool is_front(const struct kv_engine *e, uint32_t timer)
{
    return (uint32_t)e->front.order == timer && e->front.due != KV_TICK_NEVER;
}

/* Most timers are armed by who has just been fired, to be the next or not far from it: one of them, the earliest of
 * those that were not in the heap yet, waits in front of it and costs it nothing. */
static void set(struct kv_engine *e, uint32_t timer, struct kv_heap_key key)
{
    if (is_front(e, timer) || e->front.due == KV_TICK_NEVER) {
        if (kv_heap_has(&e->due, timer)) kv_heap_set(&e->due, key);
        else e->front = key;
    } else if (kv_heap_has(&e->due, timer) || kv_heap_before(&e->front, &key)) {
        kv_heap_set(&e->due, key);
    } else {
        kv_heap_set(&e->due, e->front);
        e->front = key;
    }
}

void kv_timer_arm(struct kv_engine *e, uint32_t timer, kv_tick due_tk)
{
    enum kv_class class = e->timers.at[timer].class;
    uint32_t round = 0;
    kv_assert(due_tk >= e->clock.now);
    if (due_tk == e->clock.now) round = e->round + (e->class != KV_CLASS_COUNT && class < e->class);
    set(e, timer, (struct kv_heap_key){due_tk, order_of(round, class, timer)});
}

void kv_timer_disarm(struct kv_engine *e, uint32_t timer)
{
    if (is_front(e, timer)) e->front.due = KV_TICK_NEVER;
    else kv_heap_drop(&e->due, timer);
}

kv_tick kv_timer_due_tk(const struct kv_engine *e, uint32_t timer)
{
    if (is_front(e, timer)) return e->front.due;
    return kv_heap_has(&e->due, timer) ? e->due.key.at[e->due.position.at[timer]].due : KV_TICK_NEVER;
}

enum kv_class kv_engine_class(const struct kv_engine *e)
{
    return e->class;
}

kv_tick kv_engine_seen_tk(const struct kv_engine *e)
{
    bool boundaries_passed = e->round > 0 || (e->class != KV_CLASS_COUNT && e->class > KV_CLASS_BOUNDARY);
    if (e->class == KV_CLASS_COUNT) boundaries_passed = boundaries_passed || kv_engine_next_tk(e) > e->clock.now;
    return boundaries_passed ? e->clock.now : e->clock.now - 1;
}

kv_tick kv_engine_next_tk(const struct kv_engine *e)
{
    const struct kv_heap_key *top = kv_heap_top(&e->due);
    return top && top->due < e->front.due ? top->due : e->front.due;
}

static bool is_idle(struct kv_heap_key key, uint32_t but)
{
    return (enum kv_class)(key.order >> 40 & 0xff) == KV_CLASS_SAMPLE || (uint32_t)key.order == but;
}

bool kv_engine_idle_but(const struct kv_engine *e, uint32_t timer)
{
    if (e->front.due != KV_TICK_NEVER && !is_idle(e->front, timer)) return false;
    for (size_t i = 0; i < e->due.key.count; i++)
        if (!is_idle(e->due.key.at[i], timer)) return false;
    return true;
}

/* The next to fire; false when there is none. */
static bool next(const struct kv_engine *e, struct kv_heap_key *key)
{
    const struct kv_heap_key *top = kv_heap_top(&e->due);
    *key = top && kv_heap_before(top, &e->front) ? *top : e->front;
    return key->due != KV_TICK_NEVER;
}

static bool livelock(const struct kv_heap_key *key, uint64_t fires, const struct timer *timer, struct kv_err *err)
{
    static const char *const class_name[KV_CLASS_COUNT] = {
        "completion", "visible", "arrival", "policy", "settle", "boundary", "sample"};
    return kv_fail(err, KV_ESTUCK, "", "livelock: %" PRIu64 " events in %u rounds at tick %" PRId64 " (%.9f s) "
                   "and no end; timer %u (class %s) is next", fires, (unsigned)(key->order >> 48), key->due,
                   kv_tick_to_s(key->due), (unsigned)(uint32_t)key->order, class_name[timer->class]);
}

bool kv_engine_step(struct kv_engine *e, struct kv_err *err)
{
    struct kv_heap_key key;
    if (!next(e, &key)) return false;
    uint32_t id = (uint32_t)key.order, round = (uint32_t)(key.order >> 48);
    const struct timer timer = e->timers.at[id];   /* a copy: fire may make timers */
    kv_assert(key.due >= e->clock.now);
    if (key.due > e->clock.now) e->fired_before = e->fired;
    if (round >= ROUNDS_MAX || e->fired - e->fired_before >= FIRES_MAX)
        return livelock(&key, e->fired - e->fired_before, &timer, err);
    kv_timer_disarm(e, id);
    e->clock.now = key.due;
    e->round = round;
    e->class = timer.class;
    e->fired++;
    timer.fire(timer.owner, timer.kind);
    e->class = KV_CLASS_COUNT;
    return true;
}

uint64_t kv_engine_fired(const struct kv_engine *e)
{
    return e->fired;
}

void kv_engine_log_to(struct kv_engine *e, FILE *stream)
{
    e->log = stream;
}

bool kv_engine_logs(const struct kv_engine *e)
{
    return e->log != NULL;
}

void kv_log(struct kv_engine *e, const char *verb, const char *fmt, ...)
{
    if (!e->log) return;
    va_list args;
    va_start(args, fmt);
    fprintf(e->log, "%" PRId64 " %d %s ", e->clock.now, (int)e->class, verb);
    vfprintf(e->log, fmt, args);
    fputc('\n', e->log);
    va_end(args);
}

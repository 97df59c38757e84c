/* SPDX-License-Identifier: Apache-2.0 */
/* Clock, timers, run loop.
 *
 * Everything that can have something pending owns one timer: one identity, armed at most once, moved in place.
 * Due timers fire in the total order (tick, class, timer id), which does not depend on who armed first, so a
 * fast engine and a naive one can agree bit for bit. A timer armed for the current tick in a class already
 * passed runs in the next round of the same tick; rounds per tick are bounded (livelock). */
#ifndef KV_ENGINE_ENGINE_H
#define KV_ENGINE_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "sim/base/arena.h"
#include "sim/base/err.h"
#include "sim/base/tick.h"

/* Order of things at one tick, and why: data that has arrived (0, 1) is seen by arrivals (2) and by policies
 * (3); links are re-shared once after all that (4); an instance then plans its next step knowing all of it (5);
 * samples look last (6). Semantics A.3. */
enum kv_class {
    KV_CLASS_COMPLETION, KV_CLASS_VISIBLE, KV_CLASS_ARRIVAL, KV_CLASS_POLICY,
    KV_CLASS_SETTLE, KV_CLASS_BOUNDARY, KV_CLASS_SAMPLE, KV_CLASS_COUNT
};

struct kv_engine;
/* `owner` and `kind` are what was given to kv_timer_new. The timer is disarmed before fire is called. */
typedef void (*kv_fire)(void *owner, uint32_t kind);

struct kv_engine *kv_engine_open(uint64_t seed);
void kv_engine_close(struct kv_engine *e);
/* Ids count up from 0 in call order. */
uint32_t kv_timer_new(struct kv_engine *e, enum kv_class class, kv_fire fire, void *owner, uint32_t kind);
/* Arms or moves. due_tk >= now (assert). */
void kv_timer_arm(struct kv_engine *e, uint32_t timer, kv_tick due_tk);
void kv_timer_disarm(struct kv_engine *e, uint32_t timer);   /* nothing when not armed */
/* KV_TICK_NEVER when not armed. */
kv_tick kv_timer_due_tk(const struct kv_engine *e, uint32_t timer);

/* The clock is what an engine begins with; everybody reads it all the time, so it is no call. */
struct kv_clock { kv_tick now; };
static inline kv_tick kv_engine_now(const struct kv_engine *e)
{
    return ((const struct kv_clock *)(const void *)e)->now;
}
/* Class being fired; KV_CLASS_COUNT outside a fire. */
enum kv_class kv_engine_class(const struct kv_engine *e);
/* The last tick whose instance boundaries all precede the present moment in the total order: `now` once the
 * boundaries of its first round are past, else `now` - 1. Who reads an instance advances it to here (semantics A.4). */
kv_tick kv_engine_seen_tk(const struct kv_engine *e);
/* Tick of the next due timer, KV_TICK_NEVER when none is armed. */
kv_tick kv_engine_next_tk(const struct kv_engine *e);
/* No timer is armed, but perhaps of class sample; and but for one (KV_NONE: there is none to leave out). */
bool kv_engine_idle_but(const struct kv_engine *e, uint32_t timer);
static inline bool kv_engine_idle(const struct kv_engine *e) { return kv_engine_idle_but(e, KV_NONE); }
/* Fires the next timer. False when none is armed, or when a tick passed its limit of rounds or fires: then *err is
 * filled (KV_ESTUCK, naming tick, class and timer of the loop); err->code stays KV_OK when there was simply nothing. */
bool kv_engine_step(struct kv_engine *e, struct kv_err *err);
uint64_t kv_engine_fired(const struct kv_engine *e);

/* Event log: a text line per event of the simulated world, diffable:
 *     <tick> <class> <verb> key=value ...
 * NULL stream (the default) turns it off; the caller owns the stream. */
struct _IO_FILE;
void kv_engine_log_to(struct kv_engine *e, struct _IO_FILE *stream);
bool kv_engine_logs(const struct kv_engine *e);
void kv_log(struct kv_engine *e, const char *verb, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif

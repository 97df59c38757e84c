/* SPDX-License-Identifier: Apache-2.0 */
/* When requests enter: open, closed-loop and session replay, and the front end before the router (docs/engine.md
 * rules 5, 6, 24, 25). One timer of class arrival serves them all. */
#ifndef KV_SERVE_REPLAY_H
#define KV_SERVE_REPLAY_H

#include "sim/lib/pqueue.h"
#include "sim/serve/instance.h"
#include "sim/serve/sim.h"
#include "sim/serve/turns.h"

struct kv_replay {
    struct kv_serve *serve;
    struct kv_source source;
    uint32_t timer;
    int64_t taken;                     /* rows taken from the source */
    bool drained;                      /* the source has ended */
    uint32_t ahead;                    /* open: the row read ahead; KV_NONE */
    struct kv_pqueue thinking;         /* known to arrive: (arrival tick, request, seq) */
    struct kv_pqueue in_front_end;     /* arrived, not yet at the router: (due tick, request, seq) */
    bool whole;                        /* sessions are kept together: all rows are held from the start, because a turn
                                        * may come earlier than recorded */
    struct kv_turns turns;
    size_t next_first;                 /* next row that follows nobody */
    void *owner;
    void (*arrive)(void *owner, uint32_t seq);   /* reaches the router, or has failed in the trace */
    struct kv_err *err;                /* set, with code, when the source failed */
};

bool kv_replay_open(struct kv_replay *r, struct kv_serve *serve, struct kv_source source, void *owner,
                    void (*arrive)(void *owner, uint32_t seq), struct kv_err *err);
/* A request has ended at the tick of the clock: closed and session replay go on from it. */
void kv_replay_ended(struct kv_replay *r, int64_t request);
/* End of the run: calls `visit` for every request that has not reached the router. Those that were taken from the
 * source but never arrived (a client thought, a turn waited for the one before it) count as injected now: each row
 * taken has its record. */
void kv_replay_finish(struct kv_replay *r, void (*visit)(void *state, uint32_t seq), void *state);
void kv_replay_close(struct kv_replay *r);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The oracle's replay: who comes when (docs/engine.md, rules 5, 24, 24a, 25, 25a). */
#ifndef KV_TESTS_ORACLE_NAIVE_REPLAY_H
#define KV_TESTS_ORACLE_NAIVE_REPLAY_H

#include "sim/base/arena.h"
#include "sim/iface/request.h"
#include "sim/iface/config.h"

/* Something at `tick` in the class of arrivals: a request comes, or is through the front end. */
struct naive_pending { kv_tick tick; int64_t job; bool through; };

struct naive_replay {
    const struct kv_sim_config *config;
    const struct kv_request *requests;
    int64_t count;
    KV_VEC(struct naive_pending) pending;
    int64_t next_row;                /* first row that nobody has taken from the source yet */
    /* Sessions kept together; NULL elsewhere. */
    kv_tick *ended;                  /* tick at which the row ended, -1 */
    bool *expected;                  /* the row is or was pending */
};

/* The requests that need nobody's end become pending, as far as the source is read ahead. */
void naive_replay_open(struct naive_replay *r, const struct kv_sim_config *config, const struct kv_request *requests,
                       int64_t count);
void naive_replay_close(struct naive_replay *r);
/* Request `job` has come at `now` and goes through the front end to the router (rule 5). */
void naive_replay_front_end(struct naive_replay *r, kv_tick now, int64_t job);
/* To be called when a request has come and been dealt with: the source may be read on. */
void naive_replay_came(struct naive_replay *r, int64_t job);
/* Somebody ended at `now`: whoever comes because of it becomes pending. */
void naive_replay_ended(struct naive_replay *r, kv_tick now, int64_t job);
/* Takes the pending one of least request index at tick `now`; false when there is none. */
bool naive_replay_take(struct naive_replay *r, kv_tick now, struct naive_pending *out);
/* Tick of the earliest pending one; KV_TICK_NEVER. */
kv_tick naive_replay_next_tick(const struct naive_replay *r);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* A serving loop with continuous batching over a device that really computes: docs/engine.md, rules 1 to 23, for one
 * instance, open replay, fcfs and lru; docs/tiers.md, T5 to T11 and T36, for one tier of host memory that nothing is
 * written to. It is a third program for those pages, beside sim/serve and tests/oracle, and the only one of them with
 * pages that have places. Different: nobody ever gives loaded blocks back (T13); who finds no pages is preempted. */
#ifndef KV_CALIB_SERVE_LOOP_H
#define KV_CALIB_SERVE_LOOP_H

#include <signal.h>

#include "calib/serve/device.h"
#include "calib/serve/pool.h"
#include "sim/iface/config.h"

/* A request from its arrival to its end. */
struct kv_loop_seq {
    struct kv_request request;
    enum kv_status status;             /* KV_STATUS_UNFINISHED until it ends */
    kv_tick arrival_tk, first_sched_tk, first_token_tk, finish_tk;   /* -1: has not come */
    int32_t generated, computed;       /* tokens; known = input + generated */
    int32_t cached_before;             /* full blocks it left in the cache when it was preempted */
    int32_t hbm_tokens, host_tokens;   /* hits, of the look-up that led to its first joining */
    int32_t preemptions;
    KV_VEC(int32_t) page, load;        /* loads it may still wait for */
};

struct kv_loop_stats { int64_t steps, prefill_tokens, decode_tokens, loads, loaded_blocks, preemptions; };
struct kv_loop_turn { uint32_t seq; int32_t new_tokens; };

struct kv_loop;
/* What becomes known while it runs. Members may be NULL. False: the run ends with *err. */
struct kv_loop_sink {
    void *state;
    bool (*step)(void *state, const struct kv_loop *loop, const struct kv_loop_batch *batch,
                 const struct kv_loop_step *step, struct kv_err *err);
    bool (*ended)(void *state, const struct kv_loop_seq *seq, struct kv_err *err);
};

struct kv_loop {
    const struct kv_sim_config *config;
    struct kv_loop_device device;
    struct kv_loop_sink sink;
    const volatile sig_atomic_t *stop; /* not 0: the run ends after the step under way; may be NULL */

    struct kv_loop_seq *seq;           /* in the order of arrival */
    uint32_t seq_count, arrived;
    struct kv_loop_pool pool;
    /* Host memory: place of a key, and which are visible (T36). */
    struct kv_map slot_of;
    bool *slot_visible;
    int32_t slot_count, slot_room;
    int32_t load_count;

    KV_VEC(uint32_t) preempted;        /* the last is first */
    KV_VEC(uint32_t) waiting;          /* from `waiting_head` on */
    size_t waiting_head;
    KV_VEC(uint32_t) holding, running; /* running in order of joining */
    int64_t budget_tokens;             /* left of the step that is put together */
    bool preempting;                   /* somebody was preempted in this boundary */
    KV_VEC(struct kv_loop_turn) turn;  /* of that step */
    KV_VEC(struct kv_loop_member) member;
    struct kv_loop_stats stats;
};

/* Takes all requests of `source` (which ends), and places in host memory for what they bring. `arena` holds their ids.
 * Failed requests are known as such. *loop points to config; kv_loop_close in either case. */
bool kv_loop_open(struct kv_loop *loop, const struct kv_sim_config *config, int (*next)(void *, struct kv_request *,
                  struct kv_err *), void *source, struct kv_arena *arena, struct kv_err *err);
void kv_loop_close(struct kv_loop *loop);
/* Tokens of the longest request that is served, and of the longest prefix that is brought into host memory. */
void kv_loop_longest(const struct kv_loop *loop, int64_t *request_tokens, int64_t *resident_tokens);
/* Fills host memory: each resident prefix is computed once on the device. */
bool kv_loop_fill(struct kv_loop *loop, struct kv_err *err);
/* To the end of all requests; *complete: it was not stopped before. */
bool kv_loop_run(struct kv_loop *loop, bool *complete, struct kv_err *err);

/* ---- between the files of the loop ---- */

/* Rules 11 to 13 and T7 to T11 at `now`: what is computed next, in turn[]. */
bool kv_loop_schedule(struct kv_loop *loop, kv_tick now, struct kv_err *err);
/* Rule 10. */
bool kv_loop_step_ended(struct kv_loop *loop, kv_tick end, struct kv_err *err);
/* The load that brings somebody nearer to joining, and how many layers of it that takes; -1: none is awaited. */
int32_t kv_loop_awaited(struct kv_loop *loop, int32_t *layers);
/* Key of full block i; *own: nobody else has it (rule 15). */
uint64_t kv_loop_key(const struct kv_loop *loop, const struct kv_loop_seq *s, int32_t i, bool *own);

static inline int32_t kv_loop_known(const struct kv_loop_seq *s) { return s->request.input_tokens + s->generated; }

#endif

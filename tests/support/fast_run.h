/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the engine of sim/serve over an array of requests and keeps every record, by request index. */
#ifndef KV_TESTS_SUPPORT_FAST_RUN_H
#define KV_TESTS_SUPPORT_FAST_RUN_H

#include "sim/serve/sim.h"
#include "tests/support/random_scenario.h"
#include "tests/support/told.h"

struct kv_fast_run {
    int64_t count, given;           /* requests; records given to the sink */
    struct kv_record *records;      /* [count] */
    bool *recorded;                 /* [count]: the record was given */
    bool *came;                     /* [count]: and the request had arrived (rule 23 records rows that never did) */
    bool given_twice;
    struct kv_told told;
    struct kv_sim_state state;      /* read at the end, before kv_sim_finish */
    struct kv_counters counters;    /* = state.counters */
    enum kv_sim_end end;
    kv_tick end_tk;
    uint64_t events;
};

/* Called between events; `sim` may be read. False ends the run at once (kv_fast_run then returns false too). */
struct kv_between { void *state; bool (*call)(void *state, struct kv_sim *sim); uint64_t events; };

/* `between` may be NULL. False with *err when the run failed. kv_fast_run_close in either case. */
bool kv_fast_run(struct kv_fast_run *run, const struct kv_sim_config *config, const struct kv_request *requests,
                 int64_t count, const struct kv_between *between, struct kv_err *err);
void kv_fast_run_close(struct kv_fast_run *run);

#endif

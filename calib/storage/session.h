/* SPDX-License-Identifier: Apache-2.0 */
/* A run of kvsim-calib-storage: rounds over the cells of the plan until the time is over or there are enough samples,
 * each request appended to samples.csv as soon as its visit has ended, so that a break loses nothing. */
#ifndef KV_CALIB_SESSION_H
#define KV_CALIB_SESSION_H

#include "calib/storage/storage.h"

struct kv_storage_session {
    struct kv_arena *arena;
    const struct kv_storage_target *target;
    struct kv_storage_cell *cell;
    int32_t cell_count;
    const char *path;              /* of samples.csv */
    int32_t samples_wanted;        /* of each cell */
    double budget_s;
    uint64_t seed;
    double pause_s;                /* as of a visit */
    const volatile sig_atomic_t *stop;
    void (*say)(const char *text); /* progress, a line without its end; NULL: none */
    /* what came of it */
    int32_t rounds;                /* the last one, of this run or of those before */
    bool timed_out;                /* the budget ended before there were enough samples */
    double best_Bps[3];            /* of each kind of request */
};

/* Counts what samples.csv holds already (the end of a line that a break cut off goes), or begins it. */
bool kv_storage_resume(struct kv_storage_session *session, struct kv_err *err);
/* False with *err when a request failed; what had been taken is kept. An interruption (*stop) is no failure. */
bool kv_storage_measure(struct kv_storage_session *session, struct kv_err *err);

#endif

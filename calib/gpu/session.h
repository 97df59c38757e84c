/* SPDX-License-Identifier: Apache-2.0 */
/* A run of kvsim-calib-gpu: rounds over the points of the plan, the most valuable first, until each has been visited
 * often enough or the time is over. Every visit is a line of visits.csv at once, so that a break loses nothing and the
 * same command goes on. What measures, and the clock, are the caller's. Needs no CUDA. */
#ifndef KV_CALIB_GPU_SESSION_H
#define KV_CALIB_GPU_SESSION_H

#include <signal.h>
#include <stdio.h>

#include "calib/gpu/point.h"

/* What a visit found. */
struct kv_gpu_result {
    double time_s, spread_s;     /* median, and median absolute deviation, of `batches` */
    int32_t batches;
    double sum_s;                /* KV_GPU_LAYERS: of the operators one by one; else 0 */
    int32_t sm_MHz;              /* clock of the SMs just after; 0: not known */
    const char *throttle;        /* "none", "power+heat", .., "unknown"; outlives the session */
};
struct kv_gpu_visit { struct kv_gpu_point point; struct kv_gpu_result result; int32_t round; };
struct kv_gpu_visits { KV_VEC(struct kv_gpu_visit) at; };

enum kv_gpu_outcome {
    KV_GPU_MEASURED,
    KV_GPU_LEFT_OUT,             /* cannot be measured here; *err says why */
    KV_GPU_WRONG,                /* results were wrong, or it could not be run: no point of its kind is timed */
    KV_GPU_FAILED                /* the device failed; the session ends */
};
struct kv_gpu_measurer {
    void *state;
    double (*now_s)(void *state);
    enum kv_gpu_outcome (*measure)(void *state, const struct kv_gpu_point *point, struct kv_gpu_result *result,
                                   struct kv_err *err);
};

struct kv_gpu_session {
    struct kv_arena *arena;
    const struct kv_gpu_measurer *measurer;
    struct kv_gpu_point *point;
    int32_t count;
    const char *path;            /* of visits.csv */
    int32_t visits_wanted;       /* of each point */
    double budget_s;
    const volatile sig_atomic_t *stop;
    /* Progress (a line without its end), and reasons for what is left out, each once. */
    void (*say)(const char *text);
    void (*tell)(const char *reason);
    /* what came of it */
    struct kv_gpu_visits visits; /* of this run and of those before; kv_gpu_session_close */
    KV_VEC(const char *) reason; /* why points were left out, each once */
    int32_t measured, left_out;  /* visits of this run; points */
    bool timed_out;              /* the budget ended before all had been visited often enough */
    bool wrong;                  /* something computed wrong results, or failed */
};

/* What a visit takes at the most, on a slow device [s]: those for which there is no time left are passed over. */
double kv_gpu_visit_most_s(const struct kv_gpu_point *point);
/* Reads what visits.csv holds already (the end of a line that a break cut off goes), or begins it. */
bool kv_gpu_session_resume(struct kv_gpu_session *session, struct kv_err *err);
/* False with *err when the device failed; an interruption (*stop) is no failure. */
bool kv_gpu_session_measure(struct kv_gpu_session *session, struct kv_err *err);
void kv_gpu_session_close(struct kv_gpu_session *session);

/* ---- visits.csv ---- */

/* Texts and shapes of a model's name go into the arena. A damaged row is told by file and line (KV_ECALIB). */
bool kv_gpu_visits_read(struct kv_arena *arena, const char *path, struct kv_gpu_visits *visits, struct kv_err *err);
bool kv_gpu_visits_header(FILE *file);
bool kv_gpu_visits_row(FILE *file, const struct kv_gpu_visit *visit);

#endif

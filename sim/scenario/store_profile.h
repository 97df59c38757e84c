/* SPDX-License-Identifier: Apache-2.0 */
/* Store profiles as `kvsim calib` reads and writes them: a folder with
 *
 *   profile.yaml    kind, source, the parameters of that kind, and under `calibration` how they were measured and how
 *                   well they meet measurements they were not fitted to
 *   samples.csv     every request (sim/lib/access_samples.h)
 *   first_byte.csv and others   curves of an object store (models/store/object.c)
 *
 * A profile compiled from published figures is profile.yaml or NAME.yaml alone, without `calibration`. */
#ifndef KV_SCENARIO_STORE_PROFILE_H
#define KV_SCENARIO_STORE_PROFILE_H

#include "sim/lib/access_samples.h"
#include "sim/scenario/shapes.h"
#include "sim/plug.h"

/* What `calibration` says. Errors are |model / measured - 1| of medians: the mean over cells, and the worst. */
struct kv_store_calibration {
    int64_t version;
    const char *date, *server, *client, *how, *note;
    int64_t requests, failed;
    int64_t least_bytes, most_bytes, most_connections;     /* the domain */
    int64_t holdout_permille, holdout_seed;
    double first_byte_error, first_byte_worst, read_error, read_worst, write_error, write_worst;
    /* One stream by robust least squares, for comparison: start + bytes / rate. */
    double stream_start_s, stream_bps;
};

struct kv_store_profile {
    const char *path;                  /* of profile.yaml or NAME.yaml */
    const char *folder;                /* that it lies in */
    const char *kind, *source;
    const struct kv_plugin *plugin;    /* of the kind */
    void *params;                      /* bound, defaults included */
    struct kv_yaml *root;
    bool calibrated;
    struct kv_store_calibration calibration;
};

/* The curves of an object store: parameter, file, what its values are called, where they are in a fit. */
struct kv_store_curve { const char *key, *file, *value; size_t offset; };
extern const struct kv_store_curve kv_store_curves[];   /* ended by a NULL key */
static inline const struct kv_knots *kv_store_curve_of(const struct kv_store_curve *curve,
                                                        const struct kv_access_fit *fit)
{
    return (const struct kv_knots *)(const void *)((const char *)fit + curve->offset);
}
bool kv_store_curve_read(struct kv_arena *arena, const char *folder, const struct kv_store_curve *curve,
                         struct kv_knots *knots, struct kv_err *err);

/* By name (models/stores) or path. Everything is looked at: parameters, tables, calibration. False with file, row and
 * reason. A profile of a link is none of this (KV_ECONFIG). */
bool kv_store_profile_read(struct kv_arena *arena, const char *name, struct kv_store_profile *profile,
                           struct kv_err *err);

/* Fits parameters to samples: without the points held out, which are scored, then with all. */
struct kv_store_fitted { struct kv_access_fit fit; struct kv_access_error first_byte, read, write; };
bool kv_store_profile_fit(struct kv_arena *arena, const char *kind, const struct kv_access_samples *samples,
                          int64_t holdout_permille, int64_t holdout_seed, struct kv_store_fitted *fitted,
                          struct kv_err *err);
/* Writes FOLDER (made if need be) but for samples.csv, which is there already; fills the errors and the domain of
 * `calibration` from what was fitted. `kind`: object or disk. */
bool kv_store_profile_write(struct kv_arena *arena, const char *folder, const char *kind, const char *source,
                            const struct kv_access_samples *samples, const struct kv_store_fitted *fitted,
                            struct kv_store_calibration *calibration, struct kv_err *err);
/* The parameters that were fitted, in the order of the kind's table, as YAML texts: `visit` for each. */
void kv_store_profile_parameters(struct kv_arena *arena, const char *kind, const struct kv_access_fit *fit,
                                 void (*visit)(void *context, const char *key, const char *text), void *context);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Results: streamed to HDF5 (schema 1.0), summed up, printed. */
#ifndef KV_OUT_OUT_H
#define KV_OUT_OUT_H

#include "sim/iface/record.h"
#include "sim/scenario/scenario.h"
#include "sim/serve/sim.h"
#include "sim/serve/workload.h"

/* What a run knows beside records and bins. Texts outlive the writer. Nothing here depends on host, wall time or
 * output path (semantics F.31). */
struct kv_run_info {
    const struct kv_scenario *scenario;
    const char *resolved_yaml;
    const char *set_text;              /* the --set list, one a line; "" */
    const char *const *source_names;   /* tiers in order, then "compute" */
    int32_t source_count;
    const char *warnings;              /* one a line; NULL or "": none */
};

#define KV_RESULTS_SCHEMA "1.0.0"

struct kv_results;
/* path NULL: keep the summary only. Writes to PATH.tmp; refuses an existing PATH unless `force`. */
struct kv_results *kv_results_open(const char *path, bool force, const struct kv_run_info *info,
                                   struct kv_err *err);
struct kv_sink kv_results_sink(struct kv_results *r);
/* Ends the file: time series, tiers, summary, quality, meta; fsync and rename. `status` is "complete" or
 * "interrupted". After it the summary can be printed. False leaves no PATH behind. */
bool kv_results_commit(struct kv_results *r, struct kv_sim *sim, const struct kv_workload_stats *workload,
                       const char *status, struct kv_err *err);
/* Closes; without a commit the temporary file is removed. */
void kv_results_close(struct kv_results *r);

/* The result table (at most 80 columns) or one JSON object, after commit. Arena text. */
const char *kv_results_table(struct kv_results *r, struct kv_arena *arena);
const char *kv_results_json(struct kv_results *r, struct kv_arena *arena);

/* Reading back, for export and plot. */
bool kv_results_export_csv(const char *path, const char *table, FILE *out, struct kv_err *err);
/* A self-contained SVG picture of a results file: kind "overview" (TTFT and TPOT CDFs, queue and running
 * sequences, tokens by source and KV blocks over time). */
bool kv_results_plot(const char *path, const char *kind, FILE *out, struct kv_err *err);

#endif

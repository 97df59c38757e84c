/* SPDX-License-Identifier: Apache-2.0 */
/* Results: streamed to HDF5 (schema 1.3), summed up, printed. */
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

#define KV_RESULTS_SCHEMA "1.3.0"

struct kv_results;
/* path NULL: keep the summary only. Writes to PATH.tmp; refuses an existing PATH unless `force`. */
struct kv_results *kv_results_open(const char *path, bool force, const struct kv_run_info *info,
                                   struct kv_err *err);
struct kv_sink kv_results_sink(struct kv_results *r);
/* Ends the file: time series, tiers, links, summary, quality, meta; fsync and rename. `status` is "complete",
 * "interrupted" or "stuck". After it the summary can be printed. False leaves no PATH behind. */
bool kv_results_commit(struct kv_results *r, struct kv_sim *sim, const struct kv_workload_stats *workload,
                       const char *status, struct kv_err *err);
/* Closes; without a commit the temporary file is removed. */
void kv_results_close(struct kv_results *r);

/* The result table (at most 80 columns) or one JSON object, after commit. Arena text. */
const char *kv_results_table(struct kv_results *r, struct kv_arena *arena);
const char *kv_results_json(struct kv_results *r, struct kv_arena *arena);

/* Names, units and meanings of the numbers of a summary. Arena memory. */
struct kv_fact;
const struct kv_fact *kv_results_metrics(int32_t *count, struct kv_arena *arena);

/* After the commit of a run that was stuck: who waits, for which links, since when. Arena text. */
const char *kv_results_stuck(const struct kv_results *r, struct kv_arena *arena);

/* Reading back. format: csv, json, jsonl; table: requests, summary, timeseries, tiers, links, flows, layers. `against`
 * (NULL: none): a results file of the same requests; requests then tell by how much their TTFT is longer. */
bool kv_results_export(const char *path, const char *format, const char *table, const char *against, FILE *out,
                       struct kv_err *err);
/* A trace in the `blocks` format that replays the run's arrivals and prefixes (docs/results.md). It needs the run's
 * workload again: `scenario` is the one stored in the file (kv_results_scenario), loaded. */
bool kv_results_export_trace(const char *path, const struct kv_scenario *scenario, FILE *out, struct kv_err *err);
/* Text of /meta/resolved_yaml, and the trace file as the run opened it ("" for a generator). False with *err. */
bool kv_results_scenario(const char *path, const char **yaml, const char **trace, struct kv_arena *arena,
                         struct kv_err *err);

/* What a request spent its time on, in words and numbers. request < 0: the `worst` measured requests instead, those
 * with the longest TTFT, or with the most that it is longer than in `against` (NULL: none); or, with `percentile`
 * ("ttft.p99": ttft, tpot, e2e or, with `against`, added; p0 to p100; else NULL), the one that stands there. */
struct kv_explain_options { int64_t request, worst; const char *percentile, *against; };
bool kv_results_explain(const char *path, const struct kv_explain_options *options, FILE *out, struct kv_err *err);

/* A self-contained SVG picture of a results file, or (csv) the numbers that it shows. kv_plot_kinds: pairs of name
 * and description, ended by NULL. `request` >= 0: waterfall or layers of this one request; no other kind knows it. */
extern const char *const kv_plot_kinds[];
struct kv_plot_options { bool csv; int64_t request; };
bool kv_results_plot(const char *path, const char *kind, const struct kv_plot_options *options, FILE *out,
                     struct kv_err *err);

#endif

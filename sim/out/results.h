/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of struct kv_results, for the files of sim/out and their tests. */
#ifndef KV_OUT_RESULTS_H
#define KV_OUT_RESULTS_H

#include "sim/out/flows.h"
#include "sim/out/h5.h"
#include "sim/out/layers.h"
#include "sim/out/look.h"
#include "sim/out/out.h"
#include "sim/out/requests.h"
#include "sim/out/summary.h"
#include "sim/out/totals.h"

/* What a run leaves behind beside its records: plain data, so that tests need no simulator. */
struct kv_run_end {
    kv_tick end_tk;
    double extrapolation_share;      /* of the GPU time, priced outside the range of a calibration */
    struct kv_counters counters;
    int64_t waiting, fetching;       /* requests, as the run ended */
    struct kv_sim_blockers blockers; /* the same, of a run that got stuck */
    struct kv_sim_tier_state tier[KV_TIERS_MAX];   /* [0] unused */
    const struct kv_sim_link *link;  /* outlive the results, and so do their names */
    int32_t link_count;
    struct kv_net_counters net;
    struct kv_bins bins;             /* its `plant` is filled in by kv_results_end */
    const struct kv_workload_stats *workload;
    const char *status;              /* "complete", "interrupted", "stuck" */
};

struct kv_results {
    struct kv_arena arena;
    struct kv_run_info info;
    struct kv_h5 *h5;                /* NULL: summary only */
    struct kv_requests *requests;    /* NULL: output.requests none, or no file */
    struct kv_flows *flows;          /* NULL: output.flows none, or no file */
    struct kv_layers *layers;        /* NULL: no sample, or no file */
    kv_tick fetch_tk;                /* time of all fetches of the run, sum */
    struct kv_summary summary;
    struct kv_plant plant;
    struct kv_bins_view view;
    struct kv_totals tiers, links;
    struct kv_workload_stats workload;
    struct kv_run_end end;
    int64_t rows;
    KV_VEC(const char *) warning;
    char digest[65];                 /* "" without a file */
};

struct kv_results *kv_results_open_with(const char *path, bool force, const struct kv_run_info *info,
                                        enum kv_codec codec, struct kv_err *err);
bool kv_results_end(struct kv_results *r, const struct kv_run_end *end, struct kv_err *err);

#endif

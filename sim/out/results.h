/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of struct kv_results, for the files of sim/out and their tests. */
#ifndef KV_OUT_RESULTS_H
#define KV_OUT_RESULTS_H

#include "sim/out/bins.h"
#include "sim/out/h5.h"
#include "sim/out/out.h"
#include "sim/out/requests.h"
#include "sim/out/summary.h"

/* What a run leaves behind beside its records: plain data, so that tests need no simulator. */
struct kv_run_end {
    kv_tick end_tk;
    double extrapolation_share;      /* of the GPU time, priced outside the range of a calibration */
    struct kv_counters counters;
    struct kv_bins bins;
    const struct kv_workload_stats *workload;
    const char *status;              /* "complete", "interrupted" */
};

struct kv_results {
    struct kv_arena arena;
    struct kv_run_info info;
    struct kv_h5 *h5;                /* NULL: summary only */
    struct kv_requests *requests;    /* NULL: output.requests none, or no file */
    struct kv_summary summary;
    struct kv_bins_view view;
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

/* SPDX-License-Identifier: Apache-2.0 */
/* The numbers that sum up a run: /summary, --json and the table show the same list under the same names.
 *
 * Latencies, rates and ratios are over the *measured* requests: those that arrived after the warm-up and were not
 * failed rows of the trace. Latencies are over the finished ones among them. */
#ifndef KV_OUT_SUMMARY_H
#define KV_OUT_SUMMARY_H

#include "sim/iface/config.h"
#include "sim/iface/record.h"
#include "sim/out/requests.h"
#include "sim/out/spread.h"

enum kv_metric {
    KV_METRIC_TTFT, KV_METRIC_TPOT, KV_METRIC_E2E, KV_METRIC_QUEUE, KV_METRIC_FETCH_STALL, KV_METRIC_INDUCED_STALL,
    KV_METRIC_COUNT
};
extern const char *const kv_metric_names[KV_METRIC_COUNT];

struct kv_summary_config {
    const struct kv_slo_class *slo;
    int32_t slo_count;
    double warmup_s;
    bool exact;                      /* false: histograms */
    const char *const *source;       /* the last is compute */
    int32_t source_count;
    int32_t gpus;                    /* of the cluster */
};

/* One named number; `is_int` says which. Undefined reals are NaN, undefined integers -1. */
struct kv_fact { const char *name, *units, *long_name; bool is_int; int64_t count; double real; };

struct kv_slo_tally { int64_t judged, good; };
struct kv_summary {
    struct kv_summary_config config;
    struct kv_arena arena;
    kv_tick warmup_tk, slo_tk[KV_SLO_CLASSES_MAX][3];   /* ttft, tpot, e2e; 0: not bound */
    int64_t ended[KV_STATUS_COUNT];                     /* whole run */
    int64_t measured, finished, admitted, hits;         /* hits: requests with any cached token */
    kv_tick first_arrival_tk, last_arrival_tk, last_finish_tk;           /* -1: none */
    int64_t input_tokens, output_tokens;                /* of finished ones */
    int64_t prompt_tokens, by_source[KV_SOURCES_MAX];   /* of admitted ones */
    double hit_ratio_sum;
    int64_t preemptions, recomputed_tokens;
    struct kv_slo_tally slo[KV_SLO_CLASSES_MAX];
    struct kv_spread metric[KV_METRIC_COUNT];
    struct kv_spread_view view[KV_METRIC_COUNT];        /* in seconds, after kv_summary_end */
    KV_VEC(struct kv_fact) fact;
};

void kv_summary_open(struct kv_summary *s, const struct kv_summary_config *config);
enum kv_slo_verdict kv_summary_add(struct kv_summary *s, const struct kv_record *record);
/* Fills `fact` and `view`. More facts may follow. */
void kv_summary_end(struct kv_summary *s);
void kv_summary_put_int(struct kv_summary *s, const char *name, const char *units, const char *long_name,
                        int64_t value);
void kv_summary_put_real(struct kv_summary *s, const char *name, const char *units, const char *long_name,
                         double value);
/* NULL when there is none of that name. */
const struct kv_fact *kv_summary_fact(const struct kv_summary *s, const char *name);
void kv_summary_close(struct kv_summary *s);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* From trace rows to requests: window, scaling, jitter, sessions and prefix identity (semantics F0). */
#ifndef KV_SERVE_WORKLOAD_H
#define KV_SERVE_WORKLOAD_H

#include "sim/iface/config.h"
#include "sim/iface/request.h"

/* What was found and what was assumed; complete when the source has ended. Printed and stored in the results. */
struct kv_workload_stats {
    struct kv_reader_stats reader;
    int64_t requests, failed, sessions, turns_extending, turns_not_extending, system_prompt_requests;
    int64_t input_tokens, output_tokens;     /* of served requests */
    int64_t first_ns, last_ns;               /* trace time of the first and last row kept */
    int64_t span_ns;                         /* scaled */
    int64_t dropped_outside_window;
    char assumptions[1024];                  /* one line of text, "" when nothing was assumed */
};

struct kv_workload;
/* slo_names: the scenario's SLO classes, so rows that name a class find it (unknown names are an error of the row).
 * NULL and *err on failure. */
struct kv_workload *kv_workload_open(const struct kv_workload_config *config, uint64_t seed,
                                     const struct kv_slo_class *slo, int32_t slo_count, struct kv_err *err);
/* kv_source's next. */
int kv_workload_next(void *workload, struct kv_request *request, struct kv_err *err);
void kv_workload_stats(const struct kv_workload *workload, struct kv_workload_stats *stats);
void kv_workload_close(struct kv_workload *workload);

#endif

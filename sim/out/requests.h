/* SPDX-License-Identifier: Apache-2.0 */
/* /requests: records come in the order of their ends, rows go out in the order of requests.
 *
 * Rows are gathered in segments of KV_H5_CHUNK_ROWS, one a chunk of the file; a segment is written and forgotten
 * when its last row has come. So memory follows the requests in flight, and one straggler holds back its own
 * segment only. */
#ifndef KV_OUT_REQUESTS_H
#define KV_OUT_REQUESTS_H

#include "sim/iface/record.h"
#include "sim/out/h5.h"

enum kv_slo_verdict { KV_SLO_MISSED, KV_SLO_MET, KV_SLO_NONE };
enum kv_stage {
    KV_STAGE_QUEUE, KV_STAGE_FETCH_STALL, KV_STAGE_PREFILL, KV_STAGE_DECODE, KV_STAGE_PREEMPTED, KV_STAGE_COUNT,
    KV_STAGE_NONE = 255
};
extern const char *const kv_stage_names[KV_STAGE_COUNT];
extern const char *const kv_status_names[KV_STATUS_COUNT];

/* The stage that took the largest part of a request's time; the earliest of equals. */
enum kv_stage kv_stage_limiting(const struct kv_record *record);

struct kv_requests;
/* `source` and `slo_flags` ("0=default 1=chat") must outlive the file. */
struct kv_requests *kv_requests_open(struct kv_h5 *f, const char *const *source, int32_t source_count,
                                     const char *slo_flags);
void kv_requests_add(struct kv_requests *q, const struct kv_record *record, enum kv_slo_verdict slo);
/* Writes what is left. Requests below the highest one that never came are written as unfinished and without
 * instants. Returns the number of rows. */
int64_t kv_requests_end(struct kv_requests *q);
void kv_requests_close(struct kv_requests *q);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What a run says: requests.csv, steps.csv, layers.csv and run.yaml in a folder, and a table of its latencies. All is
 * kept until the end, so that nothing is written while time is measured. */
#ifndef KV_CALIB_SERVE_LOG_H
#define KV_CALIB_SERVE_LOG_H

#include "calib/serve/loop.h"

struct kv_loop_step_row {
    kv_tick before_tk, begin_tk, end_tk;   /* end of the step before; handed over; new tokens known */
    double device_s, launch_s;
    int32_t members, decodes, chunks;
    int64_t tokens, decode_ctx_tokens;
};
struct kv_loop_layer_row { int64_t step; int32_t layer; struct kv_loop_layer at; };
struct kv_loop_log {
    KV_VEC(struct kv_loop_step_row) step;
    KV_VEC(struct kv_loop_layer_row) layer;
};
/* For the sink of a loop; state is the log. */
bool kv_loop_log_step(void *log, const struct kv_loop *loop, const struct kv_loop_batch *batch,
                      const struct kv_loop_step *step, struct kv_err *err);
void kv_loop_log_close(struct kv_loop_log *log);

/* What run.yaml says beside what the log knows: text of "key: value" lines. */
bool kv_loop_log_write(const struct kv_loop_log *log, const struct kv_loop *loop, const char *folder,
                       const char *about, bool force, struct kv_arena *arena, struct kv_err *err);
/* Mean, p50, p90 and p99 of TTFT, TPOT and E2E of those that finished. */
const char *kv_loop_log_table(const struct kv_loop *loop, struct kv_arena *arena);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* samples.csv of a profile: every request that was timed, as `kvsim calib storage` wrote it down.
 *
 *   op,bytes,connections,round,first_byte_us,sent_us,total_us,outcome
 *
 * op: get, range, put. Times from the start of the request; first_byte_us of a put is when the answer began, sent_us of
 * a get is 0. Requests whose outcome is not "ok" are kept and counted, and fitted to nothing. */
#ifndef KV_LIB_ACCESS_SAMPLES_H
#define KV_LIB_ACCESS_SAMPLES_H

#include "sim/lib/access_fit.h"

struct kv_access_samples {
    struct kv_access_sample *at;
    size_t count;
    int64_t failed;
    int32_t rounds;            /* the last round */
};

#define KV_ACCESS_SAMPLES_HEADER "op,bytes,connections,round,first_byte_us,sent_us,total_us,outcome"

/* All in the arena. False with file and row. */
bool kv_access_samples_read(struct kv_arena *arena, const char *path, struct kv_access_samples *samples,
                            struct kv_err *err);
const char *kv_access_op_name(enum kv_access_op op);

#endif

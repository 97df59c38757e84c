/* SPDX-License-Identifier: Apache-2.0 */
/* A run beside a reference run of the same requests: how much longer the times to first token are. */
#ifndef KV_OUT_AGAINST_H
#define KV_OUT_AGAINST_H

#include "sim/base/tick.h"
#include "sim/out/read.h"

struct kv_against;
/* Requests are the same by their row of the trace, wherever they stand in either run. NULL and *err when the file
 * cannot be read, when the runs have not the same trace or when a row has another prompt in it. */
struct kv_against *kv_against_open(struct kv_h5in *run, const char *reference, struct kv_err *err);
void kv_against_close(struct kv_against *a);
/* Ticks of its TTFT less those in the reference run; false when it has no first token in either. */
bool kv_against_added(const struct kv_against *a, int64_t request, kv_tick *added_tk);
int64_t kv_against_requests(const struct kv_against *a);   /* of the run */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Integer log-linear histogram, for distributions of more values than one wants to keep.
 *
 * Values below 2,048 have a bucket each; above, every octave is cut into 1,024 buckets, so a bucket is never wider
 * than 1/1024 of its values (< 0.1 %). Counting is exact and integer: adding in any order, or merging parts, gives
 * the same histogram. Memory grows with the greatest value, and stays below 1 MiB. */
#ifndef KV_BASE_HIST_H
#define KV_BASE_HIST_H

#include "sim/base/arena.h"

struct kv_hist { KV_VEC(int64_t) bucket; int64_t count; };   /* zeroed = empty */

void kv_hist_add(struct kv_hist *h, int64_t value);           /* value >= 0 (assert) */
void kv_hist_merge(struct kv_hist *into, const struct kv_hist *from);
/* The least bucket that leaves at most a share 1 - q of the values above it; answers its greatest value, so never less
 * than the true quantile (nearest rank). q in [0, 1]; -1 when there is no value. */
int64_t kv_hist_quantile(const struct kv_hist *h, double q);
void kv_hist_close(struct kv_hist *h);

#endif

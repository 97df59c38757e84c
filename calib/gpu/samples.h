/* SPDX-License-Identifier: Apache-2.0 */
/* From visits to a folder of raw operator samples (docs/calibration.md, "Raw operator samples"). */
#ifndef KV_CALIB_GPU_SAMPLES_H
#define KV_CALIB_GPU_SAMPLES_H

#include "calib/gpu/session.h"

/* What samples.yaml says of all of them. */
struct kv_gpu_about { const char *gpu, *date, *driver, *cuda, *clocks, *engine, *commit, *note; int32_t sms; };

/* Writes `folder`/samples.yaml and a CSV file for each kind that was measured: the median of a point's visits, the
 * larger of their deviations among themselves and of the median deviation within one, and how many batches there were.
 * SM shares count only beside all SMs. Two layers go to two_layers.csv. Sorts the
 * visits. Returns how many points there are, -1 with *err. */
int32_t kv_gpu_samples_write(struct kv_arena *arena, const char *folder, struct kv_gpu_visits *visits,
                             const struct kv_gpu_about *about, struct kv_err *err);
/* Lowest and highest clock of the SMs in the visits, and what slowed them, as text in the arena:
 * "SM 1755 to 1980 MHz seen; slowed by: power". */
const char *kv_gpu_clocks_seen(struct kv_arena *arena, const struct kv_gpu_visits *visits);

#endif

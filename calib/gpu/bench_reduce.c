/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "calib/gpu/bench.h"
#include "sim/lib/robust.h"

#define MOST_BYTES ((int64_t)256 << 20)
#define BATCHES 7
#define BATCH_S 0.005
#define CALLS_MOST 200

enum kv_gpu_outcome kv_gpu_measure_reduce(struct kv_gpu_bench *b, const struct kv_gpu_point *point,
                                          struct kv_gpu_result *r, struct kv_err *err)
{
    int32_t gpus = (int32_t)point->x[0];
    int64_t bytes = point->x[1];
    double once_s, second[BATCHES];
    if (bytes > MOST_BYTES) return kv_gpu_no_room(err);
    if (b->reduce && b->reduce_gpus != gpus) {
        kv_reduce_close(b->reduce);
        b->reduce = NULL;
    }
    if (!b->reduce && !kv_reduce_open(&b->reduce, gpus, MOST_BYTES, b->device.index, err))
        return err->code == KV_ECHECK ? KV_GPU_WRONG : kv_gpu_outcome_of(err);
    b->reduce_gpus = gpus;
    if (!kv_reduce_time(b->reduce, bytes, 3, &once_s, err)) return KV_GPU_FAILED;
    int32_t calls = once_s * CALLS_MOST > BATCH_S ? (int32_t)(BATCH_S / once_s) + 1 : CALLS_MOST;
    for (int32_t i = 0; i < BATCHES; i++)
        if (!kv_reduce_time(b->reduce, bytes, calls, &second[i], err)) return KV_GPU_FAILED;
    *r = (struct kv_gpu_result){ .time_s = kv_median(second, BATCHES), .batches = BATCHES,
                                 .sm_MHz = kv_gpu_clocks_sm_MHz(b->clocks),
                                 .throttle = kv_gpu_clocks_throttle(b->clocks) };
    for (int32_t i = 0; i < BATCHES; i++) second[i] = fabs(second[i] - r->time_s);
    r->spread_s = kv_median(second, BATCHES);
    return KV_GPU_MEASURED;
}

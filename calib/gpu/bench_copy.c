/* SPDX-License-Identifier: Apache-2.0 */
/* Copies between pinned memory and the device, block by block as an engine makes them: one call of the copy function a
 * block, one stream a direction; or by one kernel that reads blocks of the host in disorder. */
#include "calib/cuda/ops.h"
#include "calib/gpu/bench.h"
#include "sim/base/rng.h"

#define HOST_BYTES ((int64_t)2 << 30)   /* the largest point, in both directions */

struct copies {
    struct kv_gpu_bench *bench;
    enum kv_gpu_way way;
    int64_t block_bytes;
    int32_t count;
    char *up_from, *up_to, *down_from, *down_to;
    const int32_t *block;
};

/* One block each way in turn; then the stream waits for the other one. */
static bool run_both(const struct copies *c, kv_cuda_stream stream, struct kv_err *err)
{
    struct kv_gpu_bench *b = c->bench;
    if (!kv_cuda_record(b->fork, stream, err) || !kv_cuda_follow(b->other, b->fork, err)) return false;
    for (int64_t i = 0; i < c->count; i++) {
        int64_t at = i * c->block_bytes;
        if (!kv_cuda_copy(c->up_to + at, c->up_from + at, c->block_bytes, stream, err)
            || !kv_cuda_copy(c->down_to + at, c->down_from + at, c->block_bytes, b->other, err)) return false;
    }
    return kv_cuda_record(b->join, b->other, err) && kv_cuda_follow(stream, b->join, err);
}

static bool run(void *state, int32_t set, kv_cuda_stream stream, struct kv_err *err)
{
    const struct copies *c = state;
    (void)set;
    switch (c->way) {
    case KV_GPU_H2D:
        return kv_cuda_copy_blocks(c->up_to, c->block_bytes, c->up_from, c->block_bytes, c->block_bytes, c->count,
                                   stream, err);
    case KV_GPU_D2H:
        return kv_cuda_copy_blocks(c->down_to, c->block_bytes, c->down_from, c->block_bytes, c->block_bytes, c->count,
                                   stream, err);
    case KV_GPU_BOTH: return run_both(c, stream, err);
    default: return kv_gather(c->up_to, c->up_from, c->block, c->count, c->block_bytes, 0, stream, err);
    }
}

/* Less pinned memory is still good for the smaller points. */
static bool take_host(struct kv_gpu_bench *b, struct kv_err *err)
{
    void *at = NULL;
    int64_t bytes = HOST_BYTES;
    while (!b->host.at && bytes >= HOST_BYTES / 64) {
        if (kv_cuda_take_host(&at, bytes, err)) b->host = (struct kv_gpu_area){ .at = at, .bytes = bytes };
        else bytes /= 2;
    }
    return b->host.at != NULL;
}

enum kv_gpu_outcome kv_gpu_measure_copy(struct kv_gpu_bench *b, const struct kv_gpu_point *point,
                                        struct kv_gpu_result *result, struct kv_err *err)
{
    struct copies c = { .bench = b, .way = (enum kv_gpu_way)point->x[0], .block_bytes = point->x[1],
                        .count = (int32_t)point->x[2] };
    int64_t bytes = c.block_bytes * c.count;
    if (!take_host(b, err)) return KV_GPU_FAILED;
    bool up = c.way != KV_GPU_D2H, down = c.way == KV_GPU_D2H || c.way == KV_GPU_BOTH;
    if (up) c.up_from = kv_gpu_take(&b->host, bytes), c.up_to = kv_gpu_take(&b->out, bytes);
    if (down) c.down_to = kv_gpu_take(&b->host, bytes), c.down_from = kv_gpu_take(&b->bf16, bytes);
    if ((up && (!c.up_from || !c.up_to)) || (down && (!c.down_from || !c.down_to))) return kv_gpu_no_room(err);
    if (c.way == KV_GPU_GATHER) {
        int32_t *block = kv_arena_take(&b->arena, (size_t)c.count * sizeof *block);
        for (int32_t i = 0; i < c.count; i++)
            block[i] = (int32_t)(kv_mix64((uint64_t)i) % (uint64_t)c.count);
        c.block = kv_gpu_take_whole(b, block, c.count, err);
        if (!c.block) return kv_gpu_outcome_of(err);
    }
    struct kv_gpu_call call = { .state = &c, .run = run, .sets = 1, .direct = true };
    return kv_gpu_time(b, &call, result, err) ? KV_GPU_MEASURED : kv_gpu_outcome_of(err);
}

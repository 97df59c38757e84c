/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/gpu/bench.h"

#include <math.h>

#include "calib/cuda/ops.h"
#include "sim/lib/robust.h"

#define SETS_MOST 64
#define WHOLE_BYTES ((int64_t)64 << 20)
/* Of free memory that is taken, and its division. */
#define TAKEN 0.7
#define OF_BF16 0.5
#define OF_FP8 0.15

#define BATCHES 7
#define BATCHES_LONG 3         /* of calls that take longer than LONG_S */
#define LONG_S 0.05
#define BATCH_S 0.002
#define CALLS_MOST 256         /* of a batch */

/* ---- opening ---- */

static bool take_memory(struct kv_gpu_bench *b, struct kv_err *err)
{
    int64_t unused;
    void *at[4];
    if (!kv_cuda_free_bytes(&unused, err)) return false;
    double taken = TAKEN * (double)unused;
    struct kv_gpu_area *area[] = {&b->bf16, &b->fp8, &b->out, &b->whole};
    const int64_t bytes[] = { (int64_t)(taken * OF_BF16) & ~(int64_t)255, (int64_t)(taken * OF_FP8) & ~(int64_t)255,
                              (int64_t)(taken * (1 - OF_BF16 - OF_FP8)) & ~(int64_t)255, WHOLE_BYTES };
    for (int i = 0; i < 4; i++) {
        if (!kv_cuda_take(&at[i], bytes[i], err)) return false;
        *area[i] = (struct kv_gpu_area){ .at = at[i], .bytes = bytes[i] };
    }
    return true;
}

bool kv_gpu_bench_open(struct kv_gpu_bench *b, int32_t index, struct kv_err *err)
{
    *b = (struct kv_gpu_bench){0};
    if (!kv_cuda_open(index, &b->device, err) || !kv_cuda_count(&b->devices, err)) return false;
    b->clocks = kv_gpu_clocks_open(b->device.bus);
    return kv_gemm_open(&b->gemm, err) && kv_cuda_stream_open(&b->stream, err) && kv_cuda_stream_open(&b->other, err)
           && kv_cuda_event_open(&b->from, true, err) && kv_cuda_event_open(&b->to, true, err)
           && kv_cuda_event_open(&b->fork, false, err) && kv_cuda_event_open(&b->join, false, err)
           && take_memory(b, err)
           && kv_fill_bf16((kv_bf16 *)(void *)b->bf16.at, b->bf16.bytes / 2, 1, 1, b->stream, err)
           && kv_fill_fp8((uint8_t *)b->fp8.at, b->fp8.bytes, 2, 1, b->stream, err)
           && kv_cuda_zero(b->out.at, b->out.bytes, b->stream, err) && kv_cuda_wait(b->stream, err);
}

void kv_gpu_bench_close(struct kv_gpu_bench *b)
{
    kv_reduce_close(b->reduce);
    kv_gemm_close(b->gemm);
    kv_cuda_give(b->bf16.at);
    kv_cuda_give(b->fp8.at);
    kv_cuda_give(b->out.at);
    kv_cuda_give(b->whole.at);
    kv_cuda_give_host(b->host.at);
    kv_cuda_event_close(b->from);
    kv_cuda_event_close(b->to);
    kv_cuda_event_close(b->fork);
    kv_cuda_event_close(b->join);
    kv_cuda_stream_close(b->stream);
    kv_cuda_stream_close(b->other);
    kv_gpu_clocks_close(b->clocks);
    kv_arena_close(&b->arena);
}

/* ---- operands ---- */

void *kv_gpu_take(struct kv_gpu_area *area, int64_t bytes)
{
    int64_t rounded = (bytes + 255) & ~(int64_t)255;
    if (bytes < 0 || rounded > area->bytes - area->used) return NULL;
    void *at = area->at + area->used;
    area->used += rounded;
    return at;
}

void kv_gpu_reset(struct kv_gpu_bench *b)
{
    b->bf16.used = b->fp8.used = b->out.used = b->whole.used = b->host.used = 0;
}

const int32_t *kv_gpu_take_whole(struct kv_gpu_bench *b, const int32_t *numbers, int64_t count, struct kv_err *err)
{
    int32_t *at = kv_gpu_take(&b->whole, count * (int64_t)sizeof *at);
    if (!at) return kv_gpu_no_room(err), NULL;
    /* Memory that is not pinned is read before the copy returns; the wait keeps it so whatever the driver does. */
    if (!kv_cuda_copy(at, numbers, count * (int64_t)sizeof *at, b->stream, err) || !kv_cuda_wait(b->stream, err))
        return NULL;
    return at;
}

int32_t kv_gpu_sets(const struct kv_gpu_bench *b, int64_t bytes)
{
    int64_t sets = bytes > 0 ? 3 * b->device.l2_bytes / bytes + 1 : 1;
    return (int32_t)(sets < SETS_MOST ? sets : SETS_MOST);
}

enum kv_gpu_outcome kv_gpu_no_room(struct kv_err *err)
{
    kv_fail(err, KV_ENOHW, "", "points that need more memory than there is are left out");
    return KV_GPU_LEFT_OUT;
}

enum kv_gpu_outcome kv_gpu_outcome_of(const struct kv_err *err)
{
    return err->code == KV_ENOHW ? KV_GPU_LEFT_OUT : KV_GPU_FAILED;
}

/* ---- timing ---- */

/* `calls` calls on the sets in turn. */
static bool run(const struct kv_gpu_call *call, int32_t calls, kv_cuda_stream stream, struct kv_err *err)
{
    for (int32_t i = 0; i < calls; i++)
        if (!call->run(call->state, i % call->sets, stream, err)) return false;
    return true;
}

static bool batch(const struct kv_gpu_call *call, int32_t calls, kv_cuda_graph graph, kv_cuda_stream stream,
                  struct kv_err *err)
{
    return graph ? kv_cuda_graph_launch(graph, stream, err) : run(call, calls, stream, err);
}

static bool record(const struct kv_gpu_call *call, int32_t calls, kv_cuda_stream stream, kv_cuda_graph *graph,
                   struct kv_err *err)
{
    if (!kv_cuda_graph_begin(stream, err)) return false;
    bool good = run(call, calls, stream, err);
    /* The recording ends in any case, or the stream could not be used again. */
    return kv_cuda_graph_end(stream, graph, good ? err : NULL) && good;
}

static bool time_batch(struct kv_gpu_bench *b, const struct kv_gpu_call *call, int32_t calls, kv_cuda_graph graph,
                       kv_cuda_stream stream, double *seconds, struct kv_err *err)
{
    bool good = kv_cuda_record(b->from, stream, err) && batch(call, calls, graph, stream, err)
                && kv_cuda_record(b->to, stream, err) && kv_cuda_wait_event(b->to, err)
                && kv_cuda_elapsed_s(b->from, b->to, seconds, err);
    *seconds /= calls;
    return good;
}

/* Median and median absolute deviation. */
static void sum_up(double *second, int32_t batches, struct kv_gpu_result *r)
{
    r->batches = batches;
    r->time_s = kv_median(second, (size_t)batches);
    for (int32_t i = 0; i < batches; i++) second[i] = fabs(second[i] - r->time_s);
    r->spread_s = kv_median(second, (size_t)batches);
}

bool kv_gpu_time(struct kv_gpu_bench *b, const struct kv_gpu_call *call, struct kv_gpu_result *r, struct kv_err *err)
{
    kv_cuda_stream stream = call->stream ? call->stream : b->stream;
    kv_cuda_graph graph = NULL;
    double once_s, second[BATCHES];
    /* The first call loads code and chooses algorithms; the second says how long one is. */
    if (!run(call, 1, stream, err) || !kv_cuda_wait(stream, err)
        || !time_batch(b, call, 1, NULL, stream, &once_s, err)) return false;
    int32_t calls = once_s * CALLS_MOST > BATCH_S ? (int32_t)(BATCH_S / once_s) : CALLS_MOST;
    if (calls < 1) calls = 1;
    int32_t batches = once_s > LONG_S ? BATCHES_LONG : BATCHES;
    bool good = call->direct || record(call, calls, stream, &graph, err);
    /* One batch to warm up, and its errors. */
    good = good && batch(call, calls, graph, stream, err) && kv_cuda_wait(stream, err);
    for (int32_t i = 0; good && i < batches; i++) good = time_batch(b, call, calls, graph, stream, &second[i], err);
    kv_cuda_graph_close(graph);
    if (!good) return false;
    sum_up(second, batches, r);
    r->sum_s = 0;
    r->sm_MHz = kv_gpu_clocks_sm_MHz(b->clocks);
    r->throttle = kv_gpu_clocks_throttle(b->clocks);
    return r->time_s > 0 || kv_fail(err, KV_EIO, "CUDA", "a batch took no time at all");
}

/* ---- points ---- */

static kv_gpu_kind *const kind[KV_GPU_OPS] = {
    [KV_GPU_GEMM] = kv_gpu_measure_gemm, [KV_GPU_PREFILL] = kv_gpu_measure_attention,
    [KV_GPU_DECODE] = kv_gpu_measure_attention, [KV_GPU_NORM] = kv_gpu_measure_rows,
    [KV_GPU_ROTARY] = kv_gpu_measure_rows, [KV_GPU_SCATTER] = kv_gpu_measure_rows,
    [KV_GPU_SILU] = kv_gpu_measure_rows, [KV_GPU_WRITE] = kv_gpu_measure_rows, [KV_GPU_COPY] = kv_gpu_measure_copy,
    [KV_GPU_REDUCE] = kv_gpu_measure_reduce, [KV_GPU_SHARE] = kv_gpu_measure_share,
    [KV_GPU_LAYERS] = kv_gpu_measure_layers,
};

static enum kv_gpu_outcome check_first(struct kv_gpu_bench *b, const struct kv_gpu_point *p, struct kv_err *err)
{
    if (b->checked[p->op][p->type] == KV_GPU_RIGHT) return KV_GPU_MEASURED;
    kv_gpu_reset(b);
    if (kv_gpu_check(b, p->op, p->type, err)) {
        b->checked[p->op][p->type] = KV_GPU_RIGHT;
        return KV_GPU_MEASURED;
    }
    if (err->code != KV_ECHECK) return kv_gpu_outcome_of(err);
    b->checked[p->op][p->type] = KV_GPU_IS_WRONG;
    return KV_GPU_WRONG;
}

enum kv_gpu_outcome kv_gpu_bench_measure(void *bench, const struct kv_gpu_point *p, struct kv_gpu_result *r,
                                         struct kv_err *err)
{
    struct kv_gpu_bench *b = bench;
    enum kv_gpu_outcome outcome = check_first(b, p, err);
    kv_gpu_reset(b);
    if (outcome == KV_GPU_MEASURED) outcome = kind[p->op](b, p, r, err);
    /* What fails while the device goes on is the fault of this kind alone. */
    if (outcome == KV_GPU_FAILED && kv_cuda_wait(b->stream, NULL) && kv_cuda_wait(b->other, NULL))
        outcome = KV_GPU_WRONG;
    kv_arena_close(&b->arena);
    return outcome;
}

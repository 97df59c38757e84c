/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/cuda/reduce.h"

#include <stddef.h>

#include "sim/base/err.h"

#ifdef KV_HAVE_NCCL

#include <cuda_runtime_api.h>
#include <nccl.h>
#include <stdio.h>

#include "calib/cuda/device.h"
#include "calib/cuda/reference.h"
#include "sim/base/arena.h"

#define GPUS_MOST 16
#define CHECKED 1024   /* elements */

struct kv_reduce {
    int32_t gpus, current;
    int64_t most_bytes;
    ncclComm_t comm[GPUS_MOST];
    cudaStream_t stream[GPUS_MOST];
    void *in[GPUS_MOST], *out[GPUS_MOST];
    cudaEvent_t from, to;        /* of rank 0 */
};

static bool good(ncclResult_t code, const char *what, struct kv_err *err)
{
    return code == ncclSuccess || kv_fail(err, KV_EIO, "NCCL", "%s: %s", what, ncclGetErrorString(code));
}

static bool use(int32_t device, struct kv_err *err)
{
    return kv_cuda_good(cudaSetDevice(device), "taking a device", err);
}

/* One all-reduce of all ranks. */
static bool reduce_once(struct kv_reduce *r, int64_t bytes, struct kv_err *err)
{
    if (!good(ncclGroupStart(), "beginning an all-reduce", err)) return false;
    bool fine = true;
    for (int32_t i = 0; i < r->gpus && fine; i++)
        fine = good(ncclAllReduce(r->in[i], r->out[i], (size_t)bytes / 2, ncclBfloat16, ncclSum, r->comm[i],
                                  r->stream[i]), "an all-reduce", err);
    return good(ncclGroupEnd(), "ending an all-reduce", fine ? err : NULL) && fine;
}

static bool wait_all(struct kv_reduce *r, struct kv_err *err)
{
    bool fine = true;
    for (int32_t i = 0; i < r->gpus && fine; i++)
        fine = use(i, err) && kv_cuda_good(cudaStreamSynchronize(r->stream[i]), "an all-reduce", err);
    return fine && use(r->current, err);
}

/* Rank i brings i + 1 everywhere. */
static bool check(struct kv_reduce *r, struct kv_err *err)
{
    kv_bf16 numbers[CHECKED];
    for (int32_t i = 0; i < r->gpus; i++) {
        for (int32_t e = 0; e < CHECKED; e++) numbers[e] = kv_bf16_nearest(i + 1);
        if (!use(i, err) || !kv_cuda_good(cudaMemcpy(r->in[i], numbers, sizeof numbers, cudaMemcpyHostToDevice),
                                          "a copy", err)) return false;
    }
    if (!reduce_once(r, sizeof numbers, err) || !wait_all(r, err)) return false;
    for (int32_t i = 0; i < r->gpus; i++) {
        if (!kv_cuda_good(cudaMemcpy(numbers, r->out[i], sizeof numbers, cudaMemcpyDeviceToHost), "a copy", err))
            return false;
        for (int32_t e = 0; e < CHECKED; e++)
            if (kv_bf16_value(numbers[e]) != r->gpus * (r->gpus + 1) / 2)
                return kv_fail(err, KV_ECHECK, "all_reduce", "rank %d has %g, not %d", i, kv_bf16_value(numbers[e]),
                               r->gpus * (r->gpus + 1) / 2);
    }
    return true;
}

static bool open_rank(struct kv_reduce *r, int32_t i, struct kv_err *err)
{
    return use(i, err) && kv_cuda_take(&r->in[i], r->most_bytes, err) && kv_cuda_take(&r->out[i], r->most_bytes, err)
           && kv_cuda_good(cudaMemset(r->in[i], 0, (size_t)r->most_bytes), "zeroing memory", err)
           && kv_cuda_stream_open(&r->stream[i], err);
}

bool kv_reduce_open(struct kv_reduce **reduce, int32_t gpus, int64_t most_bytes, int32_t current, struct kv_err *err)
{
    int rank[GPUS_MOST];
    int32_t devices;
    *reduce = NULL;
    if (!kv_cuda_count(&devices, err)) return false;
    if (gpus < 2 || gpus > devices || gpus > GPUS_MOST)
        return kv_fail(err, KV_ENOHW, "", "all-reduce over %d GPUs is left out: there are %d here", gpus, devices);
    struct kv_reduce *r = kv_mem_take(sizeof *r);
    *r = (struct kv_reduce){ .gpus = gpus, .current = current,
                             .most_bytes = most_bytes > 2 * CHECKED ? most_bytes : 2 * CHECKED };
    bool fine = true;
    for (int32_t i = 0; i < gpus; i++) rank[i] = i;
    for (int32_t i = 0; i < gpus && fine; i++) fine = open_rank(r, i, err);
    fine = fine && good(ncclCommInitAll(r->comm, gpus, rank), "beginning", err) && use(0, err)
           && kv_cuda_event_open(&r->from, true, err) && kv_cuda_event_open(&r->to, true, err) && check(r, err)
           && use(current, err);
    if (fine) *reduce = r;
    else kv_reduce_close(r);
    return fine;
}

void kv_reduce_close(struct kv_reduce *r)
{
    if (!r) return;
    for (int32_t i = 0; i < r->gpus; i++) {
        (void)cudaSetDevice(i);
        if (r->stream[i]) (void)cudaStreamSynchronize(r->stream[i]);
        if (r->comm[i]) (void)ncclCommDestroy(r->comm[i]);
        kv_cuda_stream_close(r->stream[i]);
        kv_cuda_give(r->in[i]);
        kv_cuda_give(r->out[i]);
    }
    (void)cudaSetDevice(0);
    kv_cuda_event_close(r->from);
    kv_cuda_event_close(r->to);
    (void)cudaSetDevice(r->current);
    kv_mem_give(r, sizeof *r);
}

bool kv_reduce_time(struct kv_reduce *r, int64_t bytes, int32_t calls, double *seconds, struct kv_err *err)
{
    bytes = bytes / 2 * 2;
    if (bytes < 2 || bytes > r->most_bytes)
        return kv_fail(err, KV_EUSAGE, "all_reduce", "%lld bytes do not fit", (long long)bytes);
    /* The first brings the ranks into step. */
    bool fine = reduce_once(r, bytes, err) && use(0, err) && kv_cuda_record(r->from, r->stream[0], err);
    for (int32_t i = 0; i < calls && fine; i++) fine = reduce_once(r, bytes, err);
    fine = fine && use(0, err) && kv_cuda_record(r->to, r->stream[0], err) && wait_all(r, err)
           && kv_cuda_elapsed_s(r->from, r->to, seconds, err);
    *seconds /= calls;
    return fine;
}

const char *kv_reduce_version(void)
{
    static char text[32];
    int version = 0;
    if (ncclGetVersion(&version) != ncclSuccess) return "NCCL";
    snprintf(text, sizeof text, "NCCL %d.%d.%d", version / 10000, version / 100 % 100, version % 100);
    return text;
}

#else

bool kv_reduce_open(struct kv_reduce **reduce, int32_t gpus, int64_t most_bytes, int32_t current, struct kv_err *err)
{
    (void)gpus, (void)most_bytes, (void)current;
    *reduce = NULL;
    return kv_fail(err, KV_ENOHW, "", "all-reduce is left out: NCCL was not there when this was built");
}

void kv_reduce_close(struct kv_reduce *reduce)
{
    (void)reduce;
}

bool kv_reduce_time(struct kv_reduce *reduce, int64_t bytes, int32_t calls, double *seconds, struct kv_err *err)
{
    (void)reduce, (void)bytes, (void)calls, (void)seconds;
    return kv_fail(err, KV_ENOHW, "", "all-reduce is left out: NCCL was not there when this was built");
}

const char *kv_reduce_version(void)
{
    return "";
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/cuda/device.h"

#include <cuda_runtime_api.h>
#include <stdio.h>

#include "sim/base/err.h"

/* ---- errors ---- */

bool kv_cuda_good(int code, const char *what, struct kv_err *err)
{
    if (code == cudaSuccess) return true;
    (void)cudaGetLastError();   /* or the next launch would be blamed */
    return kv_fail(err, KV_EIO, "CUDA", "%s: %s (%s)", what, cudaGetErrorString((cudaError_t)code),
                   cudaGetErrorName((cudaError_t)code));
}

bool kv_cuda_launched(const char *what, struct kv_err *err)
{
    return kv_cuda_good(cudaGetLastError(), what, err);
}

/* ---- device ---- */

bool kv_cuda_count(int32_t *count, struct kv_err *err)
{
    int driver = 0, runtime = 0, found = 0;
    *count = 0;
    (void)cudaDriverGetVersion(&driver);
    (void)cudaRuntimeGetVersion(&runtime);
    cudaError_t code = cudaGetDeviceCount(&found);
    if (code == cudaErrorInsufficientDriver && driver == 0)
        return kv_fail(err, KV_ENOHW, "", "no CUDA driver is here, so nothing can be measured");
    if (code == cudaErrorInsufficientDriver)
        return kv_fail(err, KV_ENOHW, "", "the CUDA driver is too old: it has CUDA %d.%d, this program needs %d.%d",
                       driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
    if (code == cudaErrorNoDevice || (code == cudaSuccess && found == 0))
        return kv_fail(err, KV_ENOHW, "", "a CUDA driver is here, but no device that it can use");
    if (code != cudaSuccess)
        return kv_fail(err, KV_ENOHW, "", "CUDA cannot be used here: %s (%s)", cudaGetErrorString(code),
                       cudaGetErrorName(code));
    *count = found;
    return true;
}

bool kv_cuda_open(int32_t index, struct kv_cuda_device *d, struct kv_err *err)
{
    struct cudaDeviceProp p;
    int32_t count;
    if (!kv_cuda_count(&count, err)) return false;
    if (index < 0 || index >= count)
        return kv_fail(err, KV_ENOHW, "", "device %d is not here; there are %d, from 0 on", index, count);
    if (!kv_cuda_good(cudaSetDevice(index), "taking the device", err)
        || !kv_cuda_good(cudaGetDeviceProperties(&p, index), "asking for the device's properties", err)) return false;
    if (p.major < 8)
        return kv_fail(err, KV_ENOHW, "", "%s has compute capability %d.%d; the kernels need 8.0", p.name, p.major,
                       p.minor);
    *d = (struct kv_cuda_device){
        .index = index, .major = p.major, .minor = p.minor, .sms = p.multiProcessorCount,
        .memory_bytes = (int64_t)p.totalGlobalMem, .l2_bytes = p.l2CacheSize,
        .shared_bytes = (int32_t)p.sharedMemPerBlockOptin,
    };
    snprintf(d->name, sizeof d->name, "%s", p.name);
    int driver = 0, runtime = 0;
    /* The first call that makes a context: memory and modes of the device show here. */
    if (!kv_cuda_good(cudaDeviceGetPCIBusId(d->bus, sizeof d->bus, index), "asking for the device's address", err)
        || !kv_cuda_good(cudaDriverGetVersion(&driver), "asking for the driver's version", err)
        || !kv_cuda_good(cudaRuntimeGetVersion(&runtime), "asking for the runtime's version", err)
        || !kv_cuda_good(cudaFree(NULL), "beginning to use the device", err)) return false;
    d->driver = driver;
    d->runtime = runtime;
    return true;
}

/* ---- memory ---- */

bool kv_cuda_take(void **at, int64_t bytes, struct kv_err *err)
{
    char what[64];
    snprintf(what, sizeof what, "%lld bytes of device memory", (long long)bytes);
    *at = NULL;
    return kv_cuda_good(cudaMalloc(at, (size_t)bytes), what, err);
}

void kv_cuda_give(void *at)
{
    (void)cudaFree(at);
}

bool kv_cuda_take_host(void **at, int64_t bytes, struct kv_err *err)
{
    char what[64];
    snprintf(what, sizeof what, "%lld bytes of pinned memory", (long long)bytes);
    *at = NULL;
    return kv_cuda_good(cudaHostAlloc(at, (size_t)bytes, cudaHostAllocPortable), what, err);
}

void kv_cuda_give_host(void *at)
{
    if (at) (void)cudaFreeHost(at);
}

bool kv_cuda_free_bytes(int64_t *bytes, struct kv_err *err)
{
    size_t unused = 0, all = 0;
    bool good = kv_cuda_good(cudaMemGetInfo(&unused, &all), "asking for free memory", err);
    *bytes = (int64_t)unused;
    return good;
}

bool kv_cuda_copy(void *to, const void *from, int64_t bytes, kv_cuda_stream stream, struct kv_err *err)
{
    if (bytes <= 0) return true;
    return kv_cuda_good(cudaMemcpyAsync(to, from, (size_t)bytes, cudaMemcpyDefault, stream), "a copy", err);
}

bool kv_cuda_zero(void *at, int64_t bytes, kv_cuda_stream stream, struct kv_err *err)
{
    if (bytes <= 0) return true;
    return kv_cuda_good(cudaMemsetAsync(at, 0, (size_t)bytes, stream), "zeroing memory", err);
}

bool kv_cuda_copy_blocks(void *to, int64_t to_stride, const void *from, int64_t from_stride, int64_t block_bytes,
                         int32_t count, kv_cuda_stream stream, struct kv_err *err)
{
    for (int32_t i = 0; i < count; i++)
        if (!kv_cuda_copy((char *)to + to_stride * i, (const char *)from + from_stride * i, block_bytes, stream, err))
            return false;
    return true;
}

/* ---- streams and events ---- */

bool kv_cuda_stream_open(kv_cuda_stream *stream, struct kv_err *err)
{
    *stream = NULL;
    return kv_cuda_good(cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking), "making a stream", err);
}

void kv_cuda_stream_close(kv_cuda_stream stream)
{
    if (stream) (void)cudaStreamDestroy(stream);
}

bool kv_cuda_event_open(kv_cuda_event *event, bool timed, struct kv_err *err)
{
    *event = NULL;
    return kv_cuda_good(cudaEventCreateWithFlags(event, timed ? cudaEventDefault : cudaEventDisableTiming),
                        "making an event", err);
}

void kv_cuda_event_close(kv_cuda_event event)
{
    if (event) (void)cudaEventDestroy(event);
}

bool kv_cuda_record(kv_cuda_event event, kv_cuda_stream stream, struct kv_err *err)
{
    return kv_cuda_good(cudaEventRecord(event, stream), "recording an event", err);
}

bool kv_cuda_follow(kv_cuda_stream stream, kv_cuda_event event, struct kv_err *err)
{
    return kv_cuda_good(cudaStreamWaitEvent(stream, event, 0), "waiting for an event", err);
}

bool kv_cuda_happened(kv_cuda_event event, bool *happened, struct kv_err *err)
{
    cudaError_t code = cudaEventQuery(event);
    *happened = code == cudaSuccess;
    /* "Not yet" would stay as the last error, and the next launch would be told of it. */
    if (code == cudaErrorNotReady) (void)cudaGetLastError();
    return code == cudaErrorNotReady || kv_cuda_good(code, "work on the device", err);
}

bool kv_cuda_wait(kv_cuda_stream stream, struct kv_err *err)
{
    return kv_cuda_good(cudaStreamSynchronize(stream), "work on the device", err);
}

bool kv_cuda_wait_event(kv_cuda_event event, struct kv_err *err)
{
    return kv_cuda_good(cudaEventSynchronize(event), "work on the device", err);
}

bool kv_cuda_elapsed_s(kv_cuda_event from, kv_cuda_event to, double *seconds, struct kv_err *err)
{
    float ms = 0;
    bool good = kv_cuda_good(cudaEventElapsedTime(&ms, from, to), "the time between two events", err);
    *seconds = (double)ms * 1e-3;
    return good;
}

/* ---- graphs ---- */

bool kv_cuda_graph_begin(kv_cuda_stream stream, struct kv_err *err)
{
    return kv_cuda_good(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "recording a graph", err);
}

bool kv_cuda_graph_end(kv_cuda_stream stream, kv_cuda_graph *graph, struct kv_err *err)
{
    cudaGraph_t recorded = NULL;
    *graph = NULL;
    bool good = kv_cuda_good(cudaStreamEndCapture(stream, &recorded), "recording a graph", err)
                && kv_cuda_good(cudaGraphInstantiate(graph, recorded, 0), "making a graph", err);
    if (recorded) (void)cudaGraphDestroy(recorded);
    return good;
}

bool kv_cuda_graph_launch(kv_cuda_graph graph, kv_cuda_stream stream, struct kv_err *err)
{
    return kv_cuda_good(cudaGraphLaunch(graph, stream), "launching a graph", err);
}

void kv_cuda_graph_close(kv_cuda_graph graph)
{
    if (graph) (void)cudaGraphExecDestroy(graph);
}

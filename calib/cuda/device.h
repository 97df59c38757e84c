/* SPDX-License-Identifier: Apache-2.0 */
/* A CUDA device from C: errors as values, streams, events, memory. No header of CUDA is needed to include this one, and
 * C++ (the .cu files) may include it too. All calls of a program come from one thread and go to the device that
 * kv_cuda_open made current. Kernels and copies are asynchronous: what fails later is told by the next kv_cuda_wait. */
#ifndef KV_CALIB_CUDA_DEVICE_H
#define KV_CALIB_CUDA_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct kv_err;
/* cudaStream_t and cudaEvent_t by their own names. NULL as a stream is the default one, which waits for all others:
 * never use it where something is measured or overlapped. */
typedef struct CUstream_st *kv_cuda_stream;
typedef struct CUevent_st *kv_cuda_event;

struct kv_cuda_device {
    int32_t index;
    char name[256];                  /* "NVIDIA H100 80GB HBM3" */
    char bus[32];                    /* PCI address */
    int32_t major, minor;            /* compute capability */
    int32_t sms;
    int64_t memory_bytes, l2_bytes;
    int32_t shared_bytes;            /* shared memory that a block may have when it asks */
    int32_t driver, runtime;         /* 13000: CUDA 13.0 */
};

/* ---- errors ---- */

/* True for code 0; otherwise *err (KV_EIO) says what was tried and what CUDA says about it. `code` is a cudaError_t. */
bool kv_cuda_good(int code, const char *what, struct kv_err *err);
/* The same for a launch that was just made: a wrong configuration shows at once, what the kernel does wrong later. */
bool kv_cuda_launched(const char *what, struct kv_err *err);

/* ---- device ---- */

/* Number of devices. False with KV_ENOHW (exit code 77) and one plain sentence: no driver, a driver that is too old,
 * no device. */
bool kv_cuda_count(int32_t *count, struct kv_err *err);
/* Makes device `index` the current one of this thread and describes it. False as above, or when it is no such device or
 * one that the kernels were not compiled for (compute capability below 8.0). */
bool kv_cuda_open(int32_t index, struct kv_cuda_device *device, struct kv_err *err);

/* ---- memory ---- */

/* Device memory, 256-byte aligned, not zeroed; `bytes` > 0. */
bool kv_cuda_take(void **at, int64_t bytes, struct kv_err *err);
void kv_cuda_give(void *at);                     /* NULL is fine; waits until nothing uses it */
/* Pinned host memory, which the device can address too (kv_gather, kv_scatter). */
bool kv_cuda_take_host(void **at, int64_t bytes, struct kv_err *err);
void kv_cuda_give_host(void *at);
/* Free bytes of the device now. */
bool kv_cuda_free_bytes(int64_t *bytes, struct kv_err *err);
/* Asynchronous in `stream`, in any direction; host memory must be pinned for it to overlap with anything. */
bool kv_cuda_copy(void *to, const void *from, int64_t bytes, kv_cuda_stream stream, struct kv_err *err);
bool kv_cuda_zero(void *at, int64_t bytes, kv_cuda_stream stream, struct kv_err *err);
/* `count` copies of `block_bytes` each, block i from `from + from_stride * i` to `to + to_stride * i`: as an engine
 * that calls the copy function for every block. */
bool kv_cuda_copy_blocks(void *to, int64_t to_stride, const void *from, int64_t from_stride, int64_t block_bytes,
                         int32_t count, kv_cuda_stream stream, struct kv_err *err);

/* ---- streams and events ---- */

bool kv_cuda_stream_open(kv_cuda_stream *stream, struct kv_err *err);   /* does not wait for the default stream */
void kv_cuda_stream_close(kv_cuda_stream stream);
bool kv_cuda_event_open(kv_cuda_event *event, bool timed, struct kv_err *err);
void kv_cuda_event_close(kv_cuda_event event);
bool kv_cuda_record(kv_cuda_event event, kv_cuda_stream stream, struct kv_err *err);
/* What is put into `stream` from now on waits for the event. */
bool kv_cuda_follow(kv_cuda_stream stream, kv_cuda_event event, struct kv_err *err);
/* Whether the event has happened; does not wait. */
bool kv_cuda_happened(kv_cuda_event event, bool *happened, struct kv_err *err);
/* The host waits, and hears of every error until then. */
bool kv_cuda_wait(kv_cuda_stream stream, struct kv_err *err);
bool kv_cuda_wait_event(kv_cuda_event event, struct kv_err *err);
/* Seconds between two timed events that have happened. */
bool kv_cuda_elapsed_s(kv_cuda_event from, kv_cuda_event to, double *seconds, struct kv_err *err);

/* ---- graphs: many launches as one ---- */

/* What is put into `stream` between begin and end is recorded and not run; then it can be launched any number of times.
 * Everything recorded must stay where it is. */
typedef struct CUgraphExec_st *kv_cuda_graph;
bool kv_cuda_graph_begin(kv_cuda_stream stream, struct kv_err *err);
bool kv_cuda_graph_end(kv_cuda_stream stream, kv_cuda_graph *graph, struct kv_err *err);
bool kv_cuda_graph_launch(kv_cuda_graph graph, kv_cuda_stream stream, struct kv_err *err);
void kv_cuda_graph_close(kv_cuda_graph graph);

#ifdef __cplusplus
}
#endif

#endif

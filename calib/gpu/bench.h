/* SPDX-License-Identifier: Apache-2.0 */
/* The measuring itself: operands on the device, an operator called many times between two events. One device, one
 * thread.
 *
 * Memory is taken once and handed out anew for every point: inputs hold random numbers and are never written, outputs
 * are never read, so that numbers stay such as a model has them. Where operands are weights or KV, several sets of them
 * are used in turn, together more than the L2 cache holds: in a model they come from memory too. */
#ifndef KV_CALIB_GPU_BENCH_H
#define KV_CALIB_GPU_BENCH_H

#include "calib/cuda/device.h"
#include "calib/cuda/gemm.h"
#include "calib/cuda/pages.h"
#include "calib/cuda/reduce.h"
#include "calib/gpu/clocks.h"
#include "calib/gpu/session.h"

#define KV_GPU_PAGE_TOKENS 16   /* as in vLLM */

struct kv_gpu_area { char *at; int64_t bytes, used; };

struct kv_gpu_bench {
    struct kv_cuda_device device;
    int32_t devices;
    struct kv_gpu_clocks *clocks;
    struct kv_gemm *gemm;
    struct kv_reduce *reduce;                /* for reduce_gpus; NULL: not yet */
    int32_t reduce_gpus;
    kv_cuda_stream stream, other;
    kv_cuda_event from, to, fork, join;
    struct kv_gpu_area bf16, fp8, out, whole;   /* inputs of two types, outputs, numbers of pages and positions */
    struct kv_gpu_area host;                 /* pinned; asked for by the first that needs it */
    struct kv_arena arena;                   /* of one point; emptied before the next */
    enum { KV_GPU_UNCHECKED, KV_GPU_RIGHT, KV_GPU_IS_WRONG } checked[KV_GPU_OPS][KV_GPU_TYPES];
};

/* Opens device `index` and takes most of its memory. False with *err (KV_ENOHW: no such device); what was opened is for
 * close all the same. */
bool kv_gpu_bench_open(struct kv_gpu_bench *bench, int32_t index, struct kv_err *err);
void kv_gpu_bench_close(struct kv_gpu_bench *bench);
/* A visit: results of the operator are checked first, when that has not been done yet. */
enum kv_gpu_outcome kv_gpu_bench_measure(void *bench, const struct kv_gpu_point *point, struct kv_gpu_result *result,
                                         struct kv_err *err);

/* ---- for those who measure one kind ---- */

/* 256-byte aligned; NULL when the area is full. */
void *kv_gpu_take(struct kv_gpu_area *area, int64_t bytes);
/* All areas are free again; not what a call still uses. */
void kv_gpu_reset(struct kv_gpu_bench *bench);
/* `count` numbers of the host onto the device (bench->whole), there when this returns. NULL with *err. */
const int32_t *kv_gpu_take_whole(struct kv_gpu_bench *bench, const int32_t *numbers, int64_t count, struct kv_err *err);
/* Sets of operands of so many bytes each that together are three times the L2 cache, 64 at the most. */
int32_t kv_gpu_sets(const struct kv_gpu_bench *bench, int64_t bytes);
/* Fills *err with the one reason for all points that are too large, and returns KV_GPU_LEFT_OUT. */
enum kv_gpu_outcome kv_gpu_no_room(struct kv_err *err);
/* KV_GPU_LEFT_OUT for a thing that is not here (KV_ENOHW), else KV_GPU_FAILED. */
enum kv_gpu_outcome kv_gpu_outcome_of(const struct kv_err *err);

/* Something to be timed. `run` puts one call, on operands number `set`, into the stream. */
struct kv_gpu_call {
    void *state;
    bool (*run)(void *state, int32_t set, kv_cuda_stream stream, struct kv_err *err);
    int32_t sets;
    bool direct;             /* launched one by one, as by an engine without graphs; else as a CUDA graph */
    kv_cuda_stream stream;   /* NULL: the bench's */
};
bool kv_gpu_time(struct kv_gpu_bench *bench, const struct kv_gpu_call *call, struct kv_gpu_result *result,
                 struct kv_err *err);

/* A kind each; areas are free when they begin. */
typedef enum kv_gpu_outcome kv_gpu_kind(struct kv_gpu_bench *bench, const struct kv_gpu_point *point,
                                        struct kv_gpu_result *result, struct kv_err *err);
kv_gpu_kind kv_gpu_measure_gemm, kv_gpu_measure_attention, kv_gpu_measure_rows, kv_gpu_measure_copy,
    kv_gpu_measure_reduce, kv_gpu_measure_share, kv_gpu_measure_layers;

/* Attention over paged KV, set up on the device: `fresh` tokens of each sequence over `cached` and themselves, or one
 * token each (a decode). A set of KV is `set_elements` of keys and as many of values. */
struct kv_gpu_attention {
    struct kv_gpu_bench *bench;
    bool decode;
    int32_t sequences, fresh, cached, heads, longest, splits;
    int64_t q_stride, set_elements;
    struct kv_pages pages;       /* of set 0 */
    const int32_t *first, *before, *length;
    const kv_bf16 *q;
    kv_bf16 *out;
    float *scratch;
};
/* KV_GPU_MEASURED when it is ready to run. q and out may be the caller's; NULL: taken here. */
enum kv_gpu_outcome kv_gpu_attention_open(struct kv_gpu_attention *a, struct kv_gpu_bench *bench, bool decode,
                                          const int64_t x[3], const int64_t heads[3], int32_t sets,
                                          struct kv_err *err);
bool kv_gpu_attention_run(void *attention, int32_t set, kv_cuda_stream stream, struct kv_err *err);

/* Compares what the operator computes on small shapes with float64 on the CPU. False with *err (KV_ECHECK) when it is
 * wrong, other codes when the device failed. */
bool kv_gpu_check(struct kv_gpu_bench *bench, enum kv_gpu_op op, enum kv_gpu_type type, struct kv_err *err);

#endif

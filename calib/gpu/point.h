/* SPDX-License-Identifier: Apache-2.0 */
/* What kvsim-calib-gpu measures, and how much it is worth: points of grids, and their order. Needs no CUDA. */
#ifndef KV_CALIB_GPU_POINT_H
#define KV_CALIB_GPU_POINT_H

#include "sim/base/arena.h"
#include "sim/base/err.h"
#include "sim/lib/shape.h"

/* Kinds of points, and what their numbers x[] are. All of one GPU: heads are those that it holds. */
enum kv_gpu_op {
    KV_GPU_GEMM,        /* m, n, k: out[m][n] = a[m][k] w[n][k]' */
    KV_GPU_PREFILL,     /* sequences, new tokens of each, cached tokens of each, heads, KV heads, head_dim */
    KV_GPU_DECODE,      /* sequences, KV tokens of each before the new one, heads, KV heads, head_dim */
    KV_GPU_NORM,        /* tokens, width; with addition of a residual */
    KV_GPU_ROTARY,      /* tokens, width of queries and keys */
    KV_GPU_SCATTER,     /* tokens, width of keys and values: a fetched layer, from device memory into pages */
    KV_GPU_SILU,        /* tokens, width of the output */
    KV_GPU_WRITE,       /* tokens, width of keys and values: those of new tokens into pages */
    KV_GPU_COPY,        /* enum kv_gpu_way, bytes of a block, blocks */
    KV_GPU_REDUCE,      /* GPUs, bytes of a rank */
    KV_GPU_SHARE,       /* enum kv_gpu_shared, SMs in permille of the device */
    KV_GPU_LAYERS,      /* sequences, new tokens and cached tokens of each, 1 where kernels are launched one by one
                           (0: in a CUDA graph), and a model: two layers in one go */
    KV_GPU_OPS
};
enum { KV_GPU_X = 6 };

/* Between pinned host memory and the device. A gather is done by a kernel, of blocks of the host in disorder. */
enum kv_gpu_way { KV_GPU_H2D, KV_GPU_D2H, KV_GPU_BOTH, KV_GPU_GATHER, KV_GPU_WAYS };
/* What is run on a part of the SMs. */
enum kv_gpu_shared { KV_GPU_SHARED_GEMM, KV_GPU_SHARED_PREFILL, KV_GPU_SHARED_DECODE, KV_GPU_SHAREDS };
enum kv_gpu_type { KV_GPU_BF16, KV_GPU_FP8, KV_GPU_TYPES };

struct kv_gpu_point {
    enum kv_gpu_op op;
    enum kv_gpu_type type;
    int64_t x[KV_GPU_X];
    const struct kv_model_shape *model;   /* KV_GPU_LAYERS; else NULL. Of samples read, only its name is there */
    int32_t rank;                         /* 0: most valuable */
    int32_t visits;                       /* times that it was measured */
    bool left_out;                        /* cannot be measured here */
};

const char *kv_gpu_op_name(enum kv_gpu_op op);
const char *kv_gpu_type_name(enum kv_gpu_type type);
const char *kv_gpu_way_name(enum kv_gpu_way way);
const char *kv_gpu_shared_name(enum kv_gpu_shared shared);
/* "gemm bf16 16 x 4096 x 4096": for people. */
const char *kv_gpu_point_text(struct kv_arena *arena, const struct kv_gpu_point *point);
/* Order by op, type, numbers and model, as the files of samples are sorted; 0: the same point. */
int kv_gpu_point_order(const struct kv_gpu_point *a, const struct kv_gpu_point *b);
/* What a roofline knows of a point: bytes that it moves at the least, operations that it makes. */
void kv_gpu_point_work(const struct kv_gpu_point *point, double *bytes, double *flops);
/* Elements of a head of `width`: 128 where that goes, else 64. */
static inline int32_t kv_gpu_head_dim(int64_t width) { return width % 128 ? 64 : 128; }

struct kv_gpu_grid {
    bool op[KV_GPU_OPS], type[KV_GPU_TYPES];
    const struct kv_model_shape *const *model;   /* whose shapes are measured */
    int32_t model_count;
    bool general;                                /* products of a grid of their own, too */
    int32_t gpus;                                /* for all-reduce; 0: not known, up to 8 */
    int32_t sms;                                 /* of the device; 0: not known */
    int64_t memory_bytes;                        /* the same */
};
/* "gemm,copy" or "" for all; "bf16,fp8". False with KV_EUSAGE. */
bool kv_gpu_grid_read(const char *ops, const char *types, struct kv_gpu_grid *grid, struct kv_err *err);
/* All points, each once, by rank: ends and middles of axes first, one GPU before its parts of several, shapes of models
 * before the general grid. Returns how many. */
int32_t kv_gpu_plan(struct kv_arena *arena, const struct kv_gpu_grid *grid, struct kv_gpu_point **points);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the CUDA device share. All but kernels and products is C over calib/cuda, and runs on the CPU in
 * the tests, where other functions stand in for those of calib/cuda. */
#ifndef KV_CALIB_SERVE_CUDA_GPU_H
#define KV_CALIB_SERVE_CUDA_GPU_H

#include "calib/cuda/device.h"
#include "calib/cuda/gemm.h"
#include "calib/cuda/ops.h"
#include "calib/serve/llama.h"
#include "calib/serve_cuda/cuda.h"
#include "calib/serve_cuda/pick.h"

struct kv_gpu_layer { kv_bf16 *norm, *qkv, *out, *mlp_norm, *gate_up, *down, *keys, *values; };

/* A load: event[l] is behind the copy of layer l; `arrived` layers are known to be in. */
struct kv_gpu_load { kv_cuda_event *event; int32_t arrived; };

/* Whole numbers that a step's kernels read, in one block of pinned memory and its copy on the device. Offsets in it. */
struct kv_gpu_input {
    int64_t token, position, slot, first, cached, length, yield, table, count;
    int32_t table_stride;
};

struct kv_gpu {
    struct kv_loop_cuda_options o;
    const struct kv_model_shape *shape;
    struct kv_cuda_device device;
    int32_t block_tokens, qkv_wide, heads_wide, row;      /* widths in numbers; row: of K, or of V, of a token */
    int64_t block_bytes;                                   /* K and V of a block in a layer */
    kv_cuda_stream compute, copies;
    struct kv_gemm *gemm;
    KV_VEC(void *) memory, host_memory;                    /* all that is to be given back */
    int64_t taken_bytes;

    struct kv_gpu_layer *layer;
    kv_bf16 *embedding, *norm, *head;
    kv_bf16 *x, *normed, *added, *qkv, *attended, *gate_up, *mlp, *last, *logits;   /* of a step */
    float *scratch;
    int32_t *input, *input_host;
    int32_t *picked, *picked_host;

    char *host;                                            /* [layer][slot][K, V][block_tokens][kv_heads][head_dim] */
    char *staging;                                         /* one layer's blocks on their way into pages */
    int64_t staging_blocks;
    int32_t *pages, *pages_host;                           /* a ring of page numbers of loads under way */
    int64_t pages_room, pages_next;
    KV_VEC(struct kv_gpu_load) load;

    kv_cuda_event begin, end, *layer_begin, *layer_end;
    struct kv_loop_layer *times;
    int64_t steps;
    int32_t *token;                                        /* of each member */
    int64_t zero_ns;                                       /* of the monotonic clock: the start of the run */
    struct kv_err failed;                                  /* of a call that could not say so */
};

/* Memory, weights, streams. What was taken is given back by kv_gpu_give also after a failure. */
bool kv_gpu_take(struct kv_gpu *g, struct kv_arena *arena, struct kv_err *err);
void kv_gpu_give(struct kv_gpu *g);

/* The pages of one layer. `table`, `stride`: of the first sequence; may be NULL and 0. */
struct kv_pages kv_gpu_pages(const struct kv_gpu *g, int32_t layer, const int32_t *table, int32_t stride);

/* Products of steps of up to `rows` tokens, of which `yields` give one, need nothing more at their first call. */
bool kv_gpu_prepare_products(struct kv_gpu *g, int64_t rows, int64_t yields, struct kv_err *err);
/* Puts a step into the compute stream. `timed`: with events around each layer. `head`: with output and sampling. */
bool kv_gpu_forward(struct kv_gpu *g, const struct kv_loop_batch *batch, bool timed, bool head, struct kv_err *err);

/* Begins a load; layers of it that are in. */
bool kv_gpu_begin_load(struct kv_gpu *g, const struct kv_loop_load *load, struct kv_err *err);
int32_t kv_gpu_arrived(struct kv_gpu *g, int32_t load);
/* From pages to places in host memory, where slot[i] >= 0; waits. */
bool kv_gpu_save(struct kv_gpu *g, const struct kv_loop_load *load, struct kv_err *err);

#endif

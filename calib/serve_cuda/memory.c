/* SPDX-License-Identifier: Apache-2.0 */
/* Weights, pages and all other memory of the CUDA device, and whether it is enough. */
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "calib/serve_cuda/gpu.h"

#define STAGING_BYTES (INT64_C(64) << 20)
#define RESERVE_BYTES (INT64_C(512) << 20)   /* for the libraries: code of kernels, workspaces */
#define HOST_SHARE 0.8                       /* of the machine's memory, at most, is pinned */
#define GIB(bytes) ((double)(bytes) / 0x1p30)

/* ---- sizes ---- */

static int64_t layer_numbers(const struct kv_gpu *g)
{
    int64_t h = g->shape->hidden;
    return 2 * h + (int64_t)g->qkv_wide * h + (int64_t)g->heads_wide * h + 3 * h * g->shape->intermediate;
}

static int64_t weight_bytes(const struct kv_gpu *g)
{
    const struct kv_model_shape *s = g->shape;
    return 2 * (s->layers * layer_numbers(g) + s->hidden + 2 * (int64_t)s->vocabulary * s->hidden);
}

static int64_t scratch_bytes(const struct kv_gpu *g)
{
    int64_t most = 0;
    for (int32_t n = 1; n <= g->o.config->engine.max_num_seqs; n++) {
        int32_t splits = kv_decode_splits(g->device.sms, n, g->shape->kv_heads, (int32_t)g->o.longest_tokens);
        int64_t bytes = kv_decode_scratch_bytes(n, g->shape->heads, g->shape->head_dim, splits);
        if (bytes > most) most = bytes;
    }
    return most;
}

static int64_t rows_most(const struct kv_gpu *g) { return g->o.config->engine.max_num_batched_tokens; }

/* Whole numbers of the largest step (struct kv_gpu_input). */
static int64_t input_numbers(const struct kv_gpu *g)
{
    int64_t seqs = g->o.config->engine.max_num_seqs, pages = g->o.longest_tokens / g->block_tokens + 2;
    int64_t fill_pages = g->o.fill_tokens / g->block_tokens + 2;
    return 3 * rows_most(g) + 5 * seqs + 64 + seqs * pages + fill_pages;
}

static int64_t step_bytes(const struct kv_gpu *g)
{
    const struct kv_model_shape *s = g->shape;
    int64_t seqs = g->o.config->engine.max_num_seqs;
    int64_t row = 3 * (int64_t)s->hidden + g->qkv_wide + g->heads_wide + 3 * (int64_t)s->intermediate;
    int64_t numbers = rows_most(g) * row + seqs * ((int64_t)s->hidden + s->vocabulary);
    return 2 * numbers + scratch_bytes(g) + 4 * input_numbers(g);
}

static int64_t pages_bytes(const struct kv_gpu *g)
{
    return g->o.config->hbm_blocks * g->block_bytes * g->shape->layers;
}

static int64_t staging_bytes(const struct kv_gpu *g) { return g->o.slots > 0 ? g->staging_blocks * g->block_bytes : 0; }

/* ---- does it fit ---- */

static bool enough_host_memory(const struct kv_gpu *g, struct kv_err *err)
{
    int64_t need = g->o.slots * g->block_bytes * g->shape->layers;
    int64_t have = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    if ((double)need <= HOST_SHARE * (double)have) return true;
    return kv_fail(err, KV_ENOHW, "", "the resident prefixes need %.1f GiB of pinned host memory, and the machine has "
                   "%.1f GiB: fewer requests (workload.limit), or fewer --layers", GIB(need), GIB(have));
}

static bool enough_memory(const struct kv_gpu *g, struct kv_err *err)
{
    int64_t have, fixed = weight_bytes(g) + step_bytes(g) + staging_bytes(g) + RESERVE_BYTES;
    int64_t block = g->block_bytes * g->shape->layers, largest = g->o.longest_tokens / g->block_tokens + 1;
    if (!kv_cuda_free_bytes(&have, err)) return false;
    if (fixed + pages_bytes(g) <= have) return true;
    int64_t blocks = (have - fixed) / block;
    double of_layer = (double)(2 * layer_numbers(g)) + (double)(g->o.config->hbm_blocks * g->block_bytes);
    int64_t layers = (int64_t)(((double)have - (double)(fixed - 2 * g->shape->layers * layer_numbers(g))) / of_layer);
    char fits[256];
    if (blocks > largest)
        snprintf(fits, sizeof fits, "with all layers %lld blocks fit: tiers[0].num_gpu_blocks=%lld", (long long)blocks,
                 (long long)blocks);
    else if (layers > 0)
        snprintf(fits, sizeof fits, "--layers %lld fits with these blocks", (long long)layers);
    else
        snprintf(fits, sizeof fits, "not one layer fits with these blocks; the largest request needs %lld blocks",
                 (long long)largest);
    return kv_fail(err, KV_ENOHW, g->device.name, "%s needs %.1f GiB: %.1f weights, %.1f for %lld blocks, %.1f for "
                   "steps; free are %.1f GiB; %s", g->shape->name, GIB(fixed + pages_bytes(g)), GIB(weight_bytes(g)),
                   GIB(pages_bytes(g)), (long long)g->o.config->hbm_blocks, GIB(step_bytes(g)), GIB(have), fits);
}

/* ---- taking ---- */

static bool take(struct kv_gpu *g, void *at, int64_t bytes, struct kv_err *err)
{
    void *memory = NULL;
    if (bytes > 0 && !kv_cuda_take(&memory, bytes, err)) return false;
    if (memory) kv_vec_push(&g->memory, memory);
    *(void **)at = memory;
    g->taken_bytes += bytes;
    return true;
}

static bool take_host(struct kv_gpu *g, void *at, int64_t bytes, struct kv_err *err)
{
    void *memory = NULL;
    if (bytes > 0 && !kv_cuda_take_host(&memory, bytes, err)) return false;
    if (memory) kv_vec_push(&g->host_memory, memory);
    *(void **)at = memory;
    return true;
}

/* Uniform, with the deviation that keeps the size of what goes through: 1 / sqrt(inputs). */
static bool matrix(struct kv_gpu *g, kv_bf16 **w, uint32_t *tensor, int64_t outputs, int64_t inputs, struct kv_err *err)
{
    uint32_t seed = (uint32_t)kv_mix64_pair(g->o.seed, (*tensor)++);
    return take(g, w, 2 * outputs * inputs, err)
           && kv_fill_bf16(*w, outputs * inputs, seed, (float)sqrt(3.0 / (double)inputs), g->compute, err);
}

static bool ones(struct kv_gpu *g, kv_bf16 **w, struct kv_err *err)
{
    kv_bf16 *from = (kv_bf16 *)(void *)g->input_host;
    for (int32_t i = 0; i < g->shape->hidden; i++) from[i] = 0x3f80;   /* 1.0 in bf16 */
    return take(g, w, 2 * (int64_t)g->shape->hidden, err)
           && kv_cuda_copy(*w, from, 2 * (int64_t)g->shape->hidden, g->compute, err) && kv_cuda_wait(g->compute, err);
}

static bool take_weights(struct kv_gpu *g, struct kv_err *err)
{
    const struct kv_model_shape *s = g->shape;
    uint32_t tensor = 0;
    int64_t pages = g->o.config->hbm_blocks * g->block_tokens * g->row;
    for (int32_t l = 0; l < s->layers; l++) {
        struct kv_gpu_layer *w = &g->layer[l];
        if (!ones(g, &w->norm, err) || !ones(g, &w->mlp_norm, err)
            || !matrix(g, &w->qkv, &tensor, g->qkv_wide, s->hidden, err)
            || !matrix(g, &w->out, &tensor, s->hidden, g->heads_wide, err)
            || !matrix(g, &w->gate_up, &tensor, 2 * (int64_t)s->intermediate, s->hidden, err)
            || !matrix(g, &w->down, &tensor, s->hidden, s->intermediate, err)
            || !take(g, &w->keys, 2 * pages, err) || !take(g, &w->values, 2 * pages, err)) return false;
        /* Pages that nobody has written are read where a block of threads looks past the end of a sequence. */
        if (!kv_cuda_zero(w->keys, 2 * pages, g->compute, err) || !kv_cuda_zero(w->values, 2 * pages, g->compute, err))
            return false;
    }
    return matrix(g, &g->embedding, &tensor, s->vocabulary, s->hidden, err) && ones(g, &g->norm, err)
           && matrix(g, &g->head, &tensor, s->vocabulary, s->hidden, err);
}

static bool take_step(struct kv_gpu *g, struct kv_err *err)
{
    const struct kv_model_shape *s = g->shape;
    int64_t rows = rows_most(g), seqs = g->o.config->engine.max_num_seqs;
    return take(g, &g->x, 2 * rows * s->hidden, err) && take(g, &g->normed, 2 * rows * s->hidden, err)
           && take(g, &g->added, 2 * rows * s->hidden, err) && take(g, &g->qkv, 2 * rows * g->qkv_wide, err)
           && take(g, &g->attended, 2 * rows * g->heads_wide, err)
           && take(g, &g->gate_up, 4 * rows * s->intermediate, err) && take(g, &g->mlp, 2 * rows * s->intermediate, err)
           && take(g, &g->last, 2 * seqs * s->hidden, err) && take(g, &g->logits, 2 * seqs * s->vocabulary, err)
           && take(g, &g->scratch, scratch_bytes(g), err) && take(g, &g->input, 4 * input_numbers(g), err)
           && take(g, &g->picked, 4 * seqs, err) && take_host(g, &g->picked_host, 4 * seqs, err);
}

static bool take_host_memory(struct kv_gpu *g, struct kv_err *err)
{
    if (g->o.slots == 0) return true;
    g->pages_room = 3 * g->o.config->hbm_blocks;
    return take_host(g, &g->host, g->o.slots * g->block_bytes * g->shape->layers, err)
           && take(g, &g->staging, staging_bytes(g), err) && take(g, &g->pages, 4 * g->pages_room, err)
           && take_host(g, &g->pages_host, 4 * g->pages_room, err);
}

static bool take_events(struct kv_gpu *g, struct kv_err *err)
{
    if (!kv_cuda_event_open(&g->begin, true, err) || !kv_cuda_event_open(&g->end, true, err)) return false;
    for (int32_t l = 0; l < g->shape->layers; l++)
        if (!kv_cuda_event_open(&g->layer_begin[l], true, err) || !kv_cuda_event_open(&g->layer_end[l], true, err))
            return false;
    return true;
}

bool kv_gpu_take(struct kv_gpu *g, struct kv_arena *arena, struct kv_err *err)
{
    const struct kv_model_shape *s = g->shape = g->o.config->compute_env.model;
    size_t layers = (size_t)s->layers;
    g->block_tokens = (int32_t)g->o.config->engine.block_tokens;
    g->row = s->kv_heads * s->head_dim;
    g->heads_wide = s->heads * s->head_dim;
    g->qkv_wide = g->heads_wide + 2 * g->row;
    g->block_bytes = 4 * (int64_t)g->block_tokens * g->row;
    g->staging_blocks = STAGING_BYTES / g->block_bytes + 1;
    g->layer = kv_arena_take(arena, layers * sizeof *g->layer);
    g->layer_begin = kv_arena_take(arena, layers * sizeof *g->layer_begin);
    g->layer_end = kv_arena_take(arena, layers * sizeof *g->layer_end);
    g->times = kv_arena_take(arena, layers * sizeof *g->times);
    g->token = kv_arena_take(arena, (size_t)g->o.config->engine.max_num_seqs * sizeof *g->token);
    int64_t input = 4 * input_numbers(g), norm = 2 * (int64_t)s->hidden;
    return enough_memory(g, err) && enough_host_memory(g, err) && kv_cuda_stream_open(&g->compute, err)
           && kv_cuda_stream_open(&g->copies, err) && kv_gemm_open(&g->gemm, err)
           && take_host(g, &g->input_host, input > norm ? input : norm, err)
           && take_weights(g, err) && take_step(g, err) && take_host_memory(g, err) && take_events(g, err)
           && kv_cuda_wait(g->compute, err);
}

void kv_gpu_give(struct kv_gpu *g)
{
    for (int32_t l = 0; g->layer_begin && l < g->shape->layers; l++) {
        kv_cuda_event_close(g->layer_begin[l]);
        kv_cuda_event_close(g->layer_end[l]);
    }
    kv_cuda_event_close(g->begin);
    kv_cuda_event_close(g->end);
    for (size_t i = 0; i < g->load.count; i++) {
        for (int32_t l = 0; l < g->shape->layers; l++) kv_cuda_event_close(g->load.at[i].event[l]);
        kv_mem_give(g->load.at[i].event, (size_t)g->shape->layers * sizeof *g->load.at[i].event);
    }
    for (size_t i = 0; i < g->memory.count; i++) kv_cuda_give(g->memory.at[i]);
    for (size_t i = 0; i < g->host_memory.count; i++) kv_cuda_give_host(g->host_memory.at[i]);
    kv_gemm_close(g->gemm);
    kv_cuda_stream_close(g->compute);
    kv_cuda_stream_close(g->copies);
    kv_vec_close(&g->load);
    kv_vec_close(&g->memory);
    kv_vec_close(&g->host_memory);
}

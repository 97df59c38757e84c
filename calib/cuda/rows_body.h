/* SPDX-License-Identifier: Apache-2.0 */
/* The bodies of the kernels between the products and of those that move KV (calib/cuda/simt.h): one call a block of
 * threads, or one call a thread where threads have nothing in common. */
#ifndef KV_CALIB_CUDA_ROWS_BODY_H
#define KV_CALIB_CUDA_ROWS_BODY_H

#include "calib/cuda/simt.h"

/* ---- rmsnorm: a block a row ---- */

#define KV_NORM_THREADS 256
#define KV_NORM_WARPS (KV_NORM_THREADS / 32)

/* Sum over the block of a value of each thread; `shared` has a float for each warp. */
KV_FN float kv_norm_sum(float value[KV_THREAD_SLOTS(KV_NORM_THREADS)], float *shared)
{
    float all = 0;
    KV_EACH_WARP(s, warp, KV_NORM_WARPS) {
        float lanes[KV_LANES];
        KV_EACH_LANE(l, lane) {
            lanes[l] = value[KV_OF_LANE(warp, l)];
        }
        kv_warp_sum(lanes);
        KV_EACH_LANE(l, lane)
            if (lane == 0) shared[warp] = lanes[l];
    }
    kv_sync_block();
    for (int w = 0; w < KV_NORM_WARPS; w++) all += shared[w];
    return all;
}

KV_FN void kv_norm_row(kv_bf16 *x, const kv_bf16 *added, const kv_bf16 *weight, kv_bf16 *out, int32_t width,
                       float epsilon, float *shared)
{
    float square[KV_THREAD_SLOTS(KV_NORM_THREADS)];
    KV_EACH_THREAD(s, t, KV_NORM_THREADS) {
        square[s] = 0;
        for (int32_t i = 8 * t; i < width; i += 8 * KV_NORM_THREADS) {
            KV_ALIGNED16 kv_bf16 v[8], more[8];
            kv_load8(v, x + i);
            if (added) kv_load8(more, added + i);
            KV_UNROLL for (int e = 0; e < 8; e++) {
                if (added) v[e] = kv_float_bf16(kv_bf16_float(v[e]) + kv_bf16_float(more[e]));
                square[s] += kv_bf16_float(v[e]) * kv_bf16_float(v[e]);
            }
            if (added) kv_store8(x + i, v);
        }
    }
    float factor = 1 / sqrtf(kv_norm_sum(square, shared) / (float)width + epsilon);
    KV_EACH_THREAD(s, t, KV_NORM_THREADS) {
        /* Each thread reads what it wrote itself. */
        for (int32_t i = 8 * t; i < width; i += 8 * KV_NORM_THREADS) {
            KV_ALIGNED16 kv_bf16 v[8], w[8];
            kv_load8(v, x + i);
            kv_load8(w, weight + i);
            KV_UNROLL for (int e = 0; e < 8; e++)
                v[e] = kv_float_bf16(kv_bf16_float(v[e]) * factor * kv_bf16_float(w[e]));
            kv_store8(out + i, v);
        }
    }
}

/* ---- rotary: a block a row ---- */

#define KV_ROTARY_THREADS 128

/* Thread t turns pairs 8 p .. 8 p + 7 of every `step`-th head, so that sines are made once for several heads. */
KV_FN void kv_rotary_thread(kv_bf16 *row, float position, int32_t heads, int32_t dim, float log2_theta, int t)
{
    int32_t half = dim / 2, pieces = half / 8, step = KV_ROTARY_THREADS / pieces, first = t / pieces, p = t % pieces;
    float sine[8], cosine[8];
    if (first >= heads || first >= step) return;
    KV_UNROLL for (int e = 0; e < 8; e++) {
        float angle = position * kv_exp2(-2 * (float)(8 * p + e) / (float)dim * log2_theta);
        sine[e] = sinf(angle);
        cosine[e] = cosf(angle);
    }
    for (int32_t h = first; h < heads; h += step) {
        kv_bf16 *at = row + (int64_t)h * dim + 8 * p;
        KV_ALIGNED16 kv_bf16 low[8], high[8];
        kv_load8(low, at);
        kv_load8(high, at + half);
        KV_UNROLL for (int e = 0; e < 8; e++) {
            float x = kv_bf16_float(low[e]), y = kv_bf16_float(high[e]);
            low[e] = kv_float_bf16(x * cosine[e] - y * sine[e]);
            high[e] = kv_float_bf16(y * cosine[e] + x * sine[e]);
        }
        kv_store8(at, low);
        kv_store8(at + half, high);
    }
}

/* ---- what one thread does alone: piece i of 8 elements, or of 16 bytes ---- */

/* Pieces are numbered by 32 bits, for divisions of 64 take longer than the memory. */
#define KV_PIECES_MOST INT64_C(0xffffffff)

KV_FN void kv_silu_piece(const kv_bf16 *gate_up, kv_bf16 *out, int32_t width, uint32_t i)
{
    uint32_t pieces = (uint32_t)width / 8;
    const kv_bf16 *gate = gate_up + (int64_t)(i / pieces) * 2 * width + i % pieces * 8;
    KV_ALIGNED16 kv_bf16 g[8], u[8];
    kv_load8(g, gate);
    kv_load8(u, gate + width);
    KV_UNROLL for (int e = 0; e < 8; e++) {
        float x = kv_bf16_float(g[e]);
        g[e] = kv_float_bf16(x / (1 + kv_exp2(-1.4426950408889634f * x)) * kv_bf16_float(u[e]));
    }
    kv_store8(out + 8 * (int64_t)i, g);
}

/* Pieces of the keys of all rows, and as many of the values after them. */
KV_FN void kv_write_piece(const kv_bf16 *keys, const kv_bf16 *values, int64_t stride, const int32_t *slot,
                          uint32_t rows, const struct kv_pages *pages, uint32_t i)
{
    uint32_t width = (uint32_t)(pages->kv_heads * pages->head_dim), pieces = width / 8;
    bool is_value = i >= rows * pieces;
    if (is_value) i -= rows * pieces;
    uint32_t row = i / pieces, piece = i % pieces;
    KV_ALIGNED16 kv_bf16 v[8];
    if (slot[row] < 0) return;
    kv_load8(v, (is_value ? values : keys) + (int64_t)row * stride + 8 * piece);
    kv_store8((is_value ? pages->values : pages->keys) + (int64_t)slot[row] * width + 8 * piece, v);
}

/* Piece i of a fetched layer, in the order in which it lies in `from`. */
KV_FN void kv_scatter_piece(const kv_bf16 *from, int32_t chunk_tokens, const int32_t *page,
                            const struct kv_pages *pages, uint32_t i)
{
    uint32_t width = (uint32_t)(pages->kv_heads * pages->head_dim), pieces = width / 8;
    uint32_t tokens = (uint32_t)chunk_tokens, page_tokens = (uint32_t)pages->page_tokens;
    uint32_t row = i / pieces, piece = i % pieces;               /* rows of keys and rows of values, chunk by chunk */
    uint32_t chunk = row / (2 * tokens), within = row % (2 * tokens);
    bool is_value = within >= tokens;
    uint32_t token = chunk * tokens + within - (is_value ? tokens : 0);
    int64_t place = (int64_t)page[token / page_tokens] * page_tokens + token % page_tokens;
    KV_ALIGNED16 kv_bf16 v[8];
    kv_load8(v, from + 8 * (int64_t)i);
    kv_store8((is_value ? pages->values : pages->keys) + place * width + 8 * piece, v);
}

KV_FN void kv_gather_piece(char *to, const char *from, const int32_t *block, int64_t block_bytes, uint32_t i)
{
    uint32_t pieces = (uint32_t)(block_bytes / 16), which = i / pieces, piece = i % pieces;
    KV_ALIGNED16 kv_bf16 v[8];
    kv_load8(v, (const kv_bf16 *)(from + block[which] * block_bytes + 16 * (int64_t)piece));
    kv_store8((kv_bf16 *)(to + 16 * (int64_t)i), v);
}

/* ---- numbers to work on ---- */

/* Uniform in -1 .. 1, a function of seed and index: the mixing function of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014)
 * on their sum. */
#ifdef __CUDACC__
static __host__ __device__ __forceinline__
#else
static inline
#endif
float kv_fill_value(uint32_t seed, int64_t index)
{
    uint64_t z = ((uint64_t)seed << 40) + (uint64_t)index + UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    z ^= z >> 31;
    return (float)(int32_t)(z >> 40) * 0x1p-23f - 1;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels between the products, those that move KV, and their launchers (calib/cuda/ops.h); bodies in rows_body.h. */
#include <cuda_fp8.h>
#include <cuda_runtime.h>

#include "calib/cuda/ops.h"
#include "calib/cuda/refuse.h"
#include "calib/cuda/rows_body.h"

#define THREADS 256
#define GRID_MOST 0x7fffffff

/* ---- kernels ---- */

static __global__ void __launch_bounds__(KV_NORM_THREADS)
norm_kernel(kv_bf16 *x, const kv_bf16 *added, const kv_bf16 *weight, kv_bf16 *out, int32_t width, float epsilon)
{
    __shared__ float shared[KV_NORM_WARPS];
    int64_t at = (int64_t)blockIdx.x * width;
    kv_norm_row(x + at, added ? added + at : NULL, weight, out + at, width, epsilon, shared);
}

static __global__ void __launch_bounds__(KV_ROTARY_THREADS)
rotary_kernel(kv_bf16 *qkv, int64_t stride, const int32_t *position, int32_t heads, int32_t dim, float log2_theta)
{
    kv_rotary_thread(qkv + blockIdx.x * stride, (float)position[blockIdx.x], heads, dim, log2_theta,
                     (int)threadIdx.x);
}

/* Piece i of this thread, then those a grid further on. */
#define EACH_PIECE(i, pieces) \
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < (pieces); \
         i += (int64_t)gridDim.x * blockDim.x)

static __global__ void __launch_bounds__(THREADS)
silu_kernel(const kv_bf16 *gate_up, kv_bf16 *out, int32_t width, int64_t pieces)
{
    EACH_PIECE(i, pieces) kv_silu_piece(gate_up, out, width, (uint32_t)i);
}

static __global__ void __launch_bounds__(THREADS)
write_kernel(const kv_bf16 *keys, const kv_bf16 *values, int64_t stride, const int32_t *slot, int64_t rows,
             const struct kv_pages pages, int64_t pieces)
{
    EACH_PIECE(i, pieces) kv_write_piece(keys, values, stride, slot, (uint32_t)rows, &pages, (uint32_t)i);
}

static __global__ void __launch_bounds__(THREADS)
scatter_kernel(const kv_bf16 *from, int32_t chunk_tokens, const int32_t *page, const struct kv_pages pages,
               int64_t pieces)
{
    EACH_PIECE(i, pieces) kv_scatter_piece(from, chunk_tokens, page, &pages, (uint32_t)i);
}

static __global__ void __launch_bounds__(THREADS)
gather_kernel(char *to, const char *from, const int32_t *block, int64_t block_bytes, int64_t pieces)
{
    EACH_PIECE(i, pieces) kv_gather_piece(to, from, block, block_bytes, (uint32_t)i);
}

static __global__ void __launch_bounds__(THREADS)
fill_bf16_kernel(kv_bf16 *at, int64_t count, uint32_t seed, float scale)
{
    EACH_PIECE(i, count) at[i] = kv_float_bf16(scale * kv_fill_value(seed, i));
}

static __global__ void __launch_bounds__(THREADS)
fill_fp8_kernel(uint8_t *at, int64_t count, uint32_t seed, float scale)
{
    EACH_PIECE(i, count) at[i] = __nv_cvt_float_to_fp8(scale * kv_fill_value(seed, i), __NV_SATFINITE, __NV_E4M3);
}

/* ---- launchers ---- */

/* Blocks for so many pieces, a piece a thread; a thread takes more than one only where the grid would be too large. */
static unsigned grid_of(int64_t pieces)
{
    int64_t blocks = (pieces + THREADS - 1) / THREADS;
    return (unsigned)(blocks < GRID_MOST ? blocks : GRID_MOST);
}

static bool is_countable(int64_t pieces, struct kv_err *err)
{
    return kv_refuse_unless(pieces <= KV_PIECES_MOST, "more than 64 GiB at once", err);
}

extern "C" bool kv_rmsnorm(kv_bf16 *x, const kv_bf16 *added, const kv_bf16 *weight, kv_bf16 *out, int64_t rows,
                           int32_t width, float epsilon, kv_cuda_stream stream, struct kv_err *err)
{
    if (!kv_refuse_unless(width >= 8 && width <= 65536 && rows <= GRID_MOST, "a norm of too many elements or rows", err)
        || !kv_refuse_rows(x, width, width, err) || !kv_refuse_rows(out, width, width, err)
        || !kv_refuse_rows(weight, width, width, err)
        || (added && !kv_refuse_rows(added, width, width, err))
        || !kv_refuse_unless(!added || (out != x && out != added), "a norm over what it reads", err)) return false;
    if (rows <= 0) return true;
    norm_kernel<<<(unsigned)rows, KV_NORM_THREADS, 0, stream>>>(x, added, weight, out, width, epsilon);
    return kv_cuda_launched("rmsnorm", err);
}

extern "C" bool kv_rotary(kv_bf16 *qkv, int64_t stride, const int32_t *position, int64_t rows, int32_t heads,
                          int32_t head_dim, float theta, kv_cuda_stream stream, struct kv_err *err)
{
    if (!kv_refuse_unless(head_dim >= 16 && head_dim <= 256 && (head_dim & (head_dim - 1)) == 0 && heads >= 1,
                          "rotary embedding needs heads of 16 to 256 elements, a power of two", err)
        || !kv_refuse_unless(rows <= GRID_MOST && theta > 1, "rotary embedding of too many rows", err)
        || !kv_refuse_rows(qkv, stride, (int64_t)heads * head_dim, err)) return false;
    if (rows <= 0) return true;
    rotary_kernel<<<(unsigned)rows, KV_ROTARY_THREADS, 0, stream>>>(qkv, stride, position, heads, head_dim,
                                                                    log2f(theta));
    return kv_cuda_launched("rotary embedding", err);
}

extern "C" bool kv_write_pages(const kv_bf16 *keys, const kv_bf16 *values, int64_t stride, const int32_t *slot,
                               int64_t rows, const struct kv_pages *pages, kv_cuda_stream stream, struct kv_err *err)
{
    int64_t width = (int64_t)pages->kv_heads * pages->head_dim;
    if (!kv_refuse_pages(pages, pages->kv_heads, err) || !kv_refuse_rows(keys, stride, width, err)
        || !kv_refuse_rows(values, stride, width, err)) return false;
    if (rows <= 0) return true;
    int64_t pieces = 2 * rows * width / 8;
    if (!is_countable(pieces, err)) return false;
    write_kernel<<<grid_of(pieces), THREADS, 0, stream>>>(keys, values, stride, slot, rows, *pages, pieces);
    return kv_cuda_launched("writing KV into pages", err);
}

extern "C" bool kv_silu_mul(const kv_bf16 *gate_up, kv_bf16 *out, int64_t rows, int32_t width, kv_cuda_stream stream,
                            struct kv_err *err)
{
    if (!kv_refuse_rows(gate_up, width, width, err) || !kv_refuse_rows(out, width, width, err)
        || !kv_refuse_unless(width >= 8, "rows of nothing", err)) return false;
    if (rows <= 0) return true;
    int64_t pieces = rows * width / 8;
    if (!is_countable(pieces, err)) return false;
    silu_kernel<<<grid_of(pieces), THREADS, 0, stream>>>(gate_up, out, width, pieces);
    return kv_cuda_launched("silu", err);
}

extern "C" bool kv_scatter(const void *from, int32_t chunk_tokens, int32_t chunks, const int32_t *page,
                           const struct kv_pages *pages, kv_cuda_stream stream, struct kv_err *err)
{
    int64_t width = (int64_t)pages->kv_heads * pages->head_dim;
    if (!kv_refuse_pages(pages, pages->kv_heads, err) || !kv_refuse_rows(from, width, width, err)
        || !kv_refuse_unless(chunk_tokens >= 1 && chunk_tokens % pages->page_tokens == 0,
                             "a chunk is no whole number of pages", err)) return false;
    if (chunks <= 0) return true;
    int64_t pieces = 2 * (int64_t)chunks * chunk_tokens * width / 8;
    if (!is_countable(pieces, err)) return false;
    scatter_kernel<<<grid_of(pieces), THREADS, 0, stream>>>((const kv_bf16 *)from, chunk_tokens, page, *pages, pieces);
    return kv_cuda_launched("scattering KV into pages", err);
}

extern "C" bool kv_gather(void *to, const void *from, const int32_t *block, int32_t count, int64_t block_bytes,
                          int32_t ctas, kv_cuda_stream stream, struct kv_err *err)
{
    if (!kv_refuse_unless(block_bytes >= 16 && block_bytes % 16 == 0, "blocks are no multiple of 16 bytes", err)
        || !kv_refuse_rows(to, 8, 8, err) || !kv_refuse_rows(from, 8, 8, err)
        || !kv_refuse_unless(ctas >= 0, "a negative number of blocks of threads", err)) return false;
    if (count <= 0) return true;
    int64_t pieces = count * (block_bytes / 16);
    if (!is_countable(pieces, err)) return false;
    gather_kernel<<<ctas ? (unsigned)ctas : grid_of(pieces), THREADS, 0, stream>>>((char *)to, (const char *)from,
                                                                                  block, block_bytes, pieces);
    return kv_cuda_launched("gathering blocks", err);
}

extern "C" bool kv_fill_bf16(kv_bf16 *at, int64_t count, uint32_t seed, float scale, kv_cuda_stream stream,
                             struct kv_err *err)
{
    if (count <= 0) return true;
    fill_bf16_kernel<<<grid_of(count), THREADS, 0, stream>>>(at, count, seed, scale);
    return kv_cuda_launched("filling", err);
}

extern "C" bool kv_fill_fp8(uint8_t *at, int64_t count, uint32_t seed, float scale, kv_cuda_stream stream,
                            struct kv_err *err)
{
    if (count <= 0) return true;
    fill_fp8_kernel<<<grid_of(count), THREADS, 0, stream>>>(at, count, seed, scale);
    return kv_cuda_launched("filling", err);
}

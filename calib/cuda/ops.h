/* SPDX-License-Identifier: Apache-2.0 */
/* The operators of a transformer layer on a CUDA device, in bf16. Launchers: each puts one or two kernels into `stream`
 * and returns at once. Matrices are row-major; rows lie `stride` elements apart where there is a stride. Pointers are
 * of the device and 16-byte aligned, and so are rows: strides and widths are multiples of 8 elements. What breaks
 * this, or a shape that no kernel is for, is refused with KV_EUSAGE before anything is launched. No rows is no work. */
#ifndef KV_CALIB_CUDA_OPS_H
#define KV_CALIB_CUDA_OPS_H

#include "calib/cuda/device.h"
#include "calib/cuda/pages.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- attention ---- */

/* Causal attention of new tokens over what is cached and over themselves. Keys and values of the new tokens must be in
 * the pages already (kv_write_pages). Row i of sequence s stands at position cached[s] + i and sees all up to itself.
 * heads is a multiple of pages.kv_heads: heads that share KV are neighbours. Online softmax in float, products on the
 * tensor cores (Dao, FlashAttention-2, 2023). */
struct kv_prefill {
    const kv_bf16 *q;                /* [new tokens of all sequences], row: [heads][head_dim] */
    int64_t q_stride;                /* >= heads * head_dim */
    kv_bf16 *out;                    /* [new tokens][heads][head_dim], dense */
    const int32_t *first;            /* device; [sequences + 1]: first row of each, then the number of rows */
    const int32_t *cached;           /* device; [sequences]: tokens before the new ones */
    int32_t sequences, heads;
    int32_t longest_new;             /* the most new tokens of a sequence, or more */
    float scale;                     /* of q k, 1 / sqrt(head_dim) as a rule */
    struct kv_pages pages;
};
bool kv_attention_prefill(const struct kv_prefill *p, kv_cuda_stream stream, struct kv_err *err);

/* Attention of one token of each sequence. The KV of a sequence is divided among `splits` blocks of threads whose parts
 * a second kernel puts together (flash-decoding). */
struct kv_decode {
    const kv_bf16 *q;                /* [sequences], row: [heads][head_dim] */
    int64_t q_stride;
    kv_bf16 *out;                    /* [sequences][heads][head_dim] */
    const int32_t *length;           /* device; [sequences]: tokens it sees, itself among them, >= 1 */
    int32_t sequences, heads;
    int32_t longest;                 /* the largest length, or more */
    int32_t splits;                  /* kv_decode_splits; 1: no second kernel */
    float *scratch;                  /* kv_decode_scratch_bytes; NULL where splits is 1 */
    float scale;
    struct kv_pages pages;
};
/* Enough for two waves of blocks on a device with so many SMs, never less than 256 tokens a split, 64 at the most. */
int32_t kv_decode_splits(int32_t sms, int32_t sequences, int32_t kv_heads, int32_t longest);
int64_t kv_decode_scratch_bytes(int32_t sequences, int32_t heads, int32_t head_dim, int32_t splits);
bool kv_attention_decode(const struct kv_decode *d, kv_cuda_stream stream, struct kv_err *err);

/* ---- what lies between the products ---- */

/* x = x + added (where added is not NULL; x is written), out = x / sqrt(mean(x^2) + epsilon) * weight, a row each.
 * x, added and out are dense, [rows][width]; width is a multiple of 8, at most 65536. out may be added or x only where
 * added is NULL. */
bool kv_rmsnorm(kv_bf16 *x, const kv_bf16 *added, const kv_bf16 *weight, kv_bf16 *out, int64_t rows, int32_t width,
                float epsilon, kv_cuda_stream stream, struct kv_err *err);

/* Rotary embedding in place, halves of a head paired (NeoX style, as Llama and Qwen): elements i and i + head_dim / 2
 * turn by position * theta^(-2 i / head_dim). `heads` heads from the beginning of each row: queries, then keys, where
 * qkv comes of one product. */
bool kv_rotary(kv_bf16 *qkv, int64_t stride, const int32_t *position, int64_t rows, int32_t heads, int32_t head_dim,
               float theta, kv_cuda_stream stream, struct kv_err *err);

/* Keys and values of new tokens into their pages. slot[row] = page * page_tokens + token of the page (device; < 0: the
 * row is passed over). `table` of the pages is not used. */
bool kv_write_pages(const kv_bf16 *keys, const kv_bf16 *values, int64_t stride, const int32_t *slot, int64_t rows,
                    const struct kv_pages *pages, kv_cuda_stream stream, struct kv_err *err);

/* out = silu(gate) * up; a row of `gate_up` is gate, then up, each `width` wide. */
bool kv_silu_mul(const kv_bf16 *gate_up, kv_bf16 *out, int64_t rows, int32_t width, kv_cuda_stream stream,
                 struct kv_err *err);

/* ---- KV that was fetched ---- */

/* The layer of a fetched prefix into its pages. `from` (of the device, or pinned memory of the host, which the kernel
 * then reads over the bus) holds chunk after chunk [keys, then values][chunk_tokens][kv_heads][head_dim]; chunk_tokens
 * is a multiple of page_tokens. page[i] is the page of tokens i * page_tokens .. (device). */
bool kv_scatter(const void *from, int32_t chunk_tokens, int32_t chunks, const int32_t *page,
                const struct kv_pages *pages, kv_cuda_stream stream, struct kv_err *err);

/* Copies by a kernel: block i, of block_bytes (a multiple of 16), from from + block[i] * block_bytes to
 * to + i * block_bytes. Either side may be pinned memory of the host. `ctas` blocks of threads do it, few to leave the
 * other SMs alone; 0: as many as there is work for. */
bool kv_gather(void *to, const void *from, const int32_t *block, int32_t count, int64_t block_bytes, int32_t ctas,
               kv_cuda_stream stream, struct kv_err *err);

/* ---- filling ---- */

/* Numbers for a kernel to work on: uniform in -scale .. scale, a function of seed and index alone (kv_fill_value). */
bool kv_fill_bf16(kv_bf16 *at, int64_t count, uint32_t seed, float scale, kv_cuda_stream stream, struct kv_err *err);
/* The same as e4m3; scale <= 448. */
bool kv_fill_fp8(uint8_t *at, int64_t count, uint32_t seed, float scale, kv_cuda_stream stream, struct kv_err *err);

#ifdef __cplusplus
}
#endif

#endif

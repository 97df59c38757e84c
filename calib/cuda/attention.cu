/* SPDX-License-Identifier: Apache-2.0 */
/* Attention kernels and their launchers (calib/cuda/ops.h); what they do is in attention_body.h. */
#include <cuda_runtime.h>

#include "calib/cuda/attention_body.h"
#include "calib/cuda/refuse.h"

/* ---- kernels ---- */

template <int dim>
static __global__ void __launch_bounds__(KV_PREFILL_THREADS)
prefill_kernel(const struct kv_prefill p, int32_t shift)
{
    extern __shared__ __align__(128) kv_bf16 shared[];
    kv_prefill_block(&p, (int32_t)blockIdx.x, (int32_t)gridDim.x, (int32_t)blockIdx.y, (int32_t)blockIdx.z, shift,
                     shared, dim);
}

template <int dim>
static __global__ void __launch_bounds__(KV_DECODE_THREADS)
decode_kernel(const struct kv_decode d, int32_t shift)
{
    extern __shared__ __align__(128) kv_bf16 shared[];
    kv_decode_block(&d, (int32_t)blockIdx.x, shift, shared, dim);
}

template <int dim>
static __global__ void __launch_bounds__(dim)
combine_kernel(const struct kv_decode d)
{
    int32_t head = (int32_t)blockIdx.x % d.heads;
    kv_decode_combine(&d, blockIdx.x / (unsigned)d.heads, head, (int32_t)threadIdx.x, dim);
}

/* ---- launchers ---- */

static int32_t shift_of(int32_t page_tokens)
{
    int32_t shift = 0;
    while (1 << shift < page_tokens) shift++;
    return shift;
}

template <int dim>
static bool launch_prefill(const struct kv_prefill *p, kv_cuda_stream stream, struct kv_err *err)
{
    const int64_t blocks = kv_prefill_blocks(p->longest_new, p->heads / p->pages.kv_heads);
    const dim3 grid((unsigned)blocks, (unsigned)p->pages.kv_heads, (unsigned)p->sequences);
    prefill_kernel<dim><<<grid, KV_PREFILL_THREADS, KV_PREFILL_SHARED_BYTES(dim), stream>>>(
        *p, shift_of(p->pages.page_tokens));
    return kv_cuda_launched("attention of new tokens", err);
}

extern "C" bool kv_attention_prefill(const struct kv_prefill *p, kv_cuda_stream stream, struct kv_err *err)
{
    if (!kv_refuse_pages(&p->pages, p->heads, err)) return false;
    if (p->sequences <= 0 || p->longest_new <= 0) return true;
    if (!kv_refuse_unless(p->pages.table && p->first && p->cached, "a table of the batch is missing", err)
        || !kv_refuse_unless(p->sequences <= 65535 && p->pages.kv_heads <= 65535, "more than 65535 sequences", err)
        || !kv_refuse_unless(p->scale > 0, "the scale of scores is not above 0", err)
        || !kv_refuse_rows(p->q, p->q_stride, (int64_t)p->heads * p->pages.head_dim, err)
        || !kv_refuse_rows(p->out, 8, 8, err)
        || !kv_refuse_unless((int64_t)p->longest_new * p->heads <= INT32_MAX - KV_PREFILL_ROWS,
                             "too many new tokens in a sequence", err)) return false;
    return p->pages.head_dim == 64 ? launch_prefill<64>(p, stream, err) : launch_prefill<128>(p, stream, err);
}

/* A block may have more than 48 KiB of shared memory only when the kernel asked for it; once for each is enough. */
template <int dim>
static bool launch_decode(const struct kv_decode *d, int32_t blocks, kv_cuda_stream stream, struct kv_err *err)
{
    static bool asked = false;
    if (!asked && !kv_cuda_good(cudaFuncSetAttribute(decode_kernel<dim>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                     KV_DECODE_SHARED_BYTES(dim)),
                                "shared memory for attention of a token", err)) return false;
    asked = true;
    decode_kernel<dim><<<(unsigned)blocks, KV_DECODE_THREADS, KV_DECODE_SHARED_BYTES(dim), stream>>>(
        *d, shift_of(d->pages.page_tokens));
    if (!kv_cuda_launched("attention of a token", err)) return false;
    if (d->splits == 1) return true;
    combine_kernel<dim><<<(unsigned)(d->sequences * d->heads), dim, 0, stream>>>(*d);
    return kv_cuda_launched("putting parts of attention together", err);
}

extern "C" bool kv_attention_decode(const struct kv_decode *d, kv_cuda_stream stream, struct kv_err *err)
{
    if (!kv_refuse_pages(&d->pages, d->heads, err)) return false;
    if (d->sequences <= 0) return true;
    if (!kv_refuse_unless(d->pages.table && d->length, "a table of the batch is missing", err)
        || !kv_refuse_unless(d->splits >= 1 && d->splits <= 64 && (d->splits == 1 || d->scratch),
                          "splits are 1 to 64, and need scratch where there are several", err)
        || !kv_refuse_unless(d->scale > 0, "the scale of scores is not above 0", err)
        || !kv_refuse_unless(d->longest <= INT32_MAX / 2, "a sequence is too long", err)
        || !kv_refuse_rows(d->q, d->q_stride, (int64_t)d->heads * d->pages.head_dim, err)
        || !kv_refuse_rows(d->out, 8, 8, err)) return false;
    int64_t blocks = (int64_t)d->sequences * d->pages.kv_heads
                     * kv_decode_row_blocks(d->heads / d->pages.kv_heads) * d->splits;
    if (!kv_refuse_unless(blocks <= INT32_MAX && (int64_t)d->sequences * d->heads <= INT32_MAX,
                          "too many sequences", err)) return false;
    return d->pages.head_dim == 64 ? launch_decode<64>(d, (int32_t)blocks, stream, err)
                                   : launch_decode<128>(d, (int32_t)blocks, stream, err);
}

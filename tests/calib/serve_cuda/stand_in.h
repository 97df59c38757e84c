/* SPDX-License-Identifier: Apache-2.0 */
/* Functions of calib/cuda on the CPU, so that what stands on them is tested without a GPU: operators are the float64
 * references, rounded to bf16. What is put into a stream is done at once, but for the stream that was opened last (that
 * of copies): it is done piece by piece when somebody asks for an event, and wholly up to an event that another stream
 * waits for. Device memory holds NaN until it is written. */
#ifndef KV_TESTS_CALIB_SERVE_CUDA_STAND_IN_H
#define KV_TESTS_CALIB_SERVE_CUDA_STAND_IN_H

#include <stdlib.h>
#include <string.h>

#include "calib/cuda/device.h"
#include "calib/cuda/gemm.h"
#include "calib/cuda/ops.h"
#include "calib/cuda/reference.h"
#include "calib/serve_cuda/pick.h"
#include "sim/base/arena.h"
#include "sim/base/err.h"
#include "sim/base/rng.h"

/* ---- streams ---- */

struct CUstream_st { int number; };
struct CUevent_st { double at_s; bool recorded, happened; };
struct piece {
    enum { COPY, SCATTER, RECORD } kind;
    void *to;
    const void *from;
    int64_t bytes;
    int32_t chunk_tokens, chunks;
    const int32_t *page;
    struct kv_pages pages;
    kv_cuda_event event;
};
static struct { int streams; double now_s; KV_VEC(struct piece) late; size_t done; int64_t free_bytes, waited; } world
    = { .free_bytes = INT64_C(1) << 30 };

static void do_piece(const struct piece *p)
{
    struct kv_pages pages = p->pages;
    world.now_s += 1e-6;
    if (p->kind == COPY) memcpy(p->to, p->from, (size_t)p->bytes);
    else if (p->kind == SCATTER) kv_reference_scatter(p->from, p->chunk_tokens, p->chunks, p->page, &pages);
    else p->event->happened = true, p->event->at_s = world.now_s;
}

static bool is_late(kv_cuda_stream stream) { return stream->number == 2; }
static bool put(kv_cuda_stream stream, struct piece p)
{
    if (is_late(stream)) kv_vec_push(&world.late, p);
    else do_piece(&p);
    return true;
}

bool kv_cuda_stream_open(kv_cuda_stream *stream, struct kv_err *err)
{
    (void)err;
    *stream = kv_mem_take(sizeof **stream);
    (*stream)->number = ++world.streams;
    return true;
}
void kv_cuda_stream_close(kv_cuda_stream stream) { if (stream) kv_mem_give(stream, sizeof *stream); }
bool kv_cuda_event_open(kv_cuda_event *event, bool timed, struct kv_err *err)
{
    (void)timed, (void)err;
    *event = kv_mem_take(sizeof **event);
    return true;
}
void kv_cuda_event_close(kv_cuda_event event) { if (event) kv_mem_give(event, sizeof *event); }
bool kv_cuda_record(kv_cuda_event event, kv_cuda_stream stream, struct kv_err *err)
{
    (void)err;
    event->recorded = true;
    event->happened = false;
    return put(stream, (struct piece){ .kind = RECORD, .event = event });
}
bool kv_cuda_follow(kv_cuda_stream stream, kv_cuda_event event, struct kv_err *err)
{
    (void)err;
    kv_assert(!is_late(stream) && event->recorded);
    world.waited += !event->happened;
    while (!event->happened) do_piece(&world.late.at[world.done++]);
    return true;
}
bool kv_cuda_happened(kv_cuda_event event, bool *happened, struct kv_err *err)
{
    (void)err;
    if (!event->happened && world.done < world.late.count) do_piece(&world.late.at[world.done++]);
    *happened = event->happened;
    return true;
}
bool kv_cuda_wait(kv_cuda_stream stream, struct kv_err *err)
{
    (void)err;
    kv_assert(!is_late(stream));
    return true;
}
bool kv_cuda_wait_event(kv_cuda_event event, struct kv_err *err)
{
    (void)err;
    kv_assert(event->happened);
    return true;
}
bool kv_cuda_elapsed_s(kv_cuda_event from, kv_cuda_event to, double *seconds, struct kv_err *err)
{
    (void)err;
    kv_assert(from->happened && to->happened);
    *seconds = to->at_s - from->at_s;
    return true;
}

/* ---- device, memory ---- */

bool kv_cuda_open(int32_t index, struct kv_cuda_device *device, struct kv_err *err)
{
    if (index > 0) return kv_fail(err, KV_ENOHW, "", "device %d is not here", index);
    world.streams = 0;
    *device = (struct kv_cuda_device){ .name = "stand-in", .major = 9, .sms = 132 };
    return true;
}
bool kv_cuda_free_bytes(int64_t *bytes, struct kv_err *err)
{
    (void)err;
    *bytes = world.free_bytes;
    return true;
}
/* Sizes are not told when memory is given back: they stand before it. */
bool kv_cuda_take(void **at, int64_t bytes, struct kv_err *err)
{
    (void)err;
    char *p = kv_mem_take((size_t)bytes + 16);
    memset(p + 16, 0xff, (size_t)bytes);
    *(int64_t *)(void *)p = bytes;
    *at = p + 16;
    return true;
}
void kv_cuda_give(void *at)
{
    char *p = at;
    if (p) kv_mem_give(p - 16, (size_t)*(int64_t *)(void *)(p - 16) + 16);
}
bool kv_cuda_take_host(void **at, int64_t bytes, struct kv_err *err) { return kv_cuda_take(at, bytes, err); }
void kv_cuda_give_host(void *at) { kv_cuda_give(at); }
bool kv_cuda_copy(void *to, const void *from, int64_t bytes, kv_cuda_stream stream, struct kv_err *err)
{
    (void)err;
    return put(stream, (struct piece){ .kind = COPY, .to = to, .from = from, .bytes = bytes });
}
bool kv_cuda_zero(void *at, int64_t bytes, kv_cuda_stream stream, struct kv_err *err)
{
    (void)stream, (void)err;
    memset(at, 0, (size_t)bytes);
    return true;
}

/* ---- products and operators ---- */

static void round_to(kv_bf16 *to, const double *from, int64_t count)
{
    for (int64_t i = 0; i < count; i++) to[i] = kv_bf16_nearest(from[i]);
}
#define NUMBERS(count) kv_mem_take(((size_t)(count) + 1) * sizeof(double))
#define GIVE(numbers, count) kv_mem_give(numbers, ((size_t)(count) + 1) * sizeof(double))

bool kv_gemm_open(struct kv_gemm **gemm, struct kv_err *err)
{
    (void)err;
    *gemm = NULL;
    return true;
}
void kv_gemm_close(struct kv_gemm *gemm) { (void)gemm; }
int64_t kv_gemm_version(void) { return 0; }
bool kv_gemm_run(struct kv_gemm *gemm, enum kv_gemm_type type, int64_t m, int64_t n, int64_t k, const void *a,
                 const void *w, kv_bf16 *out, kv_cuda_stream stream, struct kv_err *err)
{
    (void)gemm, (void)stream, (void)err;
    kv_assert(type == KV_GEMM_BF16 && m > 0);
    double *r = NUMBERS(m * n);
    kv_reference_gemm(a, w, m, n, k, r);
    round_to(out, r, m * n);
    GIVE(r, m * n);
    return true;
}

bool kv_gemm_prepare(struct kv_gemm *gemm, enum kv_gemm_type type, int64_t m_most, int64_t n, int64_t k, const void *a,
                     const void *w, kv_bf16 *out, kv_cuda_stream stream, struct kv_err *err)
{
    return m_most < 1 || kv_gemm_run(gemm, type, m_most, n, k, a, w, out, stream, err);
}

static void attend_rows(const kv_bf16 *q, int64_t stride, kv_bf16 *out, const struct kv_pages *pages, int32_t sequence,
                        int32_t rows, int32_t cached, int32_t heads, double scale)
{
    int64_t count = (int64_t)rows * heads * pages->head_dim;
    double *r = NUMBERS(count);
    kv_reference_attention(q, stride, pages, sequence, rows, cached, heads, scale, r);
    round_to(out, r, count);
    GIVE(r, count);
}
bool kv_attention_prefill(const struct kv_prefill *p, kv_cuda_stream stream, struct kv_err *err)
{
    (void)stream, (void)err;
    for (int32_t s = 0; s < p->sequences; s++) {
        int32_t rows = p->first[s + 1] - p->first[s];
        kv_assert(rows <= p->longest_new);
        attend_rows(p->q + p->first[s] * p->q_stride, p->q_stride,
                    p->out + (int64_t)p->first[s] * p->heads * p->pages.head_dim, &p->pages, s, rows, p->cached[s],
                    p->heads, p->scale);
    }
    return true;
}
int32_t kv_decode_splits(int32_t sms, int32_t sequences, int32_t kv_heads, int32_t longest)
{
    (void)sms, (void)sequences, (void)kv_heads, (void)longest;
    return 1;
}
int64_t kv_decode_scratch_bytes(int32_t sequences, int32_t heads, int32_t head_dim, int32_t splits)
{
    (void)sequences, (void)heads, (void)head_dim, (void)splits;
    return 0;
}
bool kv_attention_decode(const struct kv_decode *d, kv_cuda_stream stream, struct kv_err *err)
{
    (void)stream, (void)err;
    for (int32_t s = 0; s < d->sequences; s++) {
        kv_assert(d->length[s] <= d->longest);
        kv_bf16 *out = d->out + (int64_t)s * d->heads * d->pages.head_dim;
        attend_rows(d->q + s * d->q_stride, d->q_stride, out, &d->pages, s, 1, d->length[s] - 1, d->heads, d->scale);
    }
    return true;
}
bool kv_rmsnorm(kv_bf16 *x, const kv_bf16 *added, const kv_bf16 *weight, kv_bf16 *out, int64_t rows, int32_t width,
                float epsilon, kv_cuda_stream stream, struct kv_err *err)
{
    (void)stream, (void)err;
    double *r = NUMBERS(rows * width);
    kv_reference_rmsnorm(x, added, weight, rows, width, epsilon, added ? x : NULL, r);
    round_to(out, r, rows * width);
    GIVE(r, rows * width);
    return true;
}
bool kv_rotary(kv_bf16 *qkv, int64_t stride, const int32_t *position, int64_t rows, int32_t heads, int32_t head_dim,
               float theta, kv_cuda_stream stream, struct kv_err *err)
{
    (void)stream, (void)err;
    int64_t width = (int64_t)heads * head_dim;
    double *r = NUMBERS(rows * width);
    kv_reference_rotary(qkv, stride, position, rows, heads, head_dim, theta, r);
    for (int64_t i = 0; i < rows; i++) round_to(qkv + i * stride, r + i * width, width);
    GIVE(r, rows * width);
    return true;
}
bool kv_write_pages(const kv_bf16 *keys, const kv_bf16 *values, int64_t stride, const int32_t *slot, int64_t rows,
                    const struct kv_pages *pages, kv_cuda_stream stream, struct kv_err *err)
{
    (void)stream, (void)err;
    struct kv_pages to = *pages;
    kv_reference_write_pages(keys, values, stride, slot, rows, &to);
    return true;
}
bool kv_silu_mul(const kv_bf16 *gate_up, kv_bf16 *out, int64_t rows, int32_t width, kv_cuda_stream stream,
                 struct kv_err *err)
{
    (void)stream, (void)err;
    double *r = NUMBERS(rows * width);
    kv_reference_silu_mul(gate_up, rows, width, r);
    round_to(out, r, rows * width);
    GIVE(r, rows * width);
    return true;
}
bool kv_scatter(const void *from, int32_t chunk_tokens, int32_t chunks, const int32_t *page,
                const struct kv_pages *pages, kv_cuda_stream stream, struct kv_err *err)
{
    (void)err;
    return put(stream, (struct piece){ .kind = SCATTER, .from = from, .chunk_tokens = chunk_tokens, .chunks = chunks,
                                       .page = page, .pages = *pages });
}
bool kv_gather(void *to, const void *from, const int32_t *block, int32_t count, int64_t block_bytes, int32_t ctas,
               kv_cuda_stream stream, struct kv_err *err)
{
    (void)ctas, (void)stream, (void)err;
    for (int32_t i = 0; i < count; i++)
        memcpy((char *)to + i * block_bytes, (const char *)from + block[i] * block_bytes, (size_t)block_bytes);
    return true;
}
bool kv_fill_bf16(kv_bf16 *at, int64_t count, uint32_t seed, float scale, kv_cuda_stream stream, struct kv_err *err)
{
    (void)stream, (void)err;
    for (int64_t i = 0; i < count; i++)
        at[i] = kv_bf16_nearest(scale * ((double)(kv_mix64_pair(seed, (uint64_t)i) >> 11) / 0x1p52 - 1));
    return true;
}
bool kv_pick(const kv_bf16 *logits, int64_t rows, int32_t width, int32_t *picked, kv_cuda_stream stream,
             struct kv_err *err)
{
    (void)stream, (void)err;
    for (int64_t r = 0; r < rows; r++) {
        picked[r] = 0;
        for (int32_t i = 1; i < width; i++)
            if (kv_bf16_value(logits[r * width + i]) > kv_bf16_value(logits[r * width + picked[r]])) picked[r] = i;
    }
    return true;
}

#endif

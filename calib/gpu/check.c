/* SPDX-License-Identifier: Apache-2.0 */
/* What the device computes on small shapes, against float64 on the CPU (calib/cuda/reference.h). Inputs are what lies
 * on the device; both sides read the same bits. */
#include <math.h>
#include <string.h>

#include "calib/cuda/ops.h"
#include "calib/cuda/reference.h"
#include "calib/gpu/bench.h"

/* Roundings of bf16 (2^-9) in the output, and of weights of attention on the way; sums of fp8 products have fewer bits
 * (the tensor cores keep 14 or so). */
#define ERROR_MOST 0.01
#define ERROR_MOST_ATTENTION 0.02
#define ERROR_MOST_FP8 0.03

/* ---- help ---- */

/* A copy of device memory in the arena of the point; NULL with *err. */
static void *fetch(struct kv_gpu_bench *b, const void *from, int64_t bytes, struct kv_err *err)
{
    void *at = kv_arena_take(&b->arena, (size_t)bytes);
    return kv_cuda_copy(at, from, bytes, b->stream, err) && kv_cuda_wait(b->stream, err) ? at : NULL;
}

static double *room(struct kv_gpu_bench *b, int64_t count)
{
    return kv_arena_take(&b->arena, (size_t)count * sizeof(double));
}

static bool compare(struct kv_gpu_bench *b, const char *what, const kv_bf16 *found, const double *wanted, int64_t count,
                    double floor, double most, struct kv_err *err)
{
    int64_t where;
    const kv_bf16 *here = fetch(b, found, 2 * count, err);
    if (!here) return false;
    double error = kv_reference_error(here, wanted, count, floor, &where);
    return error <= most
           || kv_fail(err, KV_ECHECK, "", "%s is wrong and not measured: element %lld of %lld is %g, not %g", what,
                      (long long)where, (long long)count, kv_bf16_value(here[where]), wanted[where]);
}

static bool same(struct kv_gpu_bench *b, const char *what, const void *found, const void *wanted, int64_t bytes,
                 struct kv_err *err)
{
    const void *here = fetch(b, found, bytes, err);
    if (!here) return false;
    return memcmp(here, wanted, (size_t)bytes) == 0
           || kv_fail(err, KV_ECHECK, "", "%s is wrong and not measured: bytes are not where they belong", what);
}

/* ---- products ---- */

static bool check_gemm(struct kv_gpu_bench *b, enum kv_gpu_type type, struct kv_err *err)
{
    static const int64_t shape[][3] = {{1, 64, 128}, {33, 160, 512}, {128, 256, 64}};
    bool fp8 = type == KV_GPU_FP8, good = true;
    if (fp8 && b->device.major * 10 + b->device.minor < 89) return true;   /* left out later, with the reason */
    for (size_t i = 0; good && i < sizeof shape / sizeof *shape; i++) {
        int64_t m = shape[i][0], n = shape[i][1], k = shape[i][2], size = fp8 ? 1 : 2;
        struct kv_gpu_area *in = fp8 ? &b->fp8 : &b->bf16;
        void *a = kv_gpu_take(in, m * k * size), *w = kv_gpu_take(in, n * k * size);
        kv_bf16 *out = kv_gpu_take(&b->out, m * n * 2);
        void *a_here = fetch(b, a, m * k * size, err), *w_here = a_here ? fetch(b, w, n * k * size, err) : NULL;
        double *wanted = room(b, m * n);
        if (!w_here) return false;
        if (fp8) kv_reference_gemm_fp8(a_here, w_here, m, n, k, wanted);
        else kv_reference_gemm(a_here, w_here, m, n, k, wanted);
        good = kv_gemm_run(b->gemm, fp8 ? KV_GEMM_FP8 : KV_GEMM_BF16, m, n, k, a, w, out, b->stream, err)
               && compare(b, fp8 ? "the product in fp8" : "the product in bf16", out, wanted, m * n,
                          sqrt((double)k) / 3, fp8 ? ERROR_MOST_FP8 : ERROR_MOST, err);
    }
    return good;
}

/* ---- attention ---- */

static bool check_attention_of(struct kv_gpu_bench *b, bool decode, const int64_t x[3], const int64_t heads[3],
                               int32_t splits, struct kv_err *err)
{
    struct kv_gpu_attention a = {0};
    if (kv_gpu_attention_open(&a, b, decode, x, heads, 1, err) != KV_GPU_MEASURED) return false;
    if (decode) {
        int64_t scratch = kv_decode_scratch_bytes(a.sequences, a.heads, (int32_t)heads[2], splits);
        a.splits = splits;
        a.scratch = kv_gpu_take(&b->out, scratch);
    }
    int64_t rows = x[0] * x[1], width = heads[0] * heads[2], q_bytes = rows * a.q_stride * 2;
    int64_t entries = x[0] * a.pages.table_stride;
    const kv_bf16 *q = fetch(b, a.q, q_bytes, err);
    struct kv_pages here = a.pages;
    if (!q || !(here.keys = fetch(b, a.pages.keys, 2 * a.set_elements, err))
        || !(here.values = fetch(b, a.pages.values, 2 * a.set_elements, err))
        || !(here.table = fetch(b, a.pages.table, 4 * entries, err))
        || !kv_gpu_attention_run(&a, 0, b->stream, err)) return false;
    double *wanted = room(b, rows * width), scale = 1 / sqrt((double)heads[2]);
    for (int64_t s = 0; s < x[0]; s++)
        kv_reference_attention(q + s * x[1] * a.q_stride, a.q_stride, &here, (int32_t)s, a.fresh, a.cached, a.heads,
                               scale, wanted + s * x[1] * width);
    return compare(b, decode ? "attention of a token" : "attention of new tokens", a.out, wanted, rows * width, 0.1,
                   ERROR_MOST_ATTENTION, err);
}

static bool check_attention(struct kv_gpu_bench *b, bool decode, struct kv_err *err)
{
    static const int64_t fresh[][3] = {{1, 1, 0}, {2, 70, 33}, {3, 16, 200}, {1, 130, 0}};
    static const int64_t lengths[][3] = {{1, 1, 0}, {3, 1, 15}, {2, 1, 333}, {1, 1, 1500}};
    static const int64_t heads[][3] = {{8, 2, 128}, {4, 4, 64}, {14, 2, 64}, {40, 2, 128}};
    for (size_t h = 0; h < sizeof heads / sizeof *heads; h++)
        for (size_t i = 0; i < 4; i++)
            for (int32_t splits = 1; splits <= (decode ? 5 : 1); splits += 4) {
                kv_gpu_reset(b);
                if (!check_attention_of(b, decode, decode ? lengths[i] : fresh[i], heads[h], splits, err)) return false;
            }
    return true;
}

/* ---- rows ---- */

enum { ROWS = 5 };

static bool check_norm(struct kv_gpu_bench *b, struct kv_err *err)
{
    static const int32_t widths[] = {8, 4104, 8192};
    bool good = true;
    for (int i = 0; good && i < 3; i++) {
        int64_t count = (int64_t)ROWS * widths[i];
        const kv_bf16 *from = kv_gpu_take(&b->bf16, 2 * count), *added = kv_gpu_take(&b->bf16, 2 * count);
        const kv_bf16 *weight = kv_gpu_take(&b->bf16, 2 * widths[i]);
        kv_bf16 *x = kv_gpu_take(&b->out, 2 * count), *out = kv_gpu_take(&b->out, 2 * count);
        const kv_bf16 *x_here = fetch(b, from, 2 * count, err), *added_here = fetch(b, added, 2 * count, err);
        const kv_bf16 *weight_here = fetch(b, weight, 2 * widths[i], err);
        kv_bf16 *sum = kv_arena_take(&b->arena, (size_t)(2 * count));
        double *wanted = room(b, count);
        if (!x_here || !added_here || !weight_here) return false;
        kv_reference_rmsnorm(x_here, added_here, weight_here, ROWS, widths[i], 1e-5, sum, wanted);
        good = kv_cuda_copy(x, from, 2 * count, b->stream, err)
               && kv_rmsnorm(x, added, weight, out, ROWS, widths[i], 1e-5f, b->stream, err)
               && compare(b, "rmsnorm", out, wanted, count, 0.1, ERROR_MOST, err)
               && same(b, "rmsnorm", x, sum, 2 * count, err);
    }
    return good;
}

static bool check_rotary(struct kv_gpu_bench *b, struct kv_err *err)
{
    static const int32_t position[ROWS] = {0, 1, 63, 500, 2047};
    bool good = true;
    for (int32_t dim = 64; good && dim <= 128; dim *= 2) {
        int32_t heads = 5;
        int64_t stride = (int64_t)(heads + 1) * dim, count = ROWS * stride;
        const kv_bf16 *from = kv_gpu_take(&b->bf16, 2 * count), *here = fetch(b, from, 2 * count, err);
        kv_bf16 *x = kv_gpu_take(&b->out, 2 * count);
        const int32_t *at = kv_gpu_take_whole(b, position, ROWS, err);
        double *wanted = room(b, (int64_t)ROWS * heads * dim);
        if (!here || !at) return false;
        kv_reference_rotary(here, stride, position, ROWS, heads, dim, 500000, wanted);
        good = kv_cuda_copy(x, from, 2 * count, b->stream, err)
               && kv_rotary(x, stride, at, ROWS, heads, dim, 500000, b->stream, err);
        for (int64_t r = 0; good && r < ROWS; r++)
            good = compare(b, "rotary embedding", x + r * stride, wanted + r * heads * dim, heads * dim, 0.1,
                           ERROR_MOST, err)
                   && same(b, "rotary embedding", x + r * stride + heads * dim, here + r * stride + heads * dim,
                           2 * dim, err);
    }
    return good;
}

static bool check_silu(struct kv_gpu_bench *b, struct kv_err *err)
{
    enum { WIDTH = 328 };
    const kv_bf16 *in = kv_gpu_take(&b->bf16, 4 * ROWS * WIDTH), *here = fetch(b, in, 4 * ROWS * WIDTH, err);
    kv_bf16 *out = kv_gpu_take(&b->out, 2 * ROWS * WIDTH);
    double *wanted = room(b, ROWS * WIDTH);
    if (!here) return false;
    kv_reference_silu_mul(here, ROWS, WIDTH, wanted);
    return kv_silu_mul(in, out, ROWS, WIDTH, b->stream, err)
           && compare(b, "silu", out, wanted, ROWS * WIDTH, 0.1, ERROR_MOST, err);
}

/* ---- places ---- */

enum { PAGES = 8, PAGE_TOKENS = KV_GPU_PAGE_TOKENS, KV_WIDTH = 2 * 128, POOL = PAGES * PAGE_TOKENS * KV_WIDTH };

/* Pages of zeros on the device and here. */
static bool two_pools(struct kv_gpu_bench *b, struct kv_pages *there, struct kv_pages *here, struct kv_err *err)
{
    kv_bf16 *keys = kv_gpu_take(&b->out, 4 * POOL), *keys_here = kv_arena_take(&b->arena, 4 * (size_t)POOL);
    *there = (struct kv_pages){ keys, keys + POOL, NULL, 0, PAGE_TOKENS, 2, 128 };
    *here = (struct kv_pages){ keys_here, keys_here + POOL, NULL, 0, PAGE_TOKENS, 2, 128 };
    return kv_cuda_zero(keys, 4 * POOL, b->stream, err);
}

static bool check_write(struct kv_gpu_bench *b, struct kv_err *err)
{
    static const int32_t slot[ROWS] = {17, -1, 0, PAGES * PAGE_TOKENS - 1, 31};
    struct kv_pages there, here;
    const kv_bf16 *kv = kv_gpu_take(&b->bf16, 4 * ROWS * KV_WIDTH), *kv_here = fetch(b, kv, 4 * ROWS * KV_WIDTH, err);
    const int32_t *slot_there = kv_gpu_take_whole(b, slot, ROWS, err);
    if (!kv_here || !slot_there || !two_pools(b, &there, &here, err)) return false;
    kv_reference_write_pages(kv_here, kv_here + KV_WIDTH, 2 * KV_WIDTH, slot, ROWS, &here);
    return kv_write_pages(kv, kv + KV_WIDTH, 2 * KV_WIDTH, slot_there, ROWS, &there, b->stream, err)
           && same(b, "writing KV into pages", there.keys, here.keys, 4 * POOL, err);
}

static bool check_scatter(struct kv_gpu_bench *b, struct kv_err *err)
{
    static const int32_t page[] = {7, 2, 0, 5, 3, 6};
    enum { CHUNK = 2 * PAGE_TOKENS, CHUNKS = 3, BYTES = 4 * CHUNK * CHUNKS * KV_WIDTH };
    struct kv_pages there, here;
    const kv_bf16 *from = kv_gpu_take(&b->bf16, BYTES), *from_here = fetch(b, from, BYTES, err);
    const int32_t *page_there = kv_gpu_take_whole(b, page, 6, err);
    if (!from_here || !page_there || !two_pools(b, &there, &here, err)) return false;
    kv_reference_scatter(from_here, CHUNK, CHUNKS, page, &here);
    return kv_scatter(from, CHUNK, CHUNKS, page_there, &there, b->stream, err)
           && same(b, "scattering KV into pages", there.keys, here.keys, 4 * POOL, err);
}

/* Blocks of the device come back as they are, by copies and by the kernel. */
static bool check_copy(struct kv_gpu_bench *b, struct kv_err *err)
{
    static const int32_t block[] = {3, 0, 2};
    enum { BLOCK = 4096, BLOCKS = 4 };
    const char *from = kv_gpu_take(&b->bf16, BLOCK * BLOCKS), *here = fetch(b, from, BLOCK * BLOCKS, err);
    char *to = kv_gpu_take(&b->out, BLOCK * BLOCKS), *wanted = kv_arena_take(&b->arena, BLOCK * 3);
    const int32_t *block_there = kv_gpu_take_whole(b, block, 3, err);
    if (!here || !block_there) return false;
    for (int i = 0; i < 3; i++) memcpy(wanted + BLOCK * i, here + BLOCK * block[i], BLOCK);
    return kv_cuda_copy_blocks(to, BLOCK, from, BLOCK, BLOCK, BLOCKS, b->stream, err)
           && same(b, "copying blocks", to, here, BLOCK * BLOCKS, err)
           && kv_gather(to, from, block_there, 3, BLOCK, 0, b->stream, err)
           && same(b, "gathering blocks", to, wanted, BLOCK * 3, err);
}

bool kv_gpu_check(struct kv_gpu_bench *b, enum kv_gpu_op op, enum kv_gpu_type type, struct kv_err *err)
{
    switch (op) {
    case KV_GPU_GEMM: return check_gemm(b, type, err);
    case KV_GPU_PREFILL: return check_attention(b, false, err);
    case KV_GPU_DECODE: return check_attention(b, true, err);
    case KV_GPU_NORM: return check_norm(b, err);
    case KV_GPU_ROTARY: return check_rotary(b, err);
    case KV_GPU_SCATTER: return check_scatter(b, err);
    case KV_GPU_SILU: return check_silu(b, err);
    case KV_GPU_WRITE: return check_write(b, err);
    case KV_GPU_COPY: return check_copy(b, err);
    case KV_GPU_SHARE:
        return check_gemm(b, type, err) && check_attention(b, false, err) && check_attention(b, true, err);
    default: return true;   /* reduce checks its own sum; two layers are made of what was checked */
    }
}

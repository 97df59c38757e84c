/* SPDX-License-Identifier: Apache-2.0 */
/* cuBLASLt thinks in columns: a row-major [m][n] is its column-major n x m. So it computes the transposed product,
 * out' (n x m) = w (n x k) a' (k x m), where w as it lies in memory is a k x n matrix to be transposed. This is also
 * the one arrangement that fp8 has. */
#include "calib/cuda/gemm.h"

#include <cublasLt.h>
#include <string.h>

#include "calib/cuda/refuse.h"
#include "sim/base/arena.h"
#include "sim/base/err.h"
#include "sim/base/rng.h"

#define WORKSPACE_BYTES (32 << 20)   /* what the library's documentation advises for compute capability 9.0 */

/* All that a product of a shape needs. */
struct shape {
    enum kv_gemm_type type;
    int64_t m, n, k;
    cublasLtMatmulDesc_t product;
    cublasLtMatrixLayout_t a, w, out;
    cublasLtMatmulAlgo_t algorithm;
    struct shape *next;
};

#define BUCKETS 4096
struct kv_gemm {
    cublasLtHandle_t handle;
    void *workspace;
    struct kv_arena arena;
    struct shape *bucket[BUCKETS];
};

/* ---- errors ---- */

static bool good(cublasStatus_t status, const char *what, struct kv_err *err)
{
    return status == CUBLAS_STATUS_SUCCESS
           || kv_fail(err, KV_EIO, "cuBLASLt", "%s: %s", what, cublasLtGetStatusString(status));
}

/* ---- shapes ---- */

static void forget(struct shape *s)
{
    if (s->product) (void)cublasLtMatmulDescDestroy(s->product);
    if (s->a) (void)cublasLtMatrixLayoutDestroy(s->a);
    if (s->w) (void)cublasLtMatrixLayoutDestroy(s->w);
    if (s->out) (void)cublasLtMatrixLayoutDestroy(s->out);
}

static bool describe(struct shape *s, struct kv_err *err)
{
    const cudaDataType_t in = s->type == KV_GEMM_FP8 ? CUDA_R_8F_E4M3 : CUDA_R_16BF;
    const cublasOperation_t turned = CUBLAS_OP_T, plain = CUBLAS_OP_N;
    const int8_t fast = s->type == KV_GEMM_FP8;   /* sums of fp8 products as engines take them */
    return good(cublasLtMatmulDescCreate(&s->product, CUBLAS_COMPUTE_32F, CUDA_R_32F), "describing a product", err)
           && good(cublasLtMatmulDescSetAttribute(s->product, CUBLASLT_MATMUL_DESC_TRANSA, &turned, sizeof turned),
                   "describing a product", err)
           && good(cublasLtMatmulDescSetAttribute(s->product, CUBLASLT_MATMUL_DESC_TRANSB, &plain, sizeof plain),
                   "describing a product", err)
           && good(cublasLtMatmulDescSetAttribute(s->product, CUBLASLT_MATMUL_DESC_FAST_ACCUM, &fast, sizeof fast),
                   "describing a product", err)
           && good(cublasLtMatrixLayoutCreate(&s->w, in, (uint64_t)s->k, (uint64_t)s->n, s->k), "describing weights",
                   err)
           && good(cublasLtMatrixLayoutCreate(&s->a, in, (uint64_t)s->k, (uint64_t)s->m, s->k), "describing input", err)
           && good(cublasLtMatrixLayoutCreate(&s->out, CUDA_R_16BF, (uint64_t)s->n, (uint64_t)s->m, s->n),
                   "describing output", err);
}

/* The first algorithm that the heuristic names for this shape and workspace. */
static bool choose(struct kv_gemm *g, struct shape *s, struct kv_err *err)
{
    cublasLtMatmulPreference_t preference = NULL;
    cublasLtMatmulHeuristicResult_t result;
    const uint64_t workspace = WORKSPACE_BYTES;
    const uint32_t aligned_bytes = 16;   /* the library takes 256 for granted, which rows of a batch are not */
    const cublasLtMatmulPreferenceAttributes_t sides[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
    };
    int found = 0;
    bool done = good(cublasLtMatmulPreferenceCreate(&preference), "choosing an algorithm", err)
                && good(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                             &workspace, sizeof workspace),
                        "choosing an algorithm", err);
    for (size_t i = 0; done && i < sizeof sides / sizeof *sides; i++)
        done = good(cublasLtMatmulPreferenceSetAttribute(preference, sides[i], &aligned_bytes, sizeof aligned_bytes),
                    "choosing an algorithm", err);
    if (done) {
        cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(g->handle, s->product, s->w, s->a, s->out, s->out,
                                                               preference, 1, &result, &found);
        if (status != CUBLAS_STATUS_SUCCESS || found == 0)
            done = kv_fail(err, KV_ENOHW, "cuBLASLt", "no algorithm for %lld x %lld x %lld of %s on this device (%s)",
                           (long long)s->m, (long long)s->n, (long long)s->k,
                           s->type == KV_GEMM_FP8 ? "fp8" : "bf16", cublasLtGetStatusString(status));
        else s->algorithm = result.algo;
    }
    if (preference) (void)cublasLtMatmulPreferenceDestroy(preference);
    return done;
}

static struct shape *shape_of(struct kv_gemm *g, enum kv_gemm_type type, int64_t m, int64_t n, int64_t k,
                              struct kv_err *err)
{
    uint64_t key = kv_mix64((uint64_t)m ^ kv_mix64((uint64_t)n ^ kv_mix64((uint64_t)k)));
    struct shape **bucket = &g->bucket[(key + (uint64_t)type) % BUCKETS];
    for (struct shape *s = *bucket; s; s = s->next)
        if (s->type == type && s->m == m && s->n == n && s->k == k) return s;
    struct shape *s = kv_arena_take(&g->arena, sizeof *s);
    *s = (struct shape){ .type = type, .m = m, .n = n, .k = k };
    if (!describe(s, err) || !choose(g, s, err)) {
        forget(s);
        return NULL;
    }
    s->next = *bucket;
    return *bucket = s;
}

/* ---- what is public ---- */

bool kv_gemm_open(struct kv_gemm **gemm, struct kv_err *err)
{
    struct kv_gemm *g = kv_mem_take(sizeof *g);
    *gemm = g;
    if (good(cublasLtCreate(&g->handle), "beginning", err) && kv_cuda_take(&g->workspace, WORKSPACE_BYTES, err))
        return true;
    kv_gemm_close(g);
    *gemm = NULL;
    return false;
}

void kv_gemm_close(struct kv_gemm *g)
{
    if (!g) return;
    for (int i = 0; i < BUCKETS; i++)
        for (struct shape *s = g->bucket[i]; s; s = s->next) forget(s);
    kv_arena_close(&g->arena);
    kv_cuda_give(g->workspace);
    if (g->handle) (void)cublasLtDestroy(g->handle);
    kv_mem_give(g, sizeof *g);
}

bool kv_gemm_run(struct kv_gemm *g, enum kv_gemm_type type, int64_t m, int64_t n, int64_t k, const void *a,
                 const void *w, kv_bf16 *out, kv_cuda_stream stream, struct kv_err *err)
{
    const int64_t unit = type == KV_GEMM_FP8 ? 16 : 8;
    const float one = 1, zero = 0;
    if (m < 1 || n < 1 || k < 1 || n % unit || k % unit || m > INT32_MAX || n > INT32_MAX || k > INT32_MAX)
        return kv_fail(err, KV_EUSAGE, "gemm", "%lld x %lld x %lld: n and k must be multiples of %lld", (long long)m,
                       (long long)n, (long long)k, (long long)unit);
    if (!kv_refuse_rows(a, 8, 8, err) || !kv_refuse_rows(w, 8, 8, err) || !kv_refuse_rows(out, 8, 8, err)) return false;
    struct shape *s = shape_of(g, type, m, n, k, err);
    return s && good(cublasLtMatmul(g->handle, s->product, &one, w, s->w, a, s->a, &zero, out, s->out, out, s->out,
                                    &s->algorithm, g->workspace, WORKSPACE_BYTES, stream), "a product", err);
}

struct seen { KV_VEC(const struct shape *) shape; };
/* Whether the algorithm of an earlier shape is that of `s`; if not, the list gets it. */
static bool is_seen(struct seen *seen, const struct shape *s)
{
    for (size_t i = 0; i < seen->shape.count; i++)
        if (!memcmp(&seen->shape.at[i]->algorithm, &s->algorithm, sizeof s->algorithm)) return true;
    kv_vec_push(&seen->shape, s);
    return false;
}

#define EACH_UP_TO 2048
#define STEP_BEHIND 256

bool kv_gemm_prepare(struct kv_gemm *g, enum kv_gemm_type type, int64_t m_most, int64_t n, int64_t k, const void *a,
                     const void *w, kv_bf16 *out, kv_cuda_stream stream, struct kv_err *err)
{
    struct seen seen = {0};
    bool good = true;
    for (int64_t m = 1; good && m <= m_most; m += m < EACH_UP_TO ? 1 : STEP_BEHIND) {
        const struct shape *s = shape_of(g, type, m, n, k, err);
        good = s && (is_seen(&seen, s) || kv_gemm_run(g, type, m, n, k, a, w, out, stream, err));
    }
    kv_vec_close(&seen.shape);
    return good;
}

int64_t kv_gemm_version(void)
{
    return (int64_t)cublasLtGetVersion();
}

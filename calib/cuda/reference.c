/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/cuda/reference.h"

#include <math.h>
#include <string.h>

/* ---- numbers ---- */

double kv_bf16_value(kv_bf16 bits)
{
    uint32_t word = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &word, sizeof value);
    return value;
}

kv_bf16 kv_bf16_nearest(double value)
{
    if (isnan(value)) return 0x7fc0;
    /* To odd on the way through float: rounding twice to nearest could tie where there is no tie. */
    float near = (float)value;
    uint32_t word;
    memcpy(&word, &near, sizeof word);
    if (!isinf(near) && (double)near != value) {
        if (fabs((double)near) > fabs(value)) word--;
        word |= 1;
    }
    if (isinf(near)) return (kv_bf16)(word >> 16);
    return (kv_bf16)((word + 0x7fff + (word >> 16 & 1)) >> 16);
}

/* e4m3: a sign, four bits of exponent with bias 7, three bits behind the point (OCP 8-bit Floating Point, 2023). */
double kv_fp8_value(uint8_t bits)
{
    int exponent = bits >> 3 & 15, fraction = bits & 7;
    double size = exponent ? ldexp(8 + fraction, exponent - 10) : ldexp(fraction, -9);
    if ((bits & 0x7f) == 0x7f) return NAN;
    return bits & 0x80 ? -size : size;
}

uint8_t kv_fp8_nearest(double value)
{
    uint8_t sign = signbit(value) ? 0x80 : 0;
    double size = fabs(value);
    if (isnan(value)) return 0x7f;
    if (size >= 448) return sign | 0x7e;
    /* Values of positive codes rise with the code: the last one that is not above, or its neighbour. */
    uint8_t low = 0, high = 0x7e;
    while (low + 1 < high) {
        uint8_t middle = (uint8_t)((low + high) / 2);
        if (kv_fp8_value(middle) <= size) low = middle;
        else high = middle;
    }
    double below = size - kv_fp8_value(low), above = kv_fp8_value(high) - size;
    bool up = above < below || (above == below && low % 2);
    return sign | (up ? high : low);
}

/* ---- products ---- */

void kv_reference_gemm(const kv_bf16 *a, const kv_bf16 *w, int64_t m, int64_t n, int64_t k, double *out)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t l = 0; l < k; l++) sum += kv_bf16_value(a[i * k + l]) * kv_bf16_value(w[j * k + l]);
            out[i * n + j] = sum;
        }
}

void kv_reference_gemm_fp8(const uint8_t *a, const uint8_t *w, int64_t m, int64_t n, int64_t k, double *out)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t l = 0; l < k; l++) sum += kv_fp8_value(a[i * k + l]) * kv_fp8_value(w[j * k + l]);
            out[i * n + j] = sum;
        }
}

/* ---- attention ---- */

/* Of a token's keys or values in a pool. */
static const kv_bf16 *in_pages(const struct kv_pages *p, const kv_bf16 *pool, int32_t sequence, int32_t token,
                               int32_t kv_head)
{
    int32_t page = p->table[(int64_t)sequence * p->table_stride + token / p->page_tokens];
    int64_t row = (int64_t)page * p->page_tokens + token % p->page_tokens;
    return pool + (row * p->kv_heads + kv_head) * p->head_dim;
}

static double score(const kv_bf16 *q, const kv_bf16 *key, int32_t dim)
{
    double sum = 0;
    for (int32_t d = 0; d < dim; d++) sum += kv_bf16_value(q[d]) * kv_bf16_value(key[d]);
    return sum;
}

void kv_reference_attention(const kv_bf16 *q, int64_t q_stride, const struct kv_pages *pages, int32_t sequence,
                            int32_t rows, int32_t cached, int32_t heads, double scale, double *out)
{
    int32_t dim = pages->head_dim, group = heads / pages->kv_heads;
    for (int32_t r = 0; r < rows; r++)
        for (int32_t h = 0; h < heads; h++) {
            const kv_bf16 *query = q + r * q_stride + (int64_t)h * dim;
            double *at = out + ((int64_t)r * heads + h) * dim, most = -INFINITY, sum = 0;
            for (int32_t t = 0; t <= cached + r; t++)
                most = fmax(most, scale * score(query, in_pages(pages, pages->keys, sequence, t, h / group), dim));
            for (int32_t d = 0; d < dim; d++) at[d] = 0;
            for (int32_t t = 0; t <= cached + r; t++) {
                const kv_bf16 *value = in_pages(pages, pages->values, sequence, t, h / group);
                double weight = exp(scale * score(query, in_pages(pages, pages->keys, sequence, t, h / group), dim)
                                    - most);
                sum += weight;
                for (int32_t d = 0; d < dim; d++) at[d] += weight * kv_bf16_value(value[d]);
            }
            for (int32_t d = 0; d < dim; d++) at[d] /= sum;
        }
}

/* ---- what lies between ---- */

void kv_reference_rmsnorm(const kv_bf16 *x, const kv_bf16 *added, const kv_bf16 *weight, int64_t rows, int32_t width,
                          double epsilon, kv_bf16 *sum, double *out)
{
    for (int64_t r = 0; r < rows; r++) {
        double *at = out + r * width, square = 0;
        for (int32_t i = 0; i < width; i++) {
            double value = kv_bf16_value(x[r * width + i]);
            if (added) value = kv_bf16_value(kv_bf16_nearest(value + kv_bf16_value(added[r * width + i])));
            if (sum) sum[r * width + i] = kv_bf16_nearest(value);
            at[i] = value;
            square += value * value;
        }
        double factor = 1 / sqrt(square / width + epsilon);
        for (int32_t i = 0; i < width; i++) at[i] *= factor * kv_bf16_value(weight[i]);
    }
}

void kv_reference_rotary(const kv_bf16 *qkv, int64_t stride, const int32_t *position, int64_t rows, int32_t heads,
                         int32_t head_dim, double theta, double *out)
{
    int32_t half = head_dim / 2;
    for (int64_t r = 0; r < rows; r++)
        for (int32_t h = 0; h < heads; h++) {
            const kv_bf16 *from = qkv + r * stride + (int64_t)h * head_dim;
            double *at = out + (r * heads + h) * head_dim;
            for (int32_t i = 0; i < half; i++) {
                double angle = position[r] * pow(theta, -2.0 * i / head_dim);
                double x = kv_bf16_value(from[i]), y = kv_bf16_value(from[i + half]);
                at[i] = x * cos(angle) - y * sin(angle);
                at[i + half] = y * cos(angle) + x * sin(angle);
            }
        }
}

void kv_reference_silu_mul(const kv_bf16 *gate_up, int64_t rows, int32_t width, double *out)
{
    for (int64_t r = 0; r < rows; r++)
        for (int32_t i = 0; i < width; i++) {
            double gate = kv_bf16_value(gate_up[r * 2 * width + i]);
            double up = kv_bf16_value(gate_up[(r * 2 + 1) * width + i]);
            out[r * width + i] = gate / (1 + exp(-gate)) * up;
        }
}

void kv_reference_write_pages(const kv_bf16 *keys, const kv_bf16 *values, int64_t stride, const int32_t *slot,
                              int64_t rows, struct kv_pages *pages)
{
    size_t width = (size_t)pages->kv_heads * (size_t)pages->head_dim;
    for (int64_t r = 0; r < rows; r++) {
        if (slot[r] < 0) continue;
        memcpy(pages->keys + (size_t)slot[r] * width, keys + r * stride, width * sizeof *keys);
        memcpy(pages->values + (size_t)slot[r] * width, values + r * stride, width * sizeof *values);
    }
}

void kv_reference_scatter(const kv_bf16 *from, int32_t chunk_tokens, int32_t chunks, const int32_t *page,
                          struct kv_pages *pages)
{
    size_t width = (size_t)pages->kv_heads * (size_t)pages->head_dim;
    for (int64_t t = 0; t < (int64_t)chunks * chunk_tokens; t++) {
        size_t chunk = (size_t)(t / chunk_tokens), within = (size_t)(t % chunk_tokens), tokens = (size_t)chunk_tokens;
        size_t to = (size_t)page[t / pages->page_tokens] * (size_t)pages->page_tokens
                    + (size_t)(t % pages->page_tokens);
        const kv_bf16 *keys = from + (2 * chunk * tokens + within) * width;
        memcpy(pages->keys + to * width, keys, width * sizeof *keys);
        memcpy(pages->values + to * width, keys + tokens * width, width * sizeof *keys);
    }
}

/* ---- comparison ---- */

double kv_reference_error(const kv_bf16 *found, const double *wanted, int64_t count, double floor, int64_t *where)
{
    double worst = 0;
    *where = 0;
    for (int64_t i = 0; i < count; i++) {
        double error = fabs(kv_bf16_value(found[i]) - wanted[i]) / (fabs(wanted[i]) + floor);
        if (!(error <= worst)) {
            worst = error;
            *where = i;
        }
        if (isnan(error)) return error;
    }
    return worst;
}

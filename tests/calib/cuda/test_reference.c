/* SPDX-License-Identifier: Apache-2.0 */
/* The float64 references against closed forms. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "calib/cuda/reference.c"

#define B kv_bf16_nearest

static void assert_equal(double found, double wanted)
{
    if (!(fabs(found - wanted) <= 1e-12 * (1 + fabs(wanted)))) fail_msg("found %.17g, not %.17g", found, wanted);
}

static void bf16_is_rounded_to_nearest_even(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 0x10000; bits++) {
        double value = kv_bf16_value((kv_bf16)bits);
        if (isnan(value)) continue;
        assert_int_equal(B(value), bits);
        if ((bits & 0x7fff) >= 0x7f7f) continue;
        double next = kv_bf16_value((kv_bf16)(bits + 1)), half = (value + next) / 2;
        assert_int_equal(B(half), bits % 2 ? bits + 1 : bits);
        /* A float would lie on the tie, and send both to the even side. */
        assert_int_equal(B(half + (next - value) * 1e-10), bits + 1);
        assert_int_equal(B(half - (next - value) * 1e-10), bits);
    }
    assert_int_equal(B(1e39), 0x7f80);
    assert_int_equal(B(-3.4e38), 0xff80);
    assert_true(isnan(kv_bf16_value(B(NAN))));
}

static void fp8_is_e4m3(void **state)
{
    (void)state;
    assert_equal(kv_fp8_value(0x38), 1);
    assert_equal(kv_fp8_value(0x7e), 448);
    assert_equal(kv_fp8_value(0x01), 1.0 / 512);
    assert_equal(kv_fp8_value(0x08), 1.0 / 64);
    assert_equal(kv_fp8_value(0xbc), -1.5);
    assert_true(isnan(kv_fp8_value(0x7f)) && isnan(kv_fp8_value(0xff)));
    for (uint32_t bits = 0; bits < 0x7e; bits++) {
        double value = kv_fp8_value((uint8_t)bits), next = kv_fp8_value((uint8_t)(bits + 1)), half = (value + next) / 2;
        assert_int_equal(kv_fp8_nearest(value), bits);
        assert_int_equal(kv_fp8_nearest(-next), 0x80 + bits + 1);
        assert_int_equal(kv_fp8_nearest(half), bits % 2 ? bits + 1 : bits);
        assert_int_equal(kv_fp8_nearest(half + (next - value) / 1000), bits + 1);
    }
    assert_int_equal(kv_fp8_nearest(1e9), 0x7e);
    assert_int_equal(kv_fp8_nearest(-1e9), 0xfe);
}

/* a = i + 1 in row i, w = j + 1 in row j: out = k (i + 1) (j + 1). */
static void a_product_of_constant_rows(void **state)
{
    (void)state;
    enum { M = 3, N = 4, K = 16 };
    kv_bf16 a[M * K], w[N * K];
    uint8_t a8[M * K], w8[N * K];
    double out[M * N], out8[M * N];
    for (int i = 0; i < M * K; i++) a[i] = B(i / K + 1), a8[i] = kv_fp8_nearest(i / K + 1);
    for (int i = 0; i < N * K; i++) w[i] = B(i / K + 1), w8[i] = kv_fp8_nearest(i / K + 1);
    kv_reference_gemm(a, w, M, N, K, out);
    kv_reference_gemm_fp8(a8, w8, M, N, K, out8);
    for (int i = 0; i < M * N; i++) {
        assert_equal(out[i], K * (i / N + 1) * (i % N + 1));
        assert_equal(out8[i], out[i]);
    }
}

enum { TOKENS = 40, HEADS = 4, KV_HEADS = 2, DIM = 8, PAGE = 4 };
struct cache {
    kv_bf16 keys[TOKENS * KV_HEADS * DIM], values[TOKENS * KV_HEADS * DIM];
    int32_t table[2 * TOKENS / PAGE];
};

/* Two sequences that share nothing: pages of the second in front, in falling order. Values: token + 100 * KV head. */
static struct kv_pages fill(struct cache *c, int32_t of_second)
{
    int32_t each = of_second / PAGE;
    for (int32_t i = 0; i < each; i++) {
        c->table[i] = each + i;
        c->table[each + i] = each - 1 - i;
    }
    for (int32_t s = 0; s < 2; s++)
        for (int32_t t = 0; t < of_second; t++)
            for (int32_t e = 0; e < KV_HEADS * DIM; e++) {
                int32_t at = (c->table[s * each + t / PAGE] * PAGE + t % PAGE) * KV_HEADS * DIM + e;
                c->keys[at] = B(0);
                c->values[at] = B(t + 100 * (e / DIM));
            }
    return (struct kv_pages){ c->keys, c->values, c->table, each, PAGE, KV_HEADS, DIM };
}

/* Keys of 0 score alike: a row sees the mean of all values up to itself, t / 2. */
static void equal_scores_give_the_mean(void **state)
{
    (void)state;
    struct cache c;
    const struct kv_pages pages = fill(&c, 20);
    kv_bf16 q[3 * HEADS * DIM];
    double out[3 * HEADS * DIM];
    for (int i = 0; i < 3 * HEADS * DIM; i++) q[i] = B(1);
    for (int32_t s = 0; s < 2; s++) {
        kv_reference_attention(q, HEADS * DIM, &pages, s, 3, 13, HEADS, 0.5, out);
        for (int i = 0; i < 3 * HEADS * DIM; i++)
            assert_equal(out[i], (13 + i / (HEADS * DIM)) / 2.0 + 100 * (i / DIM % HEADS / 2));
    }
}

/* One key of score log 3, the others 0: weights 3 and 1. And a large one takes all. */
static void weights_are_the_exponentials_of_scores(void **state)
{
    (void)state;
    struct cache c;
    const struct kv_pages pages = fill(&c, 20);
    kv_bf16 q[HEADS * DIM] = {0};
    double out[HEADS * DIM];
    for (int h = 0; h < HEADS; h++) q[h * DIM + 1] = B(1);
    /* Token 2 of sequence 1, KV head 0. */
    c.keys[(c.table[5] * PAGE + 2) * KV_HEADS * DIM + 1] = B(2);
    kv_reference_attention(q, HEADS * DIM, &pages, 1, 1, 3, HEADS, log(3) / 2, out);
    assert_equal(out[0], (0 + 1 + 3 * 2 + 3) / 6.0);
    assert_equal(out[DIM + 3], (0 + 1 + 3 * 2 + 3) / 6.0);
    assert_equal(out[2 * DIM], 101.5);
    kv_reference_attention(q, HEADS * DIM, &pages, 1, 1, 3, HEADS, 1e4, out);
    assert_equal(out[0], 2);
    /* What comes after a row is not seen. */
    kv_reference_attention(q, HEADS * DIM, &pages, 1, 1, 1, HEADS, 1e4, out);
    assert_equal(out[0], 0.5);
}

static void a_norm_leaves_rows_of_size_one(void **state)
{
    (void)state;
    enum { WIDTH = 8 };
    kv_bf16 x[WIDTH], added[WIDTH], weight[WIDTH], sum[WIDTH];
    double out[WIDTH];
    for (int i = 0; i < WIDTH; i++) x[i] = B(i % 2 ? 3 : -3), added[i] = B(i % 2 ? 1 : -1), weight[i] = B(i);
    kv_reference_rmsnorm(x, NULL, weight, 1, WIDTH, 0, NULL, out);
    for (int i = 0; i < WIDTH; i++) assert_equal(out[i], i % 2 ? i : -i);
    kv_reference_rmsnorm(x, added, weight, 1, WIDTH, 9, sum, out);
    for (int i = 0; i < WIDTH; i++) {
        assert_equal(kv_bf16_value(sum[i]), i % 2 ? 4 : -4);
        assert_equal(out[i], (i % 2 ? i : -i) * 4 / 5.0);
    }
}

/* Turning keeps lengths; one pair turns by the position itself; and scores depend on distance alone. */
static void rotary_turns_pairs(void **state)
{
    (void)state;
    const int32_t position[3] = {0, 5, 12};
    kv_bf16 qkv[3 * 24];
    double out[3 * 16];
    for (int i = 0; i < 3 * 24; i++) qkv[i] = B(i % 24 % 3 - 1);
    kv_reference_rotary(qkv, 24, position, 3, 2, 8, 10000, out);
    for (int i = 0; i < 16; i++) assert_equal(out[i], kv_bf16_value(qkv[i]));
    for (int r = 0; r < 3; r++)
        for (int h = 0; h < 2; h++)
            for (int i = 0; i < 4; i++) {
                double x = kv_bf16_value(qkv[24 * r + 8 * h + i]), y = kv_bf16_value(qkv[24 * r + 8 * h + i + 4]);
                double u = out[16 * r + 8 * h + i], v = out[16 * r + 8 * h + i + 4];
                double angle = position[r] * (double[]){1, 0.1, 0.01, 0.001}[i];
                assert_equal(u * u + v * v, x * x + y * y);
                assert_equal(u * x + v * y, (x * x + y * y) * cos(angle));
            }
}

static void silu_of_what_it_must_be(void **state)
{
    (void)state;
    const kv_bf16 gate_up[8] = {B(0), B(1), B(-1), B(50), B(7), B(2), B(2), B(2)};
    double out[4];
    kv_reference_silu_mul(gate_up, 1, 4, out);
    assert_equal(out[0], 0);
    assert_equal(out[1] - -out[2], 2 * (1 / (1 + exp(-1.0)) - 1 / (1 + exp(1.0))));
    assert_equal(out[1], 2 * exp(1.0) / (1 + exp(1.0)));
    assert_equal(out[3], 100);
}

static void the_worst_error_is_found_and_nan_is_one(void **state)
{
    (void)state;
    kv_bf16 found[4] = {B(1), B(2), B(0.25), B(4)};
    const double wanted[4] = {1, 2.5, 0, 4};
    int64_t where;
    assert_equal(kv_reference_error(found, wanted, 4, 0.5, &where), 0.5);
    assert_int_equal(where, 2);
    assert_equal(kv_reference_error(found, wanted, 4, 10, &where), 0.04);
    assert_int_equal(where, 1);
    found[3] = 0x7fc0;
    assert_true(isnan(kv_reference_error(found, wanted, 4, 10, &where)));
    assert_int_equal(where, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bf16_is_rounded_to_nearest_even),
        cmocka_unit_test(fp8_is_e4m3),
        cmocka_unit_test(a_product_of_constant_rows),
        cmocka_unit_test(equal_scores_give_the_mean),
        cmocka_unit_test(weights_are_the_exponentials_of_scores),
        cmocka_unit_test(a_norm_leaves_rows_of_size_one),
        cmocka_unit_test(rotary_turns_pairs),
        cmocka_unit_test(silu_of_what_it_must_be),
        cmocka_unit_test(the_worst_error_is_found_and_nan_is_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What kvsim-calib-gpu means to measure, and in which order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "calib/gpu/plan.c"
#include "calib/gpu/point.c"
#include "tests/support/arena.h"

static const struct kv_model_shape dense = {
    .name = "dense", .attention = KV_ATTENTION_GQA, .layers = 32, .hidden = 4096, .heads = 32, .kv_heads = 8,
    .head_dim = 128, .intermediate = 14336, .vocabulary = 128256, .dtype_bytes = 2, .kv_dtype_bytes = 2,
}, twin = {
    .name = "twin", .attention = KV_ATTENTION_GQA, .layers = 16, .hidden = 4096, .heads = 32, .kv_heads = 8,
    .head_dim = 128, .intermediate = 14336, .vocabulary = 32000, .dtype_bytes = 2, .kv_dtype_bytes = 2,
}, odd = {
    .name = "odd", .attention = KV_ATTENTION_GQA, .layers = 16, .hidden = 1600, .heads = 20, .kv_heads = 20,
    .head_dim = 80, .intermediate = 6400, .vocabulary = 50257, .dtype_bytes = 2, .kv_dtype_bytes = 2,
};
static const struct kv_model_shape *const models[] = {&dense, &twin, &odd};

static struct kv_gpu_grid grid_of(const char *ops, const char *types, int32_t count)
{
    struct kv_gpu_grid grid = { .model = models, .model_count = count };
    struct kv_err err = {0};
    assert_true(kv_gpu_grid_read(ops, types, &grid, &err));
    return grid;
}

/* The first point like this one, or -1. */
static int32_t find(const struct kv_gpu_point *at, int32_t count, struct kv_gpu_point wanted)
{
    for (int32_t i = 0; i < count; i++)
        if (kv_gpu_point_order(&at[i], &wanted) == 0) return i;
    return -1;
}

static void every_point_is_there_once_and_ranks_rise(void **state)
{
    (void)state;
    struct kv_gpu_grid grid = grid_of("", "", 3);
    struct kv_gpu_point *p;
    grid.general = true;
    int32_t count = kv_gpu_plan(&arena, &grid, &p), of_op[KV_GPU_OPS] = {0};
    for (int32_t i = 0; i < count; i++) {
        of_op[p[i].op]++;
        assert_int_equal(find(p, count, p[i]), i);
        assert_true(p[i].rank >= 0 && (i == 0 || p[i].rank >= p[i - 1].rank));
    }
    for (int32_t op = 0; op < KV_GPU_OPS; op++) assert_true(of_op[op] > 0);
}

/* Of a model of 8 billion parameters on one GPU: ends and middle of the grid of its products, at rank 0. */
static void what_matters_most_comes_first(void **state)
{
    (void)state;
    struct kv_gpu_grid grid = grid_of("gemm", "", 1);
    struct kv_gpu_point *p;
    grid.general = true;
    int32_t count = kv_gpu_plan(&arena, &grid, &p), rank_0 = 0;
    while (rank_0 < count && p[rank_0].rank == 0) rank_0++;
    static const int64_t shape[][2] = {{6144, 4096}, {4096, 4096}, {28672, 4096}, {4096, 14336}};
    static const int64_t rows[] = {1, 129, 16384};   /* the ends and the middle */
    for (int s = 0; s < 4; s++)
        for (int i = 0; i < 3; i++) {
            struct kv_gpu_point wanted = { .op = KV_GPU_GEMM, .x = {rows[i], shape[s][0], shape[s][1]} };
            assert_true(find(p, rank_0, wanted) >= 0);
        }
    assert_int_equal(rank_0, 12);
    /* A half of the heads on each of two GPUs is there, and later; so is the general grid, and fp8. */
    int32_t half = find(p, count, (struct kv_gpu_point){ .op = KV_GPU_GEMM, .x = {1, 3072, 4096} });
    int32_t fp8 = find(p, count, (struct kv_gpu_point){ .op = KV_GPU_GEMM, .type = KV_GPU_FP8, .x = {1, 6144, 4096} });
    int32_t other = find(p, count, (struct kv_gpu_point){ .op = KV_GPU_GEMM, .x = {1, 512, 512} });
    assert_true(half >= rank_0 && fp8 >= rank_0 && other > half);
    assert_int_equal(p[half].rank, 1);
}

static void models_that_are_alike_are_measured_once(void **state)
{
    (void)state;
    struct kv_gpu_grid one = grid_of("prefill,decode,rmsnorm,silu_mul", "", 1);
    struct kv_gpu_grid two = grid_of("prefill,decode,rmsnorm,silu_mul", "", 2);
    struct kv_gpu_point *p, *q;
    assert_int_equal(kv_gpu_plan(&arena, &one, &p), kv_gpu_plan(&arena, &two, &q));
}

static void only_what_was_chosen_is_planned(void **state)
{
    (void)state;
    struct kv_gpu_grid grid = grid_of("copy,gemm", "fp8", 2);
    struct kv_gpu_point *p;
    int32_t count = kv_gpu_plan(&arena, &grid, &p);
    assert_true(count > 0);
    for (int32_t i = 0; i < count; i++) assert_true(p[i].op == KV_GPU_GEMM && p[i].type == KV_GPU_FP8);
    grid = grid_of("copy", "bf16", 0);
    count = kv_gpu_plan(&arena, &grid, &p);
    for (int32_t i = 0; i < count; i++) assert_true(p[i].op == KV_GPU_COPY && p[i].x[1] * p[i].x[2] <= COPY_MOST_BYTES);
    assert_int_equal(count, 4 * 37);
}

static void what_does_not_fit_is_not_planned(void **state)
{
    (void)state;
    struct kv_gpu_grid grid = grid_of("decode,prefill,all_reduce", "", 3);
    struct kv_gpu_point *p;
    grid.memory_bytes = INT64_C(8) << 30;
    grid.gpus = 2;
    int32_t count = kv_gpu_plan(&arena, &grid, &p), decodes = 0;
    for (int32_t i = 0; i < count; i++) {
        const int64_t *x = p[i].x;
        if (p[i].op == KV_GPU_DECODE) {
            decodes++;
            assert_true(x[4] == 128);   /* no kernel for heads of 80 elements */
            assert_true(4 * x[0] * (x[1] + 1) * x[3] * x[4] <= grid.memory_bytes / 4);
        }
        if (p[i].op == KV_GPU_PREFILL) assert_true(x[1] * (x[1] + x[2]) <= PAIRS_MOST);
        if (p[i].op == KV_GPU_REDUCE) assert_int_equal(x[0], 2);
    }
    assert_true(decodes > 100);
}

/* On 132 SMs in groups of eight, found again from permille as the measuring does. */
static void shares_are_whole_groups_of_sms(void **state)
{
    (void)state;
    for (int32_t sms = 20; sms <= 200; sms += 4) {
        struct kv_gpu_grid grid = grid_of("sm_share", "", 0);
        struct kv_gpu_point *p;
        grid.sms = sms;
        int32_t count = kv_gpu_plan(&arena, &grid, &p), whole = 0;
        for (int32_t i = 0; i < count; i++) {
            int64_t part = (p[i].x[1] * sms + 500) / 1000;
            assert_true(part == sms || (part > 0 && part % 8 == 0));
            whole += p[i].x[1] == 1000;
        }
        assert_int_equal(whole, KV_GPU_SHAREDS);
    }
}

static void ends_and_middles_come_before_what_lies_between(void **state)
{
    (void)state;
    const int32_t wanted[9] = {0, 2, 1, 2, 0, 2, 1, 2, 0};
    for (int32_t i = 0; i < 9; i++) assert_int_equal(lateness(i, 9), wanted[i]);
    for (int32_t n = 1; n < 16; n++)
        for (int32_t i = 0; i < n; i++) assert_true(lateness(i, n) >= 0 && lateness(i, n) <= 3);
}

static void work_of_points(void **state)
{
    (void)state;
    double bytes, flops;
    struct kv_gpu_point p = { .op = KV_GPU_GEMM, .x = {16, 4096, 1024} };
    kv_gpu_point_work(&p, &bytes, &flops);
    assert_true(flops == 2.0 * 16 * 4096 * 1024 && bytes == 2.0 * 1024 * (16 + 4096) + 2.0 * 16 * 4096);
    /* Two tokens over one: 2 + 3 pairs, of 4 heads with 2 KV heads of 64. */
    p = (struct kv_gpu_point){ .op = KV_GPU_PREFILL, .x = {3, 2, 1, 4, 2, 64} };
    kv_gpu_point_work(&p, &bytes, &flops);
    assert_true(flops == 3.0 * 4 * 64 * 4 * 5 && bytes == 3.0 * 4 * 64 * (2 * 3 + 4 * 2));
    p = (struct kv_gpu_point){ .op = KV_GPU_COPY, .x = {KV_GPU_BOTH, 4096, 3} };
    kv_gpu_point_work(&p, &bytes, &flops);
    assert_true(bytes == 2.0 * 3 * 4096 && flops == 0);
    p = (struct kv_gpu_point){ .op = KV_GPU_LAYERS, .x = {1, 8, 0}, .model = &dense };
    kv_gpu_point_work(&p, &bytes, &flops);
    /* Weights of a layer: 4096 x (32 + 8 + 8 + 32) x 128 and 3 x 4096 x 14336. */
    double weights = 4096.0 * 80 * 128 + 3.0 * 4096 * 14336;
    assert_true(flops == 2 * (2 * weights * 8 + 4.0 * 32 * 128 * 36));
}

static void unknown_words_are_told(void **state)
{
    (void)state;
    struct kv_gpu_grid grid = {0};
    struct kv_err err = {0};
    assert_false(kv_gpu_grid_read("gemm,prefil", "", &grid, &err));
    assert_int_equal(err.code, KV_EUSAGE);
    assert_string_equal(err.text, "unknown value 'prefil'; did you mean 'prefill'?");
    assert_false(kv_gpu_grid_read("", "int8", &grid, &err));
    assert_string_equal(err.where, "--dtype");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_point_is_there_once_and_ranks_rise),
        cmocka_unit_test(what_matters_most_comes_first),
        cmocka_unit_test(models_that_are_alike_are_measured_once),
        cmocka_unit_test(only_what_was_chosen_is_planned),
        cmocka_unit_test(what_does_not_fit_is_not_planned),
        cmocka_unit_test(shares_are_whole_groups_of_sms),
        cmocka_unit_test(ends_and_middles_come_before_what_lies_between),
        cmocka_unit_test(work_of_points),
        cmocka_unit_test(unknown_words_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, close_arena);
}

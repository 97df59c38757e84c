/* SPDX-License-Identifier: Apache-2.0 */
/* The bodies of the kernels between the products and of those that move KV, run on the CPU, against float64. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "calib/cuda/reference.c"
#include "calib/cuda/rows_body.h"
#include "tests/support/arena.h"

static kv_bf16 *numbers(int64_t count, uint32_t seed, double scale)
{
    kv_bf16 *at = kv_arena_take(&arena, (size_t)count * sizeof *at);
    for (int64_t i = 0; i < count; i++) at[i] = kv_bf16_nearest(scale * kv_fill_value(seed, i));
    return at;
}

static void assert_near(const kv_bf16 *found, const double *wanted, int64_t count)
{
    int64_t where;
    double error = kv_reference_error(found, wanted, count, 0.1, &where);
    if (!(error < 0.006)) fail_msg("error %g at %lld", error, (long long)where);
}

static void norm(int32_t width, bool add)
{
    enum { ROWS = 3 };
    kv_bf16 *x = numbers(ROWS * width, 1, 3), *added = add ? numbers(ROWS * width, 2, 3) : NULL;
    kv_bf16 *weight = numbers(width, 3, 2), *out = numbers(ROWS * width, 4, 1), *sum = numbers(ROWS * width, 5, 1);
    double *wanted = kv_arena_take(&arena, (size_t)(ROWS * width) * sizeof *wanted);
    float shared[KV_NORM_WARPS];
    kv_reference_rmsnorm(x, added, weight, ROWS, width, 1e-5, sum, wanted);
    for (int32_t r = 0; r < ROWS; r++)
        kv_norm_row(x + r * width, added ? added + r * width : NULL, weight, out + r * width, width, 1e-5f, shared);
    assert_near(out, wanted, ROWS * width);
    assert_memory_equal(x, sum, (size_t)(ROWS * width) * sizeof *x);
}

static void a_row_is_divided_by_its_size(void **state)
{
    (void)state;
    norm(8, false);
    norm(2048, true);
    norm(4104, true);    /* not the same number of pieces for each thread */
    norm(8192, false);
}

static void rotary(int32_t heads, int32_t dim)
{
    enum { ROWS = 4 };
    const int32_t position[ROWS] = {0, 1, 77, 1000};
    int64_t stride = (int64_t)(heads + 2) * dim;
    kv_bf16 *qkv = numbers(ROWS * stride, 7, 2), *before = kv_arena_take(&arena, (size_t)(ROWS * stride) * 2);
    double *wanted = kv_arena_take(&arena, (size_t)(ROWS * heads * dim) * sizeof *wanted);
    memcpy(before, qkv, (size_t)(ROWS * stride) * 2);
    kv_reference_rotary(qkv, stride, position, ROWS, heads, dim, 500000, wanted);
    for (int32_t r = 0; r < ROWS; r++) {
        for (int t = 0; t < KV_ROTARY_THREADS; t++)
            kv_rotary_thread(qkv + r * stride, (float)position[r], heads, dim, log2f(500000), t);
        assert_near(qkv + r * stride, wanted + (int64_t)r * heads * dim, (int64_t)heads * dim);
        /* What lies behind those heads, the values of a row, stays. */
        assert_memory_equal(qkv + r * stride + heads * dim, before + r * stride + heads * dim, (size_t)(2 * dim) * 2);
    }
}

static void heads_turn_with_their_position(void **state)
{
    (void)state;
    rotary(40, 128);
    rotary(5, 64);
    rotary(1, 256);
    rotary(3, 16);
}

static void gates_close_what_is_negative(void **state)
{
    (void)state;
    enum { ROWS = 3, WIDTH = 40 };
    kv_bf16 *gate_up = numbers(ROWS * 2 * WIDTH, 9, 6), out[ROWS * WIDTH];
    double wanted[ROWS * WIDTH];
    gate_up[0] = kv_bf16_nearest(-300);   /* where exp overflows a float */
    kv_reference_silu_mul(gate_up, ROWS, WIDTH, wanted);
    for (uint32_t i = 0; i < ROWS * WIDTH / 8; i++) kv_silu_piece(gate_up, out, WIDTH, i);
    assert_near(out, wanted, ROWS * WIDTH);
}

/* Two sets of pages of NaN, to be written by kernel and reference. */
static void two_pools(struct kv_pages pool[2], int32_t pages, int32_t page_tokens, int32_t kv_heads, int32_t dim)
{
    size_t bytes = (size_t)(pages * page_tokens * kv_heads * dim) * sizeof(kv_bf16);
    for (int i = 0; i < 2; i++) {
        pool[i] = (struct kv_pages){ kv_arena_take(&arena, bytes), kv_arena_take(&arena, bytes), NULL, 0, page_tokens,
                                     kv_heads, dim };
        memset(pool[i].keys, 0xff, bytes);
        memset(pool[i].values, 0xff, bytes);
    }
}

static void assert_same_pools(const struct kv_pages pool[2], int32_t pages)
{
    size_t bytes = (size_t)(pages * pool->page_tokens * pool->kv_heads * pool->head_dim) * sizeof(kv_bf16);
    assert_memory_equal(pool[0].keys, pool[1].keys, bytes);
    assert_memory_equal(pool[0].values, pool[1].values, bytes);
}

static void new_kv_goes_to_its_slot(void **state)
{
    (void)state;
    struct kv_pages pool[2];
    const int32_t slot[5] = {17, -1, 0, 95, 31};
    two_pools(pool, 6, 16, 2, 64);
    int64_t stride = 6 * 64;
    uint32_t pieces = 2 * 5 * 2 * 64 / 8;
    kv_bf16 *qkv = numbers(5 * stride, 3, 1);
    for (uint32_t i = pieces; i-- > 0;)
        kv_write_piece(qkv + 2 * 64, qkv + 4 * 64, stride, slot, 5, &pool[0], i);
    kv_reference_write_pages(qkv + 2 * 64, qkv + 4 * 64, stride, slot, 5, &pool[1]);
    assert_same_pools(pool, 6);
    assert_memory_equal(pool[0].keys + 17 * 128, qkv + 128, 256);
    assert_memory_equal(pool[0].values + 95 * 128, qkv + 3 * stride + 256, 256);
}

static void a_fetched_layer_goes_to_its_pages(void **state)
{
    (void)state;
    enum { CHUNK = 32, CHUNKS = 3 };
    for (int32_t page_tokens = 8; page_tokens <= 32; page_tokens *= 2) {
        struct kv_pages pool[2];
        int32_t page[CHUNK * CHUNKS], pages = CHUNK * CHUNKS / page_tokens + 2;
        two_pools(pool, pages, page_tokens, 2, 128);
        for (int32_t i = 0; i < pages - 2; i++) page[i] = pages - 1 - i;
        kv_bf16 *from = numbers(2 * CHUNK * CHUNKS * 256, 21, 1);
        for (uint32_t i = 0; i < 2 * CHUNK * CHUNKS * 256 / 8; i++) kv_scatter_piece(from, CHUNK, page, &pool[0], i);
        kv_reference_scatter(from, CHUNK, CHUNKS, page, &pool[1]);
        assert_same_pools(pool, pages);
        /* The first token of the second chunk, and its values. */
        int64_t token = (int64_t)page[CHUNK / page_tokens] * page_tokens;
        assert_memory_equal(pool[0].keys + token * 256, from + 2 * CHUNK * 256, 512);
        assert_memory_equal(pool[0].values + token * 256, from + 3 * CHUNK * 256, 512);
    }
}

static void blocks_are_gathered_in_order(void **state)
{
    (void)state;
    const int32_t block[4] = {3, 0, 7, 3};
    char *from = (char *)numbers(8 * 24, 2, 1), to[4 * 48];
    for (uint32_t i = 0; i < 4 * 48 / 16; i++) kv_gather_piece(to, from, block, 48, i);
    for (int i = 0; i < 4; i++) assert_memory_equal(to + 48 * i, from + 48 * block[i], 48);
}

static void numbers_to_work_on_are_uniform(void **state)
{
    (void)state;
    double sum = 0, square = 0;
    for (int64_t i = 0; i < 100000; i++) {
        double value = kv_fill_value(1, i);
        assert_true(value >= -1 && value < 1);
        sum += value;
        square += value * value;
    }
    /* Mean 0 and variance 1/3, within four standard errors. */
    assert_true(fabs(sum / 100000) < 4 * sqrt(1.0 / 3 / 100000));
    assert_true(fabs(square / 100000 - 1.0 / 3) < 4 * sqrt(4.0 / 45 / 100000));
    assert_true(kv_fill_value(1, 5) != kv_fill_value(2, 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_is_divided_by_its_size),
        cmocka_unit_test(heads_turn_with_their_position),
        cmocka_unit_test(gates_close_what_is_negative),
        cmocka_unit_test(new_kv_goes_to_its_slot),
        cmocka_unit_test(a_fetched_layer_goes_to_its_pages),
        cmocka_unit_test(blocks_are_gathered_in_order),
        cmocka_unit_test(numbers_to_work_on_are_uniform),
    };
    return cmocka_run_group_tests(tests, NULL, close_arena);
}

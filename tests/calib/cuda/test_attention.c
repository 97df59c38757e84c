/* SPDX-License-Identifier: Apache-2.0 */
/* The bodies of the attention kernels, run on the CPU block by block (calib/cuda/simt.h), against float64. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "calib/cuda/attention_body.h"
#include "calib/cuda/reference.c"
#include "calib/cuda/rows_body.h"
#include "calib/cuda/splits.c"
#include "sim/base/arena.h"

#define POISON 0x7fc0   /* NaN in what nobody may read or must write */

/* A batch of sequences whose pages lie in disorder; what no sequence owns is NaN. */
struct batch {
    struct kv_arena arena;
    int32_t sequences, heads, longest_new, longest;
    int32_t cached[8], first[9], length[8];
    struct kv_pages pages;
    kv_bf16 *q, *out;
    int64_t q_stride;
};

static kv_bf16 *numbers(struct batch *b, int64_t count, uint32_t seed)
{
    kv_bf16 *at = kv_arena_take(&b->arena, (size_t)count * sizeof *at);
    for (int64_t i = 0; i < count; i++) at[i] = kv_bf16_nearest(2 * kv_fill_value(seed, i));
    return at;
}

static void own_page(struct batch *b, int32_t sequence, int32_t i, int32_t page, uint32_t seed)
{
    struct kv_pages *p = &b->pages;
    int64_t width = (int64_t)p->kv_heads * p->head_dim;
    ((int32_t *)(uintptr_t)p->table)[sequence * p->table_stride + i] = page;
    for (int32_t t = 0; t < p->page_tokens && i * p->page_tokens + t < b->length[sequence]; t++)
        for (int64_t e = 0; e < width; e++) {
            int64_t at = ((int64_t)page * p->page_tokens + t) * width + e;
            p->keys[at] = kv_bf16_nearest(2 * kv_fill_value(seed, at));
            p->values[at] = kv_bf16_nearest(kv_fill_value(seed + 1, at));
        }
}

/* `fresh` and `cached` tokens of each sequence. */
static void make(struct batch *b, int32_t sequences, const int32_t *fresh, const int32_t *cached, int32_t heads,
                 int32_t kv_heads, int32_t dim, int32_t page_tokens)
{
    int32_t pages = 0, owned = 0;
    *b = (struct batch){ .sequences = sequences, .heads = heads };
    for (int32_t s = 0; s < sequences; s++) {
        b->cached[s] = cached[s];
        b->length[s] = cached[s] + fresh[s];
        b->first[s + 1] = b->first[s] + fresh[s];
        if (fresh[s] > b->longest_new) b->longest_new = fresh[s];
        if (b->length[s] > b->longest) b->longest = b->length[s];
        pages += (b->length[s] + page_tokens - 1) / page_tokens;
    }
    int64_t elements = (int64_t)(pages + 3) * page_tokens * kv_heads * dim;
    b->pages = (struct kv_pages){
        kv_arena_take(&b->arena, (size_t)elements * 2), kv_arena_take(&b->arena, (size_t)elements * 2), NULL,
        (b->longest + page_tokens - 1) / page_tokens + 1, page_tokens, kv_heads, dim,
    };
    b->pages.table = kv_arena_take(&b->arena, (size_t)(sequences * b->pages.table_stride) * 4);
    for (int64_t i = 0; i < elements; i++) b->pages.keys[i] = b->pages.values[i] = POISON;
    for (int32_t s = 0; s < sequences; s++)
        for (int32_t i = 0; i * page_tokens < b->length[s]; i++) own_page(b, s, i, pages + 2 - owned++, 11);
    b->q_stride = (int64_t)(heads + 2 * kv_heads) * dim;
    b->q = numbers(b, b->first[sequences] * b->q_stride, 5);
    b->out = kv_arena_take(&b->arena, (size_t)(b->first[sequences] * heads * dim) * 2);
    for (int64_t i = 0; i < (int64_t)b->first[sequences] * heads * dim; i++) b->out[i] = POISON;
}

static void check(struct batch *b)
{
    int64_t width = (int64_t)b->heads * b->pages.head_dim, where;
    for (int32_t s = 0; s < b->sequences; s++) {
        int32_t rows = b->first[s + 1] - b->first[s];
        if (!rows) continue;
        double *wanted = kv_arena_take(&b->arena, (size_t)(rows * width) * sizeof *wanted);
        kv_reference_attention(b->q + b->first[s] * b->q_stride, b->q_stride, &b->pages, s, rows, b->cached[s],
                               b->heads, 0.1, wanted);
        double error = kv_reference_error(b->out + b->first[s] * width, wanted, rows * width, 0.3, &where);
        if (!(error < 0.012)) fail_msg("sequence %d: error %g at %lld", s, error, (long long)where);
    }
    kv_arena_close(&b->arena);
}

static int32_t shift_of(int32_t page_tokens)
{
    int32_t shift = 0;
    while (1 << shift < page_tokens) shift++;
    return shift;
}

static void run_prefill(struct batch *b)
{
    struct kv_prefill p = { b->q, b->q_stride, b->out, b->first, b->cached, b->sequences, b->heads, b->longest_new,
                            0.1f, b->pages };
    int32_t blocks = (int32_t)kv_prefill_blocks(b->longest_new, b->heads / b->pages.kv_heads);
    static _Alignas(16) kv_bf16 shared[KV_PREFILL_SHARED_BYTES(128) / 2];
    for (int32_t s = 0; s < b->sequences; s++)
        for (int32_t h = 0; h < b->pages.kv_heads; h++)
            for (int32_t i = 0; i < blocks; i++) {
                memset(shared, 0xff, sizeof shared);
                if (b->pages.head_dim == 64)
                    kv_prefill_block(&p, i, blocks, h, s, shift_of(b->pages.page_tokens), shared, 64);
                else
                    kv_prefill_block(&p, i, blocks, h, s, shift_of(b->pages.page_tokens), shared, 128);
                assert_int_equal(kv_simt_copies, 0);
            }
}

static void run_decode(struct batch *b, int32_t splits)
{
    struct kv_decode d = { b->q, b->q_stride, b->out, b->length, b->sequences, b->heads, b->longest, splits, NULL, 0.1f,
                           b->pages };
    int32_t dim = b->pages.head_dim;
    int64_t bytes = kv_decode_scratch_bytes(b->sequences, b->heads, dim, splits);
    d.scratch = kv_arena_take(&b->arena, (size_t)bytes + 4);
    memset(d.scratch, 0xff, (size_t)bytes + 4);
    static _Alignas(16) kv_bf16 shared[KV_DECODE_SHARED_BYTES(128) / 2];
    int32_t blocks = b->sequences * b->pages.kv_heads * kv_decode_row_blocks(b->heads / b->pages.kv_heads) * splits;
    for (int32_t i = 0; i < blocks; i++) {
        memset(shared, 0xff, sizeof shared);
        if (dim == 64) kv_decode_block(&d, i, shift_of(b->pages.page_tokens), shared, 64);
        else kv_decode_block(&d, i, shift_of(b->pages.page_tokens), shared, 128);
        assert_int_equal(kv_simt_copies, 0);
    }
    for (int32_t s = 0; splits > 1 && s < b->sequences; s++)
        for (int32_t h = 0; h < b->heads; h++)
            for (int32_t c = 0; c < dim; c++) kv_decode_combine(&d, s, h, c, dim);
    uint32_t end;
    memcpy(&end, (char *)d.scratch + bytes, 4);
    assert_int_equal(end, 0xffffffff);
}

static void new_tokens_see_what_is_cached_and_those_before_them(void **state)
{
    (void)state;
    struct batch b;
    /* None new, one, a whole tile, and across tiles and pages, from nothing to several tiles cached. */
    make(&b, 8, (int32_t[]){1, 0, 16, 17, 70, 3, 2, 2}, (int32_t[]){0, 5, 0, 64, 1, 131, 62, 63}, 8, 2, 128, 16);
    run_prefill(&b);
    check(&b);
    make(&b, 3, (int32_t[]){65, 2, 33}, (int32_t[]){0, 63, 100}, 6, 6, 64, 32);
    run_prefill(&b);
    check(&b);
}

static void groups_that_are_no_power_of_two_and_pages_of_one_token(void **state)
{
    (void)state;
    struct batch b;
    make(&b, 2, (int32_t[]){29, 10}, (int32_t[]){7, 80}, 14, 2, 64, 1);
    run_prefill(&b);
    check(&b);
    make(&b, 2, (int32_t[]){1, 1}, (int32_t[]){7, 80}, 14, 2, 64, 256);
    run_decode(&b, 1);
    check(&b);
}

static void a_token_sees_its_whole_sequence(void **state)
{
    (void)state;
    struct batch b;
    const int32_t one[] = {1, 1, 1, 1, 1, 1, 1, 1}, cached[] = {0, 14, 15, 16, 62, 63, 200, 511};
    for (int32_t splits = 1; splits <= 5; splits += 2) {
        make(&b, 8, one, cached, 8, 2, 128, 16);
        run_decode(&b, splits);
        check(&b);
        make(&b, 8, one, cached, 4, 4, 64, 8);
        run_decode(&b, splits);
        check(&b);
    }
}

static void more_than_sixteen_heads_share_a_kv_head(void **state)
{
    (void)state;
    struct batch b;
    make(&b, 3, (int32_t[]){1, 1, 1}, (int32_t[]){1, 99, 300}, 40, 2, 64, 16);
    run_decode(&b, 2);
    check(&b);
}

static void large_scores_do_not_overflow(void **state)
{
    (void)state;
    struct batch b;
    make(&b, 2, (int32_t[]){40, 90}, (int32_t[]){0, 30}, 2, 1, 64, 16);
    for (int64_t i = 0; i < b.first[2] * b.q_stride; i++) b.q[i] = kv_bf16_nearest(400 * kv_bf16_value(b.q[i]));
    run_prefill(&b);
    check(&b);
}

/* The error must show what a wrong kernel does: one token too many is seen. */
static void the_comparison_notices_a_token_too_many(void **state)
{
    (void)state;
    struct batch b;
    int64_t where;
    double wanted[2 * 64], shifted[2 * 64];
    kv_bf16 found[2 * 64];
    make(&b, 1, (int32_t[]){2}, (int32_t[]){60}, 2, 1, 64, 16);
    kv_reference_attention(b.q, b.q_stride, &b.pages, 0, 1, 60, 2, 0.1, wanted);
    kv_reference_attention(b.q, b.q_stride, &b.pages, 0, 1, 61, 2, 0.1, shifted);
    for (int i = 0; i < 2 * 64; i++) found[i] = kv_bf16_nearest(shifted[i]);
    assert_true(kv_reference_error(found, wanted, 2 * 64, 0.3, &where) > 0.012);
    kv_arena_close(&b.arena);
}

static void splits_fill_the_device_and_no_more(void **state)
{
    (void)state;
    assert_int_equal(kv_decode_splits(132, 256, 8, 100000), 1);
    assert_int_equal(kv_decode_splits(132, 1, 8, 100000), 64);
    assert_int_equal(kv_decode_splits(132, 1, 8, 1000), 3);
    assert_int_equal(kv_decode_splits(132, 1, 8, 10), 1);
    assert_int_equal(kv_decode_splits(132, 16, 8, 100000), 5);
    assert_int_equal(kv_decode_scratch_bytes(3, 32, 128, 1), 0);
    assert_int_equal(kv_decode_scratch_bytes(3, 32, 128, 4), 3 * 32 * 4 * 130 * 4);
}

static void parts_of_a_sequence_cover_it_once(void **state)
{
    (void)state;
    struct kv_decode d = { .heads = 40, .pages = { .kv_heads = 2, .head_dim = 64 }, .sequences = 2 };
    for (int32_t length = 1; length < 700; length += 37)
        for (int32_t splits = 1; splits <= 64; splits++) {
            const int32_t lengths[2] = {5, length};
            d.length = lengths;
            d.splits = splits;
            int32_t seen = 0, rows = 0;
            for (int32_t block = 0; block < 2 * 2 * 2 * splits; block++) {
                struct kv_decode_work w = kv_decode_work_of(&d, block);
                assert_true(w.sequence < 2 && w.kv_head < 2 && w.rows >= 1 && w.rows <= 16 && w.row + w.rows <= 20);
                assert_true(0 <= w.begin && w.begin <= w.end && w.end <= lengths[w.sequence]);
                if (w.sequence == 1 && w.kv_head == 1 && w.row == 0) {
                    assert_int_equal(w.begin, seen);
                    seen = w.end;
                }
                if (w.split == 0 && w.sequence == 0) rows += w.rows;
            }
            assert_int_equal(seen, length);
            assert_int_equal(rows, 40);
        }
}

/* Eight rows of one piece lie in eight different groups of four banks: an ldmatrix without conflicts. */
static void rows_of_a_tile_lie_in_different_banks(void **state)
{
    (void)state;
    for (int32_t dim = 64; dim <= 128; dim *= 2)
        for (int32_t row = 0; row < 64; row += 8)
            for (int32_t piece = 0; piece < dim / 8; piece++) {
                unsigned banks = 0;
                for (int32_t r = 0; r < 8; r++) {
                    int32_t place = kv_tile_place(row + r, piece, dim);
                    assert_true(place >= (row + r) * dim && place + 8 <= (row + r + 1) * dim && place % 8 == 0);
                    banks |= 1u << place / 8 % 8;
                }
                assert_int_equal(banks, 0xff);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_tokens_see_what_is_cached_and_those_before_them),
        cmocka_unit_test(groups_that_are_no_power_of_two_and_pages_of_one_token),
        cmocka_unit_test(a_token_sees_its_whole_sequence),
        cmocka_unit_test(more_than_sixteen_heads_share_a_kv_head),
        cmocka_unit_test(large_scores_do_not_overflow),
        cmocka_unit_test(the_comparison_notices_a_token_too_many),
        cmocka_unit_test(splits_fill_the_device_and_no_more),
        cmocka_unit_test(parts_of_a_sequence_cover_it_once),
        cmocka_unit_test(rows_of_a_tile_lie_in_different_banks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

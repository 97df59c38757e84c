/* SPDX-License-Identifier: Apache-2.0 */
/* prefill_points against its formula, on small files and on the one that ships for ObjectCache. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <unistd.h>

#include "tests/models/plugin_params.h"
#include "tests/support/arena.h"

#define SHIPPED "configs/systems/objectcache/a100_llama-3.1-8b.csv"
#define ROOT_2 1.41421356237309505
#define HEADER "context_tokens,cached_tokens,prefill_ms\n"

static const struct kv_compute_env nothing;
static const struct kv_compute_ops *ops;

/* In the order of the parameter table: prefill base, per token, per pair; decode base, per sequence, per KV token. The
 * first is the fit of configs/systems/objectcache. */
static const double a100_s[6] = {21.4e-3, 0.068071e-3, 3.7524e-9, 5e-3, 10e-6, 20e-9};
static const double flat_s[6] = {0, 1e-3, 0, 1e-3, 0, 0};

static void *open_points(const double coefficients[6], const char *points, struct kv_err *err)
{
    const struct kv_plugin *plugin = kv_plugin_find(KV_FAMILY_compute, "prefill_points");
    ops = kv_plugin_ops(compute, plugin);
    char *params = plugin_defaults(&arena, plugin->info);
    const struct kv_param *row = plugin->info->params;
    for (int32_t i = 0; i < 6; i++, row++) memcpy(params + row->offset, &coefficients[i], sizeof *coefficients);
    assert_string_equal(row->key, "points");
    memcpy(params + row->offset, &points, sizeof points);
    void *state = kv_arena_take(&arena, ops->state_bytes);
    return ops->open(state, params, &nothing, err) ? state : NULL;
}

/* The state of a file of this text; NULL with *err. */
static void *open_text(const double coefficients[6], const char *text, struct kv_err *err)
{
    char path[] = "/tmp/kvsim_points_XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(write(file, text, strlen(text)), strlen(text));
    close(file);
    void *state = open_points(coefficients, path, err);
    unlink(path);
    return state;
}

static kv_cost chunk(const void *state, int64_t context, int64_t cached)
{
    struct kv_chunk c = {context - cached, cached, true};
    struct kv_batch batch = {.chunks = &c, .chunk_count = 1};
    struct kv_run run = ops->price(state, &batch);
    assert_int_equal(run.steps, 1);
    return run.first;
}

static bool is_outside(const void *state, int64_t context, int64_t cached)
{
    struct kv_chunk c = {context - cached, cached, true};
    struct kv_batch batch = {.chunks = &c, .chunk_count = 1};
    return ops->outside(state, &batch);
}

static double ms(kv_cost cost)
{
    return (double)cost / 0x1p40 / 1e6;
}

static void a_prompt_like_a_point_takes_what_was_measured(void **unused)
{
    (void)unused;
    static const struct { int64_t context, cached, us; } table_a8[] = {
        {4096, 2048, 185310}, {4096, 3584, 63470}, {16384, 8192, 955890}, {16384, 14336, 281760},
        {32768, 16384, 2589250}, {32768, 28672, 763190}, {65536, 32768, 8672790}, {65536, 57344, 2423900},
    };
    void *with = open_points(a100_s, SHIPPED, NULL), *base = open_points(a100_s, "none", NULL);
    for (size_t i = 0; i < 8; i++) {
        kv_cost measured = table_a8[i].us * 1000 * KV_COST_PER_NS;
        assert_true(chunk(with, table_a8[i].context, table_a8[i].cached) == measured);
        assert_false(is_outside(with, table_a8[i].context, table_a8[i].cached));
        double off = ms(chunk(base, table_a8[i].context, table_a8[i].cached)) / ms(measured) - 1;
        print_message("  %lld tokens, %lld cached: the base alone %+.1f %%\n", (long long)table_a8[i].context,
                      (long long)table_a8[i].cached, 100 * off);
        assert_true(off > -0.044 && off < 0.024);
    }
}

/* The base takes 1 ms a token, so ratios can be read off: 2 and 1/2 in the first row, 1 and 4 in the second. */
static const char ratios[] = HEADER "1024,256,1536\n1024,768,128\n4096,1024,3072\n4096,3072,4096\n";

static void between_points_logarithms_of_the_ratio_are_interpolated(void **unused)
{
    (void)unused;
    void *state = open_text(flat_s, ratios, NULL);
    assert_non_null(state);
    static const struct { int64_t context, cached; double ratio; } expected[] = {
        {1024, 512, 1},               /* half-way between 2 and 1/2 */
        {1024, 384, ROOT_2},         /* a quarter */
        {4096, 2048, 2},
        {2048, 512, ROOT_2},         /* half-way between contexts, in octaves */
        {2048, 1024, ROOT_2},
        {2048, 1536, ROOT_2},
        {1024, 0, 2}, {1024, 1000, 0.5}, {100, 25, 2}, {65536, 60000, 4}, {65536, 0, 1},   /* outside: the nearest */
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        double fresh = (double)(expected[i].context - expected[i].cached);
        assert_true(fabs(ms(chunk(state, expected[i].context, expected[i].cached)) / (fresh * expected[i].ratio) - 1)
                    < 1e-11);
    }
}

static void outside_is_what_no_points_surround(void **unused)
{
    (void)unused;
    /* The longer context was measured for fewer hits. */
    void *state = open_text(flat_s, HEADER "1024,256,1536\n1024,768,128\n4096,2048,3072\n4096,3072,4096\n", NULL);
    assert_false(is_outside(state, 1024, 256));
    assert_false(is_outside(state, 1024, 768));
    assert_false(is_outside(state, 2048, 1024));
    assert_false(is_outside(state, 4096, 3072));
    assert_true(is_outside(state, 1024, 255));
    assert_true(is_outside(state, 1024, 769));
    assert_true(is_outside(state, 1023, 512));
    assert_true(is_outside(state, 4097, 2500));
    assert_true(is_outside(state, 2048, 700));    /* a hit of 0.34: inside at 1024, outside at 4096 */
    assert_false(is_outside(open_points(flat_s, "none", NULL), 1 << 20, 0));
    struct kv_batch decodes = {.decode_count = 3, .ctx_sum = 1 << 20, .ctx_max = 1 << 19};
    assert_false(ops->outside(state, &decodes));
}

static void one_point_scales_the_base_everywhere(void **unused)
{
    (void)unused;
    void *state = open_text(flat_s, HEADER "1000,500,750\n", NULL);
    assert_true(chunk(state, 1000, 500) == 750 * 1000000 * KV_COST_PER_NS);
    assert_true(fabs(ms(chunk(state, 50000, 40000)) / 15000 - 1) < 1e-11);
}

static void a_step_of_several_chunks_has_the_largest_constant_once(void **unused)
{
    (void)unused;
    static const double coefficients[6] = {1, 1e-3, 0, 0.5, 0, 1e-3};
    void *state = open_text(coefficients, HEADER "1000,0,4000\n1000,500,1500\n", NULL);   /* twice the base; the base */
    struct kv_chunk chunks[] = {{500, 500, true}, {1000, 0, true}};
    struct kv_batch batch = {.chunks = chunks, .chunk_count = 2, .decode_count = 1, .ctx_sum = 300, .ctx_max = 300};
    double expected_ms = 2000 + 2000 + 500 + 300;
    assert_true(fabs(ms(ops->price(state, &batch).first) - expected_ms) < 1e-6);
    batch.chunk_count = 0;
    struct kv_run run = ops->price(state, &batch);
    assert_true(fabs(ms(run.first) - 800) < 1e-9);
    assert_true(run.slope == KV_COST_PER_NS * 1000000);
    assert_true(run.steps > INT64_C(1) << 40);
}

/* What interpolation must not spoil: along whole prompts of the shipped file, more to compute is never cheaper, and the
 * same prompt with more of it cached is never dearer. */
static void more_work_costs_more(void **unused)
{
    (void)unused;
    void *state = open_points(a100_s, SHIPPED, NULL);
    for (int64_t context = 512; context <= 131072; context += context / 7) {
        kv_cost last = chunk(state, context, 0);
        for (int64_t cached = 64; cached < context; cached += 64) {
            kv_cost now = chunk(state, context, cached);
            assert_true(now < last);
            last = now;
        }
    }
    for (int64_t cached = 0; cached < 65536; cached += 1000) {
        kv_cost last = 0;
        for (int64_t fresh = 64; fresh < 65536; fresh += 64) {
            kv_cost now = chunk(state, cached + fresh, cached);
            assert_true(now > last);
            last = now;
        }
    }
}

static void wrong_files_are_told(void **unused)
{
    (void)unused;
    static const struct { const char *text, *expected; } wrong[] = {
        {"", "the file is empty"},
        {HEADER, "the file has a header but no rows"},
        {"context_tokens,hit,prefill_ms\n1,2,3\n", "the header has no column 'cached_tokens'"},
        {HEADER "1000,1000,5\n", "nothing is left to compute"},
        {HEADER "1000,500,0\n", "is not in"},
        {HEADER "1000,500,fast\n", "prefill_ms"},
        {HEADER "1000,500,500\n1000,500,500\n", "rows must be sorted"},
        {HEADER "1000,500,500\n900,500,400\n", "rows must be sorted"},
        {HEADER "1000,500,0.5\n", "16 times more than measured"},
        {HEADER "1000,500,500000\n", "16 times less than measured"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct kv_err err = {0};
        assert_null(open_text(flat_s, wrong[i].text, &err));
        if (!strstr(err.text, wrong[i].expected)) fail_msg("%s: %s", err.where, err.text);
        assert_int_equal(err.code, KV_ECONFIG);
    }
    struct kv_err err = {0};
    assert_null(open_points(flat_s, "/tmp/kvsim_no_such_file", &err));
    static const double zeros[6] = {0};
    assert_null(open_points(zeros, "none", &err));
    assert_int_equal(err.code, KV_ECONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prompt_like_a_point_takes_what_was_measured),
        cmocka_unit_test(between_points_logarithms_of_the_ratio_are_interpolated),
        cmocka_unit_test(outside_is_what_no_points_surround),
        cmocka_unit_test(one_point_scales_the_base_everywhere),
        cmocka_unit_test(a_step_of_several_chunks_has_the_largest_constant_once),
        cmocka_unit_test(more_work_costs_more),
        cmocka_unit_test(wrong_files_are_told),
    };
    return cmocka_run_group_tests_name("models/compute/prefill_points", tests, NULL, close_arena);
}

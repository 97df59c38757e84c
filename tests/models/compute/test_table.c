/* SPDX-License-Identifier: Apache-2.0 */
/* table against its formula with a profile of round numbers, what it refuses, and what lies outside. The contract runs
 * on the profiles that ship (test_contract). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "sim/conf/profile.h"
#include "tests/models/plugin_params.h"
#include "tests/models/shape_file.h"
#include "tests/support/arena.h"

static const char *folder;
static struct kv_model_shape model = {.name = "toy", .layers = 2, .heads = 1, .kv_heads = 1, .dtype_bytes = 2,
                                      .kv_dtype_bytes = 2};
static struct kv_gpu_spec gpu = {.name = "toy-gpu"};

static const struct { const char *file, *text; } files[] = {
    {"profile.yaml", "kvsim_profile: 1\ngpu: toy-gpu\nmodel: toy\ntp: 1\ndtype: bf16\nengine: none\nmode: by hand\n"
                     "measured: never\nsource: this test\ncommit: none\nlicence: Apache-2.0\nmixed_block: 1ns\n"
                     "holdout_permille: 0\nholdout_seed: 1\n"
                     "holdout: {dense: 0, head: 0, prefill: 0, decode: 0, mixed: 0, shares: 0}\n"},
    {"dense.csv", "tokens,layer_us,once_us\n1,10,1\n101,20,2\n201,60,3\n"},
    {"head.csv", "sequences,time_us\n1,5\n11,15\n"},
    {"prefill.csv", "new_tokens,cached_tokens,time_us\n10,0,1\n10,100,2\n110,0,11\n110,100,22\n"},
    {"decode.csv", "sequences,kv_tokens,time_us\n1,0,2\n1,100,4\n5,0,6\n5,100,16\n"},
    {"mixed.csv", "sequences,kv_tokens,time_us\n1,0,4\n1,100,8\n5,0,12\n5,100,32\n"},
    {"shares.csv", "sequences,longest_decode_permille,longest_mixed_permille,added_permille\n1,0,0,500\n"},
    {"experts.csv", NULL},   /* optional */
};
#define FILES (sizeof files / sizeof *files)

/* The profile, with one file replaced by `text` (NULL: left out). */
static void write_profile(const char *other, const char *text)
{
    for (size_t i = 0; i < FILES; i++) {
        const char *path = kv_arena_text(&arena, "%s/%s", folder, files[i].file);
        const char *content = other && !strcmp(other, files[i].file) ? text : files[i].text;
        unlink(path);
        if (!content) continue;
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fputs(content, f);
        fclose(f);
    }
}

static const struct kv_compute_ops *ops(void)
{
    return kv_plugin_ops(compute, kv_plugin_find(KV_FAMILY_compute, "table"));
}

/* max_cudagraph_capture_size of what is opened next: steps are as they are, but where a test says otherwise. */
static int64_t graph_tokens;

static bool open_profile(void **state, const char *profile, const struct kv_compute_env *env, struct kv_err *err)
{
    void *params = plugin_defaults(&arena, &ops()->info);
    memcpy((char *)params + ops()->info.params[0].offset, &profile, sizeof profile);
    for (const struct kv_param *p = ops()->info.params; p->key; p++)
        if (!strcmp(p->key, "max_cudagraph_capture_size")) memcpy((char *)params + p->offset, &graph_tokens,
                                                                  sizeof graph_tokens);
    *state = kv_arena_take(&arena, ops()->state_bytes);
    return ops()->open(*state, params, env, err);
}

static void *open_toy(void)
{
    void *state;
    struct kv_err err = {0};
    write_profile(NULL, NULL);
    if (!open_profile(&state, folder, &(struct kv_compute_env){.model = &model, .gpu = &gpu, .tp = 1}, &err))
        fail_msg("%s: %s", err.where, err.text);
    return state;
}

/* Within a thousandth of a ns: knots are exact, what lies between is rounded down in units of 2^-20 ns at the most. */
static void assert_us(kv_cost cost, double us)
{
    double found = (double)cost / (double)KV_COST_PER_NS * 1e-3;
    if (found - us > 1e-6 || us - found > 1e-6) fail_msg("%.9f us, expected %.9f", found, us);
}

static void a_decode_batch_is_dense_and_head_and_attention(void **unused)
{
    (void)unused;
    void *state = open_toy();
    /* One sequence of 50: dense 10, attention 3, two layers; once 1; head 5. */
    struct kv_batch one = {.decode_count = 1, .ctx_sum = 50, .ctx_max = 50};
    assert_us(ops()->price(state, &one).first, 2 * (10 + 3) + 1 + 5);
    /* Three of 40 on average: dense 10.2, once 1.02, head 7; attention half-way between 2.8 and 10. */
    struct kv_batch three = {.decode_count = 3, .ctx_sum = 120, .ctx_max = 60};
    assert_us(ops()->price(state, &three).first, 2 * (10.2 + 6.4) + 1.02 + 7);
}

static void a_run_ends_at_the_next_knot_of_mean_or_longest(void **unused)
{
    (void)unused;
    void *state = open_toy();
    struct kv_batch three = {.decode_count = 3, .ctx_sum = 120, .ctx_max = 60};
    struct kv_run run = ops()->price(state, &three);
    assert_int_equal(run.steps, 40);   /* the longest reaches 100 */
    assert_us(run.slope, 2 * 0.06);    /* attention of three rises by 6 us over 100 tokens each */
    struct kv_batch uneven = {.decode_count = 3, .ctx_sum = 281, .ctx_max = 100};
    assert_int_equal(ops()->price(state, &uneven).steps, 7);   /* the mean passes 100 in the 7th step */
}

static void chunks_and_decodes_share_the_gpu(void **unused)
{
    (void)unused;
    void *state = open_toy();
    struct kv_chunk chunks[] = { {60, 50, false}, {10, 0, true} };
    struct kv_batch batch = {.chunks = chunks, .chunk_count = 2};
    /* 70 tokens: dense 16.9, once 1.69, head 5; prefill 9 and 1, launched once. */
    assert_us(ops()->price(state, &batch).first, 2 * (16.9 + 9) + 1.69 + 5);
    /* And one decode of 100: dense 17, once 1.7, head 6; half of the decode's 8 less the launch, 60 blocks. */
    batch.decode_count = 1;
    batch.ctx_sum = batch.ctx_max = 100;
    assert_us(ops()->price(state, &batch).first, 2 * (17 + 9 + 0.5 * (8 - 1) + 0.06) + 1.7 + 6);
    assert_int_equal(ops()->price(state, &batch).steps, 1);
}

static void past_the_last_knot_the_cost_grows_with_the_work(void **unused)
{
    (void)unused;
    void *state = open_toy();
    struct kv_chunk chunk = {402, 0, false};
    struct kv_batch batch = {.chunks = &chunk, .chunk_count = 1};
    double pairs = 402 * 403 / 2 - 110 * 111 / 2, pair = 22.0 / (110 * 100 + 110 * 111 / 2);
    double found = (double)ops()->price(state, &batch).first / (double)KV_COST_PER_NS * 1e-3;
    double expected = 2 * (120 + 11 + pairs * pair) + 6;
    assert_true(found / expected - 1 < 1e-6 && expected / found - 1 < 1e-6);
    struct kv_batch decode = {.decode_count = 5, .ctx_sum = 1000, .ctx_max = 200};
    assert_us(ops()->price(state, &decode).first, 2 * (10.4 + 32) + 1.04 + 9);
}

static void what_was_not_measured_is_outside(void **unused)
{
    (void)unused;
    void *state = open_toy();
    const struct { struct kv_chunk chunk; int64_t decodes, longest; bool outside; } cases[] = {
        {{0, 0, false}, 5, 99, false}, {{0, 0, false}, 6, 10, true}, {{0, 0, false}, 5, 100, true},
        {{110, 100, false}, 0, 0, false}, {{111, 0, false}, 0, 0, true}, {{50, 101, false}, 0, 0, true},
        {{110, 100, false}, 5, 99, false}, {{110, 100, false}, 6, 99, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct kv_batch batch = {.decode_count = cases[i].decodes, .ctx_sum = cases[i].decodes * cases[i].longest,
                                 .ctx_max = cases[i].longest, .chunks = &cases[i].chunk,
                                 .chunk_count = cases[i].chunk.new_tokens > 0};
        if (ops()->outside(state, &batch) != cases[i].outside) fail_msg("case %zu", i);
    }
}

/* Two ranks of a mixture of four experts, one a token: with so many tokens all four are met, two on each rank. */
#define EXPERTS "tokens,active_experts,time_us\n1,1,10\n1,3,20\n101,1,110\n101,3,220\n"

static void experts_are_priced_for_the_tokens_of_all_ranks(void **unused)
{
    (void)unused;
    void *state;
    struct kv_err err = {0};
    struct kv_model_shape mixture = model;
    mixture.experts = 4;
    mixture.experts_per_token = 1;
    mixture.hidden = 1000;
    struct kv_compute_env env = {.model = &mixture, .gpu = &gpu, .tp = 1};
    struct kv_chunk chunk = {101, 0, false};
    const struct kv_batch batch = {.chunks = &chunk, .chunk_count = 1}, both[] = {batch, batch}, one[] = {batch, {0}};
    double own = 2 * (20 + 10.1) + 2;
    write_profile("experts.csv", EXPERTS);
    assert_true(open_profile(&state, folder, &env, &err));
    assert_us(ops()->price(state, &batch).first, own + 2 * 220);   /* the last knot of experts met is 3 */

    env.ranks = 2;
    env.peer_Bps = 1e9;
    env.peer_latency_s = 3e-6;
    assert_true(open_profile(&state, folder, &env, &err));
    /* In two layers two exchanges of 101 tokens of 2,000 bytes; 202 tokens are 101 a rank. */
    double exchange = 2 * 2 * (3 + 101 * 2.0);
    assert_us(ops()->together(state, both), own + exchange + 2 * 165);
    /* A dummy beside: 102 tokens. Alone it is priced the same. */
    assert_us(ops()->together(state, one), own + exchange + 2 * 90);
    assert_us(ops()->price(state, &batch).first, own + exchange + 2 * 90);
    /* The slower rank's own part, whichever it is: a decode of 50 tokens beside the chunk. */
    const struct kv_batch mixed[] = {{.decode_count = 1, .ctx_sum = 50, .ctx_max = 50}, batch};
    assert_us(ops()->together(state, mixed), own + exchange + 2 * 90);
}

/* Sizes of graphs are 1, 2, 4, multiples of 8 up to 256 and of 16 from there, up to the most that is captured: layers
 * and what is done once are those of the size, 10 + (size - 1) / 10 and 1 + (size - 1) / 100 us up to 101 tokens. */
static void steps_are_padded_to_the_size_of_a_graph(void **unused)
{
    (void)unused;
    const struct { int64_t most, tokens, size; } cases[] = {
        {512, 1, 1}, {512, 2, 2}, {512, 3, 4}, {512, 4, 4}, {512, 5, 8}, {512, 8, 8}, {512, 9, 16}, {512, 100, 104},
        {512, 249, 256}, {512, 256, 256}, {512, 257, 272}, {512, 273, 288}, {512, 512, 512}, {512, 513, 513},
        {100, 96, 96}, {100, 97, 97}, {2, 3, 3}, {0, 3, 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct kv_chunk chunk = {cases[i].tokens, 0, false}, padded = {cases[i].size, 0, false};
        struct kv_batch batch = {.chunks = &chunk, .chunk_count = 1}, as_large = {.chunks = &padded, .chunk_count = 1};
        graph_tokens = 0;
        void *plain = open_toy();
        graph_tokens = cases[i].most;
        void *graphs = open_toy();
        /* Attention is of the tokens that are there. */
        kv_cost attention = ops()->price(plain, &as_large).first - ops()->price(graphs, &as_large).first;
        assert_true(attention == 0);
        kv_cost more = ops()->price(graphs, &batch).first - ops()->price(plain, &batch).first;
        double dense[2], us[] = {(double)cases[i].tokens, (double)cases[i].size};
        for (int k = 0; k < 2; k++)   /* 2 layers, and once */
            dense[k] = us[k] <= 101 ? 2 * (10 + (us[k] - 1) / 10) + 1 + (us[k] - 1) / 100
                       : us[k] <= 201 ? 2 * (20 + (us[k] - 101) * 0.4) + 2 + (us[k] - 101) / 100
                                      : us[k] * 123 / 201;
        double found = (double)more / (double)KV_COST_PER_NS * 1e-3, expected = dense[1] - dense[0];
        if (found - expected > 1e-3 || expected - found > 1e-3)
            fail_msg("%lld tokens of %lld: %.6f us more, expected %.6f", (long long)cases[i].tokens,
                     (long long)cases[i].most, found, expected);
    }
    graph_tokens = 0;
}

/* In a graph each of two ranks has as many as the larger, padded: 16 for 9 and 1. */
static void ranks_are_padded_alike(void **unused)
{
    (void)unused;
    void *state;
    struct kv_err err = {0};
    struct kv_model_shape mixture = model;
    mixture.experts = 4;
    mixture.experts_per_token = 4;   /* all are met at once: 2 a rank */
    mixture.hidden = 1000;
    struct kv_compute_env env = {.model = &mixture, .gpu = &gpu, .tp = 1, .ranks = 2, .peer_Bps = 1e9};
    const struct kv_batch nine = {.decode_count = 9, .ctx_sum = 0, .ctx_max = 0}, both[] = {nine, {0}};
    write_profile("experts.csv", EXPERTS);
    graph_tokens = 16;
    assert_true(open_profile(&state, folder, &env, &err));
    kv_cost found = ops()->together(state, both);
    assert_true(found == ops()->price(state, &nine).first);
    graph_tokens = 0;
    assert_true(open_profile(&state, folder, &env, &err));
    /* Unpadded: dense of 9 tokens, experts of 10, of which 9 come over the link. Padded: 16, 32 and 16. */
    double more = 2 * 0.7 + 0.07 + 2 * (11 * 1.5) + 2 * 2 * 7 * 2.0;
    assert_us(found - ops()->together(state, both), more);
}

/* Layers measured without communication get two all-reduces each: over 1 GB/s with 3 us, two GPUs move every byte once.
 * 101 tokens are 202,000 bytes. */
static void layers_of_two_gpus_get_their_all_reduces(void **unused)
{
    (void)unused;
    void *state;
    struct kv_err err = {0};
    struct kv_model_shape wide = model;
    wide.hidden = 1000;
    struct kv_compute_env env = {.model = &wide, .gpu = &gpu, .tp = 2, .peer_Bps = 1e9, .peer_latency_s = 3e-6};
    char *of_two = kv_arena_text(&arena, "%s", files[0].text);
    strstr(of_two, "tp: 1")[4] = '2';
    write_profile("profile.yaml", of_two);
    assert_true(open_profile(&state, folder, &env, &err));
    struct kv_chunk chunk = {101, 0, false};
    struct kv_batch batch = {.chunks = &chunk, .chunk_count = 1};
    assert_us(ops()->price(state, &batch).first, 2 * (20 + 10.1 + 2 * (3 + 202)) + 2);
    /* Nobody named the link, and nothing was measured between two such GPUs. */
    env.peer_Bps = 0;
    assert_false(open_profile(&state, folder, &env, &err));
    assert_non_null(strstr(err.text, "cluster.nodes.peer"));
}

/* The same profile on a GPU whose all-reduce was measured costs more than alone, by the curve that ships: 55.691 us for
 * 2 MiB between two RTX PRO 6000 (models/profiles/rtx-pro-6000/all_reduce.csv). */
static void all_reduces_are_as_measured_where_no_link_is_named(void **unused)
{
    (void)unused;
    void *alone, *both;
    struct kv_err err = {0};
    struct kv_model_shape wide = model;
    wide.hidden = 1 << 14;   /* 64 tokens are 2 MiB */
    struct kv_gpu_spec measured = {.name = "rtx-pro-6000"};
    char *text = kv_arena_text(&arena, "kvsim_profile: 1\ngpu: rtx-pro-6000%s", strstr(files[0].text, "\nmodel"));
    struct kv_compute_env env = {.model = &wide, .gpu = &measured, .tp = 1};
    struct kv_chunk chunk = {64, 0, false};
    struct kv_batch batch = {.chunks = &chunk, .chunk_count = 1};
    for (int tp = 1; tp <= 2; tp++) {
        char *dense = kv_arena_text(&arena, "%s", "tokens,layer_us,once_us\n64,10,1\n");
        env.tp = tp;
        if (tp == 2) strstr(text, "tp: 1")[4] = '2';
        write_profile("profile.yaml", text);
        FILE *f = fopen(kv_arena_text(&arena, "%s/dense.csv", folder), "w");
        assert_non_null(f);
        fputs(dense, f);
        fclose(f);
        if (!open_profile(tp == 1 ? &alone : &both, folder, &env, &err)) fail_msg("%s: %s", err.where, err.text);
    }
    assert_us(ops()->price(both, &batch).first - ops()->price(alone, &batch).first, 2 * 2 * 55.691);
}

static void ranks_need_experts_apart(void **unused)
{
    (void)unused;
    void *state;
    struct kv_err err = {0};
    write_profile(NULL, NULL);
    struct kv_compute_env env = {.model = &model, .gpu = &gpu, .tp = 1, .ranks = 2, .peer_Bps = 1e9};
    assert_false(open_profile(&state, folder, &env, &err));
    assert_non_null(strstr(err.text, "experts.csv"));
}

static void a_wrong_profile_is_refused_with_its_place(void **unused)
{
    (void)unused;
    const struct { const char *file, *text, *where, *says; } cases[] = {
        {"head.csv", NULL, "head.csv", ""},
        {"head.csv", "sequences,time_us\n1,5\n11,4\n", "head.csv:3", "less work"},
        {"head.csv", "sequences,time_us\n11,5\n1,6\n", "head.csv:3", "sorted"},
        {"head.csv", "sequences,time_us\n1,0\n", "head.csv:2", "zero"},
        {"head.csv", "sequences,time_us\n1,-5\n", "head.csv:2", "time_us"},
        {"decode.csv", "sequences,kv_tokens,time_ms\n1,0,2\n", "decode.csv:1", "time_ms"},
        {"shares.csv", "sequences,longest_decode_permille,longest_mixed_permille,added_permille\n1,0,0,1001\n",
         "shares.csv:2", "1000"},
        {"profile.yaml", "kvsim_profile: 2\n", "profile.yaml:", "missing"},
        {"profile.yaml", "kvsim_profile: [1\n", "profile.yaml:", ""},
        {"profile.yaml", NULL, "profile.yaml", "no such profile"},
    };
    const struct kv_compute_env env = {.model = &model, .gpu = &gpu, .tp = 1};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        void *state;
        struct kv_err err = {0};
        write_profile(cases[i].file, cases[i].text);
        assert_false(open_profile(&state, folder, &env, &err));
        if (!strstr(err.where, cases[i].where) || !strstr(err.text, cases[i].says))
            fail_msg("case %zu: %s: %s", i, err.where, err.text);
    }
    /* A version of another day: all the rest is right. */
    void *state;
    struct kv_err err = {0};
    char *foreign = kv_arena_text(&arena, "%s", files[0].text);
    *strchr(foreign, '1') = '7';
    write_profile("profile.yaml", foreign);
    assert_false(open_profile(&state, folder, &env, &err));
    assert_non_null(strstr(err.text, "version 7"));
    assert_non_null(strstr(err.where, "profile.yaml:1:"));
}

static void a_profile_serves_only_what_it_was_measured_for(void **unused)
{
    (void)unused;
    write_profile(NULL, NULL);
    struct kv_model_shape other = model, fp8 = model;
    struct kv_gpu_spec other_gpu = {.name = "another-gpu"};
    other.name = "another";
    fp8.kv_dtype_bytes = 1;
    const struct kv_compute_env env[] = {
        {.model = &other, .gpu = &gpu, .tp = 1}, {.model = &model, .gpu = &other_gpu, .tp = 1},
        {.model = &model, .gpu = &gpu, .tp = 2}, {.model = &fp8, .gpu = &gpu, .tp = 1},
    };
    for (size_t i = 0; i < sizeof env / sizeof *env; i++) {
        void *state;
        struct kv_err err = {0};
        assert_false(open_profile(&state, folder, &env[i], &err));
        assert_int_equal(err.code, KV_ECALIB);
        assert_non_null(strstr(err.text, "measured"));
    }
    void *state;
    struct kv_err err = {0};
    assert_false(open_profile(&state, "auto", &env[0], &err));
    assert_non_null(strstr(err.where, "models/profiles/toy-gpu_another_tp1"));
    assert_false(open_profile(&state, "auto", &(struct kv_compute_env){.model = &model, .tp = 1}, &err));
    assert_non_null(strstr(err.text, "GPU"));
}

static void a_profile_written_reads_back_the_same(void **unused)
{
    (void)unused;
    struct kv_profile first, second;
    struct kv_err err = {0};
    const char *copy = kv_arena_text(&arena, "%s/copy", folder);
    if (!kv_profile_read(&arena, "models/profiles/rtx-pro-6000_llama-3.1-8b_tp1", &first, &err)
        || !kv_profile_write(&arena, copy, &first, &err) || !kv_profile_read(&arena, copy, &second, &err))
        fail_msg("%s: %s", err.where, err.text);
    assert_string_equal(first.source, second.source);
    assert_true(first.mixed_block_s == second.mixed_block_s);
    assert_memory_equal(&first.holdout, &second.holdout, sizeof first.holdout);
    const struct kv_knots *a = &first.layer, *b = &second.layer;
    for (; a <= &first.added; a++, b++) {
        assert_int_equal(a->rows, b->rows);
        assert_int_equal(a->columns, b->columns);
        assert_memory_equal(a->x, b->x, (size_t)a->rows * sizeof *a->x);
        assert_memory_equal(a->at, b->at, (size_t)(a->rows * a->columns) * sizeof *a->at);
    }
    for (size_t i = 0; i < FILES; i++) unlink(kv_arena_text(&arena, "%s/%s", copy, files[i].file));
    rmdir(copy);
}

static int prepare(void **unused)
{
    (void)unused;
    const char *temporary = getenv("TMPDIR");
    folder = kv_arena_text(&arena, "%s/kvsim_profile_%ld", temporary ? temporary : "/tmp", (long)getpid());
    return mkdir(folder, 0777);
}

static int clean(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < FILES; i++) unlink(kv_arena_text(&arena, "%s/%s", folder, files[i].file));
    int left = rmdir(folder);
    kv_arena_close(&arena);
    return left;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_decode_batch_is_dense_and_head_and_attention),
        cmocka_unit_test(a_run_ends_at_the_next_knot_of_mean_or_longest),
        cmocka_unit_test(chunks_and_decodes_share_the_gpu),
        cmocka_unit_test(experts_are_priced_for_the_tokens_of_all_ranks),
        cmocka_unit_test(steps_are_padded_to_the_size_of_a_graph), cmocka_unit_test(ranks_are_padded_alike),
        cmocka_unit_test(ranks_need_experts_apart),
        cmocka_unit_test(layers_of_two_gpus_get_their_all_reduces),
        cmocka_unit_test(all_reduces_are_as_measured_where_no_link_is_named),
        cmocka_unit_test(past_the_last_knot_the_cost_grows_with_the_work),
        cmocka_unit_test(what_was_not_measured_is_outside),
        cmocka_unit_test(a_wrong_profile_is_refused_with_its_place),
        cmocka_unit_test(a_profile_serves_only_what_it_was_measured_for),
        cmocka_unit_test(a_profile_written_reads_back_the_same),
    };
    return cmocka_run_group_tests_name("models/compute/table", tests, prepare, clean);
}

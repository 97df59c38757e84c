/* SPDX-License-Identifier: Apache-2.0 */
/* Rule 13g of docs/engine.md where no link is named, bit for bit against a naive reader of the curves: what table says
 * of random steps of ranks, less what it says where the exchange is free, is an all-gather and a reduce-scatter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/models/plugin_params.h"
#include "tests/models/shape_file.h"
#include "tests/support/arena.h"

#define STEPS 2000
#define CHUNKS 3

static const struct kv_compute_ops *ops(void)
{
    return kv_plugin_ops(compute, kv_plugin_find(KV_FAMILY_compute, "table"));
}

static void *open_table(const struct kv_model_shape *model, const struct kv_gpu_spec *gpu, int32_t ranks,
                        double peer_Bps)
{
    struct kv_compute_env env = {.model = model, .gpu = gpu, .tp = 1, .ranks = ranks, .peer_Bps = peer_Bps};
    void *state = kv_arena_take(&arena, ops()->state_bytes);
    struct kv_err err = {0};
    if (!ops()->open(state, plugin_defaults(&arena, &ops()->info), &env, &err)) fail_msg("%s: %s", err.where, err.text);
    return state;
}

/* Cost of a collective of `bytes` in all layers, read off its file anew. */
static kv_cost naive_collective(const char *name, int32_t gpus, int64_t bytes, int32_t layers)
{
    int64_t last_x = 0;
    kv_cost last = 0, found = -1;
    char line[128];
    FILE *f = fopen(kv_arena_text(&arena, "models/profiles/rtx-pro-6000/%s.csv", name), "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        long ranks, x;
        double us;
        if (sscanf(line, "%ld,%ld,%lf", &ranks, &x, &us) != 3 || ranks != gpus) continue;
        kv_cost here = (kv_cost)(us * 1e3 + 0.5) * layers * KV_COST_PER_NS;
        if (found < 0 && bytes <= x)
            found = last_x == 0 ? here : last + (here - last) * (bytes - last_x) / (x - last_x);
        last_x = x;
        last = here;
    }
    fclose(f);
    return found >= 0 ? found : last + last / last_x * (bytes - last_x);
}

/* The first size of a graph that holds so many tokens, of those that vLLM captures by default; or as many. */
static int64_t naive_padded(int64_t tokens)
{
    static const int64_t first[] = {1, 2, 4};
    for (int i = 0; i < 3; i++)
        if (tokens <= first[i]) return first[i];
    for (int64_t size = 8; size <= 512; size += size < 256 ? 8 : 16)
        if (tokens <= size) return size;
    return tokens;
}

/* Tokens of a step that `batch` becomes; 0 to a few thousand, at times far past all knots. */
static int64_t draw_batch(struct kv_batch *batch, struct kv_chunk *chunks, uint64_t *seed)
{
    *batch = (struct kv_batch){.chunks = chunks};
    if (draw_below(seed, 4) > 0) batch->decode_count = draw_below(seed, 300);
    if (batch->decode_count > 0) batch->ctx_sum = batch->decode_count * (batch->ctx_max = 1 + draw_below(seed, 4000));
    batch->ctx_sq_sum = (kv_cost)batch->ctx_sum * batch->ctx_max;
    int64_t tokens = batch->decode_count;
    if (draw_below(seed, 2)) batch->chunk_count = (int32_t)draw_below(seed, CHUNKS + 1);
    for (int32_t i = 0; i < batch->chunk_count; i++) {
        int64_t most = draw_below(seed, 40) == 0 ? 400000 : 2000;
        chunks[i] = (struct kv_chunk){2 + draw_below(seed, most), draw_below(seed, 2000), draw_below(seed, 2)};
        tokens += chunks[i].new_tokens;
    }
    return tokens;
}

static void exchanges_are_as_measured_bit_for_bit(void **unused)
{
    (void)unused;
    struct kv_model_shape model = shape_model(&arena, "qwen3-30b-a3b");
    struct kv_gpu_spec gpu = shape_gpu(&arena, "rtx-pro-6000");
    uint64_t seed = 1;
    int64_t past = 0, dummies = 0, padded = 0;
    for (int32_t ranks = 2; ranks <= 8; ranks *= 2) {
        void *measured = open_table(&model, &gpu, ranks, 0), *free_of_charge = open_table(&model, &gpu, ranks, 1e30);
        for (int32_t step = 0; step < STEPS / 3; step++) {
            struct kv_batch batch[8];
            struct kv_chunk chunks[8][CHUNKS];
            int64_t most = 1;
            for (int32_t i = 0; i < ranks; i++) {
                int64_t tokens = draw_batch(&batch[i], chunks[i], &seed);
                if (tokens > most) most = tokens;
                dummies += tokens == 0;
            }
            padded += naive_padded(most) > most;
            most = naive_padded(most);
            int64_t scatter = ranks * most * 2 * model.hidden;
            int64_t gather = scatter + ranks * most * 8 * model.experts_per_token;
            kv_cost exchange = naive_collective("all_gather", ranks, gather, model.layers)
                               + naive_collective("reduce_scatter", ranks, scatter, model.layers);
            past += gather > 536870912;
            kv_cost whole = ops()->together(measured, batch), rest = ops()->together(free_of_charge, batch);
            if (whole - rest != exchange) fail_msg("ranks %d, step %d, %lld tokens", ranks, step, (long long)most);
        }
    }
    print_message("  %lld steps past the knots, %lld padded, %lld dummies\n", (long long)past, (long long)padded,
                  (long long)dummies);
    assert_true(past > 10 && padded > 100 && dummies > 100);
}

/* A rank alone beside dummies, and what lies past the curve is told. */
static void alone_it_is_a_step_beside_dummies(void **unused)
{
    (void)unused;
    struct kv_model_shape model = shape_model(&arena, "qwen3-30b-a3b");
    struct kv_gpu_spec gpu = shape_gpu(&arena, "rtx-pro-6000");
    void *state = open_table(&model, &gpu, 4, 0);
    uint64_t seed = 2;
    for (int32_t step = 0; step < 200; step++) {
        struct kv_batch batch[4] = {{0}};
        struct kv_chunk chunks[CHUNKS];
        if (draw_batch(&batch[2], chunks, &seed) == 0) continue;
        assert_true(ops()->price(state, &batch[2]).first == ops()->together(state, batch));
    }
}

static void gpus_without_a_measured_exchange_are_refused(void **unused)
{
    (void)unused;
    struct kv_model_shape model = shape_model(&arena, "qwen3-30b-a3b");
    struct kv_gpu_spec gpu = shape_gpu(&arena, "rtx-pro-6000");
    struct kv_compute_env env = {.model = &model, .gpu = &gpu, .tp = 1, .ranks = 16};
    void *state = kv_arena_take(&arena, ops()->state_bytes);
    struct kv_err err = {0};
    assert_false(ops()->open(state, plugin_defaults(&arena, &ops()->info), &env, &err));
    assert_int_equal(err.code, KV_ECALIB);
    assert_non_null(strstr(err.text, "an all-gather of 16 was not measured on rtx-pro-6000"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exchanges_are_as_measured_bit_for_bit), cmocka_unit_test(alone_it_is_a_step_beside_dummies),
        cmocka_unit_test(gpus_without_a_measured_exchange_are_refused),
    };
    return cmocka_run_group_tests_name("models/compute/table, ranks", tests, NULL, close_arena);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* roofline with its defaults against whole steps put together from measured layers: vLLM 0.19 on an RTX PRO
 * 6000 (groundtruth/profiles/vllm-0.19; how layers make a step: groundtruth/README.md). The profile played
 * no part in the defaults, which are medians over operator tables of five GPUs. Prints every error; the
 * bounds say how far a roofline may be trusted, not how good kvsim is (calibrated tables are). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <cmocka.h>

#include "sim/lib/kvsize.h"
#include "tests/models/plugin_params.h"
#include "tests/models/shape_file.h"
#include "tests/support/arena.h"

/* Calls fn(state, fields) for every data row of a gzipped CSV without quotes. */
static void each_row(const char *path, void (*fn)(void *state, char *const *field), void *state)
{
    gzFile file = gzopen(path, "rb");
    if (!file) fail_msg("cannot open %s", path);
    char line[512];
    gzgets(file, line, sizeof line);
    while (gzgets(file, line, sizeof line)) {
        char *field[8] = {0};
        int32_t n = 0;
        field[n++] = line;
        for (char *c = line; *c; c++) {
            if (*c != ',' && *c != '\n') continue;
            if (*c == ',' && n < 8) field[n++] = c + 1;
            *c = 0;
        }
        fn(state, field);
    }
    gzclose(file);
}

/* One profiled step: either one prompt of `chunk` new tokens after `cached`, or `count` decodes of `length`
 * tokens. */
struct step { int64_t chunk, cached, count, length; };
struct measured { struct step step; double layers, rest_us, layer_us, attention_us, experts_us; int32_t found; };

static int64_t tokens_of(const struct step *s)
{
    return s->chunk + s->count;
}

static void add_dense(void *state, char *const *f)
{
    static const struct { const char *layer; double times; bool once; } parts[] = {
        {"layernorm", 2, false}, {"qkv_proj", 1, false}, {"qk_norm", 1, false}, {"rotary_emb", 1, false},
        {"o_proj", 1, false}, {"gate_up_proj", 1, false}, {"act_fn", 1, false}, {"down_proj", 1, false},
        {"embedding", 1, true}, {"final_layernorm", 1, true},
    };
    struct measured *m = state;
    if (strtoll(f[1], NULL, 10) != tokens_of(&m->step)) return;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (strcmp(parts[i].layer, f[0]) != 0) continue;
        *(parts[i].once ? &m->rest_us : &m->layer_us) += parts[i].times * strtod(f[2], NULL);
        m->found++;
    }
}

static void add_head(void *state, char *const *f)
{
    struct measured *m = state;
    int64_t yields = m->step.count > 0 ? m->step.count : 1;
    if (strcmp(f[0], "lm_head") == 0 && strtoll(f[1], NULL, 10) == yields) m->rest_us += strtod(f[2], NULL);
}

static void add_attention(void *state, char *const *f)
{
    struct measured *m = state;
    const struct step *s = &m->step;
    int64_t at[4] = { s->chunk, s->cached, s->count, s->length };
    for (int32_t i = 0; i < 4; i++)
        if (strtoll(f[i], NULL, 10) != at[i]) return;
    m->attention_us = strtod(f[4], NULL);
}

/* The row whose number of experts is nearest to the expectation 128 * (1 - (1 - 8/128)^tokens). */
static void add_experts(void *state, char *const *f)
{
    struct measured *m = state;
    double expected = 128 * (1 - pow(1 - 8.0 / 128, (double)tokens_of(&m->step)));
    double experts = strtod(f[1], NULL), least = expected / 1.42, most = expected * 1.42;
    if (strtoll(f[0], NULL, 10) == tokens_of(&m->step) && experts >= least && experts <= most)
        m->experts_us = strtod(f[2], NULL) * (expected / experts);
}

static double measure_ms(const char *folder, const struct kv_model_shape *model, const struct step *step)
{
    struct measured m = { .step = *step };
    each_row(kv_arena_text(&arena, "%s/dense.csv.gz", folder), add_dense, &m);
    each_row(kv_arena_text(&arena, "%s/per_sequence.csv.gz", folder), add_head, &m);
    each_row(kv_arena_text(&arena, "%s/attention.csv.gz", folder), add_attention, &m);
    if (model->experts) each_row(kv_arena_text(&arena, "%s/moe.csv.gz", folder), add_experts, &m);
    if (m.found < 5 || m.attention_us <= 0 || m.rest_us <= 0 || (model->experts && m.experts_us <= 0))
        fail_msg("%s: step {%lld, %lld, %lld, %lld} is not in the profile", folder, (long long)step->chunk,
                 (long long)step->cached, (long long)step->count, (long long)step->length);
    return (m.rest_us + model->layers * (m.layer_us + m.attention_us + m.experts_us)) * 1e-3;
}

static double predict_ms(const struct kv_model_shape *model, const struct step *step)
{
    static const struct kv_plugin *plugin;
    if (!plugin) plugin = kv_plugin_find(KV_FAMILY_compute, "roofline");
    const struct kv_compute_ops *ops = kv_plugin_ops(compute, plugin);
    struct kv_gpu_spec gpu = shape_gpu(&arena, "rtx-pro-6000");
    struct kv_compute_env env = { .model = model, .gpu = &gpu, .tp = 1 };
    struct kv_err err = {0};
    void *state = kv_arena_take(&arena, ops->state_bytes);
    if (!ops->open(state, plugin_defaults(&arena, plugin->info), &env, &err)) fail_msg("%s", err.text);
    struct kv_chunk chunk = { step->chunk, step->cached, true };
    struct kv_batch batch = { .decode_count = step->count, .ctx_sum = step->count * step->length,
                              .ctx_max = step->length, .chunks = &chunk, .chunk_count = step->chunk > 0 };
    return (double)ops->price(state, &batch).first / (double)KV_COST_PER_NS * 1e-6;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void steps_are_near_those_measured_in_vllm(void **unused)
{
    (void)unused;
    static const struct { const char *model, *folder; } models[] = {
        {"llama-3.1-8b", "Llama-3.1-8B"}, {"qwen3-32b", "Qwen3-32B"},
        {"qwen3-30b-a3b", "Qwen3-30B-A3B-Instruct-2507"} };
    static const struct step steps[] = {
        {0, 0, 1, 1024}, {0, 0, 8, 1024}, {0, 0, 32, 1024}, {0, 0, 128, 1024}, {0, 0, 32, 16}, {0, 0, 32, 4096},
        {0, 0, 8, 16384}, {256, 0, 0, 0}, {1024, 0, 0, 0}, {2048, 0, 0, 0}, {2048, 4096, 0, 0}, {512, 8192, 0, 0} };
    enum { STEPS = sizeof steps / sizeof steps[0], MODELS = sizeof models / sizeof models[0] };
    const char *shared = getenv("KVSIM_SHARED") ? getenv("KVSIM_SHARED") : "../shared";
    double errors[STEPS * MODELS];
    size_t count = 0;
    for (size_t k = 0; k < MODELS; k++) {
        const char *folder = kv_arena_text(&arena, "%s/groundtruth/profiles/vllm-0.19/RTXPRO6000/%s/bf16/tp1", shared,
                                           models[k].folder);
        if (access(folder, R_OK) != 0) {
            printf("SKIP: %s is absent\n", folder);
            skip();
        }
        struct kv_model_shape model = shape_model(&arena, models[k].model);
        for (size_t i = 0; i < STEPS; i++) {
            const struct step *s = &steps[i];
            double real = measure_ms(folder, &model, s), simulated = predict_ms(&model, s);
            double error = simulated / real - 1;
            print_message("%-14s prefill %4lld after %4lld, decode %3lld x %5lld: %8.2f ms measured, %8.2f roofline, "
                          "%+5.1f %%\n", models[k].model, (long long)s->chunk, (long long)s->cached,
                          (long long)s->count, (long long)s->length, real, simulated, 100 * error);
            assert_true(fabs(error) < 0.4);
            errors[count++] = fabs(error);
        }
    }
    qsort(errors, count, sizeof errors[0], by_size);
    print_message("median |error| %.1f %%, largest %.1f %% of %zu steps\n", 100 * errors[count / 2],
                  100 * errors[count - 1], count);
    assert_true(errors[count / 2] < 0.08);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(steps_are_near_those_measured_in_vllm) };
    return cmocka_run_group_tests_name("roofline against vLLM", tests, NULL, close_arena);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* roofline against hand-computed cases and bounds. The GPU of the first tests does 1e15 flop/s and 1e12
 * byte/s, all efficiencies are 1 and all latencies 0, so a byte takes 1 ps and 1,000 flops take 1 ps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <math.h>
#include <string.h>
#include <cmocka.h>

#include "sim/lib/kvsize.h"
#include "tests/models/plugin_params.h"
#include "tests/models/shape_file.h"
#include "tests/support/arena.h"
#include "tests/support/near.h"

static const struct kv_gpu_spec plain_gpu = {
    .name = "plain", .memory_Bps = 1e12, .flops_bf16 = 1e15, .flops_fp8 = 2e15, .link_Bps = 1e11 };
static const struct kv_model_shape small = {
    .name = "small", .attention = KV_ATTENTION_GQA, .layers = 3, .hidden = 64, .heads = 8, .kv_heads = 2,
    .head_dim = 16, .intermediate = 256, .vocabulary = 1000, .dtype_bytes = 2, .kv_dtype_bytes = 2 };

static const struct kv_compute_ops *roofline(void)
{
    const struct kv_plugin *plugin = kv_plugin_find(KV_FAMILY_compute, "roofline");
    assert_non_null(plugin);
    return kv_plugin_ops(compute, plugin);
}

/* Every share 1, every latency `latency_s`; with `latency_s` < 0 the defaults. */
static void *open_model(const struct kv_model_shape *model, const struct kv_gpu_spec *gpu, int32_t tp,
                        double latency_s)
{
    const struct kv_plugin_info *info = &roofline()->info;
    char *params = plugin_defaults(&arena, info);
    for (const struct kv_param *row = info->params; row->key && latency_s >= 0; row++) {
        double value = row->dim == KV_DIM_TIME ? latency_s : 1;
        memcpy(params + row->offset, &value, sizeof value);
    }
    void *state = kv_arena_take(&arena, roofline()->state_bytes);
    struct kv_compute_env env = { .model = model, .gpu = gpu, .tp = tp };
    struct kv_err err = {0};
    if (!roofline()->open(state, params, &env, &err)) fail_msg("%s", err.text);
    return state;
}

static double seconds(kv_cost cost)
{
    return (double)cost / (double)KV_COST_PER_NS * 1e-9;
}

static double price_s(const void *state, const struct kv_batch *batch)
{
    return seconds(roofline()->price(state, batch).first);
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

/* Seconds of y[n, out] = x[n, in] w[in, out] on plain_gpu, in bf16. */
static double product_s(double n, double in, double out)
{
    return larger(2 * n * in * out / 1e15, (in * out + n * (in + out)) * 2 / 1e12);
}

/* small on plain_gpu, tp 1: products, element-wise traffic, final projection of `yields` rows. */
static double steady_s(double tokens, double yields)
{
    double layer = product_s(tokens, 64, (8 + 2 * 2) * 16) + product_s(tokens, 8 * 16, 64)
                   + product_s(tokens, 64, 2 * 256) + product_s(tokens, 256, 64)
                   + tokens * (2 * 4 * 64 + 3 * 256) * 2 / 1e12;
    return 3 * layer + tokens * 2 * 64 * 2 / 1e12 + (yields > 0 ? product_s(yields, 64, 1000) : 0);
}

static void a_decode_step_by_hand(void **unused)
{
    (void)unused;
    void *state = open_model(&small, &plain_gpu, 1, 0);
    struct kv_batch batch = { .decode_count = 4, .ctx_sum = 1000, .ctx_max = 400 };
    /* 1,004 tokens of 2 * 2 * 16 * 2 = 128 bytes, query and result of 8 * 16 elements each, 3 layers. */
    double attention = 3 * (1004 * 128 + 4 * 2 * 8 * 16 * 2) / 1e12;
    assert_close(price_s(state, &batch), steady_s(4, 4) + attention, 1e-6);
    struct kv_run run = roofline()->price(state, &batch);
    assert_close(seconds(run.slope), 3 * 4 * 128 / 1e12, 1e-6);
}

static void a_prefill_step_by_hand(void **unused)
{
    (void)unused;
    void *state = open_model(&small, &plain_gpu, 1, 0);
    struct kv_chunk chunk = { 4000, 1000, true };
    struct kv_batch batch = { .chunks = &chunk, .chunk_count = 1 };
    double pairs = 4000.0 * 1000 + 4000.0 * 4001 / 2;
    double compute = pairs * 4 * 8 * 16 / 1e15, memory = (5000 * 128.0 + 4000 * 2 * 8 * 16 * 2) / 1e12;
    assert_true(compute > memory);
    assert_close(price_s(state, &batch), steady_s(4000, 1) + 3 * compute, 1e-6);
    chunk.last = false;   /* nothing is sampled, so nothing is projected */
    assert_close(price_s(state, &batch), steady_s(4000, 0) + 3 * compute, 1e-6);
    chunk = (struct kv_chunk){ 2, 30000, false };   /* few queries: reading KV takes longer */
    assert_close(price_s(state, &batch), steady_s(2, 0) + 3 * (30002 * 128.0 + 2 * 2 * 8 * 16 * 2) / 1e12, 1e-6);
}

static void launches_are_counted(void **unused)
{
    (void)unused;
    struct kv_batch batch = { .decode_count = 1, .ctx_sum = 1, .ctx_max = 1 };
    double with = price_s(open_model(&small, &plain_gpu, 1, 1e-3), &batch);
    double without = price_s(open_model(&small, &plain_gpu, 1, 0), &batch);
    /* A layer: QKV, rotary, attention, output, 2 norms, gate and up, activation, down; a step: embedding,
     * final norm, final projection. */
    assert_close(with - without, (3 * 9 + 3) * 1e-3, 1e-9);
    double on_two = price_s(open_model(&small, &plain_gpu, 2, 1e-3), &batch)
                    - price_s(open_model(&small, &plain_gpu, 2, 0), &batch);
    assert_close(on_two, (3 * 9 + 3 + 2 * 3 + 1 + 1) * 1e-3, 1e-9);   /* all-reduces, gathered logits */
}

/* Whatever else a decode step does, it reads the weights and the KV once. */
static void decode_is_bounded_by_weights_and_kv(void **unused)
{
    (void)unused;
    struct kv_model_shape model = shape_model(&arena, "llama-3.1-8b");
    struct kv_gpu_spec gpu = shape_gpu(&arena, "h100-sxm");
    void *state = open_model(&model, &gpu, 1, 0), *real = open_model(&model, &gpu, 1, -1);
    for (int64_t n = 1; n <= 256; n *= 2) {
        struct kv_batch batch = { .decode_count = n, .ctx_sum = 1000 * n, .ctx_max = 1000 };
        double embedding = (double)model.vocabulary * model.hidden * 2;   /* a row each, not all of it */
        double bytes = (double)kv_weight_bytes(&model) - embedding
                       + 1000.0 * (double)n * (double)kv_bytes_per_token_per_gpu(&model, 1);
        double bound = bytes / gpu.memory_Bps;
        assert_true(price_s(state, &batch) > bound);
        if (n <= 64) assert_true(price_s(state, &batch) < 1.05 * bound);   /* and nearly nothing else */
        assert_true(price_s(real, &batch) > price_s(state, &batch));
        assert_true(price_s(real, &batch) < 1.5 * price_s(state, &batch));
    }
}

static void two_gpus_with_a_free_link_take_half(void **unused)
{
    (void)unused;
    struct kv_model_shape model = shape_model(&arena, "llama-3.1-8b");
    struct kv_gpu_spec gpu = plain_gpu;
    gpu.memory_Bps = 1e13;   /* leaves little time to the norms, which are not divided */
    gpu.link_Bps = 1e30;
    struct kv_chunk chunk = { 8000, 0, false };
    struct kv_batch prefill = { .chunks = &chunk, .chunk_count = 1 };
    struct kv_batch decode = { .decode_count = 8, .ctx_sum = 80000, .ctx_max = 10000 };
    void *one = open_model(&model, &gpu, 1, 0), *two = open_model(&model, &gpu, 2, 0);
    assert_close(price_s(two, &prefill), price_s(one, &prefill) / 2, 0.02);
    assert_close(price_s(two, &decode), price_s(one, &decode) / 2, 0.01);

    gpu.link_Bps = 1e11;   /* ring all-reduce of 8,000 * 4,096 bf16 elements, 2 a layer and the embedding's */
    void *slow = open_model(&model, &gpu, 2, 0);
    double moved = 65 * 2 * 0.5 * 8000.0 * 4096 * 2;
    assert_close(price_s(slow, &prefill) - price_s(two, &prefill), moved / 1e11, 1e-6);
}

static void replicated_kv_heads_are_read_by_every_gpu(void **unused)
{
    (void)unused;
    struct kv_run run[3];
    for (int32_t i = 0; i < 3; i++) {
        void *state = open_model(&small, &plain_gpu, 2 << i, 0);   /* 2 KV heads on 2, 4 and 8 GPUs */
        struct kv_batch batch = { .decode_count = 1, .ctx_sum = 100, .ctx_max = 100 };
        run[i] = roofline()->price(state, &batch);
    }
    assert_true(run[0].slope == run[1].slope && run[1].slope == run[2].slope);
}

static void distinct_experts_follow_the_expectation(void **unused)
{
    (void)unused;
    struct kv_model_shape moe = small;
    moe.experts = 16;
    moe.experts_per_token = 2;
    moe.expert_intermediate = 4096;
    void *state = open_model(&moe, &plain_gpu, 1, 0);
    /* Weights dominate: differences of steps are differences of distinct experts. */
    double expert = 3 * 3.0 * 64 * 4096 * 2 / 1e12, cost[4];
    int64_t tokens[4] = { 1, 2, 3, 2000 };
    for (int32_t i = 0; i < 4; i++) {
        struct kv_batch batch = { .decode_count = tokens[i], .ctx_sum = 1, .ctx_max = 1 };
        cost[i] = price_s(state, &batch) / expert;
    }
    assert_true(cost[0] > 2 && cost[0] < 2.2);                 /* exactly k for one token */
    assert_close(cost[1] - cost[0], 2 * (1 - 2.0 / 16), 0.05);  /* the second meets them with chance k/E */
    assert_close(cost[2] - cost[1], 2 * (1 - 2.0 / 16) * (1 - 2.0 / 16), 0.05);
    assert_true(cost[3] > 16);
}

static void fp8_weights_halve_the_reading_and_double_the_peak(void **unused)
{
    (void)unused;
    struct kv_model_shape model = shape_model(&arena, "llama-3.1-8b"), quantised = model;
    quantised.dtype_bytes = 1;
    struct kv_chunk chunk = { 8192, 0, false };
    struct kv_batch prefill = { .chunks = &chunk, .chunk_count = 1 }, decode = { .decode_count = 1 };
    void *wide = open_model(&model, &plain_gpu, 1, 0), *narrow = open_model(&quantised, &plain_gpu, 1, 0);
    assert_close(price_s(narrow, &decode) / price_s(wide, &decode), 0.535, 0.01);   /* the vocabulary stays bf16 */
    /* 8,192 tokens make the products compute bound; attention and element-wise traffic stay as they are. */
    double products = 2 * 8192.0 * 32 * (4096.0 * 6144 + 4096 * 4096 + 3 * 4096.0 * 14336) / 1e15;
    assert_close(price_s(wide, &prefill) - price_s(narrow, &prefill), products / 2, 0.01);
    struct kv_gpu_spec old = plain_gpu;
    old.flops_fp8 = 0;
    assert_close(price_s(open_model(&quantised, &old, 1, 0), &prefill), price_s(wide, &prefill), 0.001);
}

/* Latent attention does 2 * heads * (2 * latent + rope) flops for (latent + rope) * 2 bytes: 242 a byte
 * with 128 heads. A GPU of 200 flops a byte is memory bound while reading queries weighs in, then compute
 * bound. */
static void latent_attention_crosses_to_compute_bound_exactly_once(void **unused)
{
    (void)unused;
    struct kv_model_shape model = shape_model(&arena, "deepseek-v3");
    struct kv_gpu_spec gpu = plain_gpu;
    gpu.flops_bf16 = 200e12;
    void *state = open_model(&model, &gpu, 1, 0);
    struct kv_batch batch = { .decode_count = 10 };
    struct kv_run run = roofline()->price(state, &batch);
    /* n KV tokens: memory (n * 1152 + 278528) / 1e12 = compute n * 278528 / 200e12 */
    double crossing = 278528 / (278528 / 200.0 - 1152);
    assert_close((double)run.steps, crossing, 0.01);
    struct kv_batch last = batch, next = batch;
    last.ctx_sum += 10 * (run.steps - 1);
    next.ctx_sum += 10 * run.steps;
    struct kv_run after = roofline()->price(state, &next);
    assert_true(roofline()->price(state, &last).first == run.first + (run.steps - 1) * run.slope);
    assert_true(after.first > run.first + run.steps * run.slope);
    assert_true(after.slope > run.slope);
    assert_true(after.steps > INT64_C(1) << 40);
}

static void impossible_splits_are_refused(void **unused)
{
    (void)unused;
    struct kv_model_shape model = shape_model(&arena, "qwen2.5-7b");   /* 28 heads, 4 KV heads */
    void *params = plugin_defaults(&arena, &roofline()->info);
    struct kv_gpu_spec unlinked = plain_gpu;
    unlinked.link_Bps = 0;
    const struct { struct kv_compute_env env; const char *text; } cases[] = {
        { { .model = &model, .gpu = &plain_gpu, .tp = 8 }, "28 attention heads" },
        { { .model = &model, .gpu = &plain_gpu, .tp = 7 }, "4 KV heads" },
        { { .model = &model, .gpu = &unlinked, .tp = 2 }, "link_bandwidth" },
        { { .model = &model, .gpu = NULL, .tp = 1 }, "GPU" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct kv_err err = {0};
        void *state = kv_arena_take(&arena, roofline()->state_bytes);
        assert_false(roofline()->open(state, params, &cases[i].env, &err));
        assert_int_equal(err.code, KV_ECONFIG);
        assert_non_null(strstr(err.text, cases[i].text));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_decode_step_by_hand),
        cmocka_unit_test(a_prefill_step_by_hand),
        cmocka_unit_test(launches_are_counted),
        cmocka_unit_test(decode_is_bounded_by_weights_and_kv),
        cmocka_unit_test(two_gpus_with_a_free_link_take_half),
        cmocka_unit_test(replicated_kv_heads_are_read_by_every_gpu),
        cmocka_unit_test(distinct_experts_follow_the_expectation),
        cmocka_unit_test(fp8_weights_halve_the_reading_and_double_the_peak),
        cmocka_unit_test(latent_attention_crosses_to_compute_bound_exactly_once),
        cmocka_unit_test(impossible_splits_are_refused),
    };
    return cmocka_run_group_tests_name("models/compute/roofline", tests, NULL, close_arena);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The contract of sim/iface/compute.h, held by every registered compute model over shapes, GPUs,
 * tensor-parallel degrees, random parameters and random batches: a run equals its steps, one by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "tests/models/plugin_params.h"
#include "tests/models/shape_file.h"
#include "tests/support/arena.h"

static const struct { const char *model, *gpu; int32_t tp; } setups[] = {
    {"llama-3.1-8b", "h100-sxm", 1}, {"llama-2-7b", "a100-sxm", 1}, {"llama-3.1-70b", "h200-sxm", 4},
    {"qwen3-30b-a3b", "rtx-pro-6000", 2}, {"mixtral-8x7b", "l40s", 16}, {"deepseek-v3", "h200-sxm", 8},
    {"deepseek-v3", "h200-sxm", 1}, {"deepseek-v2-lite", "l40s", 1}, {"llama-3.1-8b", "rtx-pro-6000", 1},
    {"qwen3-32b", "rtx-pro-6000", 1}, {"qwen3-30b-a3b", "rtx-pro-6000", 1}, {"llama-3.1-8b", "rtx-4090", 1},
};
#define SETUPS (int32_t)(sizeof setups / sizeof setups[0])
#define DRAWS 6   /* of parameters, for each setup */

struct subject {
    const struct kv_compute_ops *ops;
    void *state;
    struct kv_compute_env env;
    struct kv_model_shape model;
    struct kv_gpu_spec gpu;
};

/* Defaults, then anything within range: times up to 1 ms, shares from 5 % up. */
static void *random_params(const struct kv_plugin_info *info, uint64_t *seed)
{
    char *params = plugin_defaults(&arena, info);
    for (const struct kv_param *row = info->params; row && row->key; row++) {
        double share = (double)draw_below(seed, 1 << 20) / (1 << 20);
        double max = row->max > 0 && row->max < 1e-3 ? row->max : 1e-3;
        double value = row->dim == KV_DIM_TIME ? max * share * share : 0.05 + 0.95 * share;
        if (row->dim == KV_DIM_TIME || row->dim == KV_DIM_FRACTION)
            memcpy(params + row->offset, &value, sizeof value);
    }
    return params;
}

/* Calls `body` for every compute model, setup and draw of parameters. */
static void for_all(void (*body)(const struct subject *s, uint64_t *seed))
{
    int32_t count, tested = 0;
    const struct kv_plugin *plugins = kv_plugins(&count);
    for (int32_t p = 0; p < count; p++) {
        if (plugins[p].family != KV_FAMILY_compute) continue;
        int32_t opened = 0;
        for (int32_t i = 0; i < SETUPS * DRAWS; i++) {
            uint64_t seed = (uint64_t)(1000 * p + i);
            int32_t setup = i / DRAWS;
            struct subject s = { .ops = kv_plugin_ops(compute, &plugins[p]),
                                 .model = shape_model(&arena, setups[setup].model),
                                 .gpu = shape_gpu(&arena, setups[setup].gpu) };
            s.env = (struct kv_compute_env){ .model = &s.model, .gpu = &s.gpu, .tp = setups[setup].tp };
            s.state = kv_arena_take(&arena, s.ops->state_bytes + 1);
            struct kv_err err = {0};
            bool open = s.ops->open(s.state, random_params(plugins[p].info, &seed), &s.env, &err);
            if (!open && err.code == KV_ECALIB) continue;   /* needs measurements of this setup, and has none */
            if (!open)
                fail_msg("%s on %s: %s", plugins[p].name, setups[setup].model, err.text);
            body(&s, &seed);
            opened++;
        }
        if (opened == 0) fail_msg("%s opened in no setup", plugins[p].name);
        tested++;
    }
    assert_true(tested >= 2);
}

static struct kv_batch random_decodes(uint64_t *seed)
{
    struct kv_batch b = { .decode_count = 1 + draw_below(seed, 1 << draw_below(seed, 10)) };
    int64_t longest = (int64_t)1 << draw_below(seed, 18);
    for (int64_t i = 0; i < b.decode_count; i++) {
        int64_t ctx = draw_below(seed, longest + 1);
        b.ctx_sum += ctx;
        b.ctx_sq_sum += (kv_cost)ctx * ctx;
        if (ctx > b.ctx_max) b.ctx_max = ctx;
    }
    return b;
}

/* The batch `steps` tokens later. */
static struct kv_batch grown(struct kv_batch b, int64_t steps)
{
    b.ctx_sq_sum += (kv_cost)2 * steps * b.ctx_sum + (kv_cost)steps * steps * b.decode_count;
    b.ctx_sum += steps * b.decode_count;
    b.ctx_max += steps;
    return b;
}

/* cmocka compares 64 bits only. */
static void assert_cost_equal(kv_cost a, kv_cost b)
{
    if (a != b) fail_msg("costs differ by %.0f units of %.0f", (double)(a - b), (double)b);
}

static int64_t knots;   /* runs that ended */

static void check_run(const struct subject *s, uint64_t *seed)
{
    for (int32_t n = 0; n < 100; n++) {
        struct kv_batch batch = random_decodes(seed);
        struct kv_run run = s->ops->price(s->state, &batch);
        assert_true(run.first >= 1);
        assert_true(run.slope >= 0);
        assert_true(run.steps >= 1);
        knots += run.steps < 1000000;
        int64_t reach = run.steps < 1000000 ? run.steps : 1000000;
        int64_t at[] = { 0, 1, 2, reach / 2, draw_below(seed, reach), draw_below(seed, reach), reach - 1 };
        for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
            if (at[i] >= run.steps) continue;
            struct kv_batch later = grown(batch, at[i]);
            struct kv_run again = s->ops->price(s->state, &later);
            assert_cost_equal(run.first + at[i] * run.slope, again.first);
            if (s->ops->outside)
                assert_int_equal(s->ops->outside(s->state, &later), s->ops->outside(s->state, &batch));
        }
    }
}

static void the_cost_of_step_i_is_first_plus_i_slope(void **unused)
{
    (void)unused;
    knots = 0;
    for_all(check_run);
    print_message("%lld runs end at a knot\n", (long long)knots);
    assert_true(knots > 50);   /* the MLA setups cross from memory to compute bound */
}

/* 4,000 steps from an empty cache on, through any knot, jumping run by run and stepping one by one. */
static void check_walk(const struct subject *s, uint64_t *seed)
{
    struct kv_batch batch = { .decode_count = 1 + draw_below(seed, 200) };
    kv_cost single = 0, jumped = 0;
    for (int64_t i = 0; i < 4000; i++) {
        struct kv_batch later = grown(batch, i);
        single += s->ops->price(s->state, &later).first;
    }
    for (int64_t i = 0; i < 4000;) {
        struct kv_batch later = grown(batch, i);
        struct kv_run run = s->ops->price(s->state, &later);
        kv_cost k = run.steps < 4000 - i ? run.steps : 4000 - i;
        jumped += k * run.first + k * (k - 1) / 2 * run.slope;
        i += (int64_t)k;
    }
    assert_cost_equal(jumped, single);
}

static void a_walk_by_runs_costs_what_single_steps_cost(void **unused)
{
    (void)unused;
    for_all(check_walk);
}

static void check_chunks(const struct subject *s, uint64_t *seed)
{
    for (int32_t n = 0; n < 60; n++) {
        struct kv_batch batch = draw_below(seed, 2) ? random_decodes(seed) : (struct kv_batch){0};
        struct kv_chunk chunks[9];
        batch.chunk_count = 1 + (int32_t)draw_below(seed, 8);
        batch.chunks = chunks;
        for (int32_t i = 0; i < 9; i++)
            chunks[i] = (struct kv_chunk){ 2 + draw_below(seed, 8192), draw_below(seed, 131072),
                                           draw_below(seed, 2) };
        struct kv_run run = s->ops->price(s->state, &batch);
        assert_true(run.first >= 1);
        assert_int_equal(run.steps, 1);

        struct kv_batch more = batch;   /* one more chunk, token, cached token, yield, decode: never cheaper */
        more.chunk_count++;
        assert_true(s->ops->price(s->state, &more).first >= run.first);
        more = batch;
        more.decode_count++;
        more.ctx_sum += batch.ctx_max;
        assert_true(s->ops->price(s->state, &more).first >= run.first);
        int32_t which = (int32_t)draw_below(seed, batch.chunk_count);
        chunks[which].new_tokens++;
        kv_cost longer = s->ops->price(s->state, &batch).first;
        assert_true(longer >= run.first);
        chunks[which].ctx_tokens++;
        assert_true(s->ops->price(s->state, &batch).first >= longer);
    }
}

static void prefill_is_one_step_and_more_work_is_never_cheaper(void **unused)
{
    (void)unused;
    for_all(check_chunks);
}

static void check_purity(const struct subject *s, uint64_t *seed)
{
    char *copy = kv_arena_take(&arena, s->ops->state_bytes + 1);
    memcpy(copy, s->state, s->ops->state_bytes);
    struct kv_batch first = random_decodes(seed);
    kv_cost cost = s->ops->price(s->state, &first).first;
    for (int32_t i = 0; i < 100; i++) {
        struct kv_batch other = random_decodes(seed);
        s->ops->price(s->state, &other);
        assert_cost_equal(s->ops->price(s->state, &first).first, cost);
    }
    assert_memory_equal(copy, s->state, s->ops->state_bytes);
}

static void pricing_has_no_memory(void **unused)
{
    (void)unused;
    for_all(check_purity);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cost_of_step_i_is_first_plus_i_slope),
        cmocka_unit_test(a_walk_by_runs_costs_what_single_steps_cost),
        cmocka_unit_test(prefill_is_one_step_and_more_work_is_never_cheaper),
        cmocka_unit_test(pricing_has_no_memory),
    };
    return cmocka_run_group_tests_name("models/compute contract", tests, NULL, close_arena);
}

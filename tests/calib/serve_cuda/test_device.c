/* SPDX-License-Identifier: Apache-2.0 */
/* The CUDA device of calib/serve_cuda on the CPU: all of it but kernels and products, which float64 references stand in
 * for. What it says of each token is compared with one plain pass in double precision over the same weights. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "calib/serve/loop.h"
#include "calib/serve_cuda/gpu.h"
#include "tests/calib/serve/plain.h"
#include "tests/calib/serve/scenarios.h"
#include "tests/calib/serve_cuda/stand_in.h"

/* Eight bits of a number are left after each operator; a page or a row too far is an error of about 1. */
#define MEAN_MOST 0.03
#define WORST_MOST 0.25

/* ---- the same weights in double precision ---- */

static double *widened(struct kv_arena *arena, const kv_bf16 *w, int64_t count)
{
    double *to = kv_arena_take(arena, (size_t)count * sizeof *to);
    for (int64_t i = 0; i < count; i++) to[i] = kv_bf16_value(w[i]);
    return to;
}

static void widen(struct kv_llama *m, const struct kv_gpu *g, struct kv_arena *arena)
{
    const struct kv_model_shape *s = g->shape;
    int64_t h = s->hidden, wide = s->intermediate;
    *m = (struct kv_llama){ .shape = s, .layer = kv_arena_take(arena, (size_t)s->layers * sizeof *m->layer),
                            .embedding = widened(arena, g->embedding, s->vocabulary * h),
                            .norm = widened(arena, g->norm, h), .head = widened(arena, g->head, s->vocabulary * h) };
    for (int32_t l = 0; l < s->layers; l++) {
        const struct kv_gpu_layer *w = &g->layer[l];
        m->layer[l] = (struct kv_llama_layer){
            .norm = widened(arena, w->norm, h), .mlp_norm = widened(arena, w->mlp_norm, h),
            .qkv = widened(arena, w->qkv, g->qkv_wide * h), .out = widened(arena, w->out, h * g->heads_wide),
            .gate_up = widened(arena, w->gate_up, 2 * wide * h), .down = widened(arena, w->down, h * wide),
        };
    }
}

/* ---- the loop, looked at ---- */

struct seen {
    struct kv_gpu *gpu;
    struct kv_llama model;
    struct kv_arena arena;
    double **plain;
    double sum, worst;
    int64_t compared, chunks, decodes, hits, loads, layered, preempted;
};

static void compare(struct seen *seen, const struct kv_loop_member *m, const kv_bf16 *found, int32_t token)
{
    int64_t which = m->request->index;
    const struct kv_request *r = m->request;
    double wanted[61];
    int32_t best = 0;
    if (!seen->plain[which])
        seen->plain[which] = test_plain_pass(&seen->model, r, seen->gpu->block_tokens,
                                             r->input_tokens + r->output_tokens - 1, &seen->arena);
    test_plain_logits(&seen->model, seen->plain[which], m->ctx_tokens + m->new_tokens - 1, wanted);
    for (int32_t i = 0; i < test_tiny.vocabulary; i++) {
        double difference = fabs(kv_bf16_value(found[i]) - wanted[i]);
        if (!(difference < WORST_MOST))
            fail_msg("request %lld, behind %d + %d tokens, logit %d: %g, plainly %g", (long long)which, m->ctx_tokens,
                     m->new_tokens, i, kv_bf16_value(found[i]), wanted[i]);
        seen->worst = fmax(seen->worst, difference);
        seen->sum += difference;
        if (kv_bf16_value(found[i]) > kv_bf16_value(found[best])) best = i;
    }
    assert_int_equal(token, best);
    seen->compared++;
}

static bool look(void *state, const struct kv_loop *loop, const struct kv_loop_batch *batch,
                 const struct kv_loop_step *step, struct kv_err *err)
{
    struct seen *seen = state;
    int64_t row = 0;
    (void)loop, (void)err;
    seen->layered += step->layer != NULL;
    for (int32_t l = 0; step->layer && l < test_tiny.layers; l++) {
        assert_true(step->layer[l].end_tk >= step->layer[l].begin_tk);
        assert_true(step->layer[l].begin_tk >= step->layer[l].loaded_tk);
    }
    assert_true(step->begin_tk <= step->end_tk);
    for (int32_t pass = 0; pass < 2; pass++)
        for (int32_t i = 0; i < batch->count; i++) {
            const struct kv_loop_member *m = &batch->member[i];
            if ((m->new_tokens > 1) != (pass == 0)) continue;
            *(pass == 0 ? &seen->chunks : &seen->decodes) += 1;
            if (m->yields) compare(seen, m, seen->gpu->logits + row++ * test_tiny.vocabulary, step->token[i]);
            else assert_int_equal(step->token[i], -1);
        }
    return true;
}

static void run_one(struct kv_random_scenario *s, struct seen *total)
{
    struct seen seen = {0};
    struct kv_err err = {0};
    struct kv_loop loop;
    struct kv_arena arena = {0};
    struct test_array source = { s->requests, s->count, 0 };
    const char *about;
    bool complete = false;
    seen.plain = kv_arena_take(&seen.arena, (size_t)s->count * sizeof *seen.plain);
    assert_true(kv_loop_open(&loop, &s->config, test_next, &source, &arena, &err));
    struct kv_loop_cuda_options o = { .config = &s->config, .slots = loop.slot_count, .seed = s->number,
                                      .warm_up = s->number % 4 == 0 };
    kv_loop_longest(&loop, &o.longest_tokens, &o.fill_tokens);
    if (!kv_loop_cuda_open(&loop.device, &o, &about, &arena, &err)) fail_msg("%s: %s", s->text, err.text);
    seen.gpu = loop.device.state;
    widen(&seen.model, seen.gpu, &seen.arena);
    loop.sink = (struct kv_loop_sink){ &seen, look, NULL };
    if (!kv_loop_fill(&loop, &err) || !kv_loop_run(&loop, &complete, &err)) fail_msg("%s: %s", s->text, err.text);
    assert_true(complete);
    for (uint32_t i = 0; i < loop.seq_count; i++) total->hits += loop.seq[i].hbm_tokens;
    total->loads += loop.stats.loads;
    total->preempted += loop.stats.preemptions;
    total->compared += seen.compared;
    total->chunks += seen.chunks;
    total->decodes += seen.decodes;
    total->layered += seen.layered;
    total->sum += seen.sum;
    total->worst = fmax(total->worst, seen.worst);
    loop.device.ops->close(loop.device.state);
    kv_loop_close(&loop);
    kv_arena_close(&arena);
    kv_arena_close(&seen.arena);
    kv_vec_close(&world.late);
    world.done = 0;
}

/* Time is real here: arrivals follow each other within milliseconds. */
static void hasten(struct kv_random_scenario *s)
{
    int64_t last_ns = s->requests[s->count - 1].arrival_ns + 1;
    for (int64_t i = 0; i < s->count; i++)
        s->requests[i].arrival_ns = (int64_t)((double)s->requests[i].arrival_ns / (double)last_ns * 2e7);
}

static void run_some(bool host_memory, int64_t tokens, struct seen *total)
{
    for (uint64_t number = 7000; tokens > 0; number++) {
        struct kv_random_scenario s;
        kv_random_scenario_draw(&s, number);
        s.count = s.count < 30 ? s.count : 30;
        int64_t all = test_tokens_of(&s);
        s.model = test_tiny;
        test_one_instance(&s);
        if (host_memory) test_add_host_memory(&s, number);
        s.config.hbm_blocks = test_tight(&s);
        if (host_memory && number % 2) {   /* who joins at once waits for each layer in the step */
            s.config.fetch.mode = KV_DELIVERY_LAYERWISE;
            s.config.fetch.release_after_layers = 0;
        }
        if (host_memory && number % 3 == 0) {   /* host memory is filled by several chunks */
            struct kv_engine_config *e = &s.config.engine;
            e->chunked_prefill = true;
            e->max_num_batched_tokens = e->max_num_seqs > 12 ? e->max_num_seqs : 12;
        }
        hasten(&s);
        if (all < 1500 && (!host_memory || test_loaders_of(&s) > 4)) {
            run_one(&s, total);
            tokens -= all;
        }
        kv_random_scenario_close(&s);
    }
    double mean = total->sum / (double)(total->compared * test_tiny.vocabulary);
    print_message("%lld tokens compared, %lld chunks, %lld decodes, %lld hits, %lld loads, %lld steps with layers, "
                  "%lld waits, %lld preemptions, mean difference %.4f, worst %.3f\n", (long long)total->compared,
                  (long long)total->chunks, (long long)total->decodes, (long long)total->hits, (long long)total->loads,
                  (long long)total->layered, (long long)world.waited, (long long)total->preempted, mean, total->worst);
    assert_true(mean < MEAN_MOST);
}

static void rows_tables_and_pages_are_those_of_the_batch(void **state)
{
    struct seen total = {0};
    (void)state;
    run_some(false, 2600, &total);
    assert_true(total.compared > 800 && total.chunks > 30 && total.decodes > 500);
    assert_true(total.hits > 50 && total.preempted > 20);
}

static void a_layer_is_computed_behind_its_load(void **state)
{
    struct seen total = {0};
    (void)state;
    world.waited = 0;
    run_some(true, 3500, &total);
    assert_true(total.compared > 500 && total.loads > 10 && total.layered > 5 && world.waited > 2);
}

static void what_does_not_fit_is_refused_with_what_would(void **state)
{
    struct kv_random_scenario s;
    struct kv_loop_device device;
    struct kv_arena arena = {0};
    struct kv_err err = {0};
    const char *about;
    (void)state;
    kv_random_scenario_draw(&s, 1);
    s.model = test_tiny;
    test_one_instance(&s);
    s.config.engine.block_tokens = 16;
    s.config.hbm_blocks = 30000;   /* of 4 KiB: 117 MiB; of 600, 512 are left to the libraries */
    struct kv_loop_cuda_options o = { .config = &s.config, .longest_tokens = 1000 };
    world.free_bytes = INT64_C(600) << 20;
    assert_false(kv_loop_cuda_open(&device, &o, &about, &arena, &err));
    assert_int_equal(err.code, KV_ENOHW);
    assert_non_null(strstr(err.text, "blocks fit: tiers[0].num_gpu_blocks="));
    device.ops->close(device.state);
    long long fits = atoll(strstr(err.text, "num_gpu_blocks=") + strlen("num_gpu_blocks="));
    assert_true(fits > 20000 && fits < 22600);
    s.config.hbm_blocks = fits;
    if (!kv_loop_cuda_open(&device, &o, &about, &arena, &err)) fail_msg("%s", err.text);
    device.ops->close(device.state);
    s.config.hbm_blocks = fits + 1;
    assert_false(kv_loop_cuda_open(&device, &o, &about, &arena, &err));
    device.ops->close(device.state);
    world.free_bytes = INT64_C(1) << 30;
    kv_random_scenario_close(&s);
    kv_arena_close(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_tables_and_pages_are_those_of_the_batch),
        cmocka_unit_test(a_layer_is_computed_behind_its_load),
        cmocka_unit_test(what_does_not_fit_is_refused_with_what_would),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The loop over a device that is a clock, against kvsim's engine, request by request and to the tick. Both follow
 * docs/engine.md and docs/tiers.md, and share no code but keys, prices and rates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "calib/serve/clock.h"
#include "calib/serve/loop.h"
#include "tests/calib/serve/scenarios.h"
#include "tests/support/fast_run.h"

/* What was met, so that no test passes because nothing happened. */
struct met {
    int64_t runs, requests, preemptions, rejected, failed, hit_tokens, loads, load_waits, host_tokens, chunks;
};

/* Of a run: begin and end of each layer of each step that waited for loads, step after step. */
struct watched { struct met *met; KV_VEC(kv_tick) instant; };

static bool look(void *state, const struct kv_loop *loop, const struct kv_loop_batch *batch,
                 const struct kv_loop_step *step, struct kv_err *err)
{
    struct watched *w = state;
    struct met *met = w->met;
    (void)err;
    for (int32_t i = 0; i < batch->count; i++)
        met->chunks += batch->member[i].new_tokens > 1 && !batch->member[i].yields;
    met->load_waits += step->layer != NULL;
    for (int32_t l = 0; step->layer && l < loop->config->compute_env.model->layers; l++) {
        kv_vec_push(&w->instant, step->layer[l].begin_tk);
        kv_vec_push(&w->instant, step->layer[l].end_tk);
    }
    return true;
}

static bool same_layers(const struct kv_layers_record *r, const kv_tick *instant)
{
    for (int32_t l = 0; l < r->layers; l++)
        if (r->compute_start_tk[l] != instant[2 * l] || r->compute_end_tk[l] != instant[2 * l + 1]) return false;
    return true;
}

/* kvsim tells of each member that waited, the loop of each step: one or more records a step, in order (T41). */
static void compare_layers(const struct watched *w, const struct kv_fast_run *run, const char *text)
{
    size_t at = 0, step = 0;
    for (size_t i = 0; i < run->told.layers.count; i++) {
        const struct kv_layers_record *r = &run->told.layers.at[i];
        step = 2 * (size_t)r->layers;
        if (i > 0 && !same_layers(r, w->instant.at + at)) at += step;
        if (at + step > w->instant.count || !same_layers(r, w->instant.at + at))
            fail_msg("%s\nlayers of request %lld begin at other instants", text, (long long)r->request);
    }
    assert_int_equal(w->instant.count, at + step);
}

static void compare(const struct kv_loop *loop, const struct kv_fast_run *run, const char *text, struct met *met)
{
    for (uint32_t i = 0; i < loop->seq_count; i++) {
        const struct kv_loop_seq *s = &loop->seq[i];
        const struct kv_record *r = &run->records[i];
        if (s->status != r->status || s->first_sched_tk != r->first_sched_tk || s->first_token_tk != r->first_token_tk
            || s->finish_tk != r->finish_tk || s->preemptions != r->preemptions
            || (r->first_sched_tk >= 0 && s->hbm_tokens != r->prompt_tokens_by_source[0])
            || (r->first_sched_tk >= 0 && loop->slot_count && s->host_tokens != r->prompt_tokens_by_source[1]))
            fail_msg("%s\nrequest %u: loop: status %d, %lld, %lld, %lld, %d preemptions, hits %d + %d\n"
                     "kvsim: status %d, %lld, %lld, %lld, %d, %d + %d", text, i, s->status,
                     (long long)s->first_sched_tk, (long long)s->first_token_tk, (long long)s->finish_tk,
                     s->preemptions, s->hbm_tokens, s->host_tokens, r->status, (long long)r->first_sched_tk,
                     (long long)r->first_token_tk, (long long)r->finish_tk, r->preemptions,
                     r->prompt_tokens_by_source[0], r->prompt_tokens_by_source[1]);
        met->requests++;
        met->preemptions += s->preemptions;
        met->rejected += s->status == KV_STATUS_REJECTED;
        met->failed += s->status == KV_STATUS_FAILED;
        met->hit_tokens += s->hbm_tokens;
        met->host_tokens += s->host_tokens;
    }
    assert_int_equal(loop->stats.steps, run->counters.steps);
    assert_int_equal(loop->stats.prefill_tokens, run->counters.prefill_tokens);
    assert_int_equal(loop->pool.evicted, run->counters.blocks_evicted);
    met->loads += loop->stats.loads;
    met->runs++;
}

static void run_both(struct kv_random_scenario *s, struct met *met)
{
    struct kv_err err = {0};
    struct kv_fast_run run;
    struct kv_loop loop;
    struct kv_loop_clock clock;
    struct kv_arena arena = {0};
    struct test_array source = { s->requests, s->count, 0 };
    struct watched watched = { .met = met };
    bool complete = false;
    if (!kv_fast_run(&run, &s->config, s->requests, s->count, NULL, &err)) fail_msg("%s: %s", s->text, err.text);
    if (!kv_loop_open(&loop, &s->config, test_next, &source, &arena, &err)
        || !kv_loop_clock_open(&clock, &s->config, &arena, &err)) fail_msg("%s: %s", s->text, err.text);
    loop.device = (struct kv_loop_device){ &clock, &kv_loop_clock_ops };
    loop.sink = (struct kv_loop_sink){ &watched, look, NULL };
    if (!kv_loop_fill(&loop, &err) || !kv_loop_run(&loop, &complete, &err)) fail_msg("%s: %s", s->text, err.text);
    assert_true(complete);
    compare(&loop, &run, s->text, met);
    compare_layers(&watched, &run, s->text);
    kv_vec_close(&watched.instant);
    kv_loop_close(&loop);
    kv_loop_clock_close(&clock);
    kv_fast_run_close(&run);
    kv_arena_close(&arena);
}

static void each_request_is_served_as_kvsim_says_to_the_tick(void **state)
{
    struct met met = {0};
    (void)state;
    for (uint64_t number = 0; number < 400; number++) {
        struct kv_random_scenario s;
        kv_random_scenario_draw(&s, number);
        test_one_instance(&s);
        s.config.engine.async_scheduling = false;   /* which with host memory changes no more than the overhead */
        run_both(&s, &met);
        kv_random_scenario_close(&s);
    }
    assert_int_equal(met.runs, 400);
    print_message("%lld requests, %lld preemptions, %lld rejected, %lld failed, %lld hit, %lld chunks\n",
                  (long long)met.requests, (long long)met.preemptions, (long long)met.rejected,
                  (long long)met.failed, (long long)met.hit_tokens, (long long)met.chunks);
    assert_true(met.requests > 20000 && met.preemptions > 1000 && met.rejected > 100 && met.failed > 100);
    assert_true(met.hit_tokens > 100000 && met.chunks > 1000);
}

static void loads_from_host_memory_overlap_as_kvsim_says_to_the_tick(void **state)
{
    struct met met = {0};
    (void)state;
    for (uint64_t number = 1000; number < 1400; number++) {
        struct kv_random_scenario s;
        kv_random_scenario_draw(&s, number);
        test_one_instance(&s);
        test_add_host_memory(&s, number);
        run_both(&s, &met);
        kv_random_scenario_close(&s);
    }
    assert_int_equal(met.runs, 400);
    print_message("%lld loads, %lld layered steps, %lld + %lld hit\n", (long long)met.loads, (long long)met.load_waits,
                  (long long)met.hit_tokens, (long long)met.host_tokens);
    assert_true(met.loads > 2000 && met.load_waits > 500 && met.host_tokens > 20000 && met.hit_tokens > 20000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_request_is_served_as_kvsim_says_to_the_tick),
        cmocka_unit_test(loads_from_host_memory_overlap_as_kvsim_says_to_the_tick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Pages, chunks, prefixes found in them, preemptions and layerwise loads change nothing in what a model says: the loop
 * over a small model in double precision, against one plain pass over each request. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "calib/serve/loop.h"
#include "calib/serve/reference.h"
#include "tests/calib/serve/plain.h"
#include "tests/calib/serve/scenarios.h"

#define GIB (INT64_C(1) << 30)

/* ---- the loop, looked at ---- */

struct seen {
    struct kv_loop_reference device;
    struct kv_arena arena;
    double **plain;                /* of each request, made when it is first needed */
    double worst;                  /* difference of two logits */
    int64_t compared, chunks, hits, loads, layered, preempted;
};

static void compare(struct seen *seen, const struct kv_loop *loop, const struct kv_loop_member *m, const double *found,
                    int32_t token)
{
    const struct kv_llama *model = &seen->device.model;
    int64_t which = m->request->index;
    if (!seen->plain[which])
        seen->plain[which] = test_plain_pass(model, &loop->seq[which].request, seen->device.block_tokens,
                                        m->request->input_tokens + m->request->output_tokens - 1, &seen->arena);
    double wanted[61];
    int32_t last = m->ctx_tokens + m->new_tokens - 1, best = 0;
    test_plain_logits(model, seen->plain[which], last, wanted);
    for (int32_t i = 0; i < test_tiny.vocabulary; i++) {
        double difference = fabs(found[i] - wanted[i]);
        if (!(difference < 1e-9))
            fail_msg("request %lld, position %d, logit %d: %g, plainly %g", (long long)which, last, i, found[i],
                     wanted[i]);
        seen->worst = fmax(seen->worst, difference);
        if (wanted[i] > wanted[best]) best = i;
    }
    assert_int_equal(token, best);
    seen->compared++;
}

static bool look(void *state, const struct kv_loop *loop, const struct kv_loop_batch *batch,
                 const struct kv_loop_step *step, struct kv_err *err)
{
    struct seen *seen = state;
    (void)err;
    seen->layered += step->layer != NULL;
    for (int32_t i = 0; i < batch->count; i++) {
        const struct kv_loop_member *m = &batch->member[i];
        seen->chunks += m->new_tokens > 1 && !m->yields;
        const double *logits = seen->device.logits.at + (int64_t)i * test_tiny.vocabulary;
        if (m->yields) compare(seen, loop, m, logits, step->token[i]);
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
    bool complete = false;
    seen.plain = kv_arena_take(&seen.arena, (size_t)s->count * sizeof *seen.plain);
    assert_true(kv_loop_open(&loop, &s->config, test_next, &source, &arena, &err));
    assert_true(kv_loop_reference_open(&seen.device, &s->config, loop.slot_count, s->number, GIB, &arena, &err));
    loop.device = (struct kv_loop_device){ &seen.device, &kv_loop_reference_ops };
    loop.sink = (struct kv_loop_sink){ &seen, look, NULL };
    if (!kv_loop_fill(&loop, &err) || !kv_loop_run(&loop, &complete, &err)) fail_msg("%s: %s", s->text, err.text);
    assert_true(complete);
    for (uint32_t i = 0; i < loop.seq_count; i++) total->hits += loop.seq[i].hbm_tokens;
    total->loads += loop.stats.loads;
    total->preempted += loop.stats.preemptions;
    total->compared += seen.compared;
    total->chunks += seen.chunks;
    total->layered += seen.layered;
    total->worst = fmax(total->worst, seen.worst);
    kv_loop_reference_ops.close(&seen.device);
    kv_loop_close(&loop);
    kv_arena_close(&arena);
    kv_arena_close(&seen.arena);
}

/* Small ones of the random scenarios, until so many tokens have gone through. */
static void run_some(bool host_memory, int64_t tokens, struct seen *total)
{
    for (uint64_t number = 5000; tokens > 0; number++) {
        struct kv_random_scenario s;
        kv_random_scenario_draw(&s, number);
        s.count = s.count < 30 ? s.count : 30;
        int64_t all = test_tokens_of(&s);
        s.model = test_tiny;
        test_one_instance(&s);
        if (host_memory) test_add_host_memory(&s, number);
        s.config.hbm_blocks = test_tight(&s);
        if (all < 1500 && (!host_memory || test_loaders_of(&s) > 4)) {
            run_one(&s, total);
            tokens -= all;
        }
        kv_random_scenario_close(&s);
    }
    print_message("%lld tokens compared, %lld chunks, %lld hits, %lld loads, %lld layered steps, %lld preemptions, "
                  "worst difference %.1e\n", (long long)total->compared, (long long)total->chunks,
                  (long long)total->hits, (long long)total->loads, (long long)total->layered,
                  (long long)total->preempted, total->worst);
}

static void pages_chunks_and_prefixes_change_no_logit(void **state)
{
    struct seen total = {0};
    (void)state;
    run_some(false, 4800, &total);
    assert_true(total.compared > 1200 && total.chunks > 30 && total.hits > 200 && total.preempted > 10);
}

static void layers_brought_while_computing_change_no_logit(void **state)
{
    struct seen total = {0};
    (void)state;
    run_some(true, 5000, &total);
    assert_true(total.compared > 1000 && total.loads > 25 && total.layered > 8);
}

static void a_model_that_does_not_fit_is_refused_with_its_size(void **state)
{
    struct kv_random_scenario s;
    struct kv_loop_reference device;
    struct kv_arena arena = {0};
    struct kv_err err = {0};
    (void)state;
    kv_random_scenario_draw(&s, 1);
    test_one_instance(&s);
    assert_false(kv_loop_reference_open(&device, &s.config, 0, 1, 1 << 20, &arena, &err));
    assert_int_equal(err.code, KV_ENOHW);
    assert_non_null(strstr(err.text, "in double precision, allowed are 0.00 GiB"));
    kv_random_scenario_close(&s);
    kv_arena_close(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_chunks_and_prefixes_change_no_logit),
        cmocka_unit_test(layers_brought_while_computing_change_no_logit),
        cmocka_unit_test(a_model_that_does_not_fit_is_refused_with_its_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

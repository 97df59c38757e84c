/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks in lock-step (docs/engine.md, rules 13f to 13h): engine and oracle agree bit for bit on random scenarios,
 * priced by the model that the scenario drew plus a share of all ranks' tokens, or by a measured mixture of experts
 * whose exchange goes over a link or is as measured (models/compute/test_table_ranks.c has that price from the rule).
 * Some scenarios only:  test_oracle_ranks FIRST [LAST] */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/models/shape_file.h"
#include "tests/support/compare_runs.h"
#include "tests/support/random_parts.h"
#include "tests/support/sanitized.h"

#define SCENARIOS 250

/* --- The price of a step of all ranks --- */

static const struct kv_compute_ops *alone;   /* of the scenario: prices one rank */
static kv_cost each_token;
static int32_t rank_count;

static kv_cost together(const void *state, const struct kv_batch *batch)
{
    kv_cost slowest = 0, tokens = 0;
    for (int32_t i = 0; i < rank_count; i++) {
        bool empty = batch[i].decode_count == 0 && batch[i].chunk_count == 0;
        kv_cost own = empty ? 0 : alone->price(state, &batch[i]).first;
        if (own > slowest) slowest = own;
        tokens += empty ? 1 : batch[i].decode_count;
        for (int32_t k = 0; k < batch[i].chunk_count; k++) tokens += batch[i].chunks[k].new_tokens;
    }
    return slowest + each_token * tokens;
}

static void use_drawn(struct kv_random_scenario *s, struct plan *p, struct kv_compute_ops *ops)
{
    alone = s->config.compute;
    rank_count = s->config.ranks;
    each_token = p->unit_ns > 0 ? p->unit_ns * KV_COST_PER_NS * between(&p->dice, 0, 1)
                                : kv_cost_from_s(p->step_s * uniform(&p->dice) / 50);
    *ops = *alone;
    ops->together = together;
    s->config.compute = ops;
}

static bool exchange_measured(const struct kv_random_scenario *s)
{
    return s->number % 10 == 0 && s->config.ranks != 3;
}

static void use_table(struct kv_random_scenario *s)
{
    const struct kv_compute_ops *ops = kv_test_plugin("compute", "table");
    s->model = shape_model(&s->arena, "qwen3-30b-a3b");
    s->gpu = shape_gpu(&s->arena, "rtx-pro-6000");
    s->config.tp = 1;
    s->config.compute = ops;
    s->config.compute_params = kv_test_params(&s->arena, &ops->info);
    s->config.compute_env = (struct kv_compute_env){.model = &s->model, .gpu = &s->gpu, .tp = 1,
                                                    .ranks = s->config.ranks, .peer_latency_s = 20e-6,
                                                    .peer_Bps = exchange_measured(s) ? 0 : 16e9};
    s->config.time_limit_tk = KV_TICK_NEVER;
    for (int64_t i = 0; i < s->count; i++) s->requests[i].arrival_ns *= 100;
}

/* --- Random scenarios --- */

#define SITUATIONS 14
static const char *const situation[SITUATIONS] = {
    "dummies", "steps made up at (b) beside others", "preemption", "tokens for preempted ones", "prefix hits",
    "arrival on a boundary", "chunked prompts", "idle and busy again", "steps within one tick", "unfinished",
    "several groups", "scheduling ahead", "router vllm_dp", "exchange as measured",
};

static bool run_number(uint64_t number, int64_t met[SITUATIONS], bool tell)
{
    struct kv_random_scenario s = {.number = number};
    struct plan p = {.dice = {.seed = kv_mix64_pair(kv_stream("random_ranks"), number)}};
    struct kv_compute_ops ops;
    kv_random_cluster(&s, &p);
    s.config.ranks = (int32_t)PICK(&p.dice, 2, 2, 3, 4);
    s.config.instance_count = s.config.ranks * (int32_t)PICK(&p.dice, 1, 1, 2, 3);
    s.config.engine.async_scheduling = chance(&p.dice, 60);
    bool vllm = chance(&p.dice, 40);
    if (vllm) s.config.route = kv_test_plugin("route", "vllm_dp");
    kv_random_load(&s, &p);
    if (number % 5 == 0) use_table(&s);
    else use_drawn(&s, &p, &ops);
    s.text = kv_arena_text(&s.arena, "scenario %llu: %lld requests, %d instances in groups of %d, seqs %lld, batched "
                           "%lld, blocks %lld, ahead %d", (unsigned long long)number, (long long)s.count,
                           s.config.instance_count, s.config.ranks, (long long)s.config.engine.max_num_seqs,
                           (long long)s.config.engine.max_num_batched_tokens, (long long)s.config.hbm_blocks,
                           s.config.engine.async_scheduling);
    if (tell) printf("%s\n", s.text);
    struct kv_compared oracle = {0};
    bool good = kv_compare_runs(s.text, &s.config, s.requests, s.count, true, &oracle);
    const struct kv_counters *c = &oracle.counters;
    const struct kv_oracle_coverage *v = &oracle.coverage;
    const int64_t times[SITUATIONS] = {
        v->dummies, v->made_late, c->preemptions, v->late_tokens, c->hit_tokens, v->arrivals_on_boundary,
        v->chunked_prompts, v->idle_periods > 1, v->same_tick_boundaries,
        c->injected - c->finished - c->rejected - c->failed, s.config.instance_count > s.config.ranks,
        s.config.engine.async_scheduling, vllm, exchange_measured(&s),
    };
    for (int i = 0; i < SITUATIONS && good; i++) met[i] += times[i] > 0;
    kv_random_scenario_close(&s);
    return good;
}

static void engine_and_oracle_agree_on_ranks(void **state)
{
    (void)state;
    int64_t met[SITUATIONS] = {0};
    uint64_t scenarios = kv_test_scenarios(SCENARIOS);
    for (uint64_t number = 0; number < scenarios; number++)
        if (!run_number(number, met, false)) fail_msg("scenario %llu", (unsigned long long)number);
    for (int i = 0; i < SITUATIONS; i++) {
        print_message("  %-40s in %4lld of %llu scenarios\n", situation[i], (long long)met[i],
                      (unsigned long long)scenarios);
        assert_true(KV_SANITIZED || met[i] >= 5);
    }
}

/* 1036: a preempted request ended while it waited (13d), and what it left in the pool still told it of evictions. */
static void a_scenario_that_once_differed_agrees(void **state)
{
    (void)state;
    int64_t met[SITUATIONS] = {0};
    assert_true(run_number(1036, met, false));
}

int main(int argc, char **argv)
{
    int64_t met[SITUATIONS] = {0};
    if (argc > 1) {
        uint64_t first = strtoull(argv[1], NULL, 10), last = strtoull(argv[argc > 2 ? 2 : 1], NULL, 10);
        for (; first <= last; first++)
            if (!run_number(first, met, true)) return 1;
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(engine_and_oracle_agree_on_ranks),
        cmocka_unit_test(a_scenario_that_once_differed_agrees),
    };
    return cmocka_run_group_tests_name("oracle with ranks in lock-step", tests, NULL, NULL);
}

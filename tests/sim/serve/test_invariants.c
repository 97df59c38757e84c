/* SPDX-License-Identifier: Apache-2.0 */
/* What must always hold (design.md 6, numbers 1 to 7), over the random scenarios and the engine of sim/serve.
 * Number 7, engine = oracle, is test_oracle. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/fast_run.h"
#include "tests/support/random_scenario.h"

#define SCENARIOS 240

/* Runs `check` on every scenario. */
typedef void (*check_run)(const struct kv_random_scenario *s, const struct kv_fast_run *run);

static void over_all_scenarios(check_run check)
{
    for (uint64_t number = 0; number < SCENARIOS; number++) {
        struct kv_random_scenario s;
        struct kv_fast_run run;
        struct kv_err err = {0};
        kv_random_scenario_draw(&s, number);
        if (!kv_fast_run(&run, &s.config, s.requests, s.count, NULL, &err)) fail_msg("%s: %s", s.text, err.text);
        check(&s, &run);
        kv_fast_run_close(&run);
        kv_random_scenario_close(&s);
    }
}

#define holds(scenario, condition) \
    do { if (!(condition)) fail_msg("%s: %s", (scenario)->text, #condition); } while (0)

/* --- 1 --- */

static void ends_add_up(const struct kv_random_scenario *s, const struct kv_fast_run *run)
{
    int64_t ends[KV_STATUS_COUNT] = {0}, came = 0;
    for (int64_t i = 0; i < run->count; i++) {
        if (!run->recorded[i]) continue;
        const struct kv_record *r = &run->records[i];
        ends[r->status]++;
        came += run->came[i];
        if (run->came[i]) continue;
        /* A row that was taken from the source but never arrived (rule 23). */
        holds(s, s->config.replay.mode != KV_REPLAY_OPEN && run->end == KV_SIM_TIME_LIMIT);
        holds(s, r->status == KV_STATUS_UNFINISHED && r->arrival_tk == -1 && r->first_sched_tk == -1);
        holds(s, r->queue_tk + r->prefill_tk + r->decode_tk + r->preempted_tk + r->fetch_stall_tk == 0);
        holds(s, r->instance == KV_NO_INSTANCE && r->generated_tokens == 0);
    }
    for (int64_t i = 1; i < run->count; i++) holds(s, run->recorded[i] <= run->recorded[i - 1]);
    holds(s, !run->given_twice);
    holds(s, came == run->counters.injected);
    holds(s, ends[KV_STATUS_FINISHED] == run->counters.finished);
    holds(s, ends[KV_STATUS_REJECTED] == run->counters.rejected);
    holds(s, ends[KV_STATUS_FAILED] == run->counters.failed);
    holds(s, ends[KV_STATUS_FINISHED] + ends[KV_STATUS_REJECTED] + ends[KV_STATUS_FAILED]
             + ends[KV_STATUS_UNFINISHED] == run->given);
    if (run->end == KV_SIM_COMPLETE) {
        holds(s, ends[KV_STATUS_UNFINISHED] == 0);
        holds(s, run->given == s->count && came == s->count);
    }
}

static void every_request_ends_exactly_once_and_the_four_ends_add_up(void **state)
{
    (void)state;
    over_all_scenarios(ends_add_up);
}

/* --- 2 --- */

static void sources_add_up(const struct kv_random_scenario *s, const struct kv_fast_run *run)
{
    int64_t hit = 0, prompt = 0;
    for (int64_t i = 0; i < run->count; i++) {
        const struct kv_record *r = &run->records[i];
        if (!run->came[i] || r->first_sched_tk < 0) continue;
        int64_t sum = 0;
        for (int source = 0; source < KV_SOURCES_MAX; source++) sum += r->prompt_tokens_by_source[source];
        holds(s, sum == r->prompt_tokens);
        holds(s, r->prompt_tokens_by_source[0] % s->config.engine.block_tokens == 0);
        holds(s, r->prompt_tokens_by_source[1] >= 1);
        hit += r->prompt_tokens_by_source[0];
        prompt += r->prompt_tokens;
    }
    holds(s, hit == run->counters.hit_tokens);
    holds(s, prompt == run->counters.prompt_tokens);
    if (!s->config.engine.enable_prefix_caching) holds(s, hit == 0);
}

static void prompt_tokens_by_source_sum_to_the_prompt_and_its_last_token_is_computed(void **state)
{
    (void)state;
    over_all_scenarios(sources_add_up);
}

/* --- 3 --- */

static void stages_add_up(const struct kv_random_scenario *s, const struct kv_fast_run *run)
{
    for (int64_t i = 0; i < run->count; i++) {
        const struct kv_record *r = &run->records[i];
        if (!run->came[i]) continue;
        kv_tick sum = r->queue_tk + r->fetch_stall_tk + r->prefill_tk + r->decode_tk + r->preempted_tk;
        kv_tick end = r->status == KV_STATUS_FINISHED ? r->finish_tk
                      : r->status == KV_STATUS_UNFINISHED ? run->end_tk : r->arrival_tk;
        holds(s, sum == end - r->arrival_tk);
        holds(s, r->queue_tk >= 0 && r->fetch_stall_tk == 0 && r->prefill_tk >= 0 && r->decode_tk >= 0
                 && r->preempted_tk >= 0);
        holds(s, (r->preempted_tk > 0) <= (r->preemptions > 0));
        if (r->status != KV_STATUS_FINISHED) continue;
        holds(s, r->generated_tokens == r->output_tokens);
        holds(s, r->arrival_tk <= r->first_sched_tk && r->first_sched_tk <= r->first_token_tk
                 && r->first_token_tk <= r->finish_tk);
    }
}

static void stage_times_sum_to_the_end_to_end_time_in_ticks(void **state)
{
    (void)state;
    over_all_scenarios(stages_add_up);
}

/* --- 4 and 5, watched while it runs --- */

struct watch { const struct kv_random_scenario *s; kv_tick last; struct kv_counters before; };

static bool no_counter_shrank(const struct kv_counters *before, const struct kv_counters *now)
{
    int64_t was[sizeof *before / 8], is[sizeof *now / 8];
    memcpy(was, before, sizeof was);
    memcpy(is, now, sizeof is);
    for (size_t i = 0; i < sizeof was / sizeof *was; i++)
        if (is[i] < was[i]) return false;
    return true;
}

static bool watch_blocks_and_clock(void *state, struct kv_sim *sim)
{
    struct watch *w = state;
    const struct kv_sim_config *c = &w->s->config;
    struct kv_sim_state now;
    kv_sim_read(sim, &now);
    holds(w->s, kv_sim_now(sim) >= w->last);
    holds(w->s, kv_sim_next_tk(sim) >= kv_sim_now(sim));
    holds(w->s, now.counters.blocks_allocated - now.counters.blocks_freed == now.active_blocks);
    holds(w->s, now.active_blocks >= 0 && now.inactive_blocks >= 0 && now.free_blocks >= 0);
    holds(w->s, now.active_blocks + now.inactive_blocks + now.free_blocks == c->instance_count * c->hbm_blocks);
    holds(w->s, now.running <= c->instance_count * c->engine.max_num_seqs);
    holds(w->s, no_counter_shrank(&w->before, &now.counters));
    w->before = now.counters;
    w->last = kv_sim_now(sim);
    return true;
}

static void blocks_add_up_and_the_clock_is_monotone_at_every_event(void **state)
{
    (void)state;
    for (uint64_t number = 0; number < SCENARIOS; number++) {
        struct kv_random_scenario s;
        struct kv_fast_run run;
        struct kv_err err = {0};
        kv_random_scenario_draw(&s, number);
        struct watch watch = {.s = &s};
        struct kv_between between = {.state = &watch, .call = watch_blocks_and_clock, .events = 1};
        if (!kv_fast_run(&run, &s.config, s.requests, s.count, &between, &err)) fail_msg("%s: %s", s.text, err.text);
        if (run.end == KV_SIM_COMPLETE) {
            holds(&s, run.state.active_blocks == 0 && run.state.running == 0 && run.state.waiting == 0);
            holds(&s, run.counters.blocks_allocated == run.counters.blocks_freed);
        }
        kv_fast_run_close(&run);
        kv_random_scenario_close(&s);
    }
}

static void ends_complete_or_at_its_limit(const struct kv_random_scenario *s, const struct kv_fast_run *run)
{
    bool limited = s->config.time_limit_tk != KV_TICK_NEVER;
    holds(s, run->end == KV_SIM_COMPLETE || (limited && run->end == KV_SIM_TIME_LIMIT));
    holds(s, run->end_tk <= s->config.time_limit_tk);
}

static void every_run_ends(void **state)
{
    (void)state;
    over_all_scenarios(ends_complete_or_at_its_limit);
}

/* --- 6 --- */

/* Time that a request alone takes, nothing cached: one step for the prompt, one for each further token. A one-token
 * prompt is priced as a decode. */
static kv_cost alone(const struct kv_compute_ops *ops, const void *compute, const struct kv_request *q)
{
    struct kv_chunk chunk = {q->input_tokens, 0, true};
    struct kv_batch prompt = {.chunks = &chunk, .chunk_count = 1}, decode = {.decode_count = 1};
    kv_cost total = ops->price(compute, q->input_tokens > 1 ? &prompt : &decode).first;
    for (int64_t ctx = q->input_tokens; ctx < q->input_tokens + q->output_tokens - 1; ctx++) {
        decode.ctx_sum = decode.ctx_max = ctx;
        decode.ctx_sq_sum = (kv_cost)ctx * ctx;
        total += ops->price(compute, &decode).first;
    }
    return total;
}

/* One instance for each request and memory without end: nobody waits, everybody takes exactly as long as alone. */
static int64_t nobody_waits(const struct kv_random_scenario *s, const void *compute)
{
    struct kv_sim_config config = s->config;
    config.instance_count = (int32_t)s->count;
    config.hbm_blocks = 1 << 30;
    config.engine.enable_prefix_caching = false;
    config.engine.max_num_batched_tokens = 1 << 20;
    config.engine.host_overhead_s = 0;
    config.replay = (struct kv_replay_config){.mode = KV_REPLAY_OPEN};
    config.time_limit_tk = KV_TICK_NEVER;
    config.route = kv_test_plugin("route", "round_robin");
    struct kv_fast_run run;
    struct kv_err err = {0};
    int64_t served = 0;
    if (!kv_fast_run(&run, &config, s->requests, s->count, NULL, &err)) fail_msg("%s: %s", s->text, err.text);
    for (int64_t i = 0; i < s->count; i++) {
        const struct kv_record *r = &run.records[i];
        if (s->requests[i].failed) continue;
        holds(s, r->status == KV_STATUS_FINISHED && r->queue_tk == 0);
        holds(s, r->finish_tk - r->arrival_tk == kv_cost_ceil_tk(alone(config.compute, compute, &s->requests[i])));
        served++;
    }
    kv_fast_run_close(&run);
    return served;
}

/* In the scenario as drawn nobody is faster who computes the same steps: no hits, no chunks (a one-token remainder
 * has a decode's price), no second prefill. An instance's origin is a whole tick and its sum is exact, so one tick
 * may be won by rounding. */
static int64_t nobody_is_faster_than_alone(const struct kv_random_scenario *s, const void *compute)
{
    struct kv_fast_run run;
    struct kv_err err = {0};
    int64_t compared = 0;
    if (!kv_fast_run(&run, &s->config, s->requests, s->count, NULL, &err)) fail_msg("%s: %s", s->text, err.text);
    for (int64_t i = 0; i < s->count; i++) {
        const struct kv_record *r = &run.records[i];
        if (!run.came[i] || r->status != KV_STATUS_FINISHED || r->prompt_tokens_by_source[0] > 0
            || s->config.engine.chunked_prefill || r->preemptions > 0) continue;
        kv_tick least = kv_cost_ceil_tk(alone(s->config.compute, compute, &s->requests[i]));
        holds(s, r->finish_tk - r->arrival_tk + 1 >= least);
        compared++;
    }
    kv_fast_run_close(&run);
    return compared;
}

static void infinite_resources_give_the_closed_form_lower_bound(void **state)
{
    (void)state;
    int64_t served = 0, compared = 0;
    for (uint64_t number = 0; number < SCENARIOS / 3; number++) {
        struct kv_random_scenario s;
        struct kv_err err = {0};
        kv_random_scenario_draw(&s, number);
        void *compute = kv_arena_take(&s.arena, s.config.compute->state_bytes);
        assert_true(s.config.compute->open(compute, s.config.compute_params, &s.config.compute_env, &err));
        served += nobody_waits(&s, compute);
        compared += nobody_is_faster_than_alone(&s, compute);
        kv_random_scenario_close(&s);
    }
    assert_true(served > 1000);
    assert_true(compared > 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_request_ends_exactly_once_and_the_four_ends_add_up),
        cmocka_unit_test(prompt_tokens_by_source_sum_to_the_prompt_and_its_last_token_is_computed),
        cmocka_unit_test(stage_times_sum_to_the_end_to_end_time_in_ticks),
        cmocka_unit_test(blocks_add_up_and_the_clock_is_monotone_at_every_event),
        cmocka_unit_test(every_run_ends),
        cmocka_unit_test(infinite_resources_give_the_closed_form_lower_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

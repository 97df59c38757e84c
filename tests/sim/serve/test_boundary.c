/* SPDX-License-Identifier: Apache-2.0 */
/* One tick early, on time, one tick late: the instants of docs/engine.md rules 1 to 4, 10 to 13 on hand-made loads
 * whose every step has a known end. Unless a test says otherwise one instance serves one-block requests and
 *     a step with a prefill takes 1,000 ns, each prompt token 10 ns more; a decode step takes 100 ns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/support/fast_run.h"
#include "tests/support/random_scenario.h"

#define NS KV_TICKS_PER_NS
#define PREFILL_NS 1000
#define TOKEN_NS 10
#define DECODE_NS 100

/* A cluster with room for everything, its load, and what became of it. */
struct bench {
    struct kv_arena arena;
    struct kv_sim_config config;
    void *affine;
    struct kv_request request[16];
    int64_t count;
    struct kv_fast_run run;
};

static void coefficient(struct bench *b, const char *key, double value_s)
{
    kv_test_param_set(&b->config.compute->info, b->affine, key, value_s);
}

static void setup(struct bench *b)
{
    *b = (struct bench){.config = {
        .seed = 1, .instance_count = 1, .tp = 1, .hbm_blocks = 1000,
        .engine = {.max_num_seqs = 16, .max_num_batched_tokens = 1000, .block_tokens = 16, .chunked_prefill = true,
                   .enable_prefix_caching = true, .cache_outputs = true},
        .compute = kv_test_plugin("compute", "affine"), .evict = kv_test_plugin("evict", "lru"),
        .sched = kv_test_plugin("sched", "fcfs"), .route = kv_test_plugin("route", "round_robin"),
        .timeseries_s = -1, .time_limit_tk = KV_TICK_NEVER,
    }};
    b->config.compute_params = b->affine = kv_test_params(&b->arena, &b->config.compute->info);
    coefficient(b, "prefill_base", kv_test_exact_s(PREFILL_NS));
    coefficient(b, "prefill_per_token", kv_test_exact_s(TOKEN_NS));
    coefficient(b, "decode_base", kv_test_exact_s(DECODE_NS));
}

static struct kv_request *come(struct bench *b, int64_t arrival_ns, int32_t input_tokens, int32_t output_tokens)
{
    struct kv_request *q = &b->request[b->count];
    *q = (struct kv_request){.index = b->count, .trace_row = b->count + 1, .arrival_ns = arrival_ns, .think_ns = -1,
                             .elapsed_ns = -1, .input_tokens = input_tokens, .output_tokens = output_tokens};
    b->count++;
    return q;
}

static const struct kv_record *serve(struct bench *b)
{
    struct kv_err err = {0};
    if (!kv_fast_run(&b->run, &b->config, b->request, b->count, NULL, &err)) fail_msg("%s", err.text);
    assert_int_equal(b->run.given, b->count);
    return b->run.records;
}

static void teardown(struct bench *b)
{
    kv_fast_run_close(&b->run);
    kv_arena_close(&b->arena);
}

/* --- Joining --- */

/* The prompt of 10 tokens ends at 1,100 ns; decode steps end at 1,200, 1,300, ... */
static void first_sched_of_a_second_at(int64_t arrival_ns, kv_tick expected_tk)
{
    struct bench b;
    setup(&b);
    come(&b, 0, 10, 50);
    come(&b, arrival_ns, 10, 1);
    const struct kv_record *r = serve(&b);
    assert_int_equal(r[0].first_token_tk, 1100 * NS);
    assert_int_equal(r[1].first_sched_tk, expected_tk);
    teardown(&b);
}

static void an_arrival_on_the_end_of_a_prefill_joins_and_one_ns_later_waits_a_step(void **state)
{
    (void)state;
    first_sched_of_a_second_at(1099, 1100 * NS);
    first_sched_of_a_second_at(1100, 1100 * NS);
    first_sched_of_a_second_at(1101, 1200 * NS);
}

/* Here the boundary lies inside a macro-step of 49 decode steps. */
static void an_arrival_on_a_boundary_inside_a_macro_step_joins_and_one_ns_later_waits_a_step(void **state)
{
    (void)state;
    first_sched_of_a_second_at(1399, 1400 * NS);
    first_sched_of_a_second_at(1400, 1400 * NS);
    first_sched_of_a_second_at(1401, 1500 * NS);
}

/* Arrivals are whole ns, so a tick's difference comes from the boundary: decode steps of 100 ns less or plus a
 * tick. Cost units of 2^-40 ns; one tick is 2^-8 ns. */
static void a_boundary_one_tick_before_an_arrival_does_not_see_it(void **state)
{
    (void)state;
    const double tick_s = 1e-9 / 256;
    for (int late = 0; late <= 1; late++) {
        struct bench b;
        setup(&b);
        coefficient(&b, "prefill_base", kv_test_exact_s(PREFILL_NS) + (late ? 0 : -tick_s));
        come(&b, 0, 10, 50);
        come(&b, 1100, 10, 1);
        const struct kv_record *r = serve(&b);
        assert_int_equal(r[0].first_token_tk, 1100 * NS - (late ? 0 : 1));
        assert_int_equal(r[1].first_sched_tk, late ? 1100 * NS : 1200 * NS - 1);
        teardown(&b);
    }
}

static void an_arrival_at_an_idle_instance_starts_at_its_own_tick(void **state)
{
    (void)state;
    struct bench b;
    setup(&b);
    come(&b, 7, 10, 1);
    come(&b, 1117, 10, 1);       /* at the tick the first ends */
    come(&b, 9999, 10, 1);       /* long after */
    const struct kv_record *r = serve(&b);
    assert_int_equal(r[0].first_sched_tk, 7 * NS);
    assert_int_equal(r[0].finish_tk, 1107 * NS);
    assert_int_equal(r[1].first_sched_tk, 1117 * NS);
    assert_int_equal(r[2].first_sched_tk, 9999 * NS);
    teardown(&b);
}

/* The last decode ends at 1,200 ns; an arrival there finds the instance at its boundary, not idle: same instant. */
static void an_arrival_on_the_last_boundary_of_a_busy_period_is_served_by_it(void **state)
{
    (void)state;
    struct bench b;
    setup(&b);
    come(&b, 0, 10, 2);
    come(&b, 1200, 10, 1);
    const struct kv_record *r = serve(&b);
    assert_int_equal(r[0].finish_tk, 1200 * NS);
    assert_int_equal(r[1].first_sched_tk, 1200 * NS);
    assert_int_equal(r[1].finish_tk, 2300 * NS);
    teardown(&b);
}

static void arrivals_of_one_tick_share_a_step_in_request_order(void **state)
{
    (void)state;
    struct bench b;
    setup(&b);
    b.config.engine.max_num_seqs = 2;
    for (int i = 0; i < 3; i++) come(&b, 5, 10, 1);
    const struct kv_record *r = serve(&b);
    assert_int_equal(r[0].first_sched_tk, 5 * NS);
    assert_int_equal(r[1].first_sched_tk, 5 * NS);
    assert_int_equal(r[0].finish_tk, 1205 * NS);     /* 1,000 + 20 tokens */
    assert_int_equal(r[2].first_sched_tk, 1205 * NS);
    teardown(&b);
}

/* --- Exact sums --- */

/* A third of a tick a decode step: three steps share a tick, rounded up from the exact sum. */
static void sub_tick_remainders_add_up_exactly(void **state)
{
    (void)state;
    const double third_tick_s = 1e-9 / 256 / 3;
    for (int32_t outputs = 2; outputs < 40; outputs++) {
        struct bench b;
        setup(&b);
        coefficient(&b, "decode_base", third_tick_s);
        come(&b, 0, 10, outputs);
        const struct kv_record *r = serve(&b);
        kv_cost decode = kv_cost_from_s(third_tick_s);
        assert_true(decode * 3 != KV_COST_PER_TICK);      /* the test is about a remainder that never vanishes */
        assert_int_equal(r[0].finish_tk, 1100 * NS + kv_cost_ceil_tk(decode * (outputs - 1)));
        teardown(&b);
    }
}

/* 2^-32 tick a KV token: the slope of a macro-step is summed before rounding too. */
static void a_growing_step_is_summed_before_it_is_rounded(void **state)
{
    (void)state;
    const double slope_s = 1e-9 / 256 / 7;
    struct bench b;
    setup(&b);
    coefficient(&b, "decode_per_kv_token", slope_s);
    come(&b, 0, 10, 501);
    b.config.hbm_blocks = 100000;
    const struct kv_record *r = serve(&b);
    kv_cost sum = 0;
    for (int64_t ctx = 10; ctx < 510; ctx++) sum += DECODE_NS * KV_COST_PER_NS + ctx * kv_cost_from_s(slope_s);
    assert_int_equal(r[0].finish_tk, 1100 * NS + kv_cost_ceil_tk(sum));
    teardown(&b);
}

/* Half a tick over: kept while the instance stays busy, forgotten when it runs dry. */
static void the_remainder_is_carried_while_busy_and_reset_when_idle(void **state)
{
    (void)state;
    const double half_tick_s = 1e-9 / 512;
    for (int idle = 0; idle <= 1; idle++) {
        struct bench b;
        setup(&b);
        coefficient(&b, "prefill_base", kv_test_exact_s(PREFILL_NS) + half_tick_s);
        b.config.engine.max_num_seqs = 1;
        come(&b, 0, 10, 1);
        come(&b, idle ? 1200 : 0, 10, 1);
        const struct kv_record *r = serve(&b);
        assert_int_equal(r[0].finish_tk, 1100 * NS + 1);
        if (idle) assert_int_equal(r[1].finish_tk, (1200 + 1100) * NS + 1);
        else assert_int_equal(r[1].finish_tk, 2200 * NS + 1);     /* two halves are one tick, not two */
        teardown(&b);
    }
}

static void host_overhead_is_charged_once_a_step_unless_scheduling_is_asynchronous(void **state)
{
    (void)state;
    for (int async = 0; async <= 1; async++) {
        struct bench b;
        setup(&b);
        b.config.engine.host_overhead_s = kv_test_exact_s(30);
        b.config.engine.async_scheduling = async;
        come(&b, 0, 10, 4);
        come(&b, 0, 10, 4);
        const struct kv_record *r = serve(&b);
        int64_t steps_ns = PREFILL_NS + 20 * TOKEN_NS + 3 * DECODE_NS;
        assert_int_equal(r[0].finish_tk, (steps_ns + (async ? 0 : 4 * 30)) * NS);
        assert_int_equal(r[1].finish_tk, r[0].finish_tk);
        teardown(&b);
    }
}

/* --- Scheduling ahead (rules 13a to 13e) --- */

/* The step at 1,100 ns is made up before anybody comes. */
static void who_comes_is_in_the_step_after_the_next(void **state)
{
    (void)state;
    for (int ahead = 0; ahead <= 1; ahead++) {
        struct bench b;
        setup(&b);
        b.config.engine.async_scheduling = ahead;
        come(&b, 0, 10, 40);
        come(&b, 500, 10, 2);
        const struct kv_record *r = serve(&b);
        assert_int_equal(r[1].first_sched_tk, 1100 * NS);
        assert_int_equal(r[1].first_token_tk, (ahead ? 2300 : 2200) * NS);
        teardown(&b);
    }
}

/* The first leaves at 1,400 ns; what is made up at 1,300 ns still finds its slot taken. */
static void a_slot_is_free_one_step_later(void **state)
{
    (void)state;
    for (int ahead = 0; ahead <= 1; ahead++) {
        struct bench b;
        setup(&b);
        b.config.engine.async_scheduling = ahead;
        b.config.engine.max_num_seqs = 2;
        come(&b, 0, 10, 3);
        come(&b, 0, 10, 40);
        come(&b, 0, 10, 2);
        const struct kv_record *r = serve(&b);
        assert_int_equal(r[0].finish_tk, 1400 * NS);
        assert_int_equal(r[2].first_sched_tk, 1400 * NS);
        assert_int_equal(r[2].first_token_tk, (ahead ? 2600 : 2500) * NS);
        teardown(&b);
    }
}

/* With nobody else to run nothing is made up, and nothing is lost. */
static void alone_nothing_comes_later(void **state)
{
    (void)state;
    for (int ahead = 0; ahead <= 1; ahead++) {
        struct bench b;
        setup(&b);
        b.config.engine.async_scheduling = ahead;
        b.config.engine.max_num_seqs = 1;
        come(&b, 0, 10, 2);
        come(&b, 0, 10, 1);
        const struct kv_record *r = serve(&b);
        assert_int_equal(r[0].finish_tk, 1200 * NS);
        assert_int_equal(r[1].finish_tk, 2300 * NS);
        teardown(&b);
    }
}

/* --- Blocks --- */

static void tokens_of_a_stream(struct kv_request *q, uint64_t stream)
{
    q->prefix.own_stream = stream;
    q->prefix.known_tokens = q->input_tokens;
}

/* 32 tokens are two full blocks, but the last token is always computed: one block hits. With 33 both do. */
static void the_last_prompt_token_is_never_hit(void **state)
{
    (void)state;
    for (int32_t input = 32; input <= 33; input++) {
        struct bench b;
        setup(&b);
        tokens_of_a_stream(come(&b, 0, input, 1), 5);
        tokens_of_a_stream(come(&b, 10000, input, 1), 5);
        const struct kv_record *r = serve(&b);
        int32_t hit = input == 32 ? 16 : 32;
        assert_int_equal(r[1].prompt_tokens_by_source[0], hit);
        assert_int_equal(r[1].prompt_tokens_by_source[1], input - hit);
        /* What remains: 16 tokens as a prefill, 1 token as a decode. */
        assert_int_equal(r[1].finish_tk - r[1].arrival_tk, (hit == 16 ? PREFILL_NS + 16 * TOKEN_NS : DECODE_NS) * NS);
        teardown(&b);
    }
}

/* A block can be hit from the tick its step is scheduled, by a request admitted at the same boundary too. */
static void a_block_is_matchable_when_its_step_is_scheduled(void **state)
{
    (void)state;
    struct bench b;
    setup(&b);
    tokens_of_a_stream(come(&b, 0, 20, 1), 5);
    tokens_of_a_stream(come(&b, 0, 20, 1), 5);
    const struct kv_record *r = serve(&b);
    assert_int_equal(r[0].prompt_tokens_by_source[0], 0);
    assert_int_equal(r[1].prompt_tokens_by_source[0], 16);
    assert_int_equal(r[1].finish_tk, (PREFILL_NS + 24 * TOKEN_NS) * NS);
    teardown(&b);
}

/* Two blocks of 16 for 17 to 32 tokens; the KV of the last token is never computed, so 16 + 17 - 1 = 32 fit. */
static void a_request_of_just_the_pool_is_served_and_one_token_more_is_rejected(void **state)
{
    (void)state;
    struct bench b;
    setup(&b);
    b.config.hbm_blocks = 2;
    come(&b, 0, 16, 17);
    come(&b, 0, 16, 18);
    const struct kv_record *r = serve(&b);
    assert_int_equal(r[0].status, KV_STATUS_FINISHED);
    assert_int_equal(r[0].preemptions, 0);
    assert_int_equal(r[1].status, KV_STATUS_REJECTED);
    assert_int_equal(r[1].instance, KV_NO_INSTANCE);
    assert_int_equal(r[1].first_sched_tk, -1);
    assert_int_equal(r[1].queue_tk, 0);
    teardown(&b);
}

static void without_chunks_a_prompt_of_just_the_budget_is_served_and_one_token_more_is_rejected(void **state)
{
    (void)state;
    struct bench b;
    setup(&b);
    b.config.engine.chunked_prefill = false;
    b.config.engine.max_num_batched_tokens = 40;
    come(&b, 0, 40, 1);
    come(&b, 0, 41, 1);
    come(&b, 0, 39, 2);
    const struct kv_record *r = serve(&b);
    assert_int_equal(r[0].status, KV_STATUS_FINISHED);
    assert_int_equal(r[1].status, KV_STATUS_REJECTED);
    assert_int_equal(r[2].status, KV_STATUS_FINISHED);
    teardown(&b);
}

/* Four blocks. For token 17 both take a second; for token 33 request 0 finds none left and preempts the last. */
static void the_last_of_running_is_preempted_when_the_next_token_finds_no_block(void **state)
{
    (void)state;
    struct bench b;
    setup(&b);
    b.config.hbm_blocks = 4;
    b.config.engine.enable_prefix_caching = false;
    come(&b, 0, 15, 40);
    come(&b, 0, 15, 40);
    const struct kv_record *r = serve(&b);
    /* Prefill ends at 1,000 + 30 * 10 ns with 15 computed; the decode that computes token 33 is the 18th. */
    int64_t preempted_ns = 1300 + 17 * DECODE_NS;
    assert_int_equal(r[0].preemptions, 0);
    assert_int_equal(r[0].finish_tk, (1300 + 39 * DECODE_NS) * NS);
    assert_int_equal(r[1].preemptions, 1);
    /* 33 tokens known (15 + 18), 32 computed: three blocks; request 0 holds three of four until 48 are full. */
    assert_int_equal(r[1].preempted_tk, r[0].finish_tk - preempted_ns * NS);
    assert_int_equal(r[1].recomputed_tokens, 32);
    assert_int_equal(r[1].finish_tk, r[0].finish_tk + (PREFILL_NS + 33 * TOKEN_NS + 21 * DECODE_NS) * NS);
    teardown(&b);
}

/* --- Replay --- */

/* Closed loop, one client without think time: the next request comes at the first whole ns after the end, never at its
 * tick; the instance has run dry and starts at once. */
static void a_client_that_does_not_think_comes_back_one_ns_after_its_end(void **state)
{
    (void)state;
    struct bench b;
    setup(&b);
    b.config.replay = (struct kv_replay_config){.mode = KV_REPLAY_CLOSED, .clients = 1};
    come(&b, 77, 10, 1);
    come(&b, 77, 10, 1);
    const struct kv_record *r = serve(&b);
    assert_int_equal(r[0].arrival_tk, 0);
    assert_int_equal(r[0].finish_tk, 1100 * NS);
    assert_int_equal(r[1].arrival_tk, 1101 * NS);
    assert_int_equal(r[1].first_sched_tk, 1101 * NS);
    assert_int_equal(r[1].finish_tk, 2201 * NS);
    teardown(&b);
}

/* ... while another request keeps the instance busy: that boundary is over, so it waits for the next. */
static void an_arrival_brought_by_a_boundary_is_not_seen_by_that_boundary(void **state)
{
    (void)state;
    struct bench b;
    setup(&b);
    b.config.replay = (struct kv_replay_config){.mode = KV_REPLAY_CLOSED, .clients = 2};
    come(&b, 0, 10, 1);
    come(&b, 0, 10, 30);
    come(&b, 0, 10, 1);
    const struct kv_record *r = serve(&b);
    assert_int_equal(r[0].finish_tk, 1200 * NS);
    assert_int_equal(r[2].arrival_tk, 1201 * NS);
    assert_int_equal(r[2].first_sched_tk, 1300 * NS);
    teardown(&b);
}

static void front_end_overhead_delays_the_router_and_counts_as_queue(void **state)
{
    (void)state;
    struct bench b;
    setup(&b);
    b.config.replay.frontend_overhead = (struct kv_delay){KV_DELAY_CONSTANT, kv_test_exact_s(50), 0};
    come(&b, 100, 10, 1);
    const struct kv_record *r = serve(&b);
    assert_int_equal(r[0].arrival_tk, 100 * NS);
    assert_int_equal(r[0].first_sched_tk, 150 * NS);
    assert_int_equal(r[0].queue_tk, 50 * NS);
    teardown(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_arrival_on_the_end_of_a_prefill_joins_and_one_ns_later_waits_a_step),
        cmocka_unit_test(an_arrival_on_a_boundary_inside_a_macro_step_joins_and_one_ns_later_waits_a_step),
        cmocka_unit_test(a_boundary_one_tick_before_an_arrival_does_not_see_it),
        cmocka_unit_test(an_arrival_at_an_idle_instance_starts_at_its_own_tick),
        cmocka_unit_test(an_arrival_on_the_last_boundary_of_a_busy_period_is_served_by_it),
        cmocka_unit_test(arrivals_of_one_tick_share_a_step_in_request_order),
        cmocka_unit_test(sub_tick_remainders_add_up_exactly),
        cmocka_unit_test(a_growing_step_is_summed_before_it_is_rounded),
        cmocka_unit_test(the_remainder_is_carried_while_busy_and_reset_when_idle),
        cmocka_unit_test(host_overhead_is_charged_once_a_step_unless_scheduling_is_asynchronous),
        cmocka_unit_test(who_comes_is_in_the_step_after_the_next),
        cmocka_unit_test(a_slot_is_free_one_step_later),
        cmocka_unit_test(alone_nothing_comes_later),
        cmocka_unit_test(the_last_prompt_token_is_never_hit),
        cmocka_unit_test(a_block_is_matchable_when_its_step_is_scheduled),
        cmocka_unit_test(a_request_of_just_the_pool_is_served_and_one_token_more_is_rejected),
        cmocka_unit_test(without_chunks_a_prompt_of_just_the_budget_is_served_and_one_token_more_is_rejected),
        cmocka_unit_test(the_last_of_running_is_preempted_when_the_next_token_finds_no_block),
        cmocka_unit_test(a_client_that_does_not_think_comes_back_one_ns_after_its_end),
        cmocka_unit_test(an_arrival_brought_by_a_boundary_is_not_seen_by_that_boundary),
        cmocka_unit_test(front_end_overhead_delays_the_router_and_counts_as_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks in lock-step (docs/engine.md, rules 13f to 13h) worked out by hand: a step takes 1 us for each token of any
 * rank, a dummy being one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/fast_run.h"
#include "tests/support/random_scenario.h"

#define TOKEN (1000 * KV_COST_PER_NS)
#define US (1000 * KV_TICKS_PER_NS)
#define COUNT 60
#define OVERHEAD_US 5

static int32_t rank_count;

static bool open_model(void *state, const void *params, const struct kv_compute_env *env, struct kv_err *err)
{
    (void)state; (void)params; (void)env; (void)err;
    return true;
}

static int64_t tokens_of(const struct kv_batch *batch)
{
    int64_t tokens = batch->decode_count;
    for (int32_t i = 0; i < batch->chunk_count; i++) tokens += batch->chunks[i].new_tokens;
    return tokens > 0 ? tokens : 1;
}

/* One instance that stands for all ranks, each with the same to do. */
static struct kv_run price(const void *state, const struct kv_batch *batch)
{
    (void)state;
    return (struct kv_run){TOKEN * rank_count * tokens_of(batch), 0, batch->chunk_count > 0 ? 1 : INT64_MAX};
}

static kv_cost together(const void *state, const struct kv_batch *batch)
{
    (void)state;
    int64_t tokens = 0;
    for (int32_t i = 0; i < rank_count; i++) tokens += tokens_of(&batch[i]);
    return TOKEN * tokens;
}

static const struct kv_compute_ops model = {.state_bytes = 1, .open = open_model, .price = price, .together = together};

static struct kv_sim_config config_of(int32_t instances, int32_t ranks, bool ahead)
{
    static struct kv_model_shape shape = {.layers = 1};
    return (struct kv_sim_config){
        .seed = 1, .instance_count = instances, .ranks = ranks, .tp = 1, .hbm_blocks = 100,
        .engine = {.max_num_seqs = 8, .max_num_batched_tokens = 64, .block_tokens = 16, .chunked_prefill = true,
                   .enable_prefix_caching = true, .cache_outputs = true, .async_scheduling = ahead},
        .compute = &model, .compute_env = {.model = &shape}, .evict = kv_test_plugin("evict", "lru"),
        .sched = kv_test_plugin("sched", "fcfs"), .route = kv_test_plugin("route", "round_robin"),
        .timeseries_s = -1, .time_limit_tk = KV_TICK_NEVER,
    };
}

static struct kv_request request_at(int64_t index, int64_t arrival_us, int32_t input, int32_t output)
{
    return (struct kv_request){.index = index, .trace_row = index + 1, .arrival_ns = 1000 * arrival_us, .think_ns = -1,
                               .elapsed_ns = -1, .input_tokens = input, .output_tokens = output};
}

static void run(struct kv_fast_run *fast, const struct kv_sim_config *config, const struct kv_request *requests,
                int64_t count)
{
    struct kv_err err = {0};
    if (!kv_fast_run(fast, config, requests, count, NULL, &err)) fail_msg("%s", err.text);
}

/* ---- by hand ---- */

/* 10 tokens and a dummy: 11 us. The second comes during that step; with it 1 + 4 tokens: 5 us. Then a token each: 2 us.
 * Scheduling ahead it is the same: rank 1 had nothing made up when the second step began, and looked again. */
static void an_idle_rank_takes_a_dummy_along(void **state)
{
    (void)state;
    rank_count = 2;
    const struct kv_request requests[] = {request_at(0, 0, 10, 3), request_at(1, 5, 4, 2)};
    for (int ahead = 0; ahead < 2; ahead++) {
        struct kv_sim_config config = config_of(2, 2, ahead);
        struct kv_fast_run fast;
        run(&fast, &config, requests, 2);
        assert_int_equal(fast.records[0].first_token_tk, 11 * US);
        assert_int_equal(fast.records[1].first_sched_tk, 11 * US);
        assert_int_equal(fast.records[1].first_token_tk, 16 * US);
        assert_int_equal(fast.records[0].finish_tk, 18 * US);
        assert_int_equal(fast.records[1].finish_tk, 18 * US);
        assert_int_equal(fast.counters.steps, 3 + 2);   /* a dummy is none */
        kv_fast_run_close(&fast);
    }
}

/* A rank that is done goes on with dummies; the other pays for them. Another group is not concerned. */
static void groups_are_apart(void **state)
{
    (void)state;
    rank_count = 2;
    const struct kv_request requests[] = {request_at(0, 0, 3, 1), request_at(1, 0, 2, 4), request_at(2, 0, 7, 1)};
    struct kv_sim_config config = config_of(4, 2, false);
    struct kv_fast_run fast;
    run(&fast, &config, requests, 3);
    assert_int_equal(fast.records[0].finish_tk, 5 * US);
    assert_int_equal(fast.records[1].finish_tk, (5 + 3 * 2) * US);
    assert_int_equal(fast.records[2].finish_tk, 8 * US);
    kv_fast_run_close(&fast);
}

/* An idle group begins anew at the arrival, wherever that is; host overhead once a step, not for each rank. */
static void a_group_wakes_as_a_whole(void **state)
{
    (void)state;
    rank_count = 2;
    const struct kv_request requests[] = {request_at(0, 0, 3, 1), request_at(1, 1000, 6, 2)};
    struct kv_sim_config config = config_of(2, 2, false);
    config.engine.host_overhead_s = kv_test_exact_s(1000 * OVERHEAD_US);
    struct kv_fast_run fast;
    run(&fast, &config, requests, 2);
    assert_int_equal(fast.records[0].finish_tk, (4 + OVERHEAD_US) * US);
    assert_int_equal(fast.records[1].first_token_tk, (1000 + 7 + OVERHEAD_US) * US);
    assert_int_equal(fast.records[1].finish_tk, (1000 + 7 + 2 + 2 * OVERHEAD_US) * US);
    kv_fast_run_close(&fast);
}

/* One of three waits at rank 0, nobody at rank 1: 4 + 2 against 2. */
static void vllm_dp_counts_waiting_fourfold(void **state)
{
    (void)state;
    rank_count = 2;
    struct kv_request requests[6];
    /* All wait at one tick: 0, 2, 4 go to rank 0 and 1, 3 to rank 1. None is over at 40 us. */
    for (int64_t i = 0; i < 5; i++) requests[i] = request_at(i, 0, 2, 100);
    requests[5] = request_at(5, 40, 2, 2);
    struct kv_sim_config config = config_of(2, 2, false);
    config.route = kv_test_plugin("route", "vllm_dp");
    config.engine.max_num_seqs = 2;   /* 4 of rank 0 waits: 4 + 2 against 2 */
    struct kv_fast_run fast;
    run(&fast, &config, requests, 6);
    for (int64_t i = 0; i < 5; i++) assert_int_equal(fast.records[i].instance, i % 2);
    assert_int_equal(fast.records[5].instance, 1);
    kv_fast_run_close(&fast);
}

/* ---- a law ---- */

/* Ranks that all have the same to do are one instance whose steps cost what all of them cost. */
static void equal_ranks_are_one_instance(void **state)
{
    (void)state;
    struct kv_request one[COUNT], all[4 * COUNT];
    for (int setting = 0; setting < 6; setting++) {
        bool ahead = setting % 2;
        rank_count = 2 + setting / 2;
        for (int64_t i = 0, at_us = 0; i < COUNT; i++) {
            uint64_t drawn = kv_mix64_pair((uint64_t)setting, (uint64_t)i);
            at_us += (int64_t)(drawn % 200);
            one[i] = request_at(i, at_us, 1 + (int32_t)(drawn >> 16 & 127), 1 + (int32_t)(drawn >> 40 & 31));
            for (int32_t k = 0; k < rank_count; k++) {
                all[i * rank_count + k] = one[i];
                all[i * rank_count + k].index = i * rank_count + k;
            }
        }
        struct kv_sim_config single = config_of(1, 1, ahead), group = config_of(rank_count, rank_count, ahead);
        single.hbm_blocks = group.hbm_blocks = 24;   /* preemptions too */
        struct kv_fast_run a, b;
        run(&a, &single, one, COUNT);
        run(&b, &group, all, COUNT * rank_count);
        assert_true(a.counters.preemptions > 0);
        for (int64_t i = 0; i < COUNT * rank_count; i++) {
            assert_int_equal(a.records[i / rank_count].first_token_tk, b.records[i].first_token_tk);
            assert_int_equal(a.records[i / rank_count].finish_tk, b.records[i].finish_tk);
        }
        assert_int_equal(a.counters.steps * rank_count, b.counters.steps);
        kv_fast_run_close(&a);
        kv_fast_run_close(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_rank_takes_a_dummy_along), cmocka_unit_test(groups_are_apart),
        cmocka_unit_test(a_group_wakes_as_a_whole), cmocka_unit_test(vllm_dp_counts_waiting_fourfold),
        cmocka_unit_test(equal_ranks_are_one_instance),
    };
    return cmocka_run_group_tests_name("ranks in lock-step", tests, NULL, NULL);
}

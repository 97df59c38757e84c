/* SPDX-License-Identifier: Apache-2.0 */
/* The time series adds up: bins cover the run without gaps, and their counters sum to the run's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "sim/serve/sim.h"
#include "tests/support/random_scenario.h"

#define WORDS (sizeof(struct kv_counters) / sizeof(int64_t))

static bool ignore(void *state, const struct kv_record *record, struct kv_err *err)
{
    (void)state; (void)record; (void)err;
    return true;
}

static void check_bins(struct kv_sim *sim, const struct kv_sim_config *config, kv_tick end_tk)
{
    struct kv_sim_state state;
    int64_t sum[WORDS] = {0}, grown[WORDS], all[WORDS];
    kv_tick at = 0, busy_before[64] = {0};
    kv_sim_read(sim, &state);
    assert_in_range(kv_sim_bin_count(sim), 1, 4096);
    for (int32_t i = 0; i < kv_sim_bin_count(sim); i++) {
        struct kv_bin bin;
        kv_sim_bin(sim, i, &bin);
        assert_int_equal(bin.start_tk, at);
        assert_true(bin.end_tk > bin.start_tk && bin.samples >= 1);
        assert_true(bin.active_blocks + bin.inactive_blocks + bin.free_blocks
                    == (double)(bin.samples * config->hbm_blocks * config->instance_count));
        for (int32_t n = 0; n < config->instance_count; n++) {
            assert_in_range(bin.busy_tk[n] - busy_before[n], 0, bin.end_tk - bin.start_tk);
            busy_before[n] = bin.busy_tk[n];
        }
        at = bin.end_tk;
        memcpy(grown, &bin.grown, sizeof grown);
        for (size_t w = 0; w < WORDS; w++) sum[w] += grown[w];
    }
    assert_int_equal(at, end_tk);
    memcpy(all, &state.counters, sizeof all);
    for (size_t w = 0; w < WORDS; w++) assert_int_equal(sum[w], all[w]);
}

/* `stretch` moves the arrivals apart, so that the automatic step has to double many times. */
static void run_series(uint64_t number, double step_s, int64_t stretch)
{
    struct kv_random_scenario s;
    struct kv_err err = {0};
    enum kv_sim_end end;
    kv_random_scenario_draw(&s, number);
    s.config.timeseries_s = step_s;
    s.config.replay.mode = KV_REPLAY_OPEN;
    s.config.time_limit_tk = KV_TICK_NEVER;
    for (int64_t i = 0; i < s.count; i++) s.requests[i].arrival_ns *= stretch;
    struct kv_array_source array = {s.requests, s.count, 0};
    struct kv_sim *sim = kv_sim_open(&s.config, kv_array_source(&array), (struct kv_sink){.record = ignore}, &err);
    assert_non_null(sim);
    assert_true(kv_sim_run(sim, 0, &end, &err));
    assert_int_equal(end, KV_SIM_COMPLETE);
    assert_true(kv_sim_finish(sim, &err));
    check_bins(sim, &s.config, kv_sim_now(sim));
    kv_sim_close(sim);
    kv_random_scenario_close(&s);
}

static void automatic_bins_cover_the_run_and_add_up(void **state)
{
    (void)state;
    for (uint64_t number = 0; number < 20; number++) run_series(number, 0, 1);
}

static void bins_merged_many_times_still_add_up(void **state)
{
    (void)state;
    for (uint64_t number = 0; number < 5; number++) run_series(number, 0, 1000000);
}

static void the_sampler_of_a_fixed_step_ends_with_the_run(void **state)
{
    (void)state;
    for (uint64_t number = 0; number < 5; number++) run_series(number, 0.05, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(automatic_bins_cover_the_run_and_add_up),
        cmocka_unit_test(bins_merged_many_times_still_add_up),
        cmocka_unit_test(the_sampler_of_a_fixed_step_ends_with_the_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

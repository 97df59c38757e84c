/* SPDX-License-Identifier: Apache-2.0 */
/* Engine and oracle with measured costs: 200 random scenarios, priced by each of the shipped profiles, agree bit for
 * bit. Some have long outputs, so that runs cross knots. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "tests/models/shape_file.h"
#include "tests/oracle/naive.h"
#include "tests/support/compare.h"
#include "tests/support/fast_run.h"
#include "tests/support/random_scenario.h"
#include "tests/support/sanitized.h"

#define SCENARIOS 200

static const struct profile { const char *model, *gpu; } profiles[] = {
    {"llama-3.1-8b", "rtx-pro-6000"}, {"qwen3-32b", "rtx-pro-6000"}, {"qwen3-30b-a3b", "rtx-pro-6000"},
    {"llama-3.1-8b", "rtx-4090"},
};
#define PROFILES (sizeof profiles / sizeof *profiles)

/* Steps of the profile last some 10 ms; what the scenario's own model took is anybody's guess. */
static void use_table(struct kv_random_scenario *s, const struct kv_compute_ops *ops, const struct profile *profile)
{
    static const int64_t slower[] = {1, 30, 1000};
    s->model = shape_model(&s->arena, profile->model);
    s->gpu = shape_gpu(&s->arena, profile->gpu);
    s->config.tp = 1;
    s->config.compute = ops;
    s->config.compute_params = kv_test_params(&s->arena, &ops->info);
    s->config.compute_env = (struct kv_compute_env){.model = &s->model, .gpu = &s->gpu, .tp = 1};
    s->config.time_limit_tk = KV_TICK_NEVER;
    for (int64_t i = 0; i < s->count; i++) {
        s->requests[i].arrival_ns *= slower[s->number % 3];
        if (s->number % 5 == 0) s->requests[i].output_tokens *= 20;   /* past knots */
    }
    if (s->number % 5 == 0) s->config.hbm_blocks *= 20;
}

static void engine_and_oracle_agree(void **unused)
{
    (void)unused;
    const struct kv_compute_ops *ops = kv_test_plugin("compute", "table");
    int64_t leaping = 0, preempted = 0;
    for (uint64_t number = 0; number < kv_test_scenarios(SCENARIOS * PROFILES); number++) {
        struct kv_random_scenario s;
        kv_random_scenario_draw(&s, number / PROFILES);
        use_table(&s, ops, &profiles[number % PROFILES]);
        struct kv_record *records = kv_arena_take(&s.arena, (size_t)s.count * sizeof *records);
        bool *came = kv_arena_take(&s.arena, (size_t)s.count * sizeof *came);
        struct kv_counters counters;
        struct kv_fast_run fast;
        struct kv_difference d;
        struct kv_err err = {0};
        if (!kv_oracle_run(&s.config, s.requests, s.count, records, came, &counters, NULL, NULL, NULL, &err)
            || !kv_fast_run(&fast, &s.config, s.requests, s.count, NULL, &err))
            fail_msg("%s\n  %s: %s", s.text, err.where, err.text);
        for (int64_t i = 0; i < s.count; i++)
            if (fast.came[i] != came[i] || (came[i] && !kv_records_equal(&fast.records[i], &records[i], &d)))
                fail_msg("%s\n  request %lld: %s: engine %lld, oracle %lld", s.text, (long long)i, d.field,
                         (long long)d.left, (long long)d.right);
        if (!kv_counters_equal(&fast.counters, &counters, &d)) fail_msg("%s\n  counter %s", s.text, d.field);
        leaping += counters.steps > (int64_t)fast.events;   /* samples and arrivals are events, too */
        preempted += counters.preemptions > 0;
        kv_fast_run_close(&fast);
        kv_random_scenario_close(&s);
    }
    print_message("fewer events than steps in %lld scenarios, preemptions in %lld\n", (long long)leaping,
                  (long long)preempted);
    assert_true(KV_SANITIZED || (leaping >= SCENARIOS / 4 && preempted >= 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(engine_and_oracle_agree) };
    return cmocka_run_group_tests_name("oracle with measured costs", tests, NULL, NULL);
}

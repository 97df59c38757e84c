/* SPDX-License-Identifier: Apache-2.0 */
/* Engine and oracle with measured costs: 200 random scenarios, priced by each of the shipped profiles, agree bit for
 * bit; of profiles of operators, which become the same tables when they open, 40 without KVSIM_FULL. Some have long
 * outputs, so that runs cross knots. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/models/shape_file.h"
#include "tests/oracle/naive.h"
#include "tests/support/compare.h"
#include "tests/support/fast_run.h"
#include "tests/support/random_scenario.h"
#include "tests/support/sanitized.h"

#define SCENARIOS 200

/* `name` NULL: auto. */
static const struct profile { const char *name, *model, *gpu; int32_t tp; bool operators; } profiles[] = {
    {NULL, "llama-3.1-8b", "rtx-pro-6000", 1, false}, {NULL, "qwen3-32b", "rtx-pro-6000", 1, false},
    {NULL, "qwen3-30b-a3b", "rtx-pro-6000", 1, false}, {NULL, "llama-3.1-8b", "rtx-4090", 1, false},
    {NULL, "qwen3-32b", "rtx-pro-6000", 2, false}, {NULL, "qwen3-8b", "rtx-pro-6000", 1, true},
    {NULL, "llama-3.1-8b", "h200-sxm", 1, true}, {NULL, "llama-3.1-70b", "h100-sxm", 4, true},
    {NULL, "llama-3.1-8b", "a100-sxm", 1, true}, {NULL, "qwen2.5-72b", "b200-sxm", 2, true},
    {NULL, "mistral-7b", "l40s", 1, true}, {"h200-sxm_kvsim", "llama-3.1-8b", "h200-sxm", 1, true},
};
#define PROFILES (sizeof profiles / sizeof *profiles)

/* Layers are composed of operators once: what a table opens is kept, and copied where engine and oracle open it. */
static struct kv_compute_ops kept_ops;
static const struct kv_compute_ops *table;
static void *kept;
static bool open_kept(void *state, const void *params, const struct kv_compute_env *env, struct kv_err *err)
{
    if (!kept) {
        kept = calloc(1, table->state_bytes);
        if (!table->open(kept, params, env, err)) return false;
    }
    memcpy(state, kept, table->state_bytes);
    return true;
}

static void forget_kept(void)
{
    free(kept);
    kept = NULL;
}

/* Steps of the profile last some 10 ms; what the scenario's own model took is anybody's guess. */
static void use_table(struct kv_random_scenario *s, const struct profile *profile)
{
    static const int64_t slower[] = {1, 30, 1000};
    s->model = shape_model(&s->arena, profile->model);
    s->gpu = shape_gpu(&s->arena, profile->gpu);
    s->config.tp = profile->tp;
    s->config.compute = &kept_ops;
    void *params = kv_test_params(&s->arena, &table->info);
    if (profile->name) memcpy((char *)params + table->info.params[0].offset, &profile->name, sizeof profile->name);
    s->config.compute_params = params;
    s->config.compute_env = (struct kv_compute_env){.model = &s->model, .gpu = &s->gpu, .tp = profile->tp};
    s->config.time_limit_tk = KV_TICK_NEVER;
    for (int64_t i = 0; i < s->count; i++) {
        s->requests[i].arrival_ns *= slower[s->number % 3];
        if (s->number % 5 == 0) s->requests[i].output_tokens *= 20;   /* past knots */
    }
    if (s->number % 5 == 0) s->config.hbm_blocks *= 20;
}

static struct { int64_t leaping, preempted; } seen;

static void compare(const struct profile *profile, uint64_t number)
{
    struct kv_random_scenario s;
    kv_random_scenario_draw(&s, number);
    use_table(&s, profile);
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
            fail_msg("%s\n  %s on %s, request %lld: %s: engine %lld, oracle %lld", s.text, profile->model, profile->gpu,
                     (long long)i, d.field, (long long)d.left, (long long)d.right);
    if (!kv_counters_equal(&fast.counters, &counters, &d)) fail_msg("%s\n  counter %s", s.text, d.field);
    seen.leaping += counters.steps > (int64_t)fast.events;   /* samples and arrivals are events, too */
    seen.preempted += counters.preemptions > 0;
    kv_fast_run_close(&fast);
    kv_random_scenario_close(&s);
}

static void engine_and_oracle_agree(void **unused)
{
    (void)unused;
    table = kv_test_plugin("compute", "table");
    kept_ops = *table;
    kept_ops.open = open_kept;
    for (size_t i = 0; i < PROFILES; i++) {
        uint64_t all = profiles[i].operators && !getenv("KVSIM_FULL") ? SCENARIOS / 5 : SCENARIOS;
        for (uint64_t number = 0; number < kv_test_scenarios(all); number++) compare(&profiles[i], number);
        forget_kept();
    }
    print_message("fewer events than steps in %lld scenarios, preemptions in %lld\n", (long long)seen.leaping,
                  (long long)seen.preempted);
    assert_true(KV_SANITIZED || (seen.leaping >= SCENARIOS / 4 && seen.preempted >= 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(engine_and_oracle_agree) };
    return cmocka_run_group_tests_name("oracle with measured costs", tests, NULL, NULL);
}

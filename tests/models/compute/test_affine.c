/* SPDX-License-Identifier: Apache-2.0 */
/* affine against its formula, in whole nanoseconds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "tests/models/plugin_params.h"
#include "tests/support/arena.h"

static const struct kv_compute_env nothing;

/* Opens affine with the six coefficients in ns, in the order of its parameter table. */
static bool open_ns(void **state_out, const double ns[6], struct kv_err *err)
{
    const struct kv_plugin *plugin = kv_plugin_find(KV_FAMILY_compute, "affine");
    assert_non_null(plugin);
    char *params = plugin_defaults(&arena, plugin->info);
    const struct kv_param *row = plugin->info->params;
    for (int32_t i = 0; i < 6; i++, row++) {
        assert_non_null(row->key);
        double seconds = ns[i] * 1e-9;
        memcpy(params + row->offset, &seconds, sizeof seconds);
    }
    assert_null(row->key);
    *state_out = kv_arena_take(&arena, kv_plugin_ops(compute, plugin)->state_bytes);
    return kv_plugin_ops(compute, plugin)->open(*state_out, params, &nothing, err);
}

static struct kv_run price(const double ns[6], const struct kv_batch *batch)
{
    void *state;
    assert_true(open_ns(&state, ns, NULL));
    return kv_plugin_ops(compute, kv_plugin_find(KV_FAMILY_compute, "affine"))->price(state, batch);
}

/* a, b, c, base, per sequence, per KV token */
static const double coefficients[6] = { 1000, 30, 2, 700, 11, 5 };

static void assert_ns(kv_cost cost, int64_t ns)
{
    assert_int_equal((int64_t)(cost / KV_COST_PER_NS), ns);
    assert_int_equal((int64_t)(cost % KV_COST_PER_NS), 0);
}

static void a_chunk_costs_its_tokens_and_its_causal_pairs(void **unused)
{
    (void)unused;
    struct kv_chunk chunks[] = { {10, 0, true}, {4, 100, false} };
    struct kv_batch batch = { .chunks = chunks, .chunk_count = 1 };
    struct kv_run run = price(coefficients, &batch);
    assert_ns(run.first, 1000 + 10 * 30 + 55 * 2);
    assert_int_equal(run.steps, 1);
    batch.chunk_count = 2;   /* the constant once: 4 queries see 101 + 102 + 103 + 104 keys */
    assert_ns(price(coefficients, &batch).first, 1000 + 14 * 30 + (55 + 410) * 2);
}

static void a_chunk_cut_in_two_costs_the_same_but_for_the_constant(void **unused)
{
    (void)unused;
    struct kv_chunk whole = {1000, 24, true}, first = {600, 24, false}, second = {400, 624, true};
    struct kv_batch b = { .chunks = &whole, .chunk_count = 1 };
    kv_cost together = price(coefficients, &b).first;
    b.chunks = &first;
    kv_cost apart = price(coefficients, &b).first;
    b.chunks = &second;
    apart += price(coefficients, &b).first;
    assert_ns(apart - together, 1000);
}

static void decodes_grow_by_their_number_a_step(void **unused)
{
    (void)unused;
    struct kv_batch batch = { .decode_count = 3, .ctx_sum = 600, .ctx_max = 300 };
    struct kv_run run = price(coefficients, &batch);
    assert_ns(run.first, 700 + 3 * 11 + 600 * 5);
    assert_ns(run.slope, 3 * 5);
    assert_true(run.steps > INT64_C(1) << 40);
}

static void a_mixed_step_pays_the_larger_constant_once(void **unused)
{
    (void)unused;
    struct kv_chunk chunk = {2, 0, false};
    struct kv_batch batch = { .decode_count = 1, .ctx_sum = 10, .ctx_max = 10, .chunks = &chunk, .chunk_count = 1 };
    assert_ns(price(coefficients, &batch).first, 1000 + 2 * 30 + 3 * 2 + 11 + 50);
    double swapped[6];
    memcpy(swapped, coefficients, sizeof swapped);
    swapped[3] = 5000;
    assert_ns(price(swapped, &batch).first, 5000 + 2 * 30 + 3 * 2 + 11 + 50);
}

static void without_any_coefficient_it_does_not_open(void **unused)
{
    (void)unused;
    struct kv_err err = {0};
    double zeros[6] = {0};
    void *state;
    assert_false(open_ns(&state, zeros, &err));
    assert_int_equal(err.code, KV_ECONFIG);
    assert_non_null(strstr(err.text, "decode_base"));
}

static void the_least_cost_is_one_unit_and_runs_stay_exact(void **unused)
{
    (void)unused;
    double only_kv[6] = { 0, 0, 0, 0, 0, 5 };
    struct kv_batch batch = { .decode_count = 2 };   /* empty contexts: nothing to charge for */
    struct kv_run run = price(only_kv, &batch);
    assert_int_equal((int64_t)run.first, 1);
    batch.ctx_sum = 2;
    assert_true(price(only_kv, &batch).first == run.first + run.slope);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chunk_costs_its_tokens_and_its_causal_pairs),
        cmocka_unit_test(a_chunk_cut_in_two_costs_the_same_but_for_the_constant),
        cmocka_unit_test(decodes_grow_by_their_number_a_step),
        cmocka_unit_test(a_mixed_step_pays_the_larger_constant_once),
        cmocka_unit_test(without_any_coefficient_it_does_not_open),
        cmocka_unit_test(the_least_cost_is_one_unit_and_runs_stay_exact),
    };
    return cmocka_run_group_tests_name("models/compute/affine", tests, NULL, close_arena);
}

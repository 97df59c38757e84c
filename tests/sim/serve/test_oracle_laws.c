/* SPDX-License-Identifier: Apache-2.0 */
/* The naive engine of tests/oracle against closed forms and laws of its own, so that it is not only the engine's twin:
 * a load of one request alone on a link, layer by layer, exact to the tick; and sums over random scenarios. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/oracle/naive.h"
#include "tests/support/alone.h"
#include "tests/support/compare.h"
#include "tests/support/odd_models.h"
#include "tests/support/random_scenario.h"
#include "tests/support/sanitized.h"

/* Costs of the layers of the one step that computes the seven tokens behind the hit. */
struct step { kv_cost layer[KV_ALONE_LAYERS], before, after; };

static struct step price(struct kv_alone *a)
{
    char state[256] = {0};
    struct kv_err err;
    struct step s;
    assert_true(kv_test_compute.state_bytes <= sizeof state);
    assert_true(kv_test_compute.open(state, &a->compute, &a->config.compute_env, &err));
    struct kv_chunk chunk = {7, KV_ALONE_HIT_BLOCKS * KV_ALONE_BLOCK, true};
    struct kv_batch batch = {.chunks = &chunk, .chunk_count = 1};
    kv_compute_layers(&kv_test_compute, state, &batch, s.layer, KV_ALONE_LAYERS, &s.before, &s.after);
    s.after += kv_cost_from_s(a->config.engine.host_overhead_s);
    return s;
}

static kv_cost of_tick(kv_tick tick)
{
    return (kv_cost)tick * KV_COST_PER_TICK;
}

static kv_cost later(kv_cost x, kv_cost y)
{
    return x > y ? x : y;
}

/* Tick at which a flow that starts at `start` and has the device to itself has delivered layers first .. last. */
static kv_tick delivered(const struct kv_alone *a, kv_tick start, int first, int last)
{
    kv_service bytes = 0;
    for (int l = first; l <= last; l++) bytes += a->bytes[l] * KV_ALONE_HIT_BLOCKS * KV_ALONE_BLOCK;
    return start + kv_rate_ticks(bytes * KV_SERVICE_PER_BYTE, KV_ALONE_RATE);
}

static void without_a_bound_a_step_takes_the_longest_way_through_its_layers(void **state)
{
    (void)state;
    struct kv_alone a;
    kv_alone_open(&a);
    const struct kv_record *r = kv_alone_run(&a);
    struct step s = price(&a);
    kv_tick begin = r->arrival_tk;
    assert_int_equal(r->first_sched_tk, begin);    /* released at once */
    /* T = max over l of A_l + the sum of C from l on. */
    kv_cost rest = s.after, end = 0, none = of_tick(begin) + s.before + s.after;
    for (int l = KV_ALONE_LAYERS - 1; l >= 0; l--) {
        rest += s.layer[l];
        none += s.layer[l];
        end = later(end, of_tick(delivered(&a, begin + KV_ALONE_DELAY, 0, l)) + rest);
    }
    end = later(end, none);
    assert_int_equal(r->first_token_tk, kv_cost_ceil_tk(end));
    assert_int_equal(r->fetch_stall_tk, kv_cost_ceil_tk(end) - kv_cost_ceil_tk(none));
    assert_true(r->fetch_stall_tk > 0);
    kv_alone_close(&a);
}

static void a_look_ahead_of_one_layer_is_the_recurrence_of_published_work(void **state)
{
    (void)state;
    struct kv_alone a;
    kv_alone_open(&a);
    a.config.fetch.lookahead_layers = 1;
    const struct kv_record *r = kv_alone_run(&a);
    struct step s = price(&a);
    /* Delivery of a layer starts when the layer before it starts to be computed. */
    kv_tick arrival = delivered(&a, r->arrival_tk + KV_ALONE_DELAY, 0, 0);
    kv_cost at = of_tick(r->arrival_tk) + s.before;
    for (int l = 0; l < KV_ALONE_LAYERS; l++) {
        at = later(at, of_tick(arrival));
        if (l + 1 < KV_ALONE_LAYERS) arrival = delivered(&a, kv_cost_ceil_tk(at), l + 1, l + 1);
        at += s.layer[l];
    }
    assert_int_equal(r->first_token_tk, kv_cost_ceil_tk(at + s.after));
    kv_alone_close(&a);
}

static void looking_further_ahead_never_takes_longer(void **state)
{
    (void)state;
    kv_tick before = KV_TICK_NEVER;
    for (int64_t ahead = 1; ahead <= KV_ALONE_LAYERS + 1; ahead++) {
        struct kv_alone a;
        kv_alone_open(&a);
        a.config.fetch.lookahead_layers = ahead > KV_ALONE_LAYERS ? 0 : ahead;
        kv_tick end = kv_alone_run(&a)->first_token_tk;
        assert_true(end <= before);
        before = end;
        kv_alone_close(&a);
    }
}

static void a_request_joins_when_the_layers_asked_for_are_there(void **state)
{
    (void)state;
    for (int needed = 1; needed <= KV_ALONE_LAYERS + 1; needed++) {
        struct kv_alone a;
        kv_alone_open(&a);
        a.config.fetch.release_after_layers = needed;
        const struct kv_record *r = kv_alone_run(&a);
        int last = needed < KV_ALONE_LAYERS ? needed - 1 : KV_ALONE_LAYERS - 1;
        assert_int_equal(r->first_sched_tk, delivered(&a, r->arrival_tk + KV_ALONE_DELAY, 0, last));
        assert_int_equal(r->queue_tk, 0);
        kv_alone_close(&a);
    }
}

static void in_one_stream_everything_is_there_before_it_joins(void **state)
{
    (void)state;
    struct kv_alone a;
    kv_alone_open(&a);
    a.config.fetch.mode = KV_DELIVERY_BULK;
    const struct kv_record *r = kv_alone_run(&a);
    assert_int_equal(r->first_sched_tk, delivered(&a, r->arrival_tk + KV_ALONE_DELAY, 0, KV_ALONE_LAYERS - 1));
    assert_int_equal(r->fetch_stall_tk, r->first_sched_tk - r->arrival_tk);
    kv_alone_close(&a);
}

static void without_any_limit_a_load_takes_a_tick(void **state)
{
    (void)state;
    struct kv_alone a;
    kv_alone_open(&a);
    a.store = (struct kv_test_store_params){.limit = KV_RATE_UNLIMITED, .write_limit = KV_RATE_UNLIMITED,
                                            .device = KV_RATE_UNLIMITED};
    const struct kv_record *r = kv_alone_run(&a);
    struct step s = price(&a);
    kv_cost none = s.before + s.after;
    for (int l = 0; l < KV_ALONE_LAYERS; l++) none += s.layer[l];
    assert_true(r->fetch_stall_tk <= 1);
    assert_true(r->first_token_tk - r->arrival_tk <= kv_cost_ceil_tk(none) + 1);
    kv_alone_close(&a);
}

/* --- Over random scenarios --- */

struct result {
    struct kv_arena arena;
    struct kv_record *records;
    bool *came;
    struct kv_counters counters;
};

static void run(struct result *result, const struct kv_random_scenario *s, const struct kv_sim_config *config)
{
    struct kv_err err;
    *result = (struct result){0};
    result->records = kv_arena_take(&result->arena, (size_t)s->count * sizeof *result->records);
    result->came = kv_arena_take(&result->arena, (size_t)s->count * sizeof *result->came);
    assert_true(kv_oracle_run(config, s->requests, s->count, result->records, result->came, &result->counters, NULL,
                              NULL, NULL, &err));
}

static void tiers_that_nobody_writes_to_change_nothing(void **state)
{
    (void)state;
    for (uint64_t number = 0; number < 60; number++) {
        struct kv_random_scenario s;
        kv_random_scenario_draw(&s, number);
        s.config.engine.async_scheduling = false;   /* with tiers nobody schedules ahead (rule 13a) */
        struct kv_alone with;
        kv_alone_open(&with);
        struct kv_sim_config tiers = s.config;
        tiers.tier[1] = with.config.tier[1];
        tiers.tier[1].chunk_tokens = s.config.engine.block_tokens;
        tiers.tier[1].write = KV_WRITE_NONE;
        tiers.tier[1].store_params = &with.store;
        tiers.tier_count = 2;
        tiers.network = with.config.network;
        tiers.network.gpus_per_node = 8;
        tiers.fetch = with.config.fetch;
        struct result one, two;
        run(&one, &s, &s.config);
        run(&two, &s, &tiers);
        for (int64_t i = 0; i < s.count; i++) {
            struct kv_difference d = {0};
            int32_t *source = two.records[i].prompt_tokens_by_source;
            assert_int_equal(source[1], 0);        /* the tier; what was computed stands behind it */
            source[1] = source[2];
            source[2] = 0;
            if (one.came[i] != two.came[i] || !kv_records_equal(&one.records[i], &two.records[i], &d))
                fail_msg("%s\nrequest %lld: %s", s.text, (long long)i, d.field);
        }
        kv_arena_close(&one.arena);
        kv_arena_close(&two.arena);
        kv_random_scenario_close(&s);
    }
}

/* Of runs in which everybody finished, what records say adds up to what the counters say. */
static void records_add_up_to_counters(void **state)
{
    (void)state;
    int64_t whole = 0;
    for (uint64_t number = 0; number < kv_test_scenarios(120); number++) {
        struct kv_random_scenario s;
        kv_random_scenario_draw_tiers(&s, number);
        struct result r;
        run(&r, &s, &s.config);
        const struct kv_counters *c = &r.counters;
        int64_t hits[KV_TIERS_MAX] = {0}, fetched[KV_TIERS_MAX] = {0}, stall = 0, induced = 0, all = 0;
        for (int64_t i = 0; i < s.count; i++) {
            for (int t = 0; t < s.config.tier_count; t++) {
                hits[t] += r.records[i].prompt_tokens_by_source[t];
                fetched[t] += r.records[i].fetched_bytes[t];
            }
            stall += r.records[i].fetch_stall_tk;
            induced += r.records[i].induced_stall_tk;
        }
        if (c->finished + c->rejected + c->failed == s.count) {
            whole++;
            assert_int_equal(stall, c->fetch_stall_tk);
            assert_int_equal(induced, c->induced_stall_tk);
        }
        for (int t = 0; t < s.config.tier_count; t++) {
            assert_int_equal(hits[t], c->tier[t].hit_tokens);
            assert_true(fetched[t] <= c->tier[t].read_bytes);
            /* What goes on for others when its owner has left is nobody's. */
            bool left = s.config.fetch.mode == KV_DELIVERY_BIDIRECTIONAL && c->preemptions > 0;
            if (c->given_back == 0 && !left) assert_int_equal(fetched[t], c->tier[t].read_bytes);
            all += hits[t];
        }
        assert_int_equal(all, c->hit_tokens);
        assert_int_equal(c->tier[0].asked_tokens, c->prompt_tokens);
        kv_arena_close(&r.arena);
        kv_random_scenario_close(&s);
    }
    assert_true(KV_SANITIZED || whole > 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_bound_a_step_takes_the_longest_way_through_its_layers),
        cmocka_unit_test(a_look_ahead_of_one_layer_is_the_recurrence_of_published_work),
        cmocka_unit_test(looking_further_ahead_never_takes_longer),
        cmocka_unit_test(a_request_joins_when_the_layers_asked_for_are_there),
        cmocka_unit_test(in_one_stream_everything_is_there_before_it_joins),
        cmocka_unit_test(without_any_limit_a_load_takes_a_tick),
        cmocka_unit_test(tiers_that_nobody_writes_to_change_nothing),
        cmocka_unit_test(records_add_up_to_counters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

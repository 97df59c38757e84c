/* SPDX-License-Identifier: Apache-2.0 */
/* Laws that hold for any scenario with lower tiers (design.md 6, numbers 4 and 6). Hits against the reference values of
 * ../shared/traces are in test_infinite_tier. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sim/lib/kvsize.h"
#include "tests/support/compare.h"
#include "tests/support/tier_bench.h"

#define SECOND_NS INT64_C(1000000000)

static uint64_t dice_state;
static int64_t dice(int64_t low, int64_t high)
{
    return low + (int64_t)(kv_mix64_pair(79, dice_state++) % (uint64_t)(high - low + 1));
}

/* --- The lower bound --- */

/* A conversation whose every turn meets another instance: unlimited rates, no delays, room for all, generated tokens
 * written too. All of the turn before is found, and the time to the first token is the price of what is not, plus the
 * one tick that an unlimited flow takes. */
static void a_conversation(int64_t mode, int64_t release)
{
    struct kv_tier_bench b;
    kv_tier_bench_open(&b, 4);
    b.config.compute = kv_test_plugin("compute", "affine");
    void *affine = kv_test_params(&b.arena, &b.config.compute->info);
    b.config.compute_params = affine;
    kv_test_param_set(&b.config.compute->info, affine, "prefill_base", kv_test_exact_s(5000));
    kv_test_param_set(&b.config.compute->info, affine, "prefill_per_token", kv_test_exact_s(70));
    kv_test_param_set(&b.config.compute->info, affine, "prefill_per_pair", 1e-12);
    kv_test_param_set(&b.config.compute->info, affine, "decode_base", kv_test_exact_s(900));
    b.config.fetch.mode = mode;
    b.config.fetch.release_after_layers = release;
    b.config.fetch.concurrency = 1 << 20;
    b.config.tier[1].write_decode = true;
    int32_t known = 0;
    for (int32_t turn = 0; turn < 40; turn++) {
        int32_t input = known + (int32_t)dice(2, 90), output = (int32_t)dice(1, 60);
        struct kv_request *q = kv_tier_bench_come(&b, turn * SECOND_NS, turn % 4, 5, input, output);
        known = q->prefix.known_tokens = input + output;
    }
    const struct kv_record *r = kv_tier_bench_serve(&b);
    void *compute = kv_arena_take(&b.arena, b.config.compute->state_bytes);
    struct kv_err err = {0};
    assert_true(b.config.compute->open(compute, affine, &b.config.compute_env, &err));
    for (int32_t turn = 0; turn < 40; turn++) {
        const struct kv_request *q = &b.request[turn];
        int32_t hit = turn == 0 ? 0 : b.request[turn - 1].prefix.known_tokens - 1;   /* the last token has no KV */
        if (hit > q->input_tokens - 1) hit = q->input_tokens - 1;
        hit = hit / KV_BENCH_BLOCK * KV_BENCH_BLOCK;
        assert_int_equal(r[turn].prompt_tokens_by_source[0] + r[turn].prompt_tokens_by_source[1], hit);
        struct kv_chunk chunk = {q->input_tokens - hit, hit, true};
        struct kv_batch batch = {.chunks = &chunk, .chunk_count = 1};
        if (chunk.new_tokens == 1) batch = (struct kv_batch){.decode_count = 1, .ctx_sum = hit, .ctx_max = hit};
        kv_tick least_tk = kv_cost_ceil_tk(b.config.compute->price(compute, &batch).first);
        bool fetched = r[turn].prompt_tokens_by_source[1] > 0;
        assert_int_equal(r[turn].first_token_tk - r[turn].arrival_tk, least_tk + fetched);
        assert_int_equal(r[turn].queue_tk, 0);
    }
    kv_tier_bench_close(&b);
}

static void without_limits_the_first_token_takes_what_the_uncached_part_takes_to_compute(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        a_conversation(KV_DELIVERY_BULK, 0);
        a_conversation(KV_DELIVERY_CHUNKWISE, 0);
        a_conversation(KV_DELIVERY_LAYERWISE, 0);
        a_conversation(KV_DELIVERY_LAYERWISE, 1);
    }
}

/* --- Tiers that nobody writes --- */

static void tiers_that_are_never_written_change_no_record(void **state)
{
    (void)state;
    struct kv_tier_bench b;
    kv_tier_bench_open(&b, 2);
    kv_tier_bench_add_tier(&b);
    for (uint64_t number = 0; number < 240; number++) {
        struct kv_random_scenario s;
        struct kv_fast_run plain, tiers;
        struct kv_err err = {0};
        struct kv_difference d;
        kv_random_scenario_draw(&s, number);
        struct kv_sim_config config = s.config;
        config.tier_count = 1;
        config.handover = (struct kv_handover_config){0};
        config.engine.async_scheduling = false;   /* with tiers nobody schedules ahead (rule 13a) */
        if (!kv_fast_run(&plain, &config, s.requests, s.count, NULL, &err)) fail_msg("%s: %s", s.text, err.text);
        config.tier_count = 3;
        for (int32_t tier = 1; tier < 3; tier++) {
            config.tier[tier] = b.config.tier[tier];
            config.tier[tier].write = KV_WRITE_NONE;
            config.tier[tier].chunk_tokens = config.engine.block_tokens * dice(1, 3);
            config.tier[tier].capacity_chunks = dice(0, 100);
            config.tier[tier].scope = KV_SCOPE_GPU;
        }
        config.fetch = b.config.fetch;
        config.network = b.config.network;
        if (!kv_fast_run(&tiers, &config, s.requests, s.count, NULL, &err)) fail_msg("%s: %s", s.text, err.text);
        assert_int_equal(plain.given, tiers.given);
        assert_int_equal(plain.end, tiers.end);
        for (int64_t i = 0; i < s.count; i++) {
            assert_int_equal(plain.recorded[i], tiers.recorded[i]);
            if (!plain.recorded[i]) continue;
            /* The same sources, further apart: compute is behind the tiers. */
            int32_t *source = tiers.records[i].prompt_tokens_by_source;
            assert_int_equal(source[1] + source[2], 0);
            source[1] = source[3];
            source[3] = 0;
            if (!kv_records_equal(&plain.records[i], &tiers.records[i], &d))
                fail_msg("%s: request %lld, %s: %lld and %lld", s.text, (long long)i, d.field, (long long)d.left,
                         (long long)d.right);
        }
        assert_int_equal(tiers.counters.fetches, 0);
        kv_fast_run_close(&plain);
        kv_fast_run_close(&tiers);
        kv_random_scenario_close(&s);
    }
    kv_arena_close(&b.arena);
}

/* --- More bandwidth --- */

/* One load, of one request: the faster the store, the earlier its end, or as early. */
static void more_bandwidth_never_makes_a_request_later(void **state)
{
    (void)state;
    static const struct { int64_t mode, ahead, release; } ways[] = {
        {KV_DELIVERY_BULK, 0, 0}, {KV_DELIVERY_CHUNKWISE, 0, 0}, {KV_DELIVERY_LAYERWISE, 0, 0},
        {KV_DELIVERY_LAYERWISE, 0, 2}, {KV_DELIVERY_LAYERWISE, 1, 1}, {KV_DELIVERY_LAYERWISE, 3, 2}};
    for (size_t way = 0; way < sizeof ways / sizeof *ways; way++) {
        struct kv_tier_bench b;
        kv_tier_bench_open(&b, 8);
        b.config.fetch.mode = ways[way].mode;
        b.config.fetch.lookahead_layers = ways[way].ahead;
        b.config.fetch.release_after_layers = ways[way].release;
        b.config.fetch.concurrency = 3;
        for (int32_t l = 0; l < 8; l++) b.compute.chunk[l] = dice(0, 900) * KV_COST_PER_TICK;
        for (int32_t l = 0; l < 8; l++) b.layer_bytes[l] = dice(1, 40);
        kv_tier_bench_come(&b, 0, 0, 5, 10 * KV_BENCH_BLOCK, 1);
        kv_tier_bench_come(&b, 100 * SECOND_NS, 1, 5, 10 * KV_BENCH_BLOCK + 30, 5);
        kv_tick before_tk = KV_TICK_NEVER, first_tk = 0, arrival_tk = 100 * SECOND_NS * KV_TICKS_PER_NS;
        for (kv_rate rate = 1 << 20; rate < (kv_rate)1 << 44; rate += rate / 3 + 1) {
            b.store[1].device = rate;
            const struct kv_record *r = kv_tier_bench_serve(&b);
            assert_true(r[1].prompt_tokens_by_source[1] > 0);
            assert_true(r[1].finish_tk <= before_tk);
            before_tk = r[1].finish_tk;
            if (first_tk == 0) first_tk = before_tk;
            kv_tier_bench_again(&b);
        }
        assert_true(before_tk - arrival_tk < (first_tk - arrival_tk) / 100);
        kv_arena_close(&b.arena);
    }
}

/* --- Bytes --- */

struct ledger { const struct kv_sim_config *config; bool roomy; int64_t looks, quiet; };

/* Bytes that a link carried beyond those counted: of a flow that was cancelled the last is counted when it is whole, on
 * each part. Where nothing was cancelled there are none. */
static void expect_carried(const struct ledger *w, const struct kv_counters *c, int64_t carried, int64_t counted)
{
    int64_t cancelled = (c->fetch_timeouts + c->fetch_cancels) * w->config->fetch.concurrency * w->config->tier_count;
    for (int32_t tier = 1; tier < w->config->tier_count; tier++) cancelled += c->tier[tier].dropped_chunks;
    assert_true(carried >= counted);
    assert_true(carried - counted <= (w->roomy ? 0 : cancelled * w->config->tp));
}

/* What links have carried is what tiers have counted, plus what flows under way have brought so far: at least as much
 * while there are any, exactly as much whenever there are none. (A flow that a bounded look-ahead makes pause is on no
 * link meanwhile.) */
static bool add_up(void *state, struct kv_sim *sim)
{
    struct ledger *w = state;
    struct kv_sim_state now;
    int64_t device[KV_TIERS_MAX] = {0}, in = 0, out = 0, flows = 0;
    kv_sim_read(sim, &now);
    for (int32_t i = 0; i < kv_sim_link_count(sim); i++) {
        struct kv_sim_link link;
        kv_sim_link(sim, i, &link);
        flows += link.flows;
        if (!strncmp(link.name, "pcie.", 5)) *(strstr(link.name, ".in") ? &in : &out) += link.carried_bytes;
        for (int32_t tier = 1; tier < w->config->tier_count; tier++)
            if (!strncmp(link.name, "device.", 7) && strstr(link.name, w->config->tier[tier].name))
                device[tier] += link.carried_bytes;
    }
    bool paused = w->config->fetch.lookahead_layers > 0 && now.fetching + now.running > 0;
    bool quiet = flows == 0 && !paused;
    int64_t read = 0, written = 0, tp = w->config->tp;
    for (int32_t tier = 1; tier < w->config->tier_count; tier++) {
        const struct kv_tier_counters *c = &now.counters.tier[tier];
        struct kv_sim_tier_state pool;
        kv_sim_tier(sim, tier, &pool);
        assert_true(pool.pinned_chunks <= pool.used_chunks);
        assert_true(pool.used_chunks <= pool.pools * w->config->tier[tier].capacity_chunks);
        assert_true(c->wasted_bytes <= c->read_bytes + c->written_bytes);
        /* T17b: what the tier below takes over leaves through this device, and over no PCIe. */
        bool below = tier + 1 < w->config->tier_count && w->config->tier[tier + 1].write == KV_WRITE_ON_EVICT;
        int64_t counted = c->read_bytes + c->written_bytes + (below ? now.counters.tier[tier + 1].written_bytes : 0);
        assert_true(device[tier] >= counted);
        if (quiet) expect_carried(w, &now.counters, device[tier], counted);
        read += c->read_bytes;
        if (tier == 1 || w->config->tier[tier].write != KV_WRITE_ON_EVICT) written += c->written_bytes;
    }
    assert_true(in * tp >= read && out * tp >= written);
    if (quiet) expect_carried(w, &now.counters, in * tp, read);
    if (quiet) expect_carried(w, &now.counters, out * tp, written);
    w->looks++;
    w->quiet += quiet;
    return true;
}

/* Tokens asked of a tier are those not found above it; all tiers together have found the hits. By tier they are also
 * the
 * sums over requests. */
static void expect_tokens(const struct kv_tier_bench *b, int64_t count)
{
    const struct kv_counters *c = &b->run.counters;
    int64_t asked = c->prompt_tokens, hit = 0;
    for (int32_t tier = 0; tier < b->config.tier_count; tier++) {
        int64_t here = 0;
        for (int64_t i = 0; i < count; i++) here += b->run.records[i].prompt_tokens_by_source[tier];
        assert_int_equal(c->tier[tier].asked_tokens, asked);
        assert_int_equal(c->tier[tier].hit_tokens, here);
        asked -= here;
        hit += here;
    }
    assert_int_equal(c->hit_tokens, hit);
}

/* Three lower tiers too small for what they are asked to keep; unless `roomy`, HBM too, and loads have timeouts: then
 * writes and loads are cut short. */
static void crowd(struct kv_tier_bench *b, bool roomy, struct kv_request *request, int64_t count)
{
    static const int64_t write[] = {KV_WRITE_THROUGH, KV_WRITE_ON_EVICT, KV_WRITE_BACK};
    kv_tier_bench_open(b, 3);
    b->config.read_layer_bytes = NULL;
    b->config.tp = b->config.compute_env.tp = (int32_t)dice(1, 2);
    b->config.network.pcie_Bps = (double)dice(1000000, 90000000) * 1000;
    b->config.network.gpus_per_node = (int32_t)dice(1, 4) * b->config.tp;
    b->config.hbm_blocks = roomy ? 2000 : dice(20, 60);
    b->config.fetch.mode = dice(KV_DELIVERY_BULK, KV_DELIVERY_AUTO);
    b->config.fetch.auto_bytes = dice(1, 30) * 1000;
    b->config.fetch.lookahead_layers = dice(0, 2);
    b->config.fetch.release_after_layers = dice(0, 3);
    b->config.fetch.concurrency = (int32_t)dice(1, 3);
    b->fetch.timeout_tk = roomy || dice(0, 1) ? KV_TICK_NEVER : dice(100, 40000);
    kv_tier_bench_add_tier(b);
    kv_tier_bench_add_tier(b);
    for (int32_t tier = 1; tier < 4; tier++) {
        b->store[tier] = (struct kv_bench_store){
            .delay_tk = dice(0, 1) * dice(0, 9000), .ack_tk = dice(0, 9000), .limit = dice(1, 1 << 30) * 99,
            .device = dice(1, 1 << 30) * 77, .turns = dice(0, 2), .crowd_tk = dice(0, 1) * dice(0, 900),
            .refuses = dice(0, 1), .line = dice(0, 2), .retry_tk = dice(1, 9000), .retry_more_tk = dice(0, 900)};
        b->config.tier[tier].capacity_chunks = dice(10, 80);
        b->config.tier[tier].write = write[tier - 1];
        b->config.tier[tier].fill = tier == 3 && dice(0, 1) ? 1u << 1 : 0;
        b->config.tier[tier].scope = tier == 3 ? KV_SCOPE_CLUSTER : KV_SCOPE_NODE;
        b->config.tier[tier].write_decode = dice(0, 1);
    }
    for (int32_t l = 0; l < 3; l++) b->compute.chunk[l] = dice(1, 9000) * KV_COST_PER_TICK + dice(0, 1000);
    for (int32_t l = 0; l < 3; l++) b->compute.decode[l] = b->compute.chunk[l] / 5 + 1;
    int64_t now_ns = 0;
    for (int64_t i = 0; i < count; i++) {
        int32_t input = (int32_t)dice(1, 12) * 20, output = (int32_t)dice(1, 40);
        request[i] = (struct kv_request){
            .index = i, .trace_row = i + 1, .arrival_ns = now_ns += dice(0, 300), .think_ns = -1, .elapsed_ns = -1,
            .input_tokens = input, .output_tokens = output, .slo_class = (uint16_t)dice(0, 3),
            .prefix = {.own_stream = (uint64_t)dice(1, 12), .known_tokens = input + (dice(0, 1) ? output : 0)}};
    }
}

static void bytes_over_links_and_tokens_are_those_of_tiers(void **state)
{
    (void)state;
    int64_t fetches = 0, timeouts = 0, dropped = 0, evicted = 0, looks = 0, quiet = 0;
    for (int i = 0; i < 60; i++) {
        static struct kv_request request[300];
        struct kv_tier_bench b;
        struct kv_err err = {0};
        crowd(&b, i % 3 == 0, request, 300);
        struct ledger ledger = {.config = &b.config, .roomy = i % 3 == 0};
        struct kv_between between = {&ledger, add_up, 1};
        if (!kv_fast_run(&b.run, &b.config, request, 300, &between, &err)) fail_msg("%d: %s", i, err.text);
        assert_int_equal(b.run.end, KV_SIM_COMPLETE);
        assert_int_equal(b.run.counters.finished, 300);
        expect_tokens(&b, 300);
        fetches += b.run.counters.fetches;
        timeouts += b.run.counters.fetch_timeouts;
        looks += ledger.looks;
        quiet += ledger.quiet;
        for (int32_t tier = 1; tier < 4; tier++) {
            dropped += b.run.counters.tier[tier].dropped_chunks;
            evicted += b.run.counters.tier[tier].evicted_chunks;
        }
        kv_tier_bench_close(&b);
    }
    print_message("  %lld loads, %lld timeouts, %lld chunks dropped, %lld evicted; %lld looks, %lld with no flow\n",
                  (long long)fetches, (long long)timeouts, (long long)dropped, (long long)evicted, (long long)looks,
                  (long long)quiet);
    assert_true(fetches > 1000 && timeouts > 50 && dropped > 1000 && evicted > 1000 && quiet > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_limits_the_first_token_takes_what_the_uncached_part_takes_to_compute),
        cmocka_unit_test(tiers_that_are_never_written_change_no_record),
        cmocka_unit_test(more_bandwidth_never_makes_a_request_later),
        cmocka_unit_test(bytes_over_links_and_tokens_are_those_of_tiers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

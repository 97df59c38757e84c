/* SPDX-License-Identifier: Apache-2.0 */
/* Grants of transfer policies (docs/tiers.md T39): closed forms to the tick, one tick early and on time. Chunks of 16
 * tokens; two layers of 16 bytes a token, so 512 bytes, unless a test says otherwise. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sim/base/rng.h"
#include "tests/support/near.h"
#include "tests/support/tier_bench.h"

#define BYTE_A_TICK ((kv_rate)KV_SERVICE_PER_BYTE)
#define TICK KV_COST_PER_TICK
#define CHUNK 512
#define LATE_NS 1000000
#define LATE ((kv_tick)LATE_NS * KV_TICKS_PER_NS)

static void setup(struct kv_tier_bench *b, int32_t layers, const char *policy, kv_rate cap)
{
    kv_tier_bench_open(b, layers);
    kv_tier_bench_transfer(b, policy, cap);
    b->config.tier[1].write = KV_WRITE_NONE;
    b->config.resident_tier = 1;
}

/* Each instance has a stream of its own, resident in the tier. */
static void ask(struct kv_tier_bench *b, int64_t arrival_ns, int32_t instance, int32_t chunks)
{
    kv_tier_bench_come(b, arrival_ns, instance, 1 + (uint64_t)instance, chunks * KV_BENCH_BLOCK + 8, 1)->resident_tokens
        = chunks * KV_BENCH_BLOCK;
}

/* What the cap is after it has been told as byte/s, and a policy has divided it by n. */
static kv_rate part_of(kv_rate cap, int n)
{
    return kv_rate_from_Bps(kv_rate_to_Bps(cap) / n);
}

static const struct kv_fetch_record *fetch_of(const struct kv_tier_bench *b, int64_t request)
{
    for (size_t i = 0; i < b->run.told.fetches.count; i++)
        if (b->run.told.fetches.at[i].request == request) return &b->run.told.fetches.at[i];
    fail_msg("request %d has no fetch", (int)request);
    return NULL;
}

/* ---- one fetch ---- */

static void the_grant_limits_a_fetch(void **state)
{
    (void)state;
    for (int64_t mode = KV_DELIVERY_BULK; mode <= KV_DELIVERY_LAYERWISE; mode++) {
        struct kv_tier_bench b;
        setup(&b, 2, "equal", BYTE_A_TICK / 3);
        b.config.fetch.mode = mode;
        b.config.network.efficiency = 0.75;
        b.store[1].delay_tk = 100;
        ask(&b, LATE_NS, 1, 4);
        kv_tier_bench_serve(&b);
        const struct kv_fetch_record *f = fetch_of(&b, 0);
        kv_rate grant = part_of(BYTE_A_TICK / 3, 1), e = (kv_rate)((double)grant * 0.75);
        assert_true(f->grant_Bps == kv_rate_to_Bps(grant));
        assert_int_equal(f->granted_tk, LATE);
        assert_int_equal(f->regrants, 0);
        /* One chunk at a time has a delay each, and what a tick leaves over is lost. */
        kv_tick end = mode == KV_DELIVERY_CHUNKWISE ? 4 * (100 + kv_bench_ticks(CHUNK, e))
                                                    : 100 + kv_bench_ticks(4 * CHUNK, e);
        assert_int_equal(f->end_tk, LATE + end);
        kv_tier_bench_close(&b);
    }
}

/* Of an access: the least of its own limit and its part of the grant; of a part floor(that / tp). */
static void accesses_and_parts_share_the_grant(void **state)
{
    (void)state;
    for (int32_t tp = 1; tp <= 4; tp *= 2)
        for (int32_t width = 1; width <= 6; width++)
            for (int own = 0; own <= 1; own++) {
                struct kv_tier_bench b;
                setup(&b, 2, "equal", 7 * BYTE_A_TICK);
                b.config.fetch.mode = KV_DELIVERY_CHUNKWISE;
                b.config.fetch.concurrency = width;
                b.config.tp = tp;
                b.config.instance_count = 1;
                b.config.network.gpus_per_node = 8;
                b.store[1].limit = own ? BYTE_A_TICK + 1 : KV_RATE_UNLIMITED;
                ask(&b, LATE_NS, 0, 4);
                kv_tier_bench_serve(&b);
                int32_t at_a_time = width < 4 ? width : 4;
                kv_rate limit = part_of(7 * BYTE_A_TICK, 1) / at_a_time;
                if (own && BYTE_A_TICK + 1 < limit) limit = BYTE_A_TICK + 1;
                int32_t rounds = (4 + at_a_time - 1) / at_a_time;
                const struct kv_fetch_record *f = fetch_of(&b, 0);
                assert_int_equal(f->end_tk, LATE + rounds * kv_bench_ticks(CHUNK, limit / tp));
                assert_true(own ? f->limit_Bps == kv_rate_to_Bps(BYTE_A_TICK + 1) : isinf(f->limit_Bps));
                kv_tier_bench_close(&b);
            }
}

static uint64_t dice_state;
static int64_t dice(int64_t low, int64_t high)
{
    return low + (int64_t)(kv_mix64_pair(78, dice_state++) % (uint64_t)(high - low + 1));
}

/* ObjectCache's Eq. 3: T = X_0 + sum of max(C_l, X_{l+1}) + C_{L-1}, with layers of any size and cost, at the rate of a
 * grant; and without a bound on look-ahead the max-plus form. */
static void layers_overlap_under_a_grant_to_the_tick(void **state)
{
    (void)state;
    int waited = 0;
    for (int i = 0; i < 300; i++) {
        struct kv_tier_bench b;
        int32_t layers = (int32_t)dice(1, KV_BENCH_LAYERS), chunks = (int32_t)dice(1, 3), ahead = i % 2;
        kv_rate cap = dice(1, 1 << 30) * 16, rate;
        setup(&b, layers, "equal", cap);
        b.config.fetch.mode = KV_DELIVERY_LAYERWISE;
        b.config.fetch.lookahead_layers = ahead;
        b.compute.before = 0;
        for (int32_t l = 0; l < layers; l++) {
            b.compute.chunk[l] = dice(0, 3000) * TICK;
            b.layer_bytes[l] = dice(1, 60);
        }
        b.compute.after = TICK;
        ask(&b, LATE_NS, 1, chunks);
        const struct kv_record *r = kv_tier_bench_serve(&b);
        rate = part_of(cap, 1);
        int64_t token = chunks * KV_BENCH_BLOCK, sum = 0;
        kv_tick start = 0;                          /* S_l, since LATE */
        for (int32_t l = 0; l < layers; l++) {
            kv_tick compute = l > 0 ? (kv_tick)(b.compute.chunk[l - 1] / TICK) : 0, ready = start + compute;
            sum += b.layer_bytes[l];
            kv_tick there = ahead ? start + kv_bench_ticks(token * b.layer_bytes[l], rate)
                                  : kv_bench_ticks(token * sum, rate);
            waited += l > 0 && there > ready;
            start = there > ready ? there : ready;
        }
        kv_tick end = start + (kv_tick)(b.compute.chunk[layers - 1] / TICK) + 1;
        assert_int_equal(r->finish_tk, LATE + end);
        kv_tier_bench_close(&b);
    }
    assert_in_range(waited, 100, 2200);
}

/* ---- several ---- */

/* For life: the first takes the whole cap, who comes later asks until it is free. */
static void a_grant_is_for_life(void **state)
{
    (void)state;
    for (int64_t later_ns = 0; later_ns <= 1; later_ns++) {
        struct kv_tier_bench b;
        setup(&b, 2, "equal", BYTE_A_TICK);
        ask(&b, LATE_NS, 0, 2);
        ask(&b, LATE_NS + later_ns, 1, 3);
        kv_tier_bench_serve(&b);
        const struct kv_fetch_record *first = fetch_of(&b, 0), *second = fetch_of(&b, 1);
        if (later_ns == 0) {                        /* one epoch for both */
            kv_rate half = part_of(BYTE_A_TICK, 2);
            assert_int_equal(first->end_tk, LATE + kv_bench_ticks(2 * CHUNK, half));
            assert_int_equal(second->end_tk, LATE + kv_bench_ticks(3 * CHUNK, half));
        } else {
            assert_int_equal(first->end_tk, LATE + kv_bench_ticks(2 * CHUNK, part_of(BYTE_A_TICK, 1)));
            assert_int_equal(second->granted_tk, first->end_tk);
            assert_int_equal(second->first_tk, second->begin_tk);       /* its flow is there, and moves nothing */
            assert_int_equal(second->end_tk, first->end_tk + kv_bench_ticks(3 * CHUNK, part_of(BYTE_A_TICK, 1)));
        }
        assert_int_equal(first->regrants + second->regrants, 0);
        kv_tier_bench_close(&b);
    }
}

/* Whatever comes or goes, all present share the cap anew; at each change whole bytes stay delivered. */
static void work_conserving_grants_are_set_anew(void **state)
{
    (void)state;
    struct kv_tier_bench b;
    setup(&b, 2, "equal", BYTE_A_TICK);
    b.config.transfer.work_conserving = true;
    ask(&b, LATE_NS, 0, 4);
    ask(&b, LATE_NS + 1, 1, 4);
    kv_tier_bench_serve(&b);
    const struct kv_fetch_record *first = fetch_of(&b, 0), *second = fetch_of(&b, 1);
    kv_rate one = part_of(BYTE_A_TICK, 1), half = part_of(BYTE_A_TICK, 2);
    kv_service left = (kv_service)4 * CHUNK * KV_SERVICE_PER_BYTE - (kv_service)one * KV_TICKS_PER_NS;
    kv_tick shared = (kv_tick)((left + half - 1) / half);
    assert_int_equal(first->end_tk, LATE + KV_TICKS_PER_NS + shared);
    left = (kv_service)4 * CHUNK * KV_SERVICE_PER_BYTE - (kv_service)half * shared;
    assert_int_equal(second->end_tk, first->end_tk + (kv_tick)((left + one - 1) / one));
    assert_int_equal(first->regrants, 1);
    assert_int_equal(second->regrants, 1);
    assert_true(first->grant_Bps == kv_rate_to_Bps(one) && second->grant_Bps == kv_rate_to_Bps(half));
    kv_tier_bench_close(&b);
}

/* Without it what ends leaves its part to nobody who has a grant. */
static void what_ends_leaves_its_grant_to_those_who_ask_alone(void **state)
{
    (void)state;
    struct kv_tier_bench b;
    setup(&b, 2, "equal", BYTE_A_TICK);
    ask(&b, LATE_NS, 0, 1);
    ask(&b, LATE_NS, 1, 9);
    ask(&b, LATE_NS + 1, 2, 2);
    kv_tier_bench_serve(&b);
    kv_rate half = part_of(BYTE_A_TICK, 2), rest = kv_rate_from_Bps(kv_rate_to_Bps(BYTE_A_TICK - half));
    kv_tick end = LATE + kv_bench_ticks(CHUNK, half);
    assert_int_equal(fetch_of(&b, 0)->end_tk, end);
    assert_int_equal(fetch_of(&b, 1)->end_tk, LATE + kv_bench_ticks(9 * CHUNK, half));
    assert_int_equal(fetch_of(&b, 2)->granted_tk, end);
    assert_int_equal(fetch_of(&b, 2)->end_tk, end + kv_bench_ticks(2 * CHUNK, rest));
    kv_tier_bench_close(&b);
}

/* When the first ends, each of the two who ask could have a quarter of the cap for life. One below the least it is not
 * worth holding, but where the stream takes no more, or its layers come in time; then both wait until nobody holds
 * anything. */
static void a_scrap_is_not_held(void **state)
{
    (void)state;
    enum { LEAST, TOO_SMALL, ALL_OF_THE_STREAM, IN_TIME, NOBODY_ELSE, KINDS };
    for (int kind = 0; kind < KINDS; kind++) {
        struct kv_tier_bench b;
        setup(&b, 2, "equal", BYTE_A_TICK);
        kv_rate half = part_of(BYTE_A_TICK, 2), quarter = part_of(BYTE_A_TICK - half, 2);
        b.config.transfer.min_grant = kind == NOBODY_ELSE ? 2 * BYTE_A_TICK : quarter + (kind != LEAST);
        if (kind == ALL_OF_THE_STREAM) b.store[1].limit = quarter;
        if (kind == IN_TIME) b.compute.chunk[0] = b.compute.chunk[1] = 4 * 2 * CHUNK * TICK;
        ask(&b, LATE_NS, 0, 1);
        ask(&b, LATE_NS, 1, 9);
        ask(&b, LATE_NS + 1, 2, 2);
        ask(&b, LATE_NS + 1, 3, 2);
        kv_tier_bench_serve(&b);
        bool taken = kind != TOO_SMALL && kind != NOBODY_ELSE;
        const struct kv_fetch_record *then = fetch_of(&b, taken ? 0 : 1);
        for (int i = 0; i < 2; i++) assert_true(fetch_of(&b, i)->grant_Bps == kv_rate_to_Bps(half));
        for (int i = 2; i < 4; i++) {
            assert_int_equal(fetch_of(&b, i)->granted_tk, then->end_tk);
            assert_true(fetch_of(&b, i)->grant_Bps == kv_rate_to_Bps(taken ? quarter : half));
            assert_int_equal(fetch_of(&b, i)->regrants, 0);
        }
        kv_tier_bench_close(&b);
    }
}

/* Whole multiples of the period: who comes at one has its grant at that tick, who comes a nanosecond later waits. */
static void epochs_stand_at_whole_multiples_of_the_period(void **state)
{
    (void)state;
    for (int64_t later_ns = -1; later_ns <= 1; later_ns++)
        for (int conserving = 0; conserving <= 1; conserving++) {
            struct kv_tier_bench b;
            setup(&b, 2, "equal", BYTE_A_TICK);
            kv_tick period = LATE / 8;
            b.config.transfer.period_tk = period;
            b.config.transfer.work_conserving = conserving;
            ask(&b, LATE_NS + later_ns, 0, 4);
            kv_tier_bench_serve(&b);
            const struct kv_fetch_record *f = fetch_of(&b, 0);
            assert_int_equal(f->begin_tk, LATE + later_ns * KV_TICKS_PER_NS);
            assert_int_equal(f->granted_tk, later_ns <= 0 ? LATE : LATE + period);
            assert_int_equal(f->end_tk, f->granted_tk + kv_bench_ticks(4 * CHUNK, part_of(BYTE_A_TICK, 1)));
            assert_int_equal(f->regrants, 0);
            kv_tier_bench_close(&b);
        }
}

/* A timeout frees its grant at the very tick for who asks. */
static void what_is_cut_frees_its_grant(void **state)
{
    (void)state;
    struct kv_tier_bench b;
    setup(&b, 2, "equal", BYTE_A_TICK);
    b.fetch.timeout_tk = 3 * CHUNK;
    ask(&b, LATE_NS, 0, 4);
    ask(&b, LATE_NS + 1, 1, 2);
    kv_tier_bench_serve(&b);
    assert_true(fetch_of(&b, 0)->cut);
    assert_int_equal(fetch_of(&b, 1)->granted_tk, LATE + 3 * CHUNK);
    assert_true(fetch_of(&b, 1)->cut);              /* 256 ticks are not enough */
    assert_int_equal(fetch_of(&b, 1)->delivered_bytes,
                     (int64_t)((kv_service)part_of(BYTE_A_TICK, 1) * KV_TICKS_PER_NS / KV_SERVICE_PER_BYTE));
    kv_tier_bench_close(&b);
}

/* Nothing is granted, nothing else will happen: periodic epochs do not go on for ever. */
static void a_cap_of_nothing_is_stuck(void **state)
{
    (void)state;
    for (int periodic = 0; periodic <= 1; periodic++)
        for (int sampled = 0; sampled <= 1; sampled++) {
            struct kv_tier_bench b;
            setup(&b, 2, "equal", 0);
            b.config.transfer.period_tk = periodic ? LATE / 4 : 0;
            b.config.timeseries_s = sampled ? 1e-4 : -1;
            ask(&b, LATE_NS, 0, 4);
            kv_tier_bench_serve(&b);
            assert_int_equal(b.run.end, KV_SIM_STUCK);
            assert_int_equal(fetch_of(&b, 0)->granted_tk, -1);
            assert_true(fetch_of(&b, 0)->cut && fetch_of(&b, 0)->delivered_bytes == 0);
            kv_tier_bench_close(&b);
        }
}

/* Tiers inside the node are none of the policy's business. */
static void a_store_inside_the_node_asks_nobody(void **state)
{
    (void)state;
    struct kv_tier_bench b, plain;
    kv_tier_bench_open(&plain, 2);
    setup(&b, 2, "equal", 1);
    b.config.tier[1].store = plain.config.tier[1].store;
    b.store[1].limit = BYTE_A_TICK;
    ask(&b, LATE_NS, 0, 4);
    kv_tier_bench_serve(&b);
    assert_int_equal(fetch_of(&b, 0)->end_tk, LATE + 4 * CHUNK);
    assert_int_equal(fetch_of(&b, 0)->granted_tk, -1);
    kv_tier_bench_close(&b);
    kv_arena_close(&plain.arena);
}

/* ---- what is published ---- */

/* ObjectCache (arXiv 2605.22850), tables A8 and A9: four instances on one capped link; 4096 bytes a layer and cached
 * token; tokens, hits and ms of a layer; grants in Gbps. They hold to 0.5 %. */
static const struct { int32_t tokens, cached; double layer_ms; } point[4] = {
    {16384, 8192, 29.87}, {16384, 14336, 8.80}, {65536, 32768, 271.02}, {65536, 57344, 75.75}};
static const struct { const char *policy; double cap_Gbps, grant_Gbps[4]; } published[] = {
    {"equal", 80, {20, 20, 20, 20}},                    {"equal", 50, {12.5, 12.5, 12.5, 12.5}},
    {"kv_prop", 80, {5.82, 10.18, 23.27, 40.73}},       {"kv_prop", 50, {3.64, 6.36, 14.55, 25.45}},
    {"bw_prop", 80, {7.89, 46.85, 3.48, 21.78}},        {"bw_prop", 50, {4.93, 29.28, 2.17, 13.61}},
    {"stall_opt", 80, {8.99, 42.25, 3.96, 24.81}},      {"stall_opt", 50, {8.99, 12.35, 3.96, 24.70}},
    {"stall_opt_cal", 80, {13.99, 27.25, 8.96, 29.81}}, {"stall_opt_cal", 50, {8.26, 10.93, 8.96, 21.85}},
};

static void grants_are_those_that_objectcache_publishes(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof published / sizeof *published; k++) {
        struct kv_tier_bench b;
        setup(&b, KV_BENCH_LAYERS, published[k].policy, kv_rate_from_Bps(published[k].cap_Gbps * 1e9 / 8));
        b.config.fetch.mode = KV_DELIVERY_LAYERWISE;
        b.config.fetch.lookahead_layers = 1;
        b.config.engine.chunked_prefill = false;
        b.config.engine.max_num_batched_tokens = 65536;
        b.config.hbm_blocks = 65536 / KV_BENCH_BLOCK + 1;
        b.compute.before = 0;
        b.store[1].limit = kv_rate_from_Bps(5e9);
        for (int32_t l = 0; l < KV_BENCH_LAYERS; l++) b.layer_bytes[l] = 4096;
        for (int32_t i = 0; i < 4; i++) {
            b.compute.at[i].ctx_tokens = point[i].cached;
            b.compute.at[i].layer = kv_cost_from_s(point[i].layer_ms * 1e-3);
            kv_tier_bench_come(&b, LATE_NS, i, 1 + (uint64_t)i, point[i].tokens, 1)->resident_tokens = point[i].cached;
        }
        kv_tier_bench_serve(&b);
        for (int32_t i = 0; i < 4; i++) {
            const struct kv_fetch_record *f = fetch_of(&b, i);
            assert_int_equal(f->bytes, (int64_t)point[i].cached * 4096 * KV_BENCH_LAYERS);
            assert_near(f->grant_Bps * 8e-9, published[k].grant_Gbps[i], 0.005 * published[k].grant_Gbps[i]);
            /* The first layer comes at that rate, or that of the stream. */
            struct kv_layers_record l = {.request = -1};
            for (size_t n = 0; n < b.run.told.layers.count && l.request != i; n++) l = b.run.told.layers.at[n];
            double rate_Bps = fmin(f->grant_Bps, 5e9), first_s = (double)(point[i].cached * 4096LL) / rate_Bps;
            assert_near(kv_tick_to_s(l.fetch_end_tk[0] - LATE), first_s, 1e-9 * first_s + 1e-11);
        }
        kv_tier_bench_close(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_grant_limits_a_fetch),
        cmocka_unit_test(accesses_and_parts_share_the_grant),
        cmocka_unit_test(layers_overlap_under_a_grant_to_the_tick),
        cmocka_unit_test(a_grant_is_for_life),
        cmocka_unit_test(work_conserving_grants_are_set_anew),
        cmocka_unit_test(what_ends_leaves_its_grant_to_those_who_ask_alone),
        cmocka_unit_test(a_scrap_is_not_held),
        cmocka_unit_test(epochs_stand_at_whole_multiples_of_the_period),
        cmocka_unit_test(what_is_cut_frees_its_grant),
        cmocka_unit_test(a_cap_of_nothing_is_stuck),
        cmocka_unit_test(a_store_inside_the_node_asks_nobody),
        cmocka_unit_test(grants_are_those_that_objectcache_publishes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

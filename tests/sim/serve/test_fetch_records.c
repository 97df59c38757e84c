/* SPDX-License-Identifier: Apache-2.0 */
/* What fetches say of themselves (docs/tiers.md T40, T41), and loads whose delivery hangs on their size (T35). Two
 * layers of 16 bytes a token: a chunk is 512 bytes and takes 512 ticks at a byte a tick. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>

#include <cmocka.h>

#include "tests/support/tier_bench.h"

#define BYTE_A_TICK ((kv_rate)KV_SERVICE_PER_BYTE)
#define CHUNK 512
#define STEP 1000
#define LATE_NS 1000000
#define LATE ((kv_tick)LATE_NS * KV_TICKS_PER_NS)
#define A 5

static void setup(struct kv_tier_bench *b, int32_t chunks)
{
    kv_tier_bench_open(b, 2);
    b->compute.before = 0;
    for (int32_t l = 0; l < 2; l++) b->compute.chunk[l] = b->compute.decode[l] = STEP / 2 * KV_COST_PER_TICK;
    b->store[1].limit = BYTE_A_TICK;
    kv_tier_bench_come(b, 0, 0, A, chunks * KV_BENCH_BLOCK, 1);
}

static void ask(struct kv_tier_bench *b, int64_t arrival_ns, int32_t instance, int32_t chunks)
{
    kv_tier_bench_come(b, arrival_ns, instance, A, chunks * KV_BENCH_BLOCK + 8, 1);
}

/* --- Fetch records --- */

static void a_fetch_says_when_it_began_flowed_and_ended(void **state)
{
    (void)state;
    static const int64_t modes[] = {KV_DELIVERY_BULK, KV_DELIVERY_CHUNKWISE, KV_DELIVERY_LAYERWISE};
    for (int i = 0; i < 3; i++) {
        struct kv_tier_bench b;
        setup(&b, 3);
        b.config.fetch.mode = modes[i];
        b.store[1].delay_tk = 40;
        ask(&b, LATE_NS, 1, 3);
        kv_tier_bench_serve(&b);
        assert_int_equal(b.run.told.fetches.count, 1);
        const struct kv_fetch_record *f = &b.run.told.fetches.at[0];
        assert_int_equal(f->request, 1);
        assert_int_equal(f->instance, 1);
        assert_int_equal(f->tier, 1);
        assert_int_equal(f->mode, modes[i]);
        assert_false(f->cut);
        assert_int_equal(f->bytes, 3 * CHUNK);
        assert_int_equal(f->delivered_bytes, 3 * CHUNK);
        assert_int_equal(f->begin_tk, LATE);
        assert_int_equal(f->first_tk, LATE + 40);
        /* Chunk by chunk, one at a time, each has its delay. */
        assert_int_equal(f->end_tk, LATE + 3 * CHUNK + (modes[i] == KV_DELIVERY_CHUNKWISE ? 120 : 40));
        assert_true(f->limit_Bps == kv_rate_to_Bps(BYTE_A_TICK));
        assert_int_equal(f->granted_tk, -1);
        assert_true(f->grant_Bps == 0 && f->regrants == 0 && f->refused == 0);
        kv_tier_bench_close(&b);
    }
}

static void a_fetch_without_a_limit_says_so(void **state)
{
    (void)state;
    struct kv_tier_bench b;
    setup(&b, 3);
    b.store[1].limit = KV_RATE_UNLIMITED;
    ask(&b, LATE_NS, 1, 3);
    kv_tier_bench_serve(&b);
    assert_true(isinf(b.run.told.fetches.at[0].limit_Bps));
    assert_int_equal(b.run.told.fetches.at[0].end_tk, LATE + 1);
    kv_tier_bench_close(&b);
}

static void a_cut_fetch_says_what_came(void **state)
{
    (void)state;
    for (int64_t mode = KV_DELIVERY_BULK; mode <= KV_DELIVERY_LAYERWISE; mode++) {
        struct kv_tier_bench b;
        setup(&b, 4);
        b.config.fetch.mode = mode;
        b.fetch.timeout_tk = CHUNK + 100;      /* less than a layer of four chunks */
        ask(&b, LATE_NS, 1, 4);
        kv_tier_bench_serve(&b);
        const struct kv_fetch_record *f = &b.run.told.fetches.at[0];
        assert_true(f->cut);
        assert_int_equal(f->end_tk, LATE + CHUNK + 100);
        assert_int_equal(f->bytes, 4 * CHUNK);
        assert_int_equal(f->delivered_bytes, CHUNK + 100);
        kv_tier_bench_close(&b);
    }
}

/* The clock stands at the last event, the run ends later: what flows on until then has been delivered. */
static void the_end_of_the_run_cuts_those_under_way_in_the_order_of_their_coming(void **state)
{
    (void)state;
    struct kv_tier_bench b;
    setup(&b, 4);
    b.config.fetch.mode = KV_DELIVERY_LAYERWISE;
    ask(&b, LATE_NS, 2, 4);
    ask(&b, LATE_NS + 1, 1, 4);
    b.config.time_limit_tk = LATE + 777;
    kv_tier_bench_serve(&b);
    assert_int_equal(b.run.told.fetches.count, 2);
    for (int i = 0; i < 2; i++) {
        const struct kv_fetch_record *f = &b.run.told.fetches.at[i];
        assert_int_equal(f->request, 1 + i);
        assert_true(f->cut);
        assert_int_equal(f->end_tk, LATE + 777);
        assert_int_equal(f->delivered_bytes, 777 - i * KV_TICKS_PER_NS);
    }
    kv_tier_bench_close(&b);
}

static void each_tier_of_a_load_has_a_fetch(void **state)
{
    (void)state;
    struct kv_tier_bench b;
    setup(&b, 6);
    kv_tier_bench_add_tier(&b);
    b.config.tier[1].capacity_chunks = 4;
    b.store[2].limit = BYTE_A_TICK;
    ask(&b, LATE_NS, 1, 6);
    kv_tier_bench_serve(&b);
    assert_int_equal(b.run.told.fetches.count, 2);
    assert_int_equal(b.run.told.fetches.at[0].tier, 2);                /* in the order of their ends */
    assert_int_equal(b.run.told.fetches.at[0].end_tk, LATE + 2 * CHUNK);
    assert_int_equal(b.run.told.fetches.at[1].tier, 1);
    assert_int_equal(b.run.told.fetches.at[1].end_tk, LATE + 4 * CHUNK);
    kv_tier_bench_close(&b);
}

static void a_hand_over_is_a_fetch_of_tier_0(void **state)
{
    (void)state;
    struct kv_tier_bench b;
    kv_tier_bench_open(&b, 2);
    b.compute.before = 0;
    for (int32_t l = 0; l < 2; l++) b.compute.chunk[l] = b.compute.decode[l] = STEP / 2 * KV_COST_PER_TICK;
    b.config.handover.prefill_instances = 1;
    b.config.tier[1].write = KV_WRITE_NONE;    /* nobody else on the way */
    b.config.network.pcie_Bps = kv_rate_to_Bps(2 * BYTE_A_TICK);
    kv_tier_bench_come(&b, LATE_NS, 0, A, 3 * KV_BENCH_BLOCK, 3);
    kv_tier_bench_serve(&b);
    assert_int_equal(b.run.told.fetches.count, 1);
    const struct kv_fetch_record *f = &b.run.told.fetches.at[0];
    assert_int_equal(f->tier, 0);
    assert_int_equal(f->mode, KV_DELIVERY_BULK);
    assert_int_equal(f->instance, 1);
    assert_int_equal(f->bytes, 3 * CHUNK);
    assert_int_equal(f->begin_tk, LATE + STEP);
    assert_int_equal(f->first_tk, LATE + STEP);
    assert_int_equal(f->end_tk, f->begin_tk + 3 * CHUNK / 2);
    assert_true(isinf(f->limit_Bps));
    kv_tier_bench_close(&b);
}

/* --- Layers --- */

/* Layers arrive at 3 x 512 / 2 each; the step waits for both. */
static void a_step_says_when_its_layers_came_and_were_computed(void **state)
{
    (void)state;
    for (int32_t ahead = 0; ahead <= 1; ahead++) {
        struct kv_tier_bench b;
        setup(&b, 3);
        b.config.fetch.mode = KV_DELIVERY_LAYERWISE;
        b.config.fetch.lookahead_layers = ahead;
        ask(&b, LATE_NS, 1, 3);
        const struct kv_record *r = &kv_tier_bench_serve(&b)[1];
        assert_int_equal(b.run.told.layers.count, 1);
        struct kv_layers_record l = b.run.told.layers.at[0];
        kv_tick first = LATE + 3 * CHUNK / 2, second = first + 3 * CHUNK / 2;
        assert_int_equal(l.request, 1);
        assert_int_equal(l.layers, 2);
        assert_int_equal(l.ready_tk, first);                    /* it may join with one layer */
        assert_int_equal(l.fetch_end_tk[0], first);
        assert_int_equal(l.fetch_end_tk[1], second);
        assert_int_equal(l.compute_start_tk[0], first);
        assert_int_equal(l.compute_end_tk[0], first + STEP / 2);
        assert_int_equal(l.compute_start_tk[1], second);        /* 768 ticks a layer against 500 */
        assert_int_equal(l.compute_end_tk[1], second + STEP / 2);
        assert_int_equal(r->finish_tk, l.compute_end_tk[1]);
        kv_tier_bench_close(&b);
    }
}

/* Two members, one waits for less: each says its own arrivals, both the layers of the one step. */
static void members_of_a_step_share_its_layers(void **state)
{
    (void)state;
    struct kv_tier_bench b;
    setup(&b, 4);
    b.config.fetch.mode = KV_DELIVERY_LAYERWISE;
    b.config.fetch.release_after_layers = 0;
    kv_tier_bench_come(&b, 100, 0, A + 1, 2 * KV_BENCH_BLOCK, 1);
    ask(&b, LATE_NS, 1, 4);
    kv_tier_bench_come(&b, LATE_NS, 1, A + 1, 2 * KV_BENCH_BLOCK + 8, 1);
    const struct kv_record *r = kv_tier_bench_serve(&b);
    assert_int_equal(b.run.told.layers.count, 2);
    for (size_t i = 0; i < 2; i++) {
        struct kv_layers_record l = b.run.told.layers.at[i];
        int64_t chunks = i == 0 ? 4 : 2;
        assert_int_equal(l.request, 2 + i);
        assert_int_equal(l.ready_tk, LATE);
        assert_int_equal(l.fetch_end_tk[0], LATE + chunks * CHUNK / 2);
        assert_int_equal(l.fetch_end_tk[1], LATE + chunks * CHUNK);
        assert_int_equal(l.compute_start_tk[0], LATE + 4 * CHUNK / 2);
        assert_int_equal(l.compute_start_tk[1], LATE + 4 * CHUNK);
        assert_int_equal(l.compute_end_tk[1], r[2 + i].finish_tk);
    }
    kv_tier_bench_close(&b);
}

/* --- Delivery by size --- */

static void a_load_is_layerwise_from_the_threshold_on(void **state)
{
    (void)state;
    for (int64_t less = 0; less <= 1; less++)
        for (int32_t tp = 1; tp <= 2; tp++) {
            struct kv_tier_bench b;
            setup(&b, 3);
            b.config.tp = tp;                              /* bytes of a part as before: twice as many in all */
            b.config.network.gpus_per_node = 8;
            b.config.fetch.mode = KV_DELIVERY_AUTO;
            b.config.fetch.auto_bytes = tp * 3 * CHUNK + less;
            b.store[1].limit = tp * BYTE_A_TICK;
            ask(&b, LATE_NS, 1, 3);
            const struct kv_record *r = &kv_tier_bench_serve(&b)[1];
            assert_int_equal(b.run.told.fetches.at[0].mode, less ? KV_DELIVERY_CHUNKWISE : KV_DELIVERY_LAYERWISE);
            assert_int_equal(r->first_sched_tk, LATE + (less ? 3 * CHUNK : 3 * CHUNK / 2));
            assert_int_equal(b.run.counters.tier[1].accesses, 1 + (less ? 3 : 1));
            assert_int_equal(b.run.told.layers.count, !less);
            kv_tier_bench_close(&b);
        }
}

/* The whole load decides, not what one tier brings of it. */
static void all_tiers_of_a_load_count_towards_its_size(void **state)
{
    (void)state;
    for (int64_t less = 0; less <= 1; less++) {
        struct kv_tier_bench b;
        setup(&b, 6);
        kv_tier_bench_add_tier(&b);
        b.config.tier[1].capacity_chunks = 4;
        b.store[2].limit = BYTE_A_TICK;
        b.config.fetch.mode = KV_DELIVERY_AUTO;
        b.config.fetch.auto_bytes = 6 * CHUNK + less;
        ask(&b, LATE_NS, 1, 6);
        kv_tier_bench_serve(&b);
        for (int i = 0; i < 2; i++)
            assert_int_equal(b.run.told.fetches.at[i].mode, less ? KV_DELIVERY_CHUNKWISE : KV_DELIVERY_LAYERWISE);
        kv_tier_bench_close(&b);
    }
}

/* One that waits for a small load of another and for a large one of its own joins when the former has ended and the
 * first layer of the latter is there. */
static void loads_of_both_kinds_are_waited_for_each_in_its_way(void **state)
{
    (void)state;
    for (int32_t more = 5; more <= 7; more++) {
        struct kv_tier_bench b;
        setup(&b, 10);
        b.config.fetch.mode = KV_DELIVERY_AUTO;
        b.config.fetch.auto_bytes = 4 * CHUNK;
        ask(&b, LATE_NS, 1, 3);
        ask(&b, LATE_NS, 1, 3 + more);
        const struct kv_record *r = kv_tier_bench_serve(&b);
        assert_int_equal(b.run.counters.delayed_hits, 1);
        kv_tick small = LATE + 3 * CHUNK, layer = LATE + more * CHUNK / 2;
        assert_int_equal(r[1].first_sched_tk, small);              /* three chunks, one at a time */
        /* A layer that comes later finds the instance busy. */
        assert_int_equal(r[2].first_sched_tk, layer > small ? small + STEP : small);
        kv_tier_bench_close(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fetch_says_when_it_began_flowed_and_ended),
        cmocka_unit_test(a_fetch_without_a_limit_says_so),
        cmocka_unit_test(a_cut_fetch_says_what_came),
        cmocka_unit_test(the_end_of_the_run_cuts_those_under_way_in_the_order_of_their_coming),
        cmocka_unit_test(each_tier_of_a_load_has_a_fetch),
        cmocka_unit_test(a_hand_over_is_a_fetch_of_tier_0),
        cmocka_unit_test(a_step_says_when_its_layers_came_and_were_computed),
        cmocka_unit_test(members_of_a_step_share_its_layers),
        cmocka_unit_test(a_load_is_layerwise_from_the_threshold_on),
        cmocka_unit_test(all_tiers_of_a_load_count_towards_its_size),
        cmocka_unit_test(loads_of_both_kinds_are_waited_for_each_in_its_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

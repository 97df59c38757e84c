/* SPDX-License-Identifier: Apache-2.0 */
/* Stores that depend on load and refuse accesses, and links that a message at a time crosses (docs/tiers.md T37, T37a,
 * T38). Chunks of 16 tokens and 512 bytes, which take 512 ticks at a byte a tick. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/tier_bench.h"

#define BYTE_A_TICK ((kv_rate)KV_SERVICE_PER_BYTE)
#define CHUNK 512
#define LATE_NS 1000000
#define LATE ((kv_tick)LATE_NS * KV_TICKS_PER_NS)
#define COUNT 5               /* streams, each with one chunk in the tier */

static void setup(struct kv_tier_bench *b)
{
    kv_tier_bench_open(b, 2);
    b->store[1].limit = BYTE_A_TICK;
    b->config.tier[1].write = KV_WRITE_NONE;
    b->config.resident_tier = 1;
    b->config.instance_count = COUNT;
    b->config.network.gpus_per_node = COUNT;
}

static void ask(struct kv_tier_bench *b, int64_t arrival_ns, int32_t stream, int32_t chunks)
{
    kv_tier_bench_come(b, arrival_ns, stream, 1 + (uint64_t)stream, chunks * KV_BENCH_BLOCK + 8, 1)->resident_tokens
        = chunks * KV_BENCH_BLOCK;
}

/* --- Plans at the turn --- */

/* Each has the more delay the more are under way when its turn comes. */
static void a_plan_is_asked_for_when_the_turn_comes(void **state)
{
    (void)state;
    for (int64_t turns = 0; turns <= COUNT; turns++) {
        struct kv_tier_bench b;
        setup(&b);
        b.store[1].turns = turns;
        b.store[1].crowd_tk = 100;
        for (int32_t i = 0; i < COUNT; i++) ask(&b, LATE_NS, i, 1);
        const struct kv_record *r = kv_tier_bench_serve(&b);
        int64_t width = turns ? turns : COUNT;
        kv_tick there[COUNT];
        for (int64_t i = 0; i < COUNT; i++) {
            /* The first `width` find i others; whoever follows takes a turn that has just ended. */
            kv_tick turn = i < width ? LATE : there[i - width];
            int64_t under_way = 1;
            for (int64_t k = 0; k < i; k++) under_way += there[k] > turn || (there[k] == turn && k > i - width);
            there[i] = turn + 100 * under_way + CHUNK;
            assert_int_equal(r[i].first_sched_tk, there[i]);
        }
        assert_int_equal(b.run.counters.tier[1].waited_accesses, COUNT - width);
        kv_tier_bench_close(&b);
    }
}

static void requests_are_counted_when_the_turn_comes(void **state)
{
    (void)state;
    for (int64_t mode = KV_DELIVERY_BULK; mode <= KV_DELIVERY_LAYERWISE; mode++)
        for (int64_t requests = 0; requests <= 3; requests++) {
            struct kv_tier_bench b;
            setup(&b);
            b.config.fetch.mode = mode;
            b.config.tier[1].write = KV_WRITE_THROUGH;
            b.store[1].requests = requests;
            ask(&b, LATE_NS, 0, 4);
            kv_tier_bench_come(&b, LATE_NS, 1, 9, 3 * KV_BENCH_BLOCK, 1);
            kv_tier_bench_serve(&b);
            const struct kv_tier_counters *c = &b.run.counters.tier[1];
            int64_t accesses = mode == KV_DELIVERY_CHUNKWISE ? 4 : 1;
            assert_int_equal(c->read_requests, requests ? 4 * requests : accesses);    /* none said: one an access */
            assert_int_equal(c->write_requests, requests ? 3 * requests : 1);
            kv_tier_bench_close(&b);
        }
}

/* One that is cancelled before its turn has made no request. */
static void who_never_has_a_turn_makes_no_request(void **state)
{
    (void)state;
    struct kv_tier_bench b;
    setup(&b);
    b.config.fetch.mode = KV_DELIVERY_CHUNKWISE;
    b.config.fetch.concurrency = 4;
    b.store[1].turns = 2;
    b.fetch.timeout_tk = CHUNK / 2;
    ask(&b, LATE_NS, 0, 4);
    kv_tier_bench_serve(&b);
    assert_int_equal(b.run.counters.fetch_timeouts, 1);
    assert_int_equal(b.run.counters.tier[1].accesses, 4);
    assert_int_equal(b.run.counters.tier[1].waited_accesses, 2);
    assert_int_equal(b.run.counters.tier[1].read_requests, 2);
    assert_int_equal(b.run.counters.tier[1].wasted_bytes, 2 * CHUNK / 2);
    kv_tier_bench_close(&b);
}

/* --- Refusals --- */

/* One turn, nobody waits: whoever comes before the turn is free is sent away for `retry` ticks. */
static void who_is_refused_comes_again_until_there_is_room(void **state)
{
    (void)state;
    for (kv_tick retry = CHUNK / 2 - 1; retry <= CHUNK / 2 + 1; retry++) {
        struct kv_tier_bench b;
        setup(&b);
        b.store[1] = (struct kv_bench_store){.limit = BYTE_A_TICK, .device = KV_RATE_UNLIMITED, .turns = 1,
                                             .refuses = true, .retry_tk = retry};
        ask(&b, LATE_NS, 0, 1);
        ask(&b, LATE_NS, 1, 1);
        const struct kv_record *r = kv_tier_bench_serve(&b);
        /* The turn is free at CHUNK: with 256 the second attempt comes at that very tick, after it. */
        int64_t attempts = retry < CHUNK / 2 ? 3 : 2;
        assert_int_equal(r[0].first_sched_tk, LATE + CHUNK);
        assert_int_equal(r[1].first_sched_tk, LATE + attempts * retry + CHUNK);
        assert_int_equal(b.run.counters.tier[1].refused_accesses, attempts);
        assert_int_equal(b.run.counters.tier[1].waited_accesses, 0);
        assert_int_equal(b.run.counters.tier[1].accesses, 2);
        assert_int_equal(b.run.told.fetches.at[1].refused, attempts);
        assert_int_equal(b.run.told.fetches.at[0].refused, 0);
        kv_tier_bench_close(&b);
    }
}

/* The one with the turn moves nothing: the other comes again until nothing else is pending, and then no more. With a
 * step of a third instance under way it comes until that has ended. */
static void who_is_refused_keeps_no_stuck_run_alive(void **state)
{
    (void)state;
    for (int busy = 0; busy <= 1; busy++) {
        struct kv_tier_bench b;
        setup(&b);
        b.store[1] = (struct kv_bench_store){.limit = 0, .device = KV_RATE_UNLIMITED, .turns = 1, .refuses = true,
                                             .retry_tk = 1000};
        b.compute.before = 4500 * KV_COST_PER_TICK;
        ask(&b, LATE_NS, 0, 1);
        ask(&b, LATE_NS, 1, 1);
        if (busy) kv_tier_bench_come(&b, LATE_NS, 2, 0, 8, 1);
        const struct kv_record *r = kv_tier_bench_serve(&b);
        assert_int_equal(b.run.end, KV_SIM_STUCK);
        int64_t attempts = busy ? 5 : 1;
        assert_int_equal(b.run.counters.tier[1].refused_accesses, 1 + attempts);
        assert_int_equal(b.run.end_tk, LATE + attempts * 1000);
        for (int i = 0; i < 2; i++) assert_int_equal(r[i].fetch_stall_tk, attempts * 1000);
        assert_int_equal(b.run.counters.fetch_stall_tk, 2 * attempts * 1000);      /* waits end with the run */
        kv_tier_bench_close(&b);
    }
}

/* Of those that come at one tick the first to have come at all is first, and a line of one has room for the next. */
static void who_came_first_is_first_again(void **state)
{
    (void)state;
    struct kv_tier_bench b;
    setup(&b);
    b.store[1] = (struct kv_bench_store){.limit = BYTE_A_TICK, .device = KV_RATE_UNLIMITED, .turns = 1,
                                         .refuses = true, .line = 1, .retry_tk = 2 * CHUNK};
    for (int32_t i = 0; i < COUNT; i++) ask(&b, LATE_NS, i, 1);
    const struct kv_record *r = kv_tier_bench_serve(&b);
    assert_int_equal(r[0].first_sched_tk, LATE + CHUNK);
    assert_int_equal(r[1].first_sched_tk, LATE + 2 * CHUNK);       /* in the line */
    assert_int_equal(r[2].first_sched_tk, LATE + 3 * CHUNK);       /* refused; then its turn at once */
    assert_int_equal(r[3].first_sched_tk, LATE + 4 * CHUNK);       /* refused; then in the line */
    assert_int_equal(r[4].first_sched_tk, LATE + 5 * CHUNK);       /* refused twice */
    assert_int_equal(b.run.counters.tier[1].refused_accesses, 3 + 1);
    assert_int_equal(b.run.counters.tier[1].waited_accesses, 2);
    kv_tier_bench_close(&b);
}

/* A storm: all come at once and are sent away together. It ends, whatever the times, and each is served once. */
static void a_storm_of_refusals_ends(void **state)
{
    (void)state;
    for (kv_tick retry = 1; retry <= 700; retry += 37) {
        struct kv_tier_bench b;
        setup(&b);
        b.store[1] = (struct kv_bench_store){.limit = BYTE_A_TICK, .device = KV_RATE_UNLIMITED, .turns = 1,
                                             .refuses = true, .retry_tk = retry, .retry_more_tk = retry};
        for (int32_t i = 0; i < COUNT; i++) ask(&b, LATE_NS, i, 3);
        b.config.fetch.mode = KV_DELIVERY_CHUNKWISE;
        b.config.fetch.concurrency = 3;
        const struct kv_record *r = kv_tier_bench_serve(&b);
        for (int32_t i = 0; i < COUNT; i++) assert_int_equal(r[i].status, KV_STATUS_FINISHED);
        assert_int_equal(b.run.counters.tier[1].read_bytes, COUNT * 3 * CHUNK);
        assert_int_equal(b.run.counters.tier[1].read_requests, COUNT * 3);
        int64_t refused = 0;
        for (size_t i = 0; i < b.run.told.fetches.count; i++) refused += b.run.told.fetches.at[i].refused;
        assert_int_equal(b.run.counters.tier[1].refused_accesses, refused);
        assert_true(refused >= COUNT * 3 - 1);
        kv_tier_bench_close(&b);
    }
}

static void a_cancelled_one_never_comes_again(void **state)
{
    (void)state;
    struct kv_tier_bench b;
    setup(&b);
    b.store[1] = (struct kv_bench_store){.limit = BYTE_A_TICK / 100, .device = KV_RATE_UNLIMITED, .turns = 1,
                                         .refuses = true, .retry_tk = 1000};
    b.fetch.timeout_tk = 2500;             /* the turn is held for longer */
    ask(&b, LATE_NS, 0, 1);
    ask(&b, LATE_NS, 1, 1);
    const struct kv_record *r = kv_tier_bench_serve(&b);
    assert_int_equal(b.run.counters.fetch_timeouts, 2);
    assert_int_equal(r[1].first_sched_tk, LATE + 2500);
    assert_int_equal(b.run.counters.tier[1].refused_accesses, 3);
    assert_int_equal(b.run.counters.tier[1].read_requests, 1);
    assert_int_equal(b.run.told.fetches.at[1].refused, 3);
    assert_true(b.run.told.fetches.at[1].cut);
    kv_tier_bench_close(&b);
}

/* --- Messages --- */

/* A message of m bytes takes 64 ticks whatever its size: m / 64 bytes a tick, or the store's byte a tick. */
static void messages_limit_an_access_by_their_size(void **state)
{
    (void)state;
    for (int64_t requests = 1; requests <= 32; requests *= 2)
        for (int32_t tp = 1; tp <= 2; tp++) {
            struct kv_tier_bench b;
            struct kv_bench_link link = {.spec = {.capacity = 1000 * BYTE_A_TICK}, .message_tk = 64};
            setup(&b);
            kv_tier_bench_link(&b, &link);
            b.config.tp = tp;                              /* as many bytes in each part */
            b.config.instance_count = 2;
            b.config.network.gpus_per_node = 4;
            b.store[1].limit = tp * BYTE_A_TICK;
            b.store[1].requests = requests;
            ask(&b, LATE_NS, 0, 3);
            const struct kv_record *r = kv_tier_bench_serve(&b);
            kv_tick paced = 3 * 64 * requests, free = 3 * CHUNK;
            assert_int_equal(r[0].first_sched_tk, LATE + (paced > free ? paced : free));
            kv_rate limit = (kv_rate)tp * (paced > free ? BYTE_A_TICK * CHUNK / (64 * requests) : BYTE_A_TICK);
            if (requests > 8) limit = (kv_rate)((double)(CHUNK * tp) / (double)requests * 0x1p32) / 64;
            assert_true(b.run.told.fetches.at[0].limit_Bps == kv_rate_to_Bps(limit));
            kv_tier_bench_close(&b);
        }
}

static void the_slowest_link_for_messages_counts(void **state)
{
    (void)state;
    struct kv_tier_bench b;
    struct kv_bench_link slow = {.spec = {.capacity = 1000 * BYTE_A_TICK}, .message_tk = 4096};
    struct kv_bench_link fast = {.spec = {.capacity = 1000 * BYTE_A_TICK}, .message_tk = 64};
    setup(&b);
    kv_tier_bench_link(&b, &fast);
    kv_tier_bench_link(&b, &slow);
    b.store[1].requests = 1;
    ask(&b, LATE_NS, 0, 2);
    const struct kv_record *r = kv_tier_bench_serve(&b);
    assert_int_equal(r[0].first_sched_tk, LATE + 2 * 4096);
    kv_tier_bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plan_is_asked_for_when_the_turn_comes),
        cmocka_unit_test(requests_are_counted_when_the_turn_comes),
        cmocka_unit_test(who_never_has_a_turn_makes_no_request),
        cmocka_unit_test(who_is_refused_comes_again_until_there_is_room),
        cmocka_unit_test(who_is_refused_keeps_no_stuck_run_alive),
        cmocka_unit_test(who_came_first_is_first_again),
        cmocka_unit_test(a_storm_of_refusals_ends),
        cmocka_unit_test(a_cancelled_one_never_comes_again),
        cmocka_unit_test(messages_limit_an_access_by_their_size),
        cmocka_unit_test(the_slowest_link_for_messages_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Compute from the head, load from the tail, until they meet (docs/tiers.md T44), to the tick. Blocks and chunks of 16
 * tokens; a chunk is 512 bytes and comes in 512 ticks at a byte a tick, one at a time; a step computes at most two
 * blocks in 1,024 ticks. With a the chunks that have come and c the blocks that are computed, n in all, a boundary
 * finds them met if c >= n - a; else it computes min(2, n - a - c) blocks more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/tier_bench.h"

#define BYTE_A_TICK ((kv_rate)KV_SERVICE_PER_BYTE)
#define CHUNK 512
#define STEP 1024
#define LATE_NS 1000000
#define LATE ((kv_tick)LATE_NS * KV_TICKS_PER_NS)
#define A 5                   /* a stream of tokens */
#define REST 8                /* tokens behind the chunks */

static void setup(struct kv_tier_bench *b, int32_t chunks)
{
    kv_tier_bench_open(b, 2);
    b->compute.before = 0;
    for (int32_t l = 0; l < 2; l++) b->compute.chunk[l] = STEP / 2 * KV_COST_PER_TICK;
    b->store[1].limit = BYTE_A_TICK;
    b->config.fetch.mode = KV_DELIVERY_BIDIRECTIONAL;
    b->config.fetch.compute_chunk_tokens = 2 * KV_BENCH_BLOCK;
    b->config.tier[1].write = KV_WRITE_NONE;
    b->config.resident_tier = 1;
    kv_tier_bench_come(b, LATE_NS, 1, A, chunks * KV_BENCH_BLOCK + REST, 1)->resident_tokens = chunks * KV_BENCH_BLOCK;
}

/* Where n blocks meet of which one comes in so many ticks. */
struct meeting { kv_tick at_tk; int32_t computed, arrived; };

static struct meeting meeting_of(int32_t n, kv_tick chunk_tk)
{
    struct meeting m = {.at_tk = LATE};
    while (m.computed < n - m.arrived) {
        int32_t left = n - m.arrived - m.computed;
        m.computed += left < 2 ? left : 2;
        m.at_tk += STEP;
        kv_tick come = (m.at_tk - LATE) / chunk_tk;
        m.arrived = come < n ? (int32_t)come : n;
    }
    return m;
}

/* Nothing is lost: every token was computed or came, and every byte was of use or was wasted. */
static void expect(struct kv_tier_bench *b, int32_t n, struct meeting m)
{
    const struct kv_record *r = &kv_tier_bench_serve(b)[0];
    const struct kv_tier_counters *tier = &b->run.counters.tier[1];
    assert_int_equal(r->first_sched_tk, LATE);
    assert_int_equal(r->finish_tk, m.at_tk + STEP);
    assert_int_equal(r->fetch_stall_tk, 0);
    assert_int_equal(r->prompt_tokens_by_source[1], (n - m.computed) * KV_BENCH_BLOCK);
    assert_int_equal(b->run.counters.prefill_tokens, m.computed * KV_BENCH_BLOCK + REST);
    assert_int_equal(tier->read_bytes - tier->wasted_bytes, (int64_t)m.arrived * CHUNK);
}

static void they_meet_where_the_recurrence_says(void **state)
{
    (void)state;
    int computed = 0, arrived = 0, wasted = 0;
    for (int32_t n = 1; n <= 30; n++)
        for (int32_t slower = 1; slower <= 9; slower++) {
            struct kv_tier_bench b;
            setup(&b, n);
            b.store[1].limit = BYTE_A_TICK / slower;
            struct meeting m = meeting_of(n, kv_bench_ticks(CHUNK, b.store[1].limit));
            expect(&b, n, m);
            computed += m.computed;
            arrived += m.arrived;
            wasted += b.run.counters.tier[1].wasted_bytes > 0;
            kv_tier_bench_close(&b);
        }
    assert_true(computed > 500 && arrived > 500 && wasted > 20);
}

/* Two of four come just when the other two are computed; a tick later one more must be. */
static void a_tick_late_is_a_step_late(void **state)
{
    (void)state;
    for (int late = 0; late <= 1; late++) {
        struct kv_tier_bench b;
        setup(&b, 4);
        b.store[1].limit -= late;
        expect(&b, 4, (struct meeting){LATE + STEP * (1 + late), 2 + late, late ? 3 : 2});
        kv_tier_bench_close(&b);
    }
}

static void what_comes_at_once_is_not_computed(void **state)
{
    (void)state;
    struct kv_tier_bench b;
    setup(&b, 40);
    b.store[1].limit = KV_RATE_UNLIMITED;
    expect(&b, 40, (struct meeting){LATE + STEP, 2, 40});          /* the step that had begun */
    kv_tier_bench_close(&b);
}

static void what_never_comes_is_computed(void **state)
{
    (void)state;
    struct kv_tier_bench b;
    setup(&b, 9);
    b.store[1].limit = 0;
    expect(&b, 9, (struct meeting){LATE + 5 * STEP, 9, 0});
    assert_int_equal(b.run.counters.tier[1].wasted_bytes, 0);
    kv_tier_bench_close(&b);
}

/* Another that finds the blocks waits for the meeting, and then has them all in HBM. */
static void a_delayed_hit_ends_with_the_meeting(void **state)
{
    (void)state;
    struct kv_tier_bench b;
    setup(&b, 9);
    kv_tier_bench_come(&b, LATE_NS + 1, 1, A, 9 * KV_BENCH_BLOCK + REST, 1);
    const struct kv_record *r = kv_tier_bench_serve(&b);
    struct meeting m = meeting_of(9, CHUNK);
    assert_int_equal(r[0].finish_tk, m.at_tk + STEP);
    assert_int_equal(r[1].first_sched_tk, m.at_tk);
    assert_int_equal(r[1].finish_tk, m.at_tk + STEP);
    assert_int_equal(r[1].prompt_tokens_by_source[0], 9 * KV_BENCH_BLOCK);
    assert_int_equal(b.run.counters.tier[1].read_bytes - b.run.counters.tier[1].wasted_bytes, m.arrived * CHUNK);
    kv_tier_bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_meet_where_the_recurrence_says),
        cmocka_unit_test(a_tick_late_is_a_step_late),
        cmocka_unit_test(what_comes_at_once_is_not_computed),
        cmocka_unit_test(what_never_comes_is_computed),
        cmocka_unit_test(a_delayed_hit_ends_with_the_meeting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

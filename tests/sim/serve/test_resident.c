/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens that requests bring with them into a tier (docs/tiers.md T36). Chunks of 16 tokens and 512 bytes, which take
 * 512 ticks at a byte a tick. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/tier_bench.h"

#define CHUNK 512
#define LATE_NS 1000000
#define LATE ((kv_tick)LATE_NS * KV_TICKS_PER_NS)
#define A 5

static void setup(struct kv_tier_bench *b)
{
    kv_tier_bench_open(b, 2);
    b->store[1].limit = (kv_rate)KV_SERVICE_PER_BYTE;
    b->config.tier[1].write = KV_WRITE_NONE;
    b->config.resident_tier = 1;
}

static void come(struct kv_tier_bench *b, int64_t arrival_ns, uint64_t stream, int32_t chunks, int32_t resident)
{
    kv_tier_bench_come(b, arrival_ns, 0, stream, chunks * KV_BENCH_BLOCK + 8, 1)->resident_tokens = resident;
}

static void what_a_request_brings_is_found_by_itself(void **state)
{
    (void)state;
    for (int32_t resident = 0; resident <= 5 * KV_BENCH_BLOCK + 8; resident++) {
        struct kv_tier_bench b;
        setup(&b);
        come(&b, LATE_NS, A, 5, resident);
        const struct kv_record *r = kv_tier_bench_serve(&b);
        int64_t chunks = resident / KV_BENCH_BLOCK;
        assert_int_equal(r->prompt_tokens_by_source[1], chunks * KV_BENCH_BLOCK);
        assert_int_equal(r->first_sched_tk, LATE + chunks * CHUNK);
        assert_int_equal(b.run.counters.tier[1].resident_chunks, chunks);
        assert_int_equal(b.run.counters.tier[1].inserted_chunks, chunks);
        assert_int_equal(b.run.counters.tier[1].written_bytes, 0);
        assert_int_equal(b.run.counters.tier[1].accesses, chunks > 0);     /* the read */
        kv_tier_bench_close(&b);
    }
}

/* They are known to the policy at once: later ones drive earlier ones out. */
static void what_nobody_reads_makes_room(void **state)
{
    (void)state;
    for (int32_t capacity = 1; capacity <= 6; capacity++) {
        struct kv_tier_bench b;
        setup(&b);
        b.config.tier[1].capacity_chunks = capacity;
        come(&b, LATE_NS, A, 5, 5 * KV_BENCH_BLOCK);
        come(&b, LATE_NS, A + 1, 5, 3 * KV_BENCH_BLOCK);
        kv_tier_bench_serve(&b);
        const struct kv_tier_counters *c = &b.run.counters.tier[1];
        assert_int_equal(c->resident_chunks, 8);
        assert_int_equal(c->dropped_chunks, 0);
        assert_int_equal(c->evicted_chunks, 8 - capacity);
        kv_tier_bench_close(&b);
    }
}

/* A pinned chunk never leaves: with every chunk being read there is no space. */
static void what_finds_no_space_is_dropped(void **state)
{
    (void)state;
    struct kv_tier_bench b;
    setup(&b);
    b.config.tier[1].capacity_chunks = 3;
    come(&b, LATE_NS, A, 3, 3 * KV_BENCH_BLOCK);
    come(&b, LATE_NS + 1, A + 1, 4, 4 * KV_BENCH_BLOCK);
    const struct kv_record *r = kv_tier_bench_serve(&b);
    assert_int_equal(r[0].prompt_tokens_by_source[1], 3 * KV_BENCH_BLOCK);
    assert_int_equal(r[1].prompt_tokens_by_source[1], 0);
    assert_int_equal(b.run.counters.tier[1].resident_chunks, 3);
    assert_int_equal(b.run.counters.tier[1].dropped_chunks, 4);
    kv_tier_bench_close(&b);
}

static void what_is_there_already_is_left_as_it_is(void **state)
{
    (void)state;
    struct kv_tier_bench b;
    setup(&b);
    come(&b, LATE_NS, A, 5, 2 * KV_BENCH_BLOCK);
    come(&b, 2 * LATE_NS, A, 5, 4 * KV_BENCH_BLOCK);
    kv_tier_bench_serve(&b);
    assert_int_equal(b.run.counters.tier[1].resident_chunks, 4);
    assert_int_equal(b.run.counters.tier[1].dropped_chunks, 0);
    kv_tier_bench_close(&b);
}

static void what_must_go_is_proposed_below_at_once(void **state)
{
    (void)state;
    struct kv_tier_bench b;
    setup(&b);
    kv_tier_bench_add_tier(&b);
    b.config.tier[2].write = KV_WRITE_ON_EVICT;
    b.config.tier[1].capacity_chunks = 4;
    come(&b, LATE_NS, A, 4, 4 * KV_BENCH_BLOCK);
    come(&b, 2 * LATE_NS, A + 1, 3, 3 * KV_BENCH_BLOCK);
    kv_tier_bench_serve(&b);
    assert_int_equal(b.run.counters.tier[1].evicted_chunks, 3);
    assert_int_equal(b.run.counters.tier[2].accesses, 1);                   /* one proposal, one write */
    assert_int_equal(b.run.counters.tier[2].inserted_chunks, 3);
    kv_tier_bench_close(&b);
}

/* Three chunks fit. A brings 0 to 2; B drives 0 out; A brings 0 to 4: 1 and 2 go for 0 and 1, B for 2, 0 for 3 and 1
 * again for 4. Below, 0 is there already, and 1 counts once. */
static void what_goes_twice_is_proposed_once(void **state)
{
    (void)state;
    struct kv_tier_bench b;
    setup(&b);
    kv_tier_bench_add_tier(&b);
    b.config.tier[2].write = KV_WRITE_ON_EVICT;
    b.config.tier[1].capacity_chunks = 3;
    b.config.fetch.policy = kv_test_plugin("fetch", "threshold");
    b.config.fetch.params = kv_test_params(&b.arena, &b.config.fetch.policy->info);
    kv_test_param_set(&b.config.fetch.policy->info, (void *)(uintptr_t)b.config.fetch.params, "min_tokens", 1e6);
    come(&b, LATE_NS, A, 5, 3 * KV_BENCH_BLOCK);
    come(&b, 2 * LATE_NS, A + 1, 5, KV_BENCH_BLOCK);
    come(&b, 3 * LATE_NS, A, 5, 5 * KV_BENCH_BLOCK);
    kv_tier_bench_serve(&b);
    assert_int_equal(b.run.counters.tier[1].resident_chunks, 3 + 1 + 5);
    assert_int_equal(b.run.counters.tier[1].evicted_chunks, 1 + 5);
    assert_int_equal(b.run.counters.tier[2].accesses, 2);
    assert_int_equal(b.run.counters.tier[2].inserted_chunks, 1 + 3);
    kv_tier_bench_close(&b);
}

static void who_is_not_served_brings_nothing(void **state)
{
    (void)state;
    struct kv_tier_bench b;
    setup(&b);
    b.config.hbm_blocks = 6;
    come(&b, LATE_NS, A, 5, 5 * KV_BENCH_BLOCK);
    b.request[0].output_tokens = 100;
    come(&b, LATE_NS, A, 5, 5 * KV_BENCH_BLOCK);
    b.request[1].failed = true;
    kv_tier_bench_serve(&b);
    assert_int_equal(b.run.records[0].status, KV_STATUS_REJECTED);
    assert_int_equal(b.run.records[1].status, KV_STATUS_FAILED);
    assert_int_equal(b.run.counters.tier[1].resident_chunks, 0);
    kv_tier_bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_request_brings_is_found_by_itself),
        cmocka_unit_test(what_nobody_reads_makes_room),
        cmocka_unit_test(what_finds_no_space_is_dropped),
        cmocka_unit_test(what_is_there_already_is_left_as_it_is),
        cmocka_unit_test(what_must_go_is_proposed_below_at_once),
        cmocka_unit_test(what_goes_twice_is_proposed_once),
        cmocka_unit_test(who_is_not_served_brings_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* One tick early, on time: the instants of loads and writes (docs/tiers.md T4, T9, T10, T14, T15, T22 to T26) on loads
 * whose every access has a known end. Two layers of 16 bytes a token: a chunk is 512 bytes and takes 512 ticks at a
 * byte a tick. A prompt is computed in 1,000 ticks, a token decoded in 500. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/tier_bench.h"

#define BYTE_A_TICK ((kv_rate)KV_SERVICE_PER_BYTE)
#define CHUNK 512             /* bytes, and ticks at a byte a tick */
#define STEP 1000
#define DECODE 500
#define LATE_NS 1000000
#define LATE ((kv_tick)LATE_NS * KV_TICKS_PER_NS)
#define A 5                   /* a stream of tokens */

static void setup(struct kv_tier_bench *b)
{
    kv_tier_bench_open(b, 2);
    b->compute.before = 0;
    for (int32_t l = 0; l < 2; l++) {
        b->compute.chunk[l] = STEP / 2 * KV_COST_PER_TICK;
        b->compute.decode[l] = DECODE / 2 * KV_COST_PER_TICK;
    }
    b->store[1].limit = BYTE_A_TICK;
}

/* Leaves `chunks` chunks of a stream in the tier, on instance 0. */
static void seed(struct kv_tier_bench *b, uint64_t stream, int32_t chunks)
{
    kv_tier_bench_come(b, b->count * 100000, 0, stream, chunks * KV_BENCH_BLOCK, 1);
}

/* Asks for them: 8 tokens more, so that it leaves nothing more behind. Returns its index. */
static int64_t ask(struct kv_tier_bench *b, int64_t arrival_ns, int32_t instance, uint64_t stream, int32_t chunks)
{
    kv_tier_bench_come(b, arrival_ns, instance, stream, chunks * KV_BENCH_BLOCK + 8, 1);
    return b->count - 1;
}

/* --- Loads --- */

static void a_bulk_load_is_there_after_its_delay_and_all_its_bytes(void **state)
{
    (void)state;
    for (int32_t chunks = 1; chunks <= 5; chunks++)
        for (int more = 0; more <= 1; more++) {
            struct kv_tier_bench b;
            setup(&b);
            b.store[1].delay_tk = 77;
            b.store[1].limit -= more;          /* a trifle less: the last byte comes one tick later */
            seed(&b, A, chunks);
            ask(&b, LATE_NS, 1, A, chunks);
            const struct kv_record *r = &kv_tier_bench_serve(&b)[1];
            assert_int_equal(r->first_sched_tk, LATE + 77 + chunks * CHUNK + more);
            assert_int_equal(r->finish_tk, r->first_sched_tk + STEP);
            assert_int_equal(r->fetch_stall_tk, 77 + chunks * CHUNK + more);
            assert_int_equal(r->prompt_tokens_by_source[1], chunks * KV_BENCH_BLOCK);
            assert_int_equal(r->fetched_bytes[1], chunks * CHUNK);
            kv_tier_bench_close(&b);
        }
}

static void a_load_from_two_tiers_ends_with_the_later_of_them(void **state)
{
    (void)state;
    for (int32_t above = 1; above <= 5; above++) {
        struct kv_tier_bench b;
        setup(&b);
        kv_tier_bench_add_tier(&b);
        b.config.tier[1].capacity_chunks = above;
        b.store[2].limit = BYTE_A_TICK / 2;
        b.store[2].delay_tk = 9;
        seed(&b, A, 6);
        ask(&b, LATE_NS, 1, A, 6);
        const struct kv_record *r = &kv_tier_bench_serve(&b)[1];
        kv_tick first = above * CHUNK, second = 9 + (6 - above) * CHUNK * 2;
        assert_int_equal(r->first_sched_tk, LATE + (first > second ? first : second));
        assert_int_equal(r->prompt_tokens_by_source[1], above * KV_BENCH_BLOCK);
        assert_int_equal(r->prompt_tokens_by_source[2], (6 - above) * KV_BENCH_BLOCK);
        kv_tier_bench_close(&b);
    }
}

/* `c` at a time, each after a delay of its own: ceil(n / c) rounds. Over one device the m of a round share it. */
static void chunkwise_loads_take_rounds_of_the_concurrency(void **state)
{
    (void)state;
    for (int shared = 0; shared <= 1; shared++)
        for (int32_t c = 1; c <= 5; c++)
            for (int32_t n = 1; n <= 9; n++) {
                struct kv_tier_bench b;
                setup(&b);
                b.config.fetch.mode = KV_DELIVERY_CHUNKWISE;
                b.config.fetch.concurrency = c;
                b.store[1].delay_tk = 130;
                if (shared) b.store[1] = (struct kv_bench_store){.delay_tk = 130, .limit = KV_RATE_UNLIMITED,
                                                                 .device = 3 * BYTE_A_TICK};
                seed(&b, A, n);
                ask(&b, LATE_NS, 1, A, n);
                const struct kv_record *r = &kv_tier_bench_serve(&b)[1];
                kv_tick end_tk = LATE;
                for (int32_t left = n; left > 0; left -= c) {
                    kv_rate rate = shared ? 3 * BYTE_A_TICK / (left < c ? left : c) : BYTE_A_TICK;
                    end_tk += 130 + kv_bench_ticks(CHUNK, rate);
                }
                assert_int_equal(r->first_sched_tk, end_tk);
                assert_int_equal(b.run.counters.tier[1].accesses, 1 + n);      /* and the write */
                kv_tier_bench_close(&b);
            }
}

static void a_delayed_hit_waits_for_the_first_load(void **state)
{
    (void)state;
    for (int64_t later_ns = 0; later_ns <= 7; later_ns += 7) {
        struct kv_tier_bench b;
        setup(&b);
        seed(&b, A, 4);
        ask(&b, LATE_NS, 1, A, 4);
        ask(&b, LATE_NS + later_ns, 1, A, 4);
        const struct kv_record *r = kv_tier_bench_serve(&b);
        kv_tick there_tk = LATE + 4 * CHUNK;
        assert_int_equal(r[1].first_sched_tk, there_tk);
        assert_int_equal(r[2].first_sched_tk, there_tk);
        assert_int_equal(r[2].fetch_stall_tk, there_tk - r[2].arrival_tk);
        assert_int_equal(r[1].prompt_tokens_by_source[1], 64);
        assert_int_equal(r[2].prompt_tokens_by_source[0], 64);
        assert_int_equal(r[2].fetched_bytes[1], 0);
        assert_int_equal(b.run.counters.fetches, 1);
        assert_int_equal(b.run.counters.delayed_hits, 1);
        kv_tier_bench_close(&b);
    }
}

/* One turn at a time, in the order of coming; each with its delay. */
static void turns_of_a_store_are_taken_in_the_order_of_coming(void **state)
{
    (void)state;
    struct kv_tier_bench b;
    setup(&b);
    b.store[1].turns = 1;
    b.store[1].delay_tk = 40;
    for (uint64_t stream = 1; stream <= 3; stream++) seed(&b, stream, (int32_t)stream);
    ask(&b, LATE_NS, 1, 3, 3);
    ask(&b, LATE_NS, 2, 1, 1);
    ask(&b, LATE_NS, 3, 2, 2);
    const struct kv_record *r = &kv_tier_bench_serve(&b)[3];
    assert_int_equal(r[0].first_sched_tk, LATE + 40 + 3 * CHUNK);
    assert_int_equal(r[1].first_sched_tk, LATE + 80 + 4 * CHUNK);
    assert_int_equal(r[2].first_sched_tk, LATE + 120 + 6 * CHUNK);
    assert_int_equal(b.run.counters.tier[1].waited_accesses, 2);
    kv_tier_bench_close(&b);
}

/* With a bounded look-ahead it is the first pause that gives the turn back. */
static void a_pause_gives_the_turn_back(void **state)
{
    (void)state;
    struct kv_tier_bench b;
    setup(&b);
    b.store[1].turns = 1;
    b.config.fetch.mode = KV_DELIVERY_LAYERWISE;
    b.config.fetch.lookahead_layers = 1;
    seed(&b, 1, 2);
    seed(&b, 2, 2);
    ask(&b, LATE_NS, 1, 1, 2);
    ask(&b, LATE_NS, 2, 2, 2);
    const struct kv_record *r = &kv_tier_bench_serve(&b)[2];
    for (int i = 0; i < 2; i++) {                     /* X_0, then the longer of C_0 = 500 and X_1 = 512, then C_1 */
        assert_int_equal(r[i].first_sched_tk, LATE + (i + 1) * CHUNK);
        assert_int_equal(r[i].finish_tk, LATE + (i + 1) * CHUNK + CHUNK + STEP / 2);
    }
    kv_tier_bench_close(&b);
}

/* --- Timeouts --- */

/* Of 4 chunks and 2,048 ticks; returns the record, counters are in b->run. */
static const struct kv_record *with_timeout(struct kv_tier_bench *b, int64_t mode, kv_tick timeout_tk)
{
    setup(b);
    b->config.fetch.mode = mode;
    b->fetch.timeout_tk = timeout_tk;
    seed(b, A, 4);
    ask(b, LATE_NS, 1, A, 4);
    return &kv_tier_bench_serve(b)[1];
}

static void a_timeout_at_the_last_byte_comes_too_late_and_one_tick_before_in_time(void **state)
{
    (void)state;
    struct kv_tier_bench b;
    const struct kv_record *r = with_timeout(&b, KV_DELIVERY_BULK, 4 * CHUNK);
    assert_int_equal(b.run.counters.fetch_timeouts, 0);
    assert_int_equal(r->prompt_tokens_by_source[1], 64);
    assert_int_equal(r->first_sched_tk, LATE + 4 * CHUNK);
    kv_tier_bench_close(&b);

    r = with_timeout(&b, KV_DELIVERY_BULK, 4 * CHUNK - 1);
    assert_int_equal(b.run.counters.fetch_timeouts, 1);
    assert_int_equal(r->first_sched_tk, LATE + 4 * CHUNK - 1);
    assert_int_equal(r->fetch_stall_tk, 4 * CHUNK - 1);
    /* Three whole chunks have come and stay in HBM; of the fourth all but a byte is wasted. */
    assert_int_equal(r->prompt_tokens_by_source[0], 48);
    assert_int_equal(r->prompt_tokens_by_source[1], 0);
    assert_int_equal(b.run.counters.tier[1].read_bytes, 4 * CHUNK - 1);
    assert_int_equal(b.run.counters.tier[1].wasted_bytes, CHUNK - 1);
    assert_int_equal(r->fetched_bytes[1], 4 * CHUNK - 1);
    kv_tier_bench_close(&b);
}

static void what_a_timeout_leaves_hangs_on_the_delivery(void **state)
{
    (void)state;
    struct kv_tier_bench b;
    const struct kv_record *r = with_timeout(&b, KV_DELIVERY_CHUNKWISE, 2 * CHUNK + 100);
    assert_int_equal(b.run.counters.fetch_timeouts, 1);
    assert_int_equal(r->prompt_tokens_by_source[0], 32);
    assert_int_equal(b.run.counters.tier[1].wasted_bytes, 100);
    kv_tier_bench_close(&b);

    r = with_timeout(&b, KV_DELIVERY_LAYERWISE, 1000);     /* the first layer takes 1,024 */
    assert_int_equal(b.run.counters.fetch_timeouts, 1);
    assert_int_equal(r->first_sched_tk, LATE + 1000);
    assert_int_equal(r->prompt_tokens_by_source[0], 0);
    assert_int_equal(b.run.counters.tier[1].wasted_bytes, 1000);
    kv_tier_bench_close(&b);
}

/* At one tick policies come before boundaries: at the tick of the first layer nobody has joined yet. */
static void a_joined_load_has_no_timeout(void **state)
{
    (void)state;
    for (int later = 0; later <= 1; later++) {
        struct kv_tier_bench b;
        const struct kv_record *r = with_timeout(&b, KV_DELIVERY_LAYERWISE, 2 * CHUNK + later);
        assert_int_equal(r->first_sched_tk, LATE + 2 * CHUNK);
        assert_int_equal(b.run.counters.fetch_timeouts, !later);
        assert_int_equal(r->prompt_tokens_by_source[1], later ? 64 : 0);
        kv_tier_bench_close(&b);
    }
}

/* --- Writes --- */

/* Four chunks of A written on instance 0; the acknowledgement is such that they are visible at LATE + `late`, given
 * that the write begins at `begin_tk`. A look-up at LATE tells. */
static void expect_visible(struct kv_tier_bench *b, kv_tick begin_tk, kv_tick late, bool found)
{
    b->store[1].delay_tk = 31;
    b->store[1].ack_tk = LATE + late - begin_tk - 31 - 4 * CHUNK;
    int64_t asks = ask(b, LATE_NS, 1, A, 4);
    const struct kv_record *r = &kv_tier_bench_serve(b)[asks];
    assert_int_equal(r->prompt_tokens_by_source[1], found ? 64 : 0);
    assert_int_equal(r->prompt_tokens_by_source[0], 0);
    kv_tier_bench_close(b);
}

static void written_through_it_is_under_way_when_its_step_ends(void **state)
{
    (void)state;
    for (int late = 0; late <= 1; late++) {
        struct kv_tier_bench b;
        setup(&b);
        seed(&b, A, 4);
        expect_visible(&b, STEP, late, !late);
    }
}

static void written_back_it_is_under_way_when_its_request_finishes(void **state)
{
    (void)state;
    for (int late = 0; late <= 1; late++) {
        struct kv_tier_bench b;
        setup(&b);
        b.config.tier[1].write = KV_WRITE_BACK;
        kv_tier_bench_come(&b, 0, 0, A, 4 * KV_BENCH_BLOCK, 6);
        expect_visible(&b, STEP + 5 * DECODE, late, !late);
    }
}

/* Six blocks; another prompt of as many drives the four out at its first step. */
static void written_on_eviction_it_is_under_way_when_it_is_evicted(void **state)
{
    (void)state;
    for (int late = 0; late <= 1; late++) {
        struct kv_tier_bench b;
        setup(&b);
        b.config.tier[1].write = KV_WRITE_ON_EVICT;
        b.config.hbm_blocks = 6;
        seed(&b, A, 4);
        kv_tier_bench_come(&b, 1000, 0, 0, 6 * KV_BENCH_BLOCK, 1);
        expect_visible(&b, 1000 * KV_TICKS_PER_NS, late, !late);
    }
}

static void each_step_of_a_prompt_writes_the_chunks_it_fills(void **state)
{
    (void)state;
    struct kv_tier_bench b;
    setup(&b);
    b.config.engine.max_num_batched_tokens = 40;       /* 40 tokens, then 24: two chunks, then two */
    seed(&b, A, 4);
    b.store[1].ack_tk = LATE - STEP - 2 * CHUNK;       /* the first two are visible now, the others a step later */
    int64_t asks = ask(&b, LATE_NS, 1, A, 4);
    assert_int_equal(kv_tier_bench_serve(&b)[asks].prompt_tokens_by_source[1], 32);
    assert_int_equal(b.run.counters.tier[1].written_bytes, 2 * 2 * CHUNK);
    kv_tier_bench_close(&b);
}

/* T42: what was not visible yet is told, up to the last full block of the prompt; in the first tier that it is on its
 * way into. */
static void hits_lost_to_writes_under_way_are_counted(void **state)
{
    (void)state;
    for (int late = 0; late <= 1; late++)
        for (int32_t more = 0; more <= 8; more += 8)
            for (int second = 0; second <= 1; second++) {
                struct kv_tier_bench b;
                setup(&b);
                if (second) kv_tier_bench_add_tier(&b);
                if (second) b.store[2].ack_tk = 2 * LATE;
                seed(&b, A, 4);
                b.store[1].ack_tk = LATE + late - STEP - 4 * CHUNK;
                kv_tier_bench_come(&b, LATE_NS, 1, A, 4 * KV_BENCH_BLOCK + more, 1);
                const struct kv_record *r = &kv_tier_bench_serve(&b)[1];
                int32_t full = more > 0 ? 64 : 48;          /* the last token is always computed */
                assert_int_equal(r->prompt_tokens_by_source[1], late ? 0 : full);
                assert_int_equal(b.run.counters.tier[1].pending_tokens, late ? full : 0);
                assert_int_equal(b.run.counters.tier[2].pending_tokens, 0);
                kv_tier_bench_close(&b);
            }
}

/* Behind what is found: three chunks in the first tier, the others on their way into the second. */
static void pending_tokens_stand_behind_the_match(void **state)
{
    (void)state;
    struct kv_tier_bench b;
    setup(&b);
    kv_tier_bench_add_tier(&b);
    b.config.tier[1].capacity_chunks = 3;
    b.store[2].ack_tk = 2 * LATE;
    seed(&b, A, 6);
    ask(&b, LATE_NS, 1, A, 6);
    const struct kv_record *r = &kv_tier_bench_serve(&b)[1];
    assert_int_equal(r->prompt_tokens_by_source[1], 48);
    assert_int_equal(b.run.counters.tier[1].pending_tokens, 0);
    assert_int_equal(b.run.counters.tier[2].pending_tokens, 48);
    kv_tier_bench_close(&b);
}

/* A fetch from tier two leaves its chunks in tier one, visible when it ends. */
static void a_fill_is_visible_when_the_load_ends(void **state)
{
    (void)state;
    for (int late = 0; late <= 1; late++) {
        struct kv_tier_bench b;
        setup(&b);
        kv_tier_bench_add_tier(&b);
        b.config.tier[1].write = KV_WRITE_NONE;
        b.config.tier[2].fill = 1u << 1;
        b.store[2].limit = BYTE_A_TICK;
        b.store[2].delay_tk = 256 * 100 - 4 * CHUNK + late;
        seed(&b, A, 4);
        ask(&b, LATE_NS, 1, A, 4);
        int64_t asks = ask(&b, LATE_NS + 100, 2, A, 4);
        assert_int_equal(kv_tier_bench_serve(&b)[asks].prompt_tokens_by_source[late ? 2 : 1], 64);
        assert_int_equal(b.run.counters.tier[1].filled_chunks, 4);
        kv_tier_bench_close(&b);
    }
}

/* --- Pressure --- */

/* Room for two chunks. B wants it while the two are being read: it is dropped; else it drives them out. */
static void a_source_that_is_read_survives_pressure(void **state)
{
    (void)state;
    for (int reading = 0; reading <= 1; reading++) {
        struct kv_tier_bench b;
        setup(&b);
        b.config.tier[1].capacity_chunks = 2;
        b.store[1].delay_tk = 256 * 1000;
        seed(&b, A, 2);
        if (reading) ask(&b, LATE_NS, 1, A, 2);
        kv_tier_bench_come(&b, LATE_NS + 10, 0, 9, 2 * KV_BENCH_BLOCK, 1);
        int64_t asks = ask(&b, 2 * LATE_NS, 2, A, 2);
        const struct kv_record *r = kv_tier_bench_serve(&b);
        if (reading) assert_int_equal(r[1].prompt_tokens_by_source[1], 32);
        assert_int_equal(r[asks].prompt_tokens_by_source[1], reading ? 32 : 0);
        assert_int_equal(b.run.counters.tier[1].dropped_chunks, reading ? 2 : 0);
        /* Without a reader B's, then those of the last request, which had to compute them. */
        assert_int_equal(b.run.counters.tier[1].evicted_chunks, reading ? 0 : 4);
        kv_tier_bench_close(&b);
    }
}

/* Four blocks of HBM; two of them are written, for 1,024 ticks and 5,000 more for the acknowledgement, from STEP on.
 * Dropped while the bytes flow: those that have come are wasted. */
static void prepare_pressure(struct kv_tier_bench *b, bool blocking)
{
    setup(b);
    b->config.hbm_blocks = 4;
    b->config.tier[1].write_blocking = blocking;
    b->store[1].ack_tk = 5000;
    seed(b, A, 2);
}

static void a_pending_write_makes_room_for_a_waiter_unless_it_blocks(void **state)
{
    (void)state;
    for (int blocking = 0; blocking <= 1; blocking++) {
        struct kv_tier_bench b;
        prepare_pressure(&b, blocking);
        kv_tier_bench_come(&b, 6, 0, 0, 56, 1);        /* at tick 1,536, of the write's 2,024: 536 bytes */
        const struct kv_record *r = kv_tier_bench_serve(&b);
        assert_int_equal(r[1].first_sched_tk, blocking ? STEP + 2 * CHUNK + 5000 : 1536);
        assert_int_equal(b.run.counters.tier[1].dropped_chunks, blocking ? 0 : 2);
        assert_int_equal(b.run.counters.tier[1].wasted_bytes, blocking ? 0 : 536);
        kv_tier_bench_close(&b);
    }
}

/* The third block of the other is due when it has computed 32 tokens: 16 at once, 16 one by one. */
static void a_pending_write_makes_room_for_who_runs_unless_it_blocks(void **state)
{
    (void)state;
    for (int blocking = 0; blocking <= 1; blocking++) {
        struct kv_tier_bench b;
        prepare_pressure(&b, blocking);
        b.store[1].ack_tk = 50000;
        kv_tier_bench_come(&b, 6, 0, 0, 16, 24);
        const struct kv_record *r = kv_tier_bench_serve(&b);
        kv_tick short_tk = 1536 + STEP + 16 * DECODE;
        assert_int_equal(r[1].preemptions, blocking);
        assert_int_equal(r[1].preempted_tk, blocking ? STEP + 2 * CHUNK + 50000 - short_tk : 0);
        assert_int_equal(b.run.counters.tier[1].dropped_chunks, blocking ? 0 : 2);
        assert_int_equal(b.run.counters.tier[1].wasted_bytes, blocking ? 0 : 2 * CHUNK);
        kv_tier_bench_close(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bulk_load_is_there_after_its_delay_and_all_its_bytes),
        cmocka_unit_test(a_load_from_two_tiers_ends_with_the_later_of_them),
        cmocka_unit_test(chunkwise_loads_take_rounds_of_the_concurrency),
        cmocka_unit_test(a_delayed_hit_waits_for_the_first_load),
        cmocka_unit_test(turns_of_a_store_are_taken_in_the_order_of_coming),
        cmocka_unit_test(a_pause_gives_the_turn_back),
        cmocka_unit_test(a_timeout_at_the_last_byte_comes_too_late_and_one_tick_before_in_time),
        cmocka_unit_test(what_a_timeout_leaves_hangs_on_the_delivery),
        cmocka_unit_test(a_joined_load_has_no_timeout),
        cmocka_unit_test(written_through_it_is_under_way_when_its_step_ends),
        cmocka_unit_test(written_back_it_is_under_way_when_its_request_finishes),
        cmocka_unit_test(written_on_eviction_it_is_under_way_when_it_is_evicted),
        cmocka_unit_test(each_step_of_a_prompt_writes_the_chunks_it_fills),
        cmocka_unit_test(hits_lost_to_writes_under_way_are_counted),
        cmocka_unit_test(pending_tokens_stand_behind_the_match),
        cmocka_unit_test(a_fill_is_visible_when_the_load_ends),
        cmocka_unit_test(a_source_that_is_read_survives_pressure),
        cmocka_unit_test(a_pending_write_makes_room_for_a_waiter_unless_it_blocks),
        cmocka_unit_test(a_pending_write_makes_room_for_who_runs_unless_it_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

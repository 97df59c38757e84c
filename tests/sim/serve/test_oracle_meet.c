/* SPDX-License-Identifier: Apache-2.0 */
/* The naive engine of tests/oracle where a request computes its prompt from the head while its KV comes from the tail
 * (docs/tiers.md, T44), against a recurrence of its own: one request alone, whose chunks come in rounds of
 * `concurrency` that share the device, exact to the tick. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/oracle/naive.h"
#include "tests/support/alone.h"

#define HIT (KV_ALONE_HIT_BLOCKS * KV_ALONE_BLOCK)
#define REST 7                    /* tokens behind the hit */

/* A step that computes tokens [from, from + n) and nothing else. */
static kv_cost step_cost(struct kv_alone *a, int64_t n, int64_t from, bool overhead)
{
    char state[256] = {0};
    struct kv_err err;
    assert_true(kv_test_compute.state_bytes <= sizeof state);
    assert_true(kv_test_compute.open(state, &a->compute, &a->config.compute_env, &err));
    struct kv_chunk chunk = {n, from, from + n == HIT + REST};
    struct kv_batch batch = {.chunks = &chunk, .chunk_count = 1};
    if (n == 1)
        batch = (struct kv_batch){.decode_count = 1, .ctx_sum = from, .ctx_max = from,
                                  .ctx_sq_sum = (kv_cost)from * from};
    return kv_test_compute.price(state, &batch).first
           + (overhead ? kv_cost_from_s(a->config.engine.host_overhead_s) : 0);
}

/* When the i-th chunk from the end is there, since its load began. */
static kv_tick there(const struct kv_alone *a, int64_t i)
{
    kv_tick at = 0;
    int64_t width = a->config.fetch.concurrency;
    for (int64_t first = 0; first <= i; first += width) {
        int64_t flows = KV_ALONE_HIT_BLOCKS - first < width ? KV_ALONE_HIT_BLOCKS - first : width;
        kv_service bytes = (kv_service)(kv_alone_bytes(a) / KV_ALONE_HIT_BLOCKS) * KV_SERVICE_PER_BYTE;
        at += a->store.delay_tk + kv_rate_ticks(bytes, KV_ALONE_RATE / flows);
    }
    return at;
}

/* own: blocks that it has computed, begun ones too, when it meets what has come, which may be all; end: of its prompt,
 * since its arrival. */
struct meeting { int64_t own; bool all_came; kv_tick end; };

static struct meeting meeting(struct kv_alone *a)
{
    kv_cost spent = 0;
    int64_t computed = 0, meet = KV_ALONE_HIT_BLOCKS;
    for (;;) {
        while (meet > 0 && there(a, KV_ALONE_HIT_BLOCKS - meet) <= kv_cost_ceil_tk(spent)) meet--;
        if (computed >= meet * KV_ALONE_BLOCK) break;
        int64_t n = meet * KV_ALONE_BLOCK - computed;
        if (n > a->config.fetch.compute_chunk_tokens) n = a->config.fetch.compute_chunk_tokens;
        spent += step_cost(a, n, computed, true);
        computed += n;
    }
    return (struct meeting){.own = (computed + KV_ALONE_BLOCK - 1) / KV_ALONE_BLOCK, .all_came = meet == 0,
                            .end = kv_cost_ceil_tk(spent + step_cost(a, REST, HIT, true))};
}

static void scale(struct kv_test_compute_params *p, double times)
{
    p->base_s *= times;
    p->token_s *= times;
    p->decode_s *= times;
}

static void run(struct kv_alone *a)
{
    struct kv_err err;
    bool came[3];
    struct kv_sink sink = {.state = &a->told, .fetch = kv_told_fetch};
    assert_true(kv_oracle_run(&a->config, a->requests, a->count, a->records, came, &a->counters, NULL, NULL, &sink,
                              &err));
}

static void expect(struct kv_alone *a, struct meeting m)
{
    const struct kv_record *r = &a->records[1];
    const struct kv_fetch_record *f = &a->told.fetches.at[0];
    int64_t brought = (KV_ALONE_HIT_BLOCKS - m.own) * KV_ALONE_BLOCK;
    assert_int_equal(r->status, KV_STATUS_FINISHED);
    assert_int_equal(r->first_sched_tk, r->arrival_tk);
    assert_int_equal(r->first_token_tk, r->arrival_tk + m.end);
    assert_int_equal(r->prompt_tokens_by_source[0], 0);
    assert_int_equal(r->prompt_tokens_by_source[1], brought);
    assert_int_equal(r->prompt_tokens_by_source[2], HIT + REST - brought);
    assert_int_equal(r->fetch_stall_tk, 0);
    assert_int_equal(a->told.fetches.count, 1);
    assert_int_equal(f->mode, KV_DELIVERY_CHUNKWISE);
    assert_int_equal(f->cut, !m.all_came);
    assert_int_equal(f->delivered_bytes, a->counters.tier[1].read_bytes);
    /* What came whole, and a rest of those that were under way. */
    int64_t chunk = kv_alone_bytes(a) / KV_ALONE_HIT_BLOCKS, wasted = a->counters.tier[1].wasted_bytes;
    assert_int_equal((f->delivered_bytes - wasted) % chunk, 0);
    assert_true(f->delivered_bytes - wasted >= brought * chunk / KV_ALONE_BLOCK);
    assert_true(wasted <= chunk * a->config.fetch.concurrency && (wasted == 0 || !m.all_came));
    kv_tick saved = 0;
    if (brought > 0)
        saved = kv_cost_ceil_tk(step_cost(a, HIT + REST - m.own * KV_ALONE_BLOCK, m.own * KV_ALONE_BLOCK, false))
                - kv_cost_ceil_tk(step_cost(a, REST, HIT, false));
    assert_int_equal(a->counters.tier[1].saved_tk, saved);
}

static void one_alone_meets_where_the_recurrence_says(void **state)
{
    (void)state;
    static const int64_t pieces[] = {1, 5, 16, 33, 1000};
    static const int32_t widths[] = {1, 2, 3, 16};
    static const kv_tick delays[] = {0, KV_ALONE_DELAY / 10, KV_ALONE_DELAY};
    static const double times[] = {0.01, 0.1, 1, 6, 40};
    int64_t met_at[KV_ALONE_HIT_BLOCKS + 1] = {0}, places = 0, cut = 0;
    for (size_t p = 0; p < 5; p++)
        for (size_t w = 0; w < 4; w++)
            for (size_t d = 0; d < 3; d++)
                for (int faster = 0; faster < 5; faster++) {
                    struct kv_alone a;
                    kv_alone_open(&a);
                    a.config.fetch.mode = KV_DELIVERY_BIDIRECTIONAL;
                    a.config.fetch.compute_chunk_tokens = pieces[p];
                    a.config.fetch.concurrency = widths[w];
                    a.store.delay_tk = delays[d];
                    scale(&a.compute, times[faster]);
                    struct meeting m = meeting(&a);
                    run(&a);
                    expect(&a, m);
                    met_at[m.own]++;
                    cut += !m.all_came;
                    kv_alone_close(&a);
                }
    for (int b = 0; b <= KV_ALONE_HIT_BLOCKS; b++) places += met_at[b] > 0;
assert_true(places >= 8);
    assert_in_range(cut, 60, 240);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(one_alone_meets_where_the_recurrence_says) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

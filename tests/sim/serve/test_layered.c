/* SPDX-License-Identifier: Apache-2.0 */
/* Steps that wait for layers, exact in ticks (semantics 23 to 25, docs/tiers.md T10, T18 to T21). With X_l the transfer
 * and C_l the compute of layer l, A_l the tick at which layer l is there:
 *   unlimited look-ahead      T = max_l(A_l + sum_{j >= l} C_j)
 *   look-ahead 1              T = X_0 + sum_l max(C_l, X_{l+1}) + C_{L-1}      (ObjectCache, arXiv 2605.22850, Eq. 3)
 *                             (X_l longer by the wait for the server where a paused flow has one)
 *   look-ahead n              layer l + n may start when the compute of layer l does: a plain recurrence
 * T counts from the begin of the load; the end of a step is rounded up to a tick once. A request on instance 0 leaves
 * its prompt in the tier; long after, one on instance 1 loads it and computes 32 tokens more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/tier_bench.h"

#define LATE_NS 1000000000
#define LATE ((kv_tick)LATE_NS * KV_TICKS_PER_NS)
#define TICK KV_COST_PER_TICK

static uint64_t dice_state;
static int64_t dice(int64_t low, int64_t high)
{
    return low + (int64_t)(kv_mix64_pair(77, dice_state++) % (uint64_t)(high - low + 1));
}

/* Everything drawn: layers of any cost (fractions of a tick too unless `whole`) and any size. */
static void draw(struct kv_tier_bench *b, int32_t layers, bool whole)
{
    kv_tier_bench_open(b, layers);
    b->config.fetch.mode = KV_DELIVERY_LAYERWISE;
    int64_t most = dice(1, 3000);
    for (int32_t l = 0; l < layers; l++) {
        b->compute.chunk[l] = dice(0, most) * TICK + (whole ? 0 : dice(0, UINT32_MAX));
        b->compute.decode[l] = b->compute.chunk[l] / 2;
        b->layer_bytes[l] = dice(1, 60);
    }
    b->compute.before = whole ? 0 : dice(0, 900) * TICK + dice(0, UINT32_MAX);
    b->compute.after = dice(0, 900) * TICK + (whole ? 0 : dice(0, UINT32_MAX)) + 1;
    b->store[1].delay_tk = dice(0, 1) * dice(0, 3000);
    b->store[1].limit = dice(1, 1 << 30) * 16;
    b->store[1].device = b->store[1].limit + dice(0, 1 << 20);
}

/* The load of `chunks` chunks of stream 5 on instance 1, alone, with one output token. */
static const struct kv_record *load(struct kv_tier_bench *b, int32_t chunks)
{
    int32_t chunk = (int32_t)b->config.tier[1].chunk_tokens;
    b->count = 0;
    kv_tier_bench_come(b, 0, 0, 5, chunks * chunk, 1);
    kv_tier_bench_come(b, LATE_NS, 1, 5, chunks * chunk + 32, 1);
    const struct kv_record *r = &kv_tier_bench_serve(b)[1];
    int32_t found = 0;
    for (int32_t tier = 1; tier < b->config.tier_count; tier++) found += r->prompt_tokens_by_source[tier];
    assert_int_equal(found, chunks * chunk);
    return r;
}

/* Bytes of the load up to each layer. */
static int64_t bytes_to(const struct kv_tier_bench *b, int32_t chunks, int32_t layers)
{
    return chunks * b->config.tier[1].chunk_tokens * kv_bench_read_bytes(b, layers);
}

/* Free-running arrivals from a tier. */
static void free_running(const struct kv_tier_bench *b, int32_t tier, int32_t chunks, kv_tick begin_tk,
                         kv_tick *arrival)
{
    const struct kv_bench_store *s = &b->store[tier];
    for (int32_t l = 0; l < b->model.layers; l++)
        arrival[l] = begin_tk + s->delay_tk + kv_bench_ticks(bytes_to(b, chunks, l + 1), s->limit);
}

/* Cost from `start_tk` to the end of a step that starts there: max over layers of A_l + what is then to be computed. */
static kv_cost closed_form(const struct kv_tier_bench *b, kv_tick start_tk, const kv_tick *arrival)
{
    kv_cost left = 0, end = kv_tier_bench_step(b, true);
    for (int32_t l = b->model.layers - 1; l >= 0; l--) {
        left += b->compute.chunk[l];
        kv_cost with = (kv_cost)(arrival[l] - start_tk) * TICK + left + b->compute.after;
        if (with > end) end = with;
    }
    return end;
}

/* A request that joined at `start_tk` and whose step ended after `end`. */
static void expect(const struct kv_tier_bench *b, const struct kv_record *r, kv_tick start_tk, kv_cost end)
{
    kv_tick plain_tk = kv_cost_ceil_tk(kv_tier_bench_step(b, true));
    assert_int_equal(r->first_sched_tk, start_tk);
    assert_int_equal(r->finish_tk, start_tk + kv_cost_ceil_tk(end));
    assert_int_equal(r->queue_tk, 0);
    assert_int_equal(r->fetch_stall_tk, start_tk - r->arrival_tk + kv_cost_ceil_tk(end) - plain_tk);
    assert_int_equal(r->prefill_tk, plain_tk);
    assert_int_equal(r->induced_stall_tk, 0);
}

static void unlimited_look_ahead_is_the_max_plus_form_to_the_tick(void **state)
{
    (void)state;
    int stalled = 0;
    for (int i = 0; i < 400; i++) {
        struct kv_tier_bench b;
        kv_tick arrival[KV_BENCH_LAYERS];
        draw(&b, (int32_t)dice(1, KV_BENCH_LAYERS), false);
        int32_t chunks = (int32_t)dice(1, 3), release = (int32_t)dice(0, b.model.layers + 2);
        b.config.fetch.release_after_layers = release;
        const struct kv_record *r = load(&b, chunks);
        free_running(&b, 1, chunks, LATE, arrival);
        if (release > b.model.layers) release = b.model.layers;
        kv_tick start_tk = release == 0 ? LATE : arrival[release - 1];
        kv_cost end = closed_form(&b, start_tk, arrival);
        expect(&b, r, start_tk, end);
        stalled += end > kv_tier_bench_step(&b, true);
        kv_tier_bench_close(&b);
    }
    assert_in_range(stalled, 100, 390);
}

/* A prefix over two tiers: two flows, and a layer is there when both have brought it. */
static void a_layer_of_two_tiers_is_there_with_the_later_of_them(void **state)
{
    (void)state;
    int later[2] = {0, 0};
    for (int i = 0; i < 200; i++) {
        struct kv_tier_bench b;
        kv_tick arrival[2][KV_BENCH_LAYERS], both[KV_BENCH_LAYERS];
        draw(&b, (int32_t)dice(2, KV_BENCH_LAYERS), false);
        kv_tier_bench_add_tier(&b);
        b.store[2] = b.store[1];
        b.store[2].limit = b.store[2].device = dice(1, 1 << 30) * 16;
        b.store[2].delay_tk = dice(0, 5000);
        b.config.fetch.release_after_layers = 0;
        int32_t chunks = (int32_t)dice(2, 6), above = (int32_t)dice(1, chunks - 1);
        b.config.tier[1].capacity_chunks = above;     /* the first chunks find room, the rest is dropped */
        const struct kv_record *r = load(&b, chunks);
        assert_int_equal(r->prompt_tokens_by_source[1], above * KV_BENCH_BLOCK);
        free_running(&b, 1, above, LATE, arrival[0]);
        free_running(&b, 2, chunks - above, LATE, arrival[1]);
        for (int32_t l = 0; l < b.model.layers; l++) {
            int last = arrival[1][l] > arrival[0][l];
            both[l] = arrival[last][l];
            later[last]++;
        }
        expect(&b, r, LATE, closed_form(&b, LATE, both));
        kv_tier_bench_close(&b);
    }
    assert_true(later[0] > 100 && later[1] > 100);
}

/* Permissions and arrivals of a bounded look-ahead, layer after layer. Returns the cost from the joining to the end. */
static kv_cost recurrence(const struct kv_tier_bench *b, int32_t chunks, int32_t ahead, int32_t release,
                          kv_tick *start_tk)
{
    kv_tick arrival[KV_BENCH_LAYERS], started[KV_BENCH_LAYERS], flow_tk = LATE + b->store[1].delay_tk;
    int64_t flowed = 0;       /* bytes delivered at flow_tk, the last time it stood still */
    kv_cost at = 0;
    if (release > ahead) release = ahead;
    *start_tk = LATE;
    for (int32_t l = 0; l < release && l < b->model.layers; l++)
        *start_tk = flow_tk + kv_bench_ticks(bytes_to(b, chunks, l + 1), b->store[1].limit);
    for (int32_t l = 0; l < b->model.layers; l++) {
        if (l >= ahead && started[l - ahead] >= arrival[l - 1]) {
            flow_tk = started[l - ahead] + b->store[1].resume_tk;
            flowed = bytes_to(b, chunks, l);
        }
        arrival[l] = flow_tk + kv_bench_ticks(bytes_to(b, chunks, l + 1) - flowed, b->store[1].limit);
        at += l == 0 ? b->compute.before : b->compute.chunk[l - 1];
        kv_cost come = (kv_cost)(arrival[l] - *start_tk) * TICK;
        if (come > at) at = come;
        started[l] = *start_tk + kv_cost_ceil_tk(at);
    }
    return at + b->compute.chunk[b->model.layers - 1] + b->compute.after;
}

static void a_bounded_look_ahead_is_the_plain_recurrence(void **state)
{
    (void)state;
    int64_t dearer = 0;
    for (int i = 0; i < 600; i++) {
        struct kv_tier_bench b;
        kv_tick arrival[KV_BENCH_LAYERS], start_tk;
        int32_t ahead = 1 + i % 3;
        draw(&b, (int32_t)dice(ahead + 1, KV_BENCH_LAYERS), false);
        b.store[1].resume_tk = dice(0, 1) * dice(1, 3000);   /* it waits for the server again */
        int32_t chunks = (int32_t)dice(1, 3), release = (int32_t)dice(0, 4);
        b.config.fetch.release_after_layers = release;
        b.config.fetch.lookahead_layers = ahead;
        const struct kv_record *r = load(&b, chunks);
        kv_cost end = recurrence(&b, chunks, ahead, release, &start_tk);
        expect(&b, r, start_tk, end);
        free_running(&b, 1, chunks, LATE, arrival);
        dearer += end > closed_form(&b, start_tk, arrival);
        kv_tier_bench_close(&b);
    }
    assert_in_range(dearer, 100, 599);
}

/* Eq. 3, written down as in the paper; costs of whole ticks, so that nothing is rounded. */
static void look_ahead_1_is_eq_3_of_objectcache(void **state)
{
    (void)state;
    for (int i = 0; i < 300; i++) {
        struct kv_tier_bench b;
        draw(&b, (int32_t)dice(2, KV_BENCH_LAYERS), true);
        int32_t chunks = (int32_t)dice(1, 3), layers = b.model.layers;
        b.config.fetch.lookahead_layers = 1;
        b.store[1].resume_tk = i % 3 == 0 ? dice(1, 3000) : 0;
        b.compute.after = TICK;
        const struct kv_record *r = load(&b, chunks);
        int64_t tokens = chunks * KV_BENCH_BLOCK;
        kv_tick sum = kv_bench_ticks(tokens * b.layer_bytes[0], b.store[1].limit);
        for (int32_t l = 0; l + 1 < layers; l++) {
            kv_tick x = b.store[1].resume_tk + kv_bench_ticks(tokens * b.layer_bytes[l + 1], b.store[1].limit);
            kv_tick c = kv_cost_ceil_tk(b.compute.chunk[l]);
            sum += x > c ? x : c;
        }
        sum += kv_cost_ceil_tk(b.compute.chunk[layers - 1]);
        assert_int_equal(r->finish_tk - r->arrival_tk, b.store[1].delay_tk + sum + 1);
        kv_tier_bench_close(&b);
    }
}

/* Constant X and C: T = X + (L - 1) max(X, C) + C in both forms. */
static void with_constant_layers_both_forms_agree(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++)
        for (int32_t ahead = 0; ahead <= 1; ahead++) {
            struct kv_tier_bench b;
            dice_state = 5000 + (uint64_t)i * 300;     /* the same draws for both */
            draw(&b, (int32_t)dice(2, KV_BENCH_LAYERS), true);
            kv_tick x = dice(1, 2000), c = i % 10 == 0 ? x : dice(1, 2000);
            b.store[1].limit = b.store[1].device = KV_BENCH_BLOCK * (kv_rate)KV_SERVICE_PER_BYTE;
            for (int32_t l = 0; l < b.model.layers; l++) b.layer_bytes[l] = x, b.compute.chunk[l] = c * TICK;
            b.compute.after = TICK;
            b.config.fetch.lookahead_layers = ahead;
            const struct kv_record *r = load(&b, 1);
            assert_int_equal(r->finish_tk - r->arrival_tk,
                             b.store[1].delay_tk + x + (b.model.layers - 1) * (x > c ? x : c) + c + 1);
            kv_tier_bench_close(&b);
        }
}

static void a_look_ahead_of_all_layers_is_unlimited(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        struct kv_tier_bench b;
        draw(&b, (int32_t)dice(1, KV_BENCH_LAYERS), false);
        int32_t chunks = (int32_t)dice(1, 3);
        b.config.fetch.release_after_layers = dice(0, b.model.layers);
        struct kv_record unlimited = *load(&b, chunks);
        kv_tier_bench_again(&b);
        b.config.fetch.lookahead_layers = b.model.layers + dice(0, 1) * 3;
        const struct kv_record *r = load(&b, chunks);
        assert_int_equal(r->first_sched_tk, unlimited.first_sched_tk);
        assert_int_equal(r->finish_tk, unlimited.finish_tk);
        assert_int_equal(r->fetch_stall_tk, unlimited.fetch_stall_tk);
        kv_tier_bench_close(&b);
    }
}

/* --- Boundaries --- */

/* Three layers of 100 ticks and 100 bytes at a byte a tick, blocks of one token: a layer is there as the last ends. */
static void on_time(struct kv_tier_bench *b, int32_t ahead)
{
    kv_tier_bench_open(b, 3);
    b->config.engine.block_tokens = b->config.tier[1].chunk_tokens = 1;
    b->config.fetch.mode = KV_DELIVERY_LAYERWISE;
    b->config.fetch.lookahead_layers = ahead;
    b->store[1].limit = (kv_rate)KV_SERVICE_PER_BYTE;
    b->compute.before = 0;
    for (int32_t l = 0; l < 3; l++) b->compute.chunk[l] = 100 * TICK, b->layer_bytes[l] = 100;
}

static void a_layer_on_time_costs_nothing_and_one_byte_more_one_tick(void **state)
{
    (void)state;
    for (int32_t ahead = 0; ahead <= 2; ahead++)
        for (int32_t layer = 0; layer < 3; layer++)
            for (int more = 0; more <= 1; more++) {
                struct kv_tier_bench b;
                on_time(&b, ahead);
                b.layer_bytes[layer] += more;
                const struct kv_record *r = load(&b, 1);
                assert_int_equal(r->first_sched_tk, LATE + 100 + (layer == 0 ? more : 0));
                assert_int_equal(r->finish_tk, LATE + 400 + more);
                assert_int_equal(r->fetch_stall_tk, 100 + more);
                kv_tier_bench_close(&b);
            }
}

static void a_request_joins_at_the_tick_of_its_last_release_layer(void **state)
{
    (void)state;
    for (int32_t release = 0; release <= 4; release++)
        for (int more = 0; more <= 1; more++) {
            struct kv_tier_bench b;
            on_time(&b, 0);
            b.config.fetch.release_after_layers = release;
            if (release > 0) b.layer_bytes[(release < 3 ? release : 3) - 1] += more;
            const struct kv_record *r = load(&b, 1);
            kv_tick start_tk = LATE + 100 * (release < 3 ? release : 3) + (release > 0 ? more : 0);
            assert_int_equal(r->first_sched_tk, start_tk);
            kv_tier_bench_close(&b);
        }
}

/* On an instance that decodes in steps of 1,000 ticks a first layer that is there at a boundary joins it, and one tick
 * later waits a step. The wait for the boundary is queue, not stall. */
static void a_first_layer_at_a_boundary_joins_it_and_one_tick_later_waits_a_step(void **state)
{
    (void)state;
    for (int late = 0; late <= 1; late++) {
        struct kv_tier_bench b;
        on_time(&b, 0);
        for (int32_t l = 0; l < 3; l++) b.compute.decode[l] = (l < 2 ? 333 : 334) * TICK;
        kv_tier_bench_come(&b, 0, 0, 5, 1, 1);
        kv_tier_bench_come(&b, LATE_NS, 1, 0, 2, 40);
        kv_tier_bench_come(&b, LATE_NS + 1, 1, 5, 3, 1);      /* becomes a holder where the other's prompt ends */
        b.store[1].delay_tk = 2000 - 100 + late;
        const struct kv_record *r = kv_tier_bench_serve(&b);
        kv_tick holder_tk = LATE + 300, start_tk = holder_tk + (late ? 3000 : 2000);
        assert_int_equal(r[1].first_token_tk, holder_tk);
        assert_int_equal(r[2].first_sched_tk, start_tk);
        assert_int_equal(r[2].fetch_stall_tk, 2000 + late);   /* the other layers come on time or have come */
        assert_int_equal(r[2].queue_tk, holder_tk - r[2].arrival_tk + (late ? 999 : 0));
        assert_int_equal(r[1].fetch_stall_tk, 0);
        assert_int_equal(r[1].induced_stall_tk, 0);
        kv_tier_bench_close(&b);
    }
}

/* --- The barrier --- */

/* D decodes on instance 1; P (1 chunk) and Q (4 chunks) of different streams become holders at a boundary and join it
 * at once. Each has its own arrivals, everybody waits for the latest. */
struct meeting {
    struct kv_tier_bench b;
    const struct kv_record *r;     /* [2] D, [3] P, [4] Q */
    kv_tick start_tk;
};

static void meet(struct meeting *m)
{
    struct kv_tier_bench *b = &m->b;
    b->config.fetch.release_after_layers = 0;
    kv_tier_bench_come(b, 0, 0, 5, KV_BENCH_BLOCK, 1);
    kv_tier_bench_come(b, 10000000, 0, 6, 4 * KV_BENCH_BLOCK, 1);
    kv_tier_bench_come(b, LATE_NS, 1, 0, 10, 100);
    kv_tier_bench_come(b, LATE_NS + 1, 1, 5, KV_BENCH_BLOCK + 32, 1);
    kv_tier_bench_come(b, LATE_NS + 1, 1, 6, 4 * KV_BENCH_BLOCK + 32, 1);
    m->start_tk = LATE + kv_cost_ceil_tk(kv_tier_bench_step(b, true));
    m->r = kv_tier_bench_serve(b);
    assert_int_equal(m->r[2].first_token_tk, m->start_tk);
    assert_int_equal(m->r[3].first_sched_tk, m->start_tk);
    assert_int_equal(m->r[4].first_sched_tk, m->start_tk);
}

/* End of the step since LATE, the origin of exact sums, with these arrivals alone; NULL: without any. */
static kv_cost own_end(const struct meeting *m, const kv_tick *arrival)
{
    const struct kv_tier_bench *b = &m->b;
    kv_cost since = kv_tier_bench_step(b, true), left = 0, end = since + kv_tier_bench_step(b, true);
    for (int32_t l = b->model.layers - 1; l >= 0 && arrival; l--) {
        left += b->compute.chunk[l];
        kv_cost with = (kv_cost)(arrival[l] - LATE) * TICK + left + b->compute.after;
        if (with > end) end = with;
    }
    return end;
}

static void expect_stalls(const struct meeting *m, const kv_tick *arrival_p, const kv_tick *arrival_q)
{
    kv_cost cost_p = own_end(m, arrival_p), cost_q = own_end(m, arrival_q), cost = cost_p > cost_q ? cost_p : cost_q;
    kv_tick plain = LATE + kv_cost_ceil_tk(own_end(m, NULL)), end = LATE + kv_cost_ceil_tk(cost), late = end - plain;
    kv_tick end_p = LATE + kv_cost_ceil_tk(cost_p), end_q = LATE + kv_cost_ceil_tk(cost_q);
    assert_int_equal(m->r[3].finish_tk, end);
    assert_int_equal(m->r[4].finish_tk, end);
    assert_int_equal(m->r[3].fetch_stall_tk, end_p - plain);
    assert_int_equal(m->r[3].induced_stall_tk, late - (end_p - plain));
    assert_int_equal(m->r[4].fetch_stall_tk, end_q - plain);
    assert_int_equal(m->r[4].induced_stall_tk, late - (end_q - plain));
    assert_int_equal(m->r[2].fetch_stall_tk, 0);
    assert_int_equal(m->r[2].induced_stall_tk, late);
    /* The induced stall is a part of what others count as prefill and decode. */
    assert_int_equal(m->r[3].prefill_tk, end - m->start_tk - (end_p - plain));
    /* Nothing of the exact sum is lost on the way: 98 decode steps follow. */
    assert_int_equal(m->r[2].finish_tk, LATE + kv_cost_ceil_tk(cost + 98 * kv_tier_bench_step(&m->b, false)));
}

static void two_that_fetch_and_one_that_decodes_wait_for_the_latest_layer(void **state)
{
    (void)state;
    int last[2] = {0, 0};
    for (int i = 0; i < 300; i++) {
        struct meeting m;
        kv_tick arrival_p[KV_BENCH_LAYERS], arrival_q[KV_BENCH_LAYERS];
        draw(&m.b, (int32_t)dice(1, KV_BENCH_LAYERS), false);
        m.b.store[1].device = KV_RATE_UNLIMITED;      /* each at its own limit */
        meet(&m);
        free_running(&m.b, 1, 1, m.start_tk, arrival_p);
        free_running(&m.b, 1, 4, m.start_tk, arrival_q);
        expect_stalls(&m, arrival_p, arrival_q);
        last[0] += m.r[3].fetch_stall_tk > 0;
        last[1] += m.r[3].induced_stall_tk > 0;
        kv_tier_bench_close(&m.b);
    }
    assert_true(last[0] > 30 && last[1] > 100);
}

/* One device for both: half the rate each until P has its bytes, then all of it for Q. Sizes and rates are such that
 * P ends on a whole tick. */
static void two_that_fetch_over_one_device_share_it(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        struct meeting m;
        kv_tick arrival_p[KV_BENCH_LAYERS], arrival_q[KV_BENCH_LAYERS];
        draw(&m.b, (int32_t)dice(1, KV_BENCH_LAYERS), false);
        m.b.store[1].limit = KV_RATE_UNLIMITED;
        m.b.store[1].device = (kv_rate)KV_SERVICE_PER_BYTE / 2;
        meet(&m);
        kv_tick begin_tk = m.start_tk + m.b.store[1].delay_tk;
        int64_t all_p = bytes_to(&m.b, 1, m.b.model.layers);
        for (int32_t l = 0; l < m.b.model.layers; l++) {
            int64_t p = bytes_to(&m.b, 1, l + 1), q = bytes_to(&m.b, 4, l + 1);
            arrival_p[l] = begin_tk + 4 * p;
            arrival_q[l] = begin_tk + (q <= all_p ? 4 * q : 2 * (all_p + q));
        }
        expect_stalls(&m, arrival_p, arrival_q);
        kv_tier_bench_close(&m.b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unlimited_look_ahead_is_the_max_plus_form_to_the_tick),
        cmocka_unit_test(a_layer_of_two_tiers_is_there_with_the_later_of_them),
        cmocka_unit_test(a_bounded_look_ahead_is_the_plain_recurrence),
        cmocka_unit_test(look_ahead_1_is_eq_3_of_objectcache),
        cmocka_unit_test(with_constant_layers_both_forms_agree),
        cmocka_unit_test(a_look_ahead_of_all_layers_is_unlimited),
        cmocka_unit_test(a_layer_on_time_costs_nothing_and_one_byte_more_one_tick),
        cmocka_unit_test(a_request_joins_at_the_tick_of_its_last_release_layer),
        cmocka_unit_test(a_first_layer_at_a_boundary_joins_it_and_one_tick_later_waits_a_step),
        cmocka_unit_test(two_that_fetch_and_one_that_decodes_wait_for_the_latest_layer),
        cmocka_unit_test(two_that_fetch_over_one_device_share_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

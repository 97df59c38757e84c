/* SPDX-License-Identifier: Apache-2.0 */
/* The naive engine of tests/oracle against closed forms and laws where bandwidth is granted, stores refuse, links know
 * messages and many flows, and requests bring resident tokens (docs/tiers.md, T35 to T41). That grants in force are
 * never more than the cap, and that no fetch is faster than its grant, holds after every event (naive_check). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/oracle/naive.h"
#include "tests/support/alone.h"
#include "tests/support/sanitized.h"

/* --- Loads alone --- */

/* Ticks for all bytes of the load at `rate`. */
static kv_tick ticks(const struct kv_alone *a, kv_rate rate)
{
    return kv_rate_ticks((kv_service)kv_alone_bytes(a) * KV_SERVICE_PER_BYTE, rate);
}

/* In one stream over the network, where a policy divides `cap`. */
static void open_granted(struct kv_alone *a, kv_rate cap)
{
    kv_alone_open(a);
    a->config.tier[1].store = &kv_test_store_remote;
    a->config.fetch.mode = KV_DELIVERY_BULK;
    a->config.transfer = (struct kv_transfer_config){.policy = &kv_test_transfer[1], .cap = cap};
}

static void a_load_alone_goes_at_its_grant(void **state)
{
    (void)state;
    static const double efficiency[] = {1, 0.7};
    for (int i = 0; i < 2; i++) {
        struct kv_alone a;
        open_granted(&a, KV_ALONE_RATE / 3);
        a.config.network.efficiency = efficiency[i];
        const struct kv_record *r = kv_alone_run(&a);
        const struct kv_fetch_record *f = &a.told.fetches.at[0];
        double cap_Bps = kv_rate_to_Bps(KV_ALONE_RATE / 3);
        kv_rate E = (kv_rate)((double)kv_rate_from_Bps(cap_Bps) * efficiency[i]);
        assert_int_equal(a.told.fetches.count, 1);
        assert_int_equal(f->begin_tk, r->arrival_tk);
        assert_int_equal(f->granted_tk, r->arrival_tk);
        assert_int_equal(f->first_tk, r->arrival_tk + KV_ALONE_DELAY);
        assert_int_equal(f->end_tk, f->first_tk + ticks(&a, E));
        assert_int_equal(f->delivered_bytes, kv_alone_bytes(&a));
        assert_true(f->grant_Bps == kv_rate_to_Bps(kv_rate_from_Bps(cap_Bps)) && f->limit_Bps == (double)INFINITY);
        assert_int_equal(r->first_sched_tk, f->end_tk);
        kv_alone_close(&a);
    }
}

static void a_grant_waits_for_its_epoch(void **state)
{
    (void)state;
    static const kv_tick period[] = {1, KV_ALONE_DELAY - 7, 20 * KV_ALONE_DELAY + 3};
    for (int i = 0; i < 3; i++) {
        struct kv_alone a;
        open_granted(&a, KV_ALONE_RATE / 3);
        a.config.transfer.period_tk = period[i];
        const struct kv_record *r = kv_alone_run(&a);
        const struct kv_fetch_record *f = &a.told.fetches.at[0];
        kv_tick epoch = (r->arrival_tk + period[i] - 1) / period[i] * period[i], flows = r->arrival_tk + KV_ALONE_DELAY;
        kv_rate E = kv_rate_from_Bps(kv_rate_to_Bps(KV_ALONE_RATE / 3));
        assert_int_equal(f->granted_tk, epoch);
        assert_int_equal(f->first_tk, flows);
        assert_int_equal(f->end_tk, (epoch > flows ? epoch : flows) + ticks(&a, E));
        kv_alone_close(&a);
    }
}

/* Two at once, and for the first all of the cap: the second starts when the first ends. `need` of kv_test_transfer
 * leaves nothing: so does a grant for life. */
static void a_grant_is_for_life_unless_work_is_conserved(void **state)
{
    (void)state;
    for (int conserving = 0; conserving < 2; conserving++) {
        struct kv_alone a;
        open_granted(&a, KV_ALONE_RATE / 4);
        a.count = 3;
        a.requests[2].arrival_ns++;                /* the first has its grant by then */
        a.config.transfer.work_conserving = conserving;
        kv_alone_run(&a);
        const struct kv_fetch_record *f = a.told.fetches.at;
        kv_rate whole = kv_rate_from_Bps(kv_rate_to_Bps(KV_ALONE_RATE / 4));
        assert_int_equal(a.told.fetches.count, 2);
        assert_int_equal(f[0].request, 1);
        if (!conserving) {
            assert_int_equal(f[0].end_tk, f[0].first_tk + ticks(&a, whole));
            assert_int_equal(f[1].granted_tk, f[0].end_tk);
            assert_int_equal(f[1].end_tk, f[0].end_tk + ticks(&a, whole));
            assert_int_equal(f[0].regrants + f[1].regrants, 0);
        } else {
            /* Equals share; nothing has moved before the delays are over. */
            kv_rate half = kv_rate_from_Bps(kv_rate_to_Bps(KV_ALONE_RATE / 4) / 2);
            kv_tick both = ticks(&a, half);
            assert_int_equal(f[0].end_tk, f[0].first_tk + both);
            assert_int_equal(f[0].regrants, 1);
            assert_int_equal(f[1].regrants, 1);
            assert_true(f[1].end_tk - f[0].end_tk < KV_TICKS_PER_NS);
        }
        kv_alone_close(&a);
    }
}

static void a_refused_access_comes_again_until_there_is_a_place(void **state)
{
    (void)state;
    static const kv_tick retry[] = {1000, KV_ALONE_DELAY * 4};
    for (int i = 0; i < 2; i++) {
        struct kv_alone a;
        char store[256] = {0};
        struct kv_err err;
        struct kv_store_env env = {.seed = 1};
        kv_alone_open(&a);
        a.config.fetch.mode = KV_DELIVERY_BULK;
        a.store.concurrency = 1;
        a.store.refuses = true;
        a.store.retry_tk = retry[i];
        a.count = 3;
        kv_alone_run(&a);
        assert_true(kv_test_store_local.state_bytes <= sizeof store);
        assert_true(kv_test_store_local.open(store, &a.store, &env, &err));
        const struct kv_fetch_record *f = a.told.fetches.at;
        kv_tick turn = f[0].begin_tk;
        int32_t attempts = 0;
        while (turn < f[0].end_tk) turn += kv_test_store_local.retry_tk(store, 2, ++attempts);   /* 0: the write */
        assert_int_equal(f[0].end_tk, f[0].begin_tk + KV_ALONE_DELAY + ticks(&a, KV_ALONE_RATE));
        assert_int_equal(f[1].first_tk, turn + KV_ALONE_DELAY);
        assert_int_equal(f[1].refused, attempts);
        assert_int_equal(a.counters.tier[1].refused_accesses, attempts);
        assert_int_equal(a.counters.tier[1].waited_accesses, 0);
        assert_int_equal(a.counters.tier[1].accesses, 3);
        kv_alone_close(&a);
    }
}

/* All of a tier's accesses cross one link of the scenario. */
static void cross(struct kv_alone *a, struct kv_link_config *link, const void *params)
{
    a->config.tier[1].link[0] = 0;
    a->store.device = KV_RATE_UNLIMITED;
    a->config.fetch.mode = KV_DELIVERY_BULK;
    *link = (struct kv_link_config){.name = "link", .ops = &kv_test_message_link, .params = params, .duplex = true,
                                    .scope = KV_SCOPE_CLUSTER};
    a->config.network.links = link;
    a->config.network.link_count = 1;
}

static void messages_limit_a_load(void **state)
{
    (void)state;
    for (int64_t requests = 0; requests < 3; requests++) {
        struct kv_alone a;
        struct kv_link_config link;
        struct kv_test_link_params p = {.spec = {.capacity = KV_ALONE_RATE}, .byte_rate = 5000};
        kv_alone_open(&a);
        cross(&a, &link, &p);
        a.store.chunk_requests = requests;
        kv_alone_run(&a);
        const struct kv_fetch_record *f = &a.told.fetches.at[0];
        int64_t messages = 1 + requests * KV_ALONE_HIT_BLOCKS;
        kv_rate rate = 1 + (kv_rate)(5000 * ((double)kv_alone_bytes(&a) / (double)messages));
        assert_true((rate < KV_ALONE_RATE) == (requests > 0));
        assert_int_equal(f->end_tk, f->first_tk + ticks(&a, rate < KV_ALONE_RATE ? rate : KV_ALONE_RATE));
        assert_true(f->limit_Bps == kv_rate_to_Bps(rate));
        assert_int_equal(a.counters.tier[1].read_requests, messages);
        kv_alone_close(&a);
    }
}

static void two_flows_get_what_the_curve_leaves(void **state)
{
    (void)state;
    static const kv_rate curve[] = {KV_ALONE_RATE, KV_ALONE_RATE / 2};
    for (int64_t count = 2; count <= 3; count++) {
        struct kv_alone a;
        struct kv_link_config link;
        struct kv_test_link_params p = {
            .spec = {.capacity = KV_ALONE_RATE, .curve = curve, .curve_count = 2}, .byte_rate = 0x1p40};
        kv_alone_open(&a);
        cross(&a, &link, &p);
        a.count = count;
        kv_alone_run(&a);
        for (size_t i = 0; i < a.told.fetches.count; i++) {
            const struct kv_fetch_record *f = &a.told.fetches.at[i];
            assert_int_equal(f->end_tk, f->first_tk + ticks(&a, count == 2 ? curve[0] : curve[1] / 2));
        }
        kv_alone_close(&a);
    }
}

static void size_decides_how_a_load_comes(void **state)
{
    (void)state;
    for (int more = 0; more < 2; more++) {
        struct kv_alone a;
        kv_alone_open(&a);
        a.config.fetch.mode = KV_DELIVERY_AUTO;
        a.config.fetch.auto_bytes = kv_alone_bytes(&a) + more;
        kv_alone_run(&a);
        assert_int_equal(a.told.fetches.at[0].mode, more ? KV_DELIVERY_CHUNKWISE : KV_DELIVERY_LAYERWISE);
        assert_int_equal(a.told.layers.count, !more);
        assert_int_equal(a.counters.tier[1].accesses, 1 + (more ? KV_ALONE_HIT_BLOCKS : 1));
        kv_alone_close(&a);
    }
}

/* Nobody has written anything: the request brings it. */
static void resident_tokens_are_there_when_their_request_is(void **state)
{
    (void)state;
    for (int64_t places = KV_ALONE_HIT_BLOCKS - 2; places <= KV_ALONE_HIT_BLOCKS; places++) {
        struct kv_alone a;
        struct kv_record records[1];
        bool came[1];
        struct kv_err err;
        kv_alone_open(&a);
        a.config.tier[1].write = KV_WRITE_NONE;
        a.config.tier[1].capacity_chunks = places;
        a.config.resident_tier = 1;
        a.requests[0].resident_tokens = KV_ALONE_HIT_BLOCKS * KV_ALONE_BLOCK + 3;
        assert_true(kv_oracle_run(&a.config, a.requests, 1, records, came, &a.counters, NULL, NULL, NULL, &err));
        const struct kv_tier_counters *c = &a.counters.tier[1];
        bool all = places == KV_ALONE_HIT_BLOCKS;
        /* lru takes the first ones for the last ones, and without those nothing is found. */
        assert_int_equal(c->resident_chunks, KV_ALONE_HIT_BLOCKS);
        assert_int_equal(c->inserted_chunks, KV_ALONE_HIT_BLOCKS);
        assert_int_equal(c->evicted_chunks, KV_ALONE_HIT_BLOCKS - places);
        assert_int_equal(c->dropped_chunks, 0);
        assert_int_equal(c->hit_tokens, all ? KV_ALONE_HIT_BLOCKS * KV_ALONE_BLOCK : 0);
        assert_int_equal(c->read_bytes, all ? kv_alone_bytes(&a) : 0);
        assert_int_equal(c->accesses, all);
    }
}

/* --- Over random scenarios --- */

struct result {
    struct kv_arena arena;
    struct kv_record *records;
    bool *came;
    struct kv_counters counters;
    struct kv_told told;
};

static void run(struct result *r, const struct kv_random_scenario *s)
{
    struct kv_err err;
    *r = (struct result){0};
    struct kv_sink sink = {.state = &r->told, .fetch = kv_told_fetch, .layers = kv_told_layers};
    r->records = kv_arena_take(&r->arena, (size_t)s->count * sizeof *r->records);
    r->came = kv_arena_take(&r->arena, (size_t)s->count * sizeof *r->came);
    assert_true(kv_oracle_run(&s->config, s->requests, s->count, r->records, r->came, &r->counters, NULL, NULL, &sink,
                              &err));
}

/* No faster than granted (for life), nor than its stream. */
static void check_speed(const struct kv_random_scenario *s, const struct kv_fetch_record *f)
{
    const double slack = 1 + 1e-9;
    if (f->granted_tk >= 0 && !s->config.transfer.work_conserving) {
        double span_s = kv_tick_to_s(f->end_tk - f->granted_tk);
        assert_true((double)f->delivered_bytes <= f->grant_Bps * s->config.network.efficiency * span_s * slack);
    }
    if (f->tier > 0 && f->mode != KV_DELIVERY_CHUNKWISE && f->first_tk >= 0) {
        double span_s = kv_tick_to_s(f->end_tk - f->first_tk);
        assert_true(f->limit_Bps == (double)INFINITY || (double)f->delivered_bytes <= f->limit_Bps * span_s * slack);
    }
}

static void check_fetch(const struct kv_random_scenario *s, const struct kv_fetch_record *f)
{
    bool divided = s->config.transfer.policy && f->tier > 0 && s->config.tier[f->tier].store->network;
    assert_true(f->bytes > 0 && f->delivered_bytes <= f->bytes && (f->cut || f->delivered_bytes == f->bytes));
    assert_true(f->begin_tk <= f->end_tk && f->mode != KV_DELIVERY_AUTO);
    assert_true(f->first_tk < 0 || (f->first_tk >= f->begin_tk && f->first_tk <= f->end_tk));
    assert_true(f->granted_tk < 0 || (divided && f->granted_tk >= f->begin_tk && f->granted_tk <= f->end_tk));
    assert_true((f->grant_Bps > 0) == (f->granted_tk >= 0));
    assert_true(f->regrants == 0 || (s->config.transfer.work_conserving && f->granted_tk >= 0));
    if (divided && f->delivered_bytes > 0) assert_true(f->granted_tk >= 0);
    check_speed(s, f);
}

static void check_layers(const struct kv_random_scenario *s, const struct result *r, const struct kv_layers_record *y)
{
    assert_int_equal(y->layers, s->model.layers);
    for (int32_t l = 0; l < y->layers; l++) {
        assert_true(y->compute_start_tk[l] >= y->fetch_end_tk[l] && y->compute_end_tk[l] >= y->compute_start_tk[l]);
        assert_true(l == 0 || y->fetch_end_tk[l] >= y->fetch_end_tk[l - 1]);
        /* Both are the same instant rounded up, or the one before. */
        assert_true(l == 0 || y->compute_start_tk[l] >= y->compute_end_tk[l - 1]);
    }
    assert_true(y->compute_start_tk[0] >= r->records[y->request].arrival_tk);
}

static void what_is_told_adds_up(void **state)
{
    (void)state;
    int64_t whole = 0, layers = 0;
    for (uint64_t number = 0; number < kv_test_scenarios(150); number++) {
        struct kv_random_scenario s;
        kv_random_scenario_draw_tiers(&s, number);
        struct result r;
        run(&r, &s);
        const struct kv_counters *c = &r.counters;
        bool ended = c->finished + c->rejected + c->failed == s.count;
        int64_t delivered[KV_TIERS_MAX] = {0}, refused[KV_TIERS_MAX] = {0};
        for (size_t i = 0; i < r.told.fetches.count; i++) {
            const struct kv_fetch_record *f = &r.told.fetches.at[i];
            check_fetch(&s, f);
            delivered[f->tier] += f->delivered_bytes;
            refused[f->tier] += f->refused;
        }
        for (size_t i = 0; i < r.told.layers.count; i++) check_layers(&s, &r, &r.told.layers.at[i]);
        for (int32_t t = 0; t < s.config.tier_count; t++) {
            const struct kv_tier_counters *tier = &c->tier[t];
            assert_true(delivered[t] >= tier->read_bytes && (!ended || delivered[t] == tier->read_bytes));
            assert_true(refused[t] <= tier->refused_accesses);
            assert_true(tier->resident_chunks <= tier->inserted_chunks);
            assert_true(t == s.config.resident_tier || tier->resident_chunks == 0);
        }
        whole += ended;
        layers += r.told.layers.count > 0;
        kv_told_close(&r.told);
        kv_arena_close(&r.arena);
        kv_random_scenario_close(&s);
    }
    assert_true(KV_SANITIZED || (whole > 60 && layers > 15));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_load_alone_goes_at_its_grant),
        cmocka_unit_test(a_grant_waits_for_its_epoch),
        cmocka_unit_test(a_grant_is_for_life_unless_work_is_conserved),
        cmocka_unit_test(a_refused_access_comes_again_until_there_is_a_place),
        cmocka_unit_test(messages_limit_a_load),
        cmocka_unit_test(two_flows_get_what_the_curve_leaves),
        cmocka_unit_test(size_decides_how_a_load_comes),
        cmocka_unit_test(resident_tokens_are_there_when_their_request_is),
        cmocka_unit_test(what_is_told_adds_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Flows over links against arithmetic: ends to the tick, and processor sharing against theory. Mean sojourn time of
 * M/G/1 with processor sharing is E[S] / (1 - rho), and that of a flow of given size its service time / (1 - rho),
 * whatever the distribution of sizes (Kleinrock, Queueing Systems II, 4.4). The simulated means must lie within their
 * own 99.9 % confidence intervals: batch means as in test_queueing.c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <gsl/gsl_randist.h>

#include "sim/base/rng.h"
#include "sim/serve/net_private.h"

#define BYTE_PER_TICK (INT64_C(1) << 32)

struct told { uint64_t tag; kv_tick tick; int64_t bytes; };
struct world {
    struct kv_engine *engine;
    struct kv_net *net;
    struct told told[64];
    uint32_t count, victim;   /* victim: dropped from the first call of done, and another started in its place */
};

static void note(void *owner, uint32_t flow, uint64_t tag, int64_t bytes_done)
{
    struct world *w = owner;
    (void)flow;
    if (w->count == 0 && w->victim != KV_NONE) {
        kv_flow_drop(w->net, w->victim);
        assert_int_equal(kv_flow_start(w->net, 0, KV_RATE_UNLIMITED, 24, 24, 9), w->victim);
    }
    w->told[w->count++] = (struct told){tag, kv_engine_now(w->engine), bytes_done};
}

static kv_tick reached_tk(const struct kv_net *net, uint32_t flow, int64_t bytes)
{
    kv_tick tick;
    kv_flow_reached_all(net, flow, &bytes, 1, &tick);
    return tick;
}

static void open_world(struct world *w)
{
    *w = (struct world){.engine = kv_engine_open(1), .victim = KV_NONE};
    w->net = kv_net_open(w->engine, note, w);
}

/* One link and a path over it. */
static void open_link(struct world *w, kv_rate capacity, bool in_order)
{
    open_world(w);
    uint32_t link = kv_net_add_link(w->net, capacity, in_order);
    kv_net_add_path(w->net, &(struct kv_hop){link, 1}, 1);
}

static void close_world(struct world *w)
{
    kv_net_close(w->net);
    kv_engine_close(w->engine);
}

static uint32_t start(struct world *w, int64_t bytes, uint64_t tag)
{
    return kv_flow_start(w->net, 0, KV_RATE_UNLIMITED, bytes, bytes, tag);
}

static void play_until(struct world *w, kv_tick tick)
{
    while (kv_engine_next_tk(w->engine) <= tick) assert_true(kv_engine_step(w->engine, NULL));
}

static void expect_told(const struct world *w, uint32_t i, struct told expected)
{
    assert_true(i < w->count);
    assert_int_equal(w->told[i].tag, expected.tag);
    assert_int_equal(w->told[i].tick, expected.tick);
    assert_int_equal(w->told[i].bytes, expected.bytes);
}

static void a_flow_is_not_done_one_tick_before_its_last_byte(void **state)
{
    (void)state;
    for (int64_t bytes = 8; bytes <= 10; bytes++) {
        struct world w;
        open_link(&w, 3 * BYTE_PER_TICK, false);
        uint32_t flow = start(&w, bytes, 5);
        kv_tick end_tk = (bytes + 2) / 3;
        play_until(&w, 0);
        assert_int_equal(kv_engine_next_tk(w.engine), end_tk);
        assert_int_equal(w.count, 0);
        play_until(&w, end_tk);
        expect_told(&w, 0, (struct told){5, end_tk, bytes});
        for (int64_t b = 1; b <= bytes; b++) assert_int_equal(reached_tk(w.net, flow, b), (b + 2) / 3);
        assert_true(kv_net_carried(w.net, 0) == bytes * KV_SERVICE_PER_BYTE);
        close_world(&w);
    }
}

/* 2^-32 byte a tick less than three bytes: after three ticks three units of nine bytes are missing. */
static void one_unit_of_rate_less_is_one_tick_more(void **state)
{
    (void)state;
    struct world w;
    open_link(&w, 3 * BYTE_PER_TICK - 1, false);
    uint32_t flow = start(&w, 9, 0);
    play_until(&w, 100);
    expect_told(&w, 0, (struct told){0, 4, 9});
    assert_int_equal(reached_tk(w.net, flow, 8), 3);
    close_world(&w);
}

/* n flows of equal size share what the curve says of n of them, the last entry beyond its end; two parts of a flow
 * count as two. */
static void a_link_has_the_capacity_of_so_many_flows(void **state)
{
    static const kv_rate curve[] = {12 * BYTE_PER_TICK, 10 * BYTE_PER_TICK, 9 * BYTE_PER_TICK, 4 * BYTE_PER_TICK};
    (void)state;
    for (int64_t n = 1; n <= 6; n++) {
        for (int32_t parts = 1; parts <= 2; parts++) {
            struct world w;
            open_world(&w);
            uint32_t link = kv_net_add_link(w.net, 20 * BYTE_PER_TICK, false);
            kv_net_link_curve(w.net, link, curve, 4);
            kv_net_add_path(w.net, &(struct kv_hop){link, parts}, 1);
            for (int64_t i = 0; i < n; i++) start(&w, 360, (uint64_t)i);
            play_until(&w, 10000);
            int64_t flows = n * parts;
            kv_tick end_tk = kv_rate_ticks(360 * KV_SERVICE_PER_BYTE, curve[flows < 4 ? flows - 1 : 3] / flows);
            for (int64_t i = 0; i < n; i++) expect_told(&w, (uint32_t)i, (struct told){(uint64_t)i, end_tk, 360});
            assert_int_equal(w.count, n);
            close_world(&w);
        }
    }
}

/* Limits of two flows, 5 + 5, fit into what one alone may have, so the link could not bind were it not for its curve;
 * and it does not any more once one has gone. 30 and 60 bytes at 3 until tick 10, then the rest at 5. */
static void a_curve_makes_a_link_bind_that_could_not(void **state)
{
    static const kv_rate curve[] = {12 * BYTE_PER_TICK, 6 * BYTE_PER_TICK};
    (void)state;
    struct world w;
    open_world(&w);
    uint32_t link = kv_net_add_link(w.net, 12 * BYTE_PER_TICK, false);
    kv_net_link_curve(w.net, link, curve, 2);
    kv_net_add_path(w.net, &(struct kv_hop){link, 1}, 1);
    uint32_t flow = kv_flow_start(w.net, 0, 5 * BYTE_PER_TICK, 60, 60, 1);
    play_until(&w, 0);
    assert_true(kv_net_flow_rate(w.net, flow) == 5 * BYTE_PER_TICK);
    assert_int_equal(kv_net_counters(w.net).skipped_links, 1);
    kv_flow_start(w.net, 0, 5 * BYTE_PER_TICK - 1, 30, 30, 2);   /* another class */
    play_until(&w, 0);
    play_until(&w, 9);
    assert_true(kv_net_flow_rate(w.net, flow) == 3 * BYTE_PER_TICK);
    play_until(&w, 1000);
    expect_told(&w, 0, (struct told){2, 10, 30});
    expect_told(&w, 1, (struct told){1, 16, 60});
    close_world(&w);
}

/* On a link in order the flows that wait count, paused ones do not: 12 bytes at 4, 12 at 6, 12 at 12 a tick. */
static void flows_that_wait_their_turn_count_in_a_curve(void **state)
{
    static const kv_rate curve[] = {12 * BYTE_PER_TICK, 6 * BYTE_PER_TICK, 4 * BYTE_PER_TICK};
    (void)state;
    struct world w;
    open_world(&w);
    uint32_t link = kv_net_add_link(w.net, 12 * BYTE_PER_TICK, true);
    kv_net_link_curve(w.net, link, curve, 3);
    kv_net_add_path(w.net, &(struct kv_hop){link, 1}, 1);
    uint32_t first = kv_flow_start(w.net, 0, KV_RATE_UNLIMITED, 24, 12, 1);
    for (uint64_t i = 2; i <= 3; i++) start(&w, 12, i);
    play_until(&w, 1000);
    expect_told(&w, 0, (struct told){1, 3, 12});
    expect_told(&w, 1, (struct told){2, 5, 12});
    expect_told(&w, 2, (struct told){3, 6, 12});
    assert_int_equal(kv_net_flows_on(w.net, link), 0);
    kv_flow_drop(w.net, first);
    close_world(&w);
}

/* 10 bytes at 2 a tick until tick 5; the limit given while it is paused holds for the next 10; 20 more at 4. Marks
 * are told on the way. */
static void a_limit_given_to_a_paused_flow_holds_from_its_permission(void **state)
{
    (void)state;
    struct world w;
    open_link(&w, 100 * BYTE_PER_TICK, false);
    uint32_t flow = kv_flow_start(w.net, 0, 2 * BYTE_PER_TICK, 40, 10, 7);
    play_until(&w, 5);
    expect_told(&w, 0, (struct told){7, 5, 10});
    kv_flow_limit(w.net, flow, BYTE_PER_TICK);
    kv_flow_permit(w.net, flow, 20);
    kv_flow_mark(w.net, flow, 14);
    play_until(&w, 9);
    expect_told(&w, 1, (struct told){7, 9, 14});
    play_until(&w, 15);
    expect_told(&w, 2, (struct told){7, 15, 20});
    kv_flow_permit(w.net, flow, 40);
    kv_flow_mark(w.net, flow, 24);
    kv_flow_limit(w.net, flow, 4 * BYTE_PER_TICK);   /* under way: the mark stands */
    play_until(&w, 1000);
    expect_told(&w, 3, (struct told){7, 16, 24});
    expect_told(&w, 4, (struct told){7, 20, 40});
    assert_int_equal(w.count, 5);
    close_world(&w);
}

static void nothing_is_armed_where_nothing_moves(void **state)
{
    (void)state;
    struct world w;
    open_link(&w, 0, false);
    uint32_t flow = start(&w, 1, 0);
    uint32_t free_path = kv_net_add_path(w.net, NULL, 0);
    uint32_t still = kv_flow_start(w.net, free_path, 0, 1, 1, 0);
    play_until(&w, 0);
    assert_int_equal(kv_engine_next_tk(w.engine), KV_TICK_NEVER);
    assert_int_equal(kv_net_flow_rate(w.net, flow), 0);
    assert_int_equal(kv_net_flow_rate(w.net, still), 0);
    kv_flow_drop(w.net, flow);
    kv_flow_drop(w.net, still);
    play_until(&w, 0);
    assert_int_equal(kv_net_flows_on(w.net, 0), 0);
    close_world(&w);
}

static void a_flow_without_any_limit_takes_one_tick(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    kv_net_add_path(w.net, NULL, 0);
    uint32_t flow = kv_flow_start(w.net, 0, KV_RATE_UNLIMITED, INT64_MAX, 7, 3);
    play_until(&w, 0);
    assert_int_equal(kv_flow_moved_bytes(w.net, flow), 0);
    assert_true(kv_net_flow_rate(w.net, flow) == KV_RATE_UNLIMITED);
    play_until(&w, 50);
    expect_told(&w, 0, (struct told){3, 1, 7});
    kv_flow_permit(w.net, flow, INT64_MAX);
    assert_int_equal(kv_flow_moved_bytes(w.net, flow), 7);
    play_until(&w, 50);
    expect_told(&w, 1, (struct told){3, 2, INT64_MAX});
    close_world(&w);
}

static void a_paused_flow_leaves_its_share_to_the_others(void **state)
{
    (void)state;
    struct world w;
    open_link(&w, 2 * BYTE_PER_TICK, false);
    uint32_t paused = kv_flow_start(w.net, 0, KV_RATE_UNLIMITED, 100, 10, 1);
    start(&w, 30, 2);
    play_until(&w, 10);
    expect_told(&w, 0, (struct told){1, 10, 10});
    assert_int_equal(kv_net_flows_on(w.net, 0), 1);
    play_until(&w, 20);
    expect_told(&w, 1, (struct told){2, 20, 30});   /* 10 bytes in 10 ticks, 20 more in another 10 */
    kv_flow_permit(w.net, paused, 100);
    play_until(&w, 100);
    expect_told(&w, 2, (struct told){1, 65, 100});
    close_world(&w);
}

static void a_link_in_order_serves_the_lowest_id_that_is_present(void **state)
{
    (void)state;
    struct world w;
    open_link(&w, 2 * BYTE_PER_TICK, true);
    uint32_t first = kv_flow_start(w.net, 0, KV_RATE_UNLIMITED, 20, 4, 1);
    start(&w, 100, 2);
    play_until(&w, 2);
    expect_told(&w, 0, (struct told){1, 2, 4});      /* pauses: it is the turn of the second, */
    play_until(&w, 2);
    start(&w, 6, 3);
    kv_flow_permit(w.net, first, 20);                 /* but not for long */
    play_until(&w, 1000);
    expect_told(&w, 1, (struct told){1, 10, 20});
    expect_told(&w, 2, (struct told){2, 60, 100});
    expect_told(&w, 3, (struct told){3, 63, 6});
    assert_true(kv_net_carried(w.net, 0) == 126 * KV_SERVICE_PER_BYTE);
    close_world(&w);
}

static void flows_of_one_tick_are_told_by_id_and_a_dropped_one_is_not(void **state)
{
    (void)state;
    struct world w;
    open_link(&w, 12 * BYTE_PER_TICK, false);
    uint32_t other_path = kv_net_add_path(w.net, &(struct kv_hop){0, 2}, 1);
    for (uint64_t i = 0; i < 4; i++) {
        uint32_t flow = kv_flow_start(w.net, i % 2 ? other_path : 0, KV_RATE_UNLIMITED, 10, 10, i);
        if (i == 2) w.victim = flow;
    }
    play_until(&w, 100);
    assert_int_equal(w.count, 4);
    expect_told(&w, 0, (struct told){0, 5, 10});
    expect_told(&w, 1, (struct told){1, 5, 10});
    expect_told(&w, 2, (struct told){3, 5, 10});
    expect_told(&w, 3, (struct told){9, 7, 24});
    close_world(&w);
}

/* Sizes that end on whole ticks: flow k is done when the link has carried all of the smaller ones, and as much of
 * each greater one as k has. */
/* ---- many flows ---- */

/* Flows of one class, 12 at a time, that wait in buckets from `many` on; of all that they are
 * told, one number. */
struct crowd { struct kv_engine *engine; struct kv_net *net; uint64_t started, story; int64_t mean_bytes; };

static void join_crowd(struct crowd *c)
{
    uint64_t i = c->started++;
    int64_t bytes = 1 + (int64_t)(kv_mix64(i + 1) % (uint64_t)(2 * c->mean_bytes));
    kv_flow_start(c->net, 0, KV_RATE_UNLIMITED, bytes, bytes, i);
}

static void leave_crowd(void *owner, uint32_t flow, uint64_t tag, int64_t bytes_done)
{
    struct crowd *c = owner;
    kv_flow_drop(c->net, flow);
    c->story = kv_mix64_pair(c->story, kv_mix64_pair(tag, (uint64_t)kv_engine_now(c->engine)) + (uint64_t)bytes_done);
    join_crowd(c);
}

static uint64_t story_of_crowd(size_t many, int64_t mean_bytes, kv_rate capacity, uint64_t flows)
{
    struct crowd c = {.engine = kv_engine_open(1), .mean_bytes = mean_bytes};
    c.net = kv_net_open(c.engine, leave_crowd, &c);
    c.net->many = many;
    kv_net_add_path(c.net, &(struct kv_hop){kv_net_add_link(c.net, capacity, false), 1}, 1);
    for (uint32_t i = 0; i < 12; i++) join_crowd(&c);
    while (c.started < flows) assert_true(kv_engine_step(c.engine, NULL));
    kv_service carried = kv_net_carried(c.net, 0);
    kv_net_close(c.net);
    kv_engine_close(c.engine);
    return kv_mix64_pair(c.story, (uint64_t)carried ^ (uint64_t)(carried >> 64));
}

static void buckets_change_nothing(void **state)
{
    (void)state;
    for (uint64_t flows = 100; flows <= 20000; flows = flows * 14 / 10)
        assert_int_equal(story_of_crowd(flows % 7 + 1, 1000, BYTE_PER_TICK / 3, flows),
                         story_of_crowd(SIZE_MAX, 1000, BYTE_PER_TICK / 3, flows));
}

/* 2,000 flows of 2^57 bytes, 12 at a time: the level passes 2^62 bytes, where keys get another zero, twice. */
static void buckets_outlast_the_longest_of_runs(void **state)
{
    (void)state;
    assert_int_equal(story_of_crowd(3, INT64_C(1) << 57, INT64_C(1) << 61, 2000),
                     story_of_crowd(SIZE_MAX, INT64_C(1) << 57, INT64_C(1) << 61, 2000));
}

static void equal_starts_end_where_processor_sharing_says(void **state)
{
    (void)state;
    struct world w;
    open_link(&w, 840 * BYTE_PER_TICK, false);   /* 840: divided by 1..8 */
    int64_t size[8], smaller = 0;
    for (int64_t i = 0; i < 8; i++) size[i] = 840 * (i + 1) * (i + 1);
    for (uint64_t i = 0; i < 8; i++) start(&w, size[i], i);
    play_until(&w, 1000000);
    for (uint32_t k = 0; k < 8; k++) {
        smaller += size[k];
        expect_told(&w, k, (struct told){k, (smaller + (7 - (int64_t)k) * size[k]) / 840, size[k]});
    }
    close_world(&w);
}

/* ---- many changes of rate ---- */

/* A one-byte flow starts every 4 ticks; it is dropped only when the next one is done, so that there is always a flow
 * that could be asked. */
struct train { struct kv_engine *engine; struct kv_net *net; uint32_t timer, last; int64_t left; };

static void next_car(void *owner, uint32_t kind)
{
    struct train *t = owner;
    (void)kind;
    kv_flow_start(t->net, 0, KV_RATE_UNLIMITED, 1, 1, 1);
    if (--t->left > 0) kv_timer_arm(t->engine, t->timer, kv_engine_now(t->engine) + 4);
}

static void car_done(void *owner, uint32_t flow, uint64_t tag, int64_t bytes_done)
{
    struct train *t = owner;
    (void)bytes_done;
    if (tag == 0) return;
    if (t->last != KV_NONE) kv_flow_drop(t->net, t->last);
    t->last = flow;
}

static void layers_are_found_among_thousands_of_changes_which_are_forgotten_later(void **state)
{
    (void)state;
    enum { CARS = 5000, BYTES = 7 * CARS };   /* a long flow gets 1 byte of the tick of a car, 2 of the three others */
    static int64_t bytes[BYTES];
    static kv_tick together[BYTES];
    struct train t = {.engine = kv_engine_open(1), .last = KV_NONE, .left = CARS};
    t.net = kv_net_open(t.engine, car_done, &t);
    t.timer = kv_timer_new(t.engine, KV_CLASS_ARRIVAL, next_car, &t, 0);
    kv_net_add_path(t.net, &(struct kv_hop){kv_net_add_link(t.net, 2 * BYTE_PER_TICK, false), 1}, 1);
    kv_timer_arm(t.engine, t.timer, 0);
    uint32_t flow = kv_flow_start(t.net, 0, KV_RATE_UNLIMITED, BYTES, BYTES, 0);
    while (kv_engine_step(t.engine, NULL)) continue;
    assert_int_equal(kv_engine_now(t.engine), 4 * CARS);
    for (int64_t b = 1; b <= BYTES; b++) bytes[b - 1] = b;
    kv_flow_reached_all(t.net, flow, bytes, BYTES, together);
    for (int64_t b = 1; b <= BYTES; b++) {
        assert_int_equal(together[b - 1], (b - 1) / 7 * 4 + 1 + ((b - 1) % 7 + 1) / 2);
        assert_int_equal(reached_tk(t.net, flow, b), together[b - 1]);
    }
    kv_flow_drop(t.net, flow);
    int64_t used_bytes = kv_memory_used_bytes();
    t.left = 20 * CARS;
    kv_timer_arm(t.engine, t.timer, kv_engine_now(t.engine) + 4);
    while (kv_engine_step(t.engine, NULL)) continue;
    assert_int_equal(kv_memory_used_bytes(), used_bytes);
    kv_net_close(t.net);
    kv_engine_close(t.engine);
}

static void limits_nobody_has_any_more_are_forgotten(void **state)
{
    (void)state;
    struct world w;
    int64_t used_bytes = 0;
    open_link(&w, 1000 * BYTE_PER_TICK, false);
    uint32_t flow = start(&w, 1000000, 0);
    for (kv_rate i = 1; i <= 20000; i++) {
        uint32_t other = kv_flow_start(w.net, 0, i, 1, 1, 1);
        kv_flow_limit(w.net, flow, 1000000 + i);
        play_until(&w, 0);
        kv_flow_drop(w.net, other);
        if (i == 100) used_bytes = kv_memory_used_bytes();
    }
    assert_int_equal(kv_memory_used_bytes(), used_bytes);
    kv_flow_drop(w.net, flow);
    for (kv_rate i = 1; i <= 20000; i++) {   /* ended, and dropped when nothing else happens */
        w.count = 0;
        flow = kv_flow_start(w.net, 0, BYTE_PER_TICK + i, 1, 1, 0);
        play_until(&w, i);
        assert_int_equal(w.count, 1);
        kv_flow_drop(w.net, flow);
        if (i == 100) used_bytes = kv_memory_used_bytes();
    }
    assert_int_equal(kv_memory_used_bytes(), used_bytes);
    close_world(&w);
}

/* ---- M/G/1 with processor sharing ---- */

#define BATCHES 40
#define T_999 3.558       /* Student, 39 degrees of freedom, two-sided */
#define WARMUP 20000
#define CAPACITY (1000 * BYTE_PER_TICK / 7)
#define MEAN_BYTES 1e6

/* Of mean 1. Pareto of exponent 1.5 cut at 1,000 times its least value: a hundredth of the flows brings a fifth of the
 * bytes. Uncut its variance would be infinite, and no interval could be had of a sample. */
static double exponential(gsl_rng *rng)
{
    return gsl_ran_exponential(rng, 1);
}
static double heavy_tailed(gsl_rng *rng)
{
    const double a = 1.5, most = 1000, mean = a / (a - 1) * (1 - pow(most, 1 - a)) / (1 - pow(most, -a));
    return pow(1 - gsl_rng_uniform(rng) * (1 - pow(most, -a)), -1 / a) / mean;
}

struct ps {
    struct kv_engine *engine;
    struct kv_net *net;
    uint32_t timer;
    double (*size)(gsl_rng *);
    double rho, arrival, *sojourn, *slowdown;
    int64_t started, count;
    kv_tick *start_tk;
};

static void arrive(void *owner, uint32_t kind)
{
    struct ps *p = owner;
    struct kv_rng rng;
    uint64_t i = (uint64_t)p->started++;
    (void)kind;
    int64_t bytes = (int64_t)ceil(p->size(kv_rng_at(&rng, 11, kv_stream("sizes"), i)) * MEAN_BYTES);
    p->start_tk[i] = kv_engine_now(p->engine);
    kv_flow_start(p->net, 0, KV_RATE_UNLIMITED, bytes, bytes, i);
    if (p->started == p->count) return;
    double mean_tk = MEAN_BYTES * 0x1p32 / (double)CAPACITY;
    p->arrival += gsl_ran_exponential(kv_rng_at(&rng, 11, kv_stream("arrivals"), i), mean_tk / p->rho);
    kv_timer_arm(p->engine, p->timer, (kv_tick)p->arrival);
}

static void depart(void *owner, uint32_t flow, uint64_t tag, int64_t bytes_done)
{
    struct ps *p = owner;
    double alone_tk = (double)bytes_done * 0x1p32 / (double)CAPACITY;
    double sojourn_tk = (double)(kv_engine_now(p->engine) - p->start_tk[tag]);
    p->sojourn[tag] = sojourn_tk / (MEAN_BYTES * 0x1p32 / (double)CAPACITY);
    p->slowdown[tag] = sojourn_tk / alone_tk;
    kv_flow_drop(p->net, flow);
}

static void compare(const char *what, const struct ps *p, const double *value, double widest)
{
    double mean = 0, variance = 0, of_batch[BATCHES] = {0}, theory = 1 / (1 - p->rho);
    int64_t batch = (p->count - WARMUP) / BATCHES;
    for (int64_t i = WARMUP; i < p->count; i++) of_batch[(i - WARMUP) / batch] += value[i] / (double)batch;
    for (int b = 0; b < BATCHES; b++) mean += of_batch[b] / BATCHES;
    for (int b = 0; b < BATCHES; b++) variance += (of_batch[b] - mean) * (of_batch[b] - mean) / (BATCHES - 1);
    double half = T_999 * sqrt(variance / BATCHES);
    print_message("  rho %.1f: mean %s %.4f, theory %.4f, 99.9 %% interval +- %.4f\n", p->rho, what, mean, theory,
                  half);
    assert_true(fabs(mean - theory) <= half);
    assert_true(half <= widest * theory);
}

static void share(double rho, double (*size)(gsl_rng *), int64_t batch, double widest)
{
    struct ps p = {.engine = kv_engine_open(1), .size = size, .rho = rho, .count = WARMUP + BATCHES * batch};
    struct kv_arena arena = {0};
    p.sojourn = kv_arena_take(&arena, (size_t)p.count * sizeof *p.sojourn);
    p.slowdown = kv_arena_take(&arena, (size_t)p.count * sizeof *p.slowdown);
    p.start_tk = kv_arena_take(&arena, (size_t)p.count * sizeof *p.start_tk);
    p.net = kv_net_open(p.engine, depart, &p);
    p.timer = kv_timer_new(p.engine, KV_CLASS_ARRIVAL, arrive, &p, 0);
    kv_net_add_path(p.net, &(struct kv_hop){kv_net_add_link(p.net, CAPACITY, false), 1}, 1);
    kv_timer_arm(p.engine, p.timer, 0);
    while (kv_engine_step(p.engine, NULL)) continue;
    compare("sojourn time / E[S]", &p, p.sojourn, widest);
    compare("slowdown", &p, p.slowdown, widest);
    kv_net_close(p.net);
    kv_engine_close(p.engine);
    kv_arena_close(&arena);
}

static void mean_times_of_m_m_1_ps_agree_with_theory(void **state)
{
    (void)state;
    share(0.3, exponential, 5000, 0.02);
    share(0.6, exponential, 10000, 0.03);
    share(0.9, exponential, 20000, 0.10);
}

static void mean_times_of_heavy_tailed_m_g_1_ps_agree_with_theory(void **state)
{
    (void)state;
    share(0.3, heavy_tailed, 5000, 0.07);
    share(0.6, heavy_tailed, 10000, 0.07);
    share(0.8, heavy_tailed, 20000, 0.10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flow_is_not_done_one_tick_before_its_last_byte),
        cmocka_unit_test(one_unit_of_rate_less_is_one_tick_more),
        cmocka_unit_test(a_link_has_the_capacity_of_so_many_flows),
        cmocka_unit_test(a_curve_makes_a_link_bind_that_could_not),
        cmocka_unit_test(flows_that_wait_their_turn_count_in_a_curve),
        cmocka_unit_test(a_limit_given_to_a_paused_flow_holds_from_its_permission),
        cmocka_unit_test(nothing_is_armed_where_nothing_moves),
        cmocka_unit_test(a_flow_without_any_limit_takes_one_tick),
        cmocka_unit_test(a_paused_flow_leaves_its_share_to_the_others),
        cmocka_unit_test(a_link_in_order_serves_the_lowest_id_that_is_present),
        cmocka_unit_test(flows_of_one_tick_are_told_by_id_and_a_dropped_one_is_not),
        cmocka_unit_test(buckets_change_nothing),
        cmocka_unit_test(buckets_outlast_the_longest_of_runs),
        cmocka_unit_test(equal_starts_end_where_processor_sharing_says),
        cmocka_unit_test(layers_are_found_among_thousands_of_changes_which_are_forgotten_later),
        cmocka_unit_test(limits_nobody_has_any_more_are_forgotten),
        cmocka_unit_test(mean_times_of_m_m_1_ps_agree_with_theory),
        cmocka_unit_test(mean_times_of_heavy_tailed_m_g_1_ps_agree_with_theory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* CPU time of flows over links: ns per flow event (a start or an end) and per look-up of a layer, beside the goals;
 * and the ratio to a loop over all flows, timed here and now. Medians of 5. Flow events come together, another flow
 * starting at the tick at which one ends, or apart, each with a timer, a settling and new rates of its own.
 *   bench_flows                                         the table
 *   bench_flows LEAVES FLOWS together|apart EVENTS      one load, untimed, for callgrind; LEAVES 0: one link */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "sim/base/rng.h"
#include "sim/serve/net.h"

#define RUNS 5
#define MEAN_BYTES (INT64_C(1) << 24)
#define CAPACITY (INT64_C(1) << 35)      /* 8 byte a tick: 2 TB/s */

static double cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double value[RUNS])
{
    qsort(value, RUNS, sizeof *value, by_value);
    return value[RUNS / 2];
}

/* Uniform around the mean: ends come in an order of their own, not in that of starts. */
static int64_t size_of(uint64_t i)
{
    return 1 + (int64_t)(kv_mix64(i + 1) % (2 * MEAN_BYTES));
}

/* ---- flows: whoever ends is followed by another one a few ticks later ---- */

struct load {
    struct kv_engine *engine;
    struct kv_net *net;
    uint32_t timer, leaves;
    uint64_t started, ended, waiting;
    bool apart;    /* the next one starts some ticks after an end, else at its tick, as where requests queue */
};

static void start_one(struct load *l)
{
    uint64_t i = l->started++;
    int64_t bytes = size_of(i);
    kv_flow_start(l->net, l->leaves ? (uint32_t)(kv_mix64(~i) % l->leaves) : 0, KV_RATE_UNLIMITED, bytes, bytes, i);
}

static void follow(void *owner, uint32_t kind)
{
    struct load *l = owner;
    (void)kind;
    for (; l->waiting > 0; l->waiting--) start_one(l);
}

static void ended(void *owner, uint32_t flow, uint64_t tag, int64_t bytes_done)
{
    struct load *l = owner;
    (void)tag;
    (void)bytes_done;
    l->ended++;
    kv_flow_drop(l->net, flow);
    if (!l->apart) {
        start_one(l);
        return;
    }
    l->waiting++;
    kv_timer_arm(l->engine, l->timer, kv_engine_now(l->engine) + 3);
}

static void open_load(struct load *l, uint32_t leaves, uint64_t flows, bool apart)
{
    *l = (struct load){.engine = kv_engine_open(1), .leaves = leaves, .apart = apart};
    l->net = kv_net_open(l->engine, ended, l);
    l->timer = kv_timer_new(l->engine, KV_CLASS_ARRIVAL, follow, l, 0);
    uint32_t root = kv_net_add_link(l->net, CAPACITY, false);
    /* Leaves of an eighth of the root on the average, from half of that up: some bind, and so does the root. */
    for (uint32_t i = 0; i < leaves; i++) {
        uint32_t leaf = kv_net_add_link(l->net, CAPACITY / 16 + CAPACITY / 8 * i / leaves, false);
        kv_net_add_path(l->net, (struct kv_hop[]){{leaf, 1}, {root, 1}}, 2);
    }
    if (leaves == 0) kv_net_add_path(l->net, &(struct kv_hop){root, 1}, 1);
    for (uint64_t i = 0; i < flows; i++) start_one(l);
}

static void play(struct load *l, uint64_t ends)
{
    for (ends += l->ended; l->ended < ends;)
        if (!kv_engine_step(l->engine, NULL)) abort();
}

static double event_ns(uint32_t leaves, uint64_t flows, bool apart)
{
    enum { EVENTS = 400000 };
    struct load l;
    double ns[RUNS];
    open_load(&l, leaves, flows, apart);
    play(&l, 2 * flows + 10000);
    for (int run = 0; run < RUNS; run++) {
        double before = cpu_ns();
        play(&l, EVENTS / 2);
        ns[run] = (cpu_ns() - before) / EVENTS;
    }
    kv_net_close(l.net);
    kv_engine_close(l.engine);
    return median(ns);
}

/* One link, flow by flow: at each event all of them are served, and who ends first is looked for. */
static double naive_event_ns(uint64_t flows, uint64_t events)
{
    static int64_t left[10000];
    double ns[RUNS];
    uint64_t started = 0;
    volatile int64_t sink;
    for (uint64_t i = 0; i < flows; i++) left[i] = size_of(started++) << 20;
    for (int run = 0; run < RUNS; run++) {
        double before = cpu_ns();
        for (uint64_t e = 0; e < events; e++) {
            uint64_t first = 0;
            for (uint64_t i = 1; i < flows; i++)
                if (left[i] < left[first]) first = i;
            int64_t share = e % 2 ? left[first] : left[first] / 2;   /* every other event is the start of another */
            for (uint64_t i = 0; i < flows; i++) left[i] -= share;
            if (e % 2) left[first] = size_of(started++) << 20;
            sink = share;
        }
        ns[run] = (cpu_ns() - before) / (double)events;
    }
    (void)sink;
    return median(ns);
}

/* ---- layers ---- */

struct fetch { struct kv_engine *engine; struct kv_net *net; uint32_t timer, flow; int changes; };

static void change(void *owner, uint32_t kind)
{
    struct fetch *f = owner;
    (void)kind;
    kv_flow_start(f->net, 0, KV_RATE_UNLIMITED, MEAN_BYTES, MEAN_BYTES, 0);
    if (--f->changes == 0) return;
    kv_timer_arm(f->engine, f->timer, kv_engine_now(f->engine) + MEAN_BYTES / 16 / (9 - f->changes));
}

static void nobody_cares(void *owner, uint32_t flow, uint64_t tag, int64_t bytes_done)
{
    (void)owner, (void)flow, (void)tag, (void)bytes_done;
}

static double layer_ns(int32_t layers, bool together)
{
    enum { LOOKS = 20000 };
    struct fetch f = {.engine = kv_engine_open(1), .changes = 8};
    double ns[RUNS];
    int64_t bytes[80];
    kv_tick out[80];
    f.net = kv_net_open(f.engine, nobody_cares, &f);
    f.timer = kv_timer_new(f.engine, KV_CLASS_ARRIVAL, change, &f, 0);
    kv_net_add_path(f.net, &(struct kv_hop){kv_net_add_link(f.net, CAPACITY + 12345, false), 1}, 1);
    f.flow = kv_flow_start(f.net, 0, KV_RATE_UNLIMITED, MEAN_BYTES, MEAN_BYTES, 0);
    kv_timer_arm(f.engine, f.timer, MEAN_BYTES / 128);
    while (kv_engine_step(f.engine, NULL)) continue;
    for (int32_t i = 0; i < layers; i++) bytes[i] = MEAN_BYTES * (i + 1) / layers;
    for (int run = 0; run < RUNS; run++) {
        double before = cpu_ns();
        for (int look = 0; look < LOOKS; look++) {
            if (together) kv_flow_reached_all(f.net, f.flow, bytes, layers, out);
            else for (int32_t i = 0; i < layers; i++) kv_flow_reached_all(f.net, f.flow, &bytes[i], 1, &out[i]);
        }
        ns[run] = (cpu_ns() - before) / LOOKS / layers;
    }
    kv_net_close(f.net);
    kv_engine_close(f.engine);
    return median(ns);
}

int main(int argc, char **argv)
{
    static const uint64_t flows[] = {10, 100, 1000, 10000};
    if (argc == 5) {
        struct load l;
        open_load(&l, (uint32_t)strtoul(argv[1], NULL, 10), strtoul(argv[2], NULL, 10), argv[3][0] == 'a');
        play(&l, strtoul(argv[4], NULL, 10) / 2);
        kv_net_close(l.net);
        kv_engine_close(l.engine);
        return 0;
    }
    printf("%-27s %9s %-7s %9s %10s %10s\n", "ns per flow event, flows:", "together", "goal", "apart", "naive",
           "naive / it");
    for (int i = 0; i < 4; i++) {
        double ns = event_ns(0, flows[i], false), naive = naive_event_ns(flows[i], 4000000 / flows[i]);
        printf("one link           %8llu %9.1f %-7s %9.1f %10.1f %10.1f\n", (unsigned long long)flows[i], ns,
               flows[i] == 10000 ? "100 ns" : "", event_ns(0, flows[i], true), naive, naive / ns);
    }
    for (int i = 0; i < 4; i++)
        printf("8 leaves and a root%8llu %9.1f %-7s %9.1f\n", (unsigned long long)flows[i],
               event_ns(8, flows[i], false), "", event_ns(8, flows[i], true));
    printf("\n%-27s %9s %-7s %9s\n", "ns per look-up of a layer:", "together", "goal", "alone");
    for (int32_t layers = 32; layers <= 80; layers += 48)
        printf("8 changes of rate  %8d %9.1f %-7s %9.1f\n", layers, layer_ns(layers, true), "40 ns",
               layer_ns(layers, false));
    return 0;
}

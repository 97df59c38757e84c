/* SPDX-License-Identifier: Apache-2.0 */
/* Fetches and layers for the made-up run of fake_tiers.h. Request i loads from dram for 0.1 s and from the object
 * store for 1.5 s, both from 0.1 s after its arrival, so that it shares the store with the request before and the one
 * after. */
#ifndef TESTS_SIM_OUT_FAKE_FETCHES_H
#define TESTS_SIM_OUT_FAKE_FETCHES_H

#include "tests/sim/out/fake_tiers.h"

#define FETCH_LAYERS 4
#define FETCH_MS (FAKE_S / 1000)

static inline struct kv_fetch_record fake_fetch(int64_t request, uint8_t tier)
{
    kv_tick begin_tk = request * FAKE_S + 100 * FETCH_MS;
    struct kv_fetch_record f = {
        .request = request, .instance = (uint16_t)(request % 2), .tier = tier, .mode = KV_DELIVERY_LAYERWISE,
        .bytes = 1500000000, .delivered_bytes = 1500000000, .begin_tk = begin_tk, .granted_tk = -1,
        .first_tk = begin_tk + FETCH_MS, .end_tk = begin_tk + 101 * FETCH_MS, .limit_Bps = (double)INFINITY,
    };
    if (tier == 1) return f;
    f.granted_tk = begin_tk + 200 * FETCH_MS;
    f.first_tk = begin_tk + 500 * FETCH_MS;
    f.end_tk = begin_tk + 1500 * FETCH_MS;
    f.grant_Bps = 1.55e9;
    f.limit_Bps = 5e9;
    f.regrants = 1;
    f.refused = 2;
    return f;
}

/* Layer l comes 10 ms after the one before, the step computes it for 4 ms; the first had come 3 ms before the step. */
struct fake_layers { kv_tick fetch_end[FETCH_LAYERS], start[FETCH_LAYERS], end[FETCH_LAYERS]; };
static inline struct kv_layers_record fake_layers(struct fake_layers *l, int64_t request)
{
    kv_tick ready_tk = request * FAKE_S + 120 * FETCH_MS, at_tk = ready_tk;
    for (int32_t i = 0; i < FETCH_LAYERS; i++) {
        l->fetch_end[i] = i == 3 ? -1 : ready_tk - 3 * FETCH_MS + i * 10 * FETCH_MS;
        if (l->fetch_end[i] > at_tk) at_tk = l->fetch_end[i];
        l->start[i] = at_tk;
        at_tk += 4 * FETCH_MS;
        l->end[i] = at_tk;
    }
    return (struct kv_layers_record){request, FETCH_LAYERS, l->fetch_end, l->start, l->end, ready_tk};
}

/* All of the run with its fetches, in the order of their ends (the store's of a request after dram's of the next). */
static inline struct kv_results *fetches_run(struct tiers *t, const char *path, struct kv_err *err)
{
    struct kv_run_end end = tiers_end(t);
    struct kv_results *r = kv_results_open_with(path, true, &t->fake.info, KV_CODEC_ZLIB, err);
    if (!r) return NULL;
    struct kv_sink sink = kv_results_sink(r);
    bool ok = true;
    end.tier[2].priced = true;
    end.tier[2].price = (struct kv_store_price){.read_request = 0.01, .write_request = 0.1, .GiB_month = 1000};
    end.counters.tier[2].read_requests = 30;
    end.counters.tier[2].write_requests = 4;
    end.counters.tier[1].refused_accesses = 3;
    end.counters.tier[2].refused_accesses = 5;
    end.counters.tier[2].resident_chunks = 6;
    for (int64_t i = 0; ok && i < t->fake.requests; i++) {
        struct kv_record record = tiers_record(t, i);
        struct kv_fetch_record dram = fake_fetch(i, 1), object = fake_fetch(i - 1, 2);
        struct fake_layers ticks;
        struct kv_layers_record layers = fake_layers(&ticks, i);
        ok = sink.record(sink.state, &record, err) && sink.fetch(sink.state, &dram, err)
             && (i == 0 || sink.fetch(sink.state, &object, err))
             && (!sink.layers || sink.layers(sink.state, &layers, err));
    }
    if (ok && kv_results_end(r, &end, err)) return r;
    kv_results_close(r);
    return NULL;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* A made-up run for the tests of sim/out: records as a pure function of their number, ended in a shuffled order,
 * and bins that add up. No simulator needed. */
#ifndef TESTS_SIM_OUT_FAKE_H
#define TESTS_SIM_OUT_FAKE_H

#include <string.h>

#include "sim/base/rng.h"
#include "sim/out/results.h"

struct fake {
    struct kv_scenario scenario;
    struct kv_run_info info;
    struct kv_workload_stats workload;
    int64_t requests, disorder;      /* a record ends at most about `disorder` places away from its turn */
    int32_t instances, bins;
    kv_tick busy_tk[64];
};

#define FAKE_S KV_TICKS_PER_S
static const char *const fake_sources[] = {"hbm", "compute"};

static inline uint64_t fake_draw(int64_t request, int what)
{
    return kv_mix64_pair((uint64_t)request, (uint64_t)what);
}

/* One in 50 each is rejected, failed, unfinished; two SLO classes, the second without bounds. */
static inline struct kv_record fake_record(const struct fake *f, int64_t request)
{
    uint64_t fate = fake_draw(request, 0) % 50;
    struct kv_record r = {
        .request = request, .trace_row = request + 1, .arrival_tk = request * (FAKE_S / 4 / 256 * 256),
        .first_sched_tk = -1, .first_token_tk = -1, .finish_tk = -1,
        .prompt_tokens = (int32_t)(fake_draw(request, 1) % 4000 + 1),
        .output_tokens = (int32_t)(fake_draw(request, 2) % 400 + 1), .session = (uint32_t)(request / 3 + 1),
        .turn = (uint16_t)(request % 3), .slo_class = request % 7 == 0, .instance = KV_NO_INSTANCE,
        .prefill_instance = KV_NO_INSTANCE,
        .status = fate == 0 ? KV_STATUS_REJECTED : fate == 1 ? KV_STATUS_FAILED : fate == 2 ? KV_STATUS_UNFINISHED
                                                                                : KV_STATUS_FINISHED,
    };
    if (fate < 2) return r;
    uint64_t blocks = fake_draw(request, 4) % (uint64_t)r.prompt_tokens / 16;
    int32_t hit = fake_draw(request, 3) % 3 ? 0 : (int32_t)(blocks * 16);
    r.instance = r.prefill_instance = (uint16_t)(request % f->instances);
    r.queue_tk = (kv_tick)(fake_draw(request, 5) % 3 * (fake_draw(request, 6) % (uint64_t)FAKE_S));
    r.prefill_tk = (kv_tick)(fake_draw(request, 7) % (uint64_t)(2 * FAKE_S)) + 1;
    r.first_sched_tk = r.arrival_tk + r.queue_tk;
    r.prompt_tokens_by_source[0] = hit;
    r.prompt_tokens_by_source[1] = r.prompt_tokens - hit;
    if (fake_draw(request, 8) % 20 == 0) {
        r.preemptions = 1;
        r.preempted_tk = FAKE_S / 3;
        r.recomputed_tokens = r.prompt_tokens / 2;
    }
    if (fate == 2) return r;
    r.generated_tokens = r.output_tokens;
    r.first_token_tk = r.first_sched_tk + r.prefill_tk;
    r.decode_tk = r.output_tokens > 1 ? (kv_tick)(fake_draw(request, 9) % (uint64_t)(20 * FAKE_S)) + 1 : 0;
    if (r.output_tokens == 1) r.preempted_tk = 0;
    r.finish_tk = r.first_token_tk + r.decode_tk + r.preempted_tk;
    return r;
}

static inline void fake_open(struct fake *f, int64_t requests)
{
    memset(f, 0, sizeof *f);
    f->requests = requests;
    f->disorder = 5000;
    f->instances = 4;
    f->bins = 100;
    f->scenario.name = "made up";
    f->scenario.path = "made_up.yaml";
    f->scenario.text = "kvsim: 1\nname: made up\n";
    f->scenario.sim = (struct kv_sim_config){.seed = 42, .instance_count = 4, .tp = 2, .hbm_blocks = 250};
    f->scenario.sim.engine.block_tokens = 16;
    f->scenario.workload.trace = "made_up.jsonl";
    f->scenario.workload.reader_name = "blocks";
    f->scenario.workload.warmup_s = 10;
    f->scenario.slo[0] = (struct kv_slo_class){"default", 2, 0.05, 0};
    f->scenario.slo[1] = (struct kv_slo_class){"batch jobs", 0, 0, 0};
    f->scenario.slo_count = 2;
    f->scenario.hbm.block_bytes = 2 << 20;
    f->info = (struct kv_run_info){&f->scenario, "kvsim: 1\n", "", fake_sources, 2, "a first warning\nand a second\n"};
    f->workload.reader.rows = requests;
    f->workload.reader.bytes = 12345;
    strcpy(f->workload.reader.digest, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
    strcpy(f->workload.assumptions, "sessions grow; 27 % of the turns do not extend the turn before them");
}

/* Shuffles within a window by swapping each record with one up to `disorder` later; then the first request goes
 * last, as a straggler does. */
static inline bool fake_send(const struct fake *f, struct kv_sink sink, struct kv_err *err)
{
    int64_t *order = kv_mem_take((size_t)(f->requests + 1) * sizeof *order);
    for (int64_t i = 0; i < f->requests; i++) order[i] = i;
    for (int64_t i = 1; i < f->requests && f->disorder; i++) {
        int64_t j = i + (int64_t)(fake_draw(i, 10) % (uint64_t)f->disorder);
        if (j >= f->requests) continue;
        int64_t swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
    bool ok = true;
    for (int64_t i = 0; ok && i < f->requests; i++) {
        struct kv_record r = fake_record(f, order[i + 1 < f->requests ? i + 1 : 0]);
        ok = sink.record(sink.state, &r, err);
    }
    kv_mem_give(order, (size_t)(f->requests + 1) * sizeof *order);
    return ok;
}

static inline void fake_bin(void *state, int32_t index, struct kv_bin *bin)
{
    struct fake *f = state;
    for (int32_t i = 0; i < f->instances; i++) f->busy_tk[i] = (index + 1) * FAKE_S / (i + 2);
    *bin = (struct kv_bin){
        .start_tk = index * FAKE_S, .end_tk = (index + 1) * FAKE_S, .samples = 2,
        .grown = {.injected = 4, .finished = 4, .steps = 100, .prefill_tokens = 1000 + index, .decode_tokens = 500,
                  .hit_tokens = 300 + index % 7, .prompt_tokens = 1300 + index, .blocks_evicted = index % 3},
        .waiting = 2.0 * (index % 5), .running = 2 * 8, .active_blocks = 2 * 600, .inactive_blocks = 2 * 300,
        .free_blocks = 2 * 100, .busy_tk = f->busy_tk,
    };
    bin->grown.tier[0] = (struct kv_tier_counters){.asked_tokens = 1300 + index, .hit_tokens = 300 + index % 7};
    if (index % 10 == 9) bin->grown.steps = bin->grown.prefill_tokens = bin->grown.decode_tokens = 0;
}

static inline struct kv_run_end fake_end(struct fake *f)
{
    return (struct kv_run_end){
        .end_tk = f->bins * FAKE_S, .workload = &f->workload, .status = "complete",
        .counters = {.injected = f->requests, .steps = 100 * f->bins, .blocks_allocated = 77, .blocks_evicted = 55},
        .bins = {f, f->bins, fake_bin, NULL},
    };
}

/* All of it: a results file of `f` at `path`, committed. */
static inline struct kv_results *fake_run(struct fake *f, const char *path, enum kv_codec codec, struct kv_err *err)
{
    struct kv_run_end end = fake_end(f);
    struct kv_results *r = kv_results_open_with(path, true, &f->info, codec, err);
    if (r && fake_send(f, kv_results_sink(r), err) && kv_results_end(r, &end, err)) return r;
    kv_results_close(r);
    return NULL;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/cli/dryrun.h"

#include <stdio.h>

#include "sim/cli/cli.h"
#include "sim/lib/kvsize.h"

/* Memory of the simulator per cached block: slot, policy links and index cell, measured on runs whose cache is full
 * (tests/bench/bench.sh prints the peak). Blocks that nobody shares are kept as runs and cost less. */
#define BLOCK_MEMORY_BYTES 40

struct load {
    int64_t rows, failed, input_tokens, output_tokens, input_max;
    bool whole;                    /* the source ended within KV_DRY_ROWS */
    double span_s;                 /* first to last arrival */
    double prefill_s;              /* instance time to compute all prompts, one request after the other */
    double decode_context;         /* mean context of a generated token */
    int64_t batch;                 /* sequences that fit at that context */
    double step_s;                 /* decode step of that batch */
};

static double cost_s(kv_cost cost)
{
    return (double)cost / (double)KV_COST_PER_TICK / (double)KV_TICKS_PER_S;
}

struct pricer { const struct kv_sim_config *config; void *state; double overhead_s; };

/* Prompt in chunks as the engine would cut it when it were alone; no prefix hits. */
static double prefill_s(const void *state, int64_t tokens)
{
    const struct pricer *p = state;
    int64_t chunk_max = p->config->engine.chunked_prefill ? p->config->engine.max_num_batched_tokens : tokens;
    double total_s = 0;
    for (int64_t done = 0; done < tokens;) {
        int64_t n = tokens - done < chunk_max ? tokens - done : chunk_max;
        struct kv_chunk chunk = { n, done, done + n == tokens };
        struct kv_batch batch = { .chunks = &chunk, .chunk_count = 1 };
        if (n == 1) batch = (struct kv_batch){ .decode_count = 1, .ctx_sum = done, .ctx_max = done,
                                               .ctx_sq_sum = (kv_cost)done * done };
        total_s += cost_s(p->config->compute->price(p->state, &batch).first) + p->overhead_s;
        done += n;
    }
    return total_s;
}

static void price_decode(const struct pricer *p, struct load *l)
{
    const struct kv_engine_config *engine = &p->config->engine;
    int64_t context = (int64_t)l->decode_context, blocks = context / engine->block_tokens + 1;
    l->batch = p->config->hbm_blocks / blocks;
    if (l->batch > engine->max_num_seqs) l->batch = engine->max_num_seqs;
    if (l->batch < 1) l->batch = 1;
    struct kv_batch batch = { .decode_count = l->batch, .ctx_sum = l->batch * context, .ctx_max = context,
                              .ctx_sq_sum = (kv_cost)l->batch * context * context };
    l->step_s = cost_s(p->config->compute->price(p->state, &batch).first) + p->overhead_s;
}

static bool read_load(const struct pricer *p, struct kv_source source, struct load *l, struct kv_err *err)
{
    struct kv_request request;
    int64_t first_ns = -1;
    double context_sum = 0;
    int got = 1;
    while (l->rows < KV_DRY_ROWS && (got = source.next(source.state, &request, err)) > 0) {
        l->rows++;
        if (first_ns < 0) first_ns = request.arrival_ns;
        l->span_s = (double)(request.arrival_ns - first_ns) * 1e-9;
        if (request.failed) {
            l->failed++;
            continue;
        }
        l->input_tokens += request.input_tokens;
        l->output_tokens += request.output_tokens;
        if (request.input_tokens > l->input_max) l->input_max = request.input_tokens;
        context_sum += (double)request.output_tokens * (request.input_tokens + request.output_tokens / 2.0);
        l->prefill_s += prefill_s(p, request.input_tokens);
    }
    if (got < 0) return false;
    l->whole = got == 0;
    if (l->output_tokens > 0) l->decode_context = context_sum / (double)l->output_tokens;
    price_decode(p, l);
    return true;
}

/* Share of the cluster's time that the rows would take if every decode step were as full as it can be: above 1
 * the queue grows for ever; below, batches are smaller and the GPUs busier than this says. */
static double load_share(const struct kv_scenario *s, const struct load *l)
{
    if (s->workload.replay.mode == KV_REPLAY_CLOSED || !(l->span_s > 0)) return -1;
    double decode_s = (double)l->output_tokens * l->step_s / (double)l->batch;
    return (l->prefill_s + decode_s) / (l->span_s * s->sim.instance_count);
}

static bool print_cluster(const struct kv_scenario *s, const struct pricer *p, struct kv_err *err)
{
    const struct kv_sim_config *c = &s->sim;
    kv_print("scenario     %s, seed %llu\n", s->name, (unsigned long long)c->seed);
    kv_print("model        %s: %lld B of KV per token and GPU\n", s->model.name,
             (long long)kv_bytes_per_token_per_gpu(&s->model, c->tp));
    kv_print("instances    %d x tp %d%s%s\n", (int)c->instance_count, (int)c->tp, s->gpu.name ? " on " : "",
             s->gpu.name ? s->gpu.name : "");
    kv_print("%-12s %lld blocks of %lld tokens per instance = %lld tokens\n", s->hbm.name, (long long)c->hbm_blocks,
             (long long)c->engine.block_tokens, (long long)(c->hbm_blocks * c->engine.block_tokens));
    kv_print("             %.2f GiB per GPU (%s)\n", (double)s->hbm.capacity_bytes / 0x1p30, s->hbm.rule);
    return kv_dry_tiers(s, &(struct kv_dry_price){p, prefill_s}, false, err);
}

static void print_load(const struct kv_scenario *s, const struct load *l, double share, double memory_bytes)
{
    double served = (double)(l->rows - l->failed);
    kv_print("workload     %s\n", s->workload.trace ? s->workload.trace : s->workload.reader_name);
    kv_print("             %s %lld rows: %lld served, %lld failed\n", l->whole ? "all" : "the first",
             (long long)l->rows, (long long)(l->rows - l->failed), (long long)l->failed);
    if (served > 0) {
        kv_print("             prompt mean %.1f, max %lld tokens; output mean %.1f tokens\n",
                 (double)l->input_tokens / served, (long long)l->input_max, (double)l->output_tokens / served);
    }
    if (l->span_s > 0) kv_print("             %.6g s of arrivals, %.4g req/s\n", l->span_s, served / l->span_s);
    kv_print("decode       %.3f ms a step with %lld sequences of %.0f tokens, the most that fit\n", 1e3 * l->step_s,
             (long long)l->batch, l->decode_context);
    if (share < 0) kv_print("load         set by the clients, not by the trace\n");
    else kv_print("load         %.3f of capacity, at such batches and without prefix hits%s\n", share,
                  share > 1 ? ": too much" : "");
    kv_print("memory       about %.1f MiB of state in kvsim once the caches are full\n", memory_bytes / 0x1p20);
    kv_print("dry run; nothing was simulated\n");
}

static bool print_json(const struct kv_scenario *s, const struct pricer *p, const struct load *l, double share,
                       double memory_bytes, struct kv_err *err)
{
    const struct kv_sim_config *c = &s->sim;
    kv_print("{\"dry_run\": true, \"seed\": %llu, \"kv_bytes_per_token_per_gpu\": %lld, \"instances\": %d, \"tp\": %d, "
             "\"hbm_blocks\": %lld, \"block_tokens\": %lld, \"hbm_bytes\": %lld, ", (unsigned long long)c->seed,
             (long long)kv_bytes_per_token_per_gpu(&s->model, c->tp), (int)c->instance_count, (int)c->tp,
             (long long)c->hbm_blocks, (long long)c->engine.block_tokens, (long long)s->hbm.capacity_bytes);
    if (!kv_dry_tiers(s, &(struct kv_dry_price){p, prefill_s}, true, err)) return false;
    kv_print("\"rows\": %lld, \"all_rows\": %s, \"failed\": %lld, \"input_tokens\": %lld, \"output_tokens\": %lld, "
             "\"span_s\": %.9g, \"prefill_s\": %.9g, \"decode_batch\": %lld, \"decode_step_s\": %.9g, ",
             (long long)l->rows, l->whole ? "true" : "false", (long long)l->failed, (long long)l->input_tokens,
             (long long)l->output_tokens, l->span_s, l->prefill_s, (long long)l->batch, l->step_s);
    if (share < 0) kv_print("\"load\": null, ");
    else kv_print("\"load\": %.9g, ", share);
    kv_print("\"memory_bytes\": %.0f}\n", memory_bytes);
    return true;
}

static int no_source(void *state, struct kv_request *request, struct kv_err *err)
{
    (void)state, (void)request, (void)err;
    return 0;
}

static bool no_record(void *state, const struct kv_record *record, struct kv_err *err)
{
    (void)state, (void)record, (void)err;
    return true;
}

static bool print_all(const struct kv_scenario *s, const struct pricer *p, const struct load *l, double memory_bytes,
                      bool json, struct kv_err *err)
{
    double share = load_share(s, l);
    if (json) return print_json(s, p, l, share, memory_bytes, err);
    if (!print_cluster(s, p, err)) return false;
    print_load(s, l, share, memory_bytes);
    return true;
}

bool kv_cli_dry_run(const struct kv_scenario *s, const struct kv_workload *workload, struct kv_source source,
                    bool json, struct kv_err *err)
{
    const struct kv_sim_config *config = &s->sim;
    struct pricer p = { .config = config };
    struct load l = { 0 };
    if (!config->engine.async_scheduling) p.overhead_s = config->engine.host_overhead_s;
    p.state = kv_mem_take(config->compute->state_bytes);
    bool good = config->compute->open(p.state, config->compute_params, &config->compute_env, err)
                && read_load(&p, source, &l, err);
    /* Opening the cluster finds what only it can find, and tells what it takes before the first request. */
    struct kv_sim *sim = good ? kv_sim_open(config, (struct kv_source){ NULL, no_source },
                                            (struct kv_sink){ .record = no_record }, err) : NULL;
    if (sim) {
        double blocks = (double)config->hbm_blocks * config->instance_count + kv_dry_chunks(config);
        double memory_bytes = (double)kv_memory_used_bytes() - (double)config->compute->state_bytes
                              + blocks * BLOCK_MEMORY_BYTES;
        kv_sim_close(sim);
        struct kv_workload_stats stats;
        kv_workload_stats(workload, &stats);
        if (stats.assumptions[0] && !json) kv_say("kvsim: assumed: %s\n", stats.assumptions);
        good = print_all(s, &p, &l, memory_bytes, json, err);
    }
    kv_mem_give(p.state, config->compute->state_bytes);
    return good && sim;
}

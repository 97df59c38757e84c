/* SPDX-License-Identifier: Apache-2.0 */
/* A results file from its opening to its commit. docs/results.md describes what comes out. */
#include "sim/out/results.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "sim/base/version.h"

/* ---- opening, records ---- */

/* "0=default 1=chat", for flag_values and flag_meanings; blanks in a name would split it. */
static const char *slo_flags(struct kv_results *r)
{
    const struct kv_scenario *s = r->info.scenario;
    const char *text = s->slo_count ? "" : "0=default";
    for (int32_t i = 0; i < s->slo_count; i++) {
        char *name = kv_arena_text(&r->arena, "%s", s->slo[i].name);
        for (char *at = name; *at; at++) if (*at == ' ') *at = '_';
        text = kv_arena_text(&r->arena, "%s%s%d=%s", text, i ? " " : "", (int)i, name);
    }
    return text;
}

struct kv_results *kv_results_open_with(const char *path, bool force, const struct kv_run_info *info,
                                        enum kv_codec codec, struct kv_err *err)
{
    const struct kv_scenario *s = info->scenario;
    bool all = s->output.requests == KV_REQUESTS_ALL;
    struct kv_h5 *h5 = NULL;
    if (path && !(h5 = kv_h5_create(path, force, codec, err))) return NULL;
    struct kv_results *r = kv_mem_take(sizeof *r);
    r->info = *info;
    r->h5 = h5;
    kv_summary_open(&r->summary, &(struct kv_summary_config){
        .slo = s->slo, .slo_count = s->slo_count, .warmup_s = s->workload.warmup_s, .exact = all,
        .source = info->source_names, .source_count = info->source_count,
        .gpus = s->sim.instance_count * s->sim.tp,
    });
    if (h5) kv_h5_group(h5, "/meta");
    if (h5 && all) r->requests = kv_requests_open(h5, info->source_names, info->source_count, slo_flags(r));
    return r;
}

struct kv_results *kv_results_open(const char *path, bool force, const struct kv_run_info *info, struct kv_err *err)
{
    return kv_results_open_with(path, force, info, KV_CODEC_FASTEST, err);
}

static bool record(void *state, const struct kv_record *record, struct kv_err *err)
{
    struct kv_results *r = state;
    enum kv_slo_verdict slo = kv_summary_add(&r->summary, record);
    if (!r->requests) return true;
    kv_requests_add(r->requests, record, slo);
    return kv_h5_ok(r->h5, err);
}

struct kv_sink kv_results_sink(struct kv_results *r)
{
    return (struct kv_sink){r, record};
}

void kv_results_close(struct kv_results *r)
{
    if (!r) return;
    kv_requests_close(r->requests);
    kv_h5_close(r->h5);
    kv_summary_close(&r->summary);
    kv_vec_close(&r->warning);
    kv_arena_close(&r->arena);
    kv_mem_give(r, sizeof *r);
}

/* ---- meta ---- */

#ifndef KV_GIT
#define KV_GIT "unknown"
#endif
#ifndef KV_CFLAGS_TEXT
#define KV_CFLAGS_TEXT "unknown"
#endif

/* Facts of the build and texts that name files: equal results may differ in them, so they are not in the digest. */
static void write_origin(struct kv_results *r)
{
    struct kv_h5 *f = r->h5;
    const struct kv_scenario *s = r->info.scenario;
    kv_h5_undigested(f, true);
    kv_h5_text(f, "/meta/scenario_yaml", "scenario file as read", s->text ? s->text : "");
    kv_h5_text(f, "/meta/resolved_yaml", "scenario with every key in force", r->info.resolved_yaml);
    kv_h5_text(f, "/meta/set_list", "overrides of the command line, one a line", r->info.set_text);
    kv_h5_text(f, "/meta/trace_path", "trace file", s->workload.trace ? s->workload.trace : "");
    kv_h5_group(f, "/meta/build");
    kv_h5_attribute_text(f, "/meta/build", "kvsim_version", KV_VERSION);
    kv_h5_attribute_text(f, "/meta/build", "git_describe", KV_GIT);
    kv_h5_attribute_text(f, "/meta/build", "compiler", __VERSION__);
    kv_h5_attribute_text(f, "/meta/build", "cflags", KV_CFLAGS_TEXT);
    kv_h5_attribute_text(f, "/meta/build", "deflate", kv_h5_codec(f));
    kv_h5_undigested(f, false);
}

static void write_meta(struct kv_results *r)
{
    struct kv_h5 *f = r->h5;
    const struct kv_scenario *s = r->info.scenario;
    const struct kv_workload_stats *w = &r->workload;
    kv_h5_attribute_text(f, "/", "schema", "kvsim-results");
    kv_h5_attribute_text(f, "/", "schema_version", KV_RESULTS_SCHEMA);
    kv_h5_attribute_text(f, "/", "Conventions", "CF-1.8");
    kv_h5_attribute_text(f, "/", "NX_class", "NXroot");
    kv_h5_attribute_text(f, "/", "default", "plots");
    kv_h5_attribute_text(f, "/meta", "scenario_name", s->name ? s->name : "");
    kv_h5_attribute_text(f, "/meta", "status", r->end.status);
    kv_h5_attribute_int(f, "/meta", "seed", (int64_t)s->sim.seed);
    kv_h5_attribute_text(f, "/meta", "rng", "splitmix64, one sub-stream per (seed, stream, variate)");
    kv_h5_attribute_text(f, "/meta", "reader", s->workload.reader_name ? s->workload.reader_name : "");
    kv_h5_attribute_text(f, "/meta", "trace_sha256", w->reader.digest);
    kv_h5_attribute_int(f, "/meta", "trace_bytes", w->reader.bytes);
    kv_h5_attribute_int(f, "/meta", "trace_rows", w->reader.rows);
    kv_h5_attribute_int(f, "/meta", "trace_rows_failed", w->reader.failed_rows);
    kv_h5_attribute_int(f, "/meta", "trace_rows_bad", w->reader.bad_rows);
    kv_h5_attribute_int(f, "/meta", "trace_rows_outside_window", w->dropped_outside_window);
    kv_h5_attribute_int(f, "/meta", "workload_sessions", w->sessions);
    kv_h5_attribute_int(f, "/meta", "workload_turns_extending", w->turns_extending);
    kv_h5_attribute_int(f, "/meta", "workload_turns_not_extending", w->turns_not_extending);
    kv_h5_attribute_int(f, "/meta", "workload_system_prompt_requests", w->system_prompt_requests);
    kv_h5_attribute_text(f, "/meta", "workload_assumptions", w->assumptions);
    kv_h5_attribute_real(f, "/meta", "workload_span_s", (double)w->span_ns * 1e-9);
    kv_h5_attribute_real(f, "/meta", "warmup_s", s->workload.warmup_s);
    kv_h5_attribute_real(f, "/meta", "end_s", kv_tick_to_s(r->end.end_tk));
    kv_h5_attribute_int(f, "/meta", "block_tokens", s->sim.engine.block_tokens);
    kv_h5_attribute_int(f, "/meta", "instances", s->sim.instance_count);
    write_origin(r);
}

/* ---- summary, tiers, quality, plots ---- */

static void add_facts(struct kv_results *r)
{
    struct kv_summary *s = &r->summary;
    kv_summary_end(s);
    kv_summary_put_real(s, "kv_utilization.mean", "1", "KV blocks in use of all, mean over time",
                        r->view.kv_utilization_mean);
    kv_summary_put_real(s, "kv_utilization.peak", "1", "KV blocks in use of all, highest bin",
                        r->view.kv_utilization_peak);
    kv_summary_put_real(s, "gpu_busy_share", "1", "share of time that instances were busy", r->view.gpu_busy_frac);
    kv_summary_put_int(s, "steps", "1", "engine steps of the run", r->end.counters.steps);
    kv_summary_put_int(s, "blocks_evicted", "1", "cached KV blocks evicted in the run", r->end.counters.blocks_evicted);
    kv_summary_put_real(s, "end", "s", "last instant of the run", kv_tick_to_s(r->end.end_tk));
}

static void write_summary(struct kv_results *r)
{
    struct kv_h5 *f = r->h5;
    kv_h5_group(f, "/summary");
    kv_h5_attribute_text(f, "/summary", "percentiles", r->summary.config.exact
                         ? "exact, linear interpolation as numpy.percentile"
                         : "from a log-linear histogram, upper edge of the bucket, at most 0.1 % high");
    for (size_t i = 0; i < r->summary.fact.count; i++) {
        const struct kv_fact *fact = &r->summary.fact.at[i];
        const char *path = kv_arena_text(&r->arena, "/summary/%s", fact->name);
        if (fact->is_int) kv_h5_int(f, path, fact->long_name, fact->units, fact->count);
        else kv_h5_real(f, path, fact->long_name, fact->units, fact->real);
    }
}

/* Totals a tier. Only the first has a pool of its own so far; the others are known by their hits alone. */
static void write_tiers(struct kv_results *r)
{
    struct kv_h5 *f = r->h5;
    const struct kv_scenario *s = r->info.scenario;
    int32_t count = r->info.source_count - 1;
    int64_t hits[KV_SOURCES_MAX] = {0}, capacity[KV_SOURCES_MAX] = {0}, block_bytes[KV_SOURCES_MAX] = {0};
    int64_t allocated[KV_SOURCES_MAX] = {0}, evicted[KV_SOURCES_MAX] = {0};
    double ratio[KV_SOURCES_MAX], cond[KV_SOURCES_MAX], asked = (double)r->summary.prompt_tokens;
    for (int32_t i = 0; i < count; i++) {
        hits[i] = r->summary.by_source[i];
        ratio[i] = r->summary.prompt_tokens ? (double)hits[i] / (double)r->summary.prompt_tokens : (double)NAN;
        cond[i] = asked > 0 ? (double)hits[i] / asked : (double)NAN;
        asked -= (double)hits[i];
    }
    capacity[0] = s->sim.hbm_blocks * s->sim.instance_count;
    block_bytes[0] = s->hbm.block_bytes;
    allocated[0] = r->end.counters.blocks_allocated;
    evicted[0] = r->end.counters.blocks_evicted;
    const struct { struct kv_h5_column_spec spec; const void *data; } column[] = {
        {{.path = "/tiers/capacity_blocks", .long_name = "blocks of all instances", .units = "1", .type = KV_I64},
         capacity},
        {{.path = "/tiers/block_bytes", .long_name = "bytes of a block on one GPU", .units = "B", .type = KV_I64},
         block_bytes},
        {{.path = "/tiers/hit_tokens", .long_name = "prompt tokens served to measured requests", .units = "token",
          .type = KV_I64}, hits},
        {{.path = "/tiers/hit_ratio_token", .long_name = "of all their prompt tokens", .units = "1", .type = KV_F64,
          .fills = true}, ratio},
        {{.path = "/tiers/hit_ratio_token_cond", .long_name = "of the tokens not found in the tiers above",
          .units = "1", .type = KV_F64, .fills = true}, cond},
        {{.path = "/tiers/blocks_allocated", .long_name = "blocks taken in the run", .units = "1", .type = KV_I64},
         allocated},
        {{.path = "/tiers/blocks_evicted", .long_name = "blocks evicted in the run", .units = "1", .type = KV_I64},
         evicted},
    };
    kv_h5_group(f, "/tiers");
    kv_h5_texts(f, "/tiers/tier", "tiers, from the fastest", r->info.source_names, count);
    kv_h5_scale(f, "/tiers/tier", "tier");
    for (size_t i = 0; i < sizeof column / sizeof *column; i++) {
        struct kv_h5_column_spec spec = column[i].spec;
        spec.chunk_rows = count;
        kv_h5_column_all(f, &spec, column[i].data, count);
        kv_h5_attach(f, spec.path, "/tiers/tier", 0);
    }
}

static void write_quality(struct kv_results *r)
{
    struct kv_h5 *f = r->h5;
    kv_h5_group(f, "/quality");
    kv_h5_text(f, "/quality/saturation", "does the cluster keep up: STABLE, BACKLOGGED, OVERLOADED, UNKNOWN",
               kv_saturation_names[r->view.saturation]);
    kv_h5_real(f, "/quality/backlog_slope", "growth of the waiting queue, least squares, warm-up to last arrival",
               "1/s", r->view.backlog_slope_per_s);
    kv_h5_real(f, "/quality/waiting_mean", "waiting requests in that window", "1", r->view.waiting_mean);
    kv_h5_real(f, "/quality/running_mean", "running requests in that window", "1", r->view.running_mean);
    kv_h5_real(f, "/quality/extrapolation_share",
               "share of simulated GPU time priced outside the measured range of a calibration; 0: the compute model "
               "is a formula, no calibration was used", "1", 0);
    const char *warnings = "";
    for (size_t i = 0; i < r->warning.count; i++) {
        warnings = kv_arena_text(&r->arena, "%s%s\n", warnings, r->warning.at[i]);
    }
    kv_h5_text(f, "/quality/warnings", "warnings, one a line", warnings);
}

/* A NeXus plot: no data of its own, only links. `member` ends with NULL: the signal, then what is drawn with it. The
 * axis must be the dimension scale of all of them, or netCDF readers do not find their dimension in the group. */
static void write_plot(struct kv_results *r, const char *name, const char *title, const char *axes_path,
                       const char *const *member)
{
    struct kv_h5 *f = r->h5;
    const char *group = kv_arena_text(&r->arena, "/plots/%s", name), *axes = strrchr(axes_path, '/') + 1;
    const char *others[8];
    int32_t count = 0;
    kv_h5_group(f, group);
    kv_h5_link(f, axes_path, kv_arena_text(&r->arena, "%s/%s", group, axes));
    for (int32_t i = 0; member[i]; i++) {
        const char *base = strrchr(member[i], '/') + 1;
        kv_h5_link(f, member[i], kv_arena_text(&r->arena, "%s/%s", group, base));
        if (i) others[count++] = base;
    }
    kv_h5_attribute_text(f, group, "NX_class", "NXdata");
    kv_h5_attribute_text(f, group, "title", title);
    kv_h5_attribute_text(f, group, "signal", strrchr(member[0], '/') + 1);
    kv_h5_attribute_text(f, group, "axes", axes);
    if (count) kv_h5_attribute_texts(f, group, "auxiliary_signals", others, count);
}

static void write_plots(struct kv_results *r)
{
    const char *first = r->end.bins.count ? "queues" : "request_queue";
    kv_h5_group(r->h5, "/plots");
    kv_h5_attribute_text(r->h5, "/plots", "NX_class", "NXentry");
    if (r->end.bins.count || r->requests) kv_h5_attribute_text(r->h5, "/plots", "default", first);
    if (r->end.bins.count) {
        write_plot(r, "queues", "Waiting and running requests", "/timeseries/time",
                   (const char *const[]){"/timeseries/waiting", "/timeseries/running", NULL});
        write_plot(r, "kv_blocks", "KV blocks in use, cached and free", "/timeseries/time",
                   (const char *const[]){"/timeseries/active_blocks", "/timeseries/inactive_blocks",
                                         "/timeseries/free_blocks", NULL});
        write_plot(r, "tokens", "Tokens computed a second", "/timeseries/time",
                   (const char *const[]){"/timeseries/prefill_tokens_per_s", "/timeseries/decode_tokens_per_s", NULL});
        write_plot(r, "cache", "Prompt tokens and those found in the cache", "/timeseries/time",
                   (const char *const[]){"/timeseries/prompt_tokens", "/timeseries/hit_tokens", NULL});
    }
    if (r->requests) {
        write_plot(r, "request_queue", "Time in the queue by request", "/requests/request",
                   (const char *const[]){"/requests/t_queue", NULL});
    }
}

/* ---- the end ---- */

static void collect_warnings(struct kv_results *r)
{
    const struct kv_reader_stats *reader = &r->workload.reader;
    for (const char *at = r->info.warnings ? r->info.warnings : ""; *at;) {
        size_t length = strcspn(at, "\n");
        if (length) kv_vec_push(&r->warning, kv_arena_copy(&r->arena, at, length));
        at += length + (at[length] == '\n');
    }
    if (reader->bad_rows) {
        kv_vec_push(&r->warning, kv_arena_text(&r->arena, "%lld damaged rows of the trace were left out",
                                               (long long)reader->bad_rows));
    }
    if (r->view.saturation == KV_OVERLOADED) {
        kv_vec_push(&r->warning, kv_arena_text(&r->arena, "the queue grew by %.3g requests a second: latencies "
                                               "depend on how long the run was", r->view.backlog_slope_per_s));
    }
    if (!r->summary.measured) kv_vec_push(&r->warning, "no request arrived after the warm-up: nothing to sum up");
}

bool kv_results_end(struct kv_results *r, const struct kv_run_end *end, struct kv_err *err)
{
    r->end = *end;
    r->workload = *end->workload;
    r->end.workload = &r->workload;
    r->view = kv_bins_look(&end->bins, r->summary.warmup_tk, r->summary.last_arrival_tk);
    add_facts(r);
    collect_warnings(r);
    if (!r->h5) return true;
    if (r->requests) r->rows = kv_requests_end(r->requests);
    kv_bins_write(r->h5, &end->bins);
    write_tiers(r);
    write_summary(r);
    write_quality(r);
    write_plots(r);
    write_meta(r);
    return kv_h5_commit(r->h5, r->digest, err);
}

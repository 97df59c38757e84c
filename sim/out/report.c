/* SPDX-License-Identifier: Apache-2.0 */
/* The result table, at most 80 columns, and the same numbers as JSON. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "sim/out/format.h"
#include "sim/out/results.h"

#define COLUMNS_MAX 80
#define LABEL_COLUMNS 12

struct text { struct kv_arena *arena; KV_VEC(char) out; };

static void add(struct text *t, const char *piece)
{
    size_t length = strlen(piece);
    kv_vec_reserve(&t->out, t->out.count + length + 1);
    memcpy(t->out.at + t->out.count, piece, length + 1);
    t->out.count += length;
}

static const char *finish(struct text *t)
{
    const char *copy = kv_arena_copy(t->arena, t->out.at, t->out.count);
    kv_vec_close(&t->out);
    return copy;
}

/* "label       words, wrapped at 80 columns under themselves". */
static void add_line(struct text *t, const char *label, const char *words)
{
    char head[LABEL_COLUMNS + 1];
    snprintf(head, sizeof head, "%-*s", LABEL_COLUMNS, label);
    add(t, head);
    size_t column = LABEL_COLUMNS;
    for (bool first = true; *words; first = false) {
        size_t length = strcspn(words, " ");
        if (!first && column + 1 + length > COLUMNS_MAX) {
            snprintf(head, sizeof head, "%-*s", LABEL_COLUMNS, "");
            add(t, "\n");
            add(t, head);
            column = LABEL_COLUMNS;
        } else if (!first) {
            add(t, " ");
            column++;
        }
        add(t, kv_arena_copy(t->arena, words, length));
        column += length;
        words += length;
        words += strspn(words, " ");
    }
    add(t, "\n");
}

static double real(const struct kv_results *r, const char *name)
{
    const struct kv_fact *fact = kv_summary_fact(&r->summary, name);
    kv_assert(fact);
    return fact->is_int ? (double)fact->count : fact->real;
}

static void add_latencies(struct kv_results *r, struct text *t)
{
    static const char *const label[KV_METRIC_COUNT] = {"TTFT", "TPOT", "E2E", "queue"};
    add(t, kv_arena_text(t->arena, "%-*s%11s%11s%11s%11s%11s%11s\n", LABEL_COLUMNS, "", "mean", "p50", "p90", "p95",
                         "p99", "max"));
    for (int32_t i = 0; i < KV_METRIC_COUNT; i++) {
        const struct kv_spread_view *v = &r->summary.view[i];
        const double value[] = {v->mean, v->p50, v->p90, v->p95, v->p99, v->max};
        add(t, kv_arena_text(t->arena, "%-*s", LABEL_COLUMNS, label[i]));
        for (size_t k = 0; k < sizeof value / sizeof *value; k++) {
            char text[KV_FORMAT_MAX];
            add(t, kv_arena_text(t->arena, "%11s", kv_format_duration(text, value[k])));
        }
        add(t, "\n");
    }
    if (!r->summary.config.exact) add_line(t, "", "(percentiles from a histogram, at most 0.1 % high)");
}

static void add_requests(struct kv_results *r, struct text *t)
{
    const struct kv_summary *s = &r->summary;
    char count[6][KV_FORMAT_MAX], rate[3][KV_FORMAT_MAX], time[2][KV_FORMAT_MAX];
    int64_t left_out = s->ended[KV_STATUS_FINISHED] + s->ended[KV_STATUS_REJECTED] + s->ended[KV_STATUS_UNFINISHED]
                       - s->measured;
    add_line(t, "requests", kv_arena_text(t->arena, "%s finished, %s rejected, %s failed in the trace, %s unfinished",
                                          kv_format_count(count[0], s->ended[KV_STATUS_FINISHED]),
                                          kv_format_count(count[1], s->ended[KV_STATUS_REJECTED]),
                                          kv_format_count(count[2], s->ended[KV_STATUS_FAILED]),
                                          kv_format_count(count[3], s->ended[KV_STATUS_UNFINISHED])));
    if (s->warmup_tk) {
        add_line(t, "warm-up", kv_arena_text(t->arena, "%s of %s requests arrived in the first %s and are left out",
                                             kv_format_count(count[4], left_out),
                                             kv_format_count(count[5], left_out + s->measured),
                                             kv_format_duration(time[0], s->config.warmup_s)));
    }
    add_line(t, "throughput", kv_arena_text(t->arena, "%s requests/s, %s output tokens/s, %s tokens/s in all, over %s",
                                            kv_format_rate(rate[0], real(r, "request_throughput")),
                                            kv_format_rate(rate[1], real(r, "output_token_throughput")),
                                            kv_format_rate(rate[2], real(r, "total_token_throughput")),
                                            kv_format_duration(time[1], real(r, "duration"))));
}

/* "ttft <= 2 s, tpot <= 50 ms"; "" when nothing is bound. */
static const char *bounds(struct kv_arena *arena, const struct kv_slo_class *slo)
{
    const double bound[] = {slo->ttft_s, slo->tpot_s, slo->e2e_s};
    static const char *const name[] = {"ttft", "tpot", "e2e"};
    const char *text = "";
    for (int32_t i = 0; i < 3; i++) {
        if (!(bound[i] > 0)) continue;
        double scaled = bound[i] < 1 ? bound[i] * 1e3 : bound[i];
        text = kv_arena_text(arena, "%s%s%s <= %g %s", text, *text ? ", " : "", name[i], scaled,
                             bound[i] < 1 ? "ms" : "s");
    }
    return text;
}

static void add_slo(struct kv_results *r, struct text *t)
{
    const struct kv_summary *s = &r->summary;
    char rate[KV_FORMAT_MAX], share[KV_FORMAT_MAX], count[KV_FORMAT_MAX];
    double goodput = real(r, "goodput");
    if (isnan(goodput)) return;
    add_line(t, "goodput", kv_arena_text(t->arena, "%s requests/s; %s of %s requests met their SLO",
                                         kv_format_rate(rate, goodput),
                                         kv_format_percent(share, real(r, "slo_attainment")),
                                         kv_format_count(count, (int64_t)real(r, "slo_judged"))));
    for (int32_t i = 0; i < s->config.slo_count; i++) {
        const char *bound = bounds(t->arena, &s->config.slo[i]);
        if (!*bound || !s->slo[i].judged) continue;
        add_line(t, "", kv_arena_text(t->arena, "%s (%s): %s of %s", s->config.slo[i].name, bound,
                                      kv_format_percent(share, (double)s->slo[i].good / (double)s->slo[i].judged),
                                      kv_format_count(count, s->slo[i].judged)));
    }
}

static void add_cache(struct kv_results *r, struct text *t)
{
    const struct kv_summary *s = &r->summary;
    char share[3][KV_FORMAT_MAX], count[3][KV_FORMAT_MAX];
    const char *sources = "";
    for (int32_t i = 0; i < s->config.source_count; i++) {
        double part = s->prompt_tokens ? (double)s->by_source[i] / (double)s->prompt_tokens : (double)NAN;
        sources = kv_arena_text(t->arena, "%s%s %s, ", sources, s->config.source[i], kv_format_percent(share[0], part));
    }
    add_line(t, "prompt from", kv_arena_text(t->arena, "%sof %s tokens", sources,
                                             kv_format_count(count[0], s->prompt_tokens)));
    add_line(t, "hit ratio", kv_arena_text(t->arena, "%.4f by token, %.4f mean per request; %s of requests had a hit",
                                           real(r, "hit_ratio_token"), real(r, "hit_ratio_request_mean"),
                                           kv_format_percent(share[0], real(r, "hit_ratio_request"))));
    if (r->end.bins.count) {
        add_line(t, "KV blocks", kv_arena_text(t->arena, "%s in use on average, %s at most; %s evicted",
                                               kv_format_percent(share[0], r->view.kv_utilization_mean),
                                               kv_format_percent(share[1], r->view.kv_utilization_peak),
                                               kv_format_count(count[0], r->end.counters.blocks_evicted)));
    }
    add_line(t, "preemptions", kv_arena_text(t->arena, "%s; %s tokens computed again",
                                             kv_format_count(count[1], s->preemptions),
                                             kv_format_count(count[2], s->recomputed_tokens)));
}

static void add_verdict(struct kv_results *r, struct text *t)
{
    char share[KV_FORMAT_MAX];
    const struct kv_bins_view *v = &r->view;
    if (r->end.bins.count) {
        add_line(t, "GPU", kv_arena_text(t->arena, "busy %s of the time", kv_format_percent(share, v->gpu_busy_frac)));
    }
    if (v->saturation != KV_SATURATION_UNKNOWN) {
        const char *growth = v->backlog_slope_per_s < 0.0005 ? "did not grow"
                           : kv_arena_text(t->arena, "grew by %.3g requests/s", v->backlog_slope_per_s);
        add_line(t, "load", kv_arena_text(t->arena, "%s: on average %.1f requests waiting and %.1f running; the queue "
                                          "%s", kv_saturation_names[v->saturation], v->waiting_mean, v->running_mean,
                                          growth));
    }
    if (*r->workload.assumptions) add_line(t, "assumed", r->workload.assumptions);
    for (size_t i = 0; i < r->warning.count; i++) add_line(t, "warning", r->warning.at[i]);
}

const char *kv_results_table(struct kv_results *r, struct kv_arena *arena)
{
    struct text t = {.arena = arena};
    char count[KV_FORMAT_MAX], time[KV_FORMAT_MAX];
    const struct kv_scenario *s = r->info.scenario;
    add(&t, kv_arena_text(arena, "%.40s: %s requests in %s of simulated time%s%s\n\n", s->name ? s->name : "run",
                          kv_format_count(count, (int64_t)real(r, "requests")),
                          kv_format_duration(time, kv_tick_to_s(r->end.end_tk)),
                          strcmp(r->end.status, "complete") ? ", " : "",
                          strcmp(r->end.status, "complete") ? r->end.status : ""));
    add_latencies(r, &t);
    add(&t, "\n");
    add_requests(r, &t);
    add_slo(r, &t);
    add_cache(r, &t);
    add_verdict(r, &t);
    return finish(&t);
}

/* ---- JSON ---- */

static void json_pair(struct text *t, bool *first, const char *name, const char *value)
{
    add(t, kv_arena_text(t->arena, "%s%s: %s", *first ? "" : ", ", kv_format_json(t->arena, name), value));
    *first = false;
}

static const char *json_real(struct kv_arena *arena, double value)
{
    char text[KV_FORMAT_MAX];
    return isnan(value) ? "null" : kv_arena_text(arena, "%s", kv_format_real(text, value));
}

const char *kv_results_json(struct kv_results *r, struct kv_arena *arena)
{
    struct text t = {.arena = arena};
    const struct kv_scenario *s = r->info.scenario;
    bool first = true;
    add(&t, "{");
    json_pair(&t, &first, "schema", "\"kvsim-results\"");
    json_pair(&t, &first, "schema_version", "\"" KV_RESULTS_SCHEMA "\"");
    json_pair(&t, &first, "scenario", kv_format_json(arena, s->name ? s->name : ""));
    json_pair(&t, &first, "status", kv_format_json(arena, r->end.status));
    json_pair(&t, &first, "seed", kv_arena_text(arena, "%llu", (unsigned long long)s->sim.seed));
    json_pair(&t, &first, "trace_sha256", kv_format_json(arena, r->workload.reader.digest));
    if (*r->digest) json_pair(&t, &first, "content_sha256", kv_format_json(arena, r->digest));
    json_pair(&t, &first, "percentiles", r->summary.config.exact ? "\"exact\"" : "\"histogram\"");
    add(&t, ", \"summary\": {");
    first = true;
    for (size_t i = 0; i < r->summary.fact.count; i++) {
        const struct kv_fact *fact = &r->summary.fact.at[i];
        json_pair(&t, &first, fact->name, fact->is_int ? kv_arena_text(arena, "%lld", (long long)fact->count)
                                                       : json_real(arena, fact->real));
    }
    add(&t, "}, \"quality\": {");
    first = true;
    json_pair(&t, &first, "saturation", kv_format_json(arena, kv_saturation_names[r->view.saturation]));
    json_pair(&t, &first, "backlog_slope", json_real(arena, r->view.backlog_slope_per_s));
    json_pair(&t, &first, "waiting_mean", json_real(arena, r->view.waiting_mean));
    json_pair(&t, &first, "running_mean", json_real(arena, r->view.running_mean));
    json_pair(&t, &first, "extrapolation_share", json_real(arena, r->end.extrapolation_share));
    add(&t, ", \"warnings\": [");
    for (size_t i = 0; i < r->warning.count; i++) {
        add(&t, i ? ", " : "");
        add(&t, kv_format_json(arena, r->warning.at[i]));
    }
    add(&t, kv_arena_text(arena, "]}, \"assumptions\": %s}", kv_format_json(arena, r->workload.assumptions)));
    return finish(&t);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The result table, at most 80 columns, and the same numbers as JSON. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "sim/out/format.h"
#include "sim/out/results.h"

#define COLUMNS_MAX 80
#define LABEL_COLUMNS 12
#define LINKS_SHOWN 5

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

static const char *plain(char text[KV_FORMAT_MAX], const char *format, double value)
{
    if (isnan(value)) return "-";
    snprintf(text, KV_FORMAT_MAX, format, value);
    return text;
}

/* Does the run have anything but HBM: tiers below it, or a hand-over? */
static bool fetches(const struct kv_results *r)
{
    return r->tiers.rows > 1 || r->end.counters.fetches;
}

static void add_latencies(struct kv_results *r, struct text *t)
{
    static const char *const label[KV_METRIC_COUNT] = {"TTFT", "TPOT", "E2E", "queue", "fetch stall", "induced"};
    add(t, kv_arena_text(t->arena, "%-*s%11s%11s%11s%11s%11s%11s\n", LABEL_COLUMNS, "", "mean", "p50", "p90", "p95",
                         "p99", "max"));
    for (int32_t i = 0; i < KV_METRIC_COUNT; i++) {
        const struct kv_spread_view *v = &r->summary.view[i];
        if (i >= KV_METRIC_FETCH_STALL && !fetches(r)) continue;
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
    add_line(t, "hit ratio", kv_arena_text(t->arena, "%s by token, %s mean per request; %s of requests had a hit",
                                           plain(count[1], "%.4f", real(r, "hit_ratio_token")),
                                           plain(count[2], "%.4f", real(r, "hit_ratio_request_mean")),
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

/* ---- tiers and links ---- */

static double cell(const struct kv_totals *totals, int32_t row, const char *column)
{
    const struct kv_fact *fact = kv_totals_cell(totals, row, column);
    kv_assert(fact);
    return fact->is_int ? (double)fact->count : fact->real;
}

static void add_tiers(struct kv_results *r, struct text *t)
{
    const struct kv_totals *all = &r->tiers;
    add(t, kv_arena_text(t->arena, "\n%-11s%15s%9s%9s%12s%7s%9s%8s\n", "tier", "hit ratio", "read", "written",
                         "moved/used", "full", "evicted", "dropped"));
    add(t, kv_arena_text(t->arena, "%-11s%7s%8s%30s\n", "", "of all", "of rest", "read  write"));
    for (int32_t i = 0; i < all->rows; i++) {
        char text[9][KV_FORMAT_MAX];
        add(t, kv_arena_text(t->arena, "%-11.10s%7s%8s%9s%9s%6s%6s%7s%9s%8s\n", all->row[i],
                             plain(text[0], "%.4f", cell(all, i, "hit_ratio_token")),
                             plain(text[1], "%.4f", cell(all, i, "hit_ratio_token_cond")),
                             kv_format_bytes(text[2], cell(all, i, "read_bytes")),
                             kv_format_bytes(text[3], cell(all, i, "written_bytes")),
                             plain(text[4], "%.2f", cell(all, i, "read_amplification")),
                             plain(text[5], "%.2f", cell(all, i, "write_amplification")),
                             plain(text[6], "%.0f %%", 100 * cell(all, i, "occupancy_mean")),
                             kv_format_short(text[7], (int64_t)cell(all, i, "evicted_chunks")),
                             kv_format_short(text[8], (int64_t)cell(all, i, "dropped_chunks"))));
    }
    add(t, "\n");
}

static void add_links(struct kv_results *r, struct text *t)
{
    int32_t count;
    const int32_t *link = kv_links_by_use(&r->links, LINKS_SHOWN, &count, t->arena);
    if (!count) return;
    const char *rest = r->links.rows > count ? kv_arena_text(t->arena, "link (%d of %d, the fullest)", (int)count,
                                                             (int)r->links.rows) : "link";
    add(t, kv_arena_text(t->arena, "%-30s%14s%11s%8s%8s%9s\n", rest, "rate", "carried", "mean", "peak", "flows"));
    for (int32_t i = 0; i < count; i++) {
        char text[5][KV_FORMAT_MAX];
        add(t, kv_arena_text(t->arena, "%-30.29s%12s/s%11s%8s%8s%9s\n", r->links.row[link[i]],
                             kv_format_bytes(text[0], cell(&r->links, link[i], "capacity")),
                             kv_format_bytes(text[1], cell(&r->links, link[i], "bytes")),
                             kv_format_percent(text[2], cell(&r->links, link[i], "utilization_mean")),
                             kv_format_percent(text[3], cell(&r->links, link[i], "utilization_peak")),
                             kv_format_rate(text[4], cell(&r->links, link[i], "flows_mean"))));
    }
    add(t, "\n");
}

static const char *seconds(char text[KV_FORMAT_MAX], double value)
{
    return value < 0.01 ? plain(text, "%.2g", value) : kv_format_rate(text, value);
}

/* Did reuse pay? */
static void add_reuse(struct kv_results *r, struct text *t)
{
    const struct kv_counters *c = &r->end.counters;
    char time[3][KV_FORMAT_MAX], count[6][KV_FORMAT_MAX];
    double saved_s = real(r, "gpu_time_saved"), stall_s = real(r, "stall_time");
    if (saved_s > 0 || stall_s > 0) {
        const char *words = kv_arena_text(t->arena, "hits saved %s GPU-s, cost %s stall-s", seconds(count[0], saved_s),
                                          seconds(count[1], stall_s));
        if (stall_s > 0) {
            words = kv_arena_text(t->arena, "%s (%s for own KV, %s for the layers of others)", words,
                                  kv_format_duration(time[0], kv_tick_to_s(c->fetch_stall_tk)),
                                  kv_format_duration(time[1], kv_tick_to_s(c->induced_stall_tk)));
        }
        add_line(t, "reuse", words);
    }
    if (!c->fetches) return;
    add_line(t, "loads", kv_arena_text(t->arena, "%s; %s cut short by the policy, %s given up; %s requests waited for "
                                       "another's load, %s gave blocks back, %s were handed over",
                                       kv_format_count(count[0], c->fetches),
                                       kv_format_count(count[1], c->fetch_timeouts),
                                       kv_format_count(count[2], c->fetch_cancels),
                                       kv_format_count(count[3], c->delayed_hits),
                                       kv_format_count(count[4], c->given_back),
                                       kv_format_count(count[5], c->handed_over)));
    add_line(t, "fetches", kv_arena_text(t->arena, "%s under way in all, %s of it overlapped with other work",
                                         kv_format_duration(time[0], real(r, "fetch_time")),
                                         kv_format_percent(count[0], real(r, "overlap_efficiency"))));
}

/* What stores that serve many have to say. */
static void add_stores(struct kv_results *r, struct text *t)
{
    char count[KV_FORMAT_MAX], usd[KV_FORMAT_MAX];
    double refused = real(r, "refused_accesses"), cost = real(r, "store_cost");
    if (refused > 0)
        add_line(t, "503", kv_arena_text(t->arena, "stores refused accesses %s times; they came again",
                                         kv_format_count(count, (int64_t)refused)));
    if (cost > 0)
        add_line(t, "cost", kv_arena_text(t->arena, "%s USD for requests to stores and what they held",
                                          kv_format_rate(usd, cost)));
}

static void add_load(struct kv_results *r, struct text *t)
{
    const struct kv_bins_view *v = &r->view;
    bool fetching = fetches(r);
    const char *words = kv_arena_text(t->arena, "%s: on average %.1f requests waiting",
                                      kv_saturation_names[v->saturation], v->waiting_mean);
    if (fetching) words = kv_arena_text(t->arena, "%s, %.1f fetching", words, v->fetching_mean);
    words = kv_arena_text(t->arena, "%s and %.1f running; the %s ", words, v->running_mean,
                          fetching ? "backlog" : "queue");
    if (v->backlog_slope_per_s < 0.0005) words = kv_arena_text(t->arena, "%sdid not grow", words);
    else words = kv_arena_text(t->arena, "%sgrew by %.3g requests/s", words, v->backlog_slope_per_s);
    add_line(t, "load", words);
    for (int32_t i = 0; i < v->limit_count; i++) add_line(t, i ? "" : "limit", v->limit[i]);
}

static void add_verdict(struct kv_results *r, struct text *t)
{
    char share[KV_FORMAT_MAX];
    const struct kv_bins_view *v = &r->view;
    if (r->end.bins.count) {
        add_line(t, "GPU", kv_arena_text(t->arena, "busy %s of the time", kv_format_percent(share, v->gpu_busy_frac)));
    }
    if (v->saturation != KV_SATURATION_UNKNOWN) add_load(r, t);
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
    if (fetches(r)) add_tiers(r, &t);
    add_links(r, &t);
    add_reuse(r, &t);
    add_stores(r, &t);
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

static const char *json_fact(struct kv_arena *arena, const struct kv_fact *fact)
{
    if (!fact->is_int) return json_real(arena, fact->real);
    return fact->count == -1 ? "null" : kv_arena_text(arena, "%lld", (long long)fact->count);
}

/* {"dram": {"hit_tokens": 12, ..}, ..} */
static void json_totals(struct text *t, const struct kv_totals *totals)
{
    bool first_row = true;
    add(t, kv_arena_text(t->arena, ", \"%ss\": {", totals->what));
    for (int32_t i = 0; i < totals->rows; i++) {
        bool first = true;
        json_pair(t, &first_row, totals->row[i], "{");
        for (int32_t c = 0; c < totals->columns; c++) {
            const struct kv_fact *fact = &totals->fact[i * totals->columns + c];
            json_pair(t, &first, fact->name, json_fact(t->arena, fact));
        }
        add(t, "}");
    }
    add(t, "}");
}

static void json_texts(struct text *t, const char *name, const char *const *list, size_t count)
{
    add(t, kv_arena_text(t->arena, ", \"%s\": [", name));
    for (size_t i = 0; i < count; i++) {
        add(t, i ? ", " : "");
        add(t, kv_format_json(t->arena, list[i]));
    }
    add(t, "]");
}

static void json_quality(struct kv_results *r, struct text *t)
{
    const struct kv_net_counters *n = &r->end.net;
    const struct { const char *name; int64_t count; } net[] = {
        {"net_flows", n->flows}, {"net_settles", n->settles}, {"net_single_bottleneck", n->single_bottleneck},
        {"net_progressive", n->progressive}, {"net_skipped_links", n->skipped_links},
    };
    bool first = true;
    add(t, ", \"quality\": {");
    json_pair(t, &first, "saturation", kv_format_json(t->arena, kv_saturation_names[r->view.saturation]));
    json_pair(t, &first, "backlog_slope", json_real(t->arena, r->view.backlog_slope_per_s));
    json_pair(t, &first, "waiting_mean", json_real(t->arena, r->view.waiting_mean));
    json_pair(t, &first, "fetching_mean", json_real(t->arena, r->view.fetching_mean));
    json_pair(t, &first, "running_mean", json_real(t->arena, r->view.running_mean));
    json_pair(t, &first, "extrapolation_share", json_real(t->arena, r->end.extrapolation_share));
    for (size_t i = 0; i < sizeof net / sizeof *net; i++) {
        json_pair(t, &first, net[i].name, kv_arena_text(t->arena, "%lld", (long long)net[i].count));
    }
    json_texts(t, "limits", r->view.limit, (size_t)r->view.limit_count);
    json_texts(t, "warnings", r->warning.at, r->warning.count);
    add(t, "}");
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
        json_pair(&t, &first, r->summary.fact.at[i].name, json_fact(arena, &r->summary.fact.at[i]));
    }
    add(&t, "}");
    json_totals(&t, &r->tiers);
    json_totals(&t, &r->links);
    json_quality(r, &t);
    add(&t, kv_arena_text(arena, ", \"assumptions\": %s}", kv_format_json(arena, r->workload.assumptions)));
    return finish(&t);
}

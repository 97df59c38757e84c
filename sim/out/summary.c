/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/out/summary.h"

#include <math.h>
#include <string.h>

const char *const kv_metric_names[KV_METRIC_COUNT] = {"ttft", "tpot", "e2e", "queue", "fetch_stall",
                                                       "induced_stall"};

static kv_tick bound_tk(double seconds)
{
    if (!(seconds > 0)) return 0;
    double ticks = seconds * (double)KV_TICKS_PER_S;
    return ticks < (double)KV_TICK_LIMIT ? (kv_tick)(ticks + 0.5) : KV_TICK_LIMIT;
}

void kv_summary_open(struct kv_summary *s, const struct kv_summary_config *config)
{
    *s = (struct kv_summary){.config = *config, .first_arrival_tk = -1, .last_arrival_tk = -1,
                             .last_finish_tk = -1};
    s->warmup_tk = bound_tk(config->warmup_s);
    for (int32_t i = 0; i < config->slo_count; i++) {
        s->slo_tk[i][0] = bound_tk(config->slo[i].ttft_s);
        s->slo_tk[i][1] = bound_tk(config->slo[i].tpot_s);
        s->slo_tk[i][2] = bound_tk(config->slo[i].e2e_s);
    }
    for (int32_t i = 0; i < KV_METRIC_COUNT; i++) kv_spread_open(&s->metric[i], config->exact);
}

void kv_summary_close(struct kv_summary *s)
{
    for (int32_t i = 0; i < KV_METRIC_COUNT; i++) kv_spread_close(&s->metric[i]);
    kv_vec_close(&s->fact);
    kv_arena_close(&s->arena);
}

/* Bounds are inclusive and all must hold (vLLM's goodput, DistServe's attainment). A single output token has no
 * time per output token: it counts as 0, as in vLLM. Whoever did not finish has missed; a row that had failed in
 * the trace was never ours to serve. */
static enum kv_slo_verdict judge(const struct kv_summary *s, const struct kv_record *r)
{
    if (r->slo_class >= s->config.slo_count || r->status == KV_STATUS_FAILED) return KV_SLO_NONE;
    const kv_tick *bound = s->slo_tk[r->slo_class];
    if (!bound[0] && !bound[1] && !bound[2]) return KV_SLO_NONE;
    if (r->status != KV_STATUS_FINISHED) return KV_SLO_MISSED;
    if (bound[0] && r->first_token_tk - r->arrival_tk > bound[0]) return KV_SLO_MISSED;
    kv_cost decode_bound = (kv_cost)bound[1] * (r->generated_tokens - 1);
    if (bound[1] && r->finish_tk - r->first_token_tk > decode_bound) return KV_SLO_MISSED;
    if (bound[2] && r->finish_tk - r->arrival_tk > bound[2]) return KV_SLO_MISSED;
    return KV_SLO_MET;
}

static void add_finished(struct kv_summary *s, const struct kv_record *r)
{
    s->finished++;
    s->input_tokens += r->prompt_tokens;
    s->output_tokens += r->generated_tokens;
    if (r->finish_tk > s->last_finish_tk) s->last_finish_tk = r->finish_tk;
    kv_spread_add(&s->metric[KV_METRIC_TTFT], (double)(r->first_token_tk - r->arrival_tk));
    kv_spread_add(&s->metric[KV_METRIC_E2E], (double)(r->finish_tk - r->arrival_tk));
    kv_spread_add(&s->metric[KV_METRIC_QUEUE], (double)r->queue_tk);
    kv_spread_add(&s->metric[KV_METRIC_FETCH_STALL], (double)r->fetch_stall_tk);
    kv_spread_add(&s->metric[KV_METRIC_INDUCED_STALL], (double)r->induced_stall_tk);
    if (r->generated_tokens > 1) {
        kv_spread_add(&s->metric[KV_METRIC_TPOT],
                      (double)(r->finish_tk - r->first_token_tk) / (double)(r->generated_tokens - 1));
    }
}

static void add_admitted(struct kv_summary *s, const struct kv_record *r)
{
    int32_t compute = s->config.source_count - 1;
    int64_t cached = r->prompt_tokens - r->prompt_tokens_by_source[compute];
    s->admitted++;
    s->hits += cached > 0;
    s->prompt_tokens += r->prompt_tokens;
    for (int32_t i = 0; i <= compute; i++) s->by_source[i] += r->prompt_tokens_by_source[i];
    if (r->prompt_tokens > 0) s->hit_ratio_sum += (double)cached / (double)r->prompt_tokens;
}

enum kv_slo_verdict kv_summary_add(struct kv_summary *s, const struct kv_record *r)
{
    enum kv_slo_verdict verdict = judge(s, r);
    s->ended[r->status]++;
    if (r->arrival_tk < s->warmup_tk || r->status == KV_STATUS_FAILED) return verdict;
    s->measured++;
    if (s->first_arrival_tk < 0 || r->arrival_tk < s->first_arrival_tk) s->first_arrival_tk = r->arrival_tk;
    if (r->arrival_tk > s->last_arrival_tk) s->last_arrival_tk = r->arrival_tk;
    s->preemptions += r->preemptions;
    s->recomputed_tokens += r->recomputed_tokens;
    if (verdict != KV_SLO_NONE) {
        s->slo[r->slo_class].judged++;
        s->slo[r->slo_class].good += verdict == KV_SLO_MET;
    }
    if (r->first_sched_tk >= 0) add_admitted(s, r);
    if (r->status == KV_STATUS_FINISHED) add_finished(s, r);
    return verdict;
}

/* ---- the list of facts ---- */

static void put(struct kv_summary *s, struct kv_fact fact)
{
    fact.name = kv_arena_text(&s->arena, "%s", fact.name);
    fact.long_name = kv_arena_text(&s->arena, "%s", fact.long_name);
    kv_vec_push(&s->fact, fact);
}

void kv_summary_put_int(struct kv_summary *s, const char *name, const char *units, const char *long_name,
                        int64_t value)
{
    put(s, (struct kv_fact){.name = name, .units = units, .long_name = long_name, .is_int = true, .count = value});
}

void kv_summary_put_real(struct kv_summary *s, const char *name, const char *units, const char *long_name,
                         double value)
{
    put(s, (struct kv_fact){.name = name, .units = units, .long_name = long_name, .real = value});
}

const struct kv_fact *kv_summary_fact(const struct kv_summary *s, const char *name)
{
    for (size_t i = 0; i < s->fact.count; i++) {
        if (!strcmp(s->fact.at[i].name, name)) return &s->fact.at[i];
    }
    return NULL;
}

/* NaN for 0 of 0. */
static double share(double part, double whole)
{
    return whole > 0 ? part / whole : (double)NAN;
}

static void put_metric(struct kv_summary *s, enum kv_metric metric)
{
    static const char *const meaning[] = {
        "time to first token", "time per output token after the first", "arrival to last token",
        "arrival to first step, less fetch_stall", "waiting only for its own KV",
        "waiting in steps for the layers of others",
    };
    const char *name = kv_metric_names[metric];
    struct kv_spread_view v = kv_spread_end(&s->metric[metric]);
    double *const seconds[] = {&v.mean, &v.p50, &v.p90, &v.p95, &v.p99, &v.max, &v.p99_low, &v.p99_high};
    static const char *const labels[] = {"mean", "p50", "p90", "p95", "p99", "max", "p99_low", "p99_high"};
    for (size_t i = 0; i < sizeof seconds / sizeof *seconds; i++) {
        *seconds[i] /= (double)KV_TICKS_PER_S;
        kv_summary_put_real(s, kv_arena_text(&s->arena, "%s.%s", name, labels[i]), "s",
                            kv_arena_text(&s->arena, "%s: %s", meaning[metric],
                                          i < 6 ? labels[i] : "95 % confidence bound of p99"), *seconds[i]);
    }
    kv_summary_put_int(s, kv_arena_text(&s->arena, "%s.count", name), "1",
                       kv_arena_text(&s->arena, "%s: requests that have one", meaning[metric]), v.count);
    s->view[metric] = v;
}

static void put_counts(struct kv_summary *s)
{
    int64_t all = 0;
    for (int32_t i = 0; i < KV_STATUS_COUNT; i++) all += s->ended[i];
    kv_summary_put_int(s, "requests", "1", "requests of the run", all);
    for (int32_t i = 0; i < KV_STATUS_COUNT; i++) {
        kv_summary_put_int(s, kv_arena_text(&s->arena, "requests.%s", kv_status_names[i]), "1",
                           kv_arena_text(&s->arena, "requests of the run that ended as %s", kv_status_names[i]),
                           s->ended[i]);
    }
    kv_summary_put_int(s, "measured", "1", "requests injected after the warm-up", s->measured);
    kv_summary_put_int(s, "measured.finished", "1", "measured requests that finished", s->finished);
}

static void put_rates(struct kv_summary *s)
{
    kv_tick span_tk = s->last_finish_tk >= 0 ? s->last_finish_tk - s->first_arrival_tk : 0;
    double span_s = kv_tick_to_s(span_tk), output_rate = share((double)s->output_tokens, span_s);
    kv_summary_put_real(s, "duration", "s", "first arrival to last completion of measured requests", span_s);
    kv_summary_put_real(s, "request_throughput", "1/s", "finished requests over duration",
                        share((double)s->finished, span_s));
    kv_summary_put_real(s, "output_token_throughput", "token/s", "generated tokens over duration", output_rate);
    kv_summary_put_real(s, "total_token_throughput", "token/s", "prompt and generated tokens over duration",
                        share((double)(s->input_tokens + s->output_tokens), span_s));
    kv_summary_put_real(s, "tokens_s_gpu", "token/s", "generated tokens over duration and GPU",
                        share(output_rate, s->config.gpus));
    kv_summary_put_real(s, "tokens_s_user", "token/s", "1 / tpot.mean", share(1, s->view[KV_METRIC_TPOT].mean));

    struct kv_slo_tally all = {0, 0};
    for (int32_t i = 0; i < s->config.slo_count; i++) {
        all.judged += s->slo[i].judged;
        all.good += s->slo[i].good;
    }
    kv_summary_put_real(s, "goodput", "1/s", "measured requests that met all bounds of their class, over duration",
                        all.judged ? share((double)all.good, span_s) : (double)NAN);
    kv_summary_put_real(s, "slo_attainment", "1",
                        "requests that met all bounds, of the measured ones whose class has any",
                        share((double)all.good, (double)all.judged));
    kv_summary_put_int(s, "slo_judged", "1", "measured requests whose class has bounds", all.judged);
    for (int32_t i = 0; i < s->config.slo_count && s->config.slo_count > 1; i++) {
        kv_summary_put_real(s, kv_arena_text(&s->arena, "slo_attainment.%s", s->config.slo[i].name), "1",
                            "the same for one class", share((double)s->slo[i].good, (double)s->slo[i].judged));
    }
}

static void put_cache(struct kv_summary *s)
{
    int32_t compute = s->config.source_count - 1;
    double prompt = (double)s->prompt_tokens;
    kv_summary_put_int(s, "prompt_tokens", "token", "prompt tokens of measured requests that were scheduled",
                       s->prompt_tokens);
    for (int32_t i = 0; i <= compute; i++) {
        kv_summary_put_int(s, kv_arena_text(&s->arena, "prompt_tokens_by_source.%s", s->config.source[i]), "token",
                           "prompt tokens that came from there", s->by_source[i]);
    }
    kv_summary_put_real(s, "hit_ratio_token", "1", "cached prompt tokens over all prompt tokens",
                        share(prompt - (double)s->by_source[compute], prompt));
    kv_summary_put_real(s, "hit_ratio_request", "1", "share of scheduled requests with any cached token",
                        share((double)s->hits, (double)s->admitted));
    kv_summary_put_real(s, "hit_ratio_request_mean", "1", "mean over scheduled requests of their own token ratio",
                        share(s->hit_ratio_sum, (double)s->admitted));
    kv_summary_put_int(s, "preemptions", "1", "preemptions of measured requests", s->preemptions);
    kv_summary_put_int(s, "recomputed_tokens", "token", "tokens computed again after them", s->recomputed_tokens);
}

void kv_summary_end(struct kv_summary *s)
{
    put_counts(s);
    for (int32_t i = 0; i < KV_METRIC_COUNT; i++) put_metric(s, (enum kv_metric)i);
    put_rates(s);
    put_cache(s);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Synthetic load that looks like BurstGPT, from its published statistics; "stat N" below is number N of the list
 * in docs/traces.md, "BurstGPT in numbers". Needs no file.
 *
 * Two streams of *sources* start over time at a rate that follows the hour of the day and a level that changes
 * from day to day: conversations (gamma gaps, their shape by hour) and API bursts (Poisson). A source then gives
 * rows of its own: the turns of a conversation, the near-identical requests of a burst. A heap merges the live
 * sources by time, so rows come in order and memory is that of the sources alive.
 *
 * Every source and every row draws from its own sub-stream of the seed: a longer trace begins with the shorter. */
#include <gsl/gsl_randist.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "sim/base/arena.h"
#include "sim/base/rng.h"
#include "sim/iface/reader.h"
#include "sim/lib/pqueue.h"

#define HOURS 24
#define HOUR_S 3600.0
#define SPAN_MAX_S (30 * 365 * 24 * HOUR_S)

/* Share of a day's requests by hour (stat 9). */
static const double hour_share[HOURS] = {
    .0401, .0381, .0244, .0219, .0157, .0146, .0083, .0065, .0076, .0177, .0375, .0549,
    .0744, .0640, .0766, .0598, .0630, .0578, .0504, .0669, .0577, .0501, .0482, .0438,
};
/* Gamma shape of the gaps between conversations: 0.41 on quiet nights, 0.80 in the morning, 0.9 to 1.4 on a busy
 * day (stat 12). Quiet and busy are told by the hour's share. */
static double gap_shape(int32_t hour)
{
    double load = hour_share[hour] * HOURS;
    return load < 0.45 ? 0.41 : load < 1.0 ? 0.80 : 1.1;
}

/* Log-normal (mu, sigma) of tokens of conversation rows (stat 13). The fits are over all turns; `first` is the mu
 * of a prompt that does not contain a history. It lies lower, so that with the growth below all turns together
 * have the published mu and sigma (held by tests/traces/test_synth.c). */
struct length_fit { double in_mu, in_sigma, first_mu, first_sigma, out_mu, out_sigma; };
enum { CHATGPT, GPT4, MODELS };
static const char *const model_name[MODELS] = {"ChatGPT", "GPT-4"};
static const struct length_fit length_fits[][MODELS] = {
    {{5.45, 1.55, 4.49, 1.45, 5.06, 1.35}, {5.60, 1.36, 4.80, 1.25, 5.05, 1.16}},   /* file 1 */
    {{5.36, 1.28, 4.70, 1.27, 4.37, 1.16}, {5.89, 1.68, 5.21, 1.92, 5.04, 1.24}},   /* file 3 */
};
/* API rows. Prompts near 64 tokens and responses near 4, as in the burst at t = 822,291 s; the spread between
 * bursts makes the medians of the first 59,999 rows (prompt 74, response 14) come out (stat 5). */
static const double api_in_mu = 4.16, api_in_sigma = 0.235, api_out_mu = 1.386, api_out_sigma = 0.98;
/* Inside a burst rows are near-identical (prompt p50 63, p99 77). */
static const double api_in_noise = 0.06, api_out_noise = 0.40;
/* Bursts of 4 to 30 requests/s (stat 12). Their mean length is an assumption: nothing was published. */
static const double burst_rate_min = 4, burst_rate_max = 30, burst_rows_mean = 100;
/* Requests beyond these were never seen (stat 7). */
static const double input_max = 31400, output_max = 12500, total_max = 31900;
/* New tokens of a turn that extends the one before: p50 34, p90 133 (stat 15). */
static const double growth_mu = 3.5264, growth_sigma = 1.0644;
/* Think time: p50 116 s, mean 529 s (stat 14): log-normal with the p90/p50 of the gaps, redrawn beyond 4 h, which
 * gives that mean. */
static const double think_mu = 4.7536, think_sigma = 1.923, think_max_s = 4 * HOUR_S;
/* Response tokens/s of a whole call (stat 16). */
static const double tokens_per_s[MODELS] = {52, 8.7};
/* Makes up for the half second that whole seconds lose on average. */
static const double call_overhead_s = 0.5;
/* A failed row has no prompt tokens either in most cases (columns of the CSV); "most" is taken as 80 %. */
static const double failed_empty_frac = 0.8;
/* Autocorrelation 0.36 of day totals at lag 1 (stat 10) needs this of their logarithms. */
static const double level_rho = 0.46;
#define LEVEL_TERMS 16   /* rho^16 = 4e-6 */

/* P(turns <= n) for n = 1..5, then 6..20 and 21..24 (stat 14: 44 % single, p50 2, p90 5, p99 20, max 24; the mean of
 * this table is 2.99, published 2.92 and 2.72). */
static const double turns_cumulated[] = {0.44, 0.64, 0.76, 0.84, 0.90};
static const double turns_long = 0.99, turns_mean = 2.99;

struct params {
    int64_t rows, lengths;
    double duration_s, start_s, rate_per_s, api_share, gpt4_share, failures, append_share, day_cv, stamp_s;
    bool day_cycle;
};
static const char *const lengths[] = {"burstgpt_1", "burstgpt_3", NULL};
static const struct kv_param table[] = {
    {"rows", KV_DIM_COUNT, offsetof(struct params, rows), "10000", 0, 1e9, NULL, "rows; 0: until `duration`", NULL},
    {"duration", KV_DIM_TIME, offsetof(struct params, duration_s), "0s", 0, 3e7, NULL, "time covered; 0s: until `rows`",
     NULL},
    {"start", KV_DIM_TIME, offsetof(struct params, start_s), "0s", 0, 86400, NULL,
     "time of day at which the trace starts", NULL},
    {"rate", KV_DIM_PER_S, offsetof(struct params, rate_per_s), "0.271req/s", 1e-4, 1e5, NULL,
     "mean rate of rows over many days", "BurstGPT file 1: 1,429,737 rows in 61 days"},
    {"api_share", KV_DIM_FRACTION, offsetof(struct params, api_share), "0.538", 0, 1, NULL,
     "share of rows that come in API bursts", "BurstGPT, first 59,999 rows: 32,262 of API"},
    {"gpt4_share", KV_DIM_FRACTION, offsetof(struct params, gpt4_share), "0.158", 0, 1, NULL,
     "share of conversations and bursts that ask GPT-4", "BurstGPT, first 59,999 rows: 9,505"},
    {"failures", KV_DIM_FRACTION, offsetof(struct params, failures), "0.0178", 0, 1, NULL, "share of rows that failed",
     "BurstGPT README: 1,429.7 k rows, 1,404.3 k without failures"},
    {"append_share", KV_DIM_FRACTION, offsetof(struct params, append_share), "0.73", 0, 1, NULL,
     "share of later turns whose prompt contains the whole turn before", "BurstGPT file 3, first 400 rows"},
    {"lengths", KV_DIM_CHOICE, offsetof(struct params, lengths), "burstgpt_1", 0, 0, lengths,
     "which file's conversation lengths", "log-normal fits of the first rows"},
    {"day_cycle", KV_DIM_BOOL, offsetof(struct params, day_cycle), "true", 0, 0, NULL,
     "rate follows the hour of the day", "BurstGPT file 1, mean of 61 days"},
    {"day_cv", KV_DIM_NUMBER, offsetof(struct params, day_cv), "1.13", 0, 5, NULL,
     "variation of the load from day to day (standard deviation / mean)", "BurstGPT file 1, 61 days"},
    {"stamp", KV_DIM_TIME, offsetof(struct params, stamp_s), "1s", 0, 3600, NULL,
     "times are cut to multiples of this; 0s: exact", "BurstGPT has whole seconds"},
    KV_PARAM_END,
};

/* Starts of one kind of source: a renewal process in operational time, whose speed is the rate. */
struct starts {
    double rate_per_s;     /* mean over many days; 0: never */
    bool poisson;
    uint64_t stream, drawn;
    double next_s;
    int64_t level_day;     /* day of the cached level, -1: none */
    double level;
};

/* A conversation or a burst. */
struct source {
    uint64_t serial;
    double due_s;          /* its next row */
    bool api;
    int32_t model;
    int32_t rows_left, turn;
    double previous_in, previous_out;    /* conversation: last turn that was served; 0: none */
    double think_s;                      /* pause before the coming row; -1: first row */
    double base_in, base_out, gap_s;     /* burst */
};

struct synth {
    struct params p;
    uint64_t seed, source_stream, row_stream, level_stream, session_stream;
    struct starts conversations, bursts;
    struct kv_pool sources;
    struct kv_pqueue live;   /* sources by the time of their next row, in ns */
    uint64_t started;
    char session[40];
    struct kv_reader_stats stats;
};

static double normal(gsl_rng *rng)
{
    return gsl_ran_gaussian_ziggurat(rng, 1.0);
}

/* A log-normal variate cut to 1..max whole tokens, redrawn while it is larger. */
static double lognormal_tokens(gsl_rng *rng, double mu, double sigma, double max)
{
    double tokens = max;
    for (int i = 0; i < 16; i++) {
        double drawn = floor(exp(mu + sigma * normal(rng)) + 0.5);
        if (drawn <= max) {
            tokens = drawn;
            break;
        }
    }
    return tokens < 1 ? 1 : tokens;
}

/* --- starts ------------------------------------------------------------------------------------------------- */

/* Level of a day: log-normal of mean 1, an autoregressive chain of days cut after LEVEL_TERMS, so that any day
 * can be asked for (stat 10). */
static double day_level(const struct synth *s, int64_t day)
{
    double z = 0, weight = sqrt(1 - level_rho * level_rho);
    for (int32_t i = 0; i < LEVEL_TERMS; i++, weight *= level_rho) {
        struct kv_rng rng;
        z += weight * normal(kv_rng_at(&rng, s->seed, s->level_stream, (uint64_t)(day + LEVEL_TERMS - i)));
    }
    double variance = log(1 + s->p.day_cv * s->p.day_cv);
    return exp(sqrt(variance) * z - variance / 2);
}

static double rate_at(const struct synth *s, struct starts *starts, int64_t hours)
{
    int64_t day = hours / HOURS;
    if (starts->level_day != day) {
        starts->level_day = day;
        starts->level = s->p.day_cv > 0 ? day_level(s, day) : 1;
    }
    double cycle = s->p.day_cycle ? hour_share[hours % HOURS] * HOURS : 1;
    return starts->rate_per_s * cycle * starts->level;
}

static void next_start(const struct synth *s, struct starts *starts)
{
    if (starts->rate_per_s <= 0) {
        starts->next_s = INFINITY;
        return;
    }
    struct kv_rng rng;
    int64_t hours = (int64_t)(starts->next_s / HOUR_S);
    double shape = starts->poisson ? 1 : s->p.day_cycle ? gap_shape((int32_t)(hours % HOURS)) : 1;
    double operational = gsl_ran_gamma(kv_rng_at(&rng, s->seed, starts->stream, starts->drawn++), shape, 1 / shape);
    for (;; hours++) {
        double rate = rate_at(s, starts, hours), end_s = (double)(hours + 1) * HOUR_S;
        double inside = rate * (end_s - starts->next_s);
        if (operational < inside) {
            starts->next_s += operational / rate;
            return;
        }
        operational -= inside;
        starts->next_s = end_s;
    }
}

/* --- sources ------------------------------------------------------------------------------------------------ */

static int64_t to_ns(double time_s)
{
    return time_s < SPAN_MAX_S * 2 ? (int64_t)(time_s * 1e9) : INT64_MAX;
}

static void push_live(struct synth *s, uint32_t index)
{
    const struct source *source = kv_pool_at(&s->sources, index);
    kv_pqueue_push(&s->live, (struct kv_pentry){to_ns(source->due_s), (int64_t)source->serial, index});
}

static int32_t draw_turns(gsl_rng *rng)
{
    double u = gsl_rng_uniform(rng);
    for (int32_t i = 0; i < 5; i++) {
        if (u < turns_cumulated[i]) return i + 1;
    }
    double v = gsl_rng_uniform(rng);
    return u < turns_long ? 6 + (int32_t)(15 * v * v) : 21 + (int32_t)(4 * v);
}

static void start_source(struct synth *s, struct starts *starts, bool api)
{
    uint32_t index = kv_pool_take(&s->sources);
    struct source *source = kv_pool_at(&s->sources, index);
    struct kv_rng state;
    gsl_rng *rng = kv_rng_at(&state, s->seed, s->source_stream, s->started);
    *source = (struct source){.serial = s->started++, .due_s = starts->next_s, .api = api, .think_s = -1,
                              .model = gsl_rng_uniform(rng) < s->p.gpt4_share ? GPT4 : CHATGPT};
    if (api) {
        source->rows_left = 1 + (int32_t)(-burst_rows_mean * log(1 - gsl_rng_uniform(rng)));
        source->gap_s = exp(-log(burst_rate_min) - log(burst_rate_max / burst_rate_min) * gsl_rng_uniform(rng));
        source->base_in = lognormal_tokens(rng, api_in_mu, api_in_sigma, input_max);
        source->base_out = exp(api_out_mu + api_out_sigma * normal(rng));
    } else {
        source->rows_left = draw_turns(rng);
    }
    push_live(s, index);
    next_start(s, starts);
}

/* Prompt of a conversation's turn (stat 15): the turn before with its response and something new, or, where the
 * history was trimmed or the topic is new, a prompt shorter than that. */
static double draw_prompt(const struct synth *s, const struct source *source, const struct length_fit *fit,
                          gsl_rng *rng)
{
    double previous = source->previous_in + source->previous_out;
    if (previous > 0 && gsl_rng_uniform(rng) < s->p.append_share) {
        double grown = previous + lognormal_tokens(rng, growth_mu, growth_sigma, input_max);
        if (grown <= input_max) return grown;
    }
    double fresh = lognormal_tokens(rng, fit->first_mu, fit->first_sigma, input_max);
    return previous > 1 && fresh >= previous ? previous - 1 : fresh;
}

static void draw_lengths(const struct synth *s, struct source *source, gsl_rng *rng, struct kv_row *row)
{
    double in, out;
    if (source->api) {
        in = lognormal_tokens(rng, log(source->base_in), api_in_noise, input_max);
        out = lognormal_tokens(rng, log(source->base_out), api_out_noise, output_max);
    } else {
        const struct length_fit *fit = &length_fits[s->p.lengths][source->model];
        in = draw_prompt(s, source, fit, rng);
        double room = total_max - in < output_max ? total_max - in : output_max;
        out = lognormal_tokens(rng, fit->out_mu, fit->out_sigma, room);
    }
    row->failed = gsl_rng_uniform(rng) < s->p.failures;
    if (row->failed) {
        out = 0;
        if (gsl_rng_uniform(rng) < failed_empty_frac) in = 0;
    } else {
        source->previous_in = in;
        source->previous_out = out;
    }
    row->input_tokens = (int64_t)in;
    row->output_tokens = (int64_t)out;
}

/* A version 4 UUID made of the session's own random bits, as BurstGPT's ids look. */
static void write_session(struct synth *s, uint64_t serial)
{
    uint64_t high = kv_mix64_pair(s->session_stream ^ s->seed, 2 * serial);
    uint64_t low = kv_mix64_pair(s->session_stream ^ s->seed, 2 * serial + 1);
    high = (high & ~UINT64_C(0xf000)) | 0x4000;
    low = (low & ~(UINT64_C(3) << 62)) | UINT64_C(1) << 63;
    static const char hex[] = "0123456789abcdef";
    char *to = s->session;
    for (int32_t i = 0; i < 32; i++) {
        if (i == 8 || i == 12 || i == 16 || i == 20) *to++ = '-';
        uint64_t half = i < 16 ? high : low;
        *to++ = hex[(half >> (60 - 4 * (i % 16))) & 15];
    }
    *to = '\0';
}

/* Seconds as ns, cut to the stamp. */
static int64_t stamped_ns(const struct synth *s, double time_s)
{
    if (s->p.stamp_s <= 0) return (int64_t)(time_s * 1e9);
    return (int64_t)floor(time_s / s->p.stamp_s) * (int64_t)(s->p.stamp_s * 1e9 + 0.5);
}

/* The row that a source gives now, and when its next one is due. */
static void make_row(struct synth *s, uint32_t index, struct kv_row *row)
{
    struct source *source = kv_pool_at(&s->sources, index);
    struct kv_rng state;
    gsl_rng *rng = kv_rng_at(&state, s->seed, s->row_stream, (uint64_t)s->stats.rows);
    *row = (struct kv_row){.time_ns = stamped_ns(s, source->due_s), .think_ns = -1, .turn = -1,
                           .model = model_name[source->model], .api = source->api, .session = "", .slo_class = ""};
    draw_lengths(s, source, rng, row);
    double noise = exp(0.3 * normal(rng) - 0.045);   /* mean 1; its spread is an assumption */
    double elapsed_s = call_overhead_s + (double)row->output_tokens / tokens_per_s[source->model] * noise;
    row->elapsed_ns = stamped_ns(s, elapsed_s);
    double gap_s;
    if (source->api) {
        gap_s = -source->gap_s * log(1 - gsl_rng_uniform(rng));
    } else {
        write_session(s, source->serial);
        row->session = s->session;
        row->turn = source->turn++;
        if (source->think_s >= 0) row->think_ns = stamped_ns(s, source->think_s);
        do source->think_s = exp(think_mu + think_sigma * normal(rng)); while (source->think_s > think_max_s);
        gap_s = elapsed_s + source->think_s;
    }
    source->due_s += gap_s;
    if (--source->rows_left > 0) push_live(s, index);
    else kv_pool_give(&s->sources, index);
}

/* --- the reader --------------------------------------------------------------------------------------------- */

static bool open_synth(void *state, const void *params, const struct kv_reader_env *env, struct kv_err *err)
{
    struct synth *s = state;
    s->p = *(const struct params *)params;
    kv_pool_open(&s->sources, sizeof(struct source));
    if (s->p.rows == 0 && s->p.duration_s <= 0) {
        return kv_fail(err, KV_ECONFIG, "synth", "neither `rows` nor `duration` is given: the trace would never end");
    }
    s->seed = env->seed;
    s->source_stream = kv_stream("synth.source");
    s->row_stream = kv_stream("synth.row");
    s->level_stream = kv_stream("synth.level");
    s->session_stream = kv_stream("synth.session");
    s->conversations = (struct starts){.rate_per_s = s->p.rate_per_s * (1 - s->p.api_share) / turns_mean,
                                       .level_day = -1,
                                       .stream = kv_stream("synth.conversation"),
                                       .next_s = s->p.start_s};
    double rows_mean = 1 / (1 - exp(-1 / burst_rows_mean));   /* of 1 + floor(exponential) */
    s->bursts = (struct starts){.rate_per_s = s->p.rate_per_s * s->p.api_share / rows_mean,
                                .poisson = true,
                                .level_day = -1,
                                .stream = kv_stream("synth.burst"),
                                .next_s = s->p.start_s};
    next_start(s, &s->conversations);
    next_start(s, &s->bursts);
    return true;
}

static int next_row(void *state, struct kv_row *row, struct kv_err *err)
{
    struct synth *s = state;
    if (s->p.rows && s->stats.rows == s->p.rows) return 0;
    for (;;) {
        bool api = s->bursts.next_s < s->conversations.next_s;
        struct starts *first = api ? &s->bursts : &s->conversations;
        if (s->live.count && s->live.at[0].key <= to_ns(first->next_s)) break;
        start_source(s, first, api);
    }
    const struct source *source = kv_pool_at(&s->sources, s->live.at[0].value);
    if (s->p.duration_s > 0 && source->due_s >= s->p.start_s + s->p.duration_s) return 0;
    if (source->due_s > SPAN_MAX_S) return kv_fail(err, KV_ECONFIG, "synth", "the trace passes 30 years"), -1;
    make_row(s, kv_pqueue_pop(&s->live).value, row);
    s->stats.rows++;
    s->stats.failed_rows += row->failed;
    return 1;
}

static void tell_stats(const void *state, struct kv_reader_stats *out)
{
    *out = ((const struct synth *)state)->stats;
}

static void close_synth(void *state)
{
    struct synth *s = state;
    kv_pool_close(&s->sources);
    kv_pqueue_close(&s->live);
}

const struct kv_reader_ops kv_reader_synth = {
    .info = {.help = "generated load with BurstGPT's published statistics", .source = "Wang et al., arXiv 2401.17644",
             .params = table, .params_bytes = sizeof(struct params)},
    .generates = true,
    .has_sessions = true,
    .state_bytes = sizeof(struct synth),
    .open = open_synth,
    .next = next_row,
    .stats = tell_stats,
    .close = close_synth,
};

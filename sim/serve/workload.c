/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/serve/workload.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sim/lib/field.h"
#include "sim/serve/workload_parts.h"

#define NS_PER_S 1000000000

struct kv_workload {
    const struct kv_workload_config *config;
    const struct kv_slo_class *slo;
    int32_t slo_count;
    void *reader;
    struct kv_jitter jitter;
    struct kv_sessions sessions;
    struct kv_infer infer;
    struct kv_system_prompts system_prompts;
    int64_t scale_fits_ns;        /* times up to this can be multiplied by scale_num */
    int64_t scale_num, scale_den; /* 1 / rate_scale = 1e9 / round(rate_scale * 1e9), reduced */
    int64_t start_ns, end_ns;     /* window since the first row; end < 0: none */
    int64_t rows;                 /* given by the reader */
    int64_t file_start_ns;        /* time of the first row */
    int64_t base_ns;              /* jittered time of the first row kept; -1 before it */
    int64_t unserveable;          /* rows without a prompt or a response that the trace did not call failed */
    bool resident;                /* a row brought resident tokens */
    int64_t bad_rows;             /* found here, beside those of the reader */
    int32_t last_ids_tokens;      /* block size that was checked last */
    bool ended;
    struct kv_workload_stats stats;
};

/* Fills *err with the place of the row; returns false. */
static bool fail_row(const struct kv_workload *w, const struct kv_row *row, struct kv_err *err, const char *fmt, ...)
    __attribute__((format(printf, 4, 5), cold));
static bool fail_row(const struct kv_workload *w, const struct kv_row *row, struct kv_err *err, const char *fmt, ...)
{
    char where[sizeof err->where], text[sizeof err->text];
    const char *trace = w->config->trace ? w->config->trace : w->config->reader_name;
    if (row->line) snprintf(where, sizeof where, "%s:%lld", trace, (long long)row->line);
    else snprintf(where, sizeof where, "%s: row %lld", trace, (long long)w->rows);
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return kv_fail(err, KV_ETRACE, where, "%s", text);
}

static bool check_config(const struct kv_workload_config *config, struct kv_err *err)
{
    if (config->prefix == KV_PREFIX_TRACE && !config->reader->has_ids) {
        return kv_fail(err, KV_ECONFIG, "workload.prefix",
                       "'trace' needs a trace with prefix block ids; '%s' has none (use sessions or none)",
                       config->reader_name);
    }
    if (config->prefix != KV_PREFIX_SESSIONS && config->infer.on) {
        return kv_fail(err, KV_ECONFIG, "workload.prefix.infer", "only prefix sessions can use drawn sessions");
    }
    if (!(config->rate_scale >= 1e-6 && config->rate_scale <= 1e6)) {
        return kv_fail(err, KV_ECONFIG, "workload.rate_scale", "%g is not in 1e-6 .. 1e6", config->rate_scale);
    }
    return true;
}

static void reduce_scale(struct kv_workload *w, int64_t divisor)
{
    int64_t a = NS_PER_S, b = divisor;
    while (b > 0) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    w->scale_num = NS_PER_S / a;
    w->scale_den = divisor / a;
    w->scale_fits_ns = INT64_MAX / w->scale_num;
}

/* ns / rate_scale, floored, exact. The 128-bit division is ten times slower and seldom needed. */
static int64_t scaled_ns(const struct kv_workload *w, int64_t ns)
{
    if (ns <= w->scale_fits_ns) return ns * w->scale_num / w->scale_den;
    kv_u128 scaled = (kv_u128)ns * (kv_u128)w->scale_num / (kv_u128)w->scale_den;
    return scaled > INT64_MAX ? INT64_MAX : (int64_t)scaled;
}

struct kv_workload *kv_workload_open(const struct kv_workload_config *config, uint64_t seed,
                                     const struct kv_slo_class *slo, int32_t slo_count, struct kv_err *err)
{
    if (!check_config(config, err)) return NULL;
    struct kv_workload *w = kv_mem_take(sizeof *w);
    *w = (struct kv_workload){.config = config, .slo = slo, .slo_count = slo_count, .base_ns = -1};
    reduce_scale(w, llround(config->rate_scale * NS_PER_S));
    w->start_ns = llround(config->start_s * NS_PER_S);
    w->end_ns = config->end_s < 0 ? -1 : llround(config->end_s * NS_PER_S);
    kv_sessions_open(&w->sessions);
    kv_infer_open(&w->infer, &config->infer, seed);
    kv_system_prompts_open(&w->system_prompts, config, seed);
    struct kv_reader_env env = {.path = config->trace, .seed = seed, .block_tokens = config->block_tokens,
                                .skip_bad_rows = config->skip_bad_rows, .skip_digest = config->skip_digest};
    w->reader = kv_mem_take(config->reader->state_bytes);
    if (!config->reader->open(w->reader, config->reader_params, &env, err)
        || !kv_jitter_open(&w->jitter, config, seed, &env, err)) {
        kv_workload_close(w);
        return NULL;
    }
    return w;
}

void kv_workload_close(struct kv_workload *w)
{
    if (!w) return;
    kv_jitter_close(&w->jitter);
    w->config->reader->close(w->reader);
    kv_mem_give(w->reader, w->config->reader->state_bytes);
    kv_sessions_close(&w->sessions);
    kv_infer_close(&w->infer);
    kv_system_prompts_close(&w->system_prompts);
    kv_mem_give(w, sizeof *w);
}

/* The next row inside the window and its jittered time. 1, 0 at the end, -1 with *err. */
static int take_row(struct kv_workload *w, struct kv_row *row, int64_t *time_ns, struct kv_err *err)
{
    const struct kv_workload_config *c = w->config;
    for (;;) {
        if (c->limit_requests > 0 && w->stats.requests == c->limit_requests) return 0;
        int got = c->reader->next(w->reader, row, err);
        if (got <= 0) return got;
        if (w->rows++ == 0) w->file_start_ns = row->time_ns;
        *time_ns = kv_jitter_apply(&w->jitter, row->time_ns);
        int64_t since_ns = row->time_ns - w->file_start_ns;
        if (w->end_ns >= 0 && since_ns >= w->end_ns) return 0;
        if (since_ns >= w->start_ns) return 1;
        w->stats.dropped_outside_window++;
    }
}

/* Arrival since the first row kept: (t - base) / rate_scale, floored to whole ns, exact. */
static bool place_arrival(struct kv_workload *w, const struct kv_row *row, int64_t time_ns,
                          struct kv_request *request, struct kv_err *err)
{
    if (w->base_ns < 0) w->base_ns = time_ns;
    request->arrival_ns = time_ns - w->base_ns;
    request->arrival_ns = scaled_ns(w, request->arrival_ns);
    if (request->arrival_ns <= KV_TICK_LIMIT / KV_TICKS_PER_NS) return true;
    return fail_row(w, row, err, "arrives %.0f days after the first row (rate_scale %g); at most %.0f days fit",
                    (double)request->arrival_ns / (86400.0 * NS_PER_S), w->config->rate_scale,
                    (double)(KV_TICK_LIMIT / KV_TICKS_PER_NS) / (86400.0 * NS_PER_S));
}

static bool find_slo_class(const struct kv_workload *w, const struct kv_row *row, struct kv_request *request,
                           struct kv_err *err)
{
    /* A scenario without SLO classes does not tell its requests apart. */
    if (row->slo_class[0] == '\0' || w->slo_count == 0) return true;
    for (int32_t i = 0; i < w->slo_count; i++) {
        if (strcmp(w->slo[i].name, row->slo_class) == 0) {
            request->slo_class = (uint16_t)i;
            return true;
        }
    }
    char known[256] = "";
    for (int32_t i = 0, used = 0; i < w->slo_count && used < (int32_t)sizeof known; i++) {
        used += snprintf(known + used, sizeof known - (size_t)used, "%s%s", i ? ", " : "", w->slo[i].name);
    }
    return fail_row(w, row, err, "slo_class '%s' is not in the scenario (slo: %s)",
                    kv_excerpt(row->slo_class, strlen(row->slo_class)).text, known);
}

/* Trace blocks must be cut into, or joined to, whole engine blocks. */
static bool check_block_tokens(struct kv_workload *w, const struct kv_row *row, struct kv_err *err)
{
    int32_t trace = (int32_t)row->ids_tokens, engine = (int32_t)w->config->block_tokens;
    if (w->config->prefix != KV_PREFIX_TRACE || !row->ids || engine == 0 || trace == w->last_ids_tokens) return true;
    if (kv_prefix_fits(trace, engine)) {
        w->last_ids_tokens = trace;
        return true;
    }
    int32_t below, above;
    kv_prefix_nearest(trace, engine, &below, &above);
    return fail_row(w, row, err, "blocks of %d tokens cannot be cut into or joined to engine blocks of %d tokens; "
                    "nearest engine.block_tokens that fit: %d and %d", trace, engine, below, above);
}

static void set_identity(struct kv_workload *w, const struct kv_row *row, struct kv_request *request)
{
    const struct kv_workload_config *c = w->config;
    struct kv_session *session = NULL;
    uint64_t scope = (uint64_t)w->rows;   /* of local ids: a branch has those of its session */
    if (row->session[0]) {
        session = kv_sessions_find(&w->sessions, row->session, request);
        scope = session->hash;
        if (row->turn >= 0) request->turn = (uint16_t)(row->turn < UINT16_MAX ? row->turn : UINT16_MAX);
        request->branch = (uint32_t)row->branch;
        if (row->branch) session = kv_sessions_branch(&w->sessions, scope, request->branch);
        if (!request->failed) kv_sessions_turn(&w->sessions, session, request);
    } else if (c->infer.on && !row->api && !request->failed) {
        session = kv_infer_session(&w->infer, &w->sessions, w->rows, row->time_ns, request);
    }
    if (request->failed || c->prefix == KV_PREFIX_NONE) return;
    if (c->prefix == KV_PREFIX_TRACE) {
        if (!row->ids) return;
        request->prefix = (struct kv_prefix){
            .ids = row->ids, .ids_count = (uint32_t)row->ids_count, .ids_tokens = (int32_t)row->ids_tokens,
            .known_tokens = row->known_tokens < 0 ? request->input_tokens : (int32_t)row->known_tokens,
            .salt = row->ids_local ? kv_mix64_pair(scope, !session) | 1 : 0,
        };
    } else if (session) {
        request->prefix = kv_sessions_prefix(session, request, c->system_tokens);
    } else if (c->system_prompts.count > 0) {
        request->prefix = kv_system_prompts_prefix(&w->system_prompts, w->rows, request->input_tokens);
        w->stats.system_prompt_requests++;
    }
}

static bool make_request(struct kv_workload *w, const struct kv_row *row, int64_t time_ns,
                         struct kv_request *request, struct kv_err *err)
{
    *request = (struct kv_request){.trace_row = w->rows, .think_ns = row->think_ns, .elapsed_ns = row->elapsed_ns,
                                   .priority = row->priority};
    if (row->input_tokens > KV_FIELD_TOKENS_MAX || row->output_tokens > KV_FIELD_TOKENS_MAX) {
        return fail_row(w, row, err, "more than %lld tokens", (long long)KV_FIELD_TOKENS_MAX);
    }
    request->input_tokens = row->input_tokens > 0 ? (int32_t)row->input_tokens : 0;
    request->output_tokens = row->output_tokens > 0 ? (int32_t)row->output_tokens : 0;
    if (row->resident_tokens > 0 && !w->config->resident) {
        return fail_row(w, row, err, "%lld resident tokens, and the scenario does not say in which tier they are: "
                        "workload.resident_in: NAME", (long long)row->resident_tokens);
    }
    request->resident_tokens = (int32_t)(row->resident_tokens < request->input_tokens ? row->resident_tokens
                                                                                      : request->input_tokens);
    bool serveable = request->input_tokens > 0 && request->output_tokens > 0;
    request->failed = row->failed || !serveable;
    if (!find_slo_class(w, row, request, err) || !place_arrival(w, row, time_ns, request, err)) return false;
    set_identity(w, row, request);
    w->unserveable += !serveable && !row->failed;
    w->resident = w->resident || request->resident_tokens > 0;
    return true;
}

int kv_workload_next(void *workload, struct kv_request *request, struct kv_err *err)
{
    struct kv_workload *w = workload;
    struct kv_row row;
    int64_t time_ns;
    for (;;) {
        int got = w->ended ? 0 : take_row(w, &row, &time_ns, err);
        if (got == 0) w->ended = true;
        if (got <= 0) return got;
        if (!check_block_tokens(w, &row, err)) return -1;
        if (make_request(w, &row, time_ns, request, err)) break;
        if (!w->config->skip_bad_rows) return -1;
        w->bad_rows++;
    }
    struct kv_workload_stats *s = &w->stats;
    if (s->requests++ == 0) s->first_ns = row.time_ns;
    s->last_ns = row.time_ns;
    s->span_ns = request->arrival_ns;
    if (request->failed) {
        s->failed++;
    } else {
        s->input_tokens += request->input_tokens;
        s->output_tokens += request->output_tokens;
    }
    return 1;
}

struct sentence { char *text; size_t room, used; };
static void say(struct sentence *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct sentence *s, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int length = vsnprintf(s->text + s->used, s->room - s->used, fmt, args);
    va_end(args);
    s->used += (size_t)length;
    if (s->used >= s->room) s->used = s->room - 1;
}

static void say_sessions(struct sentence *s, const struct kv_workload *w, const struct kv_workload_stats *stats)
{
    const struct kv_workload_config *c = w->config;
    say(s, "a turn extends the one before it when its prompt is at least that prompt plus response%s "
           "(%lld of %lld turns), else they share the first %lld tokens; ",
        c->infer.on ? " and, in a drawn session, it was drawn so" : "", (long long)stats->turns_extending,
        (long long)(stats->turns_extending + stats->turns_not_extending), (long long)c->system_tokens);
    if (c->infer.on) {
        say(s, "%lld conversation rows without a session were drawn into %lld sessions: with chance 1 - 1/%g a row "
               "continues one whose last turn is at most %g s old, that closest to a drawn gap (log-normal, median %g "
               "s, sigma %g, cut to that), with chance %g as a turn that extends one it can hold (of %d on either "
               "side), else as one that does not; where there is none it opens one; other ",
            (long long)w->infer.rows, (long long)w->infer.sessions, c->infer.turns_mean, c->infer.window_s,
            c->infer.gap_median_s, c->infer.gap_sigma, c->infer.extends_frac, KV_INFER_NEIGHBOURS);
    }
    say(s, "rows without a session ");
    if (c->system_prompts.count > 0) {
        say(s, "begin with one of %lld system prompts of %lld tokens (Zipf %g) and share nothing else",
            (long long)c->system_prompts.count, (long long)c->system_prompts.tokens, c->system_prompts.zipf);
    } else {
        say(s, "share nothing");
    }
}

/* What the trace does not say and was filled in, as one line. */
static void say_assumptions(const struct kv_workload *w, struct kv_workload_stats *stats)
{
    const struct kv_workload_config *c = w->config;
    struct sentence s = {stats->assumptions, sizeof stats->assumptions, 0};
    if (c->prefix == KV_PREFIX_NONE) say(&s, "no request shares a prefix");
    if (c->prefix == KV_PREFIX_SESSIONS) say_sessions(&s, w, stats);
    if (c->jitter_s > 0) say(&s, "%sarrivals of one instant are spread over %g s", s.used ? "; " : "", c->jitter_s);
    if (c->resident && !w->resident) say(&s, "%sno row brings resident tokens", s.used ? "; " : "");
    if (w->unserveable) {
        say(&s, "%s%lld rows without prompt or response tokens count as failed", s.used ? "; " : "",
            (long long)w->unserveable);
    }
}

void kv_workload_stats(const struct kv_workload *w, struct kv_workload_stats *stats)
{
    *stats = w->stats;
    w->config->reader->stats(w->reader, &stats->reader);
    stats->reader.bad_rows += w->bad_rows;
    stats->sessions = w->sessions.count;
    stats->turns_extending = w->sessions.extending;
    stats->turns_not_extending = w->sessions.not_extending;
    say_assumptions(w, stats);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* kvsim explain: which requests are told of, and what each spent its time on. */
#include "sim/out/explain.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "sim/out/format.h"
#include "sim/out/out.h"

static const char *const stage_words[KV_STAGE_COUNT] = {
    [KV_STAGE_QUEUE] = "waited for its turn", [KV_STAGE_FETCH_STALL] = "waited only for its own KV",
    [KV_STAGE_PREFILL] = "until the first token", [KV_STAGE_DECODE] = "until the last token",
    [KV_STAGE_PREEMPTED] = "preempted, waited to run again",
};

const char *kv_explain_time(struct kv_explainer *x, kv_tick ticks)
{
    char text[KV_FORMAT_MAX];
    return kv_arena_text(&x->arena, "%s", kv_format_duration(text, kv_tick_to_s(ticks)));
}

const char *kv_explain_signed(struct kv_explainer *x, kv_tick ticks)
{
    return kv_arena_text(&x->arena, "%s%s", ticks < 0 ? "-" : "+", kv_explain_time(x, ticks < 0 ? -ticks : ticks));
}

/* ---- one request ---- */

/* Cells of the row of a request; false with *err when one cannot be read. */
static bool cells(struct kv_explainer *x, const char *name, int64_t row, int64_t *value, int32_t most, int32_t *width)
{
    struct kv_h5in_column c;
    const char *path = kv_arena_text(&x->arena, "/requests/%s", name);
    if (!kv_h5in_column_open(x->in, path, &c, x->err)) return false;
    bool ok = row < c.rows && c.width <= most && kv_h5in_column_ints(&c, row, 1, value);
    if (width) *width = c.width;
    kv_h5in_column_close(&c);
    return ok || kv_h5in_fail(x->in, path, x->err);
}

struct facts { int64_t trace_row, session, turn, status, prompt, output, generated, preemptions, induced_tk; };

static bool read_request(struct kv_explainer *x, int64_t id, struct kv_explained *r, struct facts *f)
{
    const struct { const char *name; int64_t *value; } wanted[] = {
        {"request", &r->request}, {"instance", &r->instance}, {"arrival", &r->arrival_tk},
        {"first_sched", &r->first_sched_tk}, {"first_token", &r->first_token_tk}, {"finish", &r->finish_tk},
        {"t_queue", &r->stage_tk[KV_STAGE_QUEUE]}, {"t_fetch_stall", &r->stage_tk[KV_STAGE_FETCH_STALL]},
        {"t_prefill", &r->stage_tk[KV_STAGE_PREFILL]}, {"t_decode", &r->stage_tk[KV_STAGE_DECODE]},
        {"t_preempt", &r->stage_tk[KV_STAGE_PREEMPTED]}, {"t_induced_stall", &f->induced_tk},
        {"trace_row", &f->trace_row}, {"session", &f->session}, {"turn", &f->turn}, {"status", &f->status},
        {"prompt_tokens", &f->prompt}, {"output_tokens", &f->output}, {"generated_tokens", &f->generated},
        {"preemptions", &f->preemptions},
    };
    bool ok = true;
    for (size_t i = 0; ok && i < sizeof wanted / sizeof *wanted; i++) ok = cells(x, wanted[i].name, id, wanted[i].value,
                                                                               1, NULL);
    double end_s = kv_h5in_attribute_real(x->in, "/meta", "end_s");
    r->end_tk = r->finish_tk >= 0 ? r->finish_tk : (kv_tick)llround(end_s * (double)KV_TICKS_PER_S);
    return ok;
}

static bool tell_sources(struct kv_explainer *x, int64_t id, const struct facts *f)
{
    int64_t tokens[KV_SOURCES_MAX];
    char count[KV_FORMAT_MAX];
    int32_t width;
    if (!cells(x, "prompt_tokens_by_source", id, tokens, KV_SOURCES_MAX, &width)) return false;
    const char **source = kv_h5in_labels(x->in, "/requests/prompt_tokens_by_source", &x->arena);
    if (!source) return kv_h5in_fail(x->in, "/requests/source", x->err);
    fprintf(x->out, "prompt of %s tokens:", kv_format_count(count, f->prompt));
    for (int32_t i = 0; i < width; i++)
        fprintf(x->out, "%s %s %s", i ? "," : "", source[i], kv_format_count(count, tokens[i]));
    fprintf(x->out, "; %s of ", kv_format_count(count, f->generated));
    fprintf(x->out, "%s tokens generated\n", kv_format_count(count, f->output));
    return true;
}

static void tell_times(struct kv_explainer *x, const struct kv_explained *r)
{
    kv_tick added_tk;
    fprintf(x->out, "arrived at %.6f s", kv_tick_to_s(r->arrival_tk));
    if (r->first_token_tk >= 0) fprintf(x->out, "; TTFT %s", kv_explain_time(x, r->first_token_tk - r->arrival_tk));
    if (r->finish_tk >= 0) fprintf(x->out, "; end to end %s", kv_explain_time(x, r->finish_tk - r->arrival_tk));
    if (r->instance != KV_NO_INSTANCE) fprintf(x->out, "; instance %lld", (long long)r->instance);
    fputc('\n', x->out);
    if (!x->against) return;
    if (kv_against_added(x->against, r->request, &added_tk))
        fprintf(x->out, "added TTFT, against %s: %s\n", x->reference, kv_explain_signed(x, added_tk));
    else fprintf(x->out, "added TTFT, against %s: none, it has no first token in one of them\n", x->reference);
}

/* What is neither queue nor prefill of the time to first token is the wait for KV, as far as there was any. */
static void tell_limit(struct kv_explainer *x, const struct kv_explained *r, enum kv_stage longest)
{
    kv_tick ttft_tk = r->first_token_tk - r->arrival_tk;
    kv_tick part_tk[] = {r->stage_tk[KV_STAGE_QUEUE], 0, r->stage_tk[KV_STAGE_PREFILL]};
    kv_tick rest_tk = ttft_tk - part_tk[0] - part_tk[2];
    char share[KV_FORMAT_MAX];
    int most = 0;
    part_tk[1] = r->stage_tk[KV_STAGE_FETCH_STALL] < rest_tk ? r->stage_tk[KV_STAGE_FETCH_STALL] : rest_tk;
    for (int i = 1; i < 3; i++) if (part_tk[i] > part_tk[most]) most = i;
    fprintf(x->out, "limit: %s", kv_stage_names[longest]);
    if (r->first_token_tk >= 0 && ttft_tk > 0)
        fprintf(x->out, "; of the time to first token %s, %s", kv_stage_names[most],
                kv_format_percent(share, (double)part_tk[most] / (double)ttft_tk));
    fputc('\n', x->out);
}

static void tell_stages(struct kv_explainer *x, const struct kv_explained *r, const struct facts *f)
{
    char share[KV_FORMAT_MAX];
    kv_tick sum_tk = 0;
    enum kv_stage longest = KV_STAGE_QUEUE;
    for (int i = 0; i < KV_STAGE_COUNT; i++) {
        sum_tk += r->stage_tk[i];
        if (r->stage_tk[i] > r->stage_tk[longest]) longest = (enum kv_stage)i;
    }
    fprintf(x->out, "\n%-14s%12s%9s\n", "stage", "time", "share");
    for (int i = 0; i < KV_STAGE_COUNT; i++) {
        double part = sum_tk ? (double)r->stage_tk[i] / (double)sum_tk : (double)NAN;
        fprintf(x->out, "%-14s%12s%9s  %s\n", kv_stage_names[i], kv_explain_time(x, r->stage_tk[i]),
                kv_format_percent(share, part), stage_words[i]);
    }
    if (f->induced_tk > 0)
        fprintf(x->out, "of prefill and decode %s: steps waited for the layers of other requests\n",
                kv_explain_time(x, f->induced_tk));
    if (f->preemptions > 0) fprintf(x->out, "preempted %lld times\n", (long long)f->preemptions);
    if (sum_tk > 0) tell_limit(x, r, longest);
}

static bool tell_request(struct kv_explainer *x, int64_t id)
{
    struct kv_explained r;
    struct facts f;
    bool ok = read_request(x, id, &r, &f);
    if (ok) {
        fprintf(x->out, "request %lld (row %lld of the trace", (long long)id, (long long)f.trace_row);
        if (f.session) fprintf(x->out, "; session %lld, turn %lld", (long long)f.session, (long long)f.turn);
        fprintf(x->out, "): %s\n", f.status < KV_STATUS_COUNT ? kv_status_names[f.status] : "?");
        if (r.arrival_tk >= 0) tell_times(x, &r);
        ok = tell_sources(x, id, &f);
        tell_stages(x, &r, &f);
    }
    ok = ok && (r.arrival_tk < 0 || (kv_explain_flows(x, &r) && kv_explain_layers(x, &r)));
    kv_arena_close(&x->arena);
    return ok;
}

/* ---- those at one end, or at a percentile ---- */

static bool tell_ranked(struct kv_explainer *x, const struct kv_explain_options *options)
{
    struct kv_explain_ranking ranking = {{0}};
    bool ok = kv_explain_rank(x, options, &ranking);
    for (size_t i = 0; ok && i < ranking.request.count; i++) {
        if (i || x->against || options->percentile) fputc('\n', x->out);
        ok = tell_request(x, ranking.request.at[i]);
    }
    kv_vec_close(&ranking.request);
    return ok;
}

static bool explain(struct kv_explainer *x, const struct kv_explain_options *options)
{
    struct kv_h5in_column c;
    if (!kv_h5in_has(x->in, "/requests"))
        return kv_fail(x->err, KV_EIO, "explain", "the file has no /requests: the run had output.requests none");
    if (!kv_h5in_column_open(x->in, "/requests/request", &c, x->err)) return false;
    int64_t rows = c.rows;
    kv_h5in_column_close(&c);
    if (options->request >= rows)
        return kv_fail(x->err, KV_EUSAGE, "explain", "request %lld: the run has requests 0 to %lld",
                       (long long)options->request, (long long)rows - 1);
    if (options->against && !(x->against = kv_against_open(x->in, options->against, x->err))) return false;
    bool ok = options->request >= 0 ? tell_request(x, options->request) : tell_ranked(x, options);
    kv_against_close(x->against);
    return ok;
}

bool kv_results_explain(const char *path, const struct kv_explain_options *options, FILE *out, struct kv_err *err)
{
    struct kv_explainer x = {.err = err, .out = out, .reference = options->against};
    if (!(x.in = kv_h5in_open(path, err))) return false;
    bool ok = explain(&x, options);
    kv_arena_close(&x.arena);
    kv_h5in_close(x.in);
    return ok;
}

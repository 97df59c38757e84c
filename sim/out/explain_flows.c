/* SPDX-License-Identifier: Apache-2.0 */
/* What a request waited for: its fetches and who shared their way, from /flows, and layers, from /layers. */
#include <math.h>
#include <string.h>

#include "sim/out/explain.h"
#include "sim/out/flows.h"
#include "sim/out/format.h"
#include "sim/out/h5.h"

/* Told of one request: fetches, and others that shared the way of each. */
#define FETCHES_TOLD 16
#define OTHERS_TOLD 6
/* A rate is at a bound when it reaches so much of it. */
#define AT_BOUND 0.95

/* ---- reading ---- */

#define INTS(X) \
    X(request) X(instance) X(tier) X(mode) X(cut) X(delivered_bytes) X(begin) X(first_byte) X(end) X(refused)
#define REALS(X) X(grant) X(limit)
enum int_input {
#define X(name) IN_##name,
    INTS(X)
#undef X
    INT_COUNT
};
enum real_input {
#define X(name) IN_##name,
    REALS(X)
#undef X
    REAL_COUNT
};

struct flow { int64_t fetch, v[INT_COUNT]; double r[REAL_COUNT]; };

struct reader {
    struct kv_explainer *x;
    struct kv_h5in_column in[INT_COUNT + REAL_COUNT];
    int64_t *ints[INT_COUNT];
    double *reals[REAL_COUNT];
    int64_t rows;
};

static const char *const paths[] = {
#define X(name) "/flows/" #name,
    INTS(X) REALS(X)
#undef X
};

static bool reader_open(struct reader *d, struct kv_explainer *x)
{
    bool ok = true;
    *d = (struct reader){.x = x};
    for (int i = 0; ok && i < INT_COUNT + REAL_COUNT; i++) {
        ok = kv_h5in_column_open(x->in, paths[i], &d->in[i], x->err);
        void *room = kv_arena_take(&x->arena, KV_H5_CHUNK_ROWS * sizeof(int64_t));
        if (i < INT_COUNT) d->ints[i] = room;
        else d->reals[i - INT_COUNT] = room;
    }
    d->rows = ok ? d->in[0].rows : 0;
    return ok;
}

static void reader_close(struct reader *d)
{
    for (int i = 0; i < INT_COUNT + REAL_COUNT; i++) kv_h5in_column_close(&d->in[i]);
}

/* Calls `each` for all fetches, a chunk of the file in memory at a time. */
static bool read_all(struct reader *d, void (*each)(void *state, const struct flow *flow), void *state)
{
    for (int64_t first = 0; first < d->rows; first += KV_H5_CHUNK_ROWS) {
        int64_t here = d->rows - first < KV_H5_CHUNK_ROWS ? d->rows - first : KV_H5_CHUNK_ROWS;
        for (int i = 0; i < INT_COUNT + REAL_COUNT; i++) {
            bool ok = i < INT_COUNT ? kv_h5in_column_ints(&d->in[i], first, here, d->ints[i])
                                    : kv_h5in_column_reals(&d->in[i], first, here, d->reals[i - INT_COUNT]);
            if (!ok) return kv_h5in_fail(d->x->in, paths[i], d->x->err);
        }
        for (int64_t row = 0; row < here; row++) {
            struct flow flow = {.fetch = first + row};
            for (int i = 0; i < INT_COUNT; i++) flow.v[i] = d->ints[i][row];
            for (int i = 0; i < REAL_COUNT; i++) flow.r[i] = d->reals[i][row];
            each(state, &flow);
        }
    }
    return true;
}

/* ---- whose, and beside whom ---- */

struct shared { int64_t others; double overlap_tk; struct { int64_t request; kv_tick overlap_tk; } most[OTHERS_TOLD]; };

struct found {
    const struct kv_explained *r;
    bool of_others;                  /* it began none: those into its instance while it waited */
    int64_t count;                   /* all; `flow` holds the first of them */
    struct flow flow[FETCHES_TOLD];
    struct shared shared[FETCHES_TOLD];
};

static kv_tick overlap_tk(const struct flow *a, kv_tick begin_tk, kv_tick end_tk)
{
    kv_tick from = a->v[IN_begin] > begin_tk ? a->v[IN_begin] : begin_tk;
    kv_tick to = a->v[IN_end] < end_tk ? a->v[IN_end] : end_tk;
    return to > from ? to - from : 0;
}

static void find(void *state, const struct flow *flow)
{
    struct found *f = state;
    kv_tick waited_to = f->r->first_sched_tk >= 0 ? f->r->first_sched_tk : f->r->end_tk;
    bool its = f->of_others ? flow->v[IN_instance] == f->r->instance
                              && overlap_tk(flow, f->r->arrival_tk, waited_to) > 0
                            : flow->v[IN_request] == f->r->request;
    if (!its) return;
    if (f->count < FETCHES_TOLD) f->flow[f->count] = *flow;
    f->count++;
}

/* The longest overlaps stay, the longest first. */
static void note_other(struct shared *s, int64_t request, kv_tick overlap)
{
    int32_t at = OTHERS_TOLD;
    s->others++;
    s->overlap_tk += (double)overlap;
    while (at > 0 && overlap > s->most[at - 1].overlap_tk) {
        at--;
        if (at + 1 < OTHERS_TOLD) s->most[at + 1] = s->most[at];
    }
    if (at == OTHERS_TOLD) return;
    s->most[at].request = request;
    s->most[at].overlap_tk = overlap;
}

static void find_others(void *state, const struct flow *flow)
{
    struct found *f = state;
    for (int64_t i = 0; i < f->count && i < FETCHES_TOLD; i++) {
        const struct flow *its = &f->flow[i];
        kv_tick overlap = overlap_tk(flow, its->v[IN_begin], its->v[IN_end]);
        if (flow->fetch == its->fetch || flow->v[IN_tier] != its->v[IN_tier] || overlap <= 0) continue;
        note_other(&f->shared[i], flow->v[IN_request], overlap);
    }
}

/* ---- words ---- */

static double delivered_Bps(const struct flow *f)
{
    kv_tick flowed_tk = f->v[IN_end] - f->v[IN_first_byte];
    return f->v[IN_first_byte] >= 0 && flowed_tk > 0 ? (double)f->v[IN_delivered_bytes] / kv_tick_to_s(flowed_tk)
                                                     : (double)NAN;
}

/* What the rate, or the wait before it, says of the limit. Grants and limits are compared as far as one access at a
 * time carries them. */
static const char *limit_of(const struct flow *f, const struct shared *s)
{
    kv_tick waited_tk = f->v[IN_first_byte] - f->v[IN_begin], flowed_tk = f->v[IN_end] - f->v[IN_first_byte];
    double Bps = delivered_Bps(f);
    if (f->v[IN_cut]) return "given up before its end";
    if (f->v[IN_first_byte] < 0) return "no byte came";
    if (f->v[IN_refused] > 0 && waited_tk > flowed_tk) return "most of it refused by the store";
    if (waited_tk > flowed_tk) return "most of it before the first byte";
    if (f->r[IN_grant] > 0 && Bps >= AT_BOUND * f->r[IN_grant]) return "at its grant";
    if (f->r[IN_limit] > 0 && Bps >= AT_BOUND * f->r[IN_limit]) return "at the limit of its stream";
    if (f->r[IN_grant] > 0) return "below its grant";
    return s->others ? "its way is shared" : "at the rate of its way";
}

static const char *rate(struct kv_explainer *x, double Bps)
{
    char text[KV_FORMAT_MAX];
    return isnan(Bps) ? "-" : kv_arena_text(&x->arena, "%s/s", kv_format_bytes(text, Bps));
}

static void tell_others(struct kv_explainer *x, const struct flow *f, const struct shared *s, const char *tier)
{
    char count[2][KV_FORMAT_MAX];
    kv_tick tk = f->v[IN_end] - f->v[IN_begin];
    if (!s->others) return;
    fprintf(x->out, "    beside %s other%s from %s, %s at a time; longest of requests",
            kv_format_count(count[0], s->others), s->others == 1 ? "" : "s", tier,
            kv_format_rate(count[1], tk > 0 ? s->overlap_tk / (double)tk : (double)NAN));
    for (int32_t i = 0; i < OTHERS_TOLD && i < s->others; i++)
        fprintf(x->out, "%s %lld", i ? "," : "", (long long)s->most[i].request);
    fputc('\n', x->out);
}

static void tell_flow(struct kv_explainer *x, const struct kv_explained *r, const struct flow *f,
                      const struct shared *s, const char *tier)
{
    char bytes[KV_FORMAT_MAX];
    const char *mode = f->v[IN_mode] < 3 ? kv_delivery_names[f->v[IN_mode]] : "?", *first = "-";
    if (f->v[IN_first_byte] >= 0) first = kv_explain_time(x, f->v[IN_first_byte] - f->v[IN_begin]);
    fprintf(x->out, "%-10.9s%-9s%9s%12s%12s%12s%13s\n", tier, mode,
            kv_format_bytes(bytes, (double)f->v[IN_delivered_bytes]),
            kv_explain_signed(x, f->v[IN_begin] - r->arrival_tk), first,
            kv_explain_time(x, f->v[IN_end] - f->v[IN_begin]), rate(x, delivered_Bps(f)));
    fprintf(x->out, "    %s; grant %s, stream %s", limit_of(f, s), rate(x, f->r[IN_grant]), rate(x, f->r[IN_limit]));
    if (f->v[IN_refused] > 0) fprintf(x->out, "; refused %lld times", (long long)f->v[IN_refused]);
    fputc('\n', x->out);
    tell_others(x, f, s, tier);
}

static void tell_found(struct kv_explainer *x, const struct found *f)
{
    int32_t tiers;
    const char **tier = kv_h5in_meanings(x->in, "/flows/tier", &tiers, &x->arena);
    int64_t told = f->count < FETCHES_TOLD ? f->count : FETCHES_TOLD;
    if (!f->count) {
        if (f->r->stage_tk[KV_STAGE_FETCH_STALL] > 0) fputs("\nno fetch of its own or into its instance\n", x->out);
        return;
    }
    if (f->of_others) fputs("\nit waited for loads that others began: fetches into its instance meanwhile\n", x->out);
    else fputc('\n', x->out);
    fprintf(x->out, "%-10s%-9s%9s%12s%12s%12s%13s\n", "fetch from", " delivery", "bytes", "begin", "first byte", "took",
            "rate");
    for (int64_t i = 0; i < told; i++) {
        int64_t k = f->flow[i].v[IN_tier];
        tell_flow(x, f->r, &f->flow[i], &f->shared[i], tier && k < tiers ? tier[k] : "?");
    }
    if (f->count > told) fprintf(x->out, "and %lld more\n", (long long)(f->count - told));
    fputs("begin: since the arrival; first byte, took: since the begin; rate: since the first byte\n", x->out);
}

bool kv_explain_flows(struct kv_explainer *x, const struct kv_explained *r)
{
    bool stalled = r->stage_tk[KV_STAGE_FETCH_STALL] > 0;
    struct found *f = kv_arena_take(&x->arena, sizeof *f);
    struct reader d;
    if (!kv_h5in_has(x->in, "/flows")) {
        if (stalled) fputs("which fetches it waited for is not in the file: run with output.flows: all\n", x->out);
        return true;
    }
    *f = (struct found){.r = r};
    bool ok = reader_open(&d, x) && read_all(&d, find, f);
    if (ok && !f->count && stalled) {
        f->of_others = true;
        ok = read_all(&d, find, f);
    }
    ok = ok && (!f->count || read_all(&d, find_others, f));
    reader_close(&d);
    if (ok) tell_found(x, f);
    return ok;
}

/* ---- layers ---- */

/* The row of a request, which ascend; -1: it is not of the sample. */
static int64_t sample_row(const int64_t *request, int64_t rows, int64_t wanted)
{
    int64_t low = 0, high = rows;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (request[middle] < wanted) low = middle + 1; else high = middle;
    }
    return low < rows && request[low] == wanted ? low : -1;
}

static int64_t *layer_times(struct kv_explainer *x, const char *path, int64_t row, int32_t *layers)
{
    struct kv_h5in_column c;
    if (!kv_h5in_column_open(x->in, path, &c, x->err)) return NULL;
    int64_t *value = kv_arena_take(&x->arena, ((size_t)c.width + 1) * sizeof *value);
    bool ok = kv_h5in_column_ints(&c, row, 1, value) || kv_h5in_fail(x->in, path, x->err);
    *layers = c.width;
    kv_h5in_column_close(&c);
    return ok ? value : NULL;
}

/* Neighbours that waited equally long, to the digits shown, share a line. */
static void tell_stalls(struct kv_explainer *x, const int64_t *stall, const int64_t *start, const int64_t *end,
                        int32_t layers)
{
    kv_tick sum_tk = 0, computed_tk = 0;
    for (int32_t l = 0; l < layers; l++) {
        sum_tk += stall[l];
        computed_tk += end[l] - start[l];
    }
    fprintf(x->out, "\nlayers: the step waited %s between %d layers and computed %s\n", kv_explain_time(x, sum_tk),
            (int)layers, kv_explain_time(x, computed_tk));
    for (int32_t l = 0, next; l < layers && sum_tk > 0; l = next) {
        const char *words = kv_explain_time(x, stall[l]);
        for (next = l + 1; next < layers && !strcmp(words, kv_explain_time(x, stall[next])); next++) {}
        if (!stall[l]) continue;
        if (next == l + 1) fprintf(x->out, "    before layer %d: %s\n", (int)l, words);
        else fprintf(x->out, "    before each of layers %d to %d: %s\n", (int)l, (int)next - 1, words);
    }
}

bool kv_explain_layers(struct kv_explainer *x, const struct kv_explained *r)
{
    int64_t rows;
    int32_t layers;
    if (!kv_h5in_has(x->in, "/layers")) {
        if (r->stage_tk[KV_STAGE_FETCH_STALL] > 0)
            fputs("its layers are not in the file: run with output.layers: {sample: N}\n", x->out);
        return true;
    }
    const int64_t *request = kv_h5in_ints(x->in, "/layers/request", &rows, &x->arena, x->err);
    int64_t row = request ? sample_row(request, rows, r->request) : -1;
    if (row < 0) return request != NULL;
    const int64_t *stall = layer_times(x, "/layers/fetch_stall", row, &layers);
    const int64_t *start = stall ? layer_times(x, "/layers/compute_start", row, &layers) : NULL;
    const int64_t *end = start ? layer_times(x, "/layers/compute_end", row, &layers) : NULL;
    if (end) tell_stalls(x, stall, start, end, layers);
    return end != NULL;
}

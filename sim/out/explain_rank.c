/* SPDX-License-Identifier: Apache-2.0 */
/* kvsim explain: which requests are the worst, or stand at a percentile. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sim/out/explain.h"
#include "sim/out/format.h"

enum by { BY_TTFT, BY_TPOT, BY_E2E, BY_ADDED, BY_COUNT };
static const char *const by_names[BY_COUNT] = {"ttft", "tpot", "e2e", "added"};

struct ranked { kv_tick rank_tk; int64_t request; };
/* The highest rank first, of equals the first request. */
struct ranking { KV_VEC(struct ranked) at; };

static int by_rank(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->rank_tk != y->rank_tk) return x->rank_tk < y->rank_tk ? 1 : -1;
    return (x->request > y->request) - (x->request < y->request);
}

/* ---- ranking ---- */

struct instants { const int64_t *arrival, *first_token, *finish, *generated; int64_t count; };

static bool read_instants(struct kv_explainer *x, struct instants *t)
{
    const struct { const char *path; const int64_t **at; } wanted[] = {
        {"/requests/arrival", &t->arrival}, {"/requests/first_token", &t->first_token},
        {"/requests/finish", &t->finish}, {"/requests/generated_tokens", &t->generated},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (!(*wanted[i].at = kv_h5in_ints(x->in, wanted[i].path, &t->count, &x->arena, x->err))) return false;
    return true;
}

/* False: the request has no such figure. */
static bool figure_of(const struct kv_explainer *x, const struct instants *t, int64_t i, enum by by, kv_tick *rank_tk)
{
    kv_tick first = t->first_token[i], finish = t->finish[i];
    switch (by) {
    case BY_TTFT: *rank_tk = first - t->arrival[i]; return first >= 0;
    case BY_E2E: *rank_tk = finish - t->arrival[i]; return finish >= 0;
    case BY_TPOT:
        if (finish < 0 || t->generated[i] < 2) return false;
        *rank_tk = (finish - first) / (t->generated[i] - 1);
        return true;
    default: return x->against && kv_against_added(x->against, i, rank_tk);
    }
}

/* Of the measured requests. */
static bool rank(struct kv_explainer *x, enum by by, struct ranking *ranking)
{
    struct instants t;
    double warmup_s = kv_h5in_attribute_real(x->in, "/meta", "warmup_s");
    bool ok = read_instants(x, &t);
    for (int64_t i = 0; ok && i < t.count; i++) {
        struct ranked r = {0, i};
        if (kv_tick_to_s(t.arrival[i]) >= warmup_s && figure_of(x, &t, i, by, &r.rank_tk))
            kv_vec_push(&ranking->at, r);
    }
    if (ranking->at.count) qsort(ranking->at.at, ranking->at.count, sizeof *ranking->at.at, by_rank);
    kv_arena_close(&x->arena);
    return ok;
}

/* The one that a share q of them does not exceed, to the nearest. */
static const struct ranked *at_share(const struct ranking *r, double q)
{
    return &r->at.at[(size_t)((1 - q) * (double)(r->at.count - 1) + 0.5)];
}

/* ---- telling ---- */

static void tell_totals(struct kv_explainer *x, const struct ranking *r)
{
    static const struct { const char *words; double q; } shares[] = {
        {"least", 0}, {", p50", 0.5}, {", p99", 0.99}, {", most", 1},
    };
    size_t count = r->at.count;
    int64_t slower = 0, faster = 0;
    double sum_s = 0;
    char text[5][KV_FORMAT_MAX];
    fprintf(x->out, "added TTFT, against %s: ", x->reference);
    if (!count) {
        fputs("no measured request has a first token in both\n", x->out);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        sum_s += kv_tick_to_s(r->at.at[i].rank_tk);
        slower += r->at.at[i].rank_tk > 0;
        faster += r->at.at[i].rank_tk < 0;
    }
    fprintf(x->out, "%s over %s measured requests, mean %s\n", kv_format_duration(text[0], sum_s),
            kv_format_count(text[1], (int64_t)count), kv_format_duration(text[2], sum_s / (double)count));
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++)
        fprintf(x->out, "%s %s", shares[i].words, kv_explain_signed(x, at_share(r, shares[i].q)->rank_tk));
    fprintf(x->out, "; %s later, %s sooner\n", kv_format_count(text[3], slower), kv_format_count(text[4], faster));
    kv_arena_close(&x->arena);
}

/* "ttft.p99" -> BY_TTFT, 0.99. */
static bool read_percentile(struct kv_explainer *x, const char *text, enum by *by, double *share)
{
    const char *dot = strstr(text, ".p");
    char *end = NULL;
    int i = 0;
    while (dot && i < BY_COUNT && (strncmp(text, by_names[i], (size_t)(dot - text)) || by_names[i][dot - text])) i++;
    if (dot) *share = strtod(dot + 2, &end) / 100;
    bool digits = dot && strspn(dot + 2, "0123456789.") == strlen(dot + 2);
    if (!digits || i == BY_COUNT || end == dot + 2 || *end || *share > 1)
        return kv_fail(x->err, KV_EUSAGE, "explain", "--percentile: found '%s', expected ttft, tpot, e2e or added, and "
                       ".p0 to .p100: ttft.p99", text);
    *by = (enum by)i;
    if (*by == BY_ADDED && !x->against)
        return kv_fail(x->err, KV_EUSAGE, "explain", "--percentile added needs a run to compare with: --against REF.h5");
    return true;
}

static void tell_percentile(struct kv_explainer *x, const struct ranking *r, const char *name, const struct ranked *at)
{
    char count[KV_FORMAT_MAX];
    fprintf(x->out, "%s of %s measured requests: %s; the request there:\n", name,
            kv_format_count(count, (int64_t)r->at.count), kv_explain_time(x, at->rank_tk));
    kv_arena_close(&x->arena);
}

bool kv_explain_rank(struct kv_explainer *x, const struct kv_explain_options *options,
                     struct kv_explain_ranking *ranking)
{
    struct ranking all = {{0}};
    enum by by = x->against ? BY_ADDED : BY_TTFT;
    double share = 0;
    bool ok = (!options->percentile || read_percentile(x, options->percentile, &by, &share)) && rank(x, by, &all);
    if (ok && by == BY_ADDED) tell_totals(x, &all);
    if (ok && !all.at.count && !(x->against && !options->percentile))
        ok = kv_fail(x->err, KV_EUSAGE, "explain", "no request after the warm-up has %s", by == BY_TPOT ? "two tokens"
                     : by == BY_E2E ? "finished" : by == BY_ADDED ? "a first token in both runs" : "a first token");
    if (ok && options->percentile) {
        const struct ranked *at = at_share(&all, share);
        tell_percentile(x, &all, options->percentile, at);
        kv_vec_push(&ranking->request, at->request);
    } else {
        for (size_t i = 0; ok && i < all.at.count && (int64_t)i < options->worst; i++)
            kv_vec_push(&ranking->request, all.at.at[i].request);
    }
    kv_vec_close(&all.at);
    return ok;
}

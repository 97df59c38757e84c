/* SPDX-License-Identifier: Apache-2.0 */
/* Load generated from ServeGen's statistics (Xiang et al., arXiv 2505.09999; github.com/alibaba/ServeGen): CSV with a
 * line for each client and window of 600 s: client, window_start_s, rate_rps, pattern (Gamma or Weibull), arg1 (shape)
 * and arg2 (scale in s) of the gaps between its requests.
 *
 * A window gives rate x 600 requests, as many as were counted, with gaps drawn from its law. Where these fill less than
 * the window (the client was active in a part of it) the burst lies anywhere in it; where they would fill more, all are
 * shortened by one factor. So rates hold exactly, and the variation of the gaps is that of the law. Lengths are
 * log-normal by parameters: the file has none.
 *
 * Every variate has a sub-stream of its own, so that a part of the windows gives the rows that all of them give there.
 * Memory: 40 bytes a line of the file. */
#include <gsl/gsl_randist.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "sim/base/rng.h"
#include "sim/iface/reader.h"
#include "sim/lib/pqueue.h"
#include "sim/lib/rows.h"

#define WINDOW_S 600.0
#define REQUESTS_MAX 1e9       /* of one window */

struct params {
    double scale, start_s, duration_s, input_mean, input_sigma, output_mean, output_sigma;
    int64_t rows, tokens_max;
};
static const struct kv_param table[] = {
    {"scale", KV_DIM_NUMBER, offsetof(struct params, scale), "1", 1e-9, 1e6, NULL,
     "multiplies the rate of every client: more requests in a window, and shorter gaps", NULL},
    {"start", KV_DIM_TIME, offsetof(struct params, start_s), "0s", 0, 1e9, NULL,
     "windows that begin earlier are left out", NULL},
    {"duration", KV_DIM_TIME, offsetof(struct params, duration_s), "1h", 0, 1e9, NULL,
     "windows that begin so long after `start` or later are left out; 0s: none",
     "14 days of the shared file are 1.4e9 requests"},
    {"rows", KV_DIM_COUNT, offsetof(struct params, rows), "0", 0, 9e15, NULL, "at most so many; 0: all", NULL},
    {"input_mean", KV_DIM_NUMBER, offsetof(struct params, input_mean), "1155", 1, 1e8, NULL,
     "prompt tokens, log-normal: mean", "assumed: Azure conversations of 2023"},
    {"input_sigma", KV_DIM_NUMBER, offsetof(struct params, input_sigma), "1", 0, 5, NULL,
     "deviation of the logarithm of prompt tokens", "assumed"},
    {"output_mean", KV_DIM_NUMBER, offsetof(struct params, output_mean), "211", 1, 1e8, NULL,
     "response tokens, log-normal: mean", "assumed: Azure conversations of 2023"},
    {"output_sigma", KV_DIM_NUMBER, offsetof(struct params, output_sigma), "1", 0, 5, NULL,
     "deviation of the logarithm of response tokens", "assumed"},
    {"tokens_max", KV_DIM_TOKENS, offsetof(struct params, tokens_max), "131072", 1, 1 << 24, NULL,
     "longer prompts and responses are cut to it", NULL},
    KV_PARAM_END,
};

enum column { CLIENT, START, RATE, PATTERN, SHAPE, SCALE, COLUMNS };
static const char *const column_name[] = {"client", "window_start_s", "rate_rps", "pattern", "arg1", "arg2", NULL};

struct window { int64_t client; double start_s, rate_per_s, shape, scale_s; bool weibull; };

/* A client, in the window it has come to. */
struct client {
    size_t window, end;        /* its windows: those not begun yet are [window, end) */
    int64_t left;              /* requests of the window that are still to come */
    int64_t given;             /* of the window */
    uint64_t key;              /* of the window: names its variates */
    const struct window *now;
    double next_s, shorten;
};

struct servegen {
    struct params p;
    struct kv_rows rows;
    struct kv_columns columns;
    KV_VEC(struct window) windows;
    KV_VEC(struct client) clients;
    struct kv_pqueue live;     /* clients by their next request */
    bool loaded;
    uint64_t seed, count_stream, gap_stream, place_stream, input_stream, output_stream;
    int64_t given;
};

static bool open_file(void *state, const void *params, const struct kv_reader_env *env, struct kv_err *err)
{
    struct servegen *s = state;
    s->p = *(const struct params *)params;
    s->columns = (struct kv_columns){.name = column_name, .required = COLUMNS};
    s->seed = env->seed;
    s->count_stream = kv_stream("servegen.count");
    s->gap_stream = kv_stream("servegen.gap");
    s->place_stream = kv_stream("servegen.place");
    s->input_stream = kv_stream("servegen.input");
    s->output_stream = kv_stream("servegen.output");
    return kv_rows_open(&s->rows, env->path, !env->skip_digest, env->skip_bad_rows, err);
}

/* --- the file ------------------------------------------------------------------------------------------------- */

static bool read_real(struct servegen *s, enum column c, double least, double *value, struct kv_err *err)
{
    const struct kv_csv_field *f = kv_columns_field(&s->columns, (int32_t)c);
    const char *why = kv_number_real(f->text, f->length, value);
    if (!why && *value < least) why = "is too small";
    return !why || kv_input_fail(&s->rows.in, err, "%s '%s' %s; expected a number %s 0", column_name[c],
                                 kv_excerpt(f->text, f->length).text, why, least > 0 ? ">" : ">=");
}

static bool check_window(struct servegen *s, const struct window *w, struct kv_err *err)
{
    if (w->rate_per_s * WINDOW_S * s->p.scale > REQUESTS_MAX)
        return kv_input_fail(&s->rows.in, err, "%g requests in one window (scale %g); at most %g are taken",
                             w->rate_per_s * WINDOW_S * s->p.scale, s->p.scale, REQUESTS_MAX);
    if (s->windows.count == 0) return true;
    const struct window *last = &s->windows.at[s->windows.count - 1];
    if (w->client < last->client)
        return kv_input_fail(&s->rows.in, err, "client %lld stands behind client %lld; clients must be in order",
                             (long long)w->client, (long long)last->client);
    if (w->client == last->client && w->start_s < last->start_s + WINDOW_S)
        return kv_input_fail(&s->rows.in, err, "the window at %g s begins less than %g s after the one at %g s of the "
                             "same client", w->start_s, WINDOW_S, last->start_s);
    return true;
}

static enum kv_row_kind read_window(void *state, struct kv_err *err)
{
    struct servegen *s = state;
    struct window w;
    if (!s->rows.header) return kv_columns_header(&s->columns, &s->rows, err);
    if (!kv_columns_row(&s->columns, &s->rows, err)
        || !kv_columns_whole(&s->columns, &s->rows, CLIENT, INT32_MAX, &w.client, err)
        || !read_real(s, START, 0, &w.start_s, err) || !read_real(s, RATE, 0, &w.rate_per_s, err)
        || !read_real(s, SHAPE, 1e-6, &w.shape, err) || !read_real(s, SCALE, 1e-12, &w.scale_s, err))
        return KV_ROW_BAD;
    const struct kv_csv_field *pattern = kv_columns_field(&s->columns, PATTERN);
    w.weibull = !strcmp(pattern->text, "Weibull");
    if (!w.weibull && strcmp(pattern->text, "Gamma") != 0)
        return kv_input_fail(&s->rows.in, err, "pattern '%s'; expected Gamma or Weibull",
                             kv_excerpt(pattern->text, pattern->length).text), KV_ROW_BAD;
    if (!check_window(s, &w, err)) return KV_ROW_BAD;
    kv_vec_push(&s->windows, w);
    return KV_ROW_GOOD;
}

/* --- requests ------------------------------------------------------------------------------------------------- */

static double draw_gap(const struct servegen *s, const struct client *c, int64_t i)
{
    struct kv_rng rng;
    gsl_rng *r = kv_rng_at(&rng, s->seed, s->gap_stream, kv_mix64_pair(c->key, (uint64_t)i));
    double gap_s = c->now->weibull ? gsl_ran_weibull(r, c->now->scale_s, c->now->shape)
                                   : gsl_ran_gamma(r, c->now->shape, c->now->scale_s);
    return gap_s / s->p.scale;
}

static double uniform(const struct servegen *s, uint64_t stream, uint64_t key)
{
    struct kv_rng rng;
    return gsl_rng_uniform(kv_rng_at(&rng, s->seed, stream, key));
}

/* How many requests a window has: what was counted, and where scale makes that no whole number, the number above it
 * as often as makes the mean right. Rates of the file are fractions of WINDOW_S, rounded to a double. */
static int64_t requests_of(const struct servegen *s, const struct window *w, uint64_t key)
{
    double wanted = w->rate_per_s * WINDOW_S * s->p.scale, whole = nearbyint(wanted);
    if (fabs(wanted - whole) < 1e-6 * (1 + wanted)) return (int64_t)whole;
    return (int64_t)floor(wanted) + (uniform(s, s->count_stream, key) < wanted - floor(wanted));
}

static bool wanted_window(const struct servegen *s, const struct window *w)
{
    double since_s = w->start_s - s->p.start_s;
    return since_s >= 0 && (s->p.duration_s <= 0 || since_s < s->p.duration_s);
}

/* The client's next window that has requests; it leaves the queue when there is none. */
static void enter_window(struct servegen *s, uint32_t index)
{
    struct client *c = &s->clients.at[index];
    while (c->window < c->end) {
        c->now = &s->windows.at[c->window++];
        if (!wanted_window(s, c->now)) continue;
        c->key = kv_mix64_pair((uint64_t)c->now->client, (uint64_t)llround(c->now->start_s * 1e3));
        c->left = requests_of(s, c->now, c->key);
        if (c->left == 0) continue;
        double sum_s = 0;
        for (int64_t i = 1; i <= c->left; i++) sum_s += draw_gap(s, c, i);   /* the last one leads out of the burst */
        c->given = 0;
        c->shorten = sum_s > WINDOW_S ? WINDOW_S / sum_s : 1;
        double room_s = sum_s < WINDOW_S ? WINDOW_S - sum_s : 0;
        c->next_s = c->now->start_s + room_s * uniform(s, s->place_stream, c->key);
        kv_pqueue_push(&s->live, (struct kv_pentry){llround(c->next_s * 1e9), (int64_t)index, index});
        return;
    }
}

/* Reads the whole file and sets every client before its first window. */
static int load(struct servegen *s, struct kv_err *err)
{
    int got;
    while ((got = kv_rows_next(&s->rows, read_window, s, err)) == 1) {}
    if (got < 0) return -1;
    s->loaded = true;
    if (s->rows.bad > 0 && !s->rows.skip_bad_rows) return 0;   /* told; nothing is made of a part of the file */
    for (size_t i = 0; i < s->windows.count; i++) {
        struct client fresh = {.window = i, .end = i};
        if (i == 0 || s->windows.at[i].client != s->windows.at[i - 1].client) kv_vec_push(&s->clients, fresh);
        s->clients.at[s->clients.count - 1].end++;
    }
    for (size_t i = 0; i < s->clients.count; i++) enter_window(s, (uint32_t)i);
    return 0;
}

static int64_t draw_tokens(const struct servegen *s, uint64_t stream, uint64_t key, double mean, double sigma)
{
    struct kv_rng rng;
    double tokens = gsl_ran_lognormal(kv_rng_at(&rng, s->seed, stream, key), log(mean) - sigma * sigma / 2, sigma);
    if (tokens > (double)s->p.tokens_max) return s->p.tokens_max;
    return tokens < 1 ? 1 : (int64_t)(tokens + 0.5);
}

static int next_row(void *state, struct kv_row *row, struct kv_err *err)
{
    struct servegen *s = state;
    if (!s->loaded && !s->rows.in.failed && load(s, err) < 0) return -1;
    if (s->live.count == 0 || (s->p.rows > 0 && s->given == s->p.rows)) return 0;
    struct kv_pentry top = kv_pqueue_pop(&s->live);
    struct client *c = &s->clients.at[top.value];
    uint64_t key = kv_mix64_pair(c->key, (uint64_t)c->given);
    *row = (struct kv_row){
        .time_ns = top.key,
        .input_tokens = draw_tokens(s, s->input_stream, key, s->p.input_mean, s->p.input_sigma),
        .output_tokens = draw_tokens(s, s->output_stream, key, s->p.output_mean, s->p.output_sigma),
        .elapsed_ns = -1, .think_ns = -1, .model = "", .session = "", .turn = -1, .slo_class = "",
    };
    s->given++;
    c->given++;
    if (--c->left > 0) {
        c->next_s = fmin(c->next_s + draw_gap(s, c, c->given) * c->shorten, c->now->start_s + WINDOW_S);
        kv_pqueue_push(&s->live, (struct kv_pentry){llround(c->next_s * 1e9), top.tie, top.value});
    } else {
        enter_window(s, top.value);
    }
    return 1;
}

static void tell_stats(const void *state, struct kv_reader_stats *out)
{
    const struct servegen *s = state;
    *out = (struct kv_reader_stats){.rows = s->given, .bad_rows = s->rows.bad, .bytes = s->rows.in.bytes};
    memcpy(out->digest, s->rows.in.digest, sizeof out->digest);
    snprintf(out->note, sizeof out->note, "%zu windows of %zu clients", s->windows.count, s->clients.count);
}

static void close_file(void *state)
{
    struct servegen *s = state;
    kv_vec_close(&s->windows);
    kv_vec_close(&s->clients);
    kv_pqueue_close(&s->live);
    kv_rows_close(&s->rows);
}

const struct kv_reader_ops kv_reader_servegen = {
    .info = {.help = "load generated from ServeGen's windows of clients", .source = "Xiang et al., arXiv 2505.09999",
             .params = table, .params_bytes = sizeof(struct params)},
    .state_bytes = sizeof(struct servegen),
    .open = open_file,
    .next = next_row,
    .stats = tell_stats,
    .close = close_file,
};

/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/net/fit.h"

#include <gsl/gsl_multimin.h>
#include <math.h>
#include <string.h>

#include "sim/base/rng.h"
#include "sim/plug.h"

#define LEAST_POINTS 4
#define HOLDOUT_PERMILLE 200
#define HOLDOUT_SEED 1

/* ---- the model, as the simulator has it ---- */

static void *place(void *params, const struct kv_param *table, const char *key)
{
    for (const struct kv_param *row = table; row->key; row++)
        if (!strcmp(row->key, key)) return (char *)params + row->offset;
    kv_assert(false);
    return NULL;
}

double kv_net_link_message_s(const struct kv_net_link *link, const struct kv_net_point *point)
{
    const struct kv_link_ops *roce = kv_plugin_ops(link, kv_plugin_find(KV_FAMILY_link, "roce"));
    const struct kv_param *table = roce->info.params;
    _Alignas(16) char params[4096] = {0};
    kv_assert(roce->info.params_bytes <= sizeof params);
    int64_t endpoints = point->endpoints;
    *(double *)place(params, table, "bandwidth") = link->bandwidth_bps;
    *(double *)place(params, table, "latency") = link->latency_s;
    *(double *)place(params, table, "message_cost") = link->message_cost_s;
    *(bool *)place(params, table, "headers") = link->headers;
    *(int64_t *)place(params, table, "mtu") = link->mtu_bytes;
    *(int64_t *)place(params, table, "operation") = link->operation == KV_NET_READ;
    *(int64_t *)place(params, table, "queue_pairs") = link->own_pairs ? endpoints : 1;
    *(int64_t *)place(params, table, "outstanding") = point->outstanding * (link->own_pairs ? 1 : endpoints);
    double bytes = (double)point->message_bytes;
    return bytes / kv_rate_to_Bps(roce->message_rate(params, bytes));
}

/* ---- the fit ---- */

struct fit { const struct kv_net_points *points; const bool *held; struct kv_net_link *link; };

static bool counts(const struct fit *f, int32_t i)
{
    return f->points->at[i].repeats > 0 && !(f->held && f->held[i]);
}

/* The wire carries what its fastest point shows: the others are slower for other reasons. */
static double fastest_bps(const struct fit *f)
{
    struct kv_net_link wire = { .bandwidth_bps = 1e9, .headers = f->link->headers, .mtu_bytes = f->link->mtu_bytes,
                                .operation = f->link->operation };
    double bps = 1;
    for (int32_t i = 0; i < f->points->count; i++) {
        if (!counts(f, i)) continue;
        struct kv_net_point any = f->points->at[i];
        any.outstanding = 1 << 20;   /* no window, and no cost: only the wire is left of the model */
        bps = fmax(bps, 1e9 * kv_net_link_message_s(&wire, &any) / any.message_s);
    }
    return bps;
}

static void set(struct kv_net_link *link, const gsl_vector *log_of)
{
    link->latency_s = exp(gsl_vector_get(log_of, 0));
    link->message_cost_s = exp(gsl_vector_get(log_of, 1));
}

/* Pseudo-Huber loss of relative errors: squares up to some 5 %, then their size, so that a point that something else
 * disturbed does not pull the others. */
static double loss(const gsl_vector *log_of, void *context)
{
    const struct fit *f = context;
    struct kv_net_link link = *f->link;
    double sum = 0;
    set(&link, log_of);
    if (link.latency_s > 10 || link.message_cost_s > 1) return 1e9;
    for (int32_t i = 0; i < f->points->count; i++) {
        if (!counts(f, i)) continue;
        double error = log(kv_net_link_message_s(&link, &f->points->at[i]) / f->points->at[i].message_s) / 0.05;
        sum += sqrt(1 + error * error) - 1;
    }
    return sum;
}

/* Where to begin: half of the fastest single message, and the fastest messages. */
static void begin(const struct fit *f, gsl_vector *log_of)
{
    double rate = 1, single_s = 1;
    for (int32_t i = 0; i < f->points->count; i++) {
        if (!counts(f, i)) continue;
        const struct kv_net_point *p = &f->points->at[i];
        rate = fmax(rate, 1 / p->message_s / (f->link->own_pairs ? p->endpoints : 1));
        if (p->outstanding == 1) single_s = fmin(single_s, p->message_s * p->endpoints);
    }
    gsl_vector_set(log_of, 0, log(fmax(single_s / 2, 1e-9)));
    gsl_vector_set(log_of, 1, log(fmax(1 / rate, 1e-9)));
}

/* Nelder and Mead, begun anew from where it ended: the least of several bounds has edges, at which it may halt. */
static double minimise(struct fit *f)
{
    gsl_vector *at = gsl_vector_alloc(2), *step = gsl_vector_alloc(2);
    gsl_multimin_fminimizer *m = gsl_multimin_fminimizer_alloc(gsl_multimin_fminimizer_nmsimplex2, 2);
    gsl_multimin_function what = { .f = loss, .n = 2, .params = f };
    double best = INFINITY;
    f->link->bandwidth_bps = fastest_bps(f);
    begin(f, at);
    for (int32_t round = 0; round < 4; round++) {
        gsl_vector_set_all(step, round % 2 ? 0.05 : 0.5);
        gsl_multimin_fminimizer_set(m, &what, at, step);
        for (int32_t i = 0; i < 300 && gsl_multimin_fminimizer_size(m) > 1e-6; i++)
            if (gsl_multimin_fminimizer_iterate(m)) break;
        best = gsl_multimin_fminimizer_minimum(m);
        gsl_vector_memcpy(at, gsl_multimin_fminimizer_x(m));
    }
    set(f->link, at);
    gsl_multimin_fminimizer_free(m);
    gsl_vector_free(at);
    gsl_vector_free(step);
    return best;
}

/* Both ways in which endpoints may count, where there are several; the better one. */
static void fit(struct fit *f)
{
    struct kv_net_link *link = f->link, shared = *link;
    int32_t endpoints = 1;
    for (int32_t i = 0; i < f->points->count; i++)
        if (counts(f, i) && f->points->at[i].endpoints > endpoints) endpoints = f->points->at[i].endpoints;
    link->own_pairs = true;
    double own_loss = minimise(f);
    if (endpoints == 1) return;
    shared.own_pairs = false;
    struct fit other = { f->points, f->held, &shared };
    if (minimise(&other) < own_loss) *link = shared;
}

/* A fifth, but none with the least or largest messages: those alone tell latency and bandwidth. */
static int32_t hold_out(const struct kv_net_points *p, bool *held)
{
    int64_t least = INT64_MAX, largest = 0;
    int32_t count = 0;
    for (int32_t i = 0; i < p->count; i++) {
        if (p->at[i].message_bytes < least) least = p->at[i].message_bytes;
        if (p->at[i].message_bytes > largest) largest = p->at[i].message_bytes;
    }
    for (int32_t i = 0; i < p->count; i++) {
        held[i] = p->at[i].repeats && p->at[i].message_bytes > least && p->at[i].message_bytes < largest
                  && kv_mix64_pair(HOLDOUT_SEED, (uint64_t)i) % 1000 < HOLDOUT_PERMILLE;
        count += held[i];
    }
    return count;
}

static double mean_error(const struct kv_net_points *p, const struct kv_net_link *link, const bool *only)
{
    double sum = 0;
    int32_t count = 0;
    for (int32_t i = 0; i < p->count; i++) {
        if (!p->at[i].repeats || (only && !only[i])) continue;
        sum += fabs(p->at[i].message_s / kv_net_link_message_s(link, &p->at[i]) - 1);   /* of rates */
        count++;
    }
    return count ? sum / count : NAN;
}

bool kv_net_fit(const struct kv_net_points *points, struct kv_net_link *link, struct kv_err *err)
{
    link->points = 0;
    for (int32_t i = 0; i < points->count; i++) link->points += points->at[i].repeats > 0;
    if (link->points < LEAST_POINTS)
        return kv_fail(err, KV_ECALIB, "", "%d points are measured; a fit needs %d: more sizes, more messages "
                       "outstanding, or a larger --budget", link->points, LEAST_POINTS);
    struct kv_arena arena = {0};
    bool *held = kv_arena_take(&arena, (size_t)points->count);
    link->held = hold_out(points, held);
    link->holdout = NAN;
    if (link->held && link->points - link->held >= LEAST_POINTS) {
        struct kv_net_link first = *link;
        fit(&(struct fit){ points, held, &first });
        link->holdout = mean_error(points, &first, held);
    }
    fit(&(struct fit){ points, NULL, link });
    link->error = mean_error(points, link, NULL);
    kv_arena_close(&arena);
    return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Prefill times measured for some contexts and cached shares, over an affine base (sim/iface/affine_rule.h) that is
 * fitted to them: what papers and one's own runs of whole prompts give.
 *
 *   chunk = base(new, cached) * 2^r(context, hit)       context = new + cached, hit = cached / context
 *
 * r is what the points say beside the base: log2(measured / base) at a point, linear in hit between the points of one
 * context, linear in log2(context) between contexts, and the nearest one's outside. So a prompt like a point takes what
 * was measured, exactly. In a step with several chunks the constant is charged once, the largest of theirs; decodes are
 * affine. Integers throughout. */
#include <string.h>
#include <unistd.h>

#include "sim/conf/data.h"
#include "sim/iface/compute.h"
#include "sim/iface/affine_rule.h"
#include "sim/lib/log2.h"
#include "sim/lib/rows.h"

#define POINTS_MAX 256
#define RESIDUAL_MAX (4 * KV_LOG2_ONE)   /* a factor of 16: then the base is no base, or the unit is wrong */
#define PREFILL_NS_MAX (INT64_C(3600) * 1000000000)

struct params { struct kv_affine_params affine; const char *points; };
static const struct kv_param params[] = {
    KV_AFFINE_ROWS(struct params),
    { "points", KV_DIM_TEXT, offsetof(struct params, points), "none", 0, 0, NULL,
      "CSV with context_tokens, cached_tokens, prefill_ms, by context and cached; looked for here, then beside models/",
      NULL },
    KV_PARAM_END
};

struct point { int64_t context, cached, hit, residual; kv_cost measured; };   /* hit, residual in 2^-40 */
struct context { int64_t tokens, log; int32_t first, count; };
struct points {
    struct kv_affine base;
    int32_t point_count, context_count;
    struct point point[POINTS_MAX];
    struct context context[POINTS_MAX];
};

static int64_t hit_of(int64_t cached, int64_t context)
{
    return (int64_t)(((kv_u128)cached << KV_LOG2_BITS) / (kv_u128)context);
}

/* ---- the file ---- */

enum column { CONTEXT, CACHED, PREFILL, COLUMNS };
static const char *const column_name[] = {"context_tokens", "cached_tokens", "prefill_ms", NULL};

struct file { struct kv_rows rows; struct kv_columns columns; struct points *to; };

static bool read_point(struct file *f, struct point *p, struct kv_err *err)
{
    struct kv_input *in = &f->rows.in;
    int64_t ns;
    if (!kv_columns_row(&f->columns, &f->rows, err)
        || !kv_columns_whole(&f->columns, &f->rows, CONTEXT, KV_FIELD_TOKENS_MAX, &p->context, err)
        || !kv_columns_whole(&f->columns, &f->rows, CACHED, KV_FIELD_TOKENS_MAX, &p->cached, err))
        return false;
    const struct kv_csv_field *time = kv_columns_field(&f->columns, PREFILL);
    if (!kv_field_ns(in, "prefill_ms", time->text, time->length, 6, &ns, err)) return false;
    if (p->cached >= p->context)
        return kv_input_fail(in, err, "cached_tokens is %lld, of a context of %lld: nothing is left to compute",
                             (long long)p->cached, (long long)p->context);
    if (ns == 0 || ns > PREFILL_NS_MAX)
        return kv_input_fail(in, err, "prefill_ms '%s' is not in 0.000001 .. 3600000",
                             kv_excerpt(time->text, time->length).text);
    p->measured = ns * KV_COST_PER_NS;
    p->hit = hit_of(p->cached, p->context);
    return true;
}

static bool add_point(struct file *f, struct point p, struct kv_err *err)
{
    struct points *to = f->to;
    const struct point *last = to->point_count ? &to->point[to->point_count - 1] : NULL;
    if (last && (p.context < last->context || (p.context == last->context && p.cached <= last->cached)))
        return kv_input_fail(&f->rows.in, err, "context %lld, cached %lld after %lld, %lld: rows must be sorted, each "
                             "once", (long long)p.context, (long long)p.cached, (long long)last->context,
                             (long long)last->cached);
    if (to->point_count == POINTS_MAX) return kv_input_fail(&f->rows.in, err, "more than %d points", POINTS_MAX);
    int64_t fresh = p.context - p.cached;
    kv_cost base = to->base.prefill_base + kv_affine_chunk(&to->base, fresh, p.cached);
    p.residual = kv_log2((kv_u128)p.measured) - kv_log2((kv_u128)(base > 0 ? base : 1));
    if (p.residual > RESIDUAL_MAX || p.residual < -RESIDUAL_MAX)
        return kv_input_fail(&f->rows.in, err, "the coefficients of compute give %.3f ms here, 16 times %s than "
                             "measured; are they those fitted to these points?", (double)base / 0x1p40 / 1e6,
                             p.residual > 0 ? "less" : "more");
    if (!last || p.context != last->context)
        to->context[to->context_count++] =
            (struct context){p.context, kv_log2((kv_u128)p.context), to->point_count, 0};
    to->context[to->context_count - 1].count++;
    to->point[to->point_count++] = p;
    return true;
}

static enum kv_row_kind read_line(void *state, struct kv_err *err)
{
    struct file *f = state;
    struct point p = {0};
    if (!f->rows.header) return kv_columns_header(&f->columns, &f->rows, err);
    return read_point(f, &p, err) && add_point(f, p, err) ? KV_ROW_GOOD : KV_ROW_BAD;
}

static bool read_file(struct points *to, const char *path, struct kv_err *err)
{
    struct kv_arena arena = {0};
    const char *data = path[0] != '/' && access(path, F_OK) ? kv_data_folder(&arena) : NULL;
    struct file f = {.columns = {.name = column_name, .required = COLUMNS}, .to = to};
    bool good = kv_rows_open(&f.rows, data ? kv_arena_text(&arena, "%s/%s", data, path) : path, false, false, err);
    int got = good;
    while (got == 1) got = kv_rows_next(&f.rows, read_line, &f, err);
    good = good && got == 0;
    kv_rows_close(&f.rows);
    kv_arena_close(&arena);
    /* A part of the configuration, whatever the scanner of traces calls its faults. */
    if (!good && err && err->code == KV_ETRACE) err->code = KV_ECONFIG;
    return good;
}

static bool open_state(void *state, const void *params_given, const struct kv_compute_env *env, struct kv_err *err)
{
    (void)env;
    const struct params *p = params_given;
    struct points *m = state;
    m->base = kv_affine_of(&p->affine);
    if (kv_affine_is_zero(&m->base))
        return kv_fail(err, KV_ECONFIG, "compute", "every coefficient is zero: prefill_points needs a base, such as a "
                       "fit of prefill_base, prefill_per_token and prefill_per_pair to the points");
    return strcmp(p->points, "none") == 0 || read_file(m, p->points, err);
}

/* ---- pricing ---- */

/* Share of the way from `from` to `to`, in 2^-40, cut to 0 .. 1. */
static int64_t share_of(int64_t at, int64_t from, int64_t to)
{
    if (at <= from) return 0;
    if (at >= to) return KV_LOG2_ONE;
    return (int64_t)(((kv_cost)(at - from) << KV_LOG2_BITS) / (to - from));
}

static int64_t between(int64_t from, int64_t to, int64_t share)
{
    return from + (int64_t)(((kv_cost)(to - from) * share) >> KV_LOG2_BITS);
}

static int64_t residual_in(const struct points *m, const struct context *c, int64_t hit)
{
    const struct point *p = &m->point[c->first];
    int32_t i = 0;
    while (i + 2 < c->count && p[i + 1].hit <= hit) i++;
    if (c->count == 1) return p->residual;
    return between(p[i].residual, p[i + 1].residual, share_of(hit, p[i].hit, p[i + 1].hit));
}

static int64_t residual_at(const struct points *m, int64_t context, int64_t hit)
{
    int64_t log = kv_log2((kv_u128)context);
    int32_t i = 0;
    while (i + 2 < m->context_count && m->context[i + 1].log <= log) i++;
    int64_t below = residual_in(m, &m->context[i], hit);
    if (m->context_count == 1) return below;
    return between(below, residual_in(m, &m->context[i + 1], hit),
                   share_of(log, m->context[i].log, m->context[i + 1].log));
}

static const struct point *point_at(const struct points *m, int64_t context, int64_t cached)
{
    for (int32_t i = 0; i < m->point_count; i++)
        if (m->point[i].context == context && m->point[i].cached == cached) return &m->point[i];
    return NULL;
}

/* cost * factor, floor; the halves of the cost keep the products inside 127 bits. */
static kv_cost scaled(kv_cost cost, int64_t factor)
{
    kv_cost low = cost & (((kv_cost)1 << KV_EXP2_BITS) - 1);
    return (cost >> KV_EXP2_BITS) * factor + (low * factor >> KV_EXP2_BITS);
}

/* The chunk by itself: its constant, and what comes to that. */
static kv_cost chunk_cost(const struct points *m, const struct kv_chunk *c, kv_cost *constant)
{
    int64_t context = c->new_tokens + c->ctx_tokens;
    kv_cost work = kv_affine_chunk(&m->base, c->new_tokens, c->ctx_tokens);
    *constant = m->base.prefill_base;
    if (m->point_count == 0) return work;
    int64_t factor = kv_exp2(residual_at(m, context, hit_of(c->ctx_tokens, context)));
    const struct point *exact = point_at(m, context, c->ctx_tokens);
    *constant = scaled(*constant, factor);
    return exact ? exact->measured - *constant : scaled(work, factor);
}

static struct kv_run price(const void *state, const struct kv_batch *batch)
{
    const struct points *m = state;
    kv_cost constant = batch->decode_count > 0 ? m->base.decode_base : 0;
    kv_cost first = kv_affine_decodes(&m->base, batch->decode_count, batch->ctx_sum);
    for (int32_t i = 0; i < batch->chunk_count; i++) {
        kv_cost own;
        first += chunk_cost(m, &batch->chunks[i], &own);
        if (own > constant) constant = own;
    }
    if (batch->chunk_count > 0) return (struct kv_run){first + constant > 0 ? first + constant : 1, 0, 1};
    first += constant > 0 ? constant : 1;   /* the contract's least cost; as a constant it keeps runs straight */
    return (struct kv_run){first, batch->decode_count * m->base.per_kv_token, INT64_MAX};
}

static bool inside(const struct points *m, const struct context *c, int64_t hit)
{
    return hit >= m->point[c->first].hit && hit <= m->point[c->first + c->count - 1].hit;
}

/* Outside of the contexts, or of the hits of either neighbouring one. */
static bool outside(const void *state, const struct kv_batch *batch)
{
    const struct points *m = state;
    if (m->point_count == 0) return false;
    for (int32_t i = 0; i < batch->chunk_count; i++) {
        int64_t context = batch->chunks[i].new_tokens + batch->chunks[i].ctx_tokens;
        int64_t hit = hit_of(batch->chunks[i].ctx_tokens, context);
        int32_t at = 0;
        while (at < m->context_count && m->context[at].tokens < context) at++;
        if (at == m->context_count || (at == 0 && m->context[0].tokens > context)) return true;
        if (!inside(m, &m->context[at], hit)) return true;
        if (m->context[at].tokens > context && !inside(m, &m->context[at - 1], hit)) return true;
    }
    return false;
}

const struct kv_compute_ops kv_compute_prefill_points = {
    .info = { .help = "measured prefill times over an affine base, by context and cached share",
              .params = params, .params_bytes = sizeof(struct params) },
    .state_bytes = sizeof(struct points),
    .open = open_state, .price = price, .outside = outside,
};

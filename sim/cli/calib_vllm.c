/* SPDX-License-Identifier: Apache-2.0 */
/* Import of per-layer times taken inside vLLM (LLMServingSim's profiler): dense, per_sequence, attention, skew and, for
 * mixtures of experts, moe. How they add up to a step: docs/calibration.md. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sim/base/rng.h"
#include "sim/cli/calib.h"
#include "sim/lib/csv.h"
#include "sim/lib/field.h"
#include "sim/lib/fit.h"

#define TOKENS_MAX 65536     /* of a profiled step */

/* ---- reading ---- */

/* Rows of a CSV file with the wanted columns, times in ns. */
enum { FIELDS_MAX = 8 };
struct sheet { KV_VEC(struct sheet_row { const char *name; double field[FIELDS_MAX]; bool held; }) row; };

/* A decimal number; these files are written by pandas. Empty: not a number. */
static bool read_number(const struct kv_input *in, const char *name, const struct kv_csv_field *f, double *value,
                        struct kv_err *err)
{
    char *end;
    *value = f->length ? strtod(f->text, &end) : NAN;
    if (!f->length || (end == f->text + f->length && isfinite(*value) && fabs(*value) < 1e12)) return true;
    return kv_input_fail(in, err, "%s: '%s' is not a number", name, kv_excerpt(f->text, f->length).text);
}

static bool read_row(struct kv_arena *arena, struct sheet *s, const struct kv_input *in, const struct kv_csv *line,
                     const char *const *column, const int32_t *at, struct kv_err *err)
{
    struct sheet_row row = {.name = ""};
    for (int32_t i = 0; column[i]; i++) {
        const struct kv_csv_field *f = &line->field[at[i]];
        if (strcmp(column[i], "layer") == 0) {
            row.name = kv_arena_copy(arena, f->text, f->length);
            continue;
        }
        if (!read_number(in, column[i], f, &row.field[i], err)) return false;
        bool time = strstr(column[i], "_us") != NULL;
        if (row.field[i] < 0 || (!time && row.field[i] > TOKENS_MAX * 16.0))
            return kv_input_fail(in, err, "%s: %s is out of range", column[i], f->text);
        if (time) row.field[i] *= 1e3;
    }
    kv_vec_push(&s->row, row);
    return true;
}

/* Whether point i of a table is held out. */
static bool is_held(const struct kv_holdout *h, size_t i)
{
    return (int64_t)(kv_mix64(h->seed ^ kv_mix64(i)) % 1000) < h->permille;
}

/* Reads FOLDER/FILE and holds out some of its rows. */
static bool read_sheet(struct kv_arena *arena, const char *folder, const char *file, const char *const *column,
                       const struct kv_holdout *holdout, struct sheet *s, struct kv_err *err)
{
    struct kv_input in = {0};
    struct kv_csv line;
    int32_t at[FIELDS_MAX];
    bool good = kv_input_open(&in, kv_arena_text(arena, "%s/%s.gz", folder, file), false, NULL);
    if (!good) {   /* not compressed, perhaps */
        kv_input_close(&in);
        in = (struct kv_input){0};
        good = kv_input_open(&in, kv_arena_text(arena, "%s/%s", folder, file), false, err);
    }
    int got = good ? kv_input_line(&in, err) : -1;
    if (got == 0) kv_fail(err, KV_ECONFIG, in.path, "the file is empty");
    good = got == 1 && (kv_csv_split(&line, in.line, in.length) || kv_input_fail(&in, err, "a quote is not closed"));
    for (int32_t i = 0; good && column[i]; i++) {
        at[i] = kv_csv_find(&line, column[i]);
        good = at[i] >= 0 || kv_input_fail(&in, err, "no column '%s'", column[i]);
    }
    int32_t columns = good ? line.count : 0;
    while (good && (got = kv_input_line(&in, err)) == 1) {
        good = (kv_csv_split(&line, in.line, in.length) && line.count == columns)
               || kv_input_fail(&in, err, "%d columns, expected %d", line.count, columns);
        good = good && read_row(arena, s, &in, &line, column, at, err);
    }
    good = good && got == 0;
    if (good && s->row.count == 0) good = kv_input_fail(&in, err, "no rows");
    for (size_t i = 0; i < s->row.count; i++) s->row.at[i].held = is_held(holdout, i);
    kv_input_close(&in);
    if (!good && err->code == KV_ETRACE) err->code = KV_ECONFIG;
    return good;
}

/* ---- one table after another ---- */

struct points { KV_VEC(struct kv_fit_point) at; };

/* Sum and count of |prediction / measured - 1|. */
struct score { double sum; int64_t count; };

static void add_score(struct score *s, double predicted, double measured)
{
    s->sum += fabs(predicted / measured - 1);
    s->count++;
}

static double mean_of(const struct score *s)
{
    return s->count ? s->sum / (double)s->count : 0;
}

struct import {
    struct kv_arena *arena;
    const struct kv_model_shape *model;
    const struct kv_holdout *holdout;
    struct sheet dense, head, attention, skew, moe;
    bool all;                     /* fit with the points held out, too */
};

static bool used(const struct import *m, const struct sheet_row *r)
{
    return m->all || !r->held;
}

static void fit(const struct import *m, struct points *p, const struct kv_fit_rule *rule, struct kv_knots *knots)
{
    kv_fit_knots(m->arena, p->at.at, p->at.count, rule, knots);
    kv_vec_close(&p->at);
}

/* Products of tokens with the experts that they meet. */
static void fit_experts(struct import *m, struct kv_profile *p)
{
    struct points points = {0};
    for (size_t i = 0; i < m->moe.row.count; i++) {
        const double *f = m->moe.row.at[i].field;
        kv_vec_push(&points.at, ((struct kv_fit_point){(int64_t)f[0], (int64_t)f[1], f[2]}));
    }
    if (points.at.count) fit(m, &points, &(struct kv_fit_rule){0.005, 1000, 20, 20}, &p->experts);
}

/* Operators of a layer and how often each runs in it; those of a whole step. */
static const struct part { const char *name; double times; bool once; } parts[] = {
    {"layernorm", 2, false}, {"qkv_proj", 1, false}, {"qk_norm", 1, false}, {"rotary_emb", 1, false},
    {"o_proj", 1, false}, {"gate_up_proj", 1, false}, {"act_fn", 1, false}, {"down_proj", 1, false},
    {"embedding", 1, true}, {"final_layernorm", 1, true},
};
#define PARTS (sizeof parts / sizeof *parts)
struct dense { double layer, once; uint32_t found; bool held; };

static bool add_dense(struct import *m, struct dense *dense, const char *folder, struct kv_err *err)
{
    uint32_t all = 0;
    int32_t first = 0, last = 0;
    for (size_t i = 0; i < m->dense.row.count; i++) {
        const struct sheet_row *r = &m->dense.row.at[i];
        size_t part = 0;
        while (part < PARTS && strcmp(parts[part].name, r->name) != 0) part++;
        if (part == PARTS)
            return kv_fail(err, KV_ECONFIG, folder, "dense: layer '%s' is not known", r->name);
        if (r->field[1] < 1 || r->field[1] >= TOKENS_MAX)
            return kv_fail(err, KV_ECONFIG, folder, "dense: %.0f tokens are out of range", r->field[1]);
        struct dense *d = &dense[(int32_t)r->field[1]];
        *(parts[part].once ? &d->once : &d->layer) += parts[part].times * r->field[2];
        d->found |= 1u << part;
        all |= 1u << part;
    }
    for (int32_t n = 1; n < TOKENS_MAX; n++) {
        struct dense *d = &dense[n];
        if (d->found && d->found != all)
            return kv_fail(err, KV_ECONFIG, folder, "dense: not every layer is there for %d tokens", n);
        d->held = d->found && is_held(m->holdout, (size_t)n);   /* all layers of a number of tokens */
        if (d->found && !first) first = n;
        if (d->found) last = n;
    }
    dense[first].held = dense[last].held = false;   /* past them nothing is interpolated */
    return true;
}

/* A matrix product works on tiles of tokens, of a power of two: where the time of a layer leaps from one number of
 * tokens measured to the next, a tile more has begun, and however little is in it, it costs as much. It ends at the
 * number in [from, to) that is divided by the largest power of two. A rise no steeper than that of the tokens is
 * none: a straight line has it, too. */
#define LEAP 0.02

static int32_t tile_end(int32_t from, int32_t to)
{
    for (int32_t size = 1 << 30; size > 0; size /= 2) {
        int32_t end = (from + size - 1) / size * size;
        if (end < to) return end;
    }
    return from;
}

static void fit_dense(struct import *m, const struct dense *dense, struct kv_profile *p, struct score *score)
{
    struct points layer = {0}, once = {0};
    int32_t last = 0;
    for (int32_t n = 1; n < TOKENS_MAX; n++) {
        if (!dense[n].found || (dense[n].held && !m->all)) continue;
        double rise = last > 0 ? dense[n].layer / dense[last].layer - 1 : 0;
        if (rise > fmax(LEAP, (double)(n - last) / last)) {
            int32_t end = tile_end(last, n);
            if (end > last) kv_vec_push(&layer.at, ((struct kv_fit_point){end, 0, dense[last].layer}));
            if (end + 1 < n) kv_vec_push(&layer.at, ((struct kv_fit_point){end + 1, 0, dense[n].layer}));
        }
        kv_vec_push(&layer.at, ((struct kv_fit_point){n, 0, dense[n].layer}));
        kv_vec_push(&once.at, ((struct kv_fit_point){n, 0, dense[n].once}));
        last = n;
    }
    fit(m, &layer, &(struct kv_fit_rule){0.005, 1000, 160, 1}, &p->layer);
    struct kv_knots free_once;
    fit(m, &once, &(struct kv_fit_rule){0.02, 1000, 160, 1}, &free_once);
    p->once = p->layer;   /* one table: the same knots */
    p->once.at = kv_arena_take(m->arena, (size_t)p->layer.rows * sizeof *p->once.at);
    for (int32_t i = 0; i < p->layer.rows; i++)
        p->once.at[i] = llround(kv_knots_at(&free_once, (double)p->layer.x[i], 0));
    for (int32_t n = 1; n < TOKENS_MAX; n++)
        if (dense[n].held) add_score(score, kv_knots_at(&p->layer, n, 0), dense[n].layer);
}

static void fit_head(struct import *m, struct kv_profile *p, struct score *score)
{
    struct points points = {0};
    size_t count = m->head.row.count;
    for (int32_t pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < count; i++) {   /* lm_head with the sampler of as many sequences */
            const struct sheet_row *r = &m->head.row.at[i], *other = NULL;
            if (strcmp(r->name, "lm_head") != 0) continue;
            for (size_t j = 0; j < count && !other; j++) {
                const struct sheet_row *q = &m->head.row.at[j];
                if (strcmp(q->name, "sampler") == 0 && q->field[1] == r->field[1]) other = q;
            }
            double time = r->field[2] + (other ? other->field[2] : 0);
            if (pass == 0 && used(m, r))
                kv_vec_push(&points.at, ((struct kv_fit_point){(int64_t)r->field[1], 0, time}));
            if (pass == 1 && r->held) add_score(score, kv_knots_at(&p->head, r->field[1], 0), time);
        }
        if (pass == 0) fit(m, &points, &(struct kv_fit_rule){0.005, 1000, 160, 1}, &p->head);
    }
}

/* attention: prefill_chunk, kv_prefill, n_decode, kv_decode, time. */
enum { CHUNK, CACHED, COUNT, LENGTH, TIME };

/* Attention of chunks alone and of decodes alone. */
static void fit_pure(struct import *m, bool chunks, struct kv_knots *knots, struct score *score)
{
    const int32_t x = chunks ? CHUNK : COUNT, y = chunks ? CACHED : LENGTH, other = chunks ? COUNT : CHUNK;
    struct points points = {0};
    for (int32_t pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < m->attention.row.count; i++) {
            const struct sheet_row *r = &m->attention.row.at[i];
            if (r->field[other] != 0 || r->field[x] == 0) continue;
            if (pass == 0 && used(m, r))
                kv_vec_push(&points.at, ((struct kv_fit_point){(int64_t)r->field[x], (int64_t)r->field[y],
                                                               r->field[TIME]}));
            if (pass == 1 && r->held) add_score(score, kv_knots_at(knots, r->field[x], r->field[y]), r->field[TIME]);
        }
        if (pass == 0) fit(m, &points, &(struct kv_fit_rule){0.02, 2000, 20, 20}, knots);
    }
}

static bool is_mixed(const struct sheet_row *r)
{
    return r->field[CHUNK] > 0 && r->field[COUNT] > 0;
}

/* Decodes beside the smallest chunk measured: what they cost in the kernel that chunks need. */
static void fit_beside(struct import *m, struct kv_profile *p)
{
    struct points points = {0};
    int64_t least = p->prefill.x[0];
    for (size_t i = 0; i < m->attention.row.count; i++) {
        const struct sheet_row *r = &m->attention.row.at[i];
        if (is_mixed(r) && (int64_t)r->field[CHUNK] == least && r->field[CACHED] == 0 && used(m, r))
            kv_vec_push(&points.at, ((struct kv_fit_point){(int64_t)r->field[COUNT], (int64_t)r->field[LENGTH],
                                                           r->field[TIME]}));
    }
    fit(m, &points, &(struct kv_fit_rule){0.02, 2000, 20, 20}, &p->mixed);
}

/* A mixed batch without what `added` and blocks say: the larger of chunks' and decodes' attention; and the lesser. */
static double larger_of(const struct kv_profile *p, const double *f, double *lesser)
{
    double chunks = kv_knots_at(&p->prefill, f[CHUNK], f[CACHED]);
    double decodes = kv_knots_at(&p->mixed, f[COUNT], f[LENGTH]);
    *lesser = fmax(fmin(chunks, decodes) - (double)p->prefill.at[0], 0);
    return fmax(chunks, decodes);
}

/* Shares that are added and time of a block: least squares of the one given the other, in turn. A block's time is
 * common to all; the share goes by the number of sequences and never falls: many fill the GPU and leave nothing to run
 * beside. */
static double fit_added(struct import *m, struct kv_profile *p)
{
    double block_ns = 0;
    KV_VEC(struct kv_fit_pair) share = {0}, block = {0};
    for (int32_t round = 0; round < 8; round++) {
        block.count = 0;
        for (int32_t k = 0; k < p->added.rows; k++) {
            share.count = 0;
            for (int32_t pass = 0; pass < 2; pass++) {
                double added = (double)p->added.at[k] / 1000, less;
                for (size_t i = 0; i < m->attention.row.count; i++) {
                    const double *f = m->attention.row.at[i].field;
                    if (!is_mixed(&m->attention.row.at[i]) || !used(m, &m->attention.row.at[i])) continue;
                    if ((int64_t)f[COUNT] != p->added.x[k]) continue;
                    double rest = f[TIME] - larger_of(p, f, &less), weight = 1 / (f[TIME] * f[TIME]);
                    double blocks = f[COUNT] * f[CHUNK];
                    if (pass == 0)
                        kv_vec_push(&share, ((struct kv_fit_pair){less, rest - block_ns * blocks, weight}));
                    else
                        kv_vec_push(&block, ((struct kv_fit_pair){blocks, rest - added * less, weight}));
                }
                if (pass > 0) continue;
                int64_t least = k > 0 ? p->added.at[k - 1] : 0, value = least;
                if (share.count) value = llround(1000 * kv_fit_factor(share.at, share.count));
                p->added.at[k] = value < least ? least : value > 1000 ? 1000 : value;
            }
        }
        block_ns = fmax(kv_fit_factor(block.at, block.count), 0);
    }
    kv_vec_close(&share);
    kv_vec_close(&block);
    return block_ns;
}

static void fit_mixed(struct import *m, struct kv_profile *p, const struct kv_knots *counts, struct score *score)
{
    fit_beside(m, p);
    p->added = *counts;
    p->added.at = kv_arena_take(m->arena, (size_t)counts->rows * sizeof *p->added.at);
    double block_ns = fit_added(m, p), less;
    p->mixed_block_s = round(block_ns * 1e6) * 1e-15;
    for (size_t i = 0; i < m->attention.row.count; i++) {
        const double *f = m->attention.row.at[i].field;
        if (!is_mixed(&m->attention.row.at[i]) || !m->attention.row.at[i].held) continue;
        double larger = larger_of(p, f, &less), added = kv_knots_at(&p->added, f[COUNT], 0) / 1000;
        add_score(score, larger + added * less + block_ns * f[COUNT] * f[CHUNK], f[TIME]);
    }
}

/* skew: n, pc, t_mean, t_max, t_skew. */
enum { SKEW_N, SKEW_CHUNK, SKEW_MEAN, SKEW_MAX, SKEW_TIME };

/* Shares of the longest context by number of sequences, in steps without and with chunks. What is left to the mean may
 * grow with the number of sequences no faster than that number: else one sequence more could make a batch cheaper.
 * Least squares of the time, not of the relative error: what a run adds up is time, and long batches have most of it
 * (the measuring program's own fallback share, alpha_default, is fitted so). */
static void fit_shares(struct import *m, const struct kv_knots *counts, bool chunks, struct kv_knots *knots)
{
    *knots = (struct kv_knots){.rows = counts->rows, .columns = 1, .x = counts->x};
    knots->at = kv_arena_take(m->arena, (size_t)counts->rows * sizeof *knots->at);
    double to_mean = 1;
    for (int32_t k = 0; k < counts->rows; k++) {
        KV_VEC(struct kv_fit_pair) pair = {0};
        for (size_t i = 0; i < m->skew.row.count; i++) {
            const double *f = m->skew.row.at[i].field;
            if ((int64_t)f[SKEW_N] != counts->x[k] || (f[SKEW_CHUNK] > 0) != chunks || !used(m, &m->skew.row.at[i]))
                continue;
            if (isfinite(f[SKEW_MEAN] + f[SKEW_MAX] + f[SKEW_TIME]) && f[SKEW_TIME] > 0)
                kv_vec_push(&pair, ((struct kv_fit_pair){f[SKEW_MAX] - f[SKEW_MEAN], f[SKEW_TIME] - f[SKEW_MEAN], 1}));
        }
        double share = pair.count ? 1 - kv_fit_factor(pair.at, pair.count) : to_mean, most = 1;
        if (k > 0) most = to_mean * (double)counts->x[k] / (double)counts->x[k - 1];
        to_mean = fmin(fmax(fmin(share, most), 0), 1);
        knots->at[k] = llround((1 - to_mean) * 1000);
        kv_vec_close(&pair);
    }
}

static void fit_longest(struct import *m, struct kv_profile *p, const struct kv_knots *counts, struct score *score)
{
    fit_shares(m, counts, false, &p->longest_decode);
    fit_shares(m, counts, true, &p->longest_mixed);
    for (size_t i = 0; i < m->skew.row.count; i++) {
        const double *f = m->skew.row.at[i].field;
        if (!m->skew.row.at[i].held || !isfinite(f[SKEW_MEAN] + f[SKEW_MAX] + f[SKEW_TIME]) || f[SKEW_TIME] <= 0)
            continue;
        const struct kv_knots *k = f[SKEW_CHUNK] > 0 ? &p->longest_mixed : &p->longest_decode;
        double share = kv_knots_at(k, f[SKEW_N], 0) / 1000;
        add_score(score, f[SKEW_MEAN] + share * (f[SKEW_MAX] - f[SKEW_MEAN]), f[SKEW_TIME]);
    }
}

static bool fit_all(struct import *m, const char *folder, struct kv_profile *p, struct kv_profile_errors *errors,
                    struct kv_err *err)
{
    struct score dense = {0}, head = {0}, prefill = {0}, decode = {0}, mixed = {0}, shares = {0};
    struct dense *sums = kv_arena_take(m->arena, TOKENS_MAX * sizeof *sums);
    if (!add_dense(m, sums, folder, err)) return false;
    fit_dense(m, sums, p, &dense);
    fit_experts(m, p);
    fit_head(m, p, &head);
    fit_pure(m, true, &p->prefill, &prefill);
    fit_pure(m, false, &p->decode, &decode);
    struct kv_knots counts = {.columns = 1, .x = kv_arena_take(m->arena, 64 * sizeof(int64_t))};
    for (int64_t n = 1; n <= p->decode.x[p->decode.rows - 1] && counts.rows < 64; n *= 2) counts.x[counts.rows++] = n;
    fit_mixed(m, p, &counts, &mixed);
    fit_longest(m, p, &counts, &shares);
    *errors = (struct kv_profile_errors){mean_of(&dense), mean_of(&head), mean_of(&prefill), mean_of(&decode),
                                         mean_of(&mixed), mean_of(&shares)};
    return true;
}

bool kv_calib_vllm_layers(struct kv_arena *arena, const char *folder, const struct kv_model_shape *model,
                          const struct kv_holdout *holdout, struct kv_profile *profile, struct kv_err *err)
{
    static const char *const dense[] = {"layer", "tokens", "time_us", NULL};
    static const char *const head[] = {"layer", "sequences", "time_us", NULL};
    static const char *const attention[] = {"prefill_chunk", "kv_prefill", "n_decode", "kv_decode", "time_us", NULL};
    static const char *const skew[] = {"n", "pc", "t_mean_us", "t_max_us", "t_skew_us", NULL};
    static const char *const moe[] = {"tokens", "activated_experts", "time_us", NULL};
    struct import m = {.arena = arena, .model = model, .holdout = holdout};
    bool good = read_sheet(arena, folder, "dense.csv", dense, holdout, &m.dense, err)
                && read_sheet(arena, folder, "per_sequence.csv", head, holdout, &m.head, err)
                && read_sheet(arena, folder, "attention.csv", attention, holdout, &m.attention, err)
                && read_sheet(arena, folder, "skew.csv", skew, holdout, &m.skew, err)
                && (!model->experts || read_sheet(arena, folder, "moe.csv", moe, holdout, &m.moe, err));
    struct kv_profile_errors errors, unused;
    good = good && fit_all(&m, folder, profile, &errors, err);
    m.all = true;
    good = good && fit_all(&m, folder, profile, &unused, err);
    if (good) profile->holdout = errors;
    kv_vec_close(&m.dense.row);
    kv_vec_close(&m.head.row);
    kv_vec_close(&m.attention.row);
    kv_vec_close(&m.skew.row);
    kv_vec_close(&m.moe.row);
    return good;
}

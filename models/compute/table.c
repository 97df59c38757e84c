/* SPDX-License-Identifier: Apache-2.0 */
/* A step's time from layers measured on the GPU: a profile (sim/conf/profile.h, docs/calibration.md).
 *
 *   step      = layers * (dense(T) + attention) + once(T) + head(Y)
 *   attention = decode(R, contexts)                                  without chunks
 *             = P + M, as far as they do not run side by side        with chunks:
 *               max(P, M) + added(R) * (min(P, M) - least P) + block * R * longest chunk
 *               P = sum of prefill(chunk), one launch for all; M = mixed(R, contexts)
 *
 * T = tokens of the step, as a CUDA graph has them (padded), R = decodes, Y = sequences that yield a token. Contexts of
 * different lengths cost (1 - a) f(mean) + a f(longest), with a(R) measured: a GPU is not done before its longest
 * sequence is.
 *
 * Routed experts, where the profile has them apart: n tokens that choose k of E experts evenly meet
 * E (1 - (1 - k/E)^n) of them, of which each of r ranks has one in r, with an r-th of the products. Ranks exchange the
 * tokens before and after: over a link that the scenario names, each hidden * 2 bytes, one at a time; else as an
 * all-gather and a reduce-scatter were measured on this kind of GPU, each rank with as many tokens as the one that has
 * most. Layers of tp GPUs get their two all-reduces here.
 *
 * Everything is linear between whole-numbered knots, in integers. Along a run T, R, Y and a stay, mean and longest
 * context grow by one: a run is a straight line up to the next knot of either. Past the last knot the cost grows with
 * the work, at the last knot's cost for a unit of it, and outside() says so. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "sim/conf/collective.h"
#include "sim/conf/data.h"
#include "sim/conf/op_compose.h"
#include "sim/iface/compute.h"

#define LINE_MAX 192   /* knots of a table of one axis */
#define AXIS_MAX 32    /* of each axis of a grid */
/* Shares between mean and longest context, and attention costs, which are kept in units of cost / WHOLE so that
 * blending them is exact. */
#define WHOLE_BITS 20
#define WHOLE ((kv_cost)1 << WHOLE_BITS)

struct table_params { const char *profile; bool enforce_eager; int64_t max_cudagraph_capture_size; };
static const struct kv_param params[] = {
    { "profile", KV_DIM_TEXT, offsetof(struct table_params, profile), "auto", 0, 0, NULL,
      "name of a profile that ships (see `kvsim calib info`), or a path with a slash; auto: by GPU, model and tp, else "
      "the operators of the GPU",
      NULL },
    { "enforce_eager", KV_DIM_BOOL, offsetof(struct table_params, enforce_eager), "false", 0, 0, NULL,
      "no CUDA graphs: steps are not padded, and layers composed of operators take the longer that was measured with "
      "kernels launched one by one; the host's part is host_overhead", NULL },
    { "max_cudagraph_capture_size", KV_DIM_TOKENS, offsetof(struct table_params, max_cudagraph_capture_size), "512", 0,
      1 << 20, NULL, "steps of up to so many tokens are CUDA graphs, padded to 1, 2, 4, a multiple of 8 up to 256, of "
      "16 from there (docs/calibration.md); 0: none", "vLLM, for 256 sequences and more; else twice max_num_seqs" },
    KV_PARAM_END
};

struct line { int32_t count; int64_t x[LINE_MAX]; kv_cost at[LINE_MAX]; };
struct grid { int32_t rows, columns; int64_t x[AXIS_MAX], y[AXIS_MAX]; kv_cost at[AXIS_MAX][AXIS_MAX]; };

struct table {
    struct line tokens, head;
    struct line experts;                        /* of all ranks' tokens; count 0: none, or they are in `tokens` */
    int64_t graph_tokens;                       /* steps of up to so many are padded */
    int32_t ranks;
    kv_cost peer_token, peer_latency;           /* of the exchanges of all layers, over a link; else */
    struct line gather, scatter;                /* as measured, over bytes, and so many bytes for each token of the */
    int64_t gather_bytes, scatter_bytes;        /* rank that has most; count 0: a link, or no ranks */
    struct grid prefill, decode, mixed;         /* all layers, in cost / WHOLE */
    struct line decode_longest, mixed_longest, added;   /* shares, 0..WHOLE */
    kv_cost pair;                               /* past the grid: a (query, key) pair of a chunk, in cost / WHOLE */
    kv_cost block;
};

/* ---- from the profile ---- */

/* Largest index i >= 0 with x[i] <= n; 0 where even the first is larger. */
static int32_t knot_below(const int64_t *x, int32_t count, int64_t n)
{
    int32_t low = 0, high = count;
    while (high - low > 1) {
        int32_t middle = (low + high) / 2;
        *(x[middle] <= n ? &low : &high) = middle;
    }
    return low;
}

static kv_cost interpolate(kv_cost from, kv_cost to, int64_t part, int64_t whole)
{
    return from + (to - from) * part / whole;
}

/* Adds knots, in units of `unit` / `parts`, to a line that is empty or has the same x. */
static bool add_line(struct line *line, const struct kv_knots *knots, kv_cost unit, int64_t parts, const char *what,
                     struct kv_err *err)
{
    if (knots->rows > LINE_MAX)
        return kv_fail(err, KV_ECALIB, what, "%d knots; at most %d can be used", knots->rows, LINE_MAX);
    line->count = knots->rows;
    for (int32_t i = 0; i < knots->rows; i++) {
        line->x[i] = knots->x[i];
        line->at[i] += unit * knots->at[i] / parts;
    }
    return true;
}

static bool fill_grid(struct grid *grid, const struct kv_knots *knots, int32_t layers, const char *what,
                      struct kv_err *err)
{
    if (knots->rows > AXIS_MAX || knots->columns > AXIS_MAX)
        return kv_fail(err, KV_ECALIB, what, "%d by %d knots; at most %d by %d can be used", knots->rows,
                       knots->columns, AXIS_MAX, AXIS_MAX);
    grid->rows = knots->rows;
    grid->columns = knots->columns;
    memcpy(grid->x, knots->x, (size_t)knots->rows * sizeof *grid->x);
    memcpy(grid->y, knots->y, (size_t)knots->columns * sizeof *grid->y);
    for (int32_t i = 0; i < knots->rows * knots->columns; i++)
        grid->at[i / knots->columns][i % knots->columns] = knots->at[i] * layers * KV_COST_PER_NS / WHOLE;
    return true;
}

static kv_cost pairs_of(int64_t fresh, int64_t cached)
{
    return (kv_cost)fresh * cached + (kv_cost)fresh * (fresh + 1) / 2;
}

static bool use_profile(struct table *m, const struct kv_profile *p, int32_t layers, const char *where,
                        struct kv_err *err)
{
    bool good = add_line(&m->tokens, &p->layer, layers * KV_COST_PER_NS, 1, where, err)
                && add_line(&m->tokens, &p->once, KV_COST_PER_NS, 1, where, err)
                && add_line(&m->head, &p->head, KV_COST_PER_NS, 1, where, err)
                && add_line(&m->decode_longest, &p->longest_decode, WHOLE, 1000, where, err)
                && add_line(&m->mixed_longest, &p->longest_mixed, WHOLE, 1000, where, err)
                && add_line(&m->added, &p->added, WHOLE, 1000, where, err)
                && fill_grid(&m->prefill, &p->prefill, layers, where, err)
                && fill_grid(&m->decode, &p->decode, layers, where, err)
                && fill_grid(&m->mixed, &p->mixed, layers, where, err);
    if (!good) return false;
    m->block = kv_cost_from_s(p->mixed_block_s * layers);
    int32_t row = m->prefill.rows - 1, column = m->prefill.columns - 1;
    m->pair = m->prefill.at[row][column] / pairs_of(m->prefill.x[row], m->prefill.y[column]);
    return true;
}

/* Time of a layer's routed experts on one of `ranks`, for `tokens` tokens of all of them. */
static double experts_ns(const struct kv_knots *measured, const struct kv_model_shape *s, int32_t ranks, int64_t tokens)
{
    double met = s->experts * (1 - pow(1 - (double)s->experts_per_token / s->experts, (double)tokens));
    return kv_knots_at(measured, (double)tokens / ranks, met / ranks);
}

/* Knots each token up to 32, then every tenth part; past the last measured one as every line. */
static void use_experts(struct table *m, const struct kv_profile *p, const struct kv_compute_env *env)
{
    const struct kv_model_shape *s = env->model;
    int64_t last = p->experts.rows && s->experts ? p->experts.x[p->experts.rows - 1] * m->ranks : 0;
    for (int64_t n = 1; n <= last && m->experts.count < LINE_MAX;) {
        int32_t i = m->experts.count++;
        m->experts.x[i] = n;
        m->experts.at[i] = llround(experts_ns(&p->experts, s, m->ranks, n)) * (s->layers * KV_COST_PER_NS);
        n = n == last ? n + 1 : n + n / 10 + 1 > last ? last : n < 32 ? n + 1 : n + n / 10;
    }
}

/* What ranks exchange in all layers. vLLM gathers of each token the hidden state in bf16, and of each expert chosen the
 * weight (float) and the index (int32); results are scattered in bf16 (docs/calibration.md). */
static bool use_exchange(struct table *m, struct kv_arena *arena, const struct kv_compute_env *env, const char *where,
                         struct kv_err *err)
{
    const struct kv_model_shape *s = env->model;
    if (m->ranks < 2) return true;
    if (env->peer_Bps > 0) {
        m->peer_token = kv_cost_from_s(2.0 * s->layers * s->hidden * 2 / env->peer_Bps);
        m->peer_latency = kv_cost_from_s(2.0 * s->layers * env->peer_latency_s);
        return true;
    }
    const char *gpu = env->gpu ? env->gpu->name : NULL;
    const kv_cost unit = s->layers * KV_COST_PER_NS;
    struct kv_knots gather, scatter;
    m->scatter_bytes = (int64_t)m->ranks * s->hidden * 2;
    m->gather_bytes = m->scatter_bytes + (int64_t)m->ranks * s->experts_per_token * 8;
    return kv_collective_measured(arena, gpu, KV_ALL_GATHER, m->ranks, where, &gather, err)
           && kv_collective_measured(arena, gpu, KV_REDUCE_SCATTER, m->ranks, where, &scatter, err)
           && add_line(&m->gather, &gather, unit, 1, where, err)
           && add_line(&m->scatter, &scatter, unit, 1, where, err);
}

/* ---- opening ---- */

static const char *folder_of(struct kv_arena *arena, const char *given, const struct kv_compute_env *env,
                             struct kv_err *err)
{
    const char *name = given, *data = kv_data_folder(arena);
    if (strchr(given, '/')) return given;
    if (strcmp(given, "auto") == 0) {
        if (!env->gpu) {
            kv_fail(err, KV_ECALIB, "compute.profile", "auto needs to know the GPU; name one in cluster.nodes.gpu");
            return NULL;
        }
        name = kv_arena_text(arena, "%s/models/profiles/%s", data ? data : ".", env->gpu->name);
        struct stat info;
        const char *layers = kv_arena_text(arena, "%s_%s_tp%d", name, env->model->name, env->tp);
        return stat(layers, &info) != 0 && kv_op_profile_is(arena, name) ? name : layers;
    }
    return kv_arena_text(arena, "%s/models/profiles/%s", data ? data : ".", name);
}

/* Layers of this model out of operators measured on this GPU. */
static bool compose(struct kv_arena *arena, const char *folder, bool eager, const struct kv_compute_env *env,
                    struct kv_profile *p, struct kv_err *err)
{
    struct kv_op_profile ops;
    if (!kv_op_profile_read(arena, folder, &ops, err)) return false;
    if (env->gpu && strcmp(ops.from.gpu, env->gpu->name) != 0)
        return kv_fail(err, KV_ECALIB, folder, "measured on %s; this is %s", ops.from.gpu, env->gpu->name);
    if (env->tp > 1 && env->peer_Bps > 0)
        ops.collective[KV_ALL_REDUCE] = kv_all_reduce_of_link(arena, env->tp, env->peer_Bps, env->peer_latency_s);
    return kv_op_compose(arena, &ops, env->model, env->tp, eager, folder, p, err);
}

/* Layers of tp GPUs were measured on one, without the two all-reduces of a layer, behind o_proj and down_proj: over the
 * link where the scenario names it, else as measured on this kind of GPU. */
static bool add_all_reduces(struct table *m, struct kv_arena *arena, const struct kv_compute_env *env,
                            const char *where, struct kv_err *err)
{
    struct kv_knots curve;
    if (env->tp == 1) return true;
    if (env->peer_Bps > 0) {
        struct kv_knots link = kv_all_reduce_of_link(arena, env->tp, env->peer_Bps, env->peer_latency_s);
        curve = kv_collective_curve(&link, env->tp);
    } else if (!kv_collective_measured(arena, env->gpu ? env->gpu->name : NULL, KV_ALL_REDUCE, env->tp, where, &curve,
                                       err)) {
        return false;
    }
    for (int32_t i = 0; i < m->tokens.count; i++) {
        double ns = kv_collective_ns(&curve, 2.0 * (double)m->tokens.x[i] * env->model->hidden);
        m->tokens.at[i] += llround(2 * env->model->layers * ns) * KV_COST_PER_NS;
    }
    return true;
}

/* A profile is good for what was measured and nothing else. */
static bool check_match(const struct kv_profile *p, const struct kv_compute_env *env, const char *where,
                        struct kv_err *err)
{
    const struct kv_model_shape *s = env->model;
    bool bf16 = s->dtype_bytes == 2 && s->kv_dtype_bytes == 2;
    if (strcmp(p->model, s->name) || (env->gpu && strcmp(p->gpu, env->gpu->name)) || p->tp != env->tp)
        return kv_fail(err, KV_ECALIB, where, "measured for %s on %s with tp %lld; this is %s on %s with tp %d",
                       p->model, p->gpu, (long long)p->tp, s->name, env->gpu ? env->gpu->name : "no GPU", env->tp);
    if (strcmp(p->dtype, "bf16") == 0 && !bf16)
        return kv_fail(err, KV_ECALIB, where, "measured with bf16 weights and cache; model.dtype or model.kv_dtype "
                       "says otherwise");
    return true;
}

/* Whole layers have the one mode they were measured in. */
static bool check_eager(const struct kv_profile *p, bool eager, const char *where, struct kv_err *err)
{
    return !eager || strstr(p->mode, "eager")
           || kv_fail(err, KV_ECALIB, where, "enforce_eager: these layers were measured otherwise (%s)", p->mode);
}

static bool open_state(void *state, const void *params_given, const struct kv_compute_env *env, struct kv_err *err)
{
    struct table *m = state;
    const struct table_params *given = params_given;
    struct kv_arena arena = {0};
    struct kv_profile profile = {0};
    const char *folder = folder_of(&arena, given->profile, env, err);
    bool composed = folder && kv_op_profile_is(&arena, folder);
    bool good = composed ? compose(&arena, folder, given->enforce_eager, env, &profile, err)
                         : folder && kv_profile_read(&arena, folder, &profile, err)
                           && check_match(&profile, env, folder, err)
                           && check_eager(&profile, given->enforce_eager, folder, err);
    good = good && use_profile(m, &profile, env->model->layers, folder, err)
           && (composed || add_all_reduces(m, &arena, env, folder, err));
    m->ranks = env->ranks > 1 ? env->ranks : 1;
    m->graph_tokens = given->enforce_eager ? 0 : given->max_cudagraph_capture_size;
    if (good && m->ranks > 1 && profile.experts.rows == 0)
        good = kv_fail(err, KV_ECALIB, folder, "has no experts.csv, which cluster.instances.expert_parallel needs");
    if (good) use_experts(m, &profile, env);
    good = good && use_exchange(m, &arena, env, folder, err);
    kv_arena_close(&arena);
    return good;
}

/* ---- pricing ---- */

static kv_cost line_at(const struct line *l, int64_t n)
{
    int32_t i = knot_below(l->x, l->count, n);
    if (n <= l->x[i]) return l->at[i];
    if (i == l->count - 1) return l->at[i] + l->at[i] / l->x[i] * (n - l->x[i]);
    return interpolate(l->at[i], l->at[i + 1], n - l->x[i], l->x[i + 1] - l->x[i]);
}

/* As line_at, but past the last knot the value stays. */
static kv_cost share_at(const struct line *l, int64_t n)
{
    int64_t last = l->x[l->count - 1];
    return line_at(l, n < last ? n : last);
}

static kv_cost prefill_at(const struct table *m, int64_t fresh, int64_t cached)
{
    const struct grid *g = &m->prefill;
    int64_t most_fresh = g->x[g->rows - 1], most_cached = g->y[g->columns - 1];
    int64_t x = fresh < most_fresh ? fresh : most_fresh, y = cached < most_cached ? cached : most_cached;
    int32_t i = knot_below(g->x, g->rows, x), j = knot_below(g->y, g->columns, y);
    int32_t below = i + (i + 1 < g->rows), right = j + (j + 1 < g->columns);
    if (x < g->x[i]) x = g->x[i];
    if (y < g->y[j]) y = g->y[j];
    int64_t wide = right > j ? g->y[right] - g->y[j] : 1, high = below > i ? g->x[below] - g->x[i] : 1;
    kv_cost upper = interpolate(g->at[i][j], g->at[i][right], y - g->y[j], wide);
    kv_cost lower = interpolate(g->at[below][j], g->at[below][right], y - g->y[j], wide);
    kv_cost more = pairs_of(fresh, cached) - pairs_of(fresh < most_fresh ? fresh : most_fresh,
                                                      cached < most_cached ? cached : most_cached);
    return interpolate(upper, lower, x - g->x[i], high) + more * m->pair;
}

/* The value at column j of a grid for `count` sequences. */
static kv_cost column_at(const struct grid *g, int64_t count, int32_t j)
{
    int32_t i = knot_below(g->x, g->rows, count);
    if (count <= g->x[i]) return g->at[i][j];
    if (i == g->rows - 1) return g->at[i][j] + g->at[i][j] / g->x[i] * (count - g->x[i]);
    return interpolate(g->at[i][j], g->at[i + 1][j], count - g->x[i], g->x[i + 1] - g->x[i]);
}

/* What `count` sequences of `length` / `parts` tokens each cost (parts = count: the mean; parts = 1: the longest), as a
 * run in units of cost / WHOLE. A step adds `parts` to `length`. */
static struct kv_run contexts_at(const struct grid *g, int64_t count, int64_t length, int64_t parts)
{
    int32_t j = knot_below(g->y, g->columns, length / parts);
    int64_t knot = g->y[j] * parts, next = j + 1 < g->columns ? g->y[j + 1] * parts : INT64_MAX;
    kv_cost here = column_at(g, count, j);
    if (length < knot)   /* before the first knot */
        return (struct kv_run){here, 0, (knot - length + parts - 1) / parts};
    kv_cost token = next < INT64_MAX ? (column_at(g, count, j + 1) - here) / (next - knot) : here / (knot ? knot : 1);
    int64_t steps = next < INT64_MAX ? (next - length + parts - 1) / parts : INT64_MAX;
    return (struct kv_run){here + token * (length - knot), token * parts, steps};
}

static struct kv_run decodes_at(const struct grid *g, const struct line *longest, const struct kv_batch *batch)
{
    int64_t count = batch->decode_count;
    kv_cost share = share_at(longest, count);
    struct kv_run mean = contexts_at(g, count, batch->ctx_sum, count);
    struct kv_run most = contexts_at(g, count, batch->ctx_max, 1);
    return (struct kv_run){(WHOLE - share) * mean.first + share * most.first,
                           (WHOLE - share) * mean.slope + share * most.slope,
                           mean.steps < most.steps ? mean.steps : most.steps};
}

/* Attention of a step with chunks, whose own is `chunks`. */
static kv_cost mixed_cost(const struct table *m, const struct kv_batch *batch, kv_cost chunks, int64_t longest)
{
    if (batch->decode_count == 0) return chunks;
    kv_cost decodes = decodes_at(&m->mixed, &m->mixed_longest, batch).first;
    kv_cost more = chunks > decodes ? chunks : decodes, less = chunks > decodes ? decodes : chunks;
    less -= m->prefill.at[0][0] * WHOLE;   /* one launch */
    kv_cost added = less > 0 ? (share_at(&m->added, batch->decode_count) * less) >> WHOLE_BITS : 0;
    return more + added + m->block * batch->decode_count * longest;
}

static int64_t tokens_of(const struct kv_batch *batch)
{
    int64_t tokens = batch->decode_count;
    for (int32_t i = 0; i < batch->chunk_count; i++) tokens += batch->chunks[i].new_tokens;
    return tokens;
}

/* Sizes that vLLM captures graphs of: 1, 2, 4, then multiples of 8 up to 256, then of 16 (CompilationConfig's
 * cudagraph_capture_sizes). A step that is larger than all is as it is. */
static int64_t padded(const struct table *m, int64_t tokens)
{
    int64_t unit = tokens > 256 ? 16 : 8, size = (tokens + unit - 1) / unit * unit;
    if (tokens <= 4) size = tokens == 3 ? 4 : tokens;
    return size <= m->graph_tokens ? size : tokens;
}

/* Tokens of a step of all ranks; least and most: of one rank; of each in a CUDA graph, as many as the largest has,
 * padded, or 0. */
struct tokens { int64_t all, least, most, graph; };

/* Experts of a step, and exchanges: over a link the rank with the least tokens gets most from the others. */
static kv_cost experts_at(const struct table *m, const struct tokens *n)
{
    if (m->experts.count == 0) return 0;
    kv_cost cost = line_at(&m->experts, n->all);
    if (m->gather.count > 0)
        return cost + line_at(&m->gather, n->most * m->gather_bytes) + line_at(&m->scatter, n->most * m->scatter_bytes);
    return m->ranks > 1 ? cost + m->peer_latency + m->peer_token * (n->all - n->least) : cost;
}

/* Everything but the experts, in a step of `tokens` tokens, padding among them. */
static struct kv_run own_price(const struct table *m, const struct kv_batch *batch, int64_t tokens)
{
    int64_t yields = batch->decode_count, longest = 0;
    kv_cost chunks = 0;
    for (int32_t i = 0; i < batch->chunk_count; i++) {
        const struct kv_chunk *c = &batch->chunks[i];
        yields += c->last;
        if (c->new_tokens > longest) longest = c->new_tokens;
        chunks += prefill_at(m, c->new_tokens, c->ctx_tokens) - (i > 0 ? m->prefill.at[0][0] : 0);
    }
    kv_cost steady = 1 + line_at(&m->tokens, tokens);   /* 1: the contract's least cost */
    if (yields > 0) steady += line_at(&m->head, yields);
    if (batch->chunk_count > 0)
        return (struct kv_run){steady + mixed_cost(m, batch, chunks * WHOLE, longest), 0, 1};
    struct kv_run run = {0, 0, INT64_MAX};
    if (batch->decode_count > 0) run = decodes_at(&m->decode, &m->decode_longest, batch);
    run.first += steady;
    return run;
}

/* Of a rank: as many as all have in a graph, else its own, or a dummy. */
static int64_t rank_tokens(const struct tokens *n, int64_t own)
{
    return n->graph > 0 ? n->graph : own > 0 ? own : 1;
}

/* Of a step of all ranks, of which those from `batches` on have nothing to do. */
static struct tokens count_tokens(const struct table *m, const struct kv_batch *batch, int32_t batches)
{
    struct tokens n = {0, INT64_MAX, 1, 0};
    for (int32_t i = 0; i < batches; i++) {
        int64_t own = tokens_of(&batch[i]);
        if (own > n.most) n.most = own;
    }
    int64_t size = padded(m, n.most);
    if (size <= m->graph_tokens) n.graph = n.most = size;
    for (int32_t i = 0; i < m->ranks; i++) {
        int64_t tokens = rank_tokens(&n, i < batches ? tokens_of(&batch[i]) : 0);
        n.all += tokens;
        if (tokens < n.least) n.least = tokens;
    }
    return n;
}

/* Alone among ranks with nothing to do. */
static struct kv_run price(const void *state, const struct kv_batch *batch)
{
    const struct table *m = state;
    struct tokens n = count_tokens(m, batch, 1);
    struct kv_run run = own_price(m, batch, n.most);
    run.first += experts_at(m, &n);
    return run;
}

static kv_cost together(const void *state, const struct kv_batch *batch)
{
    const struct table *m = state;
    struct tokens n = count_tokens(m, batch, m->ranks);
    kv_cost slowest = 0;
    for (int32_t i = 0; i < m->ranks; i++) {
        int64_t own = tokens_of(&batch[i]);
        kv_cost cost = own > 0 ? own_price(m, &batch[i], rank_tokens(&n, own)).first : 0;
        if (cost > slowest) slowest = cost;
    }
    return slowest + experts_at(m, &n);
}

static bool outside(const void *state, const struct kv_batch *batch)
{
    const struct table *m = state;
    const struct grid *decodes = batch->chunk_count > 0 ? &m->mixed : &m->decode, *prefill = &m->prefill;
    int64_t tokens = batch->decode_count, yields = batch->decode_count;
    for (int32_t i = 0; i < batch->chunk_count; i++) {
        const struct kv_chunk *c = &batch->chunks[i];
        tokens += c->new_tokens;
        yields += c->last;
        if (c->ctx_tokens > prefill->y[prefill->columns - 1] || c->new_tokens > prefill->x[prefill->rows - 1])
            return true;
    }
    tokens = padded(m, tokens);
    /* A context of exactly the last knot already runs on the slope past it. */
    return tokens > m->tokens.x[m->tokens.count - 1] || yields > m->head.x[m->head.count - 1]
           || (m->experts.count > 0 && tokens * m->ranks > m->experts.x[m->experts.count - 1])
           || (m->gather.count > 0 && tokens * m->gather_bytes > m->gather.x[m->gather.count - 1])
           || batch->decode_count > decodes->x[decodes->rows - 1]
           || (batch->decode_count > 0 && batch->ctx_max >= decodes->y[decodes->columns - 1]);
}

const struct kv_compute_ops kv_compute_table = {
    .info = { .help = "layers measured on the GPU, interpolated between knots",
              .source = "profiles of docs/calibration.md; the way of LLMServingSim (arXiv:2408.05499)",
              .params = params, .params_bytes = sizeof(struct table_params) },
    .state_bytes = sizeof(struct table),
    .open = open_state, .price = price, .together = together, .outside = outside,
};

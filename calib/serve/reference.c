/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/serve/reference.h"

#include <math.h>
#include <string.h>

#include "calib/serve/text.h"

/* ---- memory ---- */

/* What one layer has in a page, or in a place of host memory. */
static size_t block_numbers(const struct kv_loop_reference *r) { return 2 * (size_t)r->block_tokens * (size_t)r->row; }

static double *page_at(const struct kv_loop_reference *r, int32_t layer, int64_t page)
{
    return r->page + ((size_t)layer * (size_t)r->pages + (size_t)page) * block_numbers(r);
}

static double *slot_at(const struct kv_loop_reference *r, int32_t layer, int64_t slot)
{
    return r->host + ((size_t)layer * (size_t)r->slots + (size_t)slot) * block_numbers(r);
}

static void copy(const struct kv_loop_reference *r, double *to, const double *from)
{
    memcpy(to, from, block_numbers(r) * sizeof *to);
}

bool kv_loop_reference_open(struct kv_loop_reference *r, const struct kv_sim_config *config, int64_t slots,
                            uint64_t seed, int64_t bytes_most, struct kv_arena *arena, struct kv_err *err)
{
    const struct kv_model_shape *shape = config->compute_env.model;
    *r = (struct kv_loop_reference){ .block_tokens = (int32_t)config->engine.block_tokens, .layers = shape->layers,
                                     .row = shape->kv_heads * shape->head_dim, .pages = config->hbm_blocks,
                                     .slots = slots };
    double numbers = (double)block_numbers(r) * r->layers * (double)(r->pages + slots);
    double bytes = 8 * numbers + (double)kv_llama_bytes(shape);
    if (bytes > (double)bytes_most)
        return kv_fail(err, KV_ENOHW, "reference", "%s with %lld blocks needs %.2f GiB in double precision, allowed "
                       "are %.2f GiB: take a smaller model, or fewer layers or blocks", shape->name,
                       (long long)r->pages, bytes / 0x1p30, (double)bytes_most / 0x1p30);
    if (!kv_loop_clock_open(&r->clock, config, arena, err)) return false;
    kv_llama_open(&r->model, shape, seed, arena);
    r->page = kv_arena_take(arena, block_numbers(r) * (size_t)r->layers * (size_t)r->pages * sizeof *r->page);
    r->host = kv_arena_take(arena, block_numbers(r) * (size_t)r->layers * (size_t)slots * sizeof *r->host + 1);
    for (size_t i = 0; i < block_numbers(r) * (size_t)r->layers * (size_t)r->pages; i++) r->page[i] = NAN;
    return true;
}

static void close_reference(void *state)
{
    struct kv_loop_reference *r = state;
    for (size_t i = 0; i < r->load.count; i++) {
        kv_mem_give(r->load.at[i].slot, (size_t)r->load.at[i].count * sizeof(int32_t));
        kv_mem_give(r->load.at[i].page, (size_t)r->load.at[i].count * sizeof(int32_t));
    }
    kv_vec_close(&r->load);
    kv_vec_close(&r->x);
    kv_vec_close(&r->logits);
    kv_vec_close(&r->scratch);
    kv_vec_close(&r->token);
    kv_loop_clock_close(&r->clock);
}

/* ---- loads ---- */

static int32_t *keep(const int32_t *from, int32_t count)
{
    int32_t *to = kv_mem_take((size_t)count * sizeof *to);
    memcpy(to, from, (size_t)count * sizeof *to);
    return to;
}

static bool load(void *state, const struct kv_loop_load *load, struct kv_err *err)
{
    struct kv_loop_reference *r = state;
    struct kv_loop_arriving a = { keep(load->slot, load->count), keep(load->page, load->count), load->count, 0 };
    for (int32_t l = 0; l < r->layers; l++)
        for (int32_t i = 0; i < a.count; i++)
            for (size_t k = 0; k < block_numbers(r); k++) page_at(r, l, a.page[i])[k] = NAN;
    kv_vec_push(&r->load, a);
    return kv_loop_clock_ops.load(&r->clock, load, err);
}

/* Layers of a load up to `layers` are in. */
static void bring(struct kv_loop_reference *r, size_t load, int32_t layers)
{
    struct kv_loop_arriving *a = &r->load.at[load];
    for (; a->layers < layers; a->layers++)
        for (int32_t i = 0; i < a->count; i++)
            copy(r, page_at(r, a->layers, a->page[i]), slot_at(r, a->layers, a->slot[i]));
}

static void bring_arrived(struct kv_loop_reference *r)
{
    for (size_t i = r->first_load; i < r->load.count; i++)
        bring(r, i, kv_loop_clock_ops.arrived(&r->clock, (int32_t)i));
    while (r->first_load < r->load.count && r->load.at[r->first_load].layers == r->layers) r->first_load++;
}

/* ---- one layer ---- */

struct paged { const struct kv_loop_reference *r; const int32_t *page; int32_t layer; };

static void paged_row(const void *state, int32_t token, const double **k, const double **v)
{
    const struct paged *p = state;
    int32_t B = p->r->block_tokens;
    *k = page_at(p->r, p->layer, p->page[token / B]) + (size_t)(token % B) * (size_t)p->r->row;
    *v = *k + (size_t)B * (size_t)p->r->row;
}

/* Keys and values of one token into its page. `qkv`: its row behind the queries. */
static void write_kv(const struct paged *p, int32_t position, const double *kv)
{
    const double *k, *v;
    size_t row = (size_t)p->r->row;
    paged_row(p, position, &k, &v);
    double *page = page_at(p->r, p->layer, p->page[position / p->r->block_tokens]);
    memcpy(page + (k - page), kv, row * sizeof *kv);
    memcpy(page + (v - page), kv + row, row * sizeof *kv);
}

/* One request's rows through one layer. Its new keys and values are written before anybody looks: a row sees those
 * before it and itself. */
static void layer_of(struct kv_loop_reference *r, const struct kv_loop_member *m, int32_t layer, double *x)
{
    const struct kv_model_shape *s = r->model.shape;
    const struct kv_llama_layer *w = &r->model.layer[layer];
    struct paged p = { r, m->page, layer };
    int32_t heads_wide = s->heads * s->head_dim, qkv_wide = heads_wide + 2 * r->row;
    double *in = r->scratch.at, *qkv = in + s->hidden, *out = qkv + qkv_wide, *score = out + heads_wide;
    for (int32_t t = 0; t < m->new_tokens; t++, x += s->hidden) {
        int32_t position = m->ctx_tokens + t;
        kv_llama_norm(x, w->norm, s->hidden, in);
        kv_llama_linear(w->qkv, in, s->hidden, qkv_wide, qkv);
        kv_llama_rotate(qkv, s->heads + s->kv_heads, s->head_dim, position);
        write_kv(&p, position, qkv + heads_wide);
        kv_llama_attend(&r->model, qkv, position + 1, &(struct kv_llama_rows){ &p, paged_row }, score, out);
        kv_llama_linear(w->out, out, heads_wide, s->hidden, in);
        for (int32_t i = 0; i < s->hidden; i++) x[i] += in[i];
        kv_llama_mlp(&r->model, layer, x, r->scratch.at);
    }
}

/* ---- a step ---- */

static void embed(struct kv_loop_reference *r, const struct kv_loop_batch *batch)
{
    const struct kv_model_shape *s = r->model.shape;
    int32_t longest = 0;
    kv_vec_reserve(&r->x, (size_t)batch->tokens * (size_t)s->hidden);
    double *x = r->x.at;
    for (int32_t i = 0; i < batch->count; i++) {
        const struct kv_loop_member *m = &batch->member[i];
        if (m->ctx_tokens + m->new_tokens > longest) longest = m->ctx_tokens + m->new_tokens;
        for (int32_t t = 0; t < m->new_tokens; t++, x += s->hidden) {
            int32_t token = kv_loop_token(m->request, m->ctx_tokens + t, r->block_tokens, s->vocabulary);
            memcpy(x, r->model.embedding + (int64_t)token * s->hidden, (size_t)s->hidden * sizeof *x);
        }
    }
    kv_vec_reserve(&r->scratch, (size_t)(s->hidden + 2 * s->heads * s->head_dim + 2 * r->row + 2 * s->intermediate
                                         + longest));
}

static void through_layers(struct kv_loop_reference *r, const struct kv_loop_batch *batch)
{
    for (int32_t l = 0; l < r->layers; l++) {
        double *x = r->x.at;
        for (int32_t i = 0; i < batch->count; i++)
            for (int32_t k = 0; k < batch->member[i].load_count; k++) bring(r, (size_t)batch->member[i].load[k], l + 1);
        for (int32_t i = 0; i < batch->count; i++) {
            layer_of(r, &batch->member[i], l, x);
            x += (int64_t)batch->member[i].new_tokens * r->model.shape->hidden;
        }
    }
}

static void say(struct kv_loop_reference *r, const struct kv_loop_batch *batch)
{
    const struct kv_model_shape *s = r->model.shape;
    double *x = r->x.at;
    kv_vec_reserve(&r->logits, (size_t)batch->count * (size_t)s->vocabulary);
    kv_vec_reserve(&r->token, (size_t)batch->count);
    for (int32_t i = 0; i < batch->count; i++) {
        x += (int64_t)batch->member[i].new_tokens * s->hidden;
        r->token.at[i] = -1;
        if (!batch->member[i].yields) continue;
        double *logits = r->logits.at + (int64_t)i * s->vocabulary;
        kv_llama_norm(x - s->hidden, r->model.norm, s->hidden, r->scratch.at);
        kv_llama_linear(r->model.head, r->scratch.at, s->hidden, s->vocabulary, logits);
        r->token.at[i] = 0;
        for (int32_t t = 1; t < s->vocabulary; t++)
            if (logits[t] > logits[r->token.at[i]]) r->token.at[i] = t;
    }
}

static bool step(void *state, const struct kv_loop_batch *batch, struct kv_loop_step *step, struct kv_err *err)
{
    struct kv_loop_reference *r = state;
    bring_arrived(r);
    embed(r, batch);
    through_layers(r, batch);
    say(r, batch);
    bool good = kv_loop_clock_ops.step(&r->clock, batch, step, err);
    step->token = r->token.at;
    return good;
}

static bool fill(void *state, const struct kv_loop_load *load, struct kv_err *err)
{
    struct kv_loop_reference *r = state;
    struct kv_loop_member m = { .request = load->request, .new_tokens = load->count * r->block_tokens,
                                .page = load->page };
    struct kv_loop_batch batch = { &m, 1, m.new_tokens };
    (void)err;
    embed(r, &batch);
    through_layers(r, &batch);
    for (int32_t l = 0; l < r->layers; l++)
        for (int32_t i = 0; i < load->count; i++)
            if (load->slot[i] >= 0) copy(r, slot_at(r, l, load->slot[i]), page_at(r, l, load->page[i]));
    return true;
}

/* ---- time is the clock's, which stands first ---- */

static kv_tick now(void *state) { return kv_loop_clock_ops.now(state); }
static void start(void *state) { kv_loop_clock_ops.start(state); }
static int32_t arrived(void *state, int32_t load) { return kv_loop_clock_ops.arrived(state, load); }
static bool wait(void *state, kv_tick until_tk, int32_t load, int32_t layers, struct kv_err *err)
{
    return kv_loop_clock_ops.wait(state, until_tk, load, layers, err);
}

const struct kv_loop_device_ops kv_loop_reference_ops = {
    .help = "computes a small model in double precision; its time is the clock's",
    .now = now, .wait = wait, .fill = fill, .start = start, .load = load, .arrived = arrived, .step = step,
    .close = close_reference,
};

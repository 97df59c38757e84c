/* SPDX-License-Identifier: Apache-2.0 */
/* One step through the model: what its kernels read is put together, copied, and they are started in order. Rows of
 * chunks come first, then those of decodes, so that each kernel of attention has its own stretch of rows. */
#include <math.h>

#include "calib/serve/text.h"
#include "calib/serve_cuda/gpu.h"

struct kv_pages kv_gpu_pages(const struct kv_gpu *g, int32_t layer, const int32_t *table, int32_t stride)
{
    return (struct kv_pages){ g->layer[layer].keys, g->layer[layer].values, table, stride, g->block_tokens,
                              g->shape->kv_heads, g->shape->head_dim };
}

/* ---- what the kernels read ---- */

struct rows {
    struct kv_gpu_input in;
    int64_t tokens, chunk_rows;
    int32_t chunks, decodes, yields, longest_new, longest_decode;
};

static bool is_chunk(const struct kv_loop_member *m) { return m->new_tokens > 1; }

/* Places of the arrays in the block of input. */
static struct rows lay_out(const struct kv_gpu *g, const struct kv_loop_batch *batch)
{
    struct rows r = { .tokens = batch->tokens };
    int64_t at = 0;
    for (int32_t i = 0; i < batch->count; i++) {
        const struct kv_loop_member *m = &batch->member[i];
        int32_t pages = (m->ctx_tokens + m->new_tokens + g->block_tokens - 1) / g->block_tokens;
        if (pages > r.in.table_stride) r.in.table_stride = pages;
        r.yields += m->yields;
        if (is_chunk(m)) {
            r.chunks++;
            r.chunk_rows += m->new_tokens;
            if (m->new_tokens > r.longest_new) r.longest_new = m->new_tokens;
        } else {
            r.decodes++;
            if (m->ctx_tokens + 1 > r.longest_decode) r.longest_decode = m->ctx_tokens + 1;
        }
    }
    int64_t *const place[] = { &r.in.token, &r.in.position, &r.in.slot, &r.in.first, &r.in.cached, &r.in.length,
                               &r.in.yield, &r.in.table, &r.in.count };
    const int64_t count[] = { r.tokens, r.tokens, r.tokens, r.chunks + 1, r.chunks, r.decodes, r.yields,
                              (int64_t)(r.chunks + r.decodes) * r.in.table_stride, 0 };
    for (size_t i = 0; i < sizeof count / sizeof *count; i++) {
        *place[i] = at;
        at += count[i];
    }
    return r;
}

struct cursor { int64_t row; int32_t sequence, chunk, decode, yield; };

static void put_member(const struct kv_gpu *g, const struct rows *r, const struct kv_loop_member *m, struct cursor *c)
{
    int32_t *in = g->input_host, B = g->block_tokens;
    int32_t *table = in + r->in.table + (int64_t)c->sequence++ * r->in.table_stride;
    /* Behind the pages of a short sequence stands a page that is there: kernels may look a little too far. */
    for (int32_t i = 0; i < r->in.table_stride; i++)
        table[i] = i * B < m->ctx_tokens + m->new_tokens ? m->page[i] : 0;
    if (is_chunk(m)) {
        in[r->in.first + c->chunk] = (int32_t)c->row;
        in[r->in.cached + c->chunk++] = m->ctx_tokens;
        in[r->in.first + c->chunk] = (int32_t)c->row + m->new_tokens;
    } else {
        in[r->in.length + c->decode++] = m->ctx_tokens + 1;
    }
    for (int32_t t = 0; t < m->new_tokens; t++, c->row++) {
        int32_t position = m->ctx_tokens + t;
        in[r->in.token + c->row] = kv_loop_token(m->request, position, B, g->shape->vocabulary);
        in[r->in.position + c->row] = position;
        in[r->in.slot + c->row] = m->page[position / B] * B + position % B;
    }
    if (m->yields) in[r->in.yield + c->yield++] = (int32_t)c->row - 1;
}

static void put_input(const struct kv_gpu *g, const struct rows *r, const struct kv_loop_batch *batch)
{
    struct cursor c = {0};
    for (int32_t i = 0; i < batch->count; i++)
        if (is_chunk(&batch->member[i])) put_member(g, r, &batch->member[i], &c);
    for (int32_t i = 0; i < batch->count; i++)
        if (!is_chunk(&batch->member[i])) put_member(g, r, &batch->member[i], &c);
}

/* ---- a layer ---- */

static bool product(struct kv_gpu *g, int64_t rows, int64_t outputs, int64_t inputs, const kv_bf16 *in,
                    const kv_bf16 *w, kv_bf16 *out, struct kv_err *err)
{
    return rows == 0 || kv_gemm_run(g->gemm, KV_GEMM_BF16, rows, outputs, inputs, in, w, out, g->compute, err);
}

bool kv_gpu_prepare_products(struct kv_gpu *g, int64_t rows, int64_t yields, struct kv_err *err)
{
    const struct kv_model_shape *s = g->shape;
    const struct kv_gpu_layer *w = &g->layer[0];
    const struct { int64_t rows, outputs, inputs; const kv_bf16 *in, *w; kv_bf16 *out; } product[] = {
        {rows, g->qkv_wide, s->hidden, g->normed, w->qkv, g->qkv},
        {rows, s->hidden, g->heads_wide, g->attended, w->out, g->added},
        {rows, 2 * (int64_t)s->intermediate, s->hidden, g->normed, w->gate_up, g->gate_up},
        {rows, s->hidden, s->intermediate, g->mlp, w->down, g->added},
        {yields, s->vocabulary, s->hidden, g->last, g->head, g->logits},
    };
    bool good = true;
    for (size_t i = 0; good && i < sizeof product / sizeof *product; i++)
        good = kv_gemm_prepare(g->gemm, KV_GEMM_BF16, product[i].rows, product[i].outputs, product[i].inputs,
                               product[i].in, product[i].w, product[i].out, g->compute, err);
    return good && kv_cuda_wait(g->compute, err);
}

static bool attend(struct kv_gpu *g, const struct rows *r, int32_t layer, struct kv_err *err)
{
    const struct kv_model_shape *s = g->shape;
    const int32_t *table = g->input + r->in.table;
    float scale = (float)(1 / sqrt(s->head_dim));
    const struct kv_prefill prefill = {
        .q = g->qkv, .q_stride = g->qkv_wide, .out = g->attended, .first = g->input + r->in.first,
        .cached = g->input + r->in.cached, .sequences = r->chunks, .heads = s->heads, .longest_new = r->longest_new,
        .scale = scale, .pages = kv_gpu_pages(g, layer, table, r->in.table_stride),
    };
    int32_t splits = kv_decode_splits(g->device.sms, r->decodes, s->kv_heads, r->longest_decode);
    const struct kv_decode decode = {
        .q = g->qkv + r->chunk_rows * g->qkv_wide, .q_stride = g->qkv_wide,
        .out = g->attended + r->chunk_rows * g->heads_wide, .length = g->input + r->in.length, .sequences = r->decodes,
        .heads = s->heads, .longest = r->longest_decode, .splits = splits, .scratch = g->scratch, .scale = scale,
        .pages = kv_gpu_pages(g, layer, table + (int64_t)r->chunks * r->in.table_stride, r->in.table_stride),
    };
    return (r->chunks == 0 || kv_attention_prefill(&prefill, g->compute, err))
           && (r->decodes == 0 || kv_attention_decode(&decode, g->compute, err));
}

static bool layer_of(struct kv_gpu *g, const struct rows *r, int32_t layer, struct kv_err *err)
{
    const struct kv_model_shape *s = g->shape;
    const struct kv_gpu_layer *w = &g->layer[layer];
    const float epsilon = (float)KV_LLAMA_EPSILON;
    const struct kv_pages pages = kv_gpu_pages(g, layer, NULL, 0);
    const kv_bf16 *keys = g->qkv + g->heads_wide;
    return kv_rmsnorm(g->x, layer ? g->added : NULL, w->norm, g->normed, r->tokens, s->hidden, epsilon, g->compute, err)
           && product(g, r->tokens, g->qkv_wide, s->hidden, g->normed, w->qkv, g->qkv, err)
           && kv_rotary(g->qkv, g->qkv_wide, g->input + r->in.position, r->tokens, s->heads + s->kv_heads,
                        s->head_dim, (float)KV_LLAMA_THETA, g->compute, err)
           && kv_write_pages(keys, keys + g->row, g->qkv_wide, g->input + r->in.slot, r->tokens, &pages, g->compute,
                             err)
           && attend(g, r, layer, err)
           && product(g, r->tokens, s->hidden, g->heads_wide, g->attended, w->out, g->added, err)
           && kv_rmsnorm(g->x, g->added, w->mlp_norm, g->normed, r->tokens, s->hidden, epsilon, g->compute, err)
           && product(g, r->tokens, 2 * (int64_t)s->intermediate, s->hidden, g->normed, w->gate_up, g->gate_up, err)
           && kv_silu_mul(g->gate_up, g->mlp, r->tokens, s->intermediate, g->compute, err)
           && product(g, r->tokens, s->hidden, s->intermediate, g->mlp, w->down, g->added, err);
}

/* ---- a step ---- */

/* Layer l of a step begins when layer l of its members' loads is in. */
static bool follow_loads(struct kv_gpu *g, const struct kv_loop_batch *batch, int32_t layer, struct kv_err *err)
{
    for (int32_t i = 0; i < batch->count; i++)
        for (int32_t k = 0; k < batch->member[i].load_count; k++)
            if (!kv_cuda_follow(g->compute, g->load.at[batch->member[i].load[k]].event[layer], err)) return false;
    return true;
}

static bool say(struct kv_gpu *g, const struct rows *r, struct kv_err *err)
{
    const struct kv_model_shape *s = g->shape;
    const float epsilon = (float)KV_LLAMA_EPSILON;
    const int32_t *which = g->input + r->in.yield;
    return kv_rmsnorm(g->x, g->added, g->norm, g->normed, r->tokens, s->hidden, epsilon, g->compute, err)
           && kv_gather(g->last, g->normed, which, r->yields, 2 * (int64_t)s->hidden, 0, g->compute, err)
           && product(g, r->yields, s->vocabulary, s->hidden, g->last, g->head, g->logits, err)
           && kv_pick(g->logits, r->yields, s->vocabulary, g->picked, g->compute, err)
           && kv_cuda_copy(g->picked_host, g->picked, 4 * (int64_t)r->yields, g->compute, err);
}

bool kv_gpu_forward(struct kv_gpu *g, const struct kv_loop_batch *batch, bool timed, bool head, struct kv_err *err)
{
    struct rows r = lay_out(g, batch);
    put_input(g, &r, batch);
    if (!kv_cuda_record(g->begin, g->compute, err)
        || !kv_cuda_copy(g->input, g->input_host, 4 * r.in.count, g->compute, err)
        || !kv_gather(g->x, g->embedding, g->input + r.in.token, (int32_t)r.tokens, 2 * (int64_t)g->shape->hidden, 0,
                      g->compute, err)) return false;
    for (int32_t l = 0; l < g->shape->layers; l++)
        if (!follow_loads(g, batch, l, err) || (timed && !kv_cuda_record(g->layer_begin[l], g->compute, err))
            || !layer_of(g, &r, l, err) || (timed && !kv_cuda_record(g->layer_end[l], g->compute, err))) return false;
    return (!head || r.yields == 0 || say(g, &r, err)) && kv_cuda_record(g->end, g->compute, err);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/gpu/point.h"

#include <string.h>

#include "sim/conf/bind.h"

static const char *const op_name[] = {"gemm", "prefill", "decode", "rmsnorm", "rotary", "scatter_kv", "silu_mul",
                                      "write_kv", "copy", "all_reduce", "sm_share", "two_layers"};
static const char *const type_name[] = {"bf16", "fp8"};
static const char *const way_name[] = {"h2d", "d2h", "both", "gather"};
static const char *const shared_name[] = {"gemm", "prefill", "decode"};

const char *kv_gpu_op_name(enum kv_gpu_op op) { return op_name[op]; }
const char *kv_gpu_type_name(enum kv_gpu_type type) { return type_name[type]; }
const char *kv_gpu_way_name(enum kv_gpu_way way) { return way_name[way]; }
const char *kv_gpu_shared_name(enum kv_gpu_shared shared) { return shared_name[shared]; }

const char *kv_gpu_point_text(struct kv_arena *arena, const struct kv_gpu_point *p)
{
    const char *name = op_name[p->op];
    long long x[KV_GPU_X];
    for (int i = 0; i < KV_GPU_X; i++) x[i] = p->x[i];
    switch (p->op) {
    case KV_GPU_GEMM:
        return kv_arena_text(arena, "%s %s %lld x %lld x %lld", name, type_name[p->type], x[0], x[1], x[2]);
    case KV_GPU_PREFILL:
        return kv_arena_text(arena, "%s %lld x %lld new over %lld, heads %lld/%lld of %lld", name, x[0], x[1], x[2],
                             x[3], x[4], x[5]);
    case KV_GPU_DECODE:
        return kv_arena_text(arena, "%s %lld over %lld, heads %lld/%lld of %lld", name, x[0], x[1], x[2], x[3], x[4]);
    case KV_GPU_COPY:
        return kv_arena_text(arena, "%s %s %lld blocks of %lld bytes", name, way_name[x[0]], x[2], x[1]);
    case KV_GPU_REDUCE:
        return kv_arena_text(arena, "%s of %lld bytes over %lld GPUs", name, x[1], x[0]);
    case KV_GPU_SHARE:
        return kv_arena_text(arena, "%s of %lld permille: %s", name, x[1], shared_name[x[0]]);
    case KV_GPU_LAYERS:
        return kv_arena_text(arena, "%s of %s: %lld x %lld new over %lld%s", name, p->model->name, x[0], x[1], x[2],
                             x[3] ? ", launched one by one" : "");
    default:
        return kv_arena_text(arena, "%s %lld rows of %lld", name, x[0], x[1]);
    }
}

int kv_gpu_point_order(const struct kv_gpu_point *a, const struct kv_gpu_point *b)
{
    if (a->op != b->op) return a->op < b->op ? -1 : 1;
    if (a->type != b->type) return strcmp(type_name[a->type], type_name[b->type]);
    int models = strcmp(a->model ? a->model->name : "", b->model ? b->model->name : "");
    if (models) return models;
    for (int i = 0; i < KV_GPU_X; i++) {
        if (a->x[i] == b->x[i]) continue;
        if (i == 0 && a->op == KV_GPU_COPY) return strcmp(way_name[a->x[0]], way_name[b->x[0]]);
        if (i == 0 && a->op == KV_GPU_SHARE) return strcmp(shared_name[a->x[0]], shared_name[b->x[0]]);
        return a->x[i] < b->x[i] ? -1 : 1;
    }
    return 0;
}

/* ---- work ---- */

/* A layer's products for so many tokens: bytes of weights, operations. */
static void layer_work(const struct kv_model_shape *m, double tokens, double *bytes, double *flops)
{
    double attention = (double)m->hidden * (2 * m->heads + 2 * m->kv_heads) * m->head_dim;
    double weights = attention + 3.0 * m->hidden * m->intermediate;
    *bytes = 2 * weights;
    *flops = 2 * weights * tokens;
}

/* Attention of `fresh` tokens over `cached` and themselves, added. */
static void attention_work(double sequences, double fresh, double cached, const double heads[3], double *bytes,
                           double *flops)
{
    *bytes += 4 * sequences * heads[2] * (heads[1] * (cached + fresh) + heads[0] * fresh);
    *flops += 4 * sequences * heads[0] * heads[2] * fresh * (cached + (fresh + 1) / 2);
}

void kv_gpu_point_work(const struct kv_gpu_point *p, double *bytes, double *flops)
{
    const struct kv_model_shape *m = p->model;
    double x[KV_GPU_X], size = p->type == KV_GPU_FP8 ? 1 : 2;
    for (int i = 0; i < KV_GPU_X; i++) x[i] = (double)p->x[i];
    *bytes = *flops = 0;
    switch (p->op) {
    case KV_GPU_GEMM:
        *bytes = size * x[2] * (x[0] + x[1]) + 2 * x[0] * x[1];
        *flops = 2 * x[0] * x[1] * x[2];
        break;
    case KV_GPU_PREFILL: attention_work(x[0], x[1], x[2], &x[3], bytes, flops); break;
    case KV_GPU_DECODE: attention_work(x[0], 1, x[1], &x[2], bytes, flops); break;
    case KV_GPU_NORM: *bytes = 8 * x[0] * x[1]; break;
    case KV_GPU_SILU: *bytes = 6 * x[0] * x[1]; break;
    case KV_GPU_ROTARY:
    case KV_GPU_WRITE:
    case KV_GPU_SCATTER: *bytes = 4 * x[0] * x[1]; break;
    case KV_GPU_COPY: *bytes = x[1] * x[2] * (p->x[0] == KV_GPU_BOTH ? 2 : 1); break;
    case KV_GPU_REDUCE: *bytes = 2 * x[1] * (x[0] - 1) / x[0]; break;
    case KV_GPU_SHARE: *flops = 1e11 * 1000 / x[1]; break;   /* more than any of the three */
    default:
        layer_work(m, x[0] * x[1], bytes, flops);
        attention_work(x[0], x[1], x[2], (const double[]){m->heads, m->kv_heads, m->head_dim}, bytes, flops);
        *bytes *= 2;
        *flops *= 2;
    }
}

/* ---- what is chosen ---- */

/* Sets chosen[i] for each word of `list`; all where the list is empty. */
static bool choose(const char *option, const char *list, const char *const *name, int32_t count, bool *chosen,
                   struct kv_err *err)
{
    for (int32_t i = 0; i < count; i++) chosen[i] = !*list;
    for (const char *word = list; *word;) {
        size_t length = strcspn(word, ",");
        int32_t i = 0;
        while (i < count && !(strlen(name[i]) == length && !strncmp(name[i], word, length))) i++;
        if (i == count) {
            char text[64] = "";
            strncat(text, word, length < sizeof text - 1 ? length : sizeof text - 1);
            const char *near = kv_suggest(text, name, count);
            return kv_fail(err, KV_EUSAGE, option, "unknown value '%s'%s%s%s", text, near ? "; did you mean '" : "",
                           near ? near : "", near ? "'?" : "");
        }
        chosen[i] = true;
        word += length + (word[length] == ',');
    }
    return true;
}

bool kv_gpu_grid_read(const char *ops, const char *types, struct kv_gpu_grid *grid, struct kv_err *err)
{
    return choose("--ops", ops, op_name, KV_GPU_OPS, grid->op, err)
           && choose("--dtype", types, type_name, KV_GPU_TYPES, grid->type, err);
}

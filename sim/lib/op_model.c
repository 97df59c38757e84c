/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/lib/op_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const struct kv_op_form kv_op_forms[KV_OPS] = {
    [KV_OP_GEMM] = {"gemm", "dtype", {"m", "n", "k"}, NULL},
    [KV_OP_PREFILL] = {"attention_prefill", "kv_dtype",
                       {"batch", "new_tokens", "cached_tokens", "heads", "kv_heads", "head_dim", "window"}, NULL},
    [KV_OP_DECODE] = {"attention_decode", "kv_dtype",
                      {"batch", "kv_tokens", "heads", "kv_heads", "head_dim", "window"}, NULL},
    [KV_OP_MOE] = {"moe", "dtype", {"tokens", "hidden", "inter", "topk", "experts", "moe_tp", "moe_ep"}, NULL},
    [KV_OP_ALL_REDUCE] = {"all_reduce", "mode", {"ranks", "bytes"}, NULL},
    [KV_OP_ALL_GATHER] = {"all_gather", "mode", {"ranks", "bytes"}, NULL},
    [KV_OP_REDUCE_SCATTER] = {"reduce_scatter", "mode", {"ranks", "bytes"}, NULL},
    [KV_OP_ELEMENTWISE] = {"elementwise", "op", {"tokens", "width"}, NULL},
    [KV_OP_COPY] = {"copy", "direction", {"bytes", "count"}, NULL},
    [KV_OP_SM_SHARE] = {"sm_share", "op", {"share_permille"}, NULL},
    [KV_OP_LAYERS] = {"two_layers", "model", {"batch", "new_tokens", "cached_tokens", "direct"}, "operators_us"},
};

double kv_op_type_bytes(const char *type)
{
    return strncmp(type, "fp8", 3) == 0 ? 1 : strstr(type, "fp4") || strstr(type, "int4") ? 0.5 : 2;
}

/* What a call does, and what its ratio to the roofline goes by. */
struct problem { double flops, bytes, feature[KV_RATIO_INPUTS_MAX]; int32_t features; };

static void add(struct problem *p, double feature)
{
    p->feature[p->features++] = feature;
}

/* log2 of the share that full waves of `blocks` on all multiprocessors waste. */
static double waste(double blocks, double multiprocessors)
{
    return fmin(log2(ceil(blocks / multiprocessors) * multiprocessors / blocks), 6);
}

static void describe_gemm(struct problem *p, double width, double sms, const int64_t *key)
{
    static const double tile[][2] = {{64, 128}, {128, 128}, {128, 256}, {256, 128}};
    double m = (double)key[KV_GEMM_M], n = (double)key[KV_GEMM_N], k = (double)key[KV_GEMM_K];
    p->flops = 2 * m * n * k;
    p->bytes = width * (m * k + n * k) + 2 * m * n;
    add(p, log2(m));
    add(p, log2(n));
    add(p, log2(k));
    add(p, log2(p->flops / p->bytes));
    for (size_t i = 0; i < sizeof tile / sizeof *tile; i++) {
        double waves = ceil(ceil(m / tile[i][0]) * ceil(n / tile[i][1]) / sms);
        add(p, fmin(log2(waves * sms * tile[i][0] * tile[i][1] / (m * n)), 6));
    }
    add(p, log2(ceil(m / 128) * ceil(n / 128) / sms));
    add(p, key[KV_GEMM_M] % 16 == 0);
    add(p, key[KV_GEMM_M] % (m > 17 ? 16 : 2) == 0);   /* past 17 tables have multiples of 16 and odd numbers */
    add(p, fmin(m, 17) / 8);
    add(p, fmax(0, 5 - fabs(log2(m) - 7)));
}

/* Heads, their grouping and width; a type of one byte has kernels of its own. */
static void describe_heads(struct problem *p, double width, const int64_t *key)
{
    double group = (double)key[0] / (double)key[1];
    add(p, log2(group));
    add(p, group <= 1);
    add(p, log2((double)key[2]));
    add(p, key[2] == 192);
    add(p, key[2] == 256);
    add(p, key[2] == 512);
    add(p, width);
    add(p, key[3] > 0);
}

/* Pairs of query and key of one head: each query sees what was cached and what came before it, or `window` of it. */
static double pairs_of(double fresh, double cached, double window)
{
    if (window <= 0 || window >= fresh + cached) return fresh * cached + fresh * (fresh + 1) / 2;
    double whole = fmin(fmax(window - cached, 0), fresh);   /* queries that see less than a window */
    return whole * cached + whole * (whole + 1) / 2 + (fresh - whole) * window;
}

/* A chunk behind cached tokens is like a part of a prompt of 2 cached + new tokens: as many pairs a query, as many
 * queries. So one ratio serves both, and samples without cached tokens say something about chunks. */
static void describe_prefill(struct problem *p, double width, double sms, const int64_t *key)
{
    const int64_t *head = key + KV_PREFILL_HEADS;
    double batch = (double)key[KV_PREFILL_BATCH], fresh = (double)key[KV_PREFILL_NEW];
    double cached = (double)key[KV_PREFILL_CACHED], heads = (double)head[0], kv_heads = (double)head[1];
    double dim = (double)head[2], window = (double)head[3];
    double pairs = pairs_of(fresh, cached, window), whole = fresh + 2 * cached, part = batch * fresh / whole;
    p->flops = 4 * batch * heads * pairs * dim;
    p->bytes = batch * dim * (4 * fresh * heads + 2 * width * (fresh + cached) * kv_heads);
    double like_bytes = part * dim * whole * (4 * heads + 2 * width * kv_heads);
    double blocks = fmax(part * heads * ceil(whole / 128), 1);
    add(p, log2(part * heads));
    add(p, log2(part * kv_heads));
    add(p, log2(whole));
    add(p, fmin(log2(whole), 7));
    add(p, log2(pairs / fresh));
    add(p, log2(p->flops / like_bytes));
    add(p, log2(blocks / sms));
    add(p, waste(blocks, sms));
    describe_heads(p, width, head);
}

static void describe_decode(struct problem *p, double width, double sms, const int64_t *key)
{
    const int64_t *head = key + KV_DECODE_HEADS;
    double batch = (double)key[KV_DECODE_BATCH], tokens = (double)key[KV_DECODE_TOKENS], heads = (double)head[0];
    double kv_heads = (double)head[1], dim = (double)head[2], seen = tokens;
    if (head[3] > 0 && seen > (double)head[3]) seen = (double)head[3];
    p->flops = 4 * batch * heads * (seen + 1) * dim;
    p->bytes = batch * dim * (2 * width * kv_heads * (seen + 1) + 4 * heads);
    double blocks = batch * kv_heads;
    add(p, log2(batch));
    add(p, log2(kv_heads));
    add(p, log2(tokens + 1));
    add(p, log2(seen + 1));
    add(p, log2(blocks / sms));
    add(p, waste(blocks, sms));
    add(p, log2(blocks * ceil((seen + 1) / 128) / sms));
    add(p, log2(p->flops / p->bytes));
    describe_heads(p, width, head);
}

/* Experts of one GPU: of its own, those that a batch meets when tokens choose evenly, are read once. */
static void describe_moe(struct problem *p, double width, double sms, const int64_t *key)
{
    double tokens = (double)key[KV_MOE_TOKENS], hidden = (double)key[KV_MOE_HIDDEN], tp = (double)key[KV_MOE_TP];
    double ep = (double)key[KV_MOE_EP], inter = (double)key[KV_MOE_INTER] / tp, topk = (double)key[KV_MOE_TOPK];
    double experts = (double)key[KV_MOE_EXPERTS], own = fmax(experts / ep, 1);
    double met = own * (1 - pow(1 - topk / experts, tokens)), rows = tokens * topk / ep;
    met = fmax(met, 1);
    p->flops = 6 * rows * hidden * inter;
    p->bytes = 3 * width * met * hidden * inter + 2 * (2 * tokens * hidden + 2 * rows * inter);
    double blocks = met * ceil(fmax(rows / met, 1) / 64) * ceil(2 * inter / 128);
    add(p, log2(tokens));
    add(p, log2(hidden));
    add(p, log2(inter));
    add(p, log2(topk));
    add(p, log2(experts));
    add(p, log2(own));
    add(p, log2(rows));
    add(p, log2(fmax(rows / met, 0.01)));
    add(p, log2(tp));
    add(p, log2(p->flops / p->bytes));
    add(p, log2(blocks / sms));
    add(p, waste(blocks, sms));
}

static struct problem describe(enum kv_op op, double sms, const char *type, const int64_t *key)
{
    static void (*const by_op[KV_OPS_PRICED])(struct problem *, double, double, const int64_t *) = {
        describe_gemm, describe_prefill, describe_decode, describe_moe,
    };
    struct problem p = {0};
    by_op[op](&p, kv_op_type_bytes(type), sms, key);
    return p;
}

static double roof_us(const struct kv_op_model *m, const struct problem *p)
{
    return fmax(fmax(p->flops / m->flops_per_us, p->bytes / m->bytes_per_us), m->floor_us);
}

/* How far each roof is from the floor tells which of the three binds. */
static void add_roofs(const struct kv_op_model *m, struct problem *p)
{
    add(p, log(p->flops / m->flops_per_us / m->floor_us));
    add(p, log(p->bytes / m->bytes_per_us / m->floor_us));
}

double kv_op_us(const struct kv_op_model *model, enum kv_op op, int32_t multiprocessors, const char *type,
                const int64_t *key)
{
    struct problem p = describe(op, multiprocessors, type, key);
    add_roofs(model, &p);
    return roof_us(model, &p) * exp(kv_ratio_net_at(&model->net, p.feature));
}

/* ---- fitting ---- */

static int by_value(const void *a, const void *b)
{
    double p = *(const double *)a, q = *(const double *)b;
    return (p > q) - (p < q);
}

static bool is_used(const struct kv_op_row *row, const char *type, const struct kv_op_fit_rule *rule)
{
    return (rule->all || !row->held) && (!type || strcmp(row->type, type) == 0);
}

static void find_roofs(struct kv_op_model *m, const struct problem *p, const double *time_us, size_t count,
                       double *sort)
{
    for (size_t i = 0; i < count; i++) sort[i] = p[i].flops / time_us[i];
    qsort(sort, count, sizeof *sort, by_value);
    m->flops_per_us = sort[count - 1 - count / 100];
    for (size_t i = 0; i < count; i++) sort[i] = p[i].bytes / time_us[i];
    qsort(sort, count, sizeof *sort, by_value);
    m->bytes_per_us = sort[count - 1 - count / 100];
    memcpy(sort, time_us, count * sizeof *sort);
    qsort(sort, count, sizeof *sort, by_value);
    m->floor_us = sort[count / 50];
}

bool kv_op_fit(struct kv_op_model *model, enum kv_op op, const char *type, const struct kv_op_rows *rows,
               const struct kv_op_fit_rule *rule)
{
    struct kv_arena scratch = {0};
    size_t count = 0;
    struct problem *p = kv_arena_take(&scratch, (rows->count + 1) * sizeof *p);
    double *time_us = kv_arena_take(&scratch, (rows->count + 1) * sizeof *time_us);
    double *sort = kv_arena_take(&scratch, (rows->count + 1) * sizeof *sort);
    *model = (struct kv_op_model){.type = type};
    for (size_t i = 0; i < rows->count; i++) {
        const struct kv_op_row *row = &rows->at[i];
        if (!is_used(row, type, rule)) continue;
        for (int32_t k = 0; k < KV_OP_KEYS_MAX; k++)
            if (row->key[k] > model->most_key[k]) model->most_key[k] = row->key[k];
        p[count] = describe(op, rule->multiprocessors, row->type, row->key);
        time_us[count++] = row->time_us;
    }
    if (count > 0) {
        find_roofs(model, p, time_us, count, sort);
        struct kv_ratio_samples samples = {p->features + 2, count, NULL, NULL};
        float *x = kv_arena_take(&scratch, count * (size_t)samples.inputs * sizeof *x), *next = x;
        float *y = kv_arena_take(&scratch, count * sizeof *y);
        for (size_t i = 0; i < count; i++) {
            y[i] = (float)log(time_us[i] / roof_us(model, &p[i]));
            add_roofs(model, &p[i]);
            for (int32_t k = 0; k < samples.inputs; k++) *next++ = (float)p[i].feature[k];
        }
        samples.x = x;
        samples.y = y;
        model->rows = (int64_t)count;
        kv_ratio_net_fit(&model->net, &samples, rule->epochs, rule->seed);
    }
    kv_arena_close(&scratch);
    return count > 0;
}

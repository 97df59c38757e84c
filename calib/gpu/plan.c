/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "calib/gpu/point.h"
#include "sim/base/rng.h"
#include "sim/lib/kvsize.h"

/* Pairs of tokens that attention of a point may look at: a second or so. */
#define PAIRS_MOST ((int64_t)1 << 32)
/* KV of a point, where the device's memory is not known. */
#define KV_MOST_BYTES ((int64_t)8 << 30)
#define COPY_MOST_BYTES ((int64_t)1 << 30)

struct axis { int32_t count; int64_t at[32]; };
/* Rows of products lie between powers of two as well, and one past a full tile: a fit that has seen powers of two alone
 * is a tenth off between them. */
static const struct axis
    batch_axis = {32, {1, 2, 4, 8, 12, 16, 17, 24, 32, 33, 48, 64, 65, 96, 128, 129, 192, 256, 257, 384, 512, 513, 768,
                       1024, 1025, 1536, 2048, 3072, 4096, 6144, 8192, 16384}},
    rows_axis = {8, {1, 8, 64, 256, 1024, 4096, 8192, 16384}},
    fresh_axis = {11, {1, 16, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 32768}},
    cached_axis = {8, {0, 512, 1024, 2048, 4096, 8192, 32768, 131072}},
    chunks_axis = {3, {4, 16, 64}},
    sequences_axis = {13, {1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 256, 512}},
    length_axis = {11, {15, 127, 511, 1023, 2047, 4095, 8191, 16383, 32767, 65535, 131071}},
    fetched_axis = {6, {16, 256, 1024, 4096, 16384, 65536}},
    block_axis = {9, {4096, 16384, 32768, 65536, 262144, 1048576, 4194304, 16777216, 67108864}},
    blocks_axis = {5, {1, 8, 64, 512, 2048}},
    gpus_axis = {3, {2, 4, 8}},
    reduce_axis = {9, {1024, 8192, 65536, 262144, 1048576, 4194304, 16777216, 67108864, 268435456}},
    general_axis = {6, {512, 1024, 2048, 4096, 8192, 16384}};

/* How late a value of an axis comes: both ends and the middle first, then middles of what lies between. */
static int32_t lateness(int32_t i, int32_t count)
{
    int32_t low = 0, high = count - 1, depth = 0;
    if (i == low || i == high) return 0;
    for (;; depth++) {
        int32_t middle = (low + high) / 2;
        if (i == middle) return depth;
        if (i < middle) high = middle;
        else low = middle;
    }
}

static int32_t later(int32_t a, int32_t b) { return a > b ? a : b; }

/* ---- collecting ---- */

struct plan { const struct kv_gpu_grid *grid; KV_VEC(struct kv_gpu_point) point; };

static void add(struct plan *p, struct kv_gpu_point point)
{
    if (p->grid->op[point.op] && p->grid->type[point.type]) kv_vec_push(&p->point, point);
}

/* A product of a layer for all numbers of tokens; fp8 a little later, for fewer models run so. */
static void add_gemm(struct plan *p, int64_t n, int64_t k, int32_t rank)
{
    if (n % 16 || k % 16 || n < 16 || k < 16) return;
    for (int32_t type = 0; type < KV_GPU_TYPES; type++)
        for (int32_t i = 0; i < batch_axis.count; i++)
            add(p, (struct kv_gpu_point){ .op = KV_GPU_GEMM, .type = (enum kv_gpu_type)type,
                                          .x = {batch_axis.at[i], n, k},
                                          .rank = rank + lateness(i, batch_axis.count) + type });
}

static void add_rows(struct plan *p, enum kv_gpu_op op, const struct axis *axis, int64_t width, int32_t rank)
{
    for (int32_t i = 0; i < axis->count; i++)
        add(p, (struct kv_gpu_point){ .op = op, .x = {axis->at[i], width},
                                      .rank = rank + 1 + lateness(i, axis->count) });
}

/* ---- attention ---- */

static bool kv_fits(const struct plan *p, int64_t tokens, int64_t kv_heads, int64_t head_dim)
{
    int64_t most = p->grid->memory_bytes ? p->grid->memory_bytes / 4 : KV_MOST_BYTES;
    return 4 * tokens * kv_heads * head_dim <= most;
}

static void add_prefill(struct plan *p, int64_t heads, int64_t kv_heads, int64_t head_dim, int32_t rank)
{
    for (int32_t i = 0; i < fresh_axis.count; i++)
        for (int32_t j = 0; j < cached_axis.count; j++) {
            int64_t fresh = fresh_axis.at[i], cached = cached_axis.at[j];
            if (fresh * (fresh + cached) > PAIRS_MOST || !kv_fits(p, fresh + cached, kv_heads, head_dim)) continue;
            add(p, (struct kv_gpu_point){
                .op = KV_GPU_PREFILL, .x = {1, fresh, cached, heads, kv_heads, head_dim},
                .rank = rank + later(lateness(i, fresh_axis.count), lateness(j, cached_axis.count)) });
        }
    for (int32_t s = 0; s < chunks_axis.count; s++)
        for (int32_t i = 1; i < 7; i++) {
            int64_t sequences = chunks_axis.at[s], fresh = fresh_axis.at[i];
            if (sequences * fresh > fresh_axis.at[fresh_axis.count - 1]) continue;
            add(p, (struct kv_gpu_point){ .op = KV_GPU_PREFILL,
                                          .x = {sequences, fresh, 0, heads, kv_heads, head_dim},
                                          .rank = rank + 1 + lateness(s, chunks_axis.count) });
        }
}

static void add_decode(struct plan *p, int64_t heads, int64_t kv_heads, int64_t head_dim, int32_t rank)
{
    for (int32_t i = 0; i < sequences_axis.count; i++)
        for (int32_t j = 0; j < length_axis.count; j++) {
            int64_t sequences = sequences_axis.at[i], length = length_axis.at[j];
            if (!kv_fits(p, sequences * (length + 1), kv_heads, head_dim)) continue;
            add(p, (struct kv_gpu_point){
                .op = KV_GPU_DECODE, .x = {sequences, length, heads, kv_heads, head_dim},
                .rank = rank + later(lateness(i, sequences_axis.count), lateness(j, length_axis.count)) });
        }
}

/* ---- a model on one of tp GPUs ---- */

static void add_gqa(struct plan *p, const struct kv_model_shape *m, int32_t tp, int32_t rank)
{
    int64_t heads = m->heads / tp, kv_heads = kv_heads_per_gpu(m, tp), dim = m->head_dim;
    if (m->heads % tp || heads % kv_heads) return;
    add_gemm(p, (heads + 2 * kv_heads) * dim, m->hidden, rank);
    add_gemm(p, m->hidden, heads * dim, rank);
    if (dim != 64 && dim != 128) return;   /* no kernel for others */
    add_prefill(p, heads, kv_heads, dim, rank);
    add_decode(p, heads, kv_heads, dim, rank);
    add_rows(p, KV_GPU_ROTARY, &rows_axis, (heads + kv_heads) * dim, rank);
    add_rows(p, KV_GPU_WRITE, &rows_axis, 2 * kv_heads * dim, rank);
    add_rows(p, KV_GPU_SCATTER, &fetched_axis, 2 * kv_heads * dim, rank);
}

static void add_model(struct plan *p, const struct kv_model_shape *m, int32_t tp, int32_t rank)
{
    if (m->attention == KV_ATTENTION_GQA) add_gqa(p, m, tp, rank);
    const int64_t inner[] = { m->experts && !m->dense_layers ? 0 : m->intermediate / tp,
                              m->experts ? m->expert_intermediate / tp : 0 };
    for (int i = 0; i < 2; i++) {
        if (inner[i] < 16 || inner[i] % 8) continue;
        add_gemm(p, 2 * inner[i], m->hidden, rank);
        add_gemm(p, m->hidden, inner[i], rank);
        add_rows(p, KV_GPU_SILU, &rows_axis, inner[i], rank);
    }
    add_gemm(p, m->vocabulary / tp / 16 * 16, m->hidden, rank + 1);
    add_rows(p, KV_GPU_NORM, &rows_axis, m->hidden, rank);
}

/* Two whole layers: prompts, over cached KV or not, and decodes, those launched one by one as well. */
static void add_layers(struct plan *p, const struct kv_model_shape *m)
{
    static const int64_t shape[][4] = {{1, 2048, 0, 0}, {64, 1, 2047, 0}, {64, 1, 2047, 1}, {1, 512, 8192, 0},
                                       {1, 1, 2047, 0}, {1, 1, 2047, 1}, {16, 1, 2047, 0}, {16, 1, 2047, 1},
                                       {8, 256, 0, 0}};
    if (m->attention != KV_ATTENTION_GQA || m->experts || (m->head_dim != 64 && m->head_dim != 128)) return;
    for (size_t i = 0; i < sizeof shape / sizeof *shape; i++)
        add(p, (struct kv_gpu_point){ .op = KV_GPU_LAYERS, .x = {shape[i][0], shape[i][1], shape[i][2], shape[i][3]},
                                      .model = m, .rank = 1 + (int32_t)i / 2 });
}

/* ---- what no model has ---- */

static void add_copies(struct plan *p)
{
    for (int32_t way = 0; way < KV_GPU_WAYS; way++)
        for (int32_t i = 0; i < block_axis.count; i++)
            for (int32_t j = 0; j < blocks_axis.count; j++) {
                if (block_axis.at[i] * blocks_axis.at[j] > COPY_MOST_BYTES) continue;
                add(p, (struct kv_gpu_point){
                    .op = KV_GPU_COPY, .x = {way, block_axis.at[i], blocks_axis.at[j]},
                    .rank = later(lateness(i, block_axis.count), lateness(j, blocks_axis.count)) });
            }
}

/* Parts of the SMs in eighths, as near as groups of eight SMs come: a device gives no others away. */
static void add_shares(struct plan *p)
{
    enum { PARTS = 8, GROUP = 8 };
    int64_t sms = p->grid->sms, before = 0;
    for (int32_t i = 1; i <= PARTS; i++) {
        int64_t part = (sms * i / PARTS + GROUP / 2) / GROUP * GROUP;
        int64_t permille = i == PARTS ? 1000 : sms ? (2000 * part + sms) / (2 * sms) : 1000 * i / PARTS;
        if (permille <= before || (i < PARTS && permille >= 1000)) continue;
        before = permille;
        for (int32_t what = 0; what < KV_GPU_SHAREDS; what++)
            add(p, (struct kv_gpu_point){ .op = KV_GPU_SHARE, .x = {what, permille},
                                          .rank = 2 + lateness(i - 1, PARTS) });
    }
}

static void add_others(struct plan *p)
{
    for (int32_t g = 0; g < gpus_axis.count; g++)
        for (int32_t i = 0; i < reduce_axis.count && (!p->grid->gpus || gpus_axis.at[g] <= p->grid->gpus); i++)
            add(p, (struct kv_gpu_point){ .op = KV_GPU_REDUCE, .x = {gpus_axis.at[g], reduce_axis.at[i]},
                                          .rank = 1 + lateness(i, reduce_axis.count) });
    for (int32_t i = 0; i < general_axis.count && p->grid->general; i++)
        for (int32_t j = 0; j < general_axis.count; j++)
            add_gemm(p, general_axis.at[i], general_axis.at[j],
                     3 + later(lateness(i, general_axis.count), lateness(j, general_axis.count)));
}

/* ---- order ---- */

static int by_point(const void *a, const void *b)
{
    const struct kv_gpu_point *x = a, *y = b;
    int order = kv_gpu_point_order(x, y);
    return order ? order : x->rank - y->rank;
}

/* Some order that has nothing to do with what a point is: a device that makes one large product after the other runs
 * into its power limit, and all of them would be measured at clocks that a mixed load does not see. */
static uint64_t lot_of(const struct kv_gpu_point *p)
{
    uint64_t lot = kv_mix64_pair((uint64_t)p->op, (uint64_t)p->type);
    for (int i = 0; i < KV_GPU_X; i++) lot = kv_mix64_pair(lot, (uint64_t)p->x[i]);
    return lot;
}

static int by_rank(const void *a, const void *b)
{
    const struct kv_gpu_point *x = a, *y = b;
    if (x->rank != y->rank) return x->rank - y->rank;
    uint64_t lot_x = lot_of(x), lot_y = lot_of(y);
    return lot_x != lot_y ? (lot_x < lot_y ? -1 : 1) : kv_gpu_point_order(x, y);
}

int32_t kv_gpu_plan(struct kv_arena *arena, const struct kv_gpu_grid *grid, struct kv_gpu_point **points)
{
    struct plan p = { .grid = grid };
    for (int32_t i = 0; i < grid->model_count; i++) {
        for (int32_t tp = 1, rank = 0; tp <= 8; tp *= 2, rank++) add_model(&p, grid->model[i], tp, rank);
        add_layers(&p, grid->model[i]);
    }
    add_copies(&p);
    add_shares(&p);
    add_others(&p);
    /* Many models have the same shapes: each stays once, with the least of its ranks. */
    size_t kept = 0;
    if (p.point.count) qsort(p.point.at, p.point.count, sizeof *p.point.at, by_point);
    for (size_t i = 0; i < p.point.count; i++)
        if (!kept || kv_gpu_point_order(&p.point.at[kept - 1], &p.point.at[i]) != 0)
            p.point.at[kept++] = p.point.at[i];
    if (kept) qsort(p.point.at, kept, sizeof *p.point.at, by_rank);
    *points = kv_arena_take(arena, (kept + 1) * sizeof **points);
    if (kept) memcpy(*points, p.point.at, kept * sizeof **points);
    kv_vec_close(&p.point);
    return (int32_t)kept;
}

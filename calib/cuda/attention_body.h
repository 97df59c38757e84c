/* SPDX-License-Identifier: Apache-2.0 */
/* The bodies of the attention kernels, one call a block of threads (calib/cuda/simt.h). Rows are queries of the heads
 * that share a KV head, token by token: row r of a sequence is token r / group, head r % group of the group. So a tile
 * of keys that was brought once serves the whole group. */
#ifndef KV_CALIB_CUDA_ATTENTION_BODY_H
#define KV_CALIB_CUDA_ATTENTION_BODY_H

#include "calib/cuda/attend.h"
#include "calib/cuda/ops.h"

#define KV_LOG2_E 1.4426950408889634f

/* ---- prefill ---- */

#define KV_PREFILL_WARPS 4
#define KV_PREFILL_THREADS (32 * KV_PREFILL_WARPS)
#define KV_PREFILL_ROWS (16 * KV_PREFILL_WARPS)   /* of a block */
#define KV_PREFILL_KEYS 64
/* A tile of keys and one of values. */
#define KV_PREFILL_SHARED_BYTES(dim) (2 * KV_PREFILL_KEYS * (dim) * (int)sizeof(kv_bf16))

/* Blocks that a sequence of so many new tokens needs for each KV head. */
static inline int64_t kv_prefill_blocks(int32_t new_tokens, int32_t group)
{
    return ((int64_t)new_tokens * group + KV_PREFILL_ROWS - 1) / KV_PREFILL_ROWS;
}

/* What a block works at. */
struct kv_prefill_work {
    int32_t kv_head, group, first_row, row, rows;   /* first row of the sequence; of the block; rows of the sequence */
    int32_t cached, length;                         /* keys that some row of the block sees */
    const int32_t *table;
};

/* The row of token r / group that is r % group of the group, or NULL past the end. */
KV_FN const kv_bf16 *kv_prefill_query(const struct kv_prefill *p, const struct kv_prefill_work *w, int32_t r, int dim)
{
    if (r >= w->rows) return NULL;
    return p->q + (w->first_row + r / w->group) * p->q_stride + (w->kv_head * w->group + r % w->group) * dim;
}

KV_FN void kv_prefill_store(const struct kv_prefill *p, const struct kv_prefill_work *work, struct kv_attend *a,
                            int32_t warp_row, int dim)
{
    kv_quad_sum(a->sum[0]);
    kv_quad_sum(a->sum[1]);
    KV_EACH_LANE(l, lane) {
        KV_UNROLL for (int h = 0; h < 2; h++) {
            int32_t r = warp_row + lane / 4 + 8 * h;
            if (r >= work->rows) continue;
            float share = 1 / a->sum[h][l];
            int64_t head = (int64_t)(work->first_row + r / work->group) * p->heads + work->kv_head * work->group
                           + r % work->group;
            uint32_t *out = (uint32_t *)(p->out + head * dim + 2 * (lane % 4));
            KV_UNROLL for (int n = 0; n < dim / 8; n++)
                out[4 * n] = kv_pair(a->out[n][l][2 * h] * share, a->out[n][l][2 * h + 1] * share);
        }
    }
}

/* Block `block` of KV head `kv_head` of a sequence. Blocks with the most keys come first, so that the last to end are
 * short. shared: KV_PREFILL_SHARED_BYTES. Keys come while values are used, and values while keys are. */
KV_FN void kv_prefill_block(const struct kv_prefill *p, int32_t block, int32_t blocks, int32_t kv_head,
                            int32_t sequence, int32_t shift, kv_bf16 *shared, int dim)
{
    struct kv_prefill_work w = { kv_head, p->heads / p->pages.kv_heads, p->first[sequence], 0, 0, p->cached[sequence],
                                 0, p->pages.table + (int64_t)sequence * p->pages.table_stride };
    w.rows = (p->first[sequence + 1] - w.first_row) * w.group;
    w.row = (blocks - 1 - block) * KV_PREFILL_ROWS;
    if (w.row >= w.rows) return;
    int32_t last = w.row + KV_PREFILL_ROWS < w.rows ? w.row + KV_PREFILL_ROWS - 1 : w.rows - 1;
    w.length = w.cached + last / w.group + 1;

    struct kv_attend a[KV_WARP_SLOTS(KV_PREFILL_WARPS)];
    int32_t see[KV_WARP_SLOTS(KV_PREFILL_WARPS)][2][KV_LANES];
    kv_bf16 *keys = shared, *values = shared + KV_PREFILL_KEYS * dim;
    KV_EACH_WARP(s, warp, KV_PREFILL_WARPS) {
        const kv_bf16 *low[KV_LANES], *high[KV_LANES];
        KV_EACH_LANE(l, lane) {
            int32_t r = w.row + 16 * warp + lane / 4;
            low[l] = kv_prefill_query(p, &w, r, dim);
            high[l] = kv_prefill_query(p, &w, r + 8, dim);
            see[s][0][l] = w.cached + r / w.group;
            see[s][1][l] = w.cached + (r + 8) / w.group;
        }
        kv_attend_begin(&a[s], low, high, dim);
    }
    KV_EACH_THREAD(s, t, KV_PREFILL_THREADS) {
        kv_tile_load(keys, p->pages.keys, w.table, shift, p->pages.kv_heads, kv_head, 0, w.length, KV_PREFILL_KEYS,
                     dim, t, KV_PREFILL_THREADS);
    }
    kv_copy_group();
    for (int32_t first = 0; first < w.length; first += KV_PREFILL_KEYS) {
        kv_copy_wait(0);
        kv_sync_block();   /* the keys are there, and nobody needs the last values any more */
        KV_EACH_THREAD(s, t, KV_PREFILL_THREADS) {
            kv_tile_load(values, p->pages.values, w.table, shift, p->pages.kv_heads, kv_head, first, w.length,
                         KV_PREFILL_KEYS, dim, t, KV_PREFILL_THREADS);
        }
        kv_copy_group();
        KV_EACH_WARP(s, warp, KV_PREFILL_WARPS) {
            kv_attend_score(&a[s], keys, KV_PREFILL_KEYS, dim);
        }
        kv_copy_wait(0);
        kv_sync_block();   /* the values are there, and nobody needs the keys any more */
        int32_t next = first + KV_PREFILL_KEYS;
        KV_EACH_THREAD(s, t, KV_PREFILL_THREADS) {
            if (next < w.length)
                kv_tile_load(keys, p->pages.keys, w.table, shift, p->pages.kv_heads, kv_head, next, w.length,
                             KV_PREFILL_KEYS, dim, t, KV_PREFILL_THREADS);
        }
        kv_copy_group();
        bool masked = next - 1 > w.cached + w.row / w.group;
        KV_EACH_WARP(s, warp, KV_PREFILL_WARPS) {
            kv_attend_weigh(&a[s], see[s], first, masked, p->scale * KV_LOG2_E, KV_PREFILL_KEYS, dim);
            kv_attend_add(&a[s], values, KV_PREFILL_KEYS, dim);
        }
    }
    kv_copy_wait(0);
    KV_EACH_WARP(s, warp, KV_PREFILL_WARPS)
        kv_prefill_store(p, &w, &a[s], w.row + 16 * warp, dim);
}

/* ---- decode ---- */

#define KV_DECODE_WARPS 4
#define KV_DECODE_THREADS (32 * KV_DECODE_WARPS)
#define KV_DECODE_ROWS 16                          /* heads of a group that a block takes */
#define KV_DECODE_KEYS 16                          /* of a tile, which belongs to a warp alone */
#define KV_DECODE_STAGES 3                         /* tiles of a warp that are there or under way */
#define KV_DECODE_STEP (KV_DECODE_KEYS * KV_DECODE_WARPS)
#define KV_DECODE_STAGE(dim) (2 * KV_DECODE_KEYS * (dim))   /* elements: keys, then values */
/* Tiles; at the end the parts of the warps, which are smaller. */
#define KV_DECODE_SHARED_BYTES(dim) \
    (KV_DECODE_WARPS * KV_DECODE_STAGES * KV_DECODE_STAGE(dim) * (int)sizeof(kv_bf16))

/* Groups of rows that the heads of a KV head make. */
static inline int32_t kv_decode_row_blocks(int32_t group) { return (group + KV_DECODE_ROWS - 1) / KV_DECODE_ROWS; }

/* Keys of each of `splits` parts of a sequence: whole steps of a block. */
KV_FN int32_t kv_decode_part(int32_t length, int32_t splits)
{
    int32_t part = (length + splits - 1) / splits;
    return (part + KV_DECODE_STEP - 1) / KV_DECODE_STEP * KV_DECODE_STEP;
}

struct kv_decode_work {
    int32_t sequence, kv_head, group, row, rows, split;   /* rows: heads of the group from `row` on, at most 16 */
    int32_t begin, end;                                   /* keys */
};

/* Block number `block` of sequences * kv_heads * row blocks * splits. */
KV_FN struct kv_decode_work kv_decode_work_of(const struct kv_decode *d, int32_t block)
{
    struct kv_decode_work w;
    w.group = d->heads / d->pages.kv_heads;
    int32_t row_blocks = (w.group + KV_DECODE_ROWS - 1) / KV_DECODE_ROWS;
    w.split = block % d->splits;
    block /= d->splits;
    w.row = block % row_blocks * KV_DECODE_ROWS;
    block /= row_blocks;
    w.kv_head = block % d->pages.kv_heads;
    w.sequence = block / d->pages.kv_heads;
    w.rows = w.group - w.row < KV_DECODE_ROWS ? w.group - w.row : KV_DECODE_ROWS;
    int32_t length = d->length[w.sequence], part = kv_decode_part(length, d->splits);
    w.begin = w.split * part < length ? w.split * part : length;
    w.end = w.begin + part < length ? w.begin + part : length;
    return w;
}

/* Tile `j` of a warp into its place. */
KV_FN void kv_decode_load(const struct kv_decode *d, const struct kv_decode_work *w, kv_bf16 *stages, int32_t shift,
                          int32_t warp, int32_t j, int dim)
{
    int32_t first = w->begin + (j * KV_DECODE_WARPS + warp) * KV_DECODE_KEYS;
    kv_bf16 *keys = stages + j % KV_DECODE_STAGES * KV_DECODE_STAGE(dim), *values = keys + KV_DECODE_KEYS * dim;
    const int32_t *table = d->pages.table + (int64_t)w->sequence * d->pages.table_stride;
    if (first < w->end)
        KV_EACH_LANE(l, lane) {
            kv_tile_load(keys, d->pages.keys, table, shift, d->pages.kv_heads, w->kv_head, first, w->end,
                         KV_DECODE_KEYS, dim, lane, 32);
            kv_tile_load(values, d->pages.values, table, shift, d->pages.kv_heads, w->kv_head, first, w->end,
                         KV_DECODE_KEYS, dim, lane, 32);
        }
    kv_copy_group();   /* also where there is none: groups are counted */
}

/* All tiles of a warp. */
KV_FN void kv_decode_warp(const struct kv_decode *d, const struct kv_decode_work *w, struct kv_attend *a,
                          kv_bf16 *stages, int32_t shift, int32_t warp, int dim)
{
    const kv_bf16 *low[KV_LANES], *high[KV_LANES];
    int32_t see[2][KV_LANES];
    const kv_bf16 *q = d->q + w->sequence * d->q_stride + (w->kv_head * w->group + w->row) * dim;
    KV_EACH_LANE(l, lane) {
        low[l] = lane / 4 < w->rows ? q + lane / 4 * dim : NULL;
        high[l] = lane / 4 + 8 < w->rows ? q + (lane / 4 + 8) * dim : NULL;
        see[0][l] = see[1][l] = w->end - 1;
    }
    kv_attend_begin(a, low, high, dim);
    int32_t first = w->begin + warp * KV_DECODE_KEYS;
    int32_t tiles = first < w->end ? (w->end - first + KV_DECODE_STEP - 1) / KV_DECODE_STEP : 0;
    for (int32_t j = 0; j < KV_DECODE_STAGES - 1; j++) kv_decode_load(d, w, stages, shift, warp, j, dim);
    for (int32_t j = 0; j < tiles; j++, first += KV_DECODE_STEP) {
        const kv_bf16 *keys = stages + j % KV_DECODE_STAGES * KV_DECODE_STAGE(dim);
        kv_copy_wait(KV_DECODE_STAGES - 2);
        kv_sync_warp();   /* the tile is there, and no lane needs the one before it any more */
        kv_decode_load(d, w, stages, shift, warp, j + KV_DECODE_STAGES - 1, dim);
        kv_attend_score(a, keys, KV_DECODE_KEYS, dim);
        kv_attend_weigh(a, see, first, first + KV_DECODE_KEYS > w->end, d->scale * KV_LOG2_E, KV_DECODE_KEYS, dim);
        kv_attend_add(a, keys + KV_DECODE_KEYS * dim, KV_DECODE_KEYS, dim);
    }
    kv_copy_wait(0);
    kv_quad_sum(a->sum[0]);
    kv_quad_sum(a->sum[1]);
}

/* Where the parts of a block of sequence and head lie in scratch: outputs, then pairs of largest score (log2) and sum
 * of weights. */
KV_FN int64_t kv_decode_place(const struct kv_decode *d, int64_t sequence, int32_t head, int32_t split)
{
    return (sequence * d->heads + head) * d->splits + split;
}
KV_FN float *kv_decode_pair(const struct kv_decode *d, int64_t place, int dim)
{
    return d->scratch + (int64_t)d->sequences * d->heads * d->splits * dim + 2 * place;
}

/* Puts the four warps' parts, in shared memory as [warp][16 rows][dim] and then [warp][16 rows][2], together. */
KV_FN void kv_decode_merge(const struct kv_decode *d, const struct kv_decode_work *w, const float *part,
                           const float *pair, int dim, int t)
{
    for (int i = t; i < w->rows * dim; i += KV_DECODE_THREADS) {
        int row = i / dim, column = i % dim;
        float most = -INFINITY, sum = 0, out = 0;
        for (int v = 0; v < KV_DECODE_WARPS; v++) most = fmaxf(most, pair[2 * (v * KV_DECODE_ROWS + row)]);
        for (int v = 0; v < KV_DECODE_WARPS && most > -INFINITY; v++) {
            float weight = kv_exp2(pair[2 * (v * KV_DECODE_ROWS + row)] - most);
            sum += weight * pair[2 * (v * KV_DECODE_ROWS + row) + 1];
            out += weight * part[(v * KV_DECODE_ROWS + row) * dim + column];
        }
        int32_t head = w->kv_head * w->group + w->row + row;
        if (d->splits == 1) {
            d->out[((int64_t)w->sequence * d->heads + head) * dim + column] = kv_float_bf16(out / sum);
            continue;
        }
        int64_t place = kv_decode_place(d, w->sequence, head, w->split);
        d->scratch[place * dim + column] = out;
        if (column) continue;
        kv_decode_pair(d, place, dim)[0] = most;
        kv_decode_pair(d, place, dim)[1] = sum;
    }
}

/* shared: KV_DECODE_SHARED_BYTES. */
KV_FN void kv_decode_block(const struct kv_decode *d, int32_t block, int32_t shift, kv_bf16 *shared, int dim)
{
    const struct kv_decode_work w = kv_decode_work_of(d, block);
    struct kv_attend a[KV_WARP_SLOTS(KV_DECODE_WARPS)];
    float *part = (float *)shared, *pair = part + KV_DECODE_WARPS * KV_DECODE_ROWS * dim;
    KV_EACH_WARP(s, warp, KV_DECODE_WARPS)
        kv_decode_warp(d, &w, &a[s], shared + warp * KV_DECODE_STAGES * KV_DECODE_STAGE(dim), shift, warp, dim);
    kv_sync_block();   /* tiles become parts */
    KV_EACH_WARP(s, warp, KV_DECODE_WARPS) {
        KV_EACH_LANE(l, lane) {
            KV_UNROLL for (int h = 0; h < 2; h++) {
                int row = warp * KV_DECODE_ROWS + lane / 4 + 8 * h;
                KV_UNROLL for (int n = 0; n < dim / 8; n++)
                    KV_UNROLL for (int c = 0; c < 2; c++)
                        part[row * dim + 8 * n + 2 * (lane % 4) + c] = a[s].out[n][l][2 * h + c];
                if (lane % 4) continue;
                pair[2 * row] = a[s].most[h][l] * d->scale * KV_LOG2_E;
                pair[2 * row + 1] = a[s].sum[h][l];
            }
        }
    }
    kv_sync_block();
    KV_EACH_THREAD(s, t, KV_DECODE_THREADS) {
        kv_decode_merge(d, &w, part, pair, dim, t);
    }
}

/* Element `column` of head `head` of a sequence, from all its parts. */
KV_FN void kv_decode_combine(const struct kv_decode *d, int64_t sequence, int32_t head, int32_t column, int dim)
{
    int64_t first = kv_decode_place(d, sequence, head, 0);
    const float *pair = kv_decode_pair(d, first, dim);
    float most = -INFINITY, sum = 0, out = 0;
    for (int32_t s = 0; s < d->splits; s++) most = fmaxf(most, pair[2 * s]);
    for (int32_t s = 0; s < d->splits; s++) {
        float weight = kv_exp2(pair[2 * s] - most);
        sum += weight * pair[2 * s + 1];
        out += weight * d->scratch[(first + s) * dim + column];
    }
    d->out[(sequence * d->heads + head) * dim + column] = kv_float_bf16(out / sum);
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What both attention kernels are made of: a warp that holds 16 rows of queries meets tiles of keys and values that lie
 * in shared memory. Tiles are [key][head_dim] of bf16 in pieces of 16 bytes, whose order depends on the row, so that
 * the eight rows of an ldmatrix lie in eight different groups of banks. `dim` is head_dim, 64 or 128, and `keys`
 * the keys of a tile, a multiple of 16: constants where these are called, so that loops unroll and arrays are
 * registers. */
#ifndef KV_CALIB_CUDA_ATTEND_H
#define KV_CALIB_CUDA_ATTEND_H

#include "calib/cuda/simt.h"

#define KV_ATTEND_DIM 128   /* the most */
#define KV_ATTEND_KEYS 64   /* the most of a tile */

/* A warp's rows: registers 0, 1 of a lane are of row lane / 4, 2, 3 of row lane / 4 + 8. */
struct kv_attend {
    uint32_t q[KV_ATTEND_DIM / 16][KV_LANES][4];
    float out[KV_ATTEND_DIM / 8][KV_LANES][4];
    float score[KV_ATTEND_KEYS / 8][KV_LANES][4];
    float most[2][KV_LANES];     /* of the scores so far, unscaled */
    float sum[2][KV_LANES];      /* of the lane's own columns */
};

/* Element of a tile at which piece `piece` of row `row` begins. */
KV_FN int32_t kv_tile_place(int32_t row, int32_t piece, int32_t dim)
{
    return row * dim + (piece ^ (row & 7)) * 8;
}

/* Element of a pool of keys or values at which the token at `position` begins; pages hold 1 << shift tokens. */
KV_FN int64_t kv_page_place(const int32_t *table, int32_t shift, int32_t kv_heads, int32_t dim, int32_t position,
                            int32_t kv_head)
{
    int64_t token = ((int64_t)table[position >> shift] << shift) + (position & ((1 << shift) - 1));
    return (token * kv_heads + kv_head) * dim;
}

/* A part of a tile, by thread t of `threads`, which divide keys * dim / 8: keys from position `first` on, zeros from
 * `length` on (a row of zeros is no NaN, whatever the score). */
KV_FN void kv_tile_load(kv_bf16 *tile, const kv_bf16 *pool, const int32_t *table, int32_t shift, int32_t kv_heads,
                        int32_t kv_head, int32_t first, int32_t length, int keys, int dim, int t, int threads)
{
    KV_UNROLL for (int j = 0; j < keys * dim / 8 / threads; j++) {
        int32_t i = j * threads + t, row = i / (dim / 8), piece = i % (dim / 8), position = first + row;
        bool there = position < length;
        const kv_bf16 *from = there ? pool + kv_page_place(table, shift, kv_heads, dim, position, kv_head) + 8 * piece
                                    : pool;
        kv_copy_async16(tile + kv_tile_place(row, piece, dim), from, there);
    }
}

/* Begins with rows of queries: low[l] and high[l] are where lane l's two rows lie, NULL for a row that is not there. */
KV_FN void kv_attend_begin(struct kv_attend *a, const kv_bf16 *low[KV_LANES], const kv_bf16 *high[KV_LANES], int dim)
{
    KV_EACH_LANE(l, lane) {
        KV_UNROLL for (int d = 0; d < dim / 16; d++)
            KV_UNROLL for (int i = 0; i < 4; i++) {
                const kv_bf16 *row = i % 2 ? high[l] : low[l];
                int column = 16 * d + 8 * (i / 2) + 2 * (lane % 4);
                a->q[d][l][i] = row ? row[column] | (uint32_t)row[column + 1] << 16 : 0;
            }
        KV_UNROLL for (int n = 0; n < dim / 8; n++)
            KV_UNROLL for (int c = 0; c < 4; c++) a->out[n][l][c] = 0;
        KV_UNROLL for (int h = 0; h < 2; h++) {
            a->most[h][l] = -INFINITY;
            a->sum[h][l] = 0;
        }
    }
}

/* score = q times the keys of a tile. */
KV_FN void kv_attend_score(struct kv_attend *a, const kv_bf16 *tile, int keys, int dim)
{
    KV_EACH_LANE(l, lane) {
        KV_UNROLL for (int n = 0; n < keys / 8; n++)
            KV_UNROLL for (int c = 0; c < 4; c++) a->score[n][l][c] = 0;
    }
    KV_UNROLL for (int d = 0; d < dim / 16; d++)
        KV_UNROLL for (int n = 0; n < keys / 16; n++) {
            uint32_t key[KV_LANES][4];
            const void *row[KV_LANES];
            KV_EACH_LANE(l, lane) {
                int matrix = lane / 8;
                row[l] = tile + kv_tile_place(16 * n + 8 * (matrix / 2) + lane % 8, 2 * d + matrix % 2, dim);
            }
            kv_ldmatrix4(key, row);
            kv_mma(a->score[2 * n], a->q[d], key, 0);
            kv_mma(a->score[2 * n + 1], a->q[d], key, 2);
        }
}

/* Scores to weights. see[h][l]: the last position that lane l's row h sees; first: position of the tile's first key.
 * `masked`: some row does not see all of the tile. scale_log2: scale times log2(e), above 0. */
KV_FN void kv_attend_weigh(struct kv_attend *a, int32_t see[2][KV_LANES], int32_t first, bool masked, float scale_log2,
                           int keys, int dim)
{
    float most[2][KV_LANES];
    KV_EACH_LANE(l, lane) {
        KV_UNROLL for (int h = 0; h < 2; h++) {
            most[h][l] = a->most[h][l];
            KV_UNROLL for (int n = 0; n < keys / 8; n++)
                KV_UNROLL for (int c = 0; c < 2; c++) {
                    float *score = &a->score[n][l][2 * h + c];
                    if (masked && first + 8 * n + 2 * (lane % 4) + c > see[h][l]) *score = -INFINITY;
                    most[h][l] = fmaxf(most[h][l], *score);
                }
        }
    }
    kv_quad_max(most[0]);
    kv_quad_max(most[1]);
    KV_EACH_LANE(l, lane) {
        KV_UNROLL for (int h = 0; h < 2; h++) {
            /* A row that has seen nothing yet has no largest score; all its weights are 0 then. */
            float base = most[h][l] == -INFINITY ? 0 : most[h][l] * scale_log2;
            float kept = kv_exp2(a->most[h][l] * scale_log2 - base), sum = 0;
            KV_UNROLL for (int n = 0; n < keys / 8; n++)
                KV_UNROLL for (int c = 2 * h; c < 2 * h + 2; c++) {
                    a->score[n][l][c] = kv_exp2(a->score[n][l][c] * scale_log2 - base);
                    sum += a->score[n][l][c];
                }
            KV_UNROLL for (int n = 0; n < dim / 8; n++)
                KV_UNROLL for (int c = 2 * h; c < 2 * h + 2; c++) a->out[n][l][c] *= kept;
            a->sum[h][l] = a->sum[h][l] * kept + sum;
            a->most[h][l] = most[h][l];
        }
    }
}

/* out += weights times the values of a tile. */
KV_FN void kv_attend_add(struct kv_attend *a, const kv_bf16 *tile, int keys, int dim)
{
    KV_UNROLL for (int n = 0; n < keys / 16; n++) {
        uint32_t weight[KV_LANES][4];
        KV_EACH_LANE(l, lane) {
            KV_UNROLL for (int i = 0; i < 4; i++) {
                const float *two = &a->score[2 * n + i / 2][l][2 * (i % 2)];
                weight[l][i] = kv_pair(two[0], two[1]);
            }
        }
        KV_UNROLL for (int d = 0; d < dim / 16; d++) {
            uint32_t value[KV_LANES][4];
            const void *row[KV_LANES];
            KV_EACH_LANE(l, lane) {
                int matrix = lane / 8;
                row[l] = tile + kv_tile_place(16 * n + 8 * (matrix % 2) + lane % 8, 2 * d + matrix / 2, dim);
            }
            kv_ldmatrix4_turned(value, row);
            kv_mma(a->out[2 * d], weight, value, 0);
            kv_mma(a->out[2 * d + 1], weight, value, 2);
        }
    }
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "calib/cuda/ops.h"

#define SPLITS_MAX 64
#define SPLIT_LEAST 256
#define BLOCKS_OF_SM 4   /* two waves, two at a time */

int32_t kv_decode_splits(int32_t sms, int32_t sequences, int32_t kv_heads, int32_t longest)
{
    int64_t blocks = (int64_t)sequences * kv_heads, wanted = (int64_t)BLOCKS_OF_SM * sms;
    int64_t splits = blocks > 0 ? (wanted + blocks - 1) / blocks : 1;
    if (splits > longest / SPLIT_LEAST) splits = longest / SPLIT_LEAST;
    if (splits > SPLITS_MAX) splits = SPLITS_MAX;
    return splits < 1 ? 1 : (int32_t)splits;
}

int64_t kv_decode_scratch_bytes(int32_t sequences, int32_t heads, int32_t head_dim, int32_t splits)
{
    return splits > 1 ? (int64_t)sequences * heads * splits * (head_dim + 2) * (int64_t)sizeof(float) : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* KV in pages, as serving engines keep it: the keys of a layer are [page][token of the page][KV head][head_dim] of
 * bf16, the values the same; a table says for each sequence which page has its tokens 0 .., page_tokens .., .. */
#ifndef KV_CALIB_CUDA_PAGES_H
#define KV_CALIB_CUDA_PAGES_H

#include <stdint.h>

typedef uint16_t kv_bf16;   /* the bits of a bfloat16 */

struct kv_pages {
    kv_bf16 *keys, *values;          /* device; of one layer, 16-byte aligned */
    const int32_t *table;            /* device; [sequence][table_stride], pages in the order of their tokens */
    int32_t table_stride;            /* entries of a sequence, >= ceil(longest / page_tokens) */
    int32_t page_tokens;             /* a power of two, 1 .. 256; 16 in most engines */
    int32_t kv_heads, head_dim;      /* head_dim: 64 or 128 */
};

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* How many pieces of consecutive bytes a chunk is read or written in. A chunk of `blocks` blocks of `layers` layers
 * lies in one object as [layer][block] (layer-major) or [block][layer] (block-major), or in one object a layer. Whole
 * chunks are one piece an object. In the order of layers, each layer is a piece of its own, and of a block-major object
 * each block of it (semantics 21). */
#ifndef KV_LIB_CHUNK_RANGES_H
#define KV_LIB_CHUNK_RANGES_H

#include <stdbool.h>
#include <stdint.h>

struct kv_chunk_ranges {
    int64_t layers, blocks;      /* >= 1 */
    bool object_per_layer;       /* layout per_layer */
    bool block_major;            /* layout block_major */
    bool by_layer;               /* delivered in the order of layers */
};

static inline int64_t kv_chunk_ranges(const struct kv_chunk_ranges *c)
{
    if (c->object_per_layer) return c->layers;
    if (!c->by_layer) return 1;
    return c->block_major ? c->layers * c->blocks : c->layers;
}

#endif

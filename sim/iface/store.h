/* SPDX-License-Identifier: Apache-2.0 */
/* Contract of models/store: the device or service behind a lower tier. It says how long an access waits before its
 * first byte, how fast one access may go, and what all accesses together may not pass; the bytes themselves flow over
 * the network (sim/serve/net.h). `kind` of a tier in the scenario names the plug-in. */
#ifndef KV_IFACE_STORE_H
#define KV_IFACE_STORE_H

#include <stdbool.h>

#include "sim/base/err.h"
#include "sim/base/rate.h"
#include "sim/conf/param.h"
#include "sim/lib/chunk_ranges.h"

/* How an access delivers its chunks: all in one stream, one chunk, or all in one stream in the order of layers. */
/* An access is one of the first three. AUTO: a load is chunkwise or layerwise by its size. BIDIRECTIONAL: chunkwise from the
 * last chunk to the first, while its request computes from the first token on (docs/tiers.md, T44). */
enum kv_delivery {
    KV_DELIVERY_BULK, KV_DELIVERY_CHUNKWISE, KV_DELIVERY_LAYERWISE, KV_DELIVERY_AUTO, KV_DELIVERY_BIDIRECTIONAL
};
enum kv_layout { KV_LAYOUT_LAYER_MAJOR, KV_LAYOUT_BLOCK_MAJOR, KV_LAYOUT_PER_LAYER };

/* What a store may look at when it opens; outlives it. */
struct kv_store_env {
    int64_t layers;
    int64_t chunk_tokens, block_tokens;    /* chunk_tokens is a multiple of block_tokens */
    int64_t chunk_bytes;                   /* one stored copy of a chunk, all layers */
    int64_t layout;                        /* enum kv_layout */
    int32_t concurrency;                   /* of a chunkwise fetch: accesses that it keeps under way */
    int32_t lookahead_layers;              /* of a layerwise fetch: layers asked for at a time; 0: all */
    uint64_t seed;
};

struct kv_access {
    bool write;
    enum kv_delivery delivery;
    int64_t chunks;                        /* >= 1 */
    uint64_t number;                       /* of the access at this store, from 0: index of random draws */
    int64_t under_way;                     /* accesses of its pool that have their turn when it gets it, itself too */
};

/* Pieces of consecutive bytes of each chunk of an access, by layout and delivery. Writes are of whole objects. */
static inline int64_t kv_access_ranges(const struct kv_store_env *env, const struct kv_access *access)
{
    struct kv_chunk_ranges shape = {
        .layers = env->layers, .blocks = env->chunk_tokens / env->block_tokens,
        .object_per_layer = env->layout == KV_LAYOUT_PER_LAYER, .block_major = env->layout == KV_LAYOUT_BLOCK_MAJOR,
        .by_layer = !access->write && access->delivery == KV_DELIVERY_LAYERWISE,
    };
    return kv_chunk_ranges(&shape);
}

struct kv_access_plan {
    kv_tick delay_tk;      /* from its turn to the first byte entering the path; >= 0 */
    kv_rate limit;         /* of the whole access (all tensor-parallel parts); KV_RATE_UNLIMITED: none */
    kv_tick ack_tk;        /* writes: from the last byte to the acknowledgement; >= 0 */
    /* Layerwise reads that have paused (T19): from being permitted on to the next byte, but for latencies of links: who
     * asks for each layer waits for the server again. 0: the flow goes on at once. */
    kv_tick resume_delay_tk;
    int64_t requests;      /* it is made of, >= 1: each is paid for, and is one message on the links */
};

/* What a store charges, in USD. */
struct kv_store_price { double read_request, write_request, GiB_month; };

struct kv_store_ops {
    struct kv_plugin_info info;
    bool network;                          /* reached over NIC and fabric; else inside the node */
    bool gateways;                         /* behind the object gateways (network.gateway) */
    bool fills;                            /* a host tier on the path of fetches from below: filled by default */
    int64_t preset_chunk_tokens;           /* 0: block_tokens */
    size_t state_bytes;                    /* given zeroed to open */
    bool (*open)(void *state, const void *params, const struct kv_store_env *env, struct kv_err *err);
    void (*close)(void *state);            /* NULL: nothing to do */
    /* Pure: the same access always gets the same plan. */
    struct kv_access_plan (*plan)(const void *state, const struct kv_access *access);
    /* What all accesses of one domain share, reads and writes together; KV_RATE_UNLIMITED: nothing. */
    kv_rate (*device_rate)(const void *state);
    /* Accesses under way at a time in one domain, others wait in order of coming; 0: any number. */
    int64_t (*concurrency_limit)(const void *state);
    /* Accesses of one domain that may wait for their turn; one that comes when so many wait is refused (503 SlowDown)
     * and comes again after retry_tk(its number, 1), then (.., 2), ...: > 0. < 0 or NULL: any number may wait. */
    int64_t (*queue_limit)(const void *state);
    kv_tick (*retry_tk)(const void *state, uint64_t number, int32_t attempt);
    struct kv_store_price (*price)(const void *state);   /* NULL: nothing is charged */
};

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Models that draw every corner of docs/tiers.md and that no scenario file can name: a store, a link, and a compute
 * model whose layers cost differently. Parameters are plain structs, in ticks and rates. */
#ifndef KV_TESTS_SUPPORT_ODD_MODELS_H
#define KV_TESTS_SUPPORT_ODD_MODELS_H

#include "sim/iface/compute.h"
#include "sim/iface/link.h"
#include "sim/iface/store.h"

struct kv_test_store_params {
    kv_tick delay_tk, chunk_delay_tk;      /* of an access; more of it for each chunk */
    kv_tick jitter_tk;                     /* up to so much more, by the number of the access */
    kv_tick ack_tk;
    kv_rate limit, write_limit, device;    /* KV_RATE_UNLIMITED: none */
    int64_t concurrency;                   /* 0: any number */
};
extern const struct kv_store_ops kv_test_store_local, kv_test_store_remote, kv_test_store_object;

/* `params` is a struct kv_link_spec, answered as it is. */
extern const struct kv_link_ops kv_test_link;

/* A step costs base + prefill tokens + decodes + context of decodes; of that, shares by `weights` (of the layers in
 * turn, then before, then after; 0..15 each, 4 bits from the lowest on) of what a step costs. */
struct kv_test_compute_params { double base_s, token_s, decode_s, context_s; uint64_t weights; };
extern const struct kv_compute_ops kv_test_compute;

#endif

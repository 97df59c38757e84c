/* SPDX-License-Identifier: Apache-2.0 */
/* Models that draw every corner of docs/tiers.md and that no scenario file can name: a store, a link, and a compute
 * model whose layers cost differently. Parameters are plain structs, in ticks and rates. */
#ifndef KV_TESTS_SUPPORT_ODD_MODELS_H
#define KV_TESTS_SUPPORT_ODD_MODELS_H

#include "sim/iface/compute.h"
#include "sim/iface/link.h"
#include "sim/iface/store.h"
#include "sim/iface/transfer.h"

struct kv_test_store_params {
    kv_tick delay_tk, chunk_delay_tk;      /* of an access; more of it for each chunk */
    kv_tick jitter_tk;                     /* up to so much more, by the number of the access */
    kv_tick ack_tk, resume_tk;
    kv_rate limit, write_limit, device;    /* KV_RATE_UNLIMITED: none */
    int64_t concurrency;                   /* 0: any number */
    /* Each other access under way delays one by so much more; and takes of its limit: shared / (shared + others). */
    kv_tick crowd_delay_tk;
    int64_t shared;                        /* 0: others take nothing */
    int64_t chunk_requests;                /* requests of an access: one more than so many for each chunk */
    bool refuses;                          /* queue_limit means something; else any number may wait */
    int64_t queue_limit;
    kv_tick retry_tk;                      /* > 0; longer from attempt to attempt, by the number */
};
extern const struct kv_store_ops kv_test_store_local, kv_test_store_remote, kv_test_store_object;

/* `params` is a struct kv_link_spec, answered as it is. */
extern const struct kv_link_ops kv_test_link;

/* A link whose accesses are limited by their messages: `message_rate` for each byte of one. `spec` comes first, so that
 * the parameters are those of kv_test_link too. */
struct kv_test_link_params { struct kv_link_spec spec; double byte_rate; };
extern const struct kv_link_ops kv_test_message_link;

/* Transfer policies that no scenario file can name. Each looks at something else of the fetches, none gives more than
 * the cap; `turns` gives now and then nothing, or an answer that is no number. `params` is not looked at. */
#define KV_TEST_TRANSFERS 4
extern const struct kv_transfer_ops kv_test_transfer[KV_TEST_TRANSFERS];

/* A step costs base + prefill tokens + decodes + context of decodes; of that, shares by `weights` (of the layers in
 * turn, then before, then after; 0..15 each, 4 bits from the lowest on) of what a step costs. */
struct kv_test_compute_params { double base_s, token_s, decode_s, context_s; uint64_t weights; };
extern const struct kv_compute_ops kv_test_compute;

#endif

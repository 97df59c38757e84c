/* SPDX-License-Identifier: Apache-2.0 */
/* LMCache: retrieves what is found, unless it is less than min_retrieve_tokens (lmcache/v1/config.py: 0, which is off;
 * LMCache issue 2484 asked for it). The chunks of its tiers have 256 tokens: give the tiers chunk_tokens: 256. */
#include "sim/iface/fetch_rule.h"

static const struct kv_param params[] = {
    KV_FETCH_MIN_TOKENS("0", "LMCache: min_retrieve_tokens, default 0 (off)"),
    KV_PARAM_END
};

const struct kv_fetch_ops kv_fetch_lmcache = {
    .info = { .help = "LMCache: min_retrieve_tokens, off by default", .source = "LMCache, lmcache/v1/config.py",
              .params = params, .params_bytes = sizeof(struct kv_fetch_threshold_params) },
    .choose = kv_fetch_choose_threshold,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* LMCache: retrieves what is found, unless it is less than min_retrieve_tokens (lmcache/v1/config.py: 0, which is off;
 * LMCache issue 2484 asked for it). The chunks of its tiers have 256 tokens: give the tiers chunk_tokens: 256. */
#include "sim/iface/fetch.h"
#include "sim/lib/fetch_rule.h"

struct lmcache_params { int64_t min_tokens; };
static const struct kv_param params[] = {
    KV_FETCH_MIN_TOKENS(struct lmcache_params, "0",
                        "LMCache: min_retrieve_tokens, default 0 (off)"),
    KV_PARAM_END
};

static struct kv_fetch_choice choose(const void *given, const struct kv_fetch_view *view)
{
    struct kv_fetch_match match = { kv_fetch_matched(view), kv_fetch_leading_hbm(view), kv_fetch_below_hbm(view),
                                    view->block_tokens };
    return (struct kv_fetch_choice){ kv_fetch_rule_blocks(&match, ((const struct lmcache_params *)given)->min_tokens),
                                     KV_TICK_NEVER };
}

const struct kv_fetch_ops kv_fetch_lmcache = {
    .info = { .help = "LMCache: min_retrieve_tokens, off by default", .source = "LMCache, lmcache/v1/config.py",
              .params = params, .params_bytes = sizeof(struct lmcache_params) },
    .choose = choose,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* Loads all that is found, if enough of it lies below HBM to be worth a load. */
#include "sim/iface/fetch.h"
#include "sim/lib/fetch_rule.h"

struct threshold_params { int64_t min_tokens; };
static const struct kv_param params[] = {
    KV_FETCH_MIN_TOKENS(struct threshold_params, "256",
                        "SGLang HiCache: prefetch_threshold 256"),
    KV_PARAM_END
};

static struct kv_fetch_choice choose(const void *given, const struct kv_fetch_view *view)
{
    struct kv_fetch_match match = { kv_fetch_matched(view), kv_fetch_leading_hbm(view), kv_fetch_below_hbm(view),
                                    view->block_tokens };
    return (struct kv_fetch_choice){ kv_fetch_rule_blocks(&match, ((const struct threshold_params *)given)->min_tokens),
                                     KV_TICK_NEVER };
}

const struct kv_fetch_ops kv_fetch_threshold = {
    .info = { .help = "loads if at least min_tokens lie below HBM",
              .params = params, .params_bytes = sizeof(struct threshold_params) },
    .choose = choose,
};

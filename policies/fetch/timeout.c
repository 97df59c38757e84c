/* SPDX-License-Identifier: Apache-2.0 */
/* As threshold, but what has not arrived in time is computed. */
#include "sim/iface/fetch.h"
#include "sim/lib/fetch_rule.h"

static const struct kv_param params[] = {
    KV_FETCH_MIN_TOKENS(struct kv_fetch_timeout_params, "0",
                        NULL),
    KV_FETCH_TIMEOUT("2s", "100ms", "30s", "SGLang issue 23309: min(30 s, 2 s + 0.1 s/Ki token)"),
    KV_PARAM_END
};

static struct kv_fetch_choice choose(const void *given, const struct kv_fetch_view *view)
{
    const struct kv_fetch_timeout_params *p = given;
    struct kv_fetch_match match = { kv_fetch_matched(view), kv_fetch_leading_hbm(view), kv_fetch_below_hbm(view),
                                    view->block_tokens };
    return (struct kv_fetch_choice){ kv_fetch_rule_blocks(&match, p->min_tokens),
                                     kv_fetch_rule_timeout_tk(&p->timeout, match.below * match.block_tokens) };
}

const struct kv_fetch_ops kv_fetch_timeout = {
    .info = { .help = "as threshold; gives up after base + per_ki_token, at most max",
              .params = params, .params_bytes = sizeof(struct kv_fetch_timeout_params) },
    .choose = choose,
};

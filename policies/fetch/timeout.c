/* SPDX-License-Identifier: Apache-2.0 */
/* As threshold, but what has not arrived in time is computed. */
#include "sim/iface/fetch_rule.h"

static const struct kv_param params[] = {
    KV_FETCH_MIN_TOKENS("0", NULL),
    KV_FETCH_TIMEOUT("2s", "100ms", "30s", "SGLang issue 23309: min(30 s, 2 s + 0.1 s/Ki token)"),
    KV_PARAM_END
};

const struct kv_fetch_ops kv_fetch_timeout = {
    .info = { .help = "as threshold; gives up after base + per_ki_token, at most max",
              .params = params, .params_bytes = sizeof(struct kv_fetch_timeout_params) },
    .choose = kv_fetch_choose_timeout,
};

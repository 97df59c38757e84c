/* SPDX-License-Identifier: Apache-2.0 */
/* Loads all that is found, if enough of it lies below HBM to be worth a load. */
#include "sim/iface/fetch_rule.h"

static const struct kv_param params[] = {
    KV_FETCH_MIN_TOKENS("256", "SGLang HiCache: prefetch_threshold 256"),
    KV_PARAM_END
};

const struct kv_fetch_ops kv_fetch_threshold = {
    .info = { .help = "loads if at least min_tokens lie below HBM",
              .params = params, .params_bytes = sizeof(struct kv_fetch_threshold_params) },
    .choose = kv_fetch_choose_threshold,
};

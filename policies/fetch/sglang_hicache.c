/* SPDX-License-Identifier: Apache-2.0 */
/* SGLang HiCache with --hicache-storage-prefetch-policy timeout: a prefetch of at least prefetch_threshold tokens
 * (default 256) may take prefetch_timeout_base + prefetch_timeout_per_ki_token * tokens / 1024. Numbers of SGLang
 * issue 23309. */
#include "sim/iface/fetch_rule.h"

static const struct kv_param params[] = {
    KV_FETCH_MIN_TOKENS("256", "SGLang HiCache: prefetch_threshold 256"),
    KV_FETCH_TIMEOUT("2s", "100ms", "30s", "SGLang issue 23309: min(30 s, 2 s + 0.1 s/Ki token)"),
    KV_PARAM_END
};

const struct kv_fetch_ops kv_fetch_sglang_hicache = {
    .info = { .help = "SGLang HiCache: from 256 tokens on, with its timeout",
              .source = "SGLang HiCache design; issue 23309",
              .params = params, .params_bytes = sizeof(struct kv_fetch_timeout_params) },
    .choose = kv_fetch_choose_timeout,
};

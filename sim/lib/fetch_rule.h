/* SPDX-License-Identifier: Apache-2.0 */
/* The rules that fetch policies have in common (docs/tiers.md, T6). */
#ifndef KV_LIB_FETCH_RULE_H
#define KV_LIB_FETCH_RULE_H

#include "sim/base/tick.h"

/* Leading blocks to use of a match of `matched` blocks, of which `below` lie below HBM and `leading` stand first and in
 * HBM: all of it if at least `min_tokens` lie below, else the leading ones. */
struct kv_fetch_match { int64_t matched, leading, below, block_tokens; };
static inline int64_t kv_fetch_rule_blocks(const struct kv_fetch_match *match, int64_t min_tokens)
{
    return match->below * match->block_tokens >= min_tokens ? match->matched : match->leading;
}

/* min(max, base + per_ki_token * tokens / 1024), in seconds. */
struct kv_fetch_limit { double base_s, per_ki_token_s, max_s; };
static inline kv_tick kv_fetch_rule_timeout_tk(const struct kv_fetch_limit *t, int64_t tokens)
{
    double s = t->base_s + t->per_ki_token_s * (double)tokens / 1024.0;
    return kv_cost_ceil_tk(kv_cost_from_s(s < t->max_s ? s : t->max_s));
}

/* Parameters of both rules together, and their rows. */
struct kv_fetch_timeout_params { int64_t min_tokens; struct kv_fetch_limit timeout; };
#define KV_FETCH_MIN_TOKENS(type, preset, source) \
    { "min_tokens", KV_DIM_TOKENS, offsetof(type, min_tokens), preset, 0, 1 << 30, NULL, \
      "fewer tokens than this below HBM are computed instead", source }
#define KV_FETCH_TIMEOUT_ROW(key, field, preset, help, source) \
    { key, KV_DIM_TIME, offsetof(struct kv_fetch_timeout_params, timeout.field), preset, 0, 1e6, NULL, help, source }
#define KV_FETCH_TIMEOUT(base, per_ki_token, max, source) \
    KV_FETCH_TIMEOUT_ROW("base", base_s, base, "waited for any load", source), \
    KV_FETCH_TIMEOUT_ROW("per_ki_token", per_ki_token_s, per_ki_token, "and for each 1024 tokens below HBM", source), \
    KV_FETCH_TIMEOUT_ROW("max", max_s, max, "never longer than this", source)

#endif

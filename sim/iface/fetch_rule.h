/* SPDX-License-Identifier: Apache-2.0 */
/* The rules that fetch policies have in common (docs/tiers.md, T6): a policy of its own is a table of presets. */
#ifndef KV_IFACE_FETCH_RULE_H
#define KV_IFACE_FETCH_RULE_H

#include <stdbool.h>

#include "sim/iface/fetch.h"

struct kv_fetch_threshold_params { int64_t min_tokens; };

/* All of the match if at least min_tokens lie below HBM, else the leading blocks in HBM. */
static inline struct kv_fetch_choice kv_fetch_choose_threshold(const void *params, const struct kv_fetch_view *view)
{
    const struct kv_fetch_threshold_params *p = params;
    bool worth = kv_fetch_below_hbm(view) * view->block_tokens >= p->min_tokens;
    return (struct kv_fetch_choice){ worth ? kv_fetch_matched(view) : kv_fetch_leading_hbm(view), KV_TICK_NEVER };
}

/* min(max, base + per_ki_token * tokens / 1024), in seconds. */
struct kv_fetch_limit { double base_s, per_ki_token_s, max_s; };
static inline kv_tick kv_fetch_rule_timeout_tk(const struct kv_fetch_limit *t, int64_t tokens)
{
    double s = t->base_s + t->per_ki_token_s * (double)tokens / 1024.0;
    return kv_cost_ceil_tk(kv_cost_from_s(s < t->max_s ? s : t->max_s));
}

/* As threshold, with that timeout over the tokens below HBM. */
struct kv_fetch_timeout_params { struct kv_fetch_threshold_params threshold; struct kv_fetch_limit timeout; };
static inline struct kv_fetch_choice kv_fetch_choose_timeout(const void *params, const struct kv_fetch_view *view)
{
    const struct kv_fetch_timeout_params *p = params;
    struct kv_fetch_choice choice = kv_fetch_choose_threshold(&p->threshold, view);
    choice.timeout_tk = kv_fetch_rule_timeout_tk(&p->timeout, kv_fetch_below_hbm(view) * view->block_tokens);
    return choice;
}

/* Rows of the tables: threshold's, which stands first in either struct, and timeout's. */
#define KV_FETCH_MIN_TOKENS(preset, source) \
    { "min_tokens", KV_DIM_TOKENS, offsetof(struct kv_fetch_threshold_params, min_tokens), preset, 0, 1 << 30, NULL, \
      "fewer tokens than this below HBM are computed instead", source }
#define KV_FETCH_TIMEOUT_ROW(key, field, preset, help, source) \
    { key, KV_DIM_TIME, offsetof(struct kv_fetch_timeout_params, timeout.field), preset, 0, 1e6, NULL, help, source }
#define KV_FETCH_TIMEOUT(base, per_ki_token, max, source) \
    KV_FETCH_TIMEOUT_ROW("base", base_s, base, "waited for any load", source), \
    KV_FETCH_TIMEOUT_ROW("per_ki_token", per_ki_token_s, per_ki_token, "and for each 1024 tokens below HBM", source), \
    KV_FETCH_TIMEOUT_ROW("max", max_s, max, "never longer than this", source)

#endif

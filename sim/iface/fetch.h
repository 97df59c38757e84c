/* SPDX-License-Identifier: Apache-2.0 */
/* Contract of policies/fetch: how much of a prefix found in lower tiers is loaded, what is recomputed instead, and
 * how long a request waits. Asked once, at the look-up that would admit the request, whenever a part of its match lies
 * below HBM. */
#ifndef KV_IFACE_FETCH_H
#define KV_IFACE_FETCH_H

#include "sim/base/tick.h"
#include "sim/conf/param.h"

/* A stretch of the match from one source: consecutive blocks, in order. source 0 is HBM. */
struct kv_fetch_segment { int32_t source; int64_t blocks; };

struct kv_fetch_view {
    int64_t known_tokens, block_tokens;
    const struct kv_fetch_segment *segments;   /* at least one below HBM */
    int32_t segment_count;
    void *owner;
    /* Estimate, nothing else on the way: ticks to load what the first `count` segments need from lower tiers
     * (slowest tier; delay + bytes / (least of limits and link rates)). 0 when that is nothing. */
    kv_tick (*load_tk)(void *owner, int32_t count);
    /* Estimate: ticks to compute tokens [from, known_tokens) in one step alone, `from` cached. */
    kv_tick (*compute_tk)(void *owner, int64_t from_tokens);
};

struct kv_fetch_choice {
    int64_t blocks;        /* leading blocks of the match to use; the rest is computed */
    kv_tick timeout_tk;    /* then what has not arrived is computed; KV_TICK_NEVER: waits */
};

/* Blocks at the start of the match that are in HBM. */
static inline int64_t kv_fetch_leading_hbm(const struct kv_fetch_view *view)
{
    return view->segments[0].source == 0 ? view->segments[0].blocks : 0;
}
static inline int64_t kv_fetch_matched(const struct kv_fetch_view *view)
{
    int64_t blocks = 0;
    for (int32_t i = 0; i < view->segment_count; i++) blocks += view->segments[i].blocks;
    return blocks;
}

/* Blocks of the match that are not in HBM. */
static inline int64_t kv_fetch_below_hbm(const struct kv_fetch_view *view)
{
    int64_t blocks = 0;
    for (int32_t i = 0; i < view->segment_count; i++)
        if (view->segments[i].source != 0) blocks += view->segments[i].blocks;
    return blocks;
}

struct kv_fetch_ops {
    struct kv_plugin_info info;
    /* Pure. 0 <= blocks <= matched. */
    struct kv_fetch_choice (*choose)(const void *params, const struct kv_fetch_view *view);
};

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Loads as much of the match as makes loading and computing together shortest, by the estimates of the view: the
 * leading HBM blocks, or up to the end of any segment; the longer of equals. A load "has to finish faster than the
 * prefill it replaces" (llm-d issue 2485; Mooncake issue 749). */
#include "sim/iface/fetch.h"

static kv_tick sum_tk(kv_tick a, kv_tick b)
{
    return a >= KV_TICK_LIMIT || b >= KV_TICK_LIMIT ? KV_TICK_NEVER : a + b;
}

static struct kv_fetch_choice choose(const void *params, const struct kv_fetch_view *view)
{
    (void)params;
    int64_t blocks = kv_fetch_leading_hbm(view), best_blocks = blocks;
    kv_tick best_tk = view->compute_tk(view->owner, blocks * view->block_tokens);
    for (int32_t i = blocks > 0; i < view->segment_count; i++) {
        blocks += view->segments[i].blocks;
        kv_tick load_tk = view->load_tk(view->owner, i + 1);
        kv_tick tk = sum_tk(load_tk, view->compute_tk(view->owner, blocks * view->block_tokens));
        if (tk > best_tk || load_tk >= KV_TICK_LIMIT) continue;
        best_tk = tk;
        best_blocks = blocks;
    }
    return (struct kv_fetch_choice){ best_blocks, KV_TICK_NEVER };
}

const struct kv_fetch_ops kv_fetch_cost_model = {
    .info = { .help = "loads what is estimated to come sooner than it is computed", .source = "Mooncake issue 749" },
    .choose = choose,
};

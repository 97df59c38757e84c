/* SPDX-License-Identifier: Apache-2.0 */
/* What the requests of a trace say: a trace has identities of blocks, a model wants tokens. Equal identities get equal
 * tokens, so that a cached page holds what whoever finds it would have computed. That goes for generated tokens too:
 * what a request generates stands in the trace, or is its own; what a model with random weights would rather say is
 * looked at and not fed back. */
#ifndef KV_CALIB_SERVE_TEXT_H
#define KV_CALIB_SERVE_TEXT_H

#include "sim/iface/request.h"

/* Token at `position` of a request, 0 <= token < vocabulary. */
static inline int32_t kv_loop_token(const struct kv_request *r, int32_t position, int32_t block_tokens,
                                    int32_t vocabulary)
{
    int32_t block = position / block_tokens, within = position % block_tokens;
    bool known = block < kv_prefix_known_blocks(&r->prefix, r->prefix.known_tokens, block_tokens);
    uint64_t key = known ? kv_prefix_key(&r->prefix, block, block_tokens)
                         : kv_mix64_pair(~(uint64_t)r->index, (uint64_t)block);
    return (int32_t)(kv_mix64_pair(key, (uint64_t)within) % (uint64_t)vocabulary);
}

#endif

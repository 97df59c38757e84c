/* SPDX-License-Identifier: Apache-2.0 */
/* One request as it enters the simulated cluster, and the identity of its tokens. Plain data. */
#ifndef KV_IFACE_REQUEST_H
#define KV_IFACE_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "sim/base/rng.h"

/* What makes two requests share KV: block i (of `block_tokens` tokens, counted from the first token) of two
 * requests is the same block exactly when their keys are equal, and a key stands for the whole prefix up to the
 * end of its block. Three ways to say it, cheapest first; tokens past the known part are the request's own:
 * they take space and nobody else ever hits them.
 *
 *  ids != NULL      explicit ids of the trace, ids_tokens tokens each, covering the first
 *                   min(known_tokens, ids_count * ids_tokens) tokens. ids_tokens is a multiple of block_tokens
 *                   or the other way round (kv_prefix_fits). `salt` is mixed in (local id scope); 0 = global.
 *  own_stream != 0  tokens [0, shared_tokens) come from shared_stream, the rest up to known_tokens from
 *                   own_stream (a session version: the same stream grows from turn to turn).
 *  neither          nothing is known (known_tokens = 0), unless shared_tokens > 0: a system prompt alone.
 *
 * known_tokens may exceed input_tokens: then the generated tokens have an identity too (a session's next turn
 * will contain them). */
struct kv_prefix {
    const uint64_t *ids;
    uint32_t ids_count;
    int32_t ids_tokens;
    uint64_t salt;
    uint64_t shared_stream, own_stream;
    int32_t shared_tokens;
    int32_t known_tokens;
};

struct kv_request {
    int64_t index;          /* order of injection, from 0: the row of /requests */
    int64_t trace_row;      /* data row in the trace, from 1, for messages */
    int64_t arrival_ns;     /* whole ns since the first arrival kept; in closed-loop replay set by the replayer */
    int64_t think_ns;       /* session replay: pause after the previous turn's end; -1 unknown */
    int64_t elapsed_ns;     /* recorded duration of the call; -1 unknown */
    int32_t input_tokens;   /* >= 1 when served */
    int32_t output_tokens;  /* >= 1 when served */
    int32_t priority;       /* smaller is more urgent */
    uint32_t session;       /* dense session number from 1; 0 = none */
    uint32_t branch;        /* sub-agent of the session, from 1; 0 = its main line (docs/engine.md, rule 25a) */
    uint16_t turn;          /* from 0 */
    uint16_t slo_class;     /* index into the scenario's SLO classes; 0 = default */
    bool failed;            /* failed in the trace: recorded, not served */
    int32_t resident_tokens;/* of the prompt's start: put into the tier resident_in when it arrives */
    struct kv_prefix prefix;
};

/* True when trace blocks of `ids_tokens` can be cut into or joined to engine blocks of `block_tokens`. */
static inline bool kv_prefix_fits(int32_t ids_tokens, int32_t block_tokens)
{
    return ids_tokens > 0 && block_tokens > 0
           && (ids_tokens % block_tokens == 0 || block_tokens % ids_tokens == 0);
}

/* Engine block sizes next to `block_tokens` that fit trace blocks of `ids_tokens`, for messages; both >= 1. */
static inline void kv_prefix_nearest(int32_t ids_tokens, int32_t block_tokens, int32_t *below, int32_t *above)
{
    *below = *above = block_tokens;
    if (block_tokens > ids_tokens) {
        *below = block_tokens / ids_tokens * ids_tokens;
        *above = *below + (*below < block_tokens ? ids_tokens : 0);
        return;
    }
    while (ids_tokens % *below) --*below;
    while (ids_tokens % *above) ++*above;
}

/* Number of leading full blocks that have an identity, of the first `tokens` tokens. */
static inline int32_t kv_prefix_known_blocks(const struct kv_prefix *p, int32_t tokens, int32_t block_tokens)
{
    int64_t known = p->known_tokens < tokens ? p->known_tokens : tokens;
    if (p->ids) {
        int64_t covered = (int64_t)p->ids_count * p->ids_tokens;
        if (covered < known) known = covered;
    }
    return (int32_t)(known / block_tokens);
}

/* Key of full block `block`, 0 <= block < kv_prefix_known_blocks. */
static inline uint64_t kv_prefix_key(const struct kv_prefix *p, int32_t block, int32_t block_tokens)
{
    if (p->ids) {
        if (p->ids_tokens >= block_tokens) {
            int32_t parts = p->ids_tokens / block_tokens;
            return kv_mix64_pair(p->ids[block / parts] ^ p->salt, (uint64_t)(block % parts));
        }
        int32_t joined = block_tokens / p->ids_tokens;
        uint64_t key = p->salt;
        for (int32_t i = 0; i < joined; i++) key = kv_mix64_pair(key, p->ids[(int64_t)block * joined + i]);
        return key;
    }
    bool shared = (int64_t)(block + 1) * block_tokens <= p->shared_tokens;
    return kv_mix64_pair(shared ? p->shared_stream : p->own_stream, (uint64_t)block);
}

/* The same identity in two parts, for an index that keeps neighbours together: two blocks have equal keys exactly
 * when both parts are equal, and up to 2^width_bits consecutive blocks of a prefix share a group. Of chunk
 * `chunk` of `blocks` blocks each: the place of its last block, in groups of as many chunks. Only places of one
 * `blocks` and one width can be compared. */
struct kv_prefix_place { uint64_t group; uint32_t member; };

static inline struct kv_prefix_place kv_prefix_place(const struct kv_prefix *p, int32_t chunk, int32_t blocks,
                                                     int32_t block_tokens, uint32_t width_bits)
{
    int32_t block = (chunk + 1) * blocks - 1;
    if (p->ids && p->ids_tokens < block_tokens)
        return (struct kv_prefix_place){kv_prefix_key(p, block, block_tokens), 0};
    uint64_t stream = p->own_stream;
    uint32_t part = (uint32_t)block;
    if (p->ids) {
        uint32_t parts = (uint32_t)(p->ids_tokens / block_tokens);
        stream = p->ids[part / parts] ^ p->salt;
        part %= parts;
    } else if ((int64_t)(block + 1) * block_tokens <= p->shared_tokens) {
        stream = p->shared_stream;
    }
    if (blocks > 1) part /= (uint32_t)blocks;   /* ends of chunks lie `blocks` apart: no two share a place */
    uint32_t member = part & ((1u << width_bits) - 1);
    return (struct kv_prefix_place){kv_mix64_pair(stream, part >> width_bits), member};
}

/* Chunks from `chunk` on, itself included, whose places are that of `chunk` with growing members; at least 1 and no
 * more than fit the group. `member`: that of `chunk`. */
static inline int32_t kv_prefix_stretch(const struct kv_prefix *p, int32_t chunk, int32_t blocks, int32_t block_tokens,
                                        uint32_t width_bits, uint32_t member)
{
    int32_t stretch = (int32_t)((1u << width_bits) - member), chunk_tokens = blocks * block_tokens, alike = stretch;
    if (p->ids) {
        if (p->ids_tokens % chunk_tokens) return 1;
        int32_t chunks = p->ids_tokens / chunk_tokens;
        alike = chunks - chunk % chunks;
    } else if ((int64_t)(chunk + 1) * chunk_tokens <= p->shared_tokens) {
        alike = p->shared_tokens / chunk_tokens - chunk;
    }
    return alike < stretch ? alike : stretch;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* A request that computes its prompt from the head while its KV comes from the tail, until both meet (docs/tiers.md,
 * T44; Cake, arXiv 2410.03065). */
#ifndef KV_SERVE_SPLIT_H
#define KV_SERVE_SPLIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kv_instance;
struct kv_seq;

struct kv_split {
    uint32_t load;               /* its own; not among hold->loads any more: that has ended */
    int32_t first, end;          /* blocks [first, end) are what is loaded and computed; hits before them */
    uint8_t source[];            /* [end - first] tier of each; 0: it was found in HBM */
};

static inline size_t kv_split_bytes(int32_t blocks)
{
    return sizeof(struct kv_split) + (size_t)blocks;
}

/* A holder begins to split: of its hit, `end` blocks, the first `first` were found in HBM before any other; source: of
 * all blocks, as found, the first `keyed` of them (those behind are the request's own, in HBM). */
void kv_split_begin(struct kv_instance *n, struct kv_seq *q, int32_t first, int32_t end, int32_t keyed,
                    const uint8_t *source);
/* Whether it has met, or never split. If it meets now its load ends, its hits are counted and its computed tokens are
 * all of its hit. */
bool kv_split_met(struct kv_instance *n, struct kv_seq *q);
/* Tokens of its prompt that the next step may compute; >= 1. */
int64_t kv_split_tokens(const struct kv_instance *n, const struct kv_seq *q, int64_t tokens);
/* It joins running without having met. */
void kv_split_joined(struct kv_instance *n, const struct kv_seq *q);
/* Blocks that it holds while it runs. */
int64_t kv_split_blocks(const struct kv_seq *q);
/* It will not meet: its blocks are released, `held` in all, and how far it has come is noted for its load, which it
 * leaves next. */
void kv_split_leave(struct kv_instance *n, struct kv_seq *q, int64_t held);

#endif

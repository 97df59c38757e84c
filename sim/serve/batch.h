/* SPDX-License-Identifier: Apache-2.0 */
/* The running requests of an instance as sums, so that a step costs O(changes) and not O(requests): decoding
 * members are known by the number of their last step, by their context relative to the step counter and by the
 * phase in which they need a new block. */
#ifndef KV_SERVE_BATCH_H
#define KV_SERVE_BATCH_H

#include "sim/serve/instance.h"

void kv_batch_open(struct kv_instance *n);
void kv_batch_close(struct kv_instance *n);

uint32_t kv_batch_add(struct kv_instance *n, uint32_t seq);   /* to the end of running; returns its place */
uint32_t kv_batch_add_split(struct kv_instance *n, uint32_t seq);   /* the same of one that has not met (T44) */
void kv_batch_join(struct kv_instance *n, uint32_t place);    /* starts decoding with the next step */
/* Writes what a decoding member has reached into its kv_seq (before it leaves unfinished). */
void kv_batch_freeze(struct kv_instance *n, uint32_t place);
void kv_batch_remove(struct kv_instance *n, uint32_t place);

/* Registers the full known blocks of a request that holds blocks for `tokens` tokens (rule 18). */
void kv_batch_register(struct kv_instance *n, struct kv_seq *q, int64_t tokens);
/* The same for every decoding publisher before a place in running order, as of the step under way; KV_NONE: for all. */
void kv_batch_publish(struct kv_instance *n, uint32_t before);

bool kv_batch_needs_block(const struct kv_instance *n, uint32_t place);   /* for the step under way */
int64_t kv_batch_blocks_needed(const struct kv_instance *n);              /* by all decoding members */
/* The largest number <= steps (>= 1) of decode steps, the one under way included, that the pool can feed. */
int64_t kv_batch_steps_in_memory(const struct kv_instance *n, int64_t steps);

/* The same until the end of a step fills a block of a decoding member. */
int64_t kv_batch_steps_to_full_block(const struct kv_instance *n, int64_t steps);

/* Ends `steps` decode steps and schedules as many: contexts grow, blocks are taken, publishers register. */
void kv_batch_roll(struct kv_instance *n, int64_t steps);
/* Ends the step under way without scheduling another. */
void kv_batch_end_step(struct kv_instance *n);
/* What the compute model prices: decoding members and the prefills of the step under way. */
void kv_batch_summary(struct kv_instance *n, struct kv_batch *batch);

#endif

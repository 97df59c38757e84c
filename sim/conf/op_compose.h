/* SPDX-License-Identifier: Apache-2.0 */
/* Layers of any model of known shape out of an operator profile: what models/compute/table prices from.
 *
 *   layer(T)  = QKV, output, gate and up, down, or router and experts, of T rows; 2 norms, rotary, activation, cache
 *               write, norms of queries and keys where the model has them; with tp > 1 two all-reduces of
 *               T * hidden * 2 bytes
 *   once(T)   = embedding, last norm; with tp > 1 an all-reduce
 *   head(Y)   = final projection in bf16; a pass over the logits; with tp > 1 they are gathered
 *   prefill, decode = the attention operators at heads / tp and kv_heads / tp
 *
 * Each kernel takes the gap more that was measured in whole layers: in a CUDA graph, or (`eager`) launched one by one.
 *
 * Not in operator tables, hence assumed: chunks and decodes of a step follow one another; a batch of mixed lengths
 * costs what its mean length costs. */
#ifndef KV_CONF_OP_COMPOSE_H
#define KV_CONF_OP_COMPOSE_H

#include "sim/conf/op_profile.h"
#include "sim/conf/profile.h"
#include "sim/lib/shape.h"

/* Knots end where the samples ended. Refused, with `where`: MLA attention, types and numbers of GPUs that were not
 * measured, experts where none were, eager where launches were not. */
bool kv_op_compose(struct kv_arena *arena, const struct kv_op_profile *ops, const struct kv_model_shape *shape,
                   int32_t tp, bool eager, const char *where, struct kv_profile *profile, struct kv_err *err);

#endif

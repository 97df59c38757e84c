/* SPDX-License-Identifier: Apache-2.0 */
/* What a collective between GPUs of one node takes: measured (an operator profile), or of a link. */
#ifndef KV_CONF_COLLECTIVE_H
#define KV_CONF_COLLECTIVE_H

#include "sim/conf/op_profile.h"

/* The curve of `ranks` GPUs, over bytes; rows 0: it was not measured. Shares memory with `knots`. */
struct kv_knots kv_collective_curve(const struct kv_knots *knots, int32_t ranks);
/* As measured between `ranks` GPUs of the kind `gpu` (models/profiles/GPU): the curve over bytes, in the arena. NULL:
 * nobody named the GPU. A failure says at `where` what is missing, and that cluster.nodes.peer can name the link. */
bool kv_collective_measured(struct kv_arena *arena, const char *gpu, enum kv_collective which, int32_t ranks,
                            const char *where, struct kv_knots *curve, struct kv_err *err);
/* An all-reduce of `ranks` over a link: latency + 2 (n - 1) / n bytes / rate, each rank sending and receiving at `Bps`:
 * the least that n ranks have to move (Patarasuk and Yuan, J. Parallel Distrib. Comput. 69, 2009). In the arena. */
struct kv_knots kv_all_reduce_of_link(struct kv_arena *arena, int32_t ranks, double Bps, double latency_s);

/* Of `bytes`, in ns: linear between knots, past the largest in proportion. `curve`: with knots. */
double kv_collective_ns(const struct kv_knots *curve, double bytes);

#endif

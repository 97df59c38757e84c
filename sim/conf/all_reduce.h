/* SPDX-License-Identifier: Apache-2.0 */
/* What an all-reduce between GPUs of one node takes: measured (all_reduce.csv of an operator profile), or of a link. */
#ifndef KV_CONF_ALL_REDUCE_H
#define KV_CONF_ALL_REDUCE_H

#include "sim/conf/op_profile.h"

/* Of `bytes` a rank, in ns: linear between knots of bytes, past the largest in proportion. `knots`: of ranks and bytes,
 * with a row for `ranks`. 0 for one rank. */
double kv_all_reduce_ns(const struct kv_knots *knots, int32_t ranks, double bytes);
bool kv_all_reduce_has(const struct kv_knots *knots, int32_t ranks);
/* latency + 2 (n - 1) / n bytes / rate, each rank sending and receiving at `Bps`: the least that n ranks have to move
 * (Patarasuk and Yuan, J. Parallel Distrib. Comput. 69, 2009). In the arena. */
struct kv_knots kv_all_reduce_of_link(struct kv_arena *arena, int32_t ranks, double Bps, double latency_s);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Weighted water-filling: share_i = min(cap_i, level x weight_i), with the level at which the shares come to
 * `total`; the caps, where they come to no more than that. It minimises the sum of weight_i^2 / share_i under
 * these bounds: the condition of Karush, Kuhn and Tucker says that weight_i / share_i is the same for all below
 * their caps (Boyd and Vandenberghe, Convex Optimization, section 5.5.3). A pure function, whose result depends on
 * the order of the items by rounding only. */
#ifndef KV_LIB_WATERFILL_H
#define KV_LIB_WATERFILL_H

#include <stdint.h>

struct kv_waterfill_item { double weight, cap; };   /* weight > 0, finite; cap >= 0, may be INFINITY */

/* Fills share[count], each >= 0. `item` tells item i of `of`; it is asked once a round, and a round reaches at
 * least one cap. count >= 1, total >= 0 and finite. */
void kv_waterfill(const void *of, struct kv_waterfill_item (*item)(const void *of, int32_t i), int32_t count,
                  double total, double *share);

#endif

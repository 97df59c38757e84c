/* SPDX-License-Identifier: Apache-2.0 */
/* Max-min fair rates of flows over links, in integers. A pure function: the result depends on the sets alone, not on
 * their order (property test).
 *
 * Own limit of a class: u = min(its limit, floor(capacity / parts_on_it) over its links). Then, until all are fixed:
 *   share(l) = floor((capacity(l) - what fixed members use) / (parts of unfixed members on l)), of links with unfixed
 *   members; lambda = the least share.
 *   If unfixed classes have u <= lambda: all of them are fixed at u. Otherwise all classes that cross a link whose
 *   share equals lambda are fixed at lambda.
 * Classes without any link are fixed at their limit. No share ever falls (who is fixed takes no more than the share),
 * so whoever has u <= lambda once is fixed at u however the rounds are cut. It follows that a link whose members' own
 * limits cannot sum above its capacity never binds and may be left out without changing any rate, and that components
 * which share no link may be solved apart. */
#ifndef KV_LIB_MAXMIN_H
#define KV_LIB_MAXMIN_H

#include <stdbool.h>

#include "sim/base/rate.h"

#define KV_MAXMIN_HOPS 8
struct kv_maxmin_class {
    kv_rate limit;                         /* own limit of a part, >= 0 */
    int64_t flows;                         /* >= 1 equal flows */
    int32_t hops;                          /* links that it crosses */
    uint32_t link[KV_MAXMIN_HOPS];         /* each at most once */
    int32_t parts[KV_MAXMIN_HOPS];         /* parts of one flow on that link, >= 1 */
    kv_rate rate;                          /* out: rate of one part */
    kv_rate own; int32_t next;             /* scratch: u, next unfixed class */
};
struct kv_maxmin_link {
    kv_rate capacity;                      /* >= 0 */
    kv_rate left; int64_t parts;           /* scratch: what fixed members leave, parts of unfixed ones */
    kv_rate share; bool stale;             /* scratch: share as of when it was not stale */
};

void kv_maxmin(struct kv_maxmin_class *classes, int32_t class_count, struct kv_maxmin_link *links, int32_t link_count);

#endif

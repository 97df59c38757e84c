/* SPDX-License-Identifier: Apache-2.0 */
/* Flows over links (docs/tiers.md, "Links and flows").
 *
 * A flow moves a number of bytes over a path of links. It has `parts` equal sub-flows (the coflow of tensor
 * parallelism): `bytes` are those of one part, and each hop says how many of the parts cross that link. All flows with
 * the same path and the same limit of their own are one *class*: they are served at the same rate at every moment, so a
 * class has one service curve, a flow joins it at the service level of its start and is done when the curve has risen
 * by its bytes. A flow event costs O(1) and one solution of the touched component's rates.
 *
 * Rates are max-min fair with own limits, in integers (kv_maxmin of sim/lib/maxmin.h). They are set once a tick, in
 * class settle, after all that happened at the tick; events of later classes at the same tick bring another round. */
#ifndef KV_SERVE_NET_H
#define KV_SERVE_NET_H

#include "sim/base/rate.h"
#include "sim/engine/engine.h"

struct kv_net;

/* `parts_on_it` >= 1: how many parts of one flow cross the link. */
struct kv_hop { uint32_t link; int32_t parts_on_it; };
#define KV_HOPS_MAX 8

/* A flow has delivered all bytes it was permitted to: `bytes_done` of a part. If that is all of it, it has left its
 * links but can still be asked (kv_flow_reached_all) until kv_flow_drop. Flows that end at one tick are all off their
 * links before the first is told, and told in the order of their ids. The owner may start, permit, limit and drop flows
 * from here; of those still to be told, a dropped one is not, and one permitted more, which is under way again, is told
 * of where it had paused. A flow with a mark is told of that too (kv_flow_mark). */
typedef void (*kv_flow_done)(void *owner, uint32_t flow, uint64_t tag, int64_t bytes_done);

struct kv_net *kv_net_open(struct kv_engine *engine, kv_flow_done done, void *owner);
void kv_net_close(struct kv_net *net);

/* Set-up, before the first flow. Ids count up from 0. A link has one direction: a full-duplex one is two. `in_order`:
 * flows get the link one after another in the order of their ids, a flow that is not first on each such link of its
 * path moves nothing (kind fifo); else it is shared max-min fairly. Capacity 0 is legal: nothing ever moves. */
uint32_t kv_net_add_link(struct kv_net *net, kv_rate capacity, bool in_order);
/* The link's capacity falls with what crosses it: at every settling it is curve[min(n, count) - 1], n = parts that
 * cross it of the flows on it (blocked ones included, paused ones not), curve[0] with none. `count` >= 1; the net keeps
 * a copy. Before the first path over the link. */
void kv_net_link_curve(struct kv_net *net, uint32_t link, const kv_rate *curve, int32_t count);
uint32_t kv_net_add_path(struct kv_net *net, const struct kv_hop *hops, int32_t count);   /* 0..KV_HOPS_MAX hops */

/* Starts a flow at the tick of the clock. `bytes` >= 1 of one part; `permitted` in 1..bytes: it pauses, off its links,
 * once so many are delivered, until kv_flow_permit raises the number; raised before, even at the very tick but before
 * the net's completions, it goes on without a pause. `limit`: own rate of a part, >= 0 or KV_RATE_UNLIMITED; a flow
 * without any limit (path of no hops) has what it is permitted to one tick after it started or was permitted on from
 * a pause, and nothing before. Returns an index, used again after kv_flow_drop; its id, which orders flows of one tick
 * and of a link in_order, is its number in order of starts. */
uint32_t kv_flow_start(struct kv_net *net, uint32_t path, kv_rate limit, int64_t bytes, int64_t permitted,
                       uint64_t tag);
void kv_flow_permit(struct kv_net *net, uint32_t flow, int64_t permitted);   /* >= what it was */
/* The owner is also told once, on the way, when `mark` bytes of a part are there; the flow goes on. More than are
 * delivered and at most what is permitted (then it changes nothing: the next to be told is the permitted). bytes_done
 * is then what is delivered. */
void kv_flow_mark(struct kv_net *net, uint32_t flow, int64_t mark);
/* Another limit of its own from this tick on (grants of a transfer policy); of a flow that is paused, or pauses at this
 * tick, from its next permission on. No effect on one that has ended or does so at this tick, nor when it is the limit
 * that it has. */
void kv_flow_limit(struct kv_net *net, uint32_t flow, kv_rate limit);
/* Whole bytes of a part delivered up to now. */
int64_t kv_flow_moved_bytes(const struct kv_net *net, uint32_t flow);
/* The same by a tick not before now, if nothing happens until then. */
int64_t kv_flow_moved_bytes_by(const struct kv_net *net, uint32_t flow, kv_tick at_tk);
/* First tick at which so many bytes of a part were there, of `count` numbers of bytes (1..those delivered), ascending:
 * layers of a fetch, in one pass over the changes of rate. Of a flow that never paused and whose limit never changed
 * (assert); one number costs O(log changes of rate during its life). A class remembers as far back as the oldest such
 * flow not yet dropped. */
void kv_flow_reached_all(const struct kv_net *net, uint32_t flow, const int64_t *bytes, int32_t count, kv_tick *out);
/* Forgets a flow: one that has ended, or one under way (then it leaves its links at this tick). */
void kv_flow_drop(struct kv_net *net, uint32_t flow);

/* What a link has carried, over all parts, up to now [2^-32 byte], and its present flows (blocked ones included). No
 * more than what flows were permitted to: what is left of the tick in which one ends is carried for nobody. */
kv_service kv_net_carried(const struct kv_net *net, uint32_t link);
int64_t kv_net_flows_on(const struct kv_net *net, uint32_t link);

/* How rates were found, for /quality. Counters only grow. */
struct kv_net_counters {
    int64_t flows, settles;
    int64_t single_bottleneck;    /* component solved by virtual time alone: one class, or one link that binds */
    int64_t progressive;          /* component solved by progressive filling over several links */
    int64_t skipped_links;        /* links of classes solved that could not bind */
};
struct kv_net_counters kv_net_counters(const struct kv_net *net);

#endif

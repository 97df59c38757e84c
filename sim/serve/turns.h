/* SPDX-License-Identifier: Apache-2.0 */
/* Who follows whom in sessions (docs/engine.md, rules 25 and 25a): all rows of a trace, tied to one another. A session
 * is a main line of turns; a branch (a sub-agent) is a line of its own that starts after a turn of the main line and
 * for whose end the main line's next turn waits. */
#ifndef KV_SERVE_TURNS_H
#define KV_SERVE_TURNS_H

#include "sim/base/arena.h"
#include "sim/base/map.h"
#include "sim/iface/request.h"

/* One row of the trace. Rows are named by their index; -1: none. */
struct kv_turn {
    int64_t arrival_ns, elapsed_ns, think_ns;   /* as in the request */
    int64_t earliest_ns;      /* latest of the times that those it waited for have allowed so far */
    int64_t next;             /* follows it in its line; or, where `joins`, waits for it */
    int64_t child, sibling;   /* first row of the first branch that starts after it; of the next such branch */
    uint32_t seq;             /* KV_NONE once the row is on its way */
    uint32_t conversation;    /* its session, or a row without one; from 0 in order of first rows */
    int32_t waits;            /* ends it still waits for */
    bool follows;             /* waits for somebody from the start */
    bool joins;               /* the last row of a branch, and somebody waits for it */
};

struct kv_turns {
    KV_VEC(struct kv_turn) row;
    KV_VEC(int64_t) left;     /* rows of each conversation that have not ended */
    /* While rows are added: */
    struct kv_map line_of, branch_of;   /* session -> line; (session, branch) -> branch */
    KV_VEC(struct kv_line) lines;
    KV_VEC(struct kv_branch) branches;
};
struct kv_line { int64_t last; uint32_t conversation, open; };   /* last row of the main line; branches since then */
struct kv_branch { int64_t last, waiter; uint32_t open; };       /* open: the next in the line's list */

void kv_turns_open(struct kv_turns *t);
void kv_turns_close(struct kv_turns *t);
/* The next row; request->index counts up from 0. */
void kv_turns_add(struct kv_turns *t, const struct kv_request *request, uint32_t seq);
/* All rows have been added. */
void kv_turns_tie(struct kv_turns *t);
/* Row `index` has ended, and whoever follows may come from `ns` on: `ready` is called for every row that waits for
 * nobody any more, whose earliest_ns is when it arrives. True when its conversation is over. */
bool kv_turns_ended(struct kv_turns *t, int64_t index, int64_t ns, void (*ready)(void *owner, struct kv_turn *turn),
                    void *owner);

#endif

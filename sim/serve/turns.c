/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/serve/turns.h"

void kv_turns_open(struct kv_turns *t)
{
    *t = (struct kv_turns){0};
    kv_map_open(&t->line_of, 1024);
    kv_map_open(&t->branch_of, 64);
}

void kv_turns_close(struct kv_turns *t)
{
    kv_vec_close(&t->row);
    kv_vec_close(&t->left);
    kv_vec_close(&t->lines);
    kv_vec_close(&t->branches);
    kv_map_close(&t->line_of);
    kv_map_close(&t->branch_of);
}

static void follow(struct kv_turns *t, int64_t index)
{
    t->row.at[index].waits++;
    t->row.at[index].follows = true;
}

static void add_to_branch(struct kv_turns *t, struct kv_line *line, const struct kv_request *request)
{
    uint64_t key = kv_mix64_pair(request->session, request->branch);
    uint32_t found = kv_map_get(&t->branch_of, key);
    follow(t, request->index);
    if (found != KV_NONE) {
        t->row.at[t->branches.at[found].last].next = request->index;
        t->branches.at[found].last = request->index;
        return;
    }
    kv_map_put(&t->branch_of, key, (uint32_t)t->branches.count);
    t->row.at[request->index].sibling = t->row.at[line->last].child;
    t->row.at[line->last].child = request->index;
    struct kv_branch branch = {request->index, -1, line->open};
    line->open = (uint32_t)t->branches.count;
    kv_vec_push(&t->branches, branch);
}

static void add_to_main_line(struct kv_turns *t, struct kv_line *line, int64_t index)
{
    follow(t, index);
    t->row.at[line->last].next = index;
    line->last = index;
    for (; line->open != KV_NONE; line->open = t->branches.at[line->open].open) {
        t->branches.at[line->open].waiter = index;
        follow(t, index);
    }
}

void kv_turns_add(struct kv_turns *t, const struct kv_request *request, uint32_t seq)
{
    struct kv_turn turn = {.arrival_ns = request->arrival_ns, .elapsed_ns = request->elapsed_ns,
                           .think_ns = request->think_ns, .next = -1, .child = -1, .sibling = -1, .seq = seq};
    uint64_t key = kv_mix64(request->session);
    uint32_t found = request->session ? kv_map_get(&t->line_of, key) : KV_NONE;
    turn.conversation = found != KV_NONE ? t->lines.at[found].conversation : (uint32_t)t->left.count;
    kv_vec_push(&t->row, turn);
    if (found != KV_NONE) {
        struct kv_line *line = &t->lines.at[found];
        t->left.at[line->conversation]++;
        if (request->branch) add_to_branch(t, line, request);
        else add_to_main_line(t, line, request->index);
        return;
    }
    kv_vec_push(&t->left, 1);
    if (!request->session) return;
    struct kv_line line = {request->index, turn.conversation, KV_NONE};
    kv_map_put(&t->line_of, key, (uint32_t)t->lines.count);
    kv_vec_push(&t->lines, line);
}

void kv_turns_tie(struct kv_turns *t)
{
    for (size_t i = 0; i < t->branches.count; i++) {
        const struct kv_branch *branch = &t->branches.at[i];
        if (branch->waiter < 0) continue;
        t->row.at[branch->last].next = branch->waiter;
        t->row.at[branch->last].joins = true;
    }
}

/* Rule 25: what the user does between two turns. */
static int64_t think_ns(const struct kv_turn *turn, const struct kv_turn *next)
{
    if (next->think_ns >= 0) return next->think_ns;
    int64_t gap_ns = next->arrival_ns - turn->arrival_ns;
    if (turn->elapsed_ns < 0) return gap_ns;
    return gap_ns > turn->elapsed_ns ? gap_ns - turn->elapsed_ns : 0;
}

static void let_go(struct kv_turn *turn, int64_t ns, void (*ready)(void *owner, struct kv_turn *turn), void *owner)
{
    if (ns > turn->earliest_ns) turn->earliest_ns = ns;
    if (--turn->waits == 0) ready(owner, turn);
}

bool kv_turns_ended(struct kv_turns *t, int64_t index, int64_t ns, void (*ready)(void *owner, struct kv_turn *turn),
                    void *owner)
{
    struct kv_turn *turn = &t->row.at[index];
    for (int64_t child = turn->child; child >= 0; child = t->row.at[child].sibling)
        let_go(&t->row.at[child], ns + think_ns(turn, &t->row.at[child]), ready, owner);
    if (turn->next >= 0) {
        struct kv_turn *next = &t->row.at[turn->next];
        let_go(next, turn->joins ? ns : ns + think_ns(turn, next), ready, owner);
    }
    return --t->left.at[turn->conversation] == 0;
}

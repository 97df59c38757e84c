/* SPDX-License-Identifier: Apache-2.0 */
/* The settling: once a tick, after all that happened, the components that were touched get new rates. */
#include "sim/serve/net_private.h"

#include "sim/base/err.h"
#include "sim/base/prefetch.h"

/* ---- who takes part ---- */

static size_t member_place(const struct kv_net_link *link, kv_rate own, uint32_t class)
{
    size_t low = 0, high = link->member.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct kv_net_member *m = &link->member.at[middle];
        if (m->own < own || (m->own == own && m->class < class)) low = middle + 1;
        else high = middle;
    }
    return low;
}

static void attach(struct kv_net *net, uint32_t class, struct kv_net_class *c)
{
    const struct kv_net_path *path = &net->path.at[c->path];
    for (int32_t h = 0; h < path->count; h++) {
        struct kv_net_link *link = &net->link.at[path->hop[h].link];
        struct kv_net_member member = {c->own, class, path->hop[h].parts_on_it};
        size_t i = member_place(link, c->own, class);
        kv_vec_push(&link->member, member);
        for (size_t j = link->member.count - 1; j > i; j--) link->member.at[j] = link->member.at[j - 1];
        link->member.at[i] = member;
    }
    c->attached = true;
}

static void detach(struct kv_net *net, uint32_t class, struct kv_net_class *c)
{
    const struct kv_net_path *path = &net->path.at[c->path];
    kv_u128 carried = kv_net_unflushed(net, c);
    c->flushed += carried;
    for (int32_t h = 0; h < path->count; h++) {
        struct kv_net_link *link = &net->link.at[path->hop[h].link];
        uint64_t parts = (uint64_t)path->hop[h].parts_on_it;
        link->gone += carried * parts;
        link->member.count--;
        for (size_t j = member_place(link, c->own, class); j < link->member.count; j++)
            link->member.at[j] = link->member.at[j + 1];
    }
    c->attached = false;
}

static bool is_first(const struct kv_net *net, uint32_t class, const struct kv_net_class *c)
{
    const struct kv_net_path *path = &net->path.at[c->path];
    for (int32_t h = 0; h < path->count; h++) {
        const struct kv_net_link *link = &net->link.at[path->hop[h].link];
        if (link->in_order && (uint32_t)kv_heap_top(&link->queue)->order != class) return false;
    }
    return true;
}

/* Brings the sums of its links up to date with what happened to a touched class. */
static void count_in(struct kv_net *net, uint32_t class, struct kv_net_class *c)
{
    const struct kv_net_path *path = &net->path.at[c->path];
    int64_t present = (int64_t)c->queue.count, arrived = present - c->present;
    bool takes_part = present > 0 && (!c->in_order || is_first(net, class, c));
    int64_t flows = takes_part ? present : 0, more = flows - c->counted;
    if (takes_part && !c->attached) attach(net, class, c);
    if (!takes_part && c->attached) detach(net, class, c);
    if ((arrived | more) == 0) return;   /* as many have come as gone */
    c->present = present;
    c->counted = flows;
    for (int32_t h = 0; h < path->count; h++) {
        struct kv_net_link *link = &net->link.at[path->hop[h].link];
        int32_t parts = path->hop[h].parts_on_it;
        link->flows += arrived;
        link->parts += arrived * parts;
        link->demand += (kv_service)c->own * (more * parts);
    }
}

/* ---- rates of a connected part ---- */

/* One of these ends next; of the others, most soon. */
static inline void will_end(const struct kv_net *net, const kv_service *top)
{
    kv_prefetch(&net->flow.at[(uint32_t)top[0]]);
    kv_prefetch(&net->flow.at[(uint32_t)top[1]]);
    kv_prefetch(&net->flow.at[(uint32_t)top[2]]);
    kv_prefetch(&net->flow.at[(uint32_t)top[3]]);
    kv_prefetch(&net->flow.at[(uint32_t)top[4]]);
    kv_prefetch(&net->asked_link.at[(uint32_t)top[0]]);
}

static void give(struct kv_net *net, uint32_t class, struct kv_net_class *c, kv_rate rate)
{
    bool other = kv_net_rate_set(net, c, rate);
    if (!other && !c->touched) return;
    kv_tick due_tk = KV_TICK_NEVER;
    if (c->attached) {
        if (c->queue.heap.count > 4) will_end(net, c->queue.heap.at);
        kv_tick ticks = kv_rate_ticks(kv_net_level_at(c, 0) - kv_net_level(net, c), rate);
        if (ticks < KV_TICK_LIMIT - kv_engine_now(net->engine)) due_tk = kv_engine_now(net->engine) + ticks;
    }
    if (due_tk == KV_TICK_NEVER) kv_heap_drop(&net->due, class);
    else kv_heap_set(&net->due, (struct kv_heap_key){due_tk, class});
}

/* u of maxmin.h. c->own is that of the most a curve allows; it is not what the link has now. */
static kv_rate own_on(const struct kv_net_link *link, const struct kv_net_member *m)
{
    if (link->capacity == link->most) return m->own;
    kv_rate alone = link->capacity / m->parts;
    return m->own < alone ? m->own : alone;
}

/* Whether members still come by own limit where a curve has lowered some of the limits. */
static bool in_filling_order(const struct kv_net_link *link)
{
    if (link->capacity == link->most) return true;
    for (size_t i = 1; i < link->member.count; i++)
        if (own_on(link, &link->member.at[i]) < own_on(link, &link->member.at[i - 1])) return false;
    return true;
}

/* One link binds: members come by own limit, so the first whose limit is above the share ends the filling. */
static void fill_link(struct kv_net *net, const struct kv_net_link *link)
{
    kv_rate left = link->capacity;
    int64_t parts = 0;
    for (size_t i = 0; i < link->member.count; i++)
        parts += kv_net_class_at(net, link->member.at[i].class)->counted * link->member.at[i].parts;
    kv_rate share = -1;
    for (size_t i = 0; i < link->member.count; i++) {
        const struct kv_net_member *m = &link->member.at[i];
        struct kv_net_class *c = kv_net_class_at(net, m->class);
        kv_rate own = own_on(link, m);
        if (share < 0 && (kv_service)own * parts > left) share = left / parts;
        if (share < 0) {
            int64_t mine = c->counted * m->parts;
            left -= own * mine;
            parts -= mine;
        }
        give(net, m->class, c, share < 0 ? own : share);
    }
}

/* What one class alone on its links gets. */
static kv_rate alone(const struct kv_net *net, const struct kv_net_class *c)
{
    const struct kv_net_path *path = &net->path.at[c->path];
    kv_rate rate = c->own;
    for (int32_t h = 0; h < path->count; h++) {
        const struct kv_net_link *link = &net->link.at[path->hop[h].link];
        if (!link->bound) continue;
        kv_rate share = link->capacity / (c->counted * path->hop[h].parts_on_it);
        if (share < rate) rate = share;
    }
    return rate;
}

static void fill_progressively(struct kv_net *net)
{
    net->solve_link.count = net->solve_class.count = 0;
    for (size_t i = 0; i < net->part_link.count; i++) {
        struct kv_net_link *link = &net->link.at[net->part_link.at[i]];
        link->local = (uint32_t)i;
        kv_vec_push(&net->solve_link, ((struct kv_maxmin_link){.capacity = link->capacity}));
    }
    kv_vec_reserve(&net->solve_class, net->part.count);
    net->solve_class.count = net->part.count;
    for (size_t i = 0; i < net->part.count; i++) {
        const struct kv_net_class *c = kv_net_class_at(net, net->part.at[i]);
        const struct kv_net_path *path = &net->path.at[c->path];
        struct kv_maxmin_class *s = &net->solve_class.at[i];
        s->limit = c->own;   /* not its limit: links that cannot bind are left out, their capacity is not */
        s->flows = c->counted;
        s->hops = 0;
        for (int32_t h = 0; h < path->count; h++) {
            const struct kv_net_link *link = &net->link.at[path->hop[h].link];
            if (!link->bound) continue;
            s->link[s->hops] = link->local;
            s->parts[s->hops++] = path->hop[h].parts_on_it;
        }
    }
    kv_maxmin(net->solve_class.at, (int32_t)net->part.count, net->solve_link.at, (int32_t)net->part_link.count);
    for (size_t i = 0; i < net->part.count; i++)
        give(net, net->part.at[i], kv_net_class_at(net, net->part.at[i]), net->solve_class.at[i].rate);
}

static bool is_bound(const struct kv_net *net, const struct kv_net_class *c)
{
    const struct kv_net_path *path = &net->path.at[c->path];
    for (int32_t h = 0; h < path->count; h++)
        if (net->link.at[path->hop[h].link].bound) return true;
    return false;
}

/* The component in part and part_link. It may be several by now: then its links that no longer bind held them
 * together, and solving them at once changes nothing (maxmin.h). */
static void solve_part(struct kv_net *net)
{
    if (net->part.count == 0) return;
    const struct kv_net_link *link = net->part_link.count > 0 ? &net->link.at[net->part_link.at[0]] : NULL;
    if (net->part.count > 1 && (net->part_link.count > 1 || (link && !in_filling_order(link)))) {
        net->counters.progressive++;
        fill_progressively(net);
        return;
    }
    net->counters.single_bottleneck++;
    if (net->part.count > 1 && link) fill_link(net, link);
    for (size_t i = 0; i < net->part.count; i++) {
        struct kv_net_class *c = kv_net_class_at(net, net->part.at[i]);
        if (net->part.count == 1 || !is_bound(net, c)) give(net, net->part.at[i], c, alone(net, c));
    }
}

/* ---- the settling ---- */

static void apply_curve(struct kv_net_link *link)
{
    size_t count = link->curve.count, n = (size_t)link->parts;
    if (count > 0) link->capacity = link->curve.at[n == 0 ? 0 : n < count ? n - 1 : count - 1];
}

/* Settles a class that has all of its links to itself, by far the most frequent case. False when it has not. */
static bool settle_alone(struct kv_net *net, uint32_t class, struct kv_net_class *c)
{
    const struct kv_net_path *path = &net->path.at[c->path];
    for (int32_t h = 0; h < path->count; h++)
        if (net->link.at[path->hop[h].link].member.count > c->attached) return false;
    for (int32_t h = 0; h < path->count; h++) {
        struct kv_net_link *link = &net->link.at[path->hop[h].link];
        apply_curve(link);
        link->bound = link->demand > link->capacity;
        net->counters.skipped_links += !link->bound;
    }
    net->counters.single_bottleneck += c->attached;
    give(net, class, c, c->attached ? alone(net, c) : 0);
    return true;
}

static void visit_class(struct kv_net *net, uint32_t class)
{
    struct kv_net_class *c = kv_net_class_at(net, class);
    if (c->visit == net->visit || !c->attached) return;
    c->visit = net->visit;
    kv_vec_push(&net->part, class);
}

/* Links that could bind at the last settling connect too: whoever was held back there must now be let go. */
static void visit_links(struct kv_net *net, const struct kv_net_path *path)
{
    for (int32_t h = 0; h < path->count; h++) {
        struct kv_net_link *link = &net->link.at[path->hop[h].link];
        if (link->visit == net->visit) continue;
        link->visit = net->visit;
        apply_curve(link);
        bool binds = link->demand > link->capacity, connects = binds || link->bound;
        link->bound = binds;
        if (binds) kv_vec_push(&net->part_link, path->hop[h].link);
        else net->counters.skipped_links++;
        if (!connects) continue;
        for (size_t m = 0; m < link->member.count; m++) visit_class(net, link->member.at[m].class);
    }
}

/* Gathers and solves the component of a touched class; one that has left may have connected several. */
static void settle_part(struct kv_net *net, uint32_t class, struct kv_net_class *c)
{
    net->part.count = net->part_link.count = 0;
    visit_class(net, class);
    visit_links(net, &net->path.at[c->path]);
    for (size_t i = 0; i < net->part.count; i++)
        visit_links(net, &net->path.at[kv_net_class_at(net, net->part.at[i])->path]);
    solve_part(net);
}

static void arm_completion(struct kv_net *net)
{
    const struct kv_heap_key *top = kv_heap_top(&net->due);
    kv_tick due_tk = top ? top->due : KV_TICK_NEVER;
    if (due_tk == net->completion_tk) return;
    net->completion_tk = due_tk;
    if (top) kv_timer_arm(net->engine, net->completion, due_tk);
    else kv_timer_disarm(net->engine, net->completion);
}

void kv_net_settle(void *owner, uint32_t kind)
{
    struct kv_net *net = owner;
    (void)kind;
    net->unsettled = false;
    net->counters.settles++;
    for (size_t i = 0; i < net->touched.count; i++)
        count_in(net, net->touched.at[i], kv_net_class_at(net, net->touched.at[i]));
    net->visit++;
    for (size_t i = 0; i < net->touched.count; i++) {
        struct kv_net_class *c = kv_net_class_at(net, net->touched.at[i]);
        if (c->visit == net->visit || settle_alone(net, net->touched.at[i], c)) continue;
        settle_part(net, net->touched.at[i], c);
        if (!c->attached) give(net, net->touched.at[i], c, 0);
    }
    for (size_t i = 0; i < net->touched.count; i++) {
        struct kv_net_class *c = kv_net_class_at(net, net->touched.at[i]);
        c->touched = false;
        if (c->users == 0) kv_net_class_free(net, net->touched.at[i]);
    }
    net->touched.count = 0;
    arm_completion(net);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Progressive filling as the header defines it. Unfixed classes form a list through `next`, in array order, so that a
 * round costs what is still unfixed; a share is divided out again only when a member of its link was fixed. Nothing
 * overflows: who is fixed takes at most the share of each of its links, all its parts together at most what is left. */
#include "sim/lib/maxmin.h"

#define LIST_END (-1)

static kv_rate own_limit(const struct kv_maxmin_class *c, const struct kv_maxmin_link *links)
{
    kv_rate own = c->limit;
    for (int32_t h = 0; h < c->hops; h++) {
        kv_rate alone = links[c->link[h]].capacity / c->parts[h];
        if (alone < own) own = alone;
    }
    return own;
}

static void fix(struct kv_maxmin_class *c, kv_rate rate, struct kv_maxmin_link *links)
{
    c->rate = rate;
    for (int32_t h = 0; h < c->hops; h++) {
        struct kv_maxmin_link *link = &links[c->link[h]];
        int64_t parts = c->flows * c->parts[h];
        link->left -= parts * rate;
        link->parts -= parts;
        link->stale = true;
    }
}

static kv_rate least_share(struct kv_maxmin_link *links, int32_t link_count)
{
    kv_rate least = INT64_MAX;
    for (int32_t l = 0; l < link_count; l++) {
        struct kv_maxmin_link *link = &links[l];
        if (link->parts == 0) continue;
        if (link->stale) {
            link->share = link->left / link->parts;
            link->stale = false;
        }
        if (link->share < least) least = link->share;
    }
    return least;
}

/* A share that is stale was changed in this very round, so it does not say whether its link was a bottleneck; but
 * `share` itself still is that of the round's beginning. */
static bool crosses_bottleneck(const struct kv_maxmin_class *c, const struct kv_maxmin_link *links, kv_rate lambda)
{
    for (int32_t h = 0; h < c->hops; h++)
        if (links[c->link[h]].share == lambda) return true;
    return false;
}

/* The classes not fixed yet, and the least of their own limits. */
struct unfixed { int32_t head; kv_rate least_own; };

/* Fixes who the round is for and takes them off the list. */
static void fix_round(struct kv_maxmin_class *classes, struct unfixed *u, struct kv_maxmin_link *links, kv_rate lambda)
{
    bool at_own = u->least_own <= lambda;
    int32_t *from = &u->head;
    u->least_own = INT64_MAX;
    while (*from != LIST_END) {
        struct kv_maxmin_class *c = &classes[*from];
        if (at_own ? c->own <= lambda : crosses_bottleneck(c, links, lambda)) {
            fix(c, at_own ? c->own : lambda, links);
            *from = c->next;
        } else {
            if (c->own < u->least_own) u->least_own = c->own;
            from = &c->next;
        }
    }
}

void kv_maxmin(struct kv_maxmin_class *classes, int32_t class_count, struct kv_maxmin_link *links, int32_t link_count)
{
    struct unfixed unfixed = {LIST_END, INT64_MAX};
    int32_t *end = &unfixed.head;
    for (int32_t l = 0; l < link_count; l++) {
        links[l].left = links[l].capacity;
        links[l].parts = 0;
        links[l].stale = true;
    }
    for (int32_t i = 0; i < class_count; i++) {
        struct kv_maxmin_class *c = &classes[i];
        c->rate = c->own = own_limit(c, links);
        c->next = LIST_END;
        if (c->hops == 0) continue;
        for (int32_t h = 0; h < c->hops; h++) links[c->link[h]].parts += c->flows * c->parts[h];
        if (c->own < unfixed.least_own) unfixed.least_own = c->own;
        *end = i;
        end = &c->next;
    }
    while (unfixed.head != LIST_END) fix_round(classes, &unfixed, links, least_share(links, link_count));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Progressive filling as the header defines it. Unfixed classes form a list through `next`, in array order, so that a
 * round costs what is still unfixed; a share is divided out again only when a member of its link was fixed. */
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
        link->left -= (kv_service)parts * rate;
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
            link->share = (kv_rate)(link->left / link->parts);
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

/* Fixes who the round is for and takes them off the list. Returns how many. */
static int32_t fix_round(struct kv_maxmin_class *classes, int32_t *head, struct kv_maxmin_link *links, kv_rate lambda,
                         bool at_own)
{
    int32_t fixed = 0, *from = head;
    while (*from != LIST_END) {
        struct kv_maxmin_class *c = &classes[*from];
        if (at_own ? c->own <= lambda : crosses_bottleneck(c, links, lambda)) {
            fix(c, at_own ? c->own : lambda, links);
            *from = c->next;
            fixed++;
        } else {
            from = &c->next;
        }
    }
    return fixed;
}

void kv_maxmin(struct kv_maxmin_class *classes, int32_t class_count, struct kv_maxmin_link *links, int32_t link_count)
{
    int32_t head = LIST_END, *end = &head;
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
        *end = i;
        end = &c->next;
    }
    while (head != LIST_END) {
        kv_rate lambda = least_share(links, link_count);
        if (fix_round(classes, &head, links, lambda, true) == 0) fix_round(classes, &head, links, lambda, false);
    }
}

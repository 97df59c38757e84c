/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sim/base/rng.h"
#include "sim/lib/maxmin.h"

#define LINKS 12
#define CLASSES 40

/* ---- closed forms ---- */

static void flows_of_one_link_get_the_floor_of_equal_parts(void **state)
{
    (void)state;
    struct kv_maxmin_link link = {.capacity = 1000};
    struct kv_maxmin_class c[] = {
        {.limit = KV_RATE_UNLIMITED, .flows = 3, .hops = 1, .link = {0}, .parts = {1}},
        {.limit = KV_RATE_UNLIMITED, .flows = 2, .hops = 1, .link = {0}, .parts = {2}},
    };
    kv_maxmin(c, 2, &link, 1);
    assert_int_equal(c[0].rate, 142);   /* 1000 / (3 + 4); 6 units of remainder stay unused */
    assert_int_equal(c[1].rate, 142);
}

static void what_a_limited_class_leaves_goes_to_the_others(void **state)
{
    (void)state;
    struct kv_maxmin_link link = {.capacity = 1000};
    struct kv_maxmin_class c[] = {
        {.limit = 100, .flows = 2, .hops = 1, .link = {0}, .parts = {1}},
        {.limit = 280, .flows = 1, .hops = 1, .link = {0}, .parts = {1}},
        {.limit = KV_RATE_UNLIMITED, .flows = 2, .hops = 1, .link = {0}, .parts = {1}},
    };
    kv_maxmin(c, 3, &link, 1);
    assert_int_equal(c[0].rate, 100);
    assert_int_equal(c[1].rate, 266);   /* (1000 - 200) / 3 is below its limit */
    assert_int_equal(c[2].rate, 266);
}

/* Bertsekas and Gallager, Data Networks, 6.5.2: whoever is held back at a link leaves the rest to the others. */
static void a_flow_held_back_elsewhere_leaves_room(void **state)
{
    (void)state;
    struct kv_maxmin_link link[] = {{.capacity = 100}, {.capacity = 300}};
    struct kv_maxmin_class c[] = {
        {.limit = KV_RATE_UNLIMITED, .flows = 3, .hops = 1, .link = {0}, .parts = {1}},
        {.limit = KV_RATE_UNLIMITED, .flows = 1, .hops = 2, .link = {0, 1}, .parts = {1, 1}},
        {.limit = KV_RATE_UNLIMITED, .flows = 1, .hops = 1, .link = {1}, .parts = {1}},
    };
    kv_maxmin(c, 3, link, 2);
    assert_int_equal(c[0].rate, 25);
    assert_int_equal(c[1].rate, 25);
    assert_int_equal(c[2].rate, 275);
}

static void nothing_crosses_a_link_without_capacity(void **state)
{
    (void)state;
    struct kv_maxmin_link link[] = {{.capacity = 0}, {.capacity = 10}};
    struct kv_maxmin_class c[] = {
        {.limit = KV_RATE_UNLIMITED, .flows = 9, .hops = 2, .link = {0, 1}, .parts = {1, 8}},
        {.limit = KV_RATE_UNLIMITED, .flows = 1, .hops = 1, .link = {1}, .parts = {3}},
        {.limit = 0, .flows = 1, .hops = 1, .link = {1}, .parts = {1}},
        {.limit = 77, .flows = 5},
        {.limit = KV_RATE_UNLIMITED, .flows = 5},
    };
    kv_maxmin(c, 5, link, 2);
    assert_int_equal(c[0].rate, 0);
    assert_int_equal(c[1].rate, 3);
    assert_int_equal(c[2].rate, 0);
    assert_int_equal(c[3].rate, 77);
    assert_true(c[4].rate == KV_RATE_UNLIMITED);
    kv_maxmin(NULL, 0, link, 2);
}

/* ---- properties over random networks ---- */

struct network { struct kv_maxmin_class class[CLASSES]; struct kv_maxmin_link link[LINKS]; int32_t classes, links; };

static uint64_t draw(uint64_t seed, uint64_t a, uint64_t b)
{
    return kv_mix64_pair(kv_mix64_pair(seed, a), b);
}

static kv_rate draw_rate(uint64_t luck)
{
    static const uint64_t most[] = {1, 10, 1000, UINT64_C(1) << 40, UINT64_C(1) << 61};
    return (kv_rate)((luck >> 3) % most[luck % 5]);
}

/* Classes cross links of one half only when `halves`, so that there are two components at least. */
static struct network random_network(uint64_t seed, bool halves)
{
    struct network n = {.classes = 1 + (int32_t)(draw(seed, 0, 0) % CLASSES), .links = LINKS};
    kv_rate scale = 2 + draw_rate(draw(seed, 0, 1));
    for (uint64_t l = 0; l < LINKS; l++) {
        bool zero = draw(seed, 1, l) % 16 == 0;
        n.link[l].capacity = zero ? 0 : (kv_rate)(draw(seed, 2, l) % (uint64_t)scale);
    }
    for (uint64_t i = 0; i < (uint64_t)n.classes; i++) {
        struct kv_maxmin_class *c = &n.class[i];
        bool limited = draw(seed, 3, i) % 2;
        c->limit = limited ? (kv_rate)(draw(seed, 4, i) % (uint64_t)scale) / 4 : KV_RATE_UNLIMITED;
        c->flows = 1 + (int64_t)(draw(seed, 5, i) % 5);
        c->hops = (int32_t)(draw(seed, 6, i) % 5);
        uint32_t room = halves ? LINKS / 2 : LINKS, base = halves ? (uint32_t)(i % 2) * room : 0;
        uint32_t first = (uint32_t)(draw(seed, 7, i) % room), stride = draw(seed, 8, i) % 2 ? 1 : 5;
        for (int32_t h = 0; h < c->hops; h++) {
            c->link[h] = base + (first + stride * (uint32_t)h) % room;
            c->parts[h] = 1 + (int32_t)(draw(seed, 9 + i, (uint64_t)h) % 8);
        }
    }
    return n;
}

static void solve(struct network *n)
{
    kv_maxmin(n->class, n->classes, n->link, n->links);
}

static kv_service used(const struct network *n, uint32_t link, int64_t *parts)
{
    kv_service sum = 0;
    *parts = 0;
    for (int32_t i = 0; i < n->classes; i++)
        for (int32_t h = 0; h < n->class[i].hops; h++)
            if (n->class[i].link[h] == link) {
                sum += (kv_service)n->class[i].rate * (n->class[i].flows * n->class[i].parts[h]);
                *parts += n->class[i].flows * n->class[i].parts[h];
            }
    return sum;
}

/* Parts on the link of the classes that have the most there; that most in *rate. */
static int64_t parts_of_the_greatest(const struct network *n, uint32_t link, kv_rate *rate)
{
    int64_t parts = 0;
    *rate = -1;
    for (int32_t i = 0; i < n->classes; i++)
        for (int32_t h = 0; h < n->class[i].hops; h++) {
            const struct kv_maxmin_class *c = &n->class[i];
            if (c->link[h] != link || c->rate < *rate) continue;
            if (c->rate > *rate) parts = 0;
            *rate = c->rate;
            parts += c->flows * c->parts[h];
        }
    return parts;
}

static bool at_own_limit(const struct network *n, const struct kv_maxmin_class *c)
{
    bool at = c->rate == c->limit;
    for (int32_t h = 0; h < c->hops; h++) at = at || c->rate == n->link[c->link[h]].capacity / c->parts[h];
    return at;
}

/* A link is full when what it leaves is less than one unit more for each of those that have most. */
static bool at_bottleneck(const struct network *n, const struct kv_maxmin_class *c)
{
    for (int32_t h = 0; h < c->hops; h++) {
        kv_rate most;
        int64_t all, parts = parts_of_the_greatest(n, c->link[h], &most);
        kv_service left = n->link[c->link[h]].capacity - used(n, c->link[h], &all);
        if (c->rate == most && left < parts) return true;
    }
    return false;
}

static void no_link_carries_more_than_it_can_and_everyone_has_a_bottleneck(void **state)
{
    (void)state;
    int64_t own = 0, held = 0;
    for (uint64_t seed = 0; seed < 4000; seed++) {
        struct network n = random_network(seed, false);
        solve(&n);
        for (uint32_t l = 0; l < LINKS; l++) {
            int64_t parts;
            assert_true(used(&n, l, &parts) <= n.link[l].capacity);
        }
        for (int32_t i = 0; i < n.classes; i++) {
            const struct kv_maxmin_class *c = &n.class[i];
            assert_true(c->rate >= 0 && c->rate <= c->limit);
            bool at_own = at_own_limit(&n, c);
            if (!at_own && !at_bottleneck(&n, c))
                fail_msg("seed %llu: class %d could have more", (unsigned long long)seed, i);
            own += at_own;
            held += !at_own;
        }
    }
    assert_true(own > 10000 && held > 10000);
}

/* The classes and links of `n` in another order, solved, and the rates brought back. */
static void solve_shuffled(struct network *n, uint64_t seed)
{
    struct network other = *n;
    uint32_t class_at[CLASSES], link_at[LINKS];
    for (uint32_t i = 0; i < CLASSES; i++) class_at[i] = i;
    for (uint32_t i = 0; i < LINKS; i++) link_at[i] = i;
    for (uint32_t i = (uint32_t)n->classes; i-- > 1;) {
        uint32_t j = (uint32_t)(draw(seed, 90, i) % (i + 1)), kept = class_at[i];
        class_at[i] = class_at[j];
        class_at[j] = kept;
    }
    for (uint32_t i = LINKS; i-- > 1;) {
        uint32_t j = (uint32_t)(draw(seed, 91, i) % (i + 1)), kept = link_at[i];
        link_at[i] = link_at[j];
        link_at[j] = kept;
    }
    for (uint32_t l = 0; l < LINKS; l++) other.link[link_at[l]] = n->link[l];
    for (int32_t i = 0; i < n->classes; i++) {
        struct kv_maxmin_class *c = &other.class[class_at[i]];
        *c = n->class[i];
        for (int32_t h = 0; h < c->hops; h++) {
            c->link[h] = link_at[n->class[i].link[c->hops - 1 - h]];
            c->parts[h] = n->class[i].parts[c->hops - 1 - h];
        }
    }
    solve(&other);
    for (int32_t i = 0; i < n->classes; i++) n->class[i].rate = other.class[class_at[i]].rate;
}

static void same_rates(const struct network *a, const struct network *b, uint64_t seed)
{
    for (int32_t i = 0; i < a->classes; i++)
        if (a->class[i].rate != b->class[i].rate)
            fail_msg("seed %llu, class %d: %lld, else %lld", (unsigned long long)seed, i,
                     (long long)a->class[i].rate, (long long)b->class[i].rate);
}

static void order_of_classes_and_links_does_not_matter(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 4000; seed++) {
        struct network n = random_network(seed, false), other = n;
        solve(&n);
        solve_shuffled(&other, seed);
        same_rates(&n, &other, seed);
    }
}

static void equal_flows_may_be_one_class_or_many(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 2000; seed++) {
        struct network n = random_network(seed, false), apart = n;
        solve(&n);
        static struct kv_maxmin_class flow[CLASSES * 5];
        int32_t count = 0;
        for (int32_t i = 0; i < n.classes; i++)
            for (int64_t k = 0; k < n.class[i].flows; k++) {
                flow[count] = apart.class[i];
                flow[count++].flows = 1;
            }
        kv_maxmin(flow, count, apart.link, LINKS);
        for (int32_t i = 0, f = 0; i < n.classes; i++)
            for (int64_t k = 0; k < n.class[i].flows; k++) assert_int_equal(flow[f++].rate, n.class[i].rate);
    }
}

static void components_solved_apart_equal_the_whole(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 4000; seed++) {
        struct network n = random_network(seed, true), apart = n;
        solve(&n);
        for (int32_t half = 0; half < 2; half++) {
            struct network part = apart;
            part.classes = 0;
            for (int32_t i = half; i < n.classes; i += 2) part.class[part.classes++] = n.class[i];
            solve(&part);
            for (int32_t i = half, k = 0; i < n.classes; i += 2) apart.class[i].rate = part.class[k++].rate;
        }
        same_rates(&n, &apart, seed);
    }
}

/* Without the links whose members' own limits cannot sum above their capacity. */
static void links_that_cannot_bind_change_nothing(void **state)
{
    (void)state;
    int64_t left_out = 0;
    for (uint64_t seed = 0; seed < 4000; seed++) {
        struct network n = random_network(seed, false), fewer = n;
        for (uint32_t l = 0; l < LINKS; l += 3) n.link[l].capacity = n.link[l].capacity > KV_RATE_UNLIMITED / 64
                                                                     ? KV_RATE_UNLIMITED : n.link[l].capacity * 64;
        solve(&n);
        kv_service demand[LINKS] = {0};
        for (int32_t i = 0; i < n.classes; i++)
            for (int32_t h = 0; h < n.class[i].hops; h++)
                demand[n.class[i].link[h]] += (kv_service)n.class[i].own * (n.class[i].flows * n.class[i].parts[h]);
        for (int32_t i = 0; i < n.classes; i++) {
            struct kv_maxmin_class *c = &fewer.class[i];
            *c = n.class[i];
            c->limit = c->own;
            c->hops = 0;
            for (int32_t h = 0; h < n.class[i].hops; h++) {
                uint32_t l = n.class[i].link[h];
                left_out += demand[l] <= n.link[l].capacity;
                if (demand[l] <= n.link[l].capacity) continue;
                c->link[c->hops] = l;
                c->parts[c->hops++] = n.class[i].parts[h];
            }
        }
        memcpy(fewer.link, n.link, sizeof n.link);
        solve(&fewer);
        same_rates(&n, &fewer, seed);
    }
    assert_true(left_out > 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flows_of_one_link_get_the_floor_of_equal_parts),
        cmocka_unit_test(what_a_limited_class_leaves_goes_to_the_others),
        cmocka_unit_test(a_flow_held_back_elsewhere_leaves_room),
        cmocka_unit_test(nothing_crosses_a_link_without_capacity),
        cmocka_unit_test(no_link_carries_more_than_it_can_and_everyone_has_a_bottleneck),
        cmocka_unit_test(order_of_classes_and_links_does_not_matter),
        cmocka_unit_test(equal_flows_may_be_one_class_or_many),
        cmocka_unit_test(components_solved_apart_equal_the_whole),
        cmocka_unit_test(links_that_cannot_bind_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

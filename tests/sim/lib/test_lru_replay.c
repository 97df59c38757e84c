/* SPDX-License-Identifier: Apache-2.0 */
/* The reference rule against a second, plain program for it: a list searched from the front. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "sim/base/rng.h"
#include "sim/lib/lru_replay.h"

#define HELD_MAX 4096
struct plain { uint64_t held[HELD_MAX]; int64_t count, capacity, hits, any_hits; };   /* oldest first */

static int64_t place_of(const struct plain *p, uint64_t id)
{
    for (int64_t i = 0; i < p->count; i++) {
        if (p->held[i] == id) return i;
    }
    return -1;
}

static void plain_request(struct plain *p, const uint64_t *ids, int64_t count, bool leaf_first)
{
    int64_t matched = 0;
    while (matched < count && place_of(p, ids[matched]) >= 0) matched++;
    p->hits += matched;
    for (int64_t i = 0; i < count; i++) p->any_hits += place_of(p, ids[i]) >= 0;
    for (int64_t i = 0; i < count; i++) {
        uint64_t id = ids[leaf_first ? count - 1 - i : i];
        int64_t at = place_of(p, id);
        if (at >= 0) {
            memmove(&p->held[at], &p->held[at + 1], (size_t)(p->count - at - 1) * sizeof *p->held);
            p->count--;
        }
        p->held[p->count++] = id;
        if (p->count > p->capacity) memmove(p->held, p->held + 1, (size_t)--p->count * sizeof *p->held);
    }
}

/* A random path down a tree: id of a node = hash of its path, as prefix ids are. */
static int64_t random_path(uint64_t seed, uint64_t request, uint64_t *ids)
{
    int64_t count = 1 + (int64_t)(kv_mix64_pair(seed, request) % 12);
    uint64_t node = 0;
    for (int64_t i = 0; i < count; i++) {
        node = kv_mix64_pair(node, kv_mix64_pair(seed ^ request, (uint64_t)i) % 3);
        ids[i] = node;
    }
    return count;
}

static void hits_equal_those_of_the_plain_program(void **unused)
{
    (void)unused;
    static struct plain plain[3];
    for (uint64_t seed = 1; seed <= 30; seed++) {
        bool leaf_first = seed % 2;
        const int64_t capacity[3] = {1 + (int64_t)(seed % 5), 20 + (int64_t)seed, 300};
        struct kv_lru_replay r;
        kv_lru_replay_open(&r, capacity, 3, leaf_first);
        for (int c = 0; c < 3; c++) memset(&plain[c], 0, sizeof plain[c]), plain[c].capacity = capacity[c];
        static struct plain infinite;
        memset(&infinite, 0, sizeof infinite);
        infinite.capacity = HELD_MAX;
        uint64_t ids[16];
        for (uint64_t request = 0; request < 200; request++) {
            int64_t count = random_path(seed, request, ids);
            kv_lru_replay_request(&r, ids, count, 0, 16, count * 16 - 5);
            for (int c = 0; c < 3; c++) plain_request(&plain[c], ids, count, leaf_first);
            plain_request(&infinite, ids, count, leaf_first);
        }
        for (int c = 0; c < 3; c++) assert_int_equal(r.lru[c].hits.blocks, plain[c].hits);
        assert_int_equal(r.infinite.blocks, infinite.hits);
        assert_int_equal(r.unique, infinite.count);
        /* Leaf first, a cached block never outlives its prefix: leading hits are all hits (ux.md 4.3). */
        if (leaf_first) assert_int_equal(plain[2].hits, plain[2].any_hits);
        kv_lru_replay_close(&r);
    }
}

static void hit_tokens_stop_at_the_prompt(void **unused)
{
    (void)unused;
    struct kv_lru_replay r;
    const uint64_t ids[] = {1, 2, 3};
    kv_lru_replay_open(&r, NULL, 0, false);
    kv_lru_replay_request(&r, ids, 3, 0, 16, 40);
    kv_lru_replay_request(&r, ids, 3, 0, 16, 40);
    kv_lru_replay_request(&r, ids, 2, 0, 16, 32);
    kv_lru_replay_request(&r, ids, 3, 7, 16, 40);   /* another scope: other blocks */
    assert_int_equal(r.infinite.blocks, 5);
    assert_int_equal(r.infinite.tokens, 40 + 32);
    assert_true(r.infinite.ratio_sum == 2.0);
    assert_int_equal(r.unique, 6);
    assert_int_equal(r.tokens, 152);
    kv_lru_replay_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hits_equal_those_of_the_plain_program),
        cmocka_unit_test(hit_tokens_stop_at_the_prompt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

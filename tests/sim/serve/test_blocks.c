/* SPDX-License-Identifier: Apache-2.0 */
/* The block pool: what is counted, what is found, what leaves first (docs/engine.md rules 14 to 21). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "sim/plug.h"
#include "sim/serve/blocks.h"

struct bench {
    struct kv_sim_config config;
    struct kv_counters counters;
    struct kv_blocks pool;
    struct kv_prefix prefix;
};

static void open_pool(struct bench *b, const char *policy, int64_t capacity)
{
    *b = (struct bench){.config = {.hbm_blocks = capacity}, .prefix = {.own_stream = 99, .known_tokens = 1 << 20}};
    b->config.evict = kv_plugin_ops(evict, kv_plugin_find(KV_FAMILY_evict, policy));
    kv_blocks_open(&b->pool, &(struct kv_blocks_config){
        .evict = b->config.evict, .capacity = capacity, .chunk_blocks = 1, .block_tokens = 16,
        .counters = &b->counters});
}

static struct kv_prefix_place place(const struct bench *b, int32_t block)
{
    return kv_prefix_place(&b->prefix, block, 1, 16, 4);
}

/* Takes and registers blocks [first, first + count) of the stream. */
static void hold(struct bench *b, uint32_t *slot, int32_t first, int32_t count)
{
    kv_blocks_take(&b->pool, count);
    for (int32_t i = first; i < first + count; i++) slot[i] = kv_blocks_register(&b->pool, place(b, i), false);
}

static void let_go(struct bench *b, const uint32_t *slot, int32_t first, int32_t count)
{
    for (int32_t i = first + count - 1; i >= first; i--) kv_blocks_unref(&b->pool, slot[i]);
}

static void assert_pool(const struct bench *b, int64_t active, int64_t inactive, int64_t free)
{
    assert_int_equal(b->pool.active, active);
    assert_int_equal(b->pool.inactive, inactive);
    assert_int_equal(b->pool.free, free);
    assert_int_equal(b->counters.blocks_allocated - b->counters.blocks_freed, active);
}

static void a_registered_block_is_found_until_it_is_evicted(void **state)
{
    (void)state;
    struct bench b;
    uint32_t slot[64];
    open_pool(&b, "lru", 40);
    hold(&b, slot, 0, 40);
    assert_pool(&b, 40, 0, 0);
    for (int32_t i = 0; i < 40; i++) assert_int_equal(kv_blocks_find(&b.pool, place(&b, i)), slot[i]);
    assert_int_equal(kv_blocks_find(&b.pool, place(&b, 40)), KV_NONE);
    let_go(&b, slot, 0, 40);
    assert_pool(&b, 0, 40, 0);
    kv_blocks_take(&b.pool, 3);   /* the tail of the prefix was let go first */
    assert_pool(&b, 3, 37, 0);
    assert_int_equal(b.counters.blocks_evicted, 3);
    for (int32_t i = 0; i < 40; i++)
        assert_int_equal(kv_blocks_find(&b.pool, place(&b, i)), i < 37 ? slot[i] : KV_NONE);
    kv_blocks_close(&b.pool);
}

static void a_second_block_of_the_same_key_stays_private(void **state)
{
    (void)state;
    struct bench b;
    uint32_t slot[4];
    open_pool(&b, "lru", 10);
    hold(&b, slot, 0, 2);
    kv_blocks_take(&b.pool, 1);
    assert_int_equal(kv_blocks_register(&b.pool, place(&b, 1), false), KV_NONE);
    kv_blocks_give(&b.pool, 1);
    assert_pool(&b, 2, 0, 8);
    kv_blocks_close(&b.pool);
}

static void new_blocks_are_registered_up_to_one_that_is_known(void **state)
{
    (void)state;
    struct bench b;
    uint32_t slot[40], other;
    open_pool(&b, "lru", 40);
    kv_blocks_take(&b.pool, 40);
    other = kv_blocks_register(&b.pool, place(&b, 20), false);
    assert_int_equal(kv_blocks_register_new(&b.pool, &b.prefix, 3, 30, 10, slot + 3), 20);
    for (int32_t i = 0; i < 40; i++)
        assert_int_equal(kv_blocks_find(&b.pool, place(&b, i)),
                         i == 20 ? other : i >= 3 && i < 20 ? slot[i] : KV_NONE);
    assert_int_equal(kv_blocks_register_new(&b.pool, &b.prefix, 20, 30, 10, slot + 20), 20);
    assert_int_equal(kv_blocks_register_new(&b.pool, &b.prefix, 21, 30, 10, slot + 21), 30);
    assert_int_equal(kv_blocks_find(&b.pool, place(&b, 29)), slot[29]);
    kv_blocks_close(&b.pool);
}

static void a_shared_block_is_active_until_its_last_reference_ends(void **state)
{
    (void)state;
    struct bench b;
    uint32_t slot[4];
    open_pool(&b, "lru", 10);
    hold(&b, slot, 0, 1);
    kv_blocks_ref(&b.pool, slot[0]);
    assert_int_equal(kv_blocks_refs(&b.pool, slot[0]), 2);
    kv_blocks_unref(&b.pool, slot[0]);
    assert_pool(&b, 1, 0, 9);
    kv_blocks_unref(&b.pool, slot[0]);
    assert_pool(&b, 0, 1, 9);
    kv_blocks_ref(&b.pool, slot[0]);   /* a hit takes it back */
    assert_pool(&b, 1, 0, 9);
    assert_int_equal(b.counters.blocks_allocated, 2);
    kv_blocks_unref_forget(&b.pool, slot[0]);
    assert_pool(&b, 0, 0, 10);
    assert_int_equal(kv_blocks_find(&b.pool, place(&b, 0)), KV_NONE);
    kv_blocks_close(&b.pool);
}

static void a_run_loses_its_tail_and_tells_its_owner_at_the_end(void **state)
{
    (void)state;
    struct bench b;
    uint32_t run = KV_NONE, other = KV_NONE;
    open_pool(&b, "lru", 10);
    kv_blocks_take(&b.pool, 10);
    kv_blocks_retire_run(&b.pool, 6, 0, &run);
    kv_blocks_retire_run(&b.pool, 4, 0, &other);
    assert_pool(&b, 0, 10, 0);
    kv_blocks_take(&b.pool, 2);
    assert_int_equal(kv_blocks_run_count(&b.pool, run), 4);
    kv_blocks_reclaim_run(&b.pool, other, 3);   /* one block of it is of no use any more */
    assert_pool(&b, 5, 4, 1);
    kv_blocks_take(&b.pool, 5);
    assert_int_equal(run, KV_NONE);
    assert_pool(&b, 10, 0, 0);
    kv_blocks_close(&b.pool);
}

static void a_run_without_an_owner_tells_nobody_of_its_end(void **state)
{
    (void)state;
    struct bench b;
    uint32_t run = KV_NONE;
    open_pool(&b, "lru", 4);
    kv_blocks_take(&b.pool, 4);
    kv_blocks_retire_run(&b.pool, 4, 0, &run);
    kv_blocks_disown_run(&b.pool, run);
    run = 77;   /* its owner keeps something else there by now */
    kv_blocks_take(&b.pool, 4);
    assert_int_equal(run, 77);
    assert_pool(&b, 4, 0, 0);
    kv_blocks_close(&b.pool);
}

/* lru renews at the end of every reference, fifo counts from the first. */
static void a_hit_renews_a_block_for_lru_and_not_for_fifo(void **state)
{
    (void)state;
    const char *const policies[] = {"lru", "fifo"};
    for (int p = 0; p < 2; p++) {
        struct bench b;
        uint32_t slot[4];
        open_pool(&b, policies[p], 2);
        hold(&b, slot, 0, 2);
        kv_blocks_unref(&b.pool, slot[0]);
        kv_blocks_unref(&b.pool, slot[1]);
        kv_blocks_ref(&b.pool, slot[0]);
        kv_blocks_unref(&b.pool, slot[0]);
        kv_blocks_take(&b.pool, 1);
        assert_int_equal(kv_blocks_find(&b.pool, place(&b, p == 0 ? 1 : 0)), KV_NONE);
        assert_int_not_equal(kv_blocks_find(&b.pool, place(&b, p == 0 ? 0 : 1)), KV_NONE);
        kv_blocks_close(&b.pool);
    }
}

/* The index keeps blocks by groups; its notion of "the same block" must be that of kv_prefix_key. */
static void places_are_equal_exactly_when_keys_are(void **state)
{
    (void)state;
    const uint64_t ids[] = {1, 2, 3, 4, 5, 6, 7, 8}, other_ids[] = {1, 2, 3, 9, 5, 6, 7, 8};
    const struct kv_prefix prefixes[] = {
        {.ids = ids, .ids_count = 8, .ids_tokens = 512, .known_tokens = 4096},
        {.ids = other_ids, .ids_count = 8, .ids_tokens = 512, .known_tokens = 4096},
        {.ids = ids, .ids_count = 8, .ids_tokens = 512, .known_tokens = 4096, .salt = 77},
        {.ids = ids, .ids_count = 8, .ids_tokens = 4, .known_tokens = 32},
        {.ids = other_ids, .ids_count = 8, .ids_tokens = 4, .known_tokens = 32},
        {.own_stream = 5, .known_tokens = 4096},
        {.shared_stream = 6, .shared_tokens = 100, .own_stream = 5, .known_tokens = 4096},
        {.shared_stream = 6, .shared_tokens = 333, .own_stream = 8, .known_tokens = 4096},
    };
    const int32_t block_tokens = 16, count = (int32_t)(sizeof prefixes / sizeof prefixes[0]);
    for (int32_t p = 0; p < count; p++)
        for (int32_t q = 0; q < count; q++)
            for (int32_t i = 0; i < kv_prefix_known_blocks(&prefixes[p], 4096, block_tokens); i++)
                for (int32_t j = 0; j < kv_prefix_known_blocks(&prefixes[q], 4096, block_tokens); j++) {
                    struct kv_prefix_place a = kv_prefix_place(&prefixes[p], i, 1, block_tokens, 4);
                    struct kv_prefix_place b = kv_prefix_place(&prefixes[q], j, 1, block_tokens, 4);
                    bool same_key = kv_prefix_key(&prefixes[p], i, block_tokens)
                                    == kv_prefix_key(&prefixes[q], j, block_tokens);
                    if ((a.group == b.group && a.member == b.member) != same_key)
                        fail_msg("prefix %d block %d and prefix %d block %d", p, i, q, j);
                }
}

/* Chunks of 1, 2 and 8 blocks: a stretch is what one place and growing members reach. */
static void a_stretch_is_one_group_with_growing_members(void **state)
{
    (void)state;
    uint64_t ids[64];
    for (uint64_t i = 0; i < 64; i++) ids[i] = i / 2;   /* neighbours may be the same block */
    const struct kv_prefix prefixes[] = {
        {.ids = ids, .ids_count = 16, .ids_tokens = 512, .known_tokens = 8192},
        {.ids = ids, .ids_count = 64, .ids_tokens = 64, .known_tokens = 4096},
        {.ids = ids, .ids_count = 64, .ids_tokens = 16, .known_tokens = 1024},
        {.ids = ids, .ids_count = 64, .ids_tokens = 8, .known_tokens = 512},
        {.own_stream = 5, .known_tokens = 8192},
        {.shared_stream = 6, .shared_tokens = 333, .own_stream = 5, .known_tokens = 8192},
    };
    int64_t wide = 0;
    for (size_t p = 0; p < sizeof prefixes / sizeof prefixes[0]; p++)
        for (int32_t blocks = 1; blocks <= 8; blocks = blocks == 1 ? 2 : blocks * 4)
            for (uint32_t bits = 0; bits <= 4; bits++) {
                int32_t chunks = kv_prefix_known_blocks(&prefixes[p], 8192, 16) / blocks;
                for (int32_t c = 0; c < chunks; c++) {
                    struct kv_prefix_place at = kv_prefix_place(&prefixes[p], c, blocks, 16, bits);
                    int32_t stretch = kv_prefix_stretch(&prefixes[p], c, blocks, 16, bits, at.member);
                    assert_in_range(stretch, 1, 1u << bits);
                    wide += stretch > 1;
                    for (int32_t i = 0; i < stretch && c + i < chunks; i++) {
                        struct kv_prefix_place next = kv_prefix_place(&prefixes[p], c + i, blocks, 16, bits);
                        assert_true(next.group == at.group);
                        assert_int_equal(next.member, at.member + (uint32_t)i);
                    }
                }
            }
    assert_true(wide > 1000);
}

/* The same life of a prefix in two pools, block by block and many at once; and a look-up by cursor sees what single
 * ones see. */
static void many_blocks_at_once_are_as_many_single_ones(void **state)
{
    (void)state;
    const char *const policies[] = {"lru", "fifo"};
    for (int p = 0; p < 2; p++) {
        struct bench one, all;
        uint32_t a[60], z[60];
        open_pool(&one, policies[p], 24);
        open_pool(&all, policies[p], 24);
        one.prefix.shared_stream = all.prefix.shared_stream = 7;
        one.prefix.shared_tokens = all.prefix.shared_tokens = 90;
        for (int32_t round = 0; round < 40; round++) {
            int32_t from = round * 13 % 30, to = from + 1 + round * 7 % 20;
            kv_blocks_take(&one.pool, to - from);
            kv_blocks_take(&all.pool, to - from);
            for (int32_t i = from; i < to; i++) a[i] = kv_blocks_register(&one.pool, place(&one, i), i >= 25);
            kv_blocks_register_all(&all.pool, &all.prefix, from, to, 25, z + from);
            struct kv_blocks_cursor cursor = kv_blocks_cursor(&all.pool, &all.prefix);
            for (int32_t i = 0; i < 60; i++) {
                uint32_t found = kv_blocks_find(&all.pool, place(&all, i));
                assert_int_equal(kv_blocks_look(&cursor, i), found);
                assert_int_equal(found == KV_NONE, kv_blocks_find(&one.pool, place(&one, i)) == KV_NONE);
                struct kv_prefix_place at = kv_blocks_cursor_place(&cursor, i);
                assert_true(at.group == place(&all, i).group && at.member == place(&all, i).member);
            }
            for (int32_t i = from; i < to; i++) assert_int_equal(a[i] == KV_NONE, z[i] == KV_NONE);
            for (int32_t i = to - 1; i >= from; i--) {
                if (a[i] == KV_NONE) kv_blocks_give(&one.pool, 1);
                else kv_blocks_unref(&one.pool, a[i]);
            }
            kv_blocks_unref_all(&all.pool, z + from, to - from);
            uint32_t found[8];
            int32_t hits = 0;
            for (int32_t i = 0; i < 8; i++) {   /* whoever is there of the first is renewed */
                uint32_t slot = kv_blocks_find(&one.pool, place(&one, i));
                if (slot == KV_NONE) continue;
                found[hits++] = kv_blocks_find(&all.pool, place(&all, i));
                kv_blocks_ref(&one.pool, slot);
                kv_blocks_unref(&one.pool, slot);
            }
            for (int32_t i = 0; i < hits; i++) {
                kv_blocks_ref_all(&all.pool, &found[i], 1);
                kv_blocks_unref_all(&all.pool, &found[i], 1);
            }
            assert_pool(&all, one.pool.active, one.pool.inactive, one.pool.free);
            assert_int_equal(all.pool.registrations, one.pool.registrations);
            assert_int_equal(all.counters.blocks_evicted, one.counters.blocks_evicted);
        }
        assert_true(one.counters.blocks_evicted > 100);
        kv_blocks_close(&one.pool);
        kv_blocks_close(&all.pool);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_registered_block_is_found_until_it_is_evicted),
        cmocka_unit_test(a_second_block_of_the_same_key_stays_private),
        cmocka_unit_test(new_blocks_are_registered_up_to_one_that_is_known),
        cmocka_unit_test(a_shared_block_is_active_until_its_last_reference_ends),
        cmocka_unit_test(a_run_loses_its_tail_and_tells_its_owner_at_the_end),
        cmocka_unit_test(a_run_without_an_owner_tells_nobody_of_its_end),
        cmocka_unit_test(a_hit_renews_a_block_for_lru_and_not_for_fifo),
        cmocka_unit_test(places_are_equal_exactly_when_keys_are),
        cmocka_unit_test(a_stretch_is_one_group_with_growing_members),
        cmocka_unit_test(many_blocks_at_once_are_as_many_single_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

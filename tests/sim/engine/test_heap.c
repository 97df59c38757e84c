/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sim/base/rng.h"
#include "sim/engine/heap.h"
#include "tests/support/radix_heap.h"

#define IDS 300u

static void it_pops_in_order_of_due_then_order(void **state)
{
    (void)state;
    struct kv_heap heap = {0};
    const struct kv_heap_key keys[] = {{5, 2}, {5, (uint64_t)1 << 40 | 1}, {4, (uint64_t)9 << 40 | 7}, {5, 3}, {6, 0}};
    const uint32_t expected[] = {7, 2, 3, 1, 0};
    for (size_t i = 0; i < 5; i++) kv_heap_set(&heap, keys[i]);
    for (size_t i = 0; i < 5; i++) {
        uint32_t id = (uint32_t)kv_heap_top(&heap)->order;
        assert_int_equal(id, expected[i]);
        kv_heap_drop(&heap, id);
        assert_false(kv_heap_has(&heap, id));
    }
    assert_null(kv_heap_top(&heap));
    kv_heap_close(&heap);
}

static void setting_an_id_again_moves_it(void **state)
{
    (void)state;
    struct kv_heap heap = {0};
    kv_heap_set(&heap, (struct kv_heap_key){10, 1});
    kv_heap_set(&heap, (struct kv_heap_key){20, 2});
    kv_heap_set(&heap, (struct kv_heap_key){30, 1});
    assert_int_equal(heap.key.count, 2);
    assert_int_equal((uint32_t)kv_heap_top(&heap)->order, 2);
    kv_heap_set(&heap, (struct kv_heap_key){1, 1});
    assert_int_equal((uint32_t)kv_heap_top(&heap)->order, 1);
    kv_heap_drop(&heap, 5);   /* absent: nothing */
    assert_int_equal(heap.key.count, 2);
    kv_heap_close(&heap);
}

static void check_shape(const struct kv_heap *heap)
{
    for (size_t i = 0; i < heap->key.count; i++) {
        const struct kv_heap_key *key = &heap->key.at[i], *up = &heap->key.at[i ? (i - 1) / 4 : 0];
        assert_int_equal(heap->position.at[(uint32_t)key->order], i);
        assert_true(up->due < key->due || (up->due == key->due && up->order <= key->order));
    }
}

/* The same script for both heaps. The radix heap cannot forget a key, so it keeps stale ones, and `live` says which
 * key of an id counts. `ties`: number of different dues ahead of the clock; few make ties heavy. */
static void same_order_as_the_radix_heap(uint64_t script, uint64_t ties, uint64_t operations)
{
    struct kv_heap heap = {0};
    struct kv_radix_heap radix = {0};
    struct kv_heap_key live[IDS], last = {0, 0};
    bool is_live[IDS] = {false};
    uint64_t pops = 0, moves = 0, drops = 0;
    for (uint64_t i = 0; i < operations || kv_heap_top(&heap); i++) {
        uint64_t draw = kv_mix64_pair(script, i);
        uint32_t id = (uint32_t)(draw >> 8) % IDS;
        unsigned action = i < operations ? (unsigned)(draw & 7) : 7;
        if (action < 4) {
            struct kv_heap_key key = {last.due + (int64_t)((draw >> 20) % ties), (draw >> 48 & 3) << 40 | id};
            if (key.due == last.due && key.order <= last.order) key.due++;   /* monotone */
            moves += is_live[id];
            kv_heap_set(&heap, key);
            kv_radix_push(&radix, key);
            live[id] = key;
            is_live[id] = true;
        } else if (action == 4) {
            drops += is_live[id];
            kv_heap_drop(&heap, id);
            is_live[id] = false;
        } else if (kv_heap_top(&heap)) {
            struct kv_heap_key mine = *kv_heap_top(&heap), other;
            uint32_t popped;
            do {
                assert_true(kv_radix_pop(&radix, &other));
                popped = (uint32_t)other.order;
            } while (!is_live[popped] || live[popped].due != other.due || live[popped].order != other.order);
            assert_int_equal(mine.due, other.due);
            assert_int_equal(mine.order, other.order);
            kv_heap_drop(&heap, popped);
            is_live[popped] = false;
            last = mine;
            pops++;
        }
        if (i % 997 == 0) check_shape(&heap);
    }
    assert_true(pops > operations / 8 && moves > operations / 16 && drops > operations / 64);
    kv_heap_close(&heap);
    kv_radix_close(&radix);
}

static void it_agrees_with_a_radix_heap_under_heavy_ties(void **state)
{
    (void)state;
    for (uint64_t script = 0; script < 20; script++) same_order_as_the_radix_heap(script, 3, 20000);
}

static void it_agrees_with_a_radix_heap_on_two_time_scales(void **state)
{
    (void)state;
    for (uint64_t script = 20; script < 40; script++)
        same_order_as_the_radix_heap(script, script % 2 ? 1000 : UINT64_C(1) << 40, 20000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_pops_in_order_of_due_then_order),
        cmocka_unit_test(setting_an_id_again_moves_it),
        cmocka_unit_test(it_agrees_with_a_radix_heap_under_heavy_ties),
        cmocka_unit_test(it_agrees_with_a_radix_heap_on_two_time_scales),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "sim/base/rng.h"
#include "sim/lib/pqueue.h"

#define ENTRIES 500

/* Pushes and pops by a script with heavy ties; every pop must be the least of what a plain array holds. */
static void the_least_key_leaves_first_and_ties_fall_to_the_smaller(void **state)
{
    (void)state;
    struct kv_pqueue q = {0};
    struct kv_pentry held[ENTRIES];
    size_t count = 0;
    for (uint64_t i = 0; i < 20000; i++) {
        uint64_t draw = kv_mix64_pair(7, i);
        if (count == 0 || (count < ENTRIES && draw % 3 != 0)) {
            held[count] = (struct kv_pentry){(int64_t)(draw >> 40) % 9, (int64_t)i, (uint32_t)i};
            kv_pqueue_push(&q, held[count++]);
            continue;
        }
        size_t least = 0;
        for (size_t j = 1; j < count; j++)
            if (kv_pentry_before(&held[j], &held[least])) least = j;
        assert_int_equal(kv_pqueue_pop(&q).value, held[least].value);
        held[least] = held[--count];
    }
    assert_int_equal(q.count, count);
    kv_pqueue_close(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_least_key_leaves_first_and_ties_fall_to_the_smaller),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Order of the waiting queue (docs/engine.md rule 9). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "sim/base/rng.h"
#include "sim/serve/waiting.h"

static uint32_t take(struct kv_waiting *w)
{
    uint32_t seq = kv_waiting_first(w);
    kv_waiting_take_first(w);
    return seq;
}

static void urgency_comes_first_then_the_request(void **state)
{
    (void)state;
    struct kv_waiting w = {0};
    kv_waiting_add(&w, 5, 0, 10);
    kv_waiting_add(&w, 3, 1, 11);
    kv_waiting_add(&w, 5, 2, 12);
    kv_waiting_add(&w, 3, 3, 13);
    assert_int_equal(take(&w), 11);
    assert_int_equal(take(&w), 13);
    assert_int_equal(take(&w), 10);
    assert_int_equal(take(&w), 12);
    assert_int_equal(kv_waiting_first(&w), KV_NONE);
    kv_waiting_close(&w);
}

static void the_preempted_stand_before_all_and_the_last_one_first(void **state)
{
    (void)state;
    struct kv_waiting w = {0};
    kv_waiting_add(&w, -100, 0, 10);
    kv_waiting_add_preempted(&w, 11);
    kv_waiting_add_preempted(&w, 12);
    assert_int_equal(take(&w), 12);
    assert_int_equal(take(&w), 11);
    assert_int_equal(take(&w), 10);
    kv_waiting_close(&w);
}

/* Long enough for the sorted tail to be moved up several times, with one straggler in eight. */
static void a_long_queue_keeps_its_order(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    static bool waits[COUNT];
    struct kv_waiting w = {0};
    int64_t added = 0, taken = 0;
    while (taken < COUNT) {
        if (added < COUNT && (w.count == 0 || kv_mix64_pair(3, (uint64_t)(added * 2 + taken)) % 5 < 3)) {
            int64_t request = added % 8 == 6 ? added + 1 : added % 8 == 7 ? added - 1 : added;   /* swaps 6 and 7 */
            kv_waiting_add(&w, 0, request, (uint32_t)request);
            waits[request] = true;
            added++;
            continue;
        }
        uint32_t least = 0;
        while (!waits[least]) least++;
        assert_int_equal(take(&w), least);
        waits[least] = false;
        taken++;
        if (taken % 4096 == 0) assert_in_range(w.sorted.count, 0, 2 * (size_t)w.count + 2048);
    }
    assert_int_equal(w.count, 0);
    kv_waiting_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urgency_comes_first_then_the_request),
        cmocka_unit_test(the_preempted_stand_before_all_and_the_last_one_first),
        cmocka_unit_test(a_long_queue_keeps_its_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

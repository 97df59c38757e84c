/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>

#include <cmocka.h>

#include "sim/base/err.h"
#include "sim/base/ilist.h"
#include "sim/base/tick.h"

static void a_cost_that_has_not_fully_run_has_not_ended(void **state)
{
    (void)state;
    assert_int_equal(kv_cost_ceil_tk(0), 0);
    assert_int_equal(kv_cost_ceil_tk(1), 1);
    assert_int_equal(kv_cost_ceil_tk(KV_COST_PER_TICK), 1);
    assert_int_equal(kv_cost_ceil_tk(KV_COST_PER_TICK + 1), 2);
    assert_int_equal(kv_cost_ceil_tk((kv_cost)KV_TICK_LIMIT * KV_COST_PER_TICK), KV_TICK_LIMIT);
}

static void seconds_become_costs_to_the_last_bit_a_double_has(void **state)
{
    (void)state;
    assert_true(kv_cost_from_s(1e-9) == KV_COST_PER_NS);
    assert_true(kv_cost_from_s(0) == 0);
    assert_true(kv_cost_from_s(3600) == (kv_cost)3600 * 1000000000 * KV_COST_PER_NS);
    assert_true(kv_cost_from_s(1e7) == (kv_cost)10000000 * 1000000000 * KV_COST_PER_NS);
    for (double s = 1.3e-8; s < 1e6; s *= 3.7) {
        double back = (double)kv_cost_from_s(s) / (double)KV_COST_PER_NS / 1e9;
        assert_true(fabs(back - s) <= s * 1e-15 + 1e-21);
    }
}

static void a_failure_is_filled_in_and_false(void **state)
{
    (void)state;
    struct kv_err err = {0};
    assert_false(kv_fail(&err, KV_ETRACE, "a.csv:3:1", "found %d, expected %s", 4, "more"));
    assert_int_equal(err.code, KV_ETRACE);
    assert_string_equal(err.where, "a.csv:3:1");
    assert_string_equal(err.text, "found 4, expected more");
    assert_false(kv_fail(NULL, KV_EIO, "", "nobody listens"));
    char longer[2000];
    for (size_t i = 0; i < sizeof longer; i++) longer[i] = 'x';
    longer[sizeof longer - 1] = 0;
    kv_fail(&err, KV_EIO, longer, "%s", longer);   /* cut, not overrun */
    assert_int_equal(err.where[sizeof err.where - 1], 0);
    assert_int_equal(err.text[sizeof err.text - 1], 0);
}

static void a_list_keeps_its_order_when_ends_and_middles_leave(void **state)
{
    (void)state;
    struct kv_ilinks links = {0};
    struct kv_ilist list = KV_ILIST_EMPTY;
    const uint32_t expected[] = {9, 3, 2};
    for (uint32_t slot = 0; slot < 5; slot++) {
        kv_ilinks_cover(&links, slot);
        kv_ilist_push_tail(&list, &links, slot);
    }
    kv_ilinks_cover(&links, 9);
    kv_ilist_push_head(&list, &links, 9);      /* 9 0 1 2 3 4 */
    kv_ilist_unlink(&list, &links, 0);
    kv_ilist_unlink(&list, &links, 4);
    kv_ilist_unlink(&list, &links, 1);
    kv_ilist_unlink(&list, &links, 2);         /* 9 3 */
    kv_ilist_push_tail(&list, &links, 2);      /* 9 3 2 */
    uint32_t slot = list.head;
    for (int i = 0; i < 3; i++, slot = links.at[slot].next) assert_int_equal(slot, expected[i]);
    assert_int_equal(slot, KV_NONE);
    assert_int_equal(list.tail, 2);
    for (int i = 0; i < 3; i++) kv_ilist_unlink(&list, &links, expected[i]);
    assert_int_equal(list.head, KV_NONE);
    assert_int_equal(list.tail, KV_NONE);
    kv_vec_close(&links);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cost_that_has_not_fully_run_has_not_ended),
        cmocka_unit_test(seconds_become_costs_to_the_last_bit_a_double_has),
        cmocka_unit_test(a_failure_is_filled_in_and_false),
        cmocka_unit_test(a_list_keeps_its_order_when_ends_and_middles_leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

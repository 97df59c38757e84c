/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "sim/base/map.h"
#include "sim/base/rng.h"

#define KEYS 512u

/* The same script on the map and on a plain array. `cluster` maps key numbers to keys: few home cells make long
 * probe runs, whose deletion is the hard case. */
static void same_as_an_array(uint64_t script, uint64_t (*key_of)(uint32_t k), uint64_t expected)
{
    struct kv_map m;
    uint32_t value[KEYS];
    uint64_t present = 0;
    for (uint32_t k = 0; k < KEYS; k++) value[k] = KV_NONE;
    kv_map_open(&m, expected);
    for (uint64_t i = 0; i < 20000; i++) {
        uint64_t draw = kv_mix64_pair(script, i);
        uint32_t k = (uint32_t)(draw >> 32) % KEYS;
        bool filling = (i / 2000) % 2 == 0;
        if (draw % 8 < (filling ? 6u : 2u)) {
            present += value[k] == KV_NONE;
            value[k] = (uint32_t)i;
            kv_map_put(&m, key_of(k), value[k]);
        } else {
            assert_int_equal(kv_map_drop(&m, key_of(k)), value[k] != KV_NONE);
            present -= value[k] != KV_NONE;
            value[k] = KV_NONE;
        }
        assert_int_equal(m.count, present);
        if (i % 50 == 0)
            for (uint32_t j = 0; j < KEYS; j++) assert_int_equal(kv_map_get(&m, key_of(j)), value[j]);
    }
    kv_map_close(&m);
}

static uint64_t mixed(uint32_t k)       { return kv_mix64(k); }
static uint64_t one_home(uint32_t k)    { return (uint64_t)k << 40; }
static uint64_t last_homes(uint32_t k)  { return (uint64_t)k << 40 | (0xffffff - k % 3); }   /* runs wrap around */

static void it_agrees_with_an_array(void **state)
{
    (void)state;
    for (uint64_t script = 0; script < 5; script++) same_as_an_array(script, mixed, 0);
    same_as_an_array(5, mixed, 10000);
}

static void it_agrees_with_an_array_when_all_keys_share_a_home(void **state)
{
    (void)state;
    same_as_an_array(6, one_home, 0);
}

static void it_agrees_with_an_array_when_probe_runs_wrap_around(void **state)
{
    (void)state;
    same_as_an_array(7, last_homes, 0);
}

static void room_for_the_expected_count_is_there_from_the_start(void **state)
{
    (void)state;
    struct kv_map m;
    kv_map_open(&m, 1000);
    uint64_t mask = m.mask;
    for (uint32_t k = 0; k < 1000; k++) kv_map_put(&m, kv_mix64(k), k);
    assert_int_equal(m.mask, mask);
    kv_map_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_agrees_with_an_array),
        cmocka_unit_test(it_agrees_with_an_array_when_all_keys_share_a_home),
        cmocka_unit_test(it_agrees_with_an_array_when_probe_runs_wrap_around),
        cmocka_unit_test(room_for_the_expected_count_is_there_from_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sim/base/rng.h"
#include "sim/base/slab.h"

#define SLOTS 200u

static void blocks_of_all_sizes_are_apart_while_they_come_and_go(void **state)
{
    (void)state;
    struct kv_slab s = {0};
    struct { unsigned char *at; size_t bytes; } block[SLOTS] = {{0}};
    int64_t used = kv_memory_used_bytes();
    for (uint64_t i = 0; i < 20000; i++) {
        uint64_t draw = kv_mix64_pair(11, i);
        uint32_t k = (uint32_t)(draw >> 40) % SLOTS;
        if (block[k].at) {
            for (size_t b = 0; b < block[k].bytes; b++) assert_int_equal(block[k].at[b], k);
            kv_slab_give(&s, block[k].at, block[k].bytes);
            block[k].at = NULL;
        } else {
            block[k].bytes = 1 + ((draw & 0x1ffff) >> (draw >> 17) % 17);   /* to 128 KiB, past the last class */
            block[k].at = kv_slab_take(&s, block[k].bytes);
            assert_int_equal((uintptr_t)block[k].at % 16, 0);
            memset(block[k].at, (int)k, block[k].bytes);
        }
    }
    for (uint32_t k = 0; k < SLOTS; k++)
        if (block[k].at) kv_slab_give(&s, block[k].at, block[k].bytes);
    kv_slab_close(&s);
    assert_int_equal(kv_memory_used_bytes(), used);
}

static void a_block_given_back_is_used_again(void **state)
{
    (void)state;
    struct kv_slab s = {0};
    void *p = kv_slab_take(&s, 100);
    kv_slab_give(&s, p, 100);
    assert_ptr_equal(kv_slab_take(&s, 65), p);       /* same class, 65 .. 128 */
    assert_ptr_not_equal(kv_slab_take(&s, 64), p);
    int64_t used = kv_memory_used_bytes();
    for (int i = 0; i < 100000; i++) kv_slab_give(&s, kv_slab_take(&s, 4000), 4000);
    assert_true(kv_memory_used_bytes() - used < 70000);
    kv_slab_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_of_all_sizes_are_apart_while_they_come_and_go),
        cmocka_unit_test(a_block_given_back_is_used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

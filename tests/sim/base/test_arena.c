/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "sim/base/arena.h"
#include "sim/base/err.h"
#include "sim/base/rng.h"

static int64_t used_before;
static int remember(void **state)
{
    (void)state;
    used_before = kv_memory_used_bytes();
    return 0;
}
/* Whatever a test took it has given back, to the byte. */
static int nothing_is_left(void **state)
{
    (void)state;
    kv_memory_limit(0, NULL);
    return kv_memory_used_bytes() == used_before ? 0 : -1;
}

static void arena_blocks_are_zeroed_aligned_and_apart(void **state)
{
    (void)state;
    struct kv_arena a = {0};
    unsigned char *block[500];
    for (size_t i = 0; i < 500; i++) {
        size_t bytes = i * 37 % 3000 + (i == 250 ? 1000000 : 0);
        block[i] = kv_arena_take(&a, bytes);
        assert_int_equal((uintptr_t)block[i] % 16, 0);
        for (size_t k = 0; k < bytes; k++) assert_int_equal(block[i][k], 0);
        memset(block[i], (int)i & 255, bytes);
    }
    for (size_t i = 0; i < 500; i++)
        for (size_t k = 0; k < i * 37 % 3000; k++) assert_int_equal(block[i][k], i & 255);
    kv_arena_close(&a);
    assert_string_equal(kv_arena_text(&a, "%d of %s", 3, "many"), "3 of many");   /* usable again */
    assert_string_equal(kv_arena_copy(&a, "prefix and more", 6), "prefix");
    kv_arena_close(&a);
}

static void pool_records_stay_where_they_are_and_come_back_zeroed_last_first(void **state)
{
    (void)state;
    struct kv_pool p;
    kv_pool_open(&p, 24);
    uint32_t first = kv_pool_take(&p);
    uint64_t *record = kv_pool_at(&p, first);
    record[0] = 42;
    for (uint32_t i = 1; i < 20000; i++) {
        assert_int_equal(kv_pool_take(&p), i);
        memset(kv_pool_at(&p, i), 0xff, 24);
    }
    assert_ptr_equal(kv_pool_at(&p, first), record);
    assert_int_equal(record[0], 42);
    assert_int_equal(p.taken, 20000);
    kv_pool_give(&p, 7);
    kv_pool_give(&p, 19999);
    const uint64_t zero[3] = {0};
    assert_int_equal(kv_pool_take(&p), 19999);
    assert_memory_equal(kv_pool_at(&p, 19999), zero, 24);
    assert_int_equal(kv_pool_take(&p), 7);
    assert_int_equal(kv_pool_take(&p), 20000);
    kv_pool_close(&p);
}

static void a_growing_array_keeps_its_contents(void **state)
{
    (void)state;
    KV_VEC(uint32_t) v = {0};
    for (uint32_t i = 0; i < 10000; i++) kv_vec_push(&v, i * 3);
    for (uint32_t i = 0; i < 10000; i++) assert_int_equal(v.at[i], i * 3);
    assert_int_equal(v.count, 10000);
    kv_vec_reserve(&v, 70000);
    assert_true(v.capacity >= 70000);
    assert_int_equal(v.at[9999], 29997);
    kv_vec_close(&v);
    assert_null(v.at);
}

static jmp_buf stopped;
static int64_t told_used, told_limit;
static void stop(int64_t used_bytes, int64_t limit_bytes)
{
    told_used = used_bytes;
    told_limit = limit_bytes;
    longjmp(stopped, 1);
}

static void passing_the_limit_calls_the_handler_with_both_figures(void **state)
{
    (void)state;
    void *p = kv_mem_take(1000);
    int64_t used = kv_memory_used_bytes();
    kv_memory_limit(used + 100, stop);
    kv_mem_give(kv_mem_take(100), 100);   /* exactly the limit is fine */
    if (setjmp(stopped) == 0) {
        kv_mem_take(101);
        fail();
    }
    assert_int_equal(told_used, used + 101);
    assert_int_equal(told_limit, used + 100);
    kv_memory_limit(0, NULL);
    kv_mem_give(p, 1000);
    kv_mem_give(NULL, 101);               /* nothing */
    used_before += 101;                   /* the refused bytes stay counted: a real handler never returns */
}

static void without_a_handler_the_program_ends_with_its_exit_code(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        close(STDERR_FILENO);
        kv_memory_limit(kv_memory_used_bytes() + 10, NULL);
        kv_mem_take(1000);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), KV_ESTUCK);
}

/* Blocks of the first memory and beside it, taken twice so that they are used ones. */
static void memory_is_zeroed_whatever_pages_it_has(void **state)
{
    static const size_t sizes[] = {1, 4096, 100000, (size_t)3 << 20, (size_t)40 << 20};
    (void)state;
    kv_memory_begin();
    for (int turn = 0; turn < 2; turn++) {
        char *p[5];
        for (int i = 0; i < 5; i++) {
            p[i] = kv_mem_take(sizes[i]);
            for (size_t at = 0; at < sizes[i]; at += 999) assert_int_equal(p[i][at], 0);
            assert_int_equal(p[i][sizes[i] - 1], 0);
            memset(p[i], 0x55, sizes[i]);
        }
        for (int i = 0; i < 5; i++) kv_mem_give(p[i], sizes[i]);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, remember, nothing_is_left)
    const struct CMUnitTest tests[] = {
        TEST(arena_blocks_are_zeroed_aligned_and_apart),
        TEST(pool_records_stay_where_they_are_and_come_back_zeroed_last_first),
        TEST(a_growing_array_keeps_its_contents),
        TEST(memory_is_zeroed_whatever_pages_it_has),
        TEST(passing_the_limit_calls_the_handler_with_both_figures),
        TEST(without_a_handler_the_program_ends_with_its_exit_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that lasts as long as the tests of a program: its main ends with
 *   return cmocka_run_group_tests(tests, NULL, close_arena); */
#ifndef KV_TESTS_SUPPORT_ARENA_H
#define KV_TESTS_SUPPORT_ARENA_H

#include "sim/base/arena.h"

static struct kv_arena arena;

static inline int close_arena(void **unused)
{
    (void)unused;
    kv_arena_close(&arena);
    return 0;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Random scenarios under the sanitizers, where each takes ten times as long. */
#ifndef KV_TESTS_SUPPORT_SANITIZED_H
#define KV_TESTS_SUPPORT_SANITIZED_H

#include <stdint.h>

#ifdef __SANITIZE_ADDRESS__
#define KV_SANITIZED 1
#else
#define KV_SANITIZED 0
#endif

/* A quarter of `scenarios` under the sanitizers, which look at memory and at undefined behaviour: that what happens is
 * right, and happens often enough, all of them show without. */
static inline uint64_t kv_test_scenarios(uint64_t scenarios)
{
    return KV_SANITIZED ? scenarios / 4 : scenarios;
}

#endif

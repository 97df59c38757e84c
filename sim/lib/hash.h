/* SPDX-License-Identifier: Apache-2.0 */
/* 64-bit hash of a text, eight bytes at a time, well mixed (fit for kv_map). Two session ids of one trace that share
 * a hash would become one session: among a million sessions the chance is 3e-8. */
#ifndef KV_LIB_HASH_H
#define KV_LIB_HASH_H

#include <string.h>

#include "sim/base/rng.h"

static inline uint64_t kv_hash_text(const char *text)
{
    size_t length = strlen(text);
    uint64_t hash = kv_mix64(length + UINT64_C(0x9e3779b97f4a7c15));
    for (size_t i = 0; i < length; i += 8) {
        uint64_t word = 0;
        memcpy(&word, text + i, length - i < 8 ? length - i : 8);
        hash = kv_mix64(hash ^ word) + UINT64_C(0x9e3779b97f4a7c15);
    }
    return hash;
}

#endif

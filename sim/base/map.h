/* SPDX-License-Identifier: Apache-2.0 */
/* Hash map from 64-bit keys (already well mixed) to 32-bit values. Open addressing, linear probing, a power of
 * two of cells, at most 3/4 full, deletion by backward shift. Iteration is not offered: nothing may depend on
 * hash order. Keys are used as their own hash; pass them through kv_mix64 when they are not random. */
#ifndef KV_BASE_MAP_H
#define KV_BASE_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "sim/base/arena.h"
#include "sim/base/prefetch.h"

struct kv_map_cell { uint64_t key; uint32_t value; uint32_t used; };
struct kv_map { struct kv_map_cell *cell; uint64_t mask; uint64_t count; };

void kv_map_open(struct kv_map *m, uint64_t expected);
void kv_map_close(struct kv_map *m);
void kv_map_put(struct kv_map *m, uint64_t key, uint32_t value);   /* inserts or replaces; may grow */
bool kv_map_drop(struct kv_map *m, uint64_t key);                  /* false when absent */

/* The key will be asked for soon (prefetch.h says how to use it). */
#define kv_map_prefetch(m, key) kv_prefetch(&(m)->cell[(key) & (m)->mask])

/* Value, or KV_NONE when absent. */
static inline uint32_t kv_map_get(const struct kv_map *m, uint64_t key)
{
    for (uint64_t i = key & m->mask;; i = (i + 1) & m->mask) {
        if (!m->cell[i].used) return KV_NONE;
        if (m->cell[i].key == key) return m->cell[i].value;
    }
}

#endif

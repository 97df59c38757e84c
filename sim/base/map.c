/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/base/map.h"

static void allocate(struct kv_map *m, uint64_t cells)
{
    m->cell = kv_mem_take(cells * sizeof *m->cell);
    m->mask = cells - 1;
}

void kv_map_open(struct kv_map *m, uint64_t expected)
{
    uint64_t cells = 16;
    while (cells * 3 / 4 < expected) cells *= 2;
    m->count = 0;
    allocate(m, cells);
}

void kv_map_close(struct kv_map *m)
{
    kv_mem_give(m->cell, (m->mask + 1) * sizeof *m->cell);
    *m = (struct kv_map){0};
}

static void grow(struct kv_map *m)
{
    struct kv_map old = *m;
    allocate(m, (old.mask + 1) * 2);
    for (uint64_t i = 0; i <= old.mask; i++) {
        if (!old.cell[i].used) continue;
        uint64_t to = old.cell[i].key & m->mask;
        while (m->cell[to].used) to = (to + 1) & m->mask;
        m->cell[to] = old.cell[i];
    }
    kv_mem_give(old.cell, (old.mask + 1) * sizeof *old.cell);
}

void kv_map_put(struct kv_map *m, uint64_t key, uint32_t value)
{
    if (m->count >= (m->mask + 1) / 4 * 3) grow(m);
    uint64_t i = key & m->mask;
    for (; m->cell[i].used; i = (i + 1) & m->mask) {
        if (m->cell[i].key != key) continue;
        m->cell[i].value = value;
        return;
    }
    m->cell[i] = (struct kv_map_cell){key, value, 1};
    m->count++;
}

/* Backward shift: every cell after the hole moves into it unless that would put it before its home. */
bool kv_map_drop(struct kv_map *m, uint64_t key)
{
    uint64_t hole = key & m->mask;
    for (; m->cell[hole].key != key || !m->cell[hole].used; hole = (hole + 1) & m->mask)
        if (!m->cell[hole].used) return false;
    for (uint64_t i = (hole + 1) & m->mask; m->cell[i].used; i = (i + 1) & m->mask) {
        uint64_t home = m->cell[i].key & m->mask;
        if (((i - home) & m->mask) < ((i - hole) & m->mask)) continue;
        m->cell[hole] = m->cell[i];
        hole = i;
    }
    m->cell[hole].used = 0;
    m->count--;
    return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/base/slab.h"

#include <string.h>

static int class_of(size_t bytes)
{
    int class = 0;
    while (class < KV_SLAB_CLASSES && ((size_t)16 << class) < bytes) class++;
    return class;
}

void *kv_slab_take(struct kv_slab *s, size_t bytes)
{
    int class = class_of(bytes);
    if (class == KV_SLAB_CLASSES) return kv_mem_take(bytes);
    void *p = s->free[class];
    if (!p) return kv_arena_take(&s->arena, (size_t)16 << class);
    memcpy(&s->free[class], p, sizeof p);   /* a free block begins with a pointer to the next one */
    return p;
}

void kv_slab_give(struct kv_slab *s, void *p, size_t bytes)
{
    int class = class_of(bytes);
    if (class == KV_SLAB_CLASSES) {
        kv_mem_give(p, bytes);
        return;
    }
    memcpy(p, &s->free[class], sizeof p);
    s->free[class] = p;
}

void kv_slab_close(struct kv_slab *s)
{
    kv_arena_close(&s->arena);
    memset(s->free, 0, sizeof s->free);
}

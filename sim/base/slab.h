/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks of varying size with free lists by power-of-two class: for the few things of a live request whose length
 * is only known when it comes. Small classes are cut from an arena; blocks over 64 KiB stand alone. */
#ifndef KV_BASE_SLAB_H
#define KV_BASE_SLAB_H

#include "sim/base/arena.h"

#define KV_SLAB_CLASSES 13   /* 16 B .. 64 KiB */

struct kv_slab { struct kv_arena arena; void *free[KV_SLAB_CLASSES]; };   /* zeroed = empty */

void *kv_slab_take(struct kv_slab *s, size_t bytes);            /* not zeroed; 16-byte aligned */
void kv_slab_give(struct kv_slab *s, void *p, size_t bytes);    /* the size it was taken with */
void kv_slab_close(struct kv_slab *s);                          /* blocks over 64 KiB must have been given back */

#endif

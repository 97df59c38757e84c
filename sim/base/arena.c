/* SPDX-License-Identifier: Apache-2.0 */
#define _DEFAULT_SOURCE   /* madvise */
#include "sim/base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "sim/base/err.h"

#define CHUNK_BYTES ((size_t)64 * 1024)

static int64_t used_bytes, limit_bytes;
static void (*limit_handler)(int64_t used_bytes, int64_t limit_bytes);

void kv_memory_limit(int64_t limit, void (*handler)(int64_t used, int64_t limit))
{
    limit_bytes = limit;
    limit_handler = handler;
}

int64_t kv_memory_used_bytes(void)
{
    return used_bytes;
}

#define LARGE_PAGE_BYTES ((uintptr_t)2 << 20)
#define FIRST_BYTES ((size_t)16 << 20)

void kv_memory_begin(void)
{
#if defined __GLIBC__ && defined MADV_HUGEPAGE
    /* A block that is given back at once, so that what comes is cut from its place. */
    mallopt(M_MMAP_THRESHOLD, 2 * (int)FIRST_BYTES);
    mallopt(M_TRIM_THRESHOLD, 2 * (int)FIRST_BYTES);
    void *first = malloc(FIRST_BYTES);
    if (!first) return;
    uintptr_t from = ((uintptr_t)first + LARGE_PAGE_BYTES - 1) / LARGE_PAGE_BYTES * LARGE_PAGE_BYTES;
    uintptr_t to = ((uintptr_t)first + FIRST_BYTES) / LARGE_PAGE_BYTES * LARGE_PAGE_BYTES;
    madvise((void *)from, to - from, MADV_HUGEPAGE);   /* where that fails, pages are small */
    free(first);
    mallopt(M_MMAP_THRESHOLD, 1 << 20);   /* what is larger grows by remapping, not by copies */
#endif
}

static void out_of_memory(int64_t wanted_bytes)
{
    if (limit_handler) limit_handler(wanted_bytes, limit_bytes);
    fprintf(stderr, "kvsim: out of memory: %lld bytes in use\n", (long long)wanted_bytes);
    exit(KV_ESTUCK);
}

static void charge(int64_t bytes)
{
    used_bytes += bytes;
    if (limit_bytes > 0 && bytes > 0 && used_bytes > limit_bytes) out_of_memory(used_bytes);
}

void *kv_mem_take(size_t bytes)
{
    charge((int64_t)bytes);
    void *p = calloc(1, bytes ? bytes : 1);
    if (!p) out_of_memory(used_bytes);
    return p;
}

void *kv_mem_resize(void *p, size_t old_bytes, size_t bytes)
{
    charge((int64_t)bytes - (int64_t)old_bytes);
    void *grown = realloc(p, bytes ? bytes : 1);
    if (!grown) out_of_memory(used_bytes);
    return grown;
}

void kv_mem_give(void *p, size_t bytes)
{
    if (!p) return;
    charge(-(int64_t)bytes);
    free(p);
}

/* ---- arena ------------------------------------------------------------------------------------------------- */

struct kv_arena_chunk { struct kv_arena_chunk *next; size_t bytes; };

void *kv_arena_take(struct kv_arena *a, size_t bytes)
{
    const size_t head = (sizeof(struct kv_arena_chunk) + 15) & ~(size_t)15;
    bytes = (bytes + 15) & ~(size_t)15;
    if (!a->head || a->used + bytes > a->head->bytes) {
        size_t room = head + bytes > CHUNK_BYTES ? head + bytes : CHUNK_BYTES;
        struct kv_arena_chunk *chunk = kv_mem_take(room);
        chunk->bytes = room;
        chunk->next = a->head;
        a->head = chunk;
        a->used = head;
    }
    void *p = (char *)a->head + a->used;
    a->used += bytes;
    return p;
}

char *kv_arena_copy(struct kv_arena *a, const char *text, size_t length)
{
    char *copy = kv_arena_take(a, length + 1);
    memcpy(copy, text, length);
    return copy;
}

char *kv_arena_text(struct kv_arena *a, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *text = kv_arena_take(a, (size_t)length + 1);
    vsnprintf(text, (size_t)length + 1, fmt, again);
    va_end(again);
    return text;
}

void kv_arena_close(struct kv_arena *a)
{
    for (struct kv_arena_chunk *chunk = a->head, *next; chunk; chunk = next) {
        next = chunk->next;
        kv_mem_give(chunk, chunk->bytes);
    }
    *a = (struct kv_arena){0};
}

/* ---- pool -------------------------------------------------------------------------------------------------- */

void kv_pool_open(struct kv_pool *p, size_t record_bytes)
{
    *p = (struct kv_pool){.record_bytes = record_bytes, .free_head = KV_NONE};
}

static size_t segment_bytes(const struct kv_pool *p)
{
    return p->record_bytes << KV_POOL_SEGMENT_BITS;
}

void kv_pool_close(struct kv_pool *p)
{
    for (size_t i = 0; i < p->segment_count; i++) kv_mem_give(p->segment[i], segment_bytes(p));
    kv_mem_give(p->segment, p->segment_capacity * sizeof *p->segment);
    *p = (struct kv_pool){.record_bytes = p->record_bytes, .free_head = KV_NONE};
}

uint32_t kv_pool_take(struct kv_pool *p)
{
    uint32_t index = p->free_head;
    p->taken++;
    if (index != KV_NONE) {   /* a free record holds the index of the next free one */
        char *record = kv_pool_at(p, index);
        memcpy(&p->free_head, record, sizeof p->free_head);
        memset(record, 0, p->record_bytes);
        return index;
    }
    index = p->high++;
    if (index >> KV_POOL_SEGMENT_BITS == p->segment_count) {
        if (p->segment_count == p->segment_capacity)
            kv_vec_grow((void **)&p->segment, &p->segment_capacity, sizeof *p->segment, p->segment_count + 1);
        p->segment[p->segment_count++] = kv_mem_take(segment_bytes(p));
    }
    return index;
}

void kv_pool_give(struct kv_pool *p, uint32_t index)
{
    memcpy(kv_pool_at(p, index), &p->free_head, sizeof p->free_head);
    p->free_head = index;
    p->taken--;
}

void kv_vec_grow(void **at, size_t *capacity, size_t element_bytes, size_t needed)
{
    size_t grown = *capacity ? *capacity * 2 : 8;
    if (grown < needed) grown = needed;
    *at = kv_mem_resize(*at, *capacity * element_bytes, grown * element_bytes);
    *capacity = grown;
}

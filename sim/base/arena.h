/* SPDX-License-Identifier: Apache-2.0 */
/* Memory. The only malloc, realloc and free of the simulator live behind this header.
 *
 * An arena frees everything at once; three lifetimes use one each: load (parsing), run (all state of a
 * simulation), scratch (one call). A pool hands out fixed-size records named by 32-bit index; it grows by whole
 * segments so a record never moves and its pointer stays valid until the pool closes. A buffer (kv_vec) is one
 * growing array.
 *
 * All growth is charged to a process-wide budget (`--memory-limit`). Passing it calls the handler set with
 * kv_memory_limit, which does not return; without a handler the process prints one line and exits KV_ESTUCK. */
#ifndef KV_BASE_ARENA_H
#define KV_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

void kv_memory_limit(int64_t limit_bytes, void (*handler)(int64_t used_bytes, int64_t limit_bytes));
int64_t kv_memory_used_bytes(void);

/* To be called first of all: asks for large pages for the first memory of the program. Each small page costs a fault,
 * and a run of a few hundred requests has 3,000 of them, half of its CPU time on a virtual machine. Without large pages
 * (transparent_hugepage "never"), and with another C library than glibc, it changes nothing. */
void kv_memory_begin(void);

/* Raw blocks, charged to the budget; never NULL. Sizes must be passed back. */
void *kv_mem_take(size_t bytes);                              /* zeroed */
void *kv_mem_resize(void *p, size_t old_bytes, size_t bytes); /* the grown part is not zeroed */
void kv_mem_give(void *p, size_t bytes);

struct kv_arena { struct kv_arena_chunk *head; size_t used; };
void *kv_arena_take(struct kv_arena *a, size_t bytes);        /* zeroed, 16-byte aligned, never NULL */
char *kv_arena_text(struct kv_arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
char *kv_arena_copy(struct kv_arena *a, const char *text, size_t length);
void kv_arena_close(struct kv_arena *a);                      /* leaves *a empty and usable again */

/* Records of `record_bytes`, named by index. 4,096 records a segment; `kv_pool_take` returns a zeroed record,
 * most recently given back first (warm in cache, and a pure function of the call sequence). */
#define KV_POOL_SEGMENT_BITS 12
#define KV_NONE UINT32_MAX
struct kv_pool {
    char **segment;
    size_t segment_capacity, segment_count;
    size_t record_bytes;
    uint32_t taken, free_head, high;  /* records in use, head of the free list, first never-used index */
};
void kv_pool_open(struct kv_pool *p, size_t record_bytes);    /* record_bytes >= 4 */
void kv_pool_close(struct kv_pool *p);
uint32_t kv_pool_take(struct kv_pool *p);
void kv_pool_give(struct kv_pool *p, uint32_t index);
static inline void *kv_pool_at(const struct kv_pool *p, uint32_t index)
{
    return p->segment[index >> KV_POOL_SEGMENT_BITS]
           + (size_t)(index & ((1u << KV_POOL_SEGMENT_BITS) - 1)) * p->record_bytes;
}

/* Growing array: kv_vec_reserve makes room for `count` elements in total, doubling, keeping the contents. */
#define KV_VEC(type) struct { type *at; size_t count, capacity; }
#define kv_vec_push(v, value) \
    do { \
        if ((v)->count == (v)->capacity) \
            kv_vec_grow((void **)&(v)->at, &(v)->capacity, sizeof *(v)->at, (v)->count + 1); \
        (v)->at[(v)->count++] = (value); \
    } while (0)
#define kv_vec_reserve(v, n) \
    do { if ((n) > (v)->capacity) kv_vec_grow((void **)&(v)->at, &(v)->capacity, sizeof *(v)->at, (n)); } while (0)
#define kv_vec_close(v) \
    do { \
        kv_mem_give((v)->at, (v)->capacity * sizeof *(v)->at); \
        (v)->at = NULL; \
        (v)->count = (v)->capacity = 0; \
    } while (0)
void kv_vec_grow(void **at, size_t *capacity, size_t element_bytes, size_t needed);

#endif

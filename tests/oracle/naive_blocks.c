/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/oracle/naive_blocks.h"

#include "sim/base/err.h"

void naive_pool_open(struct naive_pool *p, int64_t capacity, int64_t block_tokens, bool caching, bool fifo,
                     struct kv_counters *counters)
{
    *p = (struct naive_pool){.capacity = capacity, .block_tokens = block_tokens, .caching = caching, .fifo = fifo,
                             .counters = counters};
    kv_map_open(&p->shared_keys, 64);
    kv_map_open(&p->own_keys, 64);
}

void naive_pool_close(struct naive_pool *p)
{
    kv_vec_close(&p->blocks);
    kv_vec_close(&p->freed);
    kv_vec_close(&p->candidates);
    kv_vec_close(&p->evicted);
    kv_map_close(&p->shared_keys);
    kv_map_close(&p->own_keys);
}

int64_t naive_pool_free(const struct naive_pool *p)
{
    return p->capacity - (int64_t)p->blocks.count + (int64_t)p->freed.count;
}

uint64_t naive_own_key(int64_t request, int64_t index)
{
    kv_assert(index < INT64_C(1) << 24);
    return kv_mix64(((uint64_t)(request + 1) << 24) | (uint64_t)index);
}

uint32_t naive_pool_find(const struct naive_pool *p, const struct kv_request *request, int64_t shared_count,
                         int64_t index)
{
    if (index >= shared_count) return kv_map_get(&p->own_keys, naive_own_key(request->index, index));
    return kv_map_get(&p->shared_keys, kv_prefix_key(&request->prefix, (int32_t)index, (int32_t)p->block_tokens));
}

static bool before(struct naive_candidate a, struct naive_candidate b)
{
    return a.stamp < b.stamp;
}

static void candidate_push(struct naive_pool *p, struct naive_candidate c)
{
    kv_vec_push(&p->candidates, c);
    struct naive_candidate *at = p->candidates.at;
    size_t i = p->candidates.count - 1;
    for (; i > 0 && before(c, at[(i - 1) / 2]); i = (i - 1) / 2) at[i] = at[(i - 1) / 2];
    at[i] = c;
}

static struct naive_candidate candidate_pop(struct naive_pool *p)
{
    struct naive_candidate *at = p->candidates.at;
    struct naive_candidate top = at[0], last = at[--p->candidates.count];
    size_t count = p->candidates.count, i = 0;
    for (size_t child; (child = 2 * i + 1) < count; i = child) {
        if (child + 1 < count && before(at[child + 1], at[child])) child++;
        if (!before(at[child], last)) break;
        at[i] = at[child];
    }
    at[i] = last;
    return top;
}

/* Rule 21. */
static int64_t stamp_of(const struct naive_pool *p, const struct naive_block *b)
{
    return p->fifo ? b->first_unreferenced : b->last_unreferenced;
}

static void unregister(struct naive_pool *p, uint32_t block)
{
    struct naive_block *b = &p->blocks.at[block];
    bool found = kv_map_drop(b->own ? &p->own_keys : &p->shared_keys, b->key);
    kv_assert(found);
    b->registered = b->own = b->output = false;
    b->first_unreferenced = b->last_unreferenced = 0;
}

static uint32_t victim(struct naive_pool *p)
{
    for (;;) {
        kv_assert(p->candidates.count > 0);
        struct naive_candidate c = candidate_pop(p);
        const struct naive_block *b = &p->blocks.at[c.block];
        if (b->registered && b->refs == 0 && stamp_of(p, b) == c.stamp) return c.block;
    }
}

uint32_t naive_pool_take(struct naive_pool *p)
{
    uint32_t block;
    if (p->freed.count > 0) {
        block = p->freed.at[--p->freed.count];
    } else if ((int64_t)p->blocks.count < p->capacity) {
        block = (uint32_t)p->blocks.count;
        struct naive_block fresh = {0};
        kv_vec_push(&p->blocks, fresh);
    } else {
        block = victim(p);
        const struct naive_block *b = &p->blocks.at[block];
        kv_vec_push(&p->evicted, ((struct naive_evicted){b->key, b->own, b->output}));
        unregister(p, block);
        p->evictable--;
        p->counters->blocks_evicted++;
    }
    p->blocks.at[block].refs = 1;
    p->counters->blocks_allocated++;
    return block;
}

void naive_pool_ref(struct naive_pool *p, uint32_t block)
{
    struct naive_block *b = &p->blocks.at[block];
    if (b->refs == 0) {
        p->evictable--;
        p->counters->blocks_allocated++;
        if (b->own) unregister(p, block);
    }
    b->refs++;
}

bool naive_pool_register(struct naive_pool *p, uint32_t block, uint64_t key, bool output)
{
    if (kv_map_get(&p->shared_keys, key) != KV_NONE) return false;
    struct naive_block *b = &p->blocks.at[block];
    kv_assert(!b->registered && b->refs > 0);
    kv_map_put(&p->shared_keys, key, block);
    b->registered = true;
    b->output = output;
    b->key = key;
    return true;
}

void naive_pool_forget(struct naive_pool *p, uint32_t block)
{
    kv_assert(p->blocks.at[block].refs > 0);
    unregister(p, block);
}

bool naive_pool_release(struct naive_pool *p, uint32_t block, uint64_t own_key, bool output, bool keep)
{
    struct naive_block *b = &p->blocks.at[block];
    kv_assert(b->refs > 0);
    if (--b->refs > 0) return false;
    p->counters->blocks_freed++;
    if (own_key && keep && p->caching) {
        kv_assert(!b->registered);
        kv_map_put(&p->own_keys, own_key, block);
        b->registered = b->own = true;
        b->output = output;
        b->key = own_key;
    }
    if (b->registered && keep) {
        b->last_unreferenced = ++p->now;
        if (b->first_unreferenced == 0) b->first_unreferenced = p->now;
        p->evictable++;
        candidate_push(p, (struct naive_candidate){stamp_of(p, b), block});
        return false;
    }
    bool forgotten = b->registered;
    if (forgotten) unregister(p, block);
    kv_vec_push(&p->freed, block);
    return forgotten;
}

void naive_pool_drop(struct naive_pool *p, uint32_t block)
{
    kv_assert(p->blocks.at[block].refs == 0);
    unregister(p, block);
    p->evictable--;
    kv_vec_push(&p->freed, block);
}

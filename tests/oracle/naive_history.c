/* SPDX-License-Identifier: Apache-2.0 */
/* What an outside reader could have seen. */
#include "tests/oracle/naive_parts.h"

static struct kv_oracle_instance instance_now(const struct oracle *o, const struct instance *n)
{
    int64_t free_blocks = naive_pool_free(&n->pool);
    return (struct kv_oracle_instance){
        .tick = o->now, .waiting = (int64_t)(n->waiting.count + n->preempted.count),
        .running = (int64_t)n->running.count, .fetching = (int64_t)n->holders.count, .free_blocks = free_blocks,
        .inactive_blocks = n->pool.evictable, .active_blocks = n->pool.capacity - free_blocks - n->pool.evictable,
    };
}

static bool same(const struct kv_oracle_instance *a, const struct kv_oracle_instance *b)
{
    return a->waiting == b->waiting && a->running == b->running && a->fetching == b->fetching
           && a->active_blocks == b->active_blocks && a->inactive_blocks == b->inactive_blocks;
}

static void see_instance(struct oracle *o, int32_t id)
{
    struct kv_oracle_instance now = instance_now(o, &o->instances[id]);
    size_t count = o->history->instance[id].seen.count;
    if (count > 0 && o->history->instance[id].seen.at[count - 1].tick == o->now) {
        o->history->instance[id].seen.at[count - 1] = now;
        return;
    }
    if (count > 0 && same(&o->history->instance[id].seen.at[count - 1], &now)) return;
    kv_vec_push(&o->history->instance[id].seen, now);
}

void naive_see(struct oracle *o)
{
    if (!o->history) return;
    for (int32_t i = 0; i < o->config->instance_count; i++) see_instance(o, i);
    struct kv_oracle_cluster now = {.tick = o->now, .counters = *o->counters};
    for (size_t p = 0; p < o->pools.count; p++) {
        const struct tier_pool *pool = o->pools.at[p];
        struct kv_oracle_tier *tier = &now.tier[pool->tier];
        tier->waiting_accesses += (int64_t)pool->line.count;
        for (size_t c = 0; c < pool->chunks.count; c++) {
            const struct chunk *chunk = &pool->chunks.at[c];
            tier->used_chunks += chunk->live;
            tier->pinned_chunks += chunk->live && (!chunk->visible || chunk->readers > 0);
        }
    }
    size_t count = o->history->cluster.count;
    if (count > 0 && o->history->cluster.at[count - 1].tick == o->now) o->history->cluster.count--;
    kv_vec_push(&o->history->cluster, now);
}

struct kv_oracle_instance kv_oracle_instance_at(const struct kv_oracle_history *h, int32_t instance, kv_tick t,
                                                int64_t hbm_blocks)
{
    struct kv_oracle_instance found = {.tick = -1, .free_blocks = hbm_blocks};
    for (size_t low = 0, high = h->instance[instance].seen.count; low < high;) {
        size_t middle = low + (high - low) / 2;
        const struct kv_oracle_instance *seen = &h->instance[instance].seen.at[middle];
        if (seen->tick > t) {
            high = middle;
        } else {
            found = *seen;
            low = middle + 1;
        }
    }
    return found;
}

struct kv_oracle_cluster kv_oracle_cluster_at(const struct kv_oracle_history *h, kv_tick t)
{
    struct kv_oracle_cluster found = {.tick = -1};
    for (size_t low = 0, high = h->cluster.count; low < high;) {
        size_t middle = low + (high - low) / 2;
        if (h->cluster.at[middle].tick > t) {
            high = middle;
        } else {
            found = h->cluster.at[middle];
            low = middle + 1;
        }
    }
    return found;
}

void kv_oracle_history_close(struct kv_oracle_history *h)
{
    for (int32_t i = 0; i < h->instance_count; i++) kv_vec_close(&h->instance[i].seen);
    if (h->instance) kv_mem_give(h->instance, (size_t)h->instance_count * sizeof *h->instance);
    kv_vec_close(&h->cluster);
    *h = (struct kv_oracle_history){0};
}

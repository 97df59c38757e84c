/* SPDX-License-Identifier: Apache-2.0 */
/* What must be true after every event, whatever the rules say. */
#include "tests/oracle/naive_parts.h"

/* --- HBM: every reference is somebody's --- */

static void count_references(const struct oracle *o, int32_t instance, int64_t *refs)
{
    for (int64_t i = 0; i < 2 * o->count; i++) {
        const struct seat *s = &o->seats[i];
        if (s->instance != instance) continue;
        for (size_t h = 0; h < s->held.count; h++) refs[s->held.at[h]]++;
    }
    for (size_t l = 0; l < o->loads.count; l++) {
        const struct load *load = o->loads.at[l];
        if (load->instance != instance) continue;
        for (size_t b = 0; b < load->blocks.count; b++) refs[load->blocks.at[b].block]++;
    }
    for (size_t w = 0; w < o->writes.count; w++) {
        const struct write_job *write = o->writes.at[w];
        if (write->instance != instance) continue;
        for (size_t b = 0; b < write->blocks.count; b++) refs[write->blocks.at[b]]++;
    }
}

static void check_blocks(struct oracle *o, int32_t instance)
{
    const struct naive_pool *pool = &o->instances[instance].pool;
    int64_t *refs = kv_mem_take(pool->blocks.count * sizeof *refs + 1), evictable = 0, used = 0;
    count_references(o, instance, refs);
    for (size_t b = 0; b < pool->blocks.count; b++) {
        const struct naive_block *block = &pool->blocks.at[b];
        kv_assert(block->refs == refs[b]);
        kv_assert(!block->load || (block->refs > 0 && !block->load->over));
        evictable += block->registered && block->refs == 0;
        used += block->refs > 0;
    }
    kv_assert(evictable == pool->evictable);
    kv_assert(naive_pool_free(pool) + evictable + used == pool->capacity);
    kv_mem_give(refs, pool->blocks.count * sizeof *refs + 1);
}

/* --- Pools --- */

/* Loads that still read each chunk of the pool. */
static void count_readers(const struct oracle *o, const struct tier_pool *p, int64_t *readers)
{
    for (size_t l = 0; l < o->loads.count; l++)
        for (size_t i = 0; i < o->loads.at[l]->parts.count; i++) {
            const struct load_part *part = &o->loads.at[l]->parts.at[i];
            for (size_t c = 0; !part->over && part->pool == p && c < part->chunk.count; c++)
                readers[part->chunk.at[c]]++;
        }
}

static int64_t arriving_at(const struct oracle *o, const struct tier_pool *p)
{
    int64_t arriving = 0;
    for (size_t w = 0; w < o->writes.count; w++) {
        const struct write_job *write = o->writes.at[w];
        if (write->pool == p) arriving += (int64_t)(write->known.count + write->own.count);
    }
    for (size_t l = 0; l < o->loads.count; l++)
        for (size_t f = 0; f < o->loads.at[l]->fills.count; f++) arriving += o->loads.at[l]->fills.at[f].pool == p;
    return arriving;
}

static void check_pool(const struct oracle *o, const struct tier_pool *p)
{
    int64_t used = 0, arriving = 0, turns = 0, limit = o->tier[p->tier].concurrency_limit;
    size_t bytes = p->chunks.count * sizeof(int64_t) + 1;
    int64_t *readers = kv_mem_take(bytes);
    count_readers(o, p, readers);
    for (uint32_t c = 0; c < p->chunks.count; c++) {
        const struct chunk *chunk = &p->chunks.at[c];
        used += chunk->live;
        arriving += chunk->live && !chunk->visible;
        kv_assert(!chunk->parked || chunk->readers > 0);
        if (chunk->live && !chunk->own) kv_assert(kv_map_get(&p->keys, chunk->key) == c);
        kv_assert(chunk->readers == readers[c] && (chunk->visible || chunk->readers == 0));
    }
    kv_mem_give(readers, bytes);
    kv_assert(used == p->used && used <= o->config->tier[p->tier].capacity_chunks);
    kv_assert(arriving == arriving_at(o, p));
    for (size_t a = 0; a < o->accesses.count; a++)
        turns += o->accesses.at[a]->pool == p && o->accesses.at[a]->turn;
    kv_assert(turns == p->under_way && (limit == 0 || turns <= limit));
    kv_assert(p->line.count == 0 || turns == limit);
}

static void check_tiers(const struct oracle *o)
{
    for (int32_t t = 1; t < o->tier_count; t++) {
        const struct kv_tier_counters *c = &o->counters->tier[t];
        int64_t visible = 0;
        for (size_t p = 0; p < o->pools.count; p++)
            for (size_t i = 0; o->pools.at[p]->tier == t && i < o->pools.at[p]->chunks.count; i++)
                visible += o->pools.at[p]->chunks.at[i].visible;
        kv_assert(visible == c->inserted_chunks - c->evicted_chunks);
        kv_assert(c->wasted_bytes <= c->read_bytes + c->written_bytes);
        kv_assert(c->filled_chunks + c->resident_chunks <= c->inserted_chunks);
    }
}

/* --- Links: what is sent is what comes in, and no link carries more than it can --- */

static void check_links(const struct oracle *o)
{
    for (size_t l = 0; l < o->links.count; l++) {
        kv_service carried = 0;
        for (size_t i = 0; i < o->accesses.count; i++) {
            const struct access *a = o->accesses.at[i];
            if (!naive_moving(a)) continue;
            carried += (kv_service)a->rate * naive_parts_on(&a->path, o->config->tp, (int32_t)l);
        }
        kv_assert(carried <= o->links.at[l].now && o->links.at[l].now <= o->links.at[l].capacity);
    }
    for (size_t i = 0; i < o->accesses.count; i++) {
        const struct access *a = o->accesses.at[i];
        kv_assert(a->done >= 0 && a->done <= (kv_service)a->permitted * KV_SERVICE_PER_BYTE);
        kv_assert(a->permitted <= a->bytes);
    }
}

/* --- Records --- */

void naive_check_record(const struct oracle *o, const struct kv_record *r)
{
    if (r->status == KV_STATUS_FINISHED) {
        int64_t sum = 0;
        for (int32_t s = 0; s <= o->tier_count; s++) sum += r->prompt_tokens_by_source[s];
        kv_assert(sum == r->prompt_tokens);
        kv_assert(r->queue_tk + r->fetch_stall_tk + r->prefill_tk + r->decode_tk + r->preempted_tk
                  == r->finish_tk - r->arrival_tk);
    }
    kv_assert(r->queue_tk >= 0 && r->fetch_stall_tk >= 0 && r->prefill_tk >= 0 && r->decode_tk >= 0);
    kv_assert(r->preempted_tk >= 0 && r->induced_stall_tk >= 0);
    kv_assert(r->induced_stall_tk <= r->prefill_tk + r->decode_tk);
}

void naive_check(struct oracle *o)
{
    if (!has_tiers(o) && !hands_over(o)) return;
    for (int32_t i = 0; i < o->config->instance_count; i++) check_blocks(o, i);
    for (size_t p = 0; p < o->pools.count; p++) check_pool(o, o->pools.at[p]);
    check_tiers(o);
    check_links(o);
    naive_check_grants(o);
}

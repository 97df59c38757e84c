/* SPDX-License-Identifier: Apache-2.0 */
/* How much of a match is used (T6): the fetch policies by name, and the two estimates they go by. */
#include <string.h>

#include "tests/oracle/naive_parts.h"

/* Of a step with nothing but tokens [from, known). */
kv_tick naive_compute_tk(struct oracle *o, int64_t known_tokens, int64_t from)
{
    struct kv_chunk chunk = {known_tokens - from, from, true};
    struct kv_batch batch = {.chunks = &chunk, .chunk_count = 1};
    if (chunk.new_tokens == 1)
        batch = (struct kv_batch){.decode_count = 1, .ctx_sum = from, .ctx_max = from,
                                  .ctx_sq_sum = (kv_cost)from * from};
    return kv_cost_ceil_tk(o->config->compute->price(o->compute, &batch).first);
}

/* Chunks of tier t that contain one of the first `blocks` blocks found there. */
static int64_t chunks_from(const struct oracle *o, const match *found, int64_t blocks, int32_t t)
{
    int64_t chunks = 0, last = -1;
    for (int64_t i = 0; i < blocks; i++) {
        int64_t chunk = i / naive_chunk_blocks(o, t);
        if (found->at[i] != t || chunk == last) continue;
        last = chunk;
        chunks++;
    }
    return chunks;
}

enum kv_delivery naive_delivery(const struct oracle *o, int64_t bytes)
{
    enum kv_delivery mode = (enum kv_delivery)o->config->fetch.mode;
    if (mode == KV_DELIVERY_BIDIRECTIONAL) return KV_DELIVERY_CHUNKWISE;
    if (mode != KV_DELIVERY_AUTO) return mode;
    return bytes * o->config->tp >= o->config->fetch.auto_bytes ? KV_DELIVERY_LAYERWISE : KV_DELIVERY_CHUNKWISE;
}

/* Of a part, in whole chunks of tier t. */
static int64_t bytes_of(const struct oracle *o, int32_t t, int64_t chunks)
{
    return chunks * o->config->tier[t].chunk_tokens * naive_read_bytes(o, o->layers);
}

static kv_tick read_tk(struct oracle *o, int32_t t, int32_t instance, enum kv_delivery mode, int64_t chunks)
{
    const struct kv_sim_config *c = o->config;
    const struct tier_pool *p = naive_pool_of(o, t, instance);
    struct kv_access access = {.delivery = mode, .number = (uint64_t)p->numbers, .under_way = p->under_way + 1,
                               .chunks = mode == KV_DELIVERY_CHUNKWISE ? 1 : chunks};
    struct kv_access_plan plan = naive_plan(o, t, &access);
    struct path path;
    naive_path(o, p, instance, false, 0, &path);
    kv_rate messages = naive_message_rate(o, &path, bytes_of(o, t, access.chunks) * c->tp, plan.requests);
    kv_rate rate = messages < plan.limit ? messages : plan.limit;
    if (rate < KV_RATE_UNLIMITED) rate /= c->tp;
    for (int32_t h = 0; h < path.hops[0]; h++) {
        int32_t link = path.link[0][h];
        kv_rate share = naive_capacity(o, &o->links.at[link], 0) / naive_parts_on(&path, c->tp, link);
        if (share < rate) rate = share;
    }
    kv_service bytes = (kv_service)bytes_of(o, t, chunks);
    kv_tick ticks = kv_rate_ticks(bytes * KV_SERVICE_PER_BYTE, rate);
    return ticks == KV_TICK_NEVER ? KV_TICK_NEVER : plan.delay_tk + path.latency_tk + ticks;
}

static kv_tick load_tk(struct oracle *o, int64_t seat, const match *found, int64_t blocks)
{
    kv_tick slowest = 0;
    int64_t bytes = 0;
    for (int32_t t = 1; t < o->tier_count; t++) bytes += bytes_of(o, t, chunks_from(o, found, blocks, t));
    for (int32_t t = 1; t < o->tier_count; t++) {
        int64_t chunks = chunks_from(o, found, blocks, t);
        kv_tick ticks = chunks > 0 ? read_tk(o, t, o->seats[seat].instance, naive_delivery(o, bytes), chunks) : 0;
        if (ticks > slowest) slowest = ticks;
    }
    return slowest;
}

/* Of the ends of segments, and of nothing, the one with the least sum; the longer of equals. */
static int64_t cheapest(struct oracle *o, int64_t seat, const match *found)
{
    int64_t best = 0, count = (int64_t)found->count;
    kv_tick best_tk = KV_TICK_NEVER;
    for (int64_t end = found->at[0] == 0 ? 1 : 0; end <= count; end++) {
        bool segment_end = end == 0 || end == count || found->at[end] != found->at[end - 1];
        if (!segment_end) continue;
        kv_tick load = load_tk(o, seat, found, end);
        kv_tick compute = naive_compute_tk(o, known(o, seat), end * block_tokens(o));
        kv_tick sum = load == KV_TICK_NEVER ? KV_TICK_NEVER : load + compute;
        if (sum > best_tk) continue;
        best = end;
        best_tk = sum;
    }
    return best;
}

struct kv_fetch_choice naive_choose(struct oracle *o, int64_t seat, const match *found)
{
    struct threshold { int64_t min_tokens; };
    struct timeout { int64_t min_tokens; double base_s, per_ki_token_s, max_s; };
    const void *params = o->config->fetch.params;
    struct kv_fetch_choice all = {(int64_t)found->count, KV_TICK_NEVER}, leading = {0, KV_TICK_NEVER};
    int64_t tokens_below = 0;
    for (size_t i = 0; i < found->count; i++) tokens_below += found->at[i] > 0 ? block_tokens(o) : 0;
    if (tokens_below == 0) return all;
    while (found->at[leading.blocks] == 0) leading.blocks++;
    switch (o->fetch) {
    case FETCH_ALWAYS: return all;
    case THRESHOLD: return tokens_below >= ((const struct threshold *)params)->min_tokens ? all : leading;
    case COST_MODEL: return (struct kv_fetch_choice){cheapest(o, seat, found), KV_TICK_NEVER};
    default: break;
    }
    const struct timeout *t = params;
    if (tokens_below < t->min_tokens) return leading;
    double seconds = t->base_s + t->per_ki_token_s * (double)tokens_below / 1024.0;
    all.timeout_tk = kv_cost_ceil_tk(kv_cost_from_s(seconds < t->max_s ? seconds : t->max_s));
    return all;
}

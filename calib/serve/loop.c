/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/serve/loop.h"

#include "sim/base/arena.h"

/* ---- requests ---- */

/* Rule 7. */
static bool too_large(const struct kv_sim_config *c, const struct kv_request *r)
{
    int64_t most = (int64_t)r->input_tokens + r->output_tokens - 1, B = c->engine.block_tokens;
    return (most + B - 1) / B > c->hbm_blocks
           || (!c->engine.chunked_prefill && most > c->engine.max_num_batched_tokens);
}

/* Leading blocks that a request brings into host memory (T36). */
static int32_t resident_blocks(const struct kv_loop *l, const struct kv_loop_seq *s)
{
    if (s->status != KV_STATUS_UNFINISHED || l->config->resident_tier == 0
        || !l->config->engine.enable_prefix_caching) return 0;
    int32_t tokens = s->request.resident_tokens;
    return kv_prefix_known_blocks(&s->request.prefix, tokens, (int32_t)l->config->engine.block_tokens);
}

static void give_slots(struct kv_loop *l, const struct kv_loop_seq *s)
{
    bool own;
    for (int32_t i = 0, n = resident_blocks(l, s); i < n; i++) {
        uint64_t key = kv_loop_key(l, s, i, &own);
        if (kv_map_get(&l->slot_of, key) == KV_NONE) kv_map_put(&l->slot_of, key, (uint32_t)l->slot_count++);
    }
}

static void keep(struct kv_loop *l, const struct kv_request *r, size_t *capacity, struct kv_arena *arena)
{
    if (l->seq_count == *capacity) kv_vec_grow((void **)&l->seq, capacity, sizeof *l->seq, l->seq_count + 1);
    struct kv_loop_seq *s = &l->seq[l->seq_count];
    *s = (struct kv_loop_seq){ .request = *r, .status = KV_STATUS_UNFINISHED, .first_sched_tk = -1,
                               .first_token_tk = -1, .finish_tk = -1,
                               .arrival_tk = r->arrival_ns * KV_TICKS_PER_NS };
    s->request.index = l->seq_count++;
    if (r->prefix.ids) {
        uint64_t *ids = kv_arena_take(arena, r->prefix.ids_count * sizeof *ids);
        for (uint32_t i = 0; i < r->prefix.ids_count; i++) ids[i] = r->prefix.ids[i];
        s->request.prefix.ids = ids;
    }
    if (r->failed) s->status = KV_STATUS_FAILED;
    else if (too_large(l->config, r)) s->status = KV_STATUS_REJECTED;
}

bool kv_loop_open(struct kv_loop *l, const struct kv_sim_config *config, int (*next)(void *, struct kv_request *,
                  struct kv_err *), void *source, struct kv_arena *arena, struct kv_err *err)
{
    struct kv_request r;
    size_t capacity = 0;
    int got;
    *l = (struct kv_loop){ .config = config };
    kv_map_open(&l->slot_of, 64);
    while ((got = next(source, &r, err)) > 0) keep(l, &r, &capacity, arena);
    l->seq = kv_mem_resize(l->seq, capacity * sizeof *l->seq, l->seq_count * sizeof *l->seq);
    for (uint32_t i = 0; i < l->seq_count; i++) give_slots(l, &l->seq[i]);
    l->slot_room = l->slot_count;
    l->slot_visible = kv_mem_take((size_t)l->slot_room + 1);
    kv_loop_pool_open(&l->pool, (int32_t)config->hbm_blocks);
    return got == 0;
}

void kv_loop_close(struct kv_loop *l)
{
    for (uint32_t i = 0; i < l->seq_count; i++) {
        kv_vec_close(&l->seq[i].page);
        kv_vec_close(&l->seq[i].load);
    }
    kv_mem_give(l->seq, l->seq_count * sizeof *l->seq);
    kv_mem_give(l->slot_visible, (size_t)l->slot_room + 1);
    kv_map_close(&l->slot_of);
    kv_loop_pool_close(&l->pool);
    kv_vec_close(&l->preempted);
    kv_vec_close(&l->waiting);
    kv_vec_close(&l->holding);
    kv_vec_close(&l->running);
    kv_vec_close(&l->turn);
    kv_vec_close(&l->member);
}

void kv_loop_longest(const struct kv_loop *l, int64_t *request_tokens, int64_t *resident_tokens)
{
    *request_tokens = *resident_tokens = 0;
    for (uint32_t i = 0; i < l->seq_count; i++) {
        const struct kv_loop_seq *s = &l->seq[i];
        if (s->status != KV_STATUS_UNFINISHED) continue;
        int64_t all = (int64_t)s->request.input_tokens + s->request.output_tokens;
        int64_t resident = resident_blocks(l, s) * l->config->engine.block_tokens;
        if (all > *request_tokens) *request_tokens = all;
        if (resident > *resident_tokens) *resident_tokens = resident;
    }
}

/* ---- host memory ---- */

/* One resident prefix: all of its blocks are computed, but those that are new are what is kept. */
static bool fill_one(struct kv_loop *l, const struct kv_loop_seq *s, bool *filled, struct kv_err *err)
{
    int32_t count = resident_blocks(l, s), fresh = 0;
    if (count > l->pool.count)
        return kv_fail(err, KV_ECONFIG, "resident_tokens", "request %lld brings %d blocks, and the GPU has %d",
                       (long long)s->request.trace_row, count, l->pool.count);
    KV_VEC(int32_t) slot = {0}, page = {0};
    for (int32_t i = 0; i < count; i++) {
        bool own;
        int32_t to = (int32_t)kv_map_get(&l->slot_of, kv_loop_key(l, s, i, &own));
        fresh += !filled[to];
        kv_vec_push(&slot, filled[to] ? -1 : to);
        kv_vec_push(&page, i);
        filled[to] = true;
    }
    struct kv_loop_load load = { -1, count, &s->request, slot.at, page.at };
    bool good = fresh == 0 || l->device.ops->fill(l->device.state, &load, err);
    kv_vec_close(&slot);
    kv_vec_close(&page);
    return good;
}

bool kv_loop_fill(struct kv_loop *l, struct kv_err *err)
{
    bool *filled = kv_mem_take((size_t)l->slot_room + 1), good = true;
    for (uint32_t i = 0; good && i < l->seq_count && !(l->stop && *l->stop); i++)
        good = fill_one(l, &l->seq[i], filled, err);
    kv_mem_give(filled, (size_t)l->slot_room + 1);
    return good;
}

/* ---- the run ---- */

static bool arrive(struct kv_loop *l, kv_tick now, struct kv_err *err)
{
    for (; l->arrived < l->seq_count && l->seq[l->arrived].arrival_tk <= now; l->arrived++) {
        struct kv_loop_seq *s = &l->seq[l->arrived];
        if (s->status != KV_STATUS_UNFINISHED) {
            if (l->sink.ended && !l->sink.ended(l->sink.state, s, err)) return false;
            continue;
        }
        bool own;
        for (int32_t i = 0, n = resident_blocks(l, s); i < n; i++)
            l->slot_visible[kv_map_get(&l->slot_of, kv_loop_key(l, s, i, &own))] = true;
        kv_vec_push(&l->waiting, l->arrived);
    }
    return true;
}

static bool compute(struct kv_loop *l, struct kv_err *err)
{
    struct kv_loop_batch batch = { .count = (int32_t)l->turn.count };
    struct kv_loop_step step = { .layer = NULL };
    l->member.count = 0;
    for (size_t i = 0; i < l->turn.count; i++) {
        struct kv_loop_seq *s = &l->seq[l->turn.at[i].seq];
        int32_t n = l->turn.at[i].new_tokens;
        struct kv_loop_member m = { &s->request, n, s->computed, s->computed + n == kv_loop_known(s), s->page.at,
                                    s->load.at, (int32_t)s->load.count };
        kv_vec_push(&l->member, m);
        batch.tokens += n;
    }
    batch.member = l->member.at;
    return l->device.ops->step(l->device.state, &batch, &step, err)
           && (!l->sink.step || l->sink.step(l->sink.state, l, &batch, &step, err))
           && kv_loop_step_ended(l, step.end_tk, err);
}

bool kv_loop_run(struct kv_loop *l, bool *complete, struct kv_err *err)
{
    const struct kv_loop_device_ops *ops = l->device.ops;
    ops->start(l->device.state);
    for (*complete = false;;) {
        kv_tick now = ops->now(l->device.state);
        if (l->stop && *l->stop) return true;
        if (!arrive(l, now, err) || !kv_loop_schedule(l, now, err)) return false;
        if (l->turn.count > 0) {
            if (!compute(l, err)) return false;
            continue;
        }
        int32_t layers, load = kv_loop_awaited(l, &layers);
        kv_tick next = l->arrived < l->seq_count ? l->seq[l->arrived].arrival_tk : KV_TICK_NEVER;
        if (load < 0 && next == KV_TICK_NEVER) break;
        if (!ops->wait(l->device.state, next, load, layers, err)) return false;
    }
    *complete = true;
    return true;
}

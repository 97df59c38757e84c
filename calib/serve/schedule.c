/* SPDX-License-Identifier: Apache-2.0 */
/* Who is computed next: docs/engine.md, rules 10 to 13 and 18 to 20; docs/tiers.md, T5 to T11. */
#include "calib/serve/loop.h"

#define OWN_KEYS UINT64_C(0x6f776e206b657973)

static int32_t block_tokens(const struct kv_loop *l) { return (int32_t)l->config->engine.block_tokens; }
static int32_t least(int64_t a, int64_t b) { return (int32_t)(a < b ? a : b); }
static int32_t blocks_for(const struct kv_loop *l, int32_t tokens)
{
    return (tokens + block_tokens(l) - 1) / block_tokens(l);
}

uint64_t kv_loop_key(const struct kv_loop *l, const struct kv_loop_seq *s, int32_t i, bool *own)
{
    *own = i >= kv_prefix_known_blocks(&s->request.prefix, kv_loop_known(s), block_tokens(l));
    return *own ? kv_mix64_pair(OWN_KEYS ^ (uint64_t)s->request.index, (uint64_t)i)
                : kv_prefix_key(&s->request.prefix, i, block_tokens(l));
}

/* ---- pages of a request ---- */

static void take_pages(struct kv_loop *l, struct kv_loop_seq *s, int32_t tokens)
{
    while ((int32_t)s->page.count < blocks_for(l, tokens)) kv_vec_push(&s->page, kv_loop_pool_take(&l->pool));
}

/* Blocks that become full by a step of n tokens can be found from now on (rule 18). */
static void register_full(struct kv_loop *l, struct kv_loop_seq *s, int32_t n)
{
    if (!l->config->engine.enable_prefix_caching) return;
    int32_t B = block_tokens(l);
    for (int32_t i = s->computed / B; i < (s->computed + n) / B; i++) {
        bool own;
        uint64_t key = kv_loop_key(l, s, i, &own);
        kv_loop_pool_register(&l->pool, s->page.at[i], key, own);
    }
}

/* Rule 20, last block first; at a finish blocks with generated tokens may be forgotten. */
static void release(struct kv_loop *l, struct kv_loop_seq *s, bool finish)
{
    int32_t kept = finish && !l->config->engine.cache_outputs ? s->request.input_tokens / block_tokens(l) : INT32_MAX;
    while (s->page.count > 0) {
        int32_t i = (int32_t)--s->page.count, page = s->page.at[i];
        const struct kv_loop_page *g = &l->pool.page[page];
        if (i >= kept && g->registered && (g->own || g->holders == 1)) kv_loop_pool_forget(&l->pool, page);
        kv_loop_pool_let_go(&l->pool, page);
    }
}

static void preempt_last(struct kv_loop *l)
{
    uint32_t which = l->running.at[--l->running.count];
    struct kv_loop_seq *s = &l->seq[which];
    s->cached_before = s->computed / block_tokens(l);
    release(l, s, false);
    s->computed = 0;
    s->load.count = 0;
    s->preemptions++;
    l->stats.preemptions++;
    l->preempting = true;
    kv_vec_push(&l->preempted, which);
}

/* ---- what runs goes on (rule 11) ---- */

static void give_turn(struct kv_loop *l, uint32_t which, int32_t n)
{
    kv_vec_push(&l->turn, ((struct kv_loop_turn){which, n}));
    l->budget_tokens -= n;
}

static void run_on(struct kv_loop *l)
{
    for (size_t i = 0; i < l->running.count && l->budget_tokens > 0; i++) {
        struct kv_loop_seq *s = &l->seq[l->running.at[i]];
        int32_t n = least(kv_loop_known(s) - s->computed, l->budget_tokens);
        int32_t missing = blocks_for(l, s->computed + n) - (int32_t)s->page.count;
        while (kv_loop_pool_room(&l->pool) < missing && l->running.count > i) preempt_last(l);
        if (l->running.count <= i) break;
        take_pages(l, s, s->computed + n);
        give_turn(l, l->running.at[i], n);
    }
    for (size_t i = 0; i < l->turn.count; i++)
        register_full(l, &l->seq[l->turn.at[i].seq], l->turn.at[i].new_tokens);
}

/* ---- who joins (rule 12, T5 to T11) ---- */

/* The leading blocks of a request that are somewhere. */
struct match {
    int32_t blocks;              /* h */
    int32_t leading, unheld;     /* of them in HBM before the first below; of those nobody holds */
    int32_t hbm, below;          /* in HBM; to load */
    bool loading;                /* one in HBM is still being loaded */
};

/* Where block i is: a page, or (page -1) a place in host memory; false: nowhere. */
static bool find_block(const struct kv_loop *l, const struct kv_loop_seq *s, int32_t i, int32_t *page, int32_t *slot)
{
    bool own;
    uint64_t key = kv_loop_key(l, s, i, &own);
    *page = kv_loop_pool_find(&l->pool, key);
    *slot = -1;
    if (*page >= 0) return true;
    if (own) return false;
    uint32_t there = kv_map_get(&l->slot_of, key);
    if (there == KV_NONE || !l->slot_visible[there]) return false;
    *slot = (int32_t)there;
    return true;
}

static bool still_loading(struct kv_loop *l, int32_t page)
{
    struct kv_loop_page *g = &l->pool.page[page];
    if (g->load < 0) return false;
    if (l->device.ops->arrived(l->device.state, g->load) < l->config->compute_env.model->layers) return true;
    g->load = -1;
    return false;
}

/* The first `most` blocks at most. */
static struct match look_up(struct kv_loop *l, const struct kv_loop_seq *s, int32_t most)
{
    struct match m = {0};
    if (!l->config->engine.enable_prefix_caching) return m;
    int32_t bound = least(most, (kv_loop_known(s) - 1) / block_tokens(l)), page, slot;
    for (; m.blocks < bound && find_block(l, s, m.blocks, &page, &slot); m.blocks++) {
        if (page < 0) {
            m.below++;
            continue;
        }
        m.hbm++;
        m.loading |= still_loading(l, page);
        if (m.below > 0) continue;
        m.leading++;
        m.unheld += l->pool.page[page].holders == 0;
    }
    return m;
}

static kv_tick no_load_tk(void *owner, int32_t count)
{
    (void)owner, (void)count;
    return 0;
}

static kv_tick no_compute_tk(void *owner, int64_t from)
{
    (void)owner, (void)from;
    return 0;
}

/* What the fetch policy wants of a match (T6). Policies that ask for estimates were refused before the start. */
static int32_t chosen(struct kv_loop *l, const struct kv_loop_seq *s, const struct match *m)
{
    const struct kv_fetch_config *f = &l->config->fetch;
    if (m->below == 0 || !f->policy) return m->blocks;
    /* Blocks in HBM behind those below are left out: policies without estimates look at sums. */
    const struct kv_fetch_segment segment[2] = {{0, m->leading}, {1, m->below}};
    struct kv_fetch_view view = { kv_loop_known(s), block_tokens(l), m->leading ? segment : segment + 1,
                                  m->leading ? 2 : 1, NULL, no_load_tk, no_compute_tk };
    int64_t blocks = f->policy->choose(f->params, &view).blocks;
    return blocks >= m->leading + m->below ? m->blocks : (int32_t)blocks;
}

/* Own blocks from before a preemption that are not part of the hit become free (rule 19). */
static void drop_own(struct kv_loop *l, struct kv_loop_seq *s, int32_t hit)
{
    for (int32_t i = hit; i < s->cached_before; i++) {
        bool own;
        int32_t page = kv_loop_pool_find(&l->pool, kv_loop_key(l, s, i, &own));
        if (page >= 0 && own) kv_loop_pool_forget(&l->pool, page);
    }
    s->cached_before = 0;
}

static void hold_hits(struct kv_loop *l, struct kv_loop_seq *s, const struct match *m)
{
    int32_t page, slot;
    for (int32_t i = 0; i < m->blocks; i++) {
        find_block(l, s, i, &page, &slot);
        if (page >= 0) kv_loop_pool_hold(&l->pool, page);
        kv_vec_push(&s->page, page);
    }
}

static void wait_for(struct kv_loop_seq *s, int32_t load)
{
    for (size_t i = 0; i < s->load.count; i++)
        if (s->load.at[i] == load) return;
    kv_vec_push(&s->load, load);
}

/* Pages for what is to be loaded, and the load itself (T7). */
static bool begin_load(struct kv_loop *l, struct kv_loop_seq *s, const struct match *m, struct kv_err *err)
{
    KV_VEC(int32_t) slot = {0}, page = {0};
    for (int32_t i = 0; i < m->blocks; i++) {
        int32_t found, from;
        bool own;
        if (s->page.at[i] >= 0) {
            if (still_loading(l, s->page.at[i])) wait_for(s, l->pool.page[s->page.at[i]].load);
            continue;
        }
        find_block(l, s, i, &found, &from);
        s->page.at[i] = kv_loop_pool_take(&l->pool);
        kv_loop_pool_register(&l->pool, s->page.at[i], kv_loop_key(l, s, i, &own), false);
        l->pool.page[s->page.at[i]].load = l->load_count;
        kv_vec_push(&slot, from);
        kv_vec_push(&page, s->page.at[i]);
    }
    bool good = true;
    if (page.count > 0) {
        struct kv_loop_load load = { l->load_count++, (int32_t)page.count, &s->request, slot.at, page.at };
        wait_for(s, load.number);
        l->stats.loads++;
        l->stats.loaded_blocks += load.count;
        good = l->device.ops->load(l->device.state, &load, err);
    }
    kv_vec_close(&slot);
    kv_vec_close(&page);
    return good;
}

static void leave_waiting(struct kv_loop *l)
{
    if (l->preempted.count > 0) l->preempted.count--;
    else l->waiting_head++;
}

static void join(struct kv_loop *l, uint32_t which, int32_t n, kv_tick now)
{
    struct kv_loop_seq *s = &l->seq[which];
    if (s->first_sched_tk < 0) s->first_sched_tk = now;
    kv_vec_push(&l->running, which);
    give_turn(l, which, n);
    register_full(l, s, n);
}

/* The first of those that wait; false when it has to go on waiting, and so has everybody. */
static bool admit(struct kv_loop *l, uint32_t which, kv_tick now, struct kv_err *err)
{
    struct kv_loop_seq *s = &l->seq[which];
    int32_t B = block_tokens(l), known = kv_loop_known(s);
    struct match m = look_up(l, s, INT32_MAX);
    m = look_up(l, s, chosen(l, s, &m));
    bool holder = m.below > 0 || m.loading;
    int32_t left = known - m.blocks * B, n = least(left, l->budget_tokens);
    if (!holder && n < left && !l->config->engine.chunked_prefill) return false;
    if (blocks_for(l, known) - m.leading > kv_loop_pool_room(&l->pool) - m.unheld) return false;
    if (s->first_sched_tk < 0) s->hbm_tokens = m.hbm * B, s->host_tokens = m.below * B;
    leave_waiting(l);
    hold_hits(l, s, &m);
    drop_own(l, s, m.blocks);
    s->computed = m.blocks * B;
    if (!holder) {
        take_pages(l, s, s->computed + n);
        join(l, which, n, now);
        return true;
    }
    if (!begin_load(l, s, &m, err)) return false;
    take_pages(l, s, s->computed + least(left, l->config->engine.max_num_batched_tokens));
    kv_vec_push(&l->holding, which);
    return true;
}

/* ---- holders ---- */

/* Layers of each of its loads that must be in before a request may join (T10). */
static int32_t layers_needed(const struct kv_loop *l)
{
    const struct kv_fetch_config *f = &l->config->fetch;
    int32_t layers = l->config->compute_env.model->layers;
    return f->mode == KV_DELIVERY_LAYERWISE ? least(f->release_after_layers, layers) : layers;
}

/* The first of its loads that has not brought enough; -1: it may join. */
static int32_t lacks(struct kv_loop *l, const struct kv_loop_seq *s)
{
    for (size_t i = 0; i < s->load.count; i++)
        if (l->device.ops->arrived(l->device.state, s->load.at[i]) < layers_needed(l)) return s->load.at[i];
    return -1;
}

int32_t kv_loop_awaited(struct kv_loop *l, int32_t *layers)
{
    int32_t first = -1;
    *layers = layers_needed(l);
    for (size_t i = 0; i < l->holding.count; i++) {
        int32_t load = lacks(l, &l->seq[l->holding.at[i]]);
        if (load >= 0 && (first < 0 || load < first)) first = load;
    }
    return first;
}

/* Place in holding[] of the ready one that arrived first; -1: none is ready. */
static int32_t first_ready(struct kv_loop *l)
{
    int32_t first = -1;
    for (size_t i = 0; i < l->holding.count; i++)
        if ((first < 0 || l->holding.at[i] < l->holding.at[first]) && lacks(l, &l->seq[l->holding.at[i]]) < 0)
            first = (int32_t)i;
    return first;
}

static bool join_holder(struct kv_loop *l, int32_t place, kv_tick now)
{
    uint32_t which = l->holding.at[place];
    struct kv_loop_seq *s = &l->seq[which];
    int32_t left = kv_loop_known(s) - s->computed, n = least(left, l->budget_tokens);
    if (n <= 0 || (int64_t)l->running.count >= l->config->engine.max_num_seqs) return false;
    if (n < left && !l->config->engine.chunked_prefill) return false;
    for (size_t i = (size_t)place; i + 1 < l->holding.count; i++) l->holding.at[i] = l->holding.at[i + 1];
    l->holding.count--;
    while ((int32_t)s->page.count > blocks_for(l, s->computed + n))
        kv_loop_pool_let_go(&l->pool, s->page.at[--s->page.count]);
    join(l, which, n, now);
    return true;
}

static bool let_join(struct kv_loop *l, kv_tick now, struct kv_err *err)
{
    err->code = KV_OK;
    for (;;) {
        for (int32_t ready; (ready = first_ready(l)) >= 0;)
            if (!join_holder(l, ready, now)) return true;
        bool any = l->preempted.count > 0 || l->waiting_head < l->waiting.count;
        if (!any || l->budget_tokens <= 0 || (int64_t)l->running.count >= l->config->engine.max_num_seqs) return true;
        uint32_t first = l->preempted.count > 0 ? l->preempted.at[l->preempted.count - 1]
                                                : l->waiting.at[l->waiting_head];
        if (!admit(l, first, now, err)) return err->code == KV_OK;
    }
}

bool kv_loop_schedule(struct kv_loop *l, kv_tick now, struct kv_err *err)
{
    l->budget_tokens = l->config->engine.max_num_batched_tokens;
    l->preempting = false;
    l->turn.count = 0;
    run_on(l);
    /* Who preempted itself because of holders must not keep them from joining. */
    return (l->preempting && l->turn.count > 0) || let_join(l, now, err);
}

/* ---- the end of a step (rule 10) ---- */

static bool finish(struct kv_loop *l, struct kv_loop_seq *s, kv_tick end, struct kv_err *err)
{
    s->finish_tk = end;
    s->status = KV_STATUS_FINISHED;
    release(l, s, true);
    return !l->sink.ended || l->sink.ended(l->sink.state, s, err);
}

bool kv_loop_step_ended(struct kv_loop *l, kv_tick end, struct kv_err *err)
{
    bool good = true;
    for (size_t i = 0; i < l->turn.count; i++) {
        struct kv_loop_seq *s = &l->seq[l->turn.at[i].seq];
        int32_t n = l->turn.at[i].new_tokens;
        *(n > 1 ? &l->stats.prefill_tokens : &l->stats.decode_tokens) += n;
        s->computed += n;
        s->load.count = 0;
        if (s->computed < kv_loop_known(s)) continue;
        s->generated++;
        if (s->first_token_tk < 0) s->first_token_tk = end;
        if (s->generated == s->request.output_tokens) good = finish(l, s, end, err) && good;
    }
    l->stats.steps++;
    size_t kept = 0;
    for (size_t i = 0; i < l->running.count; i++)
        if (l->seq[l->running.at[i]].status == KV_STATUS_UNFINISHED) l->running.at[kept++] = l->running.at[i];
    l->running.count = kept;
    return good;
}

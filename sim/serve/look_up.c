/* SPDX-License-Identifier: Apache-2.0 */
/* The look-up of a waiting request, over HBM and the tiers below, and how much of it is used (rule 18, T5, T6). */
#include "sim/serve/instance_parts.h"

/* ---- look-up ------------------------------------------------------------------------------------------------ */

/* Slot in a tier of the chunk that holds a block, visible or arriving; KV_NONE: none, or the chunk is not known.
 * `cursor`: of each tier. */
static uint32_t look_in(const struct kv_tiers *t, struct kv_blocks_cursor *cursor, int32_t tier, int32_t block,
                        int32_t known_blocks)
{
    int32_t width = t->tier[tier].blocks, chunk = width == 1 ? block : block / width;
    return (chunk + 1) * width > known_blocks ? KV_NONE : kv_blocks_look(&cursor[tier], chunk);
}

/* T5: where block `block` is below HBM; KV_NONE: in none, and *tier is the first into which it is on its way. */
static uint32_t find_below(const struct kv_tiers *t, struct kv_blocks_cursor *cursor, int32_t block,
                           int32_t known_blocks, uint8_t *tier)
{
    uint8_t arriving = 0;
    for (int32_t i = 1; i < t->count; i++) {
        uint32_t slot = look_in(t, cursor, i, block, known_blocks);
        if (slot == KV_NONE) continue;
        if (!kv_blocks_pending(cursor[i].blocks, slot)) {
            *tier = (uint8_t)i;
            return slot;
        }
        if (arriving == 0) arriving = (uint8_t)i;
    }
    *tier = arriving;
    return KV_NONE;
}

/* T42: of the blocks [from, end), how many in a row are on their way into a tier. */
static int32_t count_pending(const struct kv_tiers *t, struct kv_blocks_cursor *cursor, int32_t tier, int32_t from,
                             int32_t end, int32_t known_blocks)
{
    int32_t i = from;
    for (; i < end; i++) {
        uint32_t slot = look_in(t, cursor, tier, i, known_blocks);
        if (slot == KV_NONE || !kv_blocks_pending(cursor[tier].blocks, slot)) break;
    }
    return i - from;
}

static void note_segment(struct kv_serve *serve, int32_t source, int64_t blocks)
{
    size_t count = serve->segments.count;
    if (count == 0 || serve->segments.at[count - 1].source != source)
        kv_vec_push(&serve->segments, ((struct kv_fetch_segment){source, 0}));
    serve->segments.at[serve->segments.count - 1].blocks += blocks;
}

/* Goes on behind the leading blocks of HBM, over the union of all tiers; notes segments. */
static void look_below(struct kv_instance *n, const struct kv_seq *q, struct kv_hit *hit, int32_t cap, int32_t keyed)
{
    struct kv_serve *serve = n->serve;
    int32_t tokens = (int32_t)n->block.by, all_known = kv_prefix_known_blocks(&q->prefix, kv_known_tokens(q), tokens);
    struct kv_tiers *t = serve->tiers;
    struct kv_blocks_cursor cursor[KV_TIERS_MAX] = {kv_blocks_cursor(&n->blocks, &q->prefix)};
    for (int32_t i = 1; i < t->count; i++)
        cursor[i] = kv_blocks_cursor(&kv_tier_pool_of(t, i, n->id)->chunks, &q->prefix);
    serve->sources.count = serve->segments.count = 0;
    for (int64_t i = 0; i < hit->keyed; i++) kv_vec_push(&serve->sources, 0);
    if (hit->keyed > 0) note_segment(serve, 0, hit->keyed);
    for (int32_t i = (int32_t)hit->keyed; i < keyed && i < cap; i++) {
        uint8_t tier = 0;
        uint32_t slot = kv_blocks_look(&cursor[0], i);
        if (slot == KV_NONE) slot = find_below(t, cursor, i, all_known, &tier);
        if (slot == KV_NONE) {
            int32_t end = keyed < cap ? keyed : cap;
            if (tier > 0)
                hit->pending = (struct kv_pending){
                    tier, count_pending(t, cursor, tier, i, end, all_known) * tokens};
            break;
        }
        kv_vec_push(&serve->hits, slot);
        kv_vec_push(&serve->sources, tier);
        note_segment(serve, tier, 1);
        hit->keyed++;
        hit->below += tier > 0;
        if (tier == 0 && kv_blocks_pending(&n->blocks, slot)) hit->loading = true;
    }
    hit->blocks = hit->keyed;
}

/* ---- the fetch policy (T6) ---------------------------------------------------------------------------------- */

struct view_owner { struct kv_instance *n; const struct kv_seq *q; const struct kv_fetch_view *view; };

static kv_tick load_tk(void *owner, int32_t count)
{
    const struct view_owner *v = owner;
    struct kv_tiers *t = v->n->serve->tiers;
    int64_t chunks[KV_TIERS_MAX] = {0}, last[KV_TIERS_MAX];
    for (int32_t i = 0; i < KV_TIERS_MAX; i++) last[i] = -1;
    int64_t block = 0;
    for (int32_t i = 0; i < count; i++) {
        const struct kv_fetch_segment *s = &v->view->segments[i];
        if (s->source > 0) {
            int32_t width = t->tier[s->source].blocks;
            int64_t from = block / width, to = (block + s->blocks - 1) / width;
            if (from == last[s->source]) from++;
            chunks[s->source] += to - from + 1;
            last[s->source] = to;
        }
        block += s->blocks;
    }
    int64_t bytes = 0;
    for (int32_t i = 1; i < t->count; i++) bytes += chunks[i] * t->tier[i].read_bytes * t->serve->config->tp;
    enum kv_delivery delivery = kv_load_mode(t, bytes);
    kv_tick latest = 0;
    for (int32_t i = 1; i < t->count; i++) {
        if (chunks[i] == 0) continue;
        kv_tick tk = kv_access_estimate_tk(t, kv_tier_pool_of(t, i, v->n->id), v->n->id, delivery, chunks[i]);
        if (tk > latest) latest = tk;
    }
    return latest;
}

kv_tick kv_look_up_compute_tk(const struct kv_instance *n, int64_t from, int64_t known)
{
    struct kv_chunk chunk = {known - from, from, true};
    struct kv_batch batch = {.chunks = &chunk, .chunk_count = 1};
    if (known - from == 1)
        batch = (struct kv_batch){.decode_count = 1, .ctx_sum = from, .ctx_max = from,
                                  .ctx_sq_sum = (kv_cost)from * from};
    return kv_cost_ceil_tk(n->serve->config->compute->price(n->compute, &batch).first);
}

static kv_tick compute_tk(void *owner, int64_t from_tokens)
{
    const struct view_owner *v = owner;
    return kv_look_up_compute_tk(v->n, from_tokens, kv_known_tokens(v->q));
}

static void choose(struct kv_instance *n, const struct kv_seq *q, struct kv_hit *hit)
{
    struct kv_serve *serve = n->serve;
    struct view_owner owner = {.n = n, .q = q};
    struct kv_fetch_view view = {
        .known_tokens = kv_known_tokens(q), .block_tokens = n->block.by, .segments = serve->segments.at,
        .segment_count = (int32_t)serve->segments.count, .owner = &owner, .load_tk = load_tk, .compute_tk = compute_tk,
    };
    owner.view = &view;
    struct kv_fetch_choice choice = serve->config->fetch.policy->choose(serve->config->fetch.params, &view);
    kv_assert(choice.blocks >= 0 && choice.blocks <= hit->blocks);
    hit->timeout_tk = choice.timeout_tk;
    if (choice.blocks == hit->blocks) return;
    hit->blocks = choice.blocks;
    if (hit->keyed > hit->blocks) hit->keyed = hit->blocks;
    if (hit->leading > hit->blocks) hit->leading = hit->blocks;
    hit->below = 0;
    hit->loading = false;
    for (int64_t i = 0; i < hit->keyed; i++) {
        hit->below += serve->sources.at[i] > 0;
        hit->loading |= serve->sources.at[i] == 0 && kv_blocks_pending(&n->blocks, serve->hits.at[i]);
    }
}

/* Rule 18, T5, T6. */
struct kv_hit kv_look_up(struct kv_instance *n, const struct kv_seq *q)
{
    const struct kv_engine_config *engine = kv_engine_of(n);
    struct kv_serve *serve = n->serve;
    struct kv_hit hit = {.timeout_tk = KV_TICK_NEVER};
    serve->hits.count = 0;
    if (!engine->enable_prefix_caching) return hit;
    int32_t block = (int32_t)engine->block_tokens, cap = (kv_known_tokens(q) - 1) / block;
    int32_t keyed = kv_prefix_known_blocks(&q->prefix, kv_known_tokens(q), block);
    struct kv_blocks_cursor cursor = kv_blocks_cursor(&n->blocks, &q->prefix);
    for (int32_t i = 0; i < keyed && i < cap; i++) {
        uint32_t slot = kv_blocks_look(&cursor, i);
        if (slot == KV_NONE) break;
        kv_vec_push(&serve->hits, slot);
        hit.keyed++;
        hit.idle += kv_blocks_refs(&n->blocks, slot) == 0;
        hit.loading |= kv_blocks_pending(&n->blocks, slot);
    }
    hit.blocks = hit.leading = hit.keyed;
    if (serve->tiers && serve->tiers->count > 1 && hit.keyed < keyed && hit.keyed < cap
        && !(q->hold && q->hold->hbm_only))
        look_below(n, q, &hit, cap, keyed);
    if (hit.keyed == keyed && q->own_run != KV_NONE) {
        int64_t own = kv_blocks_run_count(&n->blocks, q->own_run);
        if (own > cap - hit.keyed) own = cap - hit.keyed;
        hit.blocks += own;
        if (hit.below == 0) {
            hit.leading += own;
            hit.idle += own;
        }
        if (own > 0 && hit.below > 0) note_segment(serve, 0, own);
    }
    if (hit.below > 0) choose(n, q, &hit);
    return hit;
}

int32_t kv_instance_match_blocks(struct kv_instance *n, const struct kv_prefix *prefix, int32_t input_tokens)
{
    if (!kv_engine_of(n)->enable_prefix_caching) return 0;
    int32_t block = (int32_t)kv_engine_of(n)->block_tokens, limit = (input_tokens - 1) / block;
    int32_t keyed = kv_prefix_known_blocks(prefix, input_tokens, block), i = 0;
    if (limit > keyed) limit = keyed;
    struct kv_blocks_cursor cursor = kv_blocks_cursor(&n->blocks, prefix);
    while (i < limit && kv_blocks_look(&cursor, i) != KV_NONE) i++;
    return i;
}

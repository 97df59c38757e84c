/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/serve/split.h"

#include <string.h>

#include "sim/serve/instance_parts.h"

static struct kv_load *load_of(const struct kv_instance *n, const struct kv_split *s)
{
    return kv_load_at(n->serve->tiers, s->load);
}

/* Only its own load can be among those that it waits for. */
static bool load_has_ended(const struct kv_seq *q)
{
    return q->hold->loads.count == 0;
}

static int64_t meeting_tokens(const struct kv_instance *n, const struct kv_split *s)
{
    return (int64_t)kv_load_meeting_block(load_of(n, s)) * n->block.by;
}

void kv_split_begin(struct kv_instance *n, struct kv_seq *q, int32_t first, int32_t end, int32_t keyed,
                    const uint8_t *source)
{
    struct kv_split *s = kv_slab_take(&n->serve->slab, kv_split_bytes(end - first));
    *s = (struct kv_split){.load = KV_NONE, .first = first, .end = end};
    memcpy(s->source, source + first, (size_t)(keyed - first));
    memset(s->source + keyed - first, 0, (size_t)(end - keyed));
    q->hold->split = s;
    n->outstanding_tokens += (int64_t)(end - first) * n->block.by;
    q->computed_tokens = first * (int32_t)n->block.by;
}

static void drop(struct kv_instance *n, struct kv_seq *q)
{
    kv_slab_give(&n->serve->slab, q->hold->split, kv_split_bytes(q->hold->split->end - q->hold->split->first));
    q->hold->split = NULL;
}

/* What it has computed itself was no hit. Returns the first block that it has not begun. */
static int32_t leave_out_computed(const struct kv_instance *n, const struct kv_seq *q, const struct kv_split *s)
{
    int32_t computed = (int32_t)kv_blocks_for(n, q->computed_tokens);
    for (int32_t i = s->first; i < computed; i++) q->hold->hit_tokens[s->source[i - s->first]] -= (int32_t)n->block.by;
    return computed;
}

bool kv_split_met(struct kv_instance *n, struct kv_seq *q)
{
    struct kv_split *s = q->hold ? q->hold->split : NULL;
    if (!s) return true;
    bool ended = load_has_ended(q);
    if (!ended && q->computed_tokens < meeting_tokens(n, s)) return false;
    int32_t block = (int32_t)n->block.by, computed = leave_out_computed(n, q, s);
    if (!ended) kv_load_meet(n->serve->tiers, s->load);
    n->outstanding_tokens -= (int64_t)s->end * block - q->computed_tokens;
    q->computed_tokens = s->end * block;
    kv_admission_note_hits(n, q, (struct kv_joining){s->first * block, computed * block, s->end * block},
                           q->hold->pending);
    kv_log(n->serve->engine, "met", "request=%lld instance=%d computed=%d hit=%d", (long long)q->request, n->id,
           (computed - s->first) * block, s->end * block);
    drop(n, q);
    return true;
}

int64_t kv_split_tokens(const struct kv_instance *n, const struct kv_seq *q, int64_t tokens)
{
    const struct kv_split *s = q->hold ? q->hold->split : NULL;
    if (!s) return tokens;
    int64_t most = n->serve->config->fetch.compute_chunk_tokens, to_go = meeting_tokens(n, s) - q->computed_tokens;
    if (tokens > most) tokens = most;
    return tokens < to_go ? tokens : to_go;
}

void kv_split_joined(struct kv_instance *n, const struct kv_seq *q)
{
    load_of(n, q->hold->split)->joined = true;
    kv_load_arm_timeouts(n->serve->tiers);
}

int64_t kv_split_blocks(const struct kv_seq *q)
{
    return q->hold->split->end;
}

void kv_split_leave(struct kv_instance *n, struct kv_seq *q, int64_t held)
{
    const struct kv_split *s = q->hold->split;
    int32_t computed = q->computed_tokens;
    if (!load_has_ended(q)) kv_load_keep_arrived(n->serve->tiers, s->load, computed / (int32_t)n->block.by);
    q->computed_tokens = s->end * (int32_t)n->block.by;   /* rule 20: all of its hit is kept */
    kv_instance_release_blocks(n, q, held, false);
    q->computed_tokens = computed;
    drop(n, q);
}

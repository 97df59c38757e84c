/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/serve/batch.h"

static int32_t block_tokens(const struct kv_instance *n)
{
    return (int32_t)n->block.by;
}

static size_t place_count(const struct kv_instance *n)
{
    return (size_t)n->serve->config->engine.max_num_seqs;
}

void kv_batch_open(struct kv_instance *n)
{
    size_t places = place_count(n);
    n->place = kv_mem_take(places * sizeof *n->place);
    n->free_place = kv_mem_take(places * sizeof *n->free_place);
    n->phase = kv_mem_take((size_t)block_tokens(n) * sizeof *n->phase);
    n->free_places = (int32_t)places;
    for (size_t i = 0; i < places; i++) n->free_place[i] = (uint32_t)(places - 1 - i);   /* place 0 is taken first */
    n->head = n->tail = KV_NONE;
    n->publish_step = INT64_MAX;
}

void kv_batch_close(struct kv_instance *n)
{
    size_t places = place_count(n);
    kv_mem_give(n->place, places * sizeof *n->place);
    kv_mem_give(n->free_place, places * sizeof *n->free_place);
    kv_mem_give(n->phase, (size_t)block_tokens(n) * sizeof *n->phase);
    kv_heap_close(&n->finishing);
    kv_vec_close(&n->publishers);
    kv_vec_close(&n->prefills);
    kv_vec_close(&n->chunks);
}

/* ---- members ----------------------------------------------------------------------------------------------- */

uint32_t kv_batch_add(struct kv_instance *n, uint32_t seq)
{
    uint32_t place = n->free_place[--n->free_places];
    n->place[place] = (struct kv_place){.seq = seq, .prev = n->tail, .next = KV_NONE, .admission = n->admissions++};
    if (n->tail == KV_NONE) n->head = place;
    else n->place[n->tail].next = place;
    n->tail = place;
    n->running++;
    kv_seq_at(n->serve, seq)->place = place;
    return place;
}

uint32_t kv_batch_add_split(struct kv_instance *n, uint32_t seq)
{
    uint32_t place = kv_batch_add(n, seq);
    n->place[place].split = true;
    n->splits++;
    return place;
}

static void end_split(struct kv_instance *n, struct kv_place *p)
{
    n->splits -= p->split;
    p->split = false;
}

static int64_t context_of(const struct kv_instance *n, uint32_t place)
{
    return n->place[place].ctx_base_tokens + n->step;
}

/* Steps s in which a member with context `ctx_tokens` at the step to come opens a block are those with s mod
 * block_tokens = phase: there its context, which grows by one a step, is a multiple of block_tokens. */
static int32_t phase_of(const struct kv_instance *n, int64_t ctx_tokens)
{
    int32_t phase = n->step_phase - (int32_t)kv_remainder(n->block, (uint32_t)ctx_tokens);
    return phase < 0 ? phase + block_tokens(n) : phase;
}

/* INT64_MAX: it has no block to come. */
static int64_t due_step(const struct kv_instance *n, uint32_t place)
{
    const struct kv_seq *q = kv_seq_at(n->serve, n->place[place].seq);
    if (q->slot_count == q->slot_capacity) return INT64_MAX;
    return (int64_t)(q->slot_count + 1) * block_tokens(n) - 1 - n->place[place].ctx_base_tokens;
}

static void find_publish_step(struct kv_instance *n)
{
    n->publish_step = INT64_MAX;
    for (size_t i = 0; i < n->publishers.count; i++)
        if (n->publishers.at[i].due_step < n->publish_step) n->publish_step = n->publishers.at[i].due_step;
}

/* Members start to decode in the order of their admission but for those that were split: in running order. */
static void add_publisher(struct kv_instance *n, uint32_t place, const struct kv_seq *q)
{
    for (size_t i = 0; i < n->publishers.count && !n->publishers_meet; i++) {
        const struct kv_seq *other = kv_seq_at(n->serve, n->place[n->publishers.at[i].place].seq);
        n->publishers_meet = q->prefix.ids || other->prefix.ids || q->prefix.own_stream == other->prefix.own_stream
                             || q->prefix.shared_tokens > q->input_tokens;
    }
    struct kv_publisher publisher = {place, due_step(n, place)};
    kv_vec_push(&n->publishers, publisher);
    size_t at = n->publishers.count - 1;
    for (; at > 0 && n->place[n->publishers.at[at - 1].place].admission > n->place[place].admission; at--)
        n->publishers.at[at] = n->publishers.at[at - 1];
    n->publishers.at[at] = publisher;
    if (publisher.due_step < n->publish_step) n->publish_step = publisher.due_step;
}

void kv_batch_join(struct kv_instance *n, uint32_t place)
{
    struct kv_place *p = &n->place[place];
    struct kv_seq *q = kv_seq_at(n->serve, p->seq);
    int64_t ctx = q->computed_tokens;
    end_split(n, p);
    int64_t last_step = n->step + (q->output_tokens - q->generated_tokens) - 1;
    p->decoding = true;
    p->joined_step = n->step;
    p->ctx_base_tokens = ctx - n->step;
    n->decode_count++;
    n->ctx_sum += ctx;
    n->ctx_sq_sum += (kv_cost)ctx * ctx;
    if (n->ctx_max >= 0 && ctx > n->ctx_max) n->ctx_max = ctx;
    p->phase = phase_of(n, ctx);
    n->phase[p->phase]++;
    kv_heap_set(&n->finishing, (struct kv_heap_key){last_step, (uint64_t)p->admission << 32 | place});
    if (q->slot_capacity > kv_prefix_known_blocks(&q->prefix, q->computed_tokens, block_tokens(n)))
        add_publisher(n, place, q);
}

void kv_batch_freeze(struct kv_instance *n, uint32_t place)
{
    struct kv_place *p = &n->place[place];
    struct kv_seq *q = kv_seq_at(n->serve, p->seq);
    if (!p->decoding) return;
    q->generated_tokens += (int32_t)(n->step - p->joined_step);
    q->computed_tokens = (int32_t)context_of(n, place);
}

static void forget_publisher(struct kv_instance *n, uint32_t place)
{
    size_t kept = 0;
    for (size_t i = 0; i < n->publishers.count; i++)
        if (n->publishers.at[i].place != place) n->publishers.at[kept++] = n->publishers.at[i];
    n->publishers.count = kept;
    find_publish_step(n);
    if (kept < 2) n->publishers_meet = false;
}

static void leave_decoding(struct kv_instance *n, uint32_t place)
{
    int64_t ctx = context_of(n, place);
    n->decode_count--;
    n->ctx_sum -= ctx;
    n->ctx_sq_sum -= (kv_cost)ctx * ctx;
    if (ctx == n->ctx_max) n->ctx_max = -1;   /* found again when a price needs it */
    n->phase[n->place[place].phase]--;
    kv_heap_drop(&n->finishing, place);
    if (n->publishers.count > 0) forget_publisher(n, place);
}

void kv_batch_leave(struct kv_instance *n, uint32_t place)
{
    if (n->place[place].decoding) leave_decoding(n, place);
    n->place[place].decoding = false;
    n->place[place].leaving = true;
}

void kv_batch_remove(struct kv_instance *n, uint32_t place)
{
    struct kv_place *p = &n->place[place];
    end_split(n, p);
    if (p->decoding) leave_decoding(n, place);
    if (p->prev == KV_NONE) n->head = p->next;
    else n->place[p->prev].next = p->next;
    if (p->next == KV_NONE) n->tail = p->prev;
    else n->place[p->next].prev = p->prev;
    kv_seq_at(n->serve, p->seq)->place = KV_NONE;
    n->free_place[n->free_places++] = place;
    n->running--;
}

/* ---- blocks ------------------------------------------------------------------------------------------------ */

static int32_t generated_from(const struct kv_instance *n, const struct kv_seq *q)
{
    return (int32_t)kv_divide(n->block, (uint32_t)q->input_tokens);
}

void kv_batch_register(struct kv_instance *n, struct kv_seq *q, int64_t tokens)
{
    int32_t block = block_tokens(n);
    if (q->slot_count == q->slot_capacity || tokens < (int64_t)(q->slot_count + 1) * block) return;
    int32_t full = kv_prefix_known_blocks(&q->prefix, (int32_t)tokens, block);
    if (full <= q->slot_count) return;
    kv_blocks_register_all(&n->blocks, &q->prefix, q->slot_count, full, generated_from(n, q),
                           q->slot + q->slot_count);
    q->slot_count = full;
}

void kv_batch_publish(struct kv_instance *n, uint32_t before)
{
    if (n->step < n->publish_step) return;
    for (size_t i = 0; i < n->publishers.count; i++) {
        struct kv_publisher *p = &n->publishers.at[i];
        if (before != KV_NONE && n->place[p->place].admission > n->place[before].admission) break;
        if (n->step < p->due_step) continue;
        kv_batch_register(n, kv_seq_at(n->serve, n->place[p->place].seq), context_of(n, p->place) + 1);
        p->due_step = due_step(n, p->place);
    }
    find_publish_step(n);
}

/* Publishes what the next `steps` steps fill before they take their blocks. A key that nobody has is registered in any
 * case: whether before or after evictions is all the same. False when it met a key that is registered: that may be
 * evicted by then. */
static bool publish_ahead(struct kv_instance *n, int64_t steps)
{
    bool all = true;
    for (size_t i = 0; i < n->publishers.count; i++) {
        struct kv_publisher *p = &n->publishers.at[i];
        if (n->step + steps < p->due_step) continue;
        struct kv_seq *q = kv_seq_at(n->serve, n->place[p->place].seq);
        int64_t tokens = context_of(n, p->place) + steps + 1;
        int32_t full = kv_prefix_known_blocks(&q->prefix, (int32_t)tokens, block_tokens(n));
        q->slot_count = kv_blocks_register_new(&n->blocks, &q->prefix, q->slot_count, full, generated_from(n, q),
                                               q->slot + q->slot_count);
        all = all && q->slot_count == full;
        p->due_step = due_step(n, p->place);
    }
    find_publish_step(n);
    return all;
}

bool kv_batch_needs_block(const struct kv_instance *n, uint32_t place)
{
    return n->place[place].phase == n->step_phase;
}

int64_t kv_batch_blocks_needed(const struct kv_instance *n)
{
    return n->phase[n->step_phase];
}

/* Blocks that decoding takes in the `steps` steps after the one under way. */
static int64_t blocks_ahead(const struct kv_instance *n, int64_t steps)
{
    int32_t block = block_tokens(n), b = n->step_phase;
    int64_t cycles = kv_divide(n->block, (uint32_t)steps), count = cycles * n->decode_count;
    for (int64_t left = steps - cycles * block; left > 0; left--) {
        if (++b == block) b = 0;
        count += n->phase[b];
    }
    return count;
}

int64_t kv_batch_steps_in_memory(const struct kv_instance *n, int64_t steps)
{
    int32_t block = block_tokens(n);
    /* Where evictions are written down, a boundary that evicts has to be an event. */
    int64_t available = n->blocks.evicted ? n->blocks.free : kv_blocks_available(&n->blocks);
    if ((kv_divide(n->block, (uint32_t)steps) + 1) * n->decode_count <= available) return steps;
    int64_t cycles = available / n->decode_count, left = available % n->decode_count, ahead = cycles * block;
    for (int32_t b = n->step_phase; ahead + 1 < steps; ahead++) {
        if (++b == block) b = 0;
        if (n->phase[b] > left) break;
        left -= n->phase[b];
    }
    return ahead + 1 < steps ? ahead + 1 : steps;
}

int64_t kv_batch_steps_to_full_block(const struct kv_instance *n, int64_t steps)
{
    int32_t block = block_tokens(n), b = n->step_phase;
    for (int64_t ahead = 1; ahead < steps && ahead <= block; ahead++) {
        if (++b == block) b = 0;
        if (n->phase[b] > 0) return ahead;
    }
    return steps;
}

/* Contexts grow by `steps` tokens each. */
static void grow(struct kv_instance *n, int64_t steps)
{
    int64_t count = n->decode_count;
    n->ctx_sq_sum += (kv_cost)2 * steps * n->ctx_sum + (kv_cost)count * steps * steps;
    n->ctx_sum += count * steps;
    if (n->ctx_max >= 0) n->ctx_max += steps;
    n->step += steps;
    n->step_phase = (int32_t)kv_remainder(n->block, (uint32_t)n->step_phase + (uint32_t)steps);
    n->outstanding_tokens -= count * steps;
    n->serve->counters.steps += steps;
    n->serve->counters.decode_tokens += count * steps;
}

void kv_batch_roll(struct kv_instance *n, int64_t steps)
{
    while (steps > 0) {
        /* Registrations come in step order where that can matter: where two publishers may register the same key, or
         * where a key is there already. */
        int64_t some = steps;
        if (n->publish_step - n->step < steps && (n->publishers_meet || !publish_ahead(n, steps)))
            some = n->publish_step - n->step;
        kv_blocks_take(&n->blocks, blocks_ahead(n, some));
        grow(n, some);
        kv_batch_publish(n, KV_NONE);
        steps -= some;
    }
}

void kv_batch_end_step(struct kv_instance *n)
{
    grow(n, 1);
}

/* ---- price ------------------------------------------------------------------------------------------------- */

static void find_ctx_max(struct kv_instance *n)
{
    n->ctx_max = 0;
    for (uint32_t place = n->head; place != KV_NONE; place = n->place[place].next)
        if (n->place[place].decoding && context_of(n, place) > n->ctx_max) n->ctx_max = context_of(n, place);
}

void kv_batch_summary(struct kv_instance *n, struct kv_batch *batch)
{
    if (n->ctx_max < 0) find_ctx_max(n);
    if (n->decode_count == 0) n->ctx_max = 0;
    *batch = (struct kv_batch){.decode_count = n->decode_count, .ctx_sum = n->ctx_sum, .ctx_max = n->ctx_max,
                               .ctx_sq_sum = n->ctx_sq_sum};
    n->chunks.count = 0;
    for (size_t i = 0; i < n->prefills.count; i++) {
        const struct kv_seq *q = kv_seq_at(n->serve, n->place[n->prefills.at[i].place].seq);
        int64_t ctx = q->computed_tokens, tokens = n->prefills.at[i].new_tokens;
        if (tokens > 1) {
            bool last = ctx + tokens == q->input_tokens + q->generated_tokens;
            kv_vec_push(&n->chunks, ((struct kv_chunk){tokens, ctx, last}));
            continue;
        }
        batch->decode_count++;
        batch->ctx_sum += ctx;
        batch->ctx_sq_sum += (kv_cost)ctx * ctx;
        if (ctx > batch->ctx_max) batch->ctx_max = ctx;
    }
    batch->chunks = n->chunks.at;
    batch->chunk_count = (int32_t)n->chunks.count;
}

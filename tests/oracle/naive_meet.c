/* SPDX-License-Identifier: Apache-2.0 */
/* Compute or load (T44): a load that comes from its last chunk to its first while its owner computes from the first
 * block on, until they meet. */
#include "tests/oracle/naive_parts.h"

/* --- The load --- */

/* Chunks in the order of the blocks to load, the last first; one that several segments need stands where the last of
 * them has it. */
static void put_last_first(const struct oracle *o, struct load *load)
{
    for (size_t i = load->blocks.count; i-- > 0;) {
        const struct load_block *b = &load->blocks.at[i];
        int64_t index = b->index / naive_chunk_blocks(o, b->tier);
        int32_t part = 0;
        int64_t chunk = 0;
        while (load->parts.at[part].pool->tier != b->tier) part++;
        while (load->parts.at[part].index.at[chunk] != index) chunk++;
        bool known = false;
        for (size_t k = 0; k < load->last_first.count; k++)
            known = known || (load->last_first.at[k].part == part && load->last_first.at[k].chunk == chunk);
        if (!known) kv_vec_push(&load->last_first, ((struct load_chunk){part, chunk}));
    }
}

void naive_ask_from_the_end(struct oracle *o, struct load *load)
{
    if (load->last_first.count == 0) put_last_first(o, load);
    size_t ended = 0;
    for (size_t p = 0; p < load->parts.count; p++) ended += (size_t)load->parts.at[p].ended;
    while (load->asked_chunks < load->last_first.count
           && load->asked_chunks - ended < (size_t)o->config->fetch.concurrency) {
        struct load_chunk next = load->last_first.at[load->asked_chunks++];
        naive_ask(o, load, next.part, next.chunk);
    }
}

/* From here on it never times out. */
void naive_load_joined(struct load *load)
{
    load->joined = true;
    load->deadline = KV_TICK_NEVER;
}

/* --- The meeting --- */

static bool arrived(const struct oracle *o, const struct load *load, int64_t index)
{
    for (size_t i = 0; i < load->blocks.count; i++)
        if (load->blocks.at[i].index == index) return naive_block_arrived(o, load, &load->blocks.at[i]);
    return true;                     /* found in HBM */
}

int64_t naive_meeting_tokens(const struct oracle *o, int64_t seat)
{
    const struct seat *s = &o->seats[seat];
    int64_t block = (int64_t)s->sources.count;
    while (block > s->leading && (s->beside->over || arrived(o, s->beside, block - 1))) block--;
    return block * block_tokens(o);
}

/* All blocks of the chunk have come by this load. */
static bool fill_came(const struct oracle *o, const struct load *load, const struct fill *f)
{
    const struct job *j = &o->jobs[load->job];
    int64_t r = naive_chunk_blocks(o, f->pool->tier);
    for (size_t i = 0; i < load->blocks.count; i++) {
        const struct load_block *b = &load->blocks.at[i];
        if (naive_chunk_key(o, j, f->pool->tier, b->index / r) != f->pool->chunks.at[f->chunk].key) continue;
        if (!naive_block_arrived(o, load, b)) return false;
    }
    return true;
}

/* They meet before it has come whole. */
static void end_here(struct oracle *o, struct load *load)
{
    bool *came = kv_arena_take(&o->arena, load->fills.count + 1);
    for (size_t i = 0; i < load->fills.count; i++) came[i] = fill_came(o, load, &load->fills.at[i]);
    naive_cancel_reads(o, load, false);
    for (size_t i = 0; i < load->fills.count; i++) {
        struct fill f = load->fills.at[i];
        (*(came[i] ? &o->coverage->kept_fills : &o->coverage->left_fills))++;
        if (!came[i]) {
            naive_leave(f.pool, f.chunk);
            continue;
        }
        naive_make_visible(o, f.pool, f.chunk);
        o->counters->tier[f.pool->tier].filled_chunks++;
    }
    naive_load_lets_go(o, load);
    naive_check_ready(o);
    naive_load_close(load);
}

bool naive_meets(struct oracle *o, int64_t seat)
{
    struct seat *s = &o->seats[seat];
    struct load *load = s->beside;
    if (!load) return true;
    if (s->computed < naive_meeting_tokens(o, seat)) return false;
    o->coverage->met++;
    o->coverage->met_at_the_end += load->over;
    o->coverage->met_own_blocks += s->computed > s->leading * block_tokens(o);
    s->own_end = ceil_div(s->computed, block_tokens(o));
    if (s->own_end < s->leading) s->own_end = s->leading;
    s->beside = NULL;
    if (!load->over) end_here(o, load);
    int64_t brought = (int64_t)s->sources.count * block_tokens(o);
    if (s->computed < brought) s->computed = brought;
    if (!s->holder) naive_count_hits(o, seat);
    return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/lib/parts.h"

#include <stdlib.h>

#include "sim/base/rng.h"

void kv_parts_begin(struct kv_parts *p, int64_t line)
{
    struct kv_parts_request request = {line, p->entries.count, 0};
    kv_vec_push(&p->requests, request);
}

void kv_parts_add(struct kv_parts *p, uint64_t id, int64_t tokens)
{
    struct kv_parts_entry entry = {id, tokens};
    kv_vec_push(&p->entries, entry);
    p->requests.at[p->requests.count - 1].count++;
    p->tokens += tokens;
}

static int by_line(const void *a, const void *b)
{
    const struct kv_parts_request *x = a, *y = b;
    if (x->line != y->line) return x->line < y->line ? -1 : 1;
    return (x->first > y->first) - (x->first < y->first);
}

void kv_parts_count(struct kv_parts *p, struct kv_parts_hits *hits)
{
    struct kv_map seen;
    *hits = (struct kv_parts_hits){0};
    kv_map_open(&seen, 1024);
    if (p->requests.count) qsort(p->requests.at, p->requests.count, sizeof *p->requests.at, by_line);
    for (size_t r = 0; r < p->requests.count; r++) {
        const struct kv_parts_request *request = &p->requests.at[r];
        bool leading = true;
        for (size_t i = request->first; i < request->first + request->count; i++) {
            bool hit = kv_map_get(&seen, kv_mix64(p->entries.at[i].id)) != KV_NONE;
            int64_t tokens = hit ? p->entries.at[i].tokens : 0;
            leading = leading && hit;
            hits->anywhere += hit;
            hits->anywhere_tokens += tokens;
            hits->prefix += leading;
            if (leading) hits->prefix_tokens += tokens;
        }
        for (size_t i = request->first; i < request->first + request->count; i++)
            kv_map_put(&seen, kv_mix64(p->entries.at[i].id), 0);
    }
    hits->unique = (int64_t)seen.count;
    kv_map_close(&seen);
}

void kv_parts_close(struct kv_parts *p)
{
    kv_vec_close(&p->requests);
    kv_vec_close(&p->entries);
}

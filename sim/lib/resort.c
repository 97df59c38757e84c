/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/lib/resort.h"

#include <string.h>

bool kv_resort_push(struct kv_resort *r, const struct kv_input *in, int64_t time_ns, const void *bytes, size_t size,
                    struct kv_err *err)
{
    if (r->pushed > 0 && time_ns < r->latest.ns - r->disorder_ns) {
        return kv_input_fail(in, err, "time %s s is earlier than %s s in line %lld by more than max_disorder (%s s)",
                             kv_seconds_text(time_ns).text, kv_seconds_text(r->latest.ns).text,
                             (long long)r->latest.line, kv_seconds_text(r->disorder_ns).text);
    }
    if (r->pushed == 0 || time_ns > r->latest.ns) r->latest = (struct kv_order){time_ns, in->line_number};
    struct kv_kept kept = {kv_mem_take(size), size};
    memcpy(kept.bytes, bytes, size);
    uint32_t index;
    if (r->unused.count > 0) {
        index = r->unused.at[--r->unused.count];
        r->kept.at[index] = kept;
    } else {
        index = (uint32_t)r->kept.count;
        kv_vec_push(&r->kept, kept);
    }
    kv_pqueue_push(&r->queue, (struct kv_pentry){time_ns, r->pushed++, index});
    return true;
}

const void *kv_resort_pop(struct kv_resort *r, bool ended)
{
    if (r->queue.count == 0) return NULL;
    if (!ended && r->queue.at[0].key > r->latest.ns - r->disorder_ns) return NULL;
    uint32_t index = kv_pqueue_pop(&r->queue).value;
    if (r->out.bytes) kv_mem_give(r->out.bytes, r->out.size);
    r->out = r->kept.at[index];
    r->kept.at[index] = (struct kv_kept){0};
    kv_vec_push(&r->unused, index);
    return r->out.bytes;
}

void kv_resort_close(struct kv_resort *r)
{
    if (r->out.bytes) kv_mem_give(r->out.bytes, r->out.size);
    for (size_t i = 0; i < r->kept.count; i++)
        if (r->kept.at[i].bytes) kv_mem_give(r->kept.at[i].bytes, r->kept.at[i].size);
    kv_vec_close(&r->kept);
    kv_vec_close(&r->unused);
    kv_pqueue_close(&r->queue);
}

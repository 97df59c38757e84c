/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/told.h"

#include <string.h>

bool kv_told_fetch(void *told, const struct kv_fetch_record *record, struct kv_err *err)
{
    (void)err;
    kv_vec_push(&((struct kv_told *)told)->fetches, *record);
    return true;
}

static const kv_tick *copy(struct kv_told *told, const kv_tick *from, int32_t count)
{
    kv_tick *to = kv_arena_take(&told->arena, (size_t)count * sizeof *to);
    memcpy(to, from, (size_t)count * sizeof *to);
    return to;
}

bool kv_told_layers(void *state, const struct kv_layers_record *record, struct kv_err *err)
{
    (void)err;
    struct kv_told *told = state;
    struct kv_layers_record kept = *record;
    kept.fetch_end_tk = copy(told, record->fetch_end_tk, record->layers);
    kept.compute_start_tk = copy(told, record->compute_start_tk, record->layers);
    kept.compute_end_tk = copy(told, record->compute_end_tk, record->layers);
    kv_vec_push(&told->layers, kept);
    return true;
}

void kv_told_close(struct kv_told *told)
{
    kv_vec_close(&told->fetches);
    kv_vec_close(&told->layers);
    kv_arena_close(&told->arena);
}

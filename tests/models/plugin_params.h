/* SPDX-License-Identifier: Apache-2.0 */
/* Default parameters of a plug-in, and small random numbers, for contract tests over the registry. */
#ifndef KV_TESTS_MODELS_PLUGIN_PARAMS_H
#define KV_TESTS_MODELS_PLUGIN_PARAMS_H

#include <math.h>
#include <stdlib.h>

#include "sim/base/rng.h"
#include "sim/conf/bind.h"
#include "sim/plug.h"

/* The parameter struct with every default filled in, from the arena; NULL for a plug-in without parameters. */
static inline void *plugin_defaults(struct kv_arena *arena, const struct kv_plugin_info *info)
{
    if (!info->params) return NULL;
    void *params = kv_arena_take(arena, info->params_bytes);
    struct kv_diag diag = {0};
    kv_bind(arena, NULL, "test", info->params, params, &diag);
    if (diag.errors) abort();   /* the caller gives required parameters itself */
    kv_diag_close(&diag);
    if (info->prepare) info->prepare(params);
    return params;
}

/* xorshift-like sequence: `*state` is the whole state. */
static inline uint64_t draw(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    return kv_mix64(*state);
}

static inline int64_t draw_below(uint64_t *state, int64_t bound)
{
    return (int64_t)(draw(state) % (uint64_t)bound);
}

/* Anything that the table allows: numbers evenly over the orders of magnitude from 1e-9 of the largest on, sometimes
 * the smallest or the largest; at most `cap` (for state that grows with a parameter). Texts stay empty. */
static inline void *plugin_draw(struct kv_arena *arena, const struct kv_plugin_info *info, double cap, uint64_t *seed)
{
    if (!info->params) return NULL;
    char *params = kv_arena_take(arena, info->params_bytes);
    for (const struct kv_param *row = info->params; row->key; row++) {
        double max = row->max > 0 && row->max < cap ? row->max : cap;
        double share = pow(10, -9.0 * (double)draw_below(seed, 1001) / 1000);
        double value = draw_below(seed, 8) == 0 ? row->min : max * share;
        if (value < row->min) value = row->min;
        int64_t whole = (int64_t)value;
        if (whole < (int64_t)ceil(row->min)) whole = (int64_t)ceil(row->min);
        switch (row->dim) {
        case KV_DIM_COUNT: case KV_DIM_TOKENS: case KV_DIM_BYTES:
            *(int64_t *)(void *)(params + row->offset) = whole;
            break;
        case KV_DIM_BOOL: *(bool *)(params + row->offset) = draw_below(seed, 2); break;
        case KV_DIM_TEXT: *(const char **)(void *)(params + row->offset) = ""; break;
        case KV_DIM_CHOICE: *(int64_t *)(void *)(params + row->offset) = 0; break;
        default: *(double *)(void *)(params + row->offset) = value; break;
        }
    }
    if (info->prepare) info->prepare(params);
    return params;
}

#endif

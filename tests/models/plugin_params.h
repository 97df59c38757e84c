/* SPDX-License-Identifier: Apache-2.0 */
/* Default parameters of a plug-in, and small random numbers, for contract tests over the registry. */
#ifndef KV_TESTS_MODELS_PLUGIN_PARAMS_H
#define KV_TESTS_MODELS_PLUGIN_PARAMS_H

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

#endif

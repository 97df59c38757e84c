/* SPDX-License-Identifier: Apache-2.0 */
/* Stores as YAML describes them, and what they plan: for tests of closed forms. The including file has cmocka's headers
 * and string.h. */
#ifndef KV_TESTS_OPEN_STORE_H
#define KV_TESTS_OPEN_STORE_H

#include <math.h>

#include "sim/lib/pipe.h"
#include "tests/models/plugin_params.h"
#include "tests/support/arena.h"

/* 256 tokens of Llama-3.1-8B: 32 layers, 32 MiB; 16 blocks of 16. */
static const struct kv_store_env chunk_256 = { .layers = 32, .chunk_tokens = 256, .block_tokens = 16,
                                               .chunk_bytes = 32 << 20, .concurrency = 8, .seed = 42 };

struct store { const struct kv_store_ops *ops; void *state; };
static struct store opened[256];
static int32_t opened_count;

/* To be closed at the end of the test program. */
static inline struct store keep_open(struct store s)
{
    if (opened_count == 256) fail_msg("more than 256 stores");
    return opened[opened_count++] = s;
}

static inline int close_stores(void **unused)
{
    (void)unused;
    for (int32_t i = 0; i < opened_count; i++)
        if (opened[i].ops->close) opened[i].ops->close(opened[i].state);
    opened_count = 0;
    kv_arena_close(&arena);
    return 0;
}

/* Opens a store with the defaults and what the YAML text says. */
static inline struct store store_of(const char *name, const struct kv_store_env *env, const char *yaml)
{
    const struct kv_plugin *plugin = kv_plugin_find(KV_FAMILY_store, name);
    struct store s = { .ops = kv_plugin_ops(store, plugin) };
    struct kv_diag diag = {0};
    struct kv_err err = {0};
    struct kv_yaml *map = kv_yaml_parse(&arena, name, yaml, strlen(yaml), &diag);
    void *params = kv_arena_take(&arena, plugin->info->params_bytes);
    if (!map || !kv_bind(&arena, map, name, plugin->info->params, params, &diag)
        || !kv_bind_unknown(map, name, plugin->info->params, NULL, NULL, &diag))
        fail_msg("%s", kv_diag_text(&diag, false));
    s.state = kv_arena_take(&arena, s.ops->state_bytes + 1);
    assert_true(s.ops->open(s.state, params, env, &err));
    kv_diag_close(&diag);
    return keep_open(s);
}

static inline struct kv_access_plan plan_of(struct store s, bool write, enum kv_delivery delivery, int64_t chunks)
{
    struct kv_access access = { .write = write, .delivery = delivery, .chunks = chunks };
    return s.ops->plan(s.state, &access);
}

static inline double limit_Bps(struct kv_access_plan plan) { return kv_rate_to_Bps(plan.limit); }
#define assert_near(a, b) \
    do { \
        if (!(fabs((a) - (b)) <= 1e-6 * fabs(b))) \
            fail_msg("%s = %.12g, expected %.12g", #a, (double)(a), (double)(b)); \
    } while (0)

#endif

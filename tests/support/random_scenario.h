/* SPDX-License-Identifier: Apache-2.0 */
/* A random scenario from a number: cluster, load and prefix structure, small enough for the naive engine and drawn
 * so that the corners of docs/engine.md are met often (test_oracle counts them). The same number gives the same
 * scenario for ever, on every machine with the same libm and GSL. */
#ifndef KV_TESTS_SUPPORT_RANDOM_SCENARIO_H
#define KV_TESTS_SUPPORT_RANDOM_SCENARIO_H

#include "sim/base/arena.h"
#include "sim/iface/config.h"
#include "sim/serve/sim.h"

struct kv_random_scenario {
    uint64_t number;
    struct kv_arena arena;          /* holds everything below; closed by kv_random_scenario_close */
    struct kv_model_shape model;
    struct kv_gpu_spec gpu;
    struct kv_sim_config config;
    struct kv_request *requests;
    int64_t count;
    const char *text;               /* one line for failure messages */
};

/* Where a source over an array stands. */
struct kv_array_source { const struct kv_request *requests; int64_t count, next; };
struct kv_source kv_array_source(struct kv_array_source *a);

/* The struct does not move between draw and close: the configuration points into it. */
void kv_random_scenario_draw(struct kv_random_scenario *s, uint64_t number);
/* The same with lower tiers, links or hand-over, drawn so that the corners of docs/tiers.md are met often. Its numbers
 * are its own. */
void kv_random_scenario_draw_tiers(struct kv_random_scenario *s, uint64_t number);
void kv_random_scenario_close(struct kv_random_scenario *s);

/* Parameters of a plug-in, all defaults, and one of them set. Asserts that the key exists. */
void *kv_test_params(struct kv_arena *arena, const struct kv_plugin_info *info);
void kv_test_param_set(const struct kv_plugin_info *info, void *params, const char *key, double value);
/* The plug-in's ops struct by name. Asserts that it exists. */
const void *kv_test_plugin(const char *family, const char *name);
/* Seconds that kv_cost_from_s takes for exactly so many whole ns. */
double kv_test_exact_s(int64_t ns);

#endif

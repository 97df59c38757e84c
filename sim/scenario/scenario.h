/* SPDX-License-Identifier: Apache-2.0 */
/* A scenario file, read, checked and resolved. */
#ifndef KV_SCENARIO_SCENARIO_H
#define KV_SCENARIO_SCENARIO_H

#include "sim/conf/diag.h"
#include "sim/conf/yaml.h"
#include "sim/iface/config.h"
#include "sim/plug.h"

struct kv_scenario {
    struct kv_arena arena;            /* all text, trees and parameter structs below */
    const char *path, *name;
    const char *text;                 /* the file as read */
    struct kv_yaml *tree;             /* after extends and --set */
    struct kv_model_shape model;
    struct kv_gpu_spec gpu;           /* gpu.name NULL: none given */
    int64_t nodes, gpus_per_node;
    struct kv_sim_config sim;         /* sim.compute_env points at model and gpu above */
    struct kv_workload_config workload;
    struct kv_slo_class slo[KV_SLO_CLASSES_MAX];
    int32_t slo_count;                /* slo[0] is "default" when any is given */
    struct kv_output_config output;
    /* How the HBM pool came about, for tables and /meta. */
    struct { int64_t capacity_bytes, weight_bytes, activation_bytes, block_bytes; const char *rule;
             const char *name; /* of the tier: its source label */ } hbm;
};

/* One `--set KEY=VALUE` on the command line, in order. */
struct kv_override { const char *key, *value; };

/* Reads `path`, applies overrides, checks everything and resolves it. Every problem goes to *diag (with position,
 * source line and suggestion); false when there is at least one error. kv_scenario_close in either case. */
bool kv_scenario_load(struct kv_scenario *s, const char *path, const struct kv_override *set, int32_t set_count,
                      struct kv_diag *diag);
void kv_scenario_close(struct kv_scenario *s);
/* The resolved scenario as YAML: every key in force, defaults written out. With `origin`, a comment on each line
 * says where the value came from (default, FILE:LINE, --set). Loading the text again gives the same text. */
char *kv_scenario_resolved(struct kv_scenario *s, bool origin);
/* What the store of tier[index] (1..) is told when it opens. */
struct kv_store_env kv_scenario_store_env(const struct kv_scenario *s, int32_t index);
/* JSON schema of a scenario, from the tables that read it. */
const char *kv_scenario_schema(struct kv_arena *arena);

#endif

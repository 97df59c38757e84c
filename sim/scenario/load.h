/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of sim/scenario share while a scenario is being loaded. */
#ifndef KV_SCENARIO_LOAD_H
#define KV_SCENARIO_LOAD_H

#include "sim/conf/bind.h"
#include "sim/scenario/scenario.h"
#include "sim/scenario/sections.h"
#include "sim/scenario/shapes.h"

struct kv_load {
    struct kv_scenario *s;
    struct kv_arena *arena;     /* of the scenario */
    struct kv_diag *diag;
    bool model_known;           /* s->model is filled */
    bool efficiency_given;      /* transfer.efficiency is in the file */
    bool gpu_blamed;            /* it has been said what is wrong with cluster.nodes.gpu */
};

/* One a section of the file, in this order. Each notes its problems and leaves the struct usable for the next. */
void kv_load_model(struct kv_load *l);
void kv_load_cluster(struct kv_load *l);
void kv_load_engine(struct kv_load *l);
void kv_load_compute(struct kv_load *l);
void kv_load_route(struct kv_load *l);
void kv_load_links(struct kv_load *l);        /* network.links: tiers name them */
void kv_load_fetch(struct kv_load *l);
void kv_load_transfer(struct kv_load *l);
void kv_load_check_transfer(struct kv_load *l);   /* with tiers and links known */
void kv_load_tiers(struct kv_load *l);
void kv_load_handover(struct kv_load *l);
void kv_load_ranks(struct kv_load *l);        /* with tiers and hand-over known, before the network */
void kv_load_network(struct kv_load *l);      /* gateways, rates of nodes; and what nothing crosses */
void kv_load_workload(struct kv_load *l);
void kv_load_slo(struct kv_load *l);
void kv_load_output(struct kv_load *l);
/* tiers[1..]: into sim.tier[index]; `index` counts from 1. `node`: of the tier. */
void kv_load_lower_tier(struct kv_load *l, struct kv_yaml *node, int32_t index);
/* What can only be judged when all tiers are there. `first`: node of tiers[0]. */
void kv_load_check_tiers(struct kv_load *l, struct kv_yaml *first);
/* Tiers below the first that the file lists, good or not. */
int32_t kv_load_lower_count(struct kv_load *l);
/* Node of an instance (docs/tiers.md, T1). */
int32_t kv_load_node_of(const struct kv_load *l, int32_t instance);

/* Notes, once, that `what` needs cluster.nodes.gpu. */
void kv_load_no_gpu(struct kv_load *l, const char *what);
/* An error at a node: at its value, or where a default would have stood. Returns false. */
bool kv_load_error(struct kv_load *l, const struct kv_yaml *node, const char *hint, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
bool kv_load_warning(struct kv_load *l, const struct kv_yaml *node, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The map under `key`, made (as a default) where there is none. A wrong kind of node is noted by kv_bind. */
struct kv_yaml *kv_load_map(struct kv_load *l, struct kv_yaml *parent, const char *key);
/* Adds `key: text` as a default. Returns the node. */
struct kv_yaml *kv_load_default(struct kv_load *l, struct kv_yaml *map, const char *key, const char *text);
/* Notes unknown keys of a section whose keys have all been read, and puts its keys in the order of the tables.
 * `name` is the section in messages: "tiers[1] (dram)". */
void kv_load_end(struct kv_load *l, struct kv_yaml *map, const struct kv_section *section, const char *name);

/* A special of form OPTIONAL: true when it is there and good. */
bool kv_load_optional(struct kv_load *l, struct kv_yaml *map, const struct kv_section *section, const char *key,
                      void *out);
/* A special of form WORD: index of the word, or -1 for a value in *out. Its preset where absent or wrong. */
int32_t kv_load_word(struct kv_load *l, struct kv_yaml *map, const struct kv_section *section, const char *key,
                     void *out);
/* A special of form WORD_MAP: a word becomes the map {FIRST_KEY: word}, so that the rest has one form to read. */
struct kv_yaml *kv_load_word_map(struct kv_load *l, struct kv_yaml *map, const char *key, const char *first_key);
/* The plug-in of that name; NULL, and noted at `node`, when there is none. `path` is the key in messages. */
const struct kv_plugin *kv_load_find(struct kv_load *l, const struct kv_yaml *node, const char *path,
                                     enum kv_family family, const char *name);
/* A special of form NAMES: its nodes, at most `max` (more, and what is no name, is noted). 0 where it is absent. */
int32_t kv_load_names(struct kv_load *l, struct kv_yaml *map, const char *key, struct kv_yaml **nodes, int32_t max);
/* Puts a node into a map, behind its other children; makes it a copy of `from` with another parent. */
void kv_load_adopt(struct kv_load *l, struct kv_yaml *map, const struct kv_yaml *from);
/* The keys of the profile that `map` names under `profile`, where `map` does not have them itself. `path` is that of
 * `map`. `kind` is what it is of, and another one is an error; NULL: the profile says that too. */
void kv_load_profile(struct kv_load *l, struct kv_yaml *map, const char *path, kv_profile_loader *load,
                     const char *kind);
/* A plug-in under `key`: a name or a map {kind: NAME, parameters...} (`policy` says the same). A name gets its
 * parameters, defaults included, as a map. `preset` may be NULL: the key must be there. `extra`: keys beside the
 * plug-in's own, bound into extra_out. NULL when there is no such plug-in (noted). */
const struct kv_plugin *kv_load_plugin(struct kv_load *l, struct kv_yaml *map, const char *key, enum kv_family family,
                                       const char *preset, const struct kv_param *extra, void *extra_out,
                                       const void **params);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Every key of a scenario, as data: what the loader reads, what `config schema` and `list params` print and what
 * unknown keys are compared with.
 *
 * A section is a map of keys. Keys with a plain value and a default are rows of `params`, bound into a struct by
 * sim/conf/bind.h; every other key is a `special`, read by the code of its section. */
#ifndef KV_SCENARIO_SECTIONS_H
#define KV_SCENARIO_SECTIONS_H

#include "sim/conf/param.h"
#include "sim/plug.h"

enum kv_form {
    KV_FORM_OPTIONAL,  /* a value of param.dim; without it nothing is in force, or what the section computes */
    KV_FORM_WORD,      /* one of param.choices, or a value of param.dim: capacity: auto | 40GiB */
    KV_FORM_PLUGIN,    /* name of a plug-in of `family`, one of param.choices, or a map {kind: NAME, its parameters} */
    KV_FORM_MAP,       /* a map: section `section` */
    KV_FORM_WORD_MAP,  /* one of param.choices, or section `section` with that word under its first key */
    KV_FORM_MAP_OF,    /* a map whose keys are names, each a section `section` */
    KV_FORM_LIST,      /* a list: "X[]" is the section of its first item, "X[1..]" that of the others */
    KV_FORM_NAME,      /* the name of a plug-in of `family`, or of something else where that is KV_FAMILY_COUNT */
    KV_FORM_NAMES,     /* a name or a list of names */
    KV_FORM_PARAMS,    /* parameters of the plug-in of `family` that another key names; `profile` presets them */
};

struct kv_special {
    struct kv_param param;    /* key, dim, range, choices, help; preset is for reading only */
    enum kv_form form;
    enum kv_family family;
    const char *section;
};
#define KV_SPECIAL_END { KV_PARAM_END, KV_FORM_NAME, KV_FAMILY_COUNT, NULL }

struct kv_section {
    const char *path;         /* "engine", "tiers[]", "slo.*"; "" is the top level */
    const char *help;
    const struct kv_param *params;
    const struct kv_special *specials;   /* NULL or ended by KV_SPECIAL_END */
};

/* All sections, in the order of a scenario file. */
const struct kv_section *kv_sections(int32_t *count);
const struct kv_section *kv_section_find(const char *path);
/* "engine": path of a section that has this key; NULL when none has. */
const char *kv_section_of_key(const char *key);
/* What users call the plug-ins of a family: "eviction policy". */
const char *kv_family_noun(enum kv_family family);

/* One a file of sim/scenario. */
extern const struct kv_section kv_section_top, kv_section_model, kv_section_cluster, kv_section_nodes,
    kv_section_instances, kv_section_engine, kv_section_compute, kv_section_route, kv_section_tier,
    kv_section_lower_tier, kv_section_workload, kv_section_window, kv_section_prefix, kv_section_infer,
    kv_section_system_prompts, kv_section_replay, kv_section_delay, kv_section_slo, kv_section_slo_class,
    kv_section_output, kv_section_layers, kv_section_network, kv_section_link, kv_section_gateway, kv_section_fetch,
    kv_section_transfer, kv_section_handover;

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* From a file name to a checked scenario: read, `extends`, --set, then section by section. */
#include "sim/scenario/scenario.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "sim/scenario/load.h"

#define EXTENDS_MAX 16

/* ---- the top level ---- */

struct top_keys { int64_t version, seed; };
static const struct kv_param top_params[] = {
    { "kvsim", KV_DIM_COUNT, offsetof(struct top_keys, version), "1", 1, 1, NULL, "version of this format", NULL },
    { "seed", KV_DIM_COUNT, offsetof(struct top_keys, seed), "42", 0, 9.2e18, NULL, "of all random draws", NULL },
    KV_PARAM_END
};
#define SECTION(key, help) { { key, KV_DIM_TEXT, 0, NULL, 0, 0, NULL, help, NULL }, KV_FORM_MAP, KV_FAMILY_COUNT, key }
static const struct kv_special top_specials[] = {
    { { "extends", KV_DIM_TEXT, 0, NULL, 0, 0, NULL, "scenario whose keys hold where this one says nothing", NULL },
      KV_FORM_OPTIONAL, KV_FAMILY_COUNT, NULL },
    { { "name", KV_DIM_TEXT, 0, NULL, 0, 0, NULL, "of the scenario; default: the file's", NULL },
      KV_FORM_OPTIONAL, KV_FAMILY_COUNT, NULL },
    SECTION("model", "the model served"), SECTION("cluster", "machines and instances"),
    { { "compute", KV_DIM_TEXT, 0, "roofline", 0, 0, NULL, "what a step costs", NULL },
      KV_FORM_PLUGIN, KV_FAMILY_compute, "compute" },
    SECTION("engine", "batching and blocks of an instance"),
    { { "tiers", KV_DIM_TEXT, 0, NULL, 0, 0, NULL, "where KV lives; the first is hbm", NULL },
      KV_FORM_LIST, KV_FAMILY_COUNT, "tiers[]" },
    SECTION("network", "links and gateways"),
    SECTION("fetch", "how KV comes from lower tiers"),
    SECTION("transfer", "bandwidth of flows"),
    SECTION("disaggregation", "prefill and decode on different instances"),
    { { "route", KV_DIM_TEXT, 0, "round_robin", 0, 0, NULL, "which instance serves a request", NULL },
      KV_FORM_PLUGIN, KV_FAMILY_route, "route" },
    SECTION("workload", "the requests"),
    { { "slo", KV_DIM_TEXT, 0, NULL, 0, 0, NULL, "service level objectives by class", NULL },
      KV_FORM_MAP_OF, KV_FAMILY_COUNT, "slo.*" },
    SECTION("output", "what is written down"),
    KV_SPECIAL_END
};
const struct kv_section kv_section_top = { "", "a scenario", top_params, top_specials };

static const char *base_name(struct kv_arena *arena, const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *dot = strrchr(name, '.');
    return dot && dot > name ? kv_arena_copy(arena, name, (size_t)(dot - name)) : name;
}

static void load_top(struct kv_load *l)
{
    struct kv_scenario *s = l->s;
    struct top_keys k = {0};
    kv_bind(l->arena, s->tree, "", top_params, &k, l->diag);
    s->sim.seed = (uint64_t)k.seed;
    s->name = base_name(l->arena, s->path);
    if (!kv_yaml_get(s->tree, "name")) kv_load_default(l, s->tree, "name", s->name);
    else kv_load_optional(l, s->tree, &kv_section_top, "name", &s->name);
}

/* ---- extends ---- */

struct chain { struct { dev_t device; ino_t inode; } file[EXTENDS_MAX]; int32_t count; };

/* True when the file is on the chain already; else puts it there. */
static bool closes_loop(struct chain *chain, const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0) return false;
    for (int32_t i = 0; i < chain->count; i++)
        if (chain->file[i].device == info.st_dev && chain->file[i].inode == info.st_ino) return true;
    chain->file[chain->count].device = info.st_dev;
    chain->file[chain->count++].inode = info.st_ino;
    return false;
}

/* The tree of `path` laid over those it extends. `from`: the `extends` value that asked for it, NULL for the first. */
static struct kv_yaml *read_tree(struct kv_load *l, const char *path, const struct kv_yaml *from, struct chain *chain)
{
    size_t length;
    const char *text;
    struct stat info;
    if (from && stat(path, &info) != 0) {
        kv_diag_add(l->diag, KV_ERROR, from->pos, NULL,
                    "extends: '%s' was not found (paths are relative to this file)", path);
        return NULL;
    }
    if (from && chain->count == EXTENDS_MAX) {
        kv_diag_add(l->diag, KV_ERROR, from->pos, NULL, "extends: more than %d files in a row", EXTENDS_MAX);
        return NULL;
    }
    if (closes_loop(chain, path)) {
        kv_diag_add(l->diag, KV_ERROR, from->pos, NULL, "extends: '%s' extends itself, by way of this file", path);
        return NULL;
    }
    if (!kv_yaml_read(l->arena, path, &text, &length, l->diag)) return NULL;
    if (!from) l->s->text = text;
    struct kv_yaml *tree = kv_yaml_parse(l->arena, path, text, length, l->diag);
    if (tree && tree->kind != KV_YAML_MAP) {
        kv_diag_add(l->diag, KV_ERROR, tree->pos, NULL,
                    "a scenario is a map of keys; found %s (see `kvsim config init`)",
                    tree->kind == KV_YAML_LIST ? "a list" : "a single value");
        return NULL;
    }
    struct kv_yaml *extends = tree ? kv_yaml_get(tree, "extends") : NULL;
    if (!extends) return tree;
    const char *base;
    if (!kv_bind_scalar(l->arena, extends, "extends", &top_specials[0].param, &base, l->diag)) return NULL;
    const char *slash = strrchr(path, '/');
    if (*base != '/' && slash) base = kv_arena_text(l->arena, "%.*s/%s", (int)(slash - path), path, base);
    struct kv_yaml *under = read_tree(l, base, extends, chain);
    if (!under) return NULL;   /* without its base, half of what this file means is missing */
    struct kv_yaml **link = &tree->child;   /* done with: what is in force no longer depends on it */
    while (*link != extends) link = &(*link)->next;
    *link = extends->next;
    tree->count--;
    return kv_yaml_merge(l->arena, under, tree);
}

/* ---- all of it ---- */

bool kv_scenario_load(struct kv_scenario *s, const char *path, const struct kv_override *set, int32_t set_count,
                      struct kv_diag *diag)
{
    *s = (struct kv_scenario){0};
    struct kv_load l = {.s = s, .arena = &s->arena, .diag = diag};
    struct chain chain = {0};
    s->path = kv_arena_text(&s->arena, "%s", path);
    s->name = base_name(&s->arena, s->path);
    s->sim.time_limit_tk = KV_TICK_NEVER;
    s->sim.instance_count = s->sim.tp = 1;

    s->tree = read_tree(&l, s->path, NULL, &chain);
    for (int32_t i = 0; s->tree && i < set_count; i++)
        kv_yaml_set(&s->arena, s->tree, set[i].key, set[i].value, i + 1, diag);
    if (!s->tree) return false;

    load_top(&l);
    kv_load_model(&l);
    kv_load_cluster(&l);
    kv_load_engine(&l);
    kv_load_links(&l);
    kv_load_fetch(&l);
    kv_load_transfer(&l);
    kv_load_tiers(&l);
    kv_load_handover(&l);
    kv_load_ranks(&l);
    kv_load_network(&l);
    kv_load_check_transfer(&l);
    kv_load_route(&l);
    kv_load_workload(&l);
    kv_load_slo(&l);
    kv_load_output(&l);
    kv_load_compute(&l);   /* last: opens the model when all else is well */
    kv_load_end(&l, s->tree, &kv_section_top, "");
    return diag->errors == 0;
}

void kv_scenario_close(struct kv_scenario *s)
{
    kv_arena_close(&s->arena);
    *s = (struct kv_scenario){0};
}

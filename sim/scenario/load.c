/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/scenario/load.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A default has no place of its own: the nearest parent that stands in a file is the place. */
static struct kv_pos place_of(const struct kv_load *l, const struct kv_yaml *node)
{
    while (node && node->origin == KV_FROM_DEFAULT) node = node->parent;
    if (!node || (!node->parent && !node->pos.line)) return (struct kv_pos){.file = l->s->path};
    if (node->kind == KV_YAML_SCALAR || !node->key) return node->pos;
    return node->key_pos;
}

bool kv_load_error(struct kv_load *l, const struct kv_yaml *node, const char *hint, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return kv_diag_add(l->diag, KV_ERROR, place_of(l, node), hint, "%s", text);
}

bool kv_load_warning(struct kv_load *l, const struct kv_yaml *node, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return kv_diag_add(l->diag, KV_WARNING, place_of(l, node), NULL, "%s", text);
}

static void append(struct kv_yaml *map, struct kv_yaml *node)
{
    struct kv_yaml **link = &map->child;
    while (*link) link = &(*link)->next;
    *link = node;
    node->parent = map;
    map->count++;
}

static struct kv_yaml *add(struct kv_load *l, struct kv_yaml *map, const char *key, enum kv_yaml_kind kind,
                           const char *text)
{
    struct kv_yaml *node = kv_arena_take(l->arena, sizeof *node);
    *node = (struct kv_yaml){.kind = kind, .origin = KV_FROM_DEFAULT, .used = true, .key = key, .text = text,
                             .pos = map->pos, .key_pos = map->key ? map->key_pos : map->pos};
    append(map, node);
    return node;
}

struct kv_yaml *kv_load_default(struct kv_load *l, struct kv_yaml *map, const char *key, const char *text)
{
    return add(l, map, key, KV_YAML_SCALAR, text);
}

struct kv_yaml *kv_load_map(struct kv_load *l, struct kv_yaml *parent, const char *key)
{
    struct kv_yaml *node = kv_yaml_get(parent, key);
    return node ? node : add(l, parent, key, KV_YAML_MAP, NULL);
}

static const struct kv_special *special_of(const struct kv_section *section, const char *key)
{
    for (const struct kv_special *s = section->specials; s && s->param.key; s++)
        if (!strcmp(s->param.key, key)) return s;
    return NULL;
}

/* Moves the child of that key, if there is one, behind the children already moved. */
static void move_next(const char *key, struct kv_yaml ***tail)
{
    for (struct kv_yaml **link = *tail; *link; link = &(*link)->next) {
        struct kv_yaml *node = *link;
        if (strcmp(node->key, key) != 0) continue;
        *link = node->next;
        node->next = **tail;
        **tail = node;
        *tail = &node->next;
        return;
    }
}

void kv_load_end(struct kv_load *l, struct kv_yaml *map, const struct kv_section *section, const char *name)
{
    if (!map || map->kind != KV_YAML_MAP) return;
    KV_VEC(const char *) others = {0};
    for (const struct kv_special *s = section->specials; s && s->param.key; s++) kv_vec_push(&others, s->param.key);
    kv_vec_push(&others, NULL);
    kv_bind_unknown(map, name, section->params, others.at, kv_section_of_key, l->diag);
    kv_vec_close(&others);

    struct kv_yaml **tail = &map->child;
    for (const struct kv_param *p = section->params; p && p->key; p++) move_next(p->key, &tail);
    for (const struct kv_special *s = section->specials; s && s->param.key; s++) move_next(s->param.key, &tail);
}

static const char *path_of(struct kv_load *l, const struct kv_yaml *map, const char *key)
{
    const char *path = kv_yaml_path(l->arena, map);
    return *path ? kv_arena_text(l->arena, "%s.%s", path, key) : key;
}

bool kv_load_optional(struct kv_load *l, struct kv_yaml *map, const struct kv_section *section, const char *key,
                      void *out)
{
    const struct kv_yaml *node = kv_yaml_get(map, key);
    return node && kv_bind_scalar(l->arena, node, path_of(l, map, key), &special_of(section, key)->param, out,
                                  l->diag);
}

int32_t kv_load_word(struct kv_load *l, struct kv_yaml *map, const struct kv_section *section, const char *key,
                     void *out)
{
    const struct kv_special *s = special_of(section, key);
    const struct kv_yaml *node = kv_yaml_get(map, key);
    const char *text = s->param.preset, *words = "", *why;
    if (!node && text && map && map->kind == KV_YAML_MAP) kv_load_default(l, map, key, text);
    if (node && node->kind == KV_YAML_SCALAR) text = node->text;
    else if (node) kv_bind_scalar(l->arena, node, path_of(l, map, key), &s->param, out, l->diag);
    if (!text) return 0;   /* there is no preset, and what is wrong has been said */
    for (int32_t i = 0; s->param.choices[i]; i++) {
        if (!strcmp(text, s->param.choices[i])) return i;
        words = kv_arena_text(l->arena, "%s%s%s", words, i ? ", " : "", s->param.choices[i]);
    }
    if (kv_value_parse(l->arena, &s->param, text, out, &why)) return -1;
    kv_load_error(l, node, NULL, "%s: %s; or one of: %s", path_of(l, map, key), why, words);
    return 0;
}

struct kv_yaml *kv_load_word_map(struct kv_load *l, struct kv_yaml *map, const char *key, const char *first_key)
{
    struct kv_yaml *node = kv_load_map(l, map, key);
    if (node->kind != KV_YAML_SCALAR) return node;
    struct kv_yaml *word = kv_arena_take(l->arena, sizeof *word);
    *word = *node;
    word->key = first_key;
    word->next = NULL;
    node->kind = KV_YAML_MAP;
    node->count = 0;
    append(node, word);
    return node;
}

void kv_load_adopt(struct kv_load *l, struct kv_yaml *map, const struct kv_yaml *from)
{
    struct kv_yaml *copy = kv_arena_take(l->arena, sizeof *copy);
    *copy = *from;
    copy->next = NULL;
    copy->used = false;
    append(map, copy);
}

int32_t kv_load_names(struct kv_load *l, struct kv_yaml *map, const char *key, struct kv_yaml **nodes, int32_t max)
{
    struct kv_yaml *node = kv_yaml_get(map, key);
    if (!node) return 0;
    const char *path = path_of(l, map, key);
    if (node->kind == KV_YAML_MAP || node->kind == KV_YAML_NULL) {
        kv_load_error(l, node, NULL, "%s: found %s, expected a name or a list of names", path,
                      node->kind == KV_YAML_MAP ? "a map" : "no value");
        return 0;
    }
    int32_t count = 0;
    for (struct kv_yaml *c = node->kind == KV_YAML_SCALAR ? node : node->child; c; c = c->next) {
        if (c->kind != KV_YAML_SCALAR) kv_load_error(l, c, NULL, "%s: expected a name", path);
        else if (count == max) kv_load_error(l, c, NULL, "%s: more than %d names", path, max);
        else nodes[count++] = c;
        if (c == node) break;
    }
    return count;
}

/* ---- profiles ---- */

void kv_load_profile(struct kv_load *l, struct kv_yaml *map, const char *path, kv_profile_loader *load,
                     const char *kind)
{
    bool store = load == kv_store_profile_load;
    struct kv_yaml *name = kv_yaml_get(map, "profile");
    if (!name) return;
    if (name->kind != KV_YAML_SCALAR) {
        kv_load_error(l, name, NULL, "%s.profile: expected the name of a %s profile (see `kvsim list profiles`)", path,
                      store ? "store" : "link");
        return;
    }
    const char *file = name->origin == KV_FROM_FILE && name->pos.file ? name->pos.file : l->s->path;
    const char *slash = strrchr(file, '/');
    const char *folder = slash ? kv_arena_copy(l->arena, file, (size_t)(slash - file)) : "";
    struct kv_yaml *profile = load(l->arena, name->text, folder, name->pos, l->diag);
    if (!profile) return;
    const char *its = kv_yaml_get(profile, "kind")->text;
    if (kind && strcmp(kind, its) != 0) {
        kv_load_error(l, name, NULL, "%s.profile: %s is a profile of kind %s; this %s is of kind %s", path, name->text,
                      its, store ? "tier" : "link", kind);
        return;
    }
    static const char *const about[] = {"name", "kind", "source", "aliases", "calibration"};
    for (const struct kv_yaml *c = profile->child; c; c = c->next) {
        bool wanted = true;
        for (size_t i = 0; i < sizeof about / sizeof *about; i++) wanted = wanted && strcmp(c->key, about[i]);
        if (!kind && !strcmp(c->key, "kind")) wanted = true;
        if (wanted && !kv_yaml_get(map, c->key)) kv_load_adopt(l, map, c);
    }
}

/* ---- plug-ins ---- */

const struct kv_plugin *kv_load_find(struct kv_load *l, const struct kv_yaml *node, const char *path,
                                     enum kv_family family, const char *name)
{
    const struct kv_plugin *plugin = kv_plugin_find(family, name);
    if (plugin) return plugin;
    int32_t count;
    const struct kv_plugin *all = kv_plugins(&count);
    KV_VEC(const char *) names = {0};
    for (int32_t i = 0; i < count; i++)
        if (all[i].family == family) kv_vec_push(&names, all[i].name);
    const char *near = kv_suggest(name, names.at, (int32_t)names.count);
    const char *hint = near ? kv_arena_text(l->arena, "did you mean '%s'?", near) : NULL;
    kv_load_error(l, node, hint, "%s: unknown %s '%s'; known: %s", path, kv_family_noun(family), name,
                  kv_plugin_names(family));
    kv_vec_close(&names);
    return NULL;
}

/* The node that names the plug-in: `kind` or, saying the same, `policy`. */
static struct kv_yaml *selector(struct kv_load *l, struct kv_yaml *node, const char *path, enum kv_family family,
                                const char *preset)
{
    struct kv_yaml *kind = kv_yaml_get(node, "kind"), *policy = kv_yaml_get(node, "policy");
    if (kind && policy) {
        kv_load_error(l, policy, NULL, "%s: 'kind' and 'policy' say the same thing; give one", path);
        return NULL;
    }
    if (kind || policy) return kind ? kind : policy;
    if (preset) return kv_load_default(l, node, family == KV_FAMILY_route ? "policy" : "kind", preset);
    kv_load_error(l, node, NULL, "%s: which %s? add kind: NAME; known: %s", path, kv_family_noun(family),
                  kv_plugin_names(family));
    return NULL;
}

/* Puts the selector first, then the plug-in's keys in the order of its table. */
static void end_plugin(struct kv_load *l, struct kv_yaml *node, const char *path, const struct kv_param *params,
                       const struct kv_param *extra)
{
    const char *others[8] = {"kind", "policy"};
    for (int32_t i = 0; i < 5 && extra && extra[i].key; i++) others[2 + i] = extra[i].key;
    kv_bind_unknown(node, path, params, others, kv_section_of_key, l->diag);
    struct kv_yaml **tail = &node->child;
    move_next("kind", &tail);
    move_next("policy", &tail);
    move_next("profile", &tail);
    for (const struct kv_param *p = extra; p && p->key; p++) move_next(p->key, &tail);
    for (const struct kv_param *p = params; p && p->key; p++) move_next(p->key, &tail);
}

const struct kv_plugin *kv_load_plugin(struct kv_load *l, struct kv_yaml *map, const char *key, enum kv_family family,
                                       const char *preset, const struct kv_param *extra, void *extra_out,
                                       const void **params)
{
    const char *path = path_of(l, map, key);
    struct kv_yaml *node = kv_yaml_get(map, key);
    if (!node && preset) node = kv_load_default(l, map, key, preset);
    if (!node) {
        kv_load_error(l, map, NULL, "%s: missing; known: %s", path, kv_plugin_names(family));
        return NULL;
    }
    if (node->kind == KV_YAML_LIST || node->kind == KV_YAML_NULL) {
        kv_load_error(l, node, NULL, "%s: found %s, expected the name of a %s or a map {kind: NAME, ...}", path,
                      node->kind == KV_YAML_LIST ? "a list" : "no value", kv_family_noun(family));
        return NULL;
    }
    struct kv_yaml *name = node->kind == KV_YAML_SCALAR ? node : selector(l, node, path, family, preset);
    if (!name) return NULL;
    if (name->kind != KV_YAML_SCALAR) {
        kv_load_error(l, name, NULL, "%s: expected the name of a %s", path, kv_family_noun(family));
        return NULL;
    }
    const struct kv_plugin *plugin = kv_load_find(l, name, path, family, name->text);
    const struct kv_plugin_info *info = plugin ? plugin->info : NULL;
    if (node->kind == KV_YAML_SCALAR && !extra && (!info || !info->params)) return plugin;
    if (node->kind == KV_YAML_SCALAR)
        node = kv_load_word_map(l, map, key, family == KV_FAMILY_route ? "policy" : "kind");
    if (extra) kv_bind(l->arena, node, path, extra, extra_out, l->diag);
    if (!plugin) return NULL;   /* its keys cannot be judged */
    void *bound = info->params_bytes ? kv_arena_take(l->arena, info->params_bytes) : NULL;
    if (info->params) kv_bind(l->arena, node, path, info->params, bound, l->diag);
    if (info->prepare) info->prepare(bound);
    end_plugin(l, node, kv_arena_text(l->arena, "%s (%s)", path, plugin->name), info->params, extra);
    *params = bound;
    return plugin;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* YAML (libyaml) as a tree whose nodes know where they stand. YAML 1.2 core: only true and false are booleans.
 * Refused, with position: duplicate keys, more than one document, anchors expanding beyond limits, nesting deeper
 * than 64, files over 4 MiB, keys that are not plain scalars. */
#ifndef KV_CONF_YAML_H
#define KV_CONF_YAML_H

#include "sim/conf/diag.h"

enum kv_yaml_kind { KV_YAML_SCALAR, KV_YAML_MAP, KV_YAML_LIST, KV_YAML_NULL };
enum kv_yaml_origin { KV_FROM_FILE, KV_FROM_SET, KV_FROM_DEFAULT };

struct kv_yaml {
    enum kv_yaml_kind kind;
    enum kv_yaml_origin origin;
    bool quoted;               /* scalar written in quotes or as a block */
    bool used;                 /* a reader asked for it: what stays unused is an unknown key */
    const char *key;           /* in its parent map; NULL otherwise */
    struct kv_pos key_pos, pos;
    const char *text;          /* scalar */
    struct kv_yaml *child, *next, *parent;   /* children in file order */
    int32_t count;             /* children */
};

/* NULL when the text cannot be parsed at all (the reason is in *diag). `file` names it in messages. */
struct kv_yaml *kv_yaml_parse(struct kv_arena *arena, const char *file, const char *text, size_t length,
                              struct kv_diag *diag);
/* Reads a whole file into the arena; false with a note (I/O problems too). */
bool kv_yaml_read(struct kv_arena *arena, const char *path, const char **text, size_t *length,
                  struct kv_diag *diag);
struct kv_yaml *kv_yaml_get(struct kv_yaml *map, const char *key);    /* NULL when absent; marks it used */
/* "tiers[1].evict": path of a node, for messages. Arena text. */
const char *kv_yaml_path(struct kv_arena *arena, const struct kv_yaml *node);
/* Sets a.b[2].c to the YAML text `value`, making maps on the way; positions read "<--set #N>:1:C". */
bool kv_yaml_set(struct kv_arena *arena, struct kv_yaml *root, const char *key, const char *value, int32_t number,
                 struct kv_diag *diag);
/* Lays `over` on `base`: maps merge key by key, anything else replaces. For `extends`. */
struct kv_yaml *kv_yaml_merge(struct kv_arena *arena, struct kv_yaml *base, struct kv_yaml *over);

#endif

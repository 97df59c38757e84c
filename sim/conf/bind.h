/* SPDX-License-Identifier: Apache-2.0 */
/* From YAML nodes to typed values by parameter tables. */
#ifndef KV_CONF_BIND_H
#define KV_CONF_BIND_H

#include "sim/conf/param.h"
#include "sim/conf/yaml.h"

/* Parses one scalar text as a value of `param`'s dimension into `out` (storage as in param.h). On failure *why
 * says what was found and expected, e.g. "'100' needs a unit (accepted: bps, Kbps..Tbps, B/s..GiB/s); e.g. 100Gbps". */
bool kv_value_parse(struct kv_arena *arena, const struct kv_param *param, const char *text, void *out,
                    const char **why);
/* The shortest YAML text that parses back to the same value: "64GiB", "75us". */
const char *kv_value_text(struct kv_arena *arena, const struct kv_param *param, const void *value);

/* A text as a YAML scalar: quoted only where it must be. */
const char *kv_text_quoted(struct kv_arena *arena, const char *text);

/* One node as a value of `param`; notes a map, a list, a missing value or a bad value as an error of `path`. */
bool kv_bind_scalar(struct kv_arena *arena, const struct kv_yaml *node, const char *path,
                    const struct kv_param *param, void *out, struct kv_diag *diag);
/* Fills `out` (the struct that `params` describes) from the children of `map` (may be NULL: all defaults),
 * defaults included; notes every problem (bad value, out of range, missing required key). Marks what it used, and
 * adds a node (KV_FROM_DEFAULT) for every default, so that the tree then says all that is in force.
 * Returns false when it noted an error. */
bool kv_bind(struct kv_arena *arena, struct kv_yaml *map, const char *path, const struct kv_param *params,
             void *out, struct kv_diag *diag);
/* Notes every child of `map` that nobody used as an unknown key, with the nearest of `params` and `others`
 * (NULL-terminated names) as suggestion; "this key belongs to X" when `elsewhere` knows it (may be NULL). */
bool kv_bind_unknown(struct kv_yaml *map, const char *path, const struct kv_param *params,
                     const char *const *others, const char *(*elsewhere)(const char *key), struct kv_diag *diag);

#endif

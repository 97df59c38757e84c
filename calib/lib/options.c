/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/lib/options.h"

#include <string.h>

#include "sim/conf/bind.h"

/* The option's name for a key: "first_byte" is "first-byte". */
static const char *name_of(struct kv_arena *arena, const char *key)
{
    char *name = kv_arena_copy(arena, key, strlen(key));
    for (char *c = name; *c; c++)
        if (*c == '_') *c = '-';
    return name;
}

static const struct kv_param *find(struct kv_arena *arena, const struct kv_param *rows, const char *name, size_t length)
{
    for (const struct kv_param *row = rows; row->key; row++) {
        const char *known = name_of(arena, row->key);
        if (strlen(known) == length && !strncmp(known, name, length)) return row;
    }
    return NULL;
}

static bool unknown(struct kv_arena *arena, const struct kv_param *rows, const char *word, struct kv_err *err)
{
    const char *names[64];
    int32_t count = 0;
    for (const struct kv_param *row = rows; row->key && count < 64; row++) names[count++] = name_of(arena, row->key);
    const char *near = !strncmp(word, "--", 2) ? kv_suggest(word + 2, names, count) : NULL;
    return kv_fail(err, KV_EUSAGE, word, near ? "unknown option; did you mean '--%s'?" : "unknown option%s",
                   near ? near : "");
}

static bool set(struct kv_arena *arena, const struct kv_param *row, const char *word, const char *text, void *out,
                struct kv_err *err)
{
    const char *why = NULL;
    return kv_value_parse(arena, row, text, (char *)out + row->offset, &why)
           || kv_fail(err, KV_EUSAGE, word, "%s", why);
}

bool kv_options_read(struct kv_arena *arena, const struct kv_param *rows, int count, char **word, void *out,
                     struct kv_err *err)
{
    for (const struct kv_param *row = rows; row->key; row++)
        if (row->preset && !set(arena, row, row->key, row->preset, out, err)) return false;
    for (int i = 0; i < count; i++) {
        const char *at = word[i], *equals = strchr(at, '='), *name = at + 2;
        size_t length = equals ? (size_t)(equals - name) : strlen(at) > 2 ? strlen(name) : 0;
        bool output = !strcmp(at, "-o");
        if (output) name = "output", length = 6, equals = NULL;
        else if (strncmp(at, "--", 2) != 0) return unknown(arena, rows, at, err);
        const struct kv_param *row = find(arena, rows, name, length);
        if (!row) return unknown(arena, rows, at, err);
        const char *text = equals ? equals + 1 : NULL;
        if (row->dim == KV_DIM_BOOL && !text) text = "true";
        else if (!text && i + 1 == count) return kv_fail(err, KV_EUSAGE, at, "a value is missing");
        else if (!text) text = word[++i];
        if (!set(arena, row, at, text, out, err)) return false;
    }
    return true;
}

const char *kv_options_text(struct kv_arena *arena, const struct kv_param *rows)
{
    const char *all = "";
    for (const struct kv_param *row = rows; row->key; row++)
        all = kv_arena_text(arena, "%s  --%-14s %s%s%s%s\n", all, name_of(arena, row->key), row->help,
                            row->preset && *row->preset ? " (" : "",
                            row->preset && *row->preset ? row->preset : "", row->preset && *row->preset ? ")" : "");
    return all;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON schema of a scenario, from the same tables that read it; editors use it through
 * `# yaml-language-server: $schema=kvsim.schema.json`. */
#include <stdio.h>
#include <string.h>

#include "sim/conf/bind.h"
#include "sim/conf/units.h"
#include "sim/scenario/scenario.h"
#include "sim/scenario/sections.h"

struct out { KV_VEC(char) text; struct kv_arena *arena; };

static void put(struct out *o, const char *text)
{
    size_t length = strlen(text);
    kv_vec_reserve(&o->text, o->text.count + length + 1);
    memcpy(o->text.at + o->text.count, text, length);
    o->text.count += length;
}

static void put_string(struct out *o, const char *text)
{
    put(o, "\"");
    for (const char *c = text; *c; c++) {
        if (*c == '"' || *c == '\\') put(o, "\\");
        put(o, (char[]){*c, 0});
    }
    put(o, "\"");
}

static void put_help(struct out *o, const struct kv_param *p)
{
    if (p->help) {
        put(o, ", \"description\": ");
        put_string(o, p->help);
    }
    bool bare = p->dim == KV_DIM_BOOL || p->dim == KV_DIM_COUNT || p->dim == KV_DIM_TOKENS || p->dim == KV_DIM_NUMBER
                || p->dim == KV_DIM_FRACTION;
    if (p->preset && *p->preset) {
        put(o, ", \"default\": ");
        bool word = p->dim != KV_DIM_BOOL && (*p->preset < '0' || *p->preset > '9');   /* auto, unlimited */
        if (bare && !word) put(o, p->preset);
        else put_string(o, p->preset);
    }
}

/* "^number *(unit|unit)$" */
static void put_pattern(struct out *o, enum kv_dim dim)
{
    put(o, "\"type\": \"string\", \"pattern\": \"^[+]?[0-9]*[.]?[0-9]+([eE][-+]?[0-9]+)? *(");
    for (const struct kv_unit *u = kv_units(dim); u->name; u++) {
        if (u != kv_units(dim)) put(o, "|");
        put(o, u->name);
    }
    put(o, ")$\", \"examples\": [");
    put_string(o, kv_units_example(dim));
    put(o, "]");
}

static void put_words(struct out *o, const char *const *words)
{
    put(o, "\"enum\": [");
    for (int32_t i = 0; words[i]; i++) {
        if (i) put(o, ", ");
        put_string(o, words[i]);
    }
    put(o, "]");
}

/* The members that describe a value, without braces. */
static void put_value(struct out *o, const struct kv_param *p)
{
    char range[96] = "";
    if (p->min != 0 || p->max != 0)
        snprintf(range, sizeof range, ", \"minimum\": %.17g, \"maximum\": %.17g", p->min, p->max);
    switch (p->dim) {
    case KV_DIM_COUNT:
    case KV_DIM_TOKENS: put(o, "\"type\": \"integer\""); put(o, *range ? range : ", \"minimum\": 0"); break;
    case KV_DIM_NUMBER: put(o, "\"type\": \"number\""); put(o, range); break;
    case KV_DIM_FRACTION:
        put(o, "\"anyOf\": [{\"type\": \"number\", \"minimum\": 0, \"maximum\": 1}, "
               "{\"type\": \"string\", \"pattern\": \"^[0-9]+([.][0-9]+)?%$\"}]");
        break;
    case KV_DIM_BOOL: put(o, "\"type\": \"boolean\""); break;
    case KV_DIM_TEXT: put(o, "\"type\": [\"string\", \"number\"]"); break;
    case KV_DIM_CHOICE: put_words(o, p->choices); break;
    default: put_pattern(o, p->dim);
    }
}

static void put_section(struct out *o, const struct kv_section *section);
static void put_special(struct out *o, const struct kv_special *s);

/* The section of the further items of a list: "X[1..]" for "X[]". */
static const struct kv_section *rest_of(struct out *o, const struct kv_section *first)
{
    int length = (int)strlen(first->path) - 1;
    const struct kv_section *rest = kv_section_find(kv_arena_text(o->arena, "%.*s1..]", length, first->path));
    return rest ? rest : first;
}

static void put_names(struct out *o, enum kv_family family)
{
    int32_t count;
    const struct kv_plugin *all = kv_plugins(&count);
    const char *between = "";
    put(o, "\"enum\": [");
    for (int32_t i = 0; i < count; i++) {
        if (all[i].family != family) continue;
        put(o, between);
        put_string(o, all[i].name);
        between = ", ";
    }
    put(o, "]");
}

/* One alternative a plug-in, so that each has its own parameters. `section` may add keys (compute.host_overhead). With
 * form PARAMS another key names the plug-in, and `profile` takes its place here. */
static void put_plugins(struct out *o, const struct kv_special *s, const struct kv_section *extra)
{
    int32_t count;
    const struct kv_plugin *all = kv_plugins(&count);
    const char *selector = s->family == KV_FAMILY_route ? "policy" : "kind";
    bool unnamed = s->form == KV_FORM_PARAMS;
    put(o, "\"anyOf\": [{");
    if (unnamed) put(o, "\"type\": \"string\"");
    else put_names(o, s->family);
    put(o, "}");
    if (s->param.choices) {   /* or none of them */
        put(o, ", {");
        put_words(o, s->param.choices);
        put(o, "}");
    }
    for (int32_t i = 0; i < count; i++) {
        if (all[i].family != s->family) continue;
        put(o, ", {\"type\": \"object\", \"additionalProperties\": false, \"properties\": {");
        put_string(o, unnamed ? "profile" : selector);
        if (unnamed) put(o, ": {\"type\": \"string\"}");
        else {
            put(o, ": {\"const\": ");
            put_string(o, all[i].name);
            put(o, "}");
        }
        const struct kv_param *tables[] = {extra ? extra->params : NULL, all[i].info->params};
        for (int32_t t = 0; t < 2; t++)
            for (const struct kv_param *p = tables[t]; p && p->key; p++) {
                put(o, ", ");
                put_string(o, p->key);
                put(o, ": {");
                put_value(o, p);
                put_help(o, p);
                put(o, "}");
            }
        for (const struct kv_special *e = extra ? extra->specials : NULL; e && e->param.key; e++) {
            if (!strcmp(e->param.key, selector)) continue;
            put(o, ", ");
            put_string(o, e->param.key);
            put(o, ": ");
            put_special(o, e);
        }
        put(o, "}}");
    }
    put(o, "]");
}

static void put_special(struct out *o, const struct kv_special *s)
{
    const struct kv_section *section = s->section ? kv_section_find(s->section) : NULL;
    put(o, "{");
    switch (s->form) {
    case KV_FORM_OPTIONAL: put_value(o, &s->param); break;
    case KV_FORM_WORD:
        put(o, "\"anyOf\": [{");
        put_words(o, s->param.choices);
        put(o, "}, {");
        put_value(o, &s->param);
        put(o, "}]");
        break;
    case KV_FORM_PLUGIN: put_plugins(o, s, section); break;
    case KV_FORM_MAP: put_section(o, section); break;
    case KV_FORM_WORD_MAP:
        put(o, "\"anyOf\": [{");
        if (s->param.choices) put_words(o, s->param.choices);
        else put_value(o, &s->param);
        put(o, "}, {");
        put_section(o, section);
        put(o, "}]");
        break;
    case KV_FORM_MAP_OF:
        put(o, "\"type\": \"object\", \"additionalProperties\": {");
        if (s->family == KV_FAMILY_COUNT) put_section(o, section);
        else put_plugins(o, s, section);
        put(o, "}");
        break;
    case KV_FORM_LIST:
        put(o, "\"type\": \"array\", \"minItems\": 1, \"items\": [{");
        put_section(o, section);
        put(o, "}], \"additionalItems\": {");
        put_section(o, rest_of(o, section));
        put(o, "}");
        break;
    case KV_FORM_NAME:
        if (s->family == KV_FAMILY_COUNT) put_value(o, &s->param);
        else put_names(o, s->family);
        break;
    case KV_FORM_NAMES:
        put(o, "\"anyOf\": [{\"type\": \"string\"}, {\"type\": \"array\", \"items\": {\"type\": \"string\"}}]");
        break;
    case KV_FORM_PARAMS: put_plugins(o, s, section); break;
    }
    put_help(o, &s->param);
    put(o, "}");
}

static void put_section(struct out *o, const struct kv_section *section)
{
    const char *between = "", *required = NULL;
    put(o, "\"type\": \"object\", \"additionalProperties\": false, \"properties\": {\n");
    for (const struct kv_param *p = section->params; p && p->key; p++) {
        put(o, between);
        put_string(o, p->key);
        put(o, ": {");
        put_value(o, p);
        put_help(o, p);
        put(o, "}");
        between = ",\n";
        if (!p->preset) required = p->key;
    }
    for (const struct kv_special *s = section->specials; s && s->param.key; s++) {
        put(o, between);
        put_string(o, s->param.key);
        put(o, ": ");
        put_special(o, s);
        between = ",\n";
    }
    put(o, "}");
    if (required) {
        put(o, ", \"required\": [");
        put_string(o, required);
        put(o, "]");
    }
}

const char *kv_scenario_schema(struct kv_arena *arena)
{
    struct out o = {.arena = arena};
    put(&o, "{\"$schema\": \"http://json-schema.org/draft-07/schema#\", \"title\": \"kvsim scenario\",\n");
    put_section(&o, kv_section_find(""));
    put(&o, "}\n");
    const char *text = kv_arena_copy(arena, o.text.at, o.text.count);
    kv_vec_close(&o.text);
    return text;
}

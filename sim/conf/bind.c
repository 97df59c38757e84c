/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/conf/bind.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/conf/units.h"

#define SHOWN_MAX 60   /* bytes of a value quoted in a message */

static bool stores_integer(enum kv_dim dim)
{
    return dim == KV_DIM_COUNT || dim == KV_DIM_TOKENS || dim == KV_DIM_BYTES || dim == KV_DIM_CHOICE;
}

static const char *quote(struct kv_arena *arena, const char *text)
{
    if (strlen(text) <= SHOWN_MAX) return kv_arena_text(arena, "'%s'", text);
    return kv_arena_text(arena, "'%.*s...'", SHOWN_MAX, text);
}

/* ---- units ---- */

static bool equal_but_case(const char *a, const char *b)
{
    for (; *a && *b; a++, b++) {
        char x = *a >= 'A' && *a <= 'Z' ? (char)(*a + 32) : *a, y = *b >= 'A' && *b <= 'Z' ? (char)(*b + 32) : *b;
        if (x != y) return false;
    }
    return *a == *b;
}

static const struct kv_unit *unit_named(enum kv_dim dim, const char *name)
{
    for (const struct kv_unit *u = kv_units(dim); u && u->name; u++)
        if (!strcmp(u->name, name)) return u;
    return NULL;
}

/* Why `unit` is no unit of this dimension: another dimension's, a matter of upper and lower case, or none at all. */
static const char *explain_unit(struct kv_arena *arena, const struct kv_param *p, const char *text, const char *unit)
{
    const char *accepted = kv_units_accepted(p->dim), *example = kv_units_example(p->dim);
    if (!kv_units(p->dim))
        return kv_arena_text(arena, "%s is not %s; e.g. %s", quote(arena, text), kv_dim_noun(p->dim), example);
    if (!*unit)
        return kv_arena_text(arena, "%s needs a unit (accepted: %s); e.g. %s", quote(arena, text), accepted, example);
    for (int dim = 0; dim <= KV_DIM_CHOICE; dim++)
        if (dim != (int)p->dim && unit_named((enum kv_dim)dim, unit))
            return kv_arena_text(arena, "%s is %s, expected %s (accepted: %s); e.g. %s", quote(arena, text),
                                 kv_dim_noun((enum kv_dim)dim), kv_dim_noun(p->dim), accepted, example);
    const struct kv_unit *near = NULL;
    for (const struct kv_unit *u = kv_units(p->dim); u->name && !near; u++)
        if (equal_but_case(u->name, unit)) near = u;
    if (near)
        return kv_arena_text(arena, "%s: units are case-sensitive; did you mean '%s'?", quote(arena, text),
                             near->name);
    return kv_arena_text(arena, "%s: unknown unit %s (accepted: %s); e.g. %s", quote(arena, text), quote(arena, unit),
                         accepted, example);
}

/* ---- numbers ---- */

/* A unit of bytes, or none, as an integer. */
static int64_t whole_factor(const struct kv_unit *u)
{
    int64_t factor = (int64_t)u->factor;
    for (int i = 0; i < u->power; i++) factor *= 10;
    return factor;
}

static const char *bound_text(struct kv_arena *arena, const struct kv_param *p, double bound)
{
    int64_t whole = bound >= 9.2e18 ? INT64_MAX : bound <= -9.2e18 ? INT64_MIN : (int64_t)bound;
    return stores_integer(p->dim) ? kv_value_text(arena, p, &whole) : kv_value_text(arena, p, &bound);
}

static bool in_range(struct kv_arena *arena, const struct kv_param *p, const char *text, double value,
                     const char **why)
{
    bool bounded = p->min != 0 || p->max != 0;
    double min = p->min, max = p->max;
    if (!bounded && p->dim == KV_DIM_FRACTION) max = 1;
    else if (!bounded) min = p->dim == KV_DIM_NUMBER ? -HUGE_VAL : 0, max = HUGE_VAL;
    if (value >= min && value <= max) return true;
    if (bounded && min == max) {
        *why = kv_arena_text(arena, "%s is not supported; it must be %s", quote(arena, text),
                             bound_text(arena, p, min));
        return false;
    }
    if (!bounded && p->dim != KV_DIM_FRACTION) {
        *why = kv_arena_text(arena, "%s must not be negative", quote(arena, text));
        return false;
    }
    *why = kv_arena_text(arena, "%s is out of range (%s to %s)", quote(arena, text), bound_text(arena, p, min),
                         bound_text(arena, p, max));
    return false;
}

/* The number in [text, end) in units of storage. */
static double scaled(struct kv_arena *arena, const char *text, const char *end, const struct kv_unit *u)
{
    const char *e = text;
    while (e < end && *e != 'e' && *e != 'E') e++;
    long power = e < end ? strtol(e + 1, NULL, 10) : 0;   /* a huge exponent saturates */
    if (power > 9999) power = 9999;
    if (power < -9999) power = -9999;
    power += u->power;
    return strtod(kv_arena_text(arena, "%.*se%ld", (int)(e - text), text, power), NULL) * u->factor / u->divisor;
}

/* Digits * unit exactly, when both are integers and the product fits. */
static bool exact_product(const char *text, const char *end, const struct kv_unit *u, int64_t *value)
{
    bool negative = *text == '-';
    if (*text == '-' || *text == '+') text++;
    int64_t v = 0, factor = whole_factor(u);
    for (; text < end; text++) {
        int64_t digit = *text - '0';
        if (v > (INT64_MAX - digit) / 10) return false;
        v = v * 10 + digit;
    }
    if (v > INT64_MAX / factor) return false;
    *value = negative ? -v * factor : v * factor;
    return true;
}

static bool parse_number(struct kv_arena *arena, const struct kv_param *p, const char *text, void *out,
                         const char **why)
{
    const char *end;
    bool integral;
    if (!kv_number_scan(text, &end, &integral)) {
        const char *sign = text + (*text == '-' || *text == '+');
        const char *word = sign + (*sign == '.');
        bool not_finite = equal_but_case(word, "nan") || equal_but_case(word, "inf")
                          || equal_but_case(word, "infinity");
        *why = not_finite ? kv_arena_text(arena, "%s is not a finite number; e.g. %s", quote(arena, text),
                                          kv_units_example(p->dim))
                          : kv_arena_text(arena, "%s is not %s; e.g. %s", quote(arena, text), kv_dim_noun(p->dim),
                                          kv_units_example(p->dim));
        return false;
    }
    const char *name = end + strspn(end, " ");
    struct kv_unit unit = {"", 0, 1, 1, true};
    bool percent = p->dim == KV_DIM_FRACTION && !strcmp(name, "%");
    if (percent) unit.power = -2;
    else if (kv_units(p->dim) || *name) {
        const struct kv_unit *found = unit_named(p->dim, name);
        if (!found) {
            *why = explain_unit(arena, p, text, name);
            return false;
        }
        unit = *found;
    }
    double value = scaled(arena, text, end, &unit);
    if (stores_integer(p->dim)) {
        int64_t whole = 0;
        if (integral ? !exact_product(text, end, &unit, &whole) : !(fabs(value) < 0x1p63)) {
            *why = kv_arena_text(arena, "%s is too large", quote(arena, text));
            return false;
        }
        if (!integral && p->dim != KV_DIM_BYTES && value != floor(value)) {
            *why = kv_arena_text(arena, "%s is not a whole number", quote(arena, text));
            return false;
        }
        if (!integral) whole = (int64_t)floor(value + 0.5);   /* 1.5GiB; nearest byte */
        if (!in_range(arena, p, text, (double)whole, why)) return false;
        *(int64_t *)out = whole;
        return true;
    }
    if (!isfinite(value)) {
        *why = kv_arena_text(arena, "%s is too large", quote(arena, text));
        return false;
    }
    if (value == 0) value = 0;   /* -0 */
    if (!in_range(arena, p, text, value, why)) return false;
    *(double *)out = value;
    return true;
}

/* ---- words ---- */

static bool parse_bool(struct kv_arena *arena, const char *text, void *out, const char **why)
{
    *(bool *)out = !strcmp(text, "true");
    if (!strcmp(text, "true") || !strcmp(text, "false")) return true;
    static const char *const yes[] = {"yes", "on", "y", "1"}, *const no[] = {"no", "off", "n", "0"};
    const char *meant = NULL;
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        if (equal_but_case(text, yes[i])) meant = "true";
        if (equal_but_case(text, no[i])) meant = "false";
    }
    if (equal_but_case(text, "true") || equal_but_case(text, "false")) meant = *text == 'T' ? "true" : "false";
    if (meant)
        *why = kv_arena_text(arena, "%s is not a boolean in YAML 1.2; write %s", quote(arena, text), meant);
    else
        *why = kv_arena_text(arena, "%s is neither true nor false", quote(arena, text));
    return false;
}

static bool parse_choice(struct kv_arena *arena, const struct kv_param *p, const char *text, void *out,
                         const char **why)
{
    int32_t count = 0;
    const char *known = "";
    for (; p->choices[count]; count++) {
        if (!strcmp(p->choices[count], text)) {
            *(int64_t *)out = count;
            return true;
        }
        known = kv_arena_text(arena, "%s%s%s", known, count ? ", " : "", p->choices[count]);
    }
    const char *near = kv_suggest(text, p->choices, count);
    *why = near ? kv_arena_text(arena, "unknown value %s; did you mean '%s'? (known: %s)", quote(arena, text),
                                near, known)
                : kv_arena_text(arena, "unknown value %s; known: %s", quote(arena, text), known);
    return false;
}

bool kv_value_parse(struct kv_arena *arena, const struct kv_param *param, const char *text, void *out,
                    const char **why)
{
    switch (param->dim) {
    case KV_DIM_BOOL: return parse_bool(arena, text, out, why);
    case KV_DIM_CHOICE: return parse_choice(arena, param, text, out, why);
    case KV_DIM_TEXT: *(const char **)out = kv_arena_text(arena, "%s", text); return true;
    default: return parse_number(arena, param, text, out, why);
    }
}

/* ---- writing values ---- */

const char *kv_text_quoted(struct kv_arena *arena, const char *text)
{
    static const char *const words[] = {"true", "false", "null", "Null", "NULL", "~"};
    static const char harmless[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./+-% ";
    bool plain = *text && strspn(text, harmless) == strlen(text)
                 && *text != ' ' && *text != '-' && *text != '%' && text[strlen(text) - 1] != ' ';
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) plain = plain && strcmp(text, words[i]) != 0;
    if (plain) return text;
    char *quoted = kv_arena_take(arena, strlen(text) * 4 + 3), *q = quoted;
    *q++ = '"';
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\') { *q++ = '\\'; *q++ = (char)*c; }
        else if (*c < 0x20 || *c == 0x7f) q += snprintf(q, 5, "\\x%02x", *c);
        else *q++ = (char)*c;
    }
    *q = '"';
    return quoted;
}

/* The fewest digits that read back as `value` in a unit; false when none do. */
static bool shortest(struct kv_arena *arena, char text[32], double value, const struct kv_unit *u)
{
    double in_units = value * u->divisor / u->factor / pow(10, u->power);
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, 32, "%.*g", digits, in_units);
        if (scaled(arena, text, text + strlen(text), u) != value) continue;
        double number = strtod(text, NULL);
        if (strchr(text, 'e') && fabs(number) < 1e15 && number == floor(number)) snprintf(text, 32, "%.0f", number);
        return true;
    }
    return false;
}

/* Few digits first, then a short unit; an exponent reads badly, and so does a number below 1. */
static size_t cost_of(const char *number, const char *unit, double value)
{
    return 2 * strlen(number) - (strchr(number, '.') != NULL) + strlen(unit) + (strchr(number, 'e') ? 8 : 0)
           + (fabs(value) < 1 ? 3 : 0);
}

static const char *write_number(struct kv_arena *arena, const struct kv_param *p, double value)
{
    static const struct kv_unit none[] = {{"", 0, 1, 1, true}, {NULL, 0, 0, 0, false}};
    const struct kv_unit *units = kv_units(p->dim) ? kv_units(p->dim) : none;   /* the first has factor 1 */
    if (value == 0) return kv_arena_text(arena, "0%s", units[0].name);
    const char *best = NULL;
    size_t best_cost = 0;
    for (const struct kv_unit *u = units; u->name; u++) {
        char number[32];
        if (!u->canonical || !shortest(arena, number, value, u)) continue;
        size_t cost = cost_of(number, u->name, strtod(number, NULL));
        if (best && cost >= best_cost) continue;
        best = kv_arena_text(arena, "%s%s", number, u->name);
        best_cost = cost;
    }
    return best;
}

static const char *write_bytes(struct kv_arena *arena, int64_t value)
{
    const char *best = kv_arena_text(arena, "%lldB", (long long)value);
    if (value == 0) return best;
    for (const struct kv_unit *u = kv_units(KV_DIM_BYTES); u->name; u++) {
        int64_t factor = whole_factor(u);
        if (!u->canonical || value % factor) continue;
        const char *text = kv_arena_text(arena, "%lld%s", (long long)(value / factor), u->name);
        if (strlen(text) < strlen(best)) best = text;
    }
    return best;
}

const char *kv_value_text(struct kv_arena *arena, const struct kv_param *param, const void *value)
{
    switch (param->dim) {
    case KV_DIM_COUNT:
    case KV_DIM_TOKENS: return kv_arena_text(arena, "%lld", (long long)*(const int64_t *)value);
    case KV_DIM_BYTES: return write_bytes(arena, *(const int64_t *)value);
    case KV_DIM_BOOL: return *(const bool *)value ? "true" : "false";
    case KV_DIM_CHOICE: return param->choices[*(const int64_t *)value];
    case KV_DIM_TEXT: return kv_text_quoted(arena, *(const char *const *)value);
    default: return write_number(arena, param, *(const double *)value);
    }
}

/* ---- maps ---- */

static const char *join(struct kv_arena *arena, const char *path, const char *key)
{
    return *path ? kv_arena_text(arena, "%s.%s", path, key) : key;
}

bool kv_bind_scalar(struct kv_arena *arena, const struct kv_yaml *node, const char *path,
                    const struct kv_param *param, void *out, struct kv_diag *diag)
{
    const char *why;
    switch (node->kind) {
    case KV_YAML_MAP:
    case KV_YAML_LIST:
        return kv_diag_add(diag, KV_ERROR, node->pos, NULL, "%s: found a %s, expected %s", path,
                           node->kind == KV_YAML_MAP ? "map" : "list", kv_dim_noun(param->dim));
    case KV_YAML_NULL:
        return kv_diag_add(diag, KV_ERROR, node->key ? node->key_pos : node->pos, NULL,
                           "%s: no value; leave the key out to get its default", path);
    case KV_YAML_SCALAR: break;
    }
    if (kv_value_parse(arena, param, node->text, out, &why)) return true;
    return kv_diag_add(diag, KV_ERROR, node->pos, NULL, "%s: %s", path, why);
}

/* A node that stands for a default, so that what is in force can be printed from the tree. */
static void add_default(struct kv_arena *arena, struct kv_yaml *map, const char *key, const char *text)
{
    struct kv_yaml *node = kv_arena_take(arena, sizeof *node), **link = &map->child;
    *node = (struct kv_yaml){.kind = KV_YAML_SCALAR, .origin = KV_FROM_DEFAULT, .used = true, .key = key,
                             .text = text,
                             .pos = map->pos, .key_pos = map->pos, .parent = map};
    while (*link) link = &(*link)->next;
    *link = node;
    map->count++;
}

bool kv_bind(struct kv_arena *arena, struct kv_yaml *map, const char *path, const struct kv_param *params,
             void *out, struct kv_diag *diag)
{
    bool good = true, readable = true;
    if (map && map->kind != KV_YAML_MAP) {
        kv_diag_add(diag, KV_ERROR, map->kind == KV_YAML_NULL && map->key ? map->key_pos : map->pos, NULL,
                    "%s: found %s, expected a map of keys", *path ? path : "the file",
                    map->kind == KV_YAML_LIST ? "a list" : map->kind == KV_YAML_NULL ? "no value" : "a single value");
        map = NULL;
        good = readable = false;
    }
    for (const struct kv_param *p = params; p && p->key; p++) {
        void *field = (char *)out + p->offset;
        struct kv_yaml *node = kv_yaml_get(map, p->key);
        const char *why;
        if (node) {
            if (kv_bind_scalar(arena, node, join(arena, path, p->key), p, field, diag)) continue;
            good = false;
        }
        if (p->preset) {
            bool parsed = kv_value_parse(arena, p, p->preset, field, &why);
            kv_assert(parsed);   /* a default that does not parse is a bug of the table */
            if (map && !node) add_default(arena, map, p->key, p->preset);
        } else if (!node && readable) {
            struct kv_pos pos = map ? map->key ? map->key_pos : map->pos : (struct kv_pos){0};
            kv_diag_add(diag, KV_ERROR, pos, NULL, "%s: missing (%s); it has no default", join(arena, path, p->key),
                        p->help ? p->help : "required");
            good = false;
        }
    }
    return good;
}

bool kv_bind_unknown(struct kv_yaml *map, const char *path, const struct kv_param *params,
                     const char *const *others, const char *(*elsewhere)(const char *key), struct kv_diag *diag)
{
    bool good = true;
    if (!map || map->kind != KV_YAML_MAP) return true;
    KV_VEC(const char *) known = {0};
    for (const struct kv_param *p = params; p && p->key; p++) kv_vec_push(&known, p->key);
    for (; others && *others; others++) kv_vec_push(&known, *others);
    for (const struct kv_yaml *c = map->child; c; c = c->next) {
        if (c->used) continue;
        good = false;
        const char *near = kv_suggest(c->key, known.at, (int32_t)known.count);
        const char *where = elsewhere && !near ? elsewhere(c->key) : NULL;
        const char *hint = near ? kv_arena_text(&diag->arena, "did you mean '%s'?", near)
                           : where ? kv_arena_text(&diag->arena, "this key belongs to %s", where) : NULL;
        if (!hint && known.count && known.count <= 12) {
            hint = "known keys: ";
            for (size_t i = 0; i < known.count; i++)
                hint = kv_arena_text(&diag->arena, "%s%s%s", hint, i ? ", " : "", known.at[i]);
        }
        kv_diag_add(diag, KV_ERROR, c->key_pos, hint, "unknown key %s in %s", quote(&diag->arena, c->key),
                    *path ? path : "the scenario");
    }
    kv_vec_close(&known);
    return good;
}

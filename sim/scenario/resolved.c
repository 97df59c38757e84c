/* SPDX-License-Identifier: Apache-2.0 */
/* The scenario as it is in force: the tree that loading has left behind, defaults included, as YAML. */
#include <stdio.h>
#include <string.h>

#include "sim/conf/bind.h"
#include "sim/scenario/scenario.h"

#define COMMENT_COLUMN 56

struct out { KV_VEC(char) text; struct kv_arena *arena; size_t line_start; bool origin; };

static void put(struct out *o, const char *text)
{
    size_t length = strlen(text);
    kv_vec_reserve(&o->text, o->text.count + length + 1);
    memcpy(o->text.at + o->text.count, text, length);
    o->text.count += length;
}

static void end_line(struct out *o, const struct kv_yaml *node)
{
    if (o->origin && node) {
        size_t width = o->text.count - o->line_start;
        do put(o, " "); while (++width < COMMENT_COLUMN);
        const char *from = "default";
        if (node->origin == KV_FROM_FILE && node->pos.file)
            from = kv_arena_text(o->arena, "%s:%d", node->pos.file, node->pos.line);
        else if (node->origin == KV_FROM_SET)
            from = kv_arena_text(o->arena, "--set %s", node->pos.text ? node->pos.text : "");
        put(o, "# ");
        for (const char *c = from; *c; c++) put(o, (char[]){*c == '\n' || *c == '\r' ? ' ' : *c, 0});
    }
    put(o, "\n");
    o->line_start = o->text.count;
}

static void put_node(struct out *o, const struct kv_yaml *node, int32_t depth);

/* "key:" and what follows, starting at the current column. */
static void put_entry(struct out *o, const struct kv_yaml *node, int32_t depth)
{
    put(o, kv_text_quoted(o->arena, node->key));
    put(o, ":");
    put_node(o, node, depth + 1);
}

/* What stands behind "key:" or "-". */
static void put_node(struct out *o, const struct kv_yaml *node, int32_t depth)
{
    if (node->kind == KV_YAML_SCALAR) {
        put(o, " ");
        bool word = !node->quoted && (!strcmp(node->text, "true") || !strcmp(node->text, "false"));
        put(o, word ? node->text : kv_text_quoted(o->arena, node->text));
        end_line(o, node);
    } else if (!node->child) {
        put(o, node->kind == KV_YAML_LIST ? " []" : node->kind == KV_YAML_MAP ? " {}" : " null");
        end_line(o, node);
    } else {
        if (node->key) end_line(o, NULL);
        for (const struct kv_yaml *c = node->child; c; c = c->next) {
            bool first_of_item = !node->key && c == node->child;
            for (int32_t i = 0; i < depth && !first_of_item; i++) put(o, "  ");
            if (first_of_item && node->parent) put(o, " ");
            if (node->kind == KV_YAML_MAP) put_entry(o, c, depth);
            else {
                put(o, "-");
                put_node(o, c, depth + 1);
            }
        }
    }
}

char *kv_scenario_resolved(struct kv_scenario *s, bool origin)
{
    struct out o = {.arena = &s->arena, .origin = origin};
    if (s->tree)
        for (const struct kv_yaml *c = s->tree->child; c; c = c->next) put_entry(&o, c, 0);
    char *text = kv_arena_copy(&s->arena, o.text.at ? o.text.at : "", o.text.count);
    kv_vec_close(&o.text);
    return text;
}

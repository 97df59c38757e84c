/* SPDX-License-Identifier: Apache-2.0 */
/* Built from libyaml's events rather than its document tree: yaml_parser_load accepts duplicate keys, expands
 * aliases without limit and recurses as deep as the text says. */
#include "sim/conf/yaml.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <yaml.h>

#define FILE_BYTES_MAX ((size_t)4 << 20)
#define DEPTH_MAX 64
#define NODES_MAX 100000     /* in all, copies made by aliases included */
#define KEYS_MAX 1000        /* in one map; look-ups are linear */
#define ANCHORS_MAX 256
#define PATH_TEXT_MAX 512

/* ---- reading files ---- */

bool kv_yaml_read(struct kv_arena *arena, const char *path, const char **text, size_t *length, struct kv_diag *diag)
{
    struct kv_pos at = {.file = path};
    struct stat info;
    if (stat(path, &info) != 0) return kv_diag_add(diag, KV_ERROR, at, NULL, "cannot open: %s", strerror(errno));
    if (S_ISDIR(info.st_mode)) return kv_diag_add(diag, KV_ERROR, at, NULL, "is a directory, not a YAML file");
    FILE *file = fopen(path, "rb");
    if (!file) return kv_diag_add(diag, KV_ERROR, at, NULL, "cannot open: %s", strerror(errno));
    KV_VEC(char) buffer = {0};
    size_t got = 1;
    while (got > 0 && buffer.count <= FILE_BYTES_MAX) {
        kv_vec_reserve(&buffer, buffer.count + 65536);
        got = fread(buffer.at + buffer.count, 1, 65536, file);
        buffer.count += got;
    }
    bool failed = ferror(file) != 0, too_large = buffer.count > FILE_BYTES_MAX;
    fclose(file);
    if (failed) kv_diag_add(diag, KV_ERROR, at, NULL, "cannot be read: %s", strerror(errno));
    else if (too_large) kv_diag_add(diag, KV_ERROR, at, "is this a trace?", "larger than the 4 MiB allowed for YAML");
    else {
        *text = kv_arena_copy(arena, buffer.at, buffer.count);
        *length = buffer.count;
    }
    kv_vec_close(&buffer);
    return !failed && !too_large;
}

/* ---- building the tree ---- */

struct frame { struct kv_yaml *node, *last; const char *key; struct kv_pos key_pos; bool skip; /* duplicate key */ };

struct builder {
    struct kv_arena *arena;
    struct kv_diag *diag;
    const char *file, *shown;          /* `shown` is the text that positions refer to */
    int32_t column_shift;              /* of line 1, for values inside `--set KEY=VALUE` */
    struct kv_yaml *root;
    struct frame frame[DEPTH_MAX];
    int32_t depth, nodes;
    const struct kv_pos *alias;        /* being expanded; NULL: none */
    struct { const char *name; struct kv_yaml *node; } anchor[ANCHORS_MAX];
    int32_t anchor_count;
};

static struct kv_pos place(const struct builder *b, yaml_mark_t start, yaml_mark_t end)
{
    struct kv_pos pos = {.file = b->file, .text = b->shown, .line = (int32_t)start.line + 1,
                         .column = (int32_t)start.column + 1, .width = 1};
    if (end.line == start.line && end.column > start.column) pos.width = (int32_t)(end.column - start.column);
    if (start.line == 0) pos.column += b->column_shift;
    return pos;
}

static bool refuse(struct builder *b, struct kv_pos pos, const char *hint, const char *text)
{
    return kv_diag_add(b->diag, KV_ERROR, pos, hint, "%s", text);
}

static bool is_null(const char *text, bool quoted)
{
    return !quoted && (!*text || !strcmp(text, "~") || !strcmp(text, "null") || !strcmp(text, "Null")
                       || !strcmp(text, "NULL"));
}

static struct kv_yaml *child_of(struct kv_yaml *map, const char *key)
{
    if (!map || map->kind != KV_YAML_MAP) return NULL;
    for (struct kv_yaml *c = map->child; c; c = c->next)
        if (!strcmp(c->key, key)) return c;
    return NULL;
}

static struct kv_yaml *new_node(struct builder *b, enum kv_yaml_kind kind, struct kv_pos pos)
{
    if (++b->nodes > NODES_MAX) {
        if (b->alias) refuse(b, *b->alias, NULL, "this alias makes the file expand to more than 100000 values");
        else refuse(b, pos, NULL, "more than 100000 values");
        return NULL;
    }
    struct kv_yaml *node = kv_arena_take(b->arena, sizeof *node);
    node->kind = kind;
    node->pos = pos;
    return node;
}

/* Puts a finished or just opened node where the parser stands. A value under a duplicate key goes nowhere. */
static void attach(struct builder *b, struct kv_yaml *node)
{
    if (!b->depth) {
        b->root = node;
        return;
    }
    struct frame *f = &b->frame[b->depth - 1];
    bool skip = f->skip;
    if (f->node->kind == KV_YAML_MAP) {
        node->key = f->key;
        node->key_pos = f->key_pos;
        f->key = NULL;
        f->skip = false;
    }
    node->parent = f->node;
    if (skip) return;
    if (f->last) f->last->next = node;
    else f->node->child = node;
    f->last = node;
    f->node->count++;
}

static bool remember_anchor(struct builder *b, const char *name, struct kv_yaml *node)
{
    if (!name) return true;
    if (b->anchor_count == ANCHORS_MAX) return refuse(b, node->pos, NULL, "more than 256 anchors");
    b->anchor[b->anchor_count].name = kv_arena_text(b->arena, "%s", name);
    b->anchor[b->anchor_count++].node = node;
    return true;
}

/* The next scalar of a map is a key. */
static bool expects_key(const struct builder *b)
{
    return b->depth && b->frame[b->depth - 1].node->kind == KV_YAML_MAP && !b->frame[b->depth - 1].key;
}

static bool take_key(struct builder *b, const char *key, struct kv_pos pos)
{
    struct frame *f = &b->frame[b->depth - 1];
    if (!strcmp(key, "<<"))
        return refuse(b, pos, "use `extends: base.yaml`", "merge keys ('<<') are not part of YAML 1.2");
    if (f->node->count >= KEYS_MAX) return refuse(b, pos, NULL, "more than 1000 keys in one map");
    const struct kv_yaml *first = child_of(f->node, key);
    if (first)
        kv_diag_add(b->diag, KV_ERROR, pos, NULL, "duplicate key '%s' (first at %d:%d)", key, first->key_pos.line,
                    first->key_pos.column);
    f->skip = first != NULL;
    f->key = key;
    f->key_pos = pos;
    return true;
}

static bool take_scalar(struct builder *b, const yaml_event_t *event)
{
    struct kv_pos pos = place(b, event->start_mark, event->end_mark);
    const char *text = kv_arena_copy(b->arena, (const char *)event->data.scalar.value, event->data.scalar.length);
    if (strlen(text) != event->data.scalar.length) return refuse(b, pos, NULL, "a NUL character inside a value");
    if (event->data.scalar.tag) return refuse(b, pos, "leave the tag out", "tags are not supported");
    if (expects_key(b)) {
        if (event->data.scalar.anchor) return refuse(b, pos, NULL, "an anchor on a key is not supported");
        return take_key(b, text, pos);
    }
    bool quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    struct kv_yaml *node = new_node(b, is_null(text, quoted) ? KV_YAML_NULL : KV_YAML_SCALAR, pos);
    if (!node) return false;
    node->text = text;
    node->quoted = quoted;
    attach(b, node);
    return remember_anchor(b, (const char *)event->data.scalar.anchor, node);
}

static bool open_collection(struct builder *b, const yaml_event_t *event, enum kv_yaml_kind kind)
{
    bool map = kind == KV_YAML_MAP;
    const yaml_char_t *tag = map ? event->data.mapping_start.tag : event->data.sequence_start.tag;
    const yaml_char_t *anchor = map ? event->data.mapping_start.anchor : event->data.sequence_start.anchor;
    struct kv_pos pos = place(b, event->start_mark, event->end_mark);
    if (tag) return refuse(b, pos, "leave the tag out", "tags are not supported");
    if (expects_key(b)) return refuse(b, pos, NULL, "a key must be a plain word, not a map or a list");
    if (b->depth == DEPTH_MAX) return refuse(b, pos, NULL, "nested deeper than 64 levels");
    struct kv_yaml *node = new_node(b, kind, pos);
    if (!node) return false;
    attach(b, node);
    b->frame[b->depth++] = (struct frame){.node = node};
    return remember_anchor(b, (const char *)anchor, node);
}

static int32_t depth_of(const struct kv_yaml *node)
{
    int32_t depth = 0;
    for (; node; node = node->parent) depth++;
    return depth;
}

/* A copy of `node` and its children; keeps their positions, since that is where their text stands. */
static struct kv_yaml *copy_tree(struct builder *b, const struct kv_yaml *node, struct kv_yaml *parent)
{
    struct kv_yaml *copy = new_node(b, node->kind, node->pos);
    if (!copy) return NULL;
    int32_t nodes = b->nodes;
    *copy = *node;
    b->nodes = nodes;
    copy->parent = parent;
    copy->child = copy->next = NULL;
    struct kv_yaml **link = &copy->child;
    if (node->child && depth_of(parent) >= DEPTH_MAX) {
        refuse(b, *b->alias, NULL, "this alias nests deeper than 64 levels");
        return NULL;
    }
    for (const struct kv_yaml *c = node->child; c; c = c->next, link = &(*link)->next)
        if (!(*link = copy_tree(b, c, copy))) return NULL;
    return copy;
}

static bool take_alias(struct builder *b, const yaml_event_t *event)
{
    struct kv_pos pos = place(b, event->start_mark, event->end_mark);
    const char *name = (const char *)event->data.alias.anchor;
    if (expects_key(b)) return refuse(b, pos, NULL, "a key must be a plain word, not an alias");
    const struct kv_yaml *node = NULL;
    for (int32_t i = b->anchor_count - 1; i >= 0 && !node; i--)
        if (!strcmp(b->anchor[i].name, name)) node = b->anchor[i].node;
    if (!node) return kv_diag_add(b->diag, KV_ERROR, pos, NULL, "alias '*%s' names no anchor before it", name);
    for (int32_t i = 0; i < b->depth; i++)
        if (b->frame[i].node == node)
            return kv_diag_add(b->diag, KV_ERROR, pos, NULL, "alias '*%s' stands inside its own anchor", name);
    struct kv_yaml *parent = b->depth ? b->frame[b->depth - 1].node : NULL;
    b->alias = &pos;
    struct kv_yaml *copy = copy_tree(b, node, parent);
    b->alias = NULL;
    if (!copy) return false;
    attach(b, copy);
    return true;
}

static bool take_event(struct builder *b, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT: return take_scalar(b, event);
    case YAML_MAPPING_START_EVENT: return open_collection(b, event, KV_YAML_MAP);
    case YAML_SEQUENCE_START_EVENT: return open_collection(b, event, KV_YAML_LIST);
    case YAML_ALIAS_EVENT: return take_alias(b, event);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT: b->depth--; return true;
    case YAML_DOCUMENT_START_EVENT:
        if (!b->root) return true;
        return refuse(b, place(b, event->start_mark, event->end_mark), NULL,
                      "a second document ('---'); one file is one document");
    default: return true;
    }
}

/* The place of a mark; the end of the last line for libyaml's end of the text, which is the line after. */
static struct kv_pos mark_place(const struct builder *b, yaml_mark_t mark, const char **line)
{
    struct kv_pos pos = place(b, mark, mark);
    const char *at = b->shown, *next;
    int32_t number = 1;
    for (; number < pos.line && (next = strchr(at, '\n')) && next[1]; number++) at = next + 1;
    if (number < pos.line) {
        pos.line = number;
        pos.column = 1;
        for (const char *c = at; *c && *c != '\n'; c++) pos.column += ((unsigned char)*c & 0xc0) != 0x80;
    }
    if (line) *line = at;
    return pos;
}

/* libyaml's own message, at the place of the problem, and where the construct began. */
static void report_syntax(const struct builder *b, const yaml_parser_t *parser)
{
    const char *problem = parser->problem ? parser->problem : "not YAML", *line;
    struct kv_pos pos = mark_place(b, parser->problem_mark, &line);
    size_t blank = strspn(line, " \t");
    const char *hint = memchr(line, '\t', blank) ? "YAML indents with spaces, not with tabs" : NULL;
    if (parser->context && (parser->context_mark.line || parser->context_mark.column)) {
        struct kv_pos began = mark_place(b, parser->context_mark, NULL);
        kv_diag_add(b->diag, KV_ERROR, pos, hint, "%s, %s that began at %d:%d", problem, parser->context, began.line,
                    began.column);
    } else if (parser->context) {
        kv_diag_add(b->diag, KV_ERROR, pos, hint, "%s, %s", problem, parser->context);
    } else {
        kv_diag_add(b->diag, KV_ERROR, pos, hint, "%s", problem);
    }
}

/* UTF-8 without control characters, or an error at the offending byte. libyaml would take UTF-16 too and gives
 * encoding errors without line and column. */
static bool check_encoding(const struct builder *b, const char *text, size_t length)
{
    if (length >= 2 && !memcmp(text, "\x1f\x8b", 2))
        return kv_diag_add(b->diag, KV_ERROR, (struct kv_pos){.file = b->file}, NULL,
                           "gzip data, not YAML text (is this a trace?)");
    struct kv_pos pos = {.file = b->file, .line = 1, .column = 1 + b->column_shift, .width = 1};
    for (size_t i = 0; i < length; pos.column++) {
        unsigned char c = (unsigned char)text[i];
        size_t bytes = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
        bool good = bytes && i + bytes <= length && (bytes > 1 || c >= 0x20 || c == '\n' || c == '\r' || c == '\t')
                    && c != 0x7f;
        for (size_t k = 1; good && k < bytes; k++) good = ((unsigned char)text[i + k] & 0xc0) == 0x80;
        if (!good)
            return kv_diag_add(b->diag, KV_ERROR, pos, NULL, "byte 0x%02x is not UTF-8 text (a binary file?)", c);
        i += bytes;
        if (c == '\n') {
            pos.line++;
            pos.column = 0;
        }
    }
    return true;
}

static struct kv_yaml *parse(struct builder *b, const char *text, size_t length)
{
    if (!check_encoding(b, text, length)) return NULL;
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) {
        kv_diag_add(b->diag, KV_ERROR, (struct kv_pos){.file = b->file}, NULL, "out of memory");
        return NULL;
    }
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, length);
    bool good = true, ended = false;
    while (good && !ended) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            report_syntax(b, &parser);
            good = false;
            break;
        }
        good = take_event(b, &event);
        ended = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    if (good && !b->root)
        kv_diag_add(b->diag, KV_ERROR, (struct kv_pos){.file = b->file}, NULL,
                    "the file is empty (or only comments)");
    return good ? b->root : NULL;
}

struct kv_yaml *kv_yaml_parse(struct kv_arena *arena, const char *file, const char *text, size_t length,
                              struct kv_diag *diag)
{
    if (length > FILE_BYTES_MAX) {
        kv_diag_add(diag, KV_ERROR, (struct kv_pos){.file = file}, NULL, "larger than the 4 MiB allowed for YAML");
        return NULL;
    }
    if (length >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) {   /* byte order mark */
        text += 3;
        length -= 3;
    }
    struct builder b = {.arena = arena, .diag = diag, .file = kv_arena_text(arena, "%s", file),
                        .shown = kv_arena_copy(arena, text, length)};
    return parse(&b, text, length);
}

/* ---- looking things up ---- */

struct kv_yaml *kv_yaml_get(struct kv_yaml *map, const char *key)
{
    struct kv_yaml *child = child_of(map, key);
    if (child) child->used = true;
    return child;
}

const char *kv_yaml_path(struct kv_arena *arena, const struct kv_yaml *node)
{
    if (!node || !node->parent) return "";
    const char *parent = kv_yaml_path(arena, node->parent);
    if (node->parent->kind == KV_YAML_MAP)
        return kv_arena_text(arena, "%s%s%s", parent, *parent ? "." : "", node->key);
    int32_t index = 0;
    for (const struct kv_yaml *c = node->parent->child; c && c != node; c = c->next) index++;
    return kv_arena_text(arena, "%s[%d]", parent, index);
}

/* ---- changing the tree ---- */

static void unlink_node(struct kv_yaml *node)
{
    struct kv_yaml **link = &node->parent->child;
    while (*link != node) link = &(*link)->next;
    *link = node->next;
    node->parent->count--;
}

static void append(struct kv_yaml *parent, struct kv_yaml *node)
{
    struct kv_yaml **link = &parent->child;
    while (*link) link = &(*link)->next;
    *link = node;
    node->next = NULL;
    node->parent = parent;
    parent->count++;
}

static void mark_origin(struct kv_yaml *node, enum kv_yaml_origin origin)
{
    node->origin = origin;
    for (struct kv_yaml *c = node->child; c; c = c->next) mark_origin(c, origin);
}

/* One step of a --set path: ".name" or "[index]", and what follows it decides the kind of a new node. */
struct step { char name[PATH_TEXT_MAX]; int32_t index; /* -1: by name */ size_t length; };

static bool next_step(const char *path, bool first, struct step *s)
{
    *s = (struct step){.index = -1};
    size_t skip = 0;
    if (*path == '[' && !first) {
        size_t digits = strspn(path + 1, "0123456789");
        if (!digits || digits > 6 || path[1 + digits] != ']') return false;
        s->index = 0;
        for (size_t i = 0; i < digits; i++) s->index = s->index * 10 + (path[1 + i] - '0');
        s->length = digits + 2;
        return true;
    }
    if (!first) {
        if (*path != '.') return false;
        skip = 1;
    }
    size_t length = strcspn(path + skip, ".[=");
    if (!length || length >= sizeof s->name) return false;
    memcpy(s->name, path + skip, length);
    s->length = skip + length;
    return true;
}

static struct kv_yaml *step_into(struct kv_yaml *node, const struct step *s)
{
    if (s->index < 0) return child_of(node, s->name);
    struct kv_yaml *c = node->kind == KV_YAML_LIST ? node->child : NULL;
    for (int32_t i = 0; c && i < s->index; i++) c = c->next;
    return c;
}

/* Puts `node` where step `s` of `parent` points, replacing what stands there; false when it cannot stand there. */
static bool put_child(struct builder *b, struct kv_yaml *parent, const struct step *s, struct kv_yaml *node,
                      struct kv_pos pos)
{
    struct kv_yaml *old = step_into(parent, s);
    if (s->index < 0) {
        node->key = kv_arena_text(b->arena, "%s", s->name);
        node->key_pos = pos;
    } else if (!old && s->index != parent->count) {
        return kv_diag_add(b->diag, KV_ERROR, pos, NULL, "index %d, but %s has %d entries", s->index,
                           *kv_yaml_path(b->arena, parent) ? kv_yaml_path(b->arena, parent) : "the list",
                           parent->count);
    }
    if (!old) {
        append(parent, node);
        return true;
    }
    struct kv_yaml **link = &parent->child;
    while (*link != old) link = &(*link)->next;
    node->next = old->next;
    node->parent = parent;
    *link = node;
    return true;
}

bool kv_yaml_set(struct kv_arena *arena, struct kv_yaml *root, const char *key, const char *value, int32_t number,
                 struct kv_diag *diag)
{
    struct builder b = {.arena = arena, .diag = diag, .file = kv_arena_text(arena, "<--set #%d>", number),
                        .shown = kv_arena_text(arena, "%s=%s", key, value), .column_shift = (int32_t)strlen(key) + 1};
    struct kv_pos pos = {.file = b.file, .text = b.shown, .line = 1, .column = 1, .width = (int32_t)strlen(key)};
    struct kv_yaml *node;
    if (!*value) {
        node = kv_arena_take(arena, sizeof *node);
        *node = (struct kv_yaml){.kind = KV_YAML_NULL, .text = "", .pos = pos};
    } else if (!(node = parse(&b, value, strlen(value)))) {
        return false;
    }
    mark_origin(node, KV_FROM_SET);

    struct kv_yaml *at = root;
    struct step s;
    for (size_t done = 0;; done += s.length) {
        struct kv_pos here = pos;
        here.column = (int32_t)done + 1;
        here.width = (int32_t)(strlen(key) - done);
        if (!next_step(key + done, done == 0, &s))
            return kv_diag_add(diag, KV_ERROR, here, NULL, "'%s' is not a key path; e.g. tiers[0].capacity", key);
        if (at->kind != (s.index < 0 ? KV_YAML_MAP : KV_YAML_LIST))
            return kv_diag_add(diag, KV_ERROR, here, NULL, "%s is not a %s, so nothing can be set inside it",
                               *kv_yaml_path(arena, at) ? kv_yaml_path(arena, at) : "the scenario",
                               s.index < 0 ? "map" : "list");
        if (!key[done + s.length]) {
            struct kv_yaml *old = step_into(at, &s);
            if (node->kind != KV_YAML_NULL) return put_child(&b, at, &s, node, pos);
            if (old) unlink_node(old);   /* null takes the key out: back to its default */
            return true;
        }
        struct kv_yaml *next = step_into(at, &s);
        if (!next || next->kind == KV_YAML_NULL) {
            struct step after;
            if (next_step(key + done + s.length, false, &after) && after.index > 0)
                return kv_diag_add(diag, KV_ERROR, here, NULL, "index %d, but %s has 0 entries", after.index, s.name);
            next = kv_arena_take(arena, sizeof *next);
            *next = (struct kv_yaml){.kind = key[done + s.length] == '[' ? KV_YAML_LIST : KV_YAML_MAP,
                                     .origin = KV_FROM_SET, .pos = pos};
            if (!put_child(&b, at, &s, next, pos)) return false;
        }
        at = next;
    }
}

/* Takes `over`'s children into `base`. Null in `over` takes the key out of `base`. */
struct kv_yaml *kv_yaml_merge(struct kv_arena *arena, struct kv_yaml *base, struct kv_yaml *over)
{
    if (!base || !over || base->kind != KV_YAML_MAP || over->kind != KV_YAML_MAP) return over ? over : base;
    for (struct kv_yaml *c = over->child, *next; c; c = next) {
        next = c->next;
        struct kv_yaml *old = child_of(base, c->key);
        if (old && old->kind == KV_YAML_MAP && c->kind == KV_YAML_MAP) {
            kv_yaml_merge(arena, old, c);
            old->pos = c->pos;
            old->key_pos = c->key_pos;
        } else if (old && c->kind == KV_YAML_NULL) {
            unlink_node(old);
        } else if (old) {
            struct kv_yaml **link = &base->child;
            while (*link != old) link = &(*link)->next;
            c->next = old->next;
            c->parent = base;
            *link = c;
        } else {
            append(base, c);
        }
    }
    base->pos = over->pos;
    return base;
}

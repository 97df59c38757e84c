/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/conf/diag.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SNIPPET_COLUMNS_MAX 120

void kv_diag_close(struct kv_diag *d)
{
    kv_vec_close(&d->note);
    kv_arena_close(&d->arena);
    d->errors = d->warnings = 0;
}

/* Text that grows; the finished text is copied into the diag's arena. */
struct out { KV_VEC(char) text; };

static void put(struct out *o, const char *text, size_t length)
{
    kv_vec_reserve(&o->text, o->text.count + length + 1);
    memcpy(o->text.at + o->text.count, text, length);
    o->text.count += length;
}

static void put_text(struct out *o, const char *text) { put(o, text, strlen(text)); }

static int by_place(const void *left, const void *right)
{
    const struct kv_note *a = left, *b = right;
    int file = strcmp(a->pos.file, b->pos.file);
    if (file) return file;
    if (a->pos.line != b->pos.line) return a->pos.line < b->pos.line ? -1 : 1;
    if (a->pos.column != b->pos.column) return a->pos.column < b->pos.column ? -1 : 1;
    return a->order < b->order ? -1 : 1;
}

static void put_json_text(struct out *o, const char *text)
{
    put_text(o, "\"");
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        char escape[8];
        if (*c == '"' || *c == '\\') snprintf(escape, sizeof escape, "\\%c", *c);
        else if (*c < 0x20 || *c == 0x7f) snprintf(escape, sizeof escape, "\\u%04x", *c);
        else snprintf(escape, sizeof escape, "%c", *c);
        put_text(o, escape);
    }
    put_text(o, "\"");
}

static void put_json(struct out *o, const struct kv_note *n)
{
    char numbers[64];
    put_text(o, "{\"file\": ");
    put_json_text(o, n->pos.file);
    snprintf(numbers, sizeof numbers, ", \"line\": %d, \"column\": %d, \"severity\": \"%s\", \"message\": ",
             n->pos.line, n->pos.column, n->severity == KV_ERROR ? "error" : "warning");
    put_text(o, numbers);
    put_json_text(o, n->text);
    put_text(o, ", \"hint\": ");
    if (n->hint) put_json_text(o, n->hint);
    else put_text(o, "null");
    put_text(o, "}\n");
}

/* Bytes of the UTF-8 character at `c`, cut short at the end of the text. Columns count characters. */
static int32_t character_bytes(const char *c)
{
    unsigned char lead = (unsigned char)*c;
    int32_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    for (int32_t i = 1; i < length; i++)
        if (((unsigned char)c[i] & 0xc0) != 0x80) return i;
    return length;
}

/* First column shown of a line: a long line is shown from a little before the place. */
static int32_t first_shown(const struct kv_pos *pos)
{
    return pos->column > SNIPPET_COLUMNS_MAX - 20 ? pos->column - 20 : 1;
}

/* The part of the source line that will be shown, in printable characters; NULL when the place is in no text. */
static const char *cut_line(struct kv_diag *d, const struct kv_pos *pos)
{
    const char *line = pos->line > 0 ? pos->text : NULL;
    for (int32_t i = 1; line && i < pos->line; i++) {
        line = strchr(line, '\n');
        if (line) line++;
    }
    if (!line) return NULL;
    struct out o = {0};
    int32_t column = 1, first = first_shown(pos);
    for (const char *c = line; *c && *c != '\n' && *c != '\r'; column++) {
        int32_t bytes = character_bytes(c);
        unsigned char lead = (unsigned char)*c;
        if (column >= first && column < first + SNIPPET_COLUMNS_MAX) {
            if (bytes == 1 && (lead < 0x20 || lead >= 0x7f)) put_text(&o, lead == '\t' ? " " : "?");
            else put(&o, c, (size_t)bytes);
        }
        c += bytes;
        if (column == first + SNIPPET_COLUMNS_MAX) break;
    }
    if (column >= first + SNIPPET_COLUMNS_MAX) put_text(&o, "...");
    const char *cut = kv_arena_copy(&d->arena, o.text.at ? o.text.at : "", o.text.count);
    kv_vec_close(&o.text);
    return cut;
}

bool kv_diag_add(struct kv_diag *d, enum kv_severity severity, struct kv_pos pos, const char *hint,
                 const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    struct kv_note note = {
        .severity = severity, .pos = pos, .text = kv_arena_text(&d->arena, "%s", text),
        .hint = hint ? kv_arena_text(&d->arena, "%s", hint) : NULL, .order = (int32_t)d->note.count,
    };
    note.pos.file = kv_arena_text(&d->arena, "%s", pos.file ? pos.file : "");
    note.pos.text = cut_line(d, &pos);   /* of a note: only what is shown, so it outlives the input */
    kv_vec_push(&d->note, note);
    if (severity == KV_ERROR) d->errors++;
    else d->warnings++;
    return false;
}

/* The source line and, below, a caret with the hint. */
static void put_snippet(struct out *o, const struct kv_pos *pos, const char *hint)
{
    if (pos->text) {
        char number[32];
        int32_t first = first_shown(pos), columns = 0;
        for (const char *c = pos->text; *c; c += character_bytes(c)) columns++;
        snprintf(number, sizeof number, "%5d | %s", pos->line, first > 1 ? "..." : "");
        put_text(o, number);
        put_text(o, pos->text);
        put_text(o, "\n      | ");
        for (int32_t i = first > 1 ? first - 3 : first; i < pos->column; i++) put_text(o, " ");
        put_text(o, "^");
        for (int32_t i = 1; i < pos->width && pos->column - first + i < columns; i++) put_text(o, "~");
        put_text(o, hint ? " " : "\n");
    } else if (hint) {
        put_text(o, "      | ");
    }
    if (hint) {
        put_text(o, hint);
        put_text(o, "\n");
    }
}

static void put_note(struct out *o, const struct kv_note *n)
{
    char place[64] = "";
    put_text(o, n->pos.file);
    if (n->pos.line > 0) snprintf(place, sizeof place, ":%d:%d", n->pos.line, n->pos.column);
    put_text(o, place);
    if (*n->pos.file) put_text(o, ": ");
    put_text(o, n->severity == KV_ERROR ? "error: " : "warning: ");
    put_text(o, n->text);
    put_text(o, "\n");
    put_snippet(o, &n->pos, n->hint);
}

const char *kv_diag_text(struct kv_diag *d, bool json)
{
    struct out o = {0};
    if (d->note.count) qsort(d->note.at, d->note.count, sizeof *d->note.at, by_place);
    int32_t errors_shown = 0;
    for (size_t i = 0; i < d->note.count; i++) {
        const struct kv_note *n = &d->note.at[i];
        if (n->severity == KV_ERROR && errors_shown++ >= KV_DIAG_SHOWN_MAX) continue;
        if (json) put_json(&o, n);
        else put_note(&o, n);
    }
    if (d->errors > KV_DIAG_SHOWN_MAX && !json) {
        int32_t more = d->errors - KV_DIAG_SHOWN_MAX;
        char rest[64];
        snprintf(rest, sizeof rest, "... and %d more error%s\n", more, more == 1 ? "" : "s");
        put_text(&o, rest);
    }
    const char *text = kv_arena_copy(&d->arena, o.text.at ? o.text.at : "", o.text.count);
    kv_vec_close(&o.text);
    return text;
}

/* Damerau-Levenshtein distance (optimal string alignment: a swap of neighbours costs 1), or `limit` + 1 when it is
 * larger than that. Words longer than the table are never near anything. */
#define WORD_MAX 64
static int32_t distance(const char *a, const char *b, int32_t limit)
{
    size_t m = strlen(a), n = strlen(b);
    if (m >= WORD_MAX || n >= WORD_MAX) return limit + 1;
    int32_t table[3][WORD_MAX];
    int32_t *before = table[0], *last = table[1], *row = table[2];
    for (size_t j = 0; j <= n; j++) last[j] = (int32_t)j;
    for (size_t i = 1; i <= m; i++) {
        row[0] = (int32_t)i;
        for (size_t j = 1; j <= n; j++) {
            int32_t best = last[j - 1] + (a[i - 1] != b[j - 1]);
            if (last[j] + 1 < best) best = last[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped && before[j - 2] + 1 < best) best = before[j - 2] + 1;
            row[j] = best;
        }
        int32_t *oldest = before;
        before = last;
        last = row;
        row = oldest;
    }
    return last[n] <= limit ? last[n] : limit + 1;
}

const char *kv_suggest(const char *word, const char *const *candidates, int32_t count)
{
    int32_t length = (int32_t)strlen(word), limit = length / 3 > 1 ? length / 3 : 1;
    const char *best = NULL;
    int32_t best_distance = limit < length ? limit + 1 : length;   /* every letter changed is not near */
    for (int32_t i = 0; i < count; i++) {
        int32_t d = distance(word, candidates[i], limit);
        if (d < best_distance) {
            best = candidates[i];
            best_distance = d;
        }
    }
    return best;
}

bool kv_diag_fail(const struct kv_diag *d, struct kv_err *err)
{
    const struct kv_note *note = d->note.at;
    while (note->severity != KV_ERROR) note++;
    char where[sizeof err->where];
    snprintf(where, sizeof where, "%s:%d:%d", note->pos.file ? note->pos.file : "", note->pos.line, note->pos.column);
    const char *hint = note->hint ? note->hint : "", *comma = note->hint ? "; " : "";
    if (d->errors == 1) return kv_fail(err, KV_ECONFIG, where, "%s%s%s", note->text, comma, hint);
    return kv_fail(err, KV_ECONFIG, where, "%s%s%s (and %d more)", note->text, comma, hint, d->errors - 1);
}

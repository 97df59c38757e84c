/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/out/sheet.h"

#include <string.h>

#include "sim/base/err.h"
#include "sim/out/format.h"

void kv_sheet_head(struct kv_sheet *s)
{
    for (size_t i = 0; i < s->column.count && s->format == KV_SHEET_CSV; i++) {
        fprintf(s->out, "%s%s", i ? "," : "", s->column.at[i]);
    }
    if (s->format == KV_SHEET_CSV) fputc('\n', s->out);
    else for (size_t i = 0; i < s->column.count; i++) s->column.at[i] = kv_format_json(&s->arena, s->column.at[i]);
    if (s->format == KV_SHEET_JSON) fputc('[', s->out);
}

/* CSV quotes only what needs it (RFC 4180). */
static void put_csv(FILE *out, const char *text)
{
    if (!strpbrk(text, ",\"\n")) {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    for (; *text; text++) {
        if (*text == '"') fputc('"', out);
        fputc(*text, out);
    }
    fputc('"', out);
}

void kv_sheet_cell(struct kv_sheet *s, const char *text, bool quote)
{
    size_t at = s->cell++;
    if (s->format == KV_SHEET_CSV) {
        if (at) fputc(',', s->out);
        put_csv(s->out, text);
        return;
    }
    if (!at) fputs(s->format == KV_SHEET_JSON ? s->any_row ? ",\n{" : "\n{" : "{", s->out);
    fprintf(s->out, "%s%s: ", at ? ", " : "", s->column.at[at]);
    if (quote) {
        struct kv_arena scratch = {0};
        fputs(kv_format_json(&scratch, text), s->out);
        kv_arena_close(&scratch);
    } else {
        fputs(*text ? text : "null", s->out);
    }
}

void kv_sheet_row(struct kv_sheet *s)
{
    kv_assert(s->cell == s->column.count);
    fputs(s->format == KV_SHEET_CSV ? "\n" : s->format == KV_SHEET_JSONL ? "}\n" : "}", s->out);
    s->cell = 0;
    s->any_row = true;
}

void kv_sheet_end(struct kv_sheet *s)
{
    if (s->format == KV_SHEET_JSON) fputs("\n]\n", s->out);
    kv_vec_close(&s->column);
    kv_arena_close(&s->arena);
}

void kv_sheet_int(struct kv_sheet *s, int64_t value)
{
    char text[KV_FORMAT_MAX];
    snprintf(text, sizeof text, "%lld", (long long)value);
    kv_sheet_cell(s, text, false);
}

void kv_sheet_real(struct kv_sheet *s, double value)
{
    char text[KV_FORMAT_MAX];
    kv_sheet_cell(s, kv_format_real(text, value), false);
}

void kv_sheet_seconds(struct kv_sheet *s, int64_t numerator_tk, int64_t denominator)
{
    char text[KV_FORMAT_MAX];
    kv_sheet_cell(s, numerator_tk < 0 ? "" : kv_format_seconds(text, numerator_tk, denominator), false);
}

void kv_sheet_difference(struct kv_sheet *s, int64_t difference_tk)
{
    char text[KV_FORMAT_MAX + 1] = "-";
    bool below = difference_tk < 0;
    kv_format_seconds(text + below, below ? -difference_tk : difference_tk, 1);
    kv_sheet_cell(s, text, false);
}

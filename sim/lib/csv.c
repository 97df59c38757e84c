/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/lib/csv.h"

#include <string.h>

/* Unquotes a field that begins at *at and returns its end (the comma or the end of the line), NULL when the
 * closing quote is missing. `""` inside stands for one quote. */
static char *unquote(char *at, char *end, struct kv_csv_field *field)
{
    char *to = at;
    field->text = to;
    for (at++; at < end; at++) {
        if (*at == '"') {
            if (at + 1 == end || at[1] != '"') break;
            at++;
        }
        *to++ = *at;
    }
    if (at == end) return NULL;
    at++;
    if (at < end && *at != ',') return NULL;
    field->length = (size_t)(to - field->text);
    *to = '\0';
    return at;
}

bool kv_csv_split(struct kv_csv *csv, char *line, size_t length)
{
    char *at = line, *end = line + length;
    csv->count = 0;
    for (;;) {
        if (csv->count == KV_CSV_FIELDS_MAX) return false;
        struct kv_csv_field *field = &csv->field[csv->count++];
        if (at < end && *at == '"') {
            at = unquote(at, end, field);
            if (!at) return false;
        } else {
            field->text = at;
            at = memchr(at, ',', (size_t)(end - at));
            if (!at) at = end;
            field->length = (size_t)(at - field->text);
        }
        if (at == end) return true;
        *at++ = '\0';
    }
}

int32_t kv_csv_find(const struct kv_csv *header, const char *name)
{
    for (int32_t i = 0; i < header->count; i++) {
        if (strcmp(header->field[i].text, name) == 0) return i;
    }
    return -1;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/lib/json_row.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool kv_json_row_fail(struct kv_json_row *row, const char *fmt, ...)
{
    char text[512];
    row->told = true;
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    int32_t length = (int32_t)strlen(row->place);
    if (length == 0) return kv_input_fail(row->in, row->err, "%s", text);
    return kv_input_fail(row->in, row->err, "%.*s: %s", length - 1, row->place, text);   /* without its last dot */
}

static int32_t find_key(const struct kv_json_form *form, struct kv_slice name)
{
    for (int32_t k = 0; form->keys[k]; k++)
        if (strlen(form->keys[k]) == name.length && memcmp(form->keys[k], name.text, name.length) == 0) return k;
    return -1;
}

/* Tells a fault of the JSON, from the innermost object; whatever else was wrong has been told. */
static bool fail_json(struct kv_json_row *row, const char *key)
{
    if (!row->json.fault || row->told) return false;
    row->told = true;
    int32_t length = (int32_t)strlen(row->place) - (key[0] == '\0');   /* without its last dot */
    return kv_input_fail(row->in, row->err, "%.*s%s%s%s at column %d", length > 0 ? length : 0, row->place, key,
                         key[0] || row->place[0] ? ": " : "", row->json.fault, kv_json_column(&row->json));
}

bool kv_json_row_object(struct kv_json_row *row, const struct kv_json_form *form, void *state, uint32_t *seen)
{
    struct kv_slice name;
    *seen = 0;
    if (!kv_json_enter(&row->json)) return fail_json(row, "");
    while (kv_json_key(&row->json, &name)) {
        int32_t key = find_key(form, name);
        if (key < 0) {
            if (!kv_json_skip(&row->json)) return fail_json(row, "");
            continue;
        }
        if (*seen & UINT32_C(1) << key) return kv_json_row_fail(row, "the key '%s' stands here twice", form->keys[key]);
        *seen |= UINT32_C(1) << key;
        if (!form->value(state, row, key)) return fail_json(row, form->keys[key]);
    }
    return !row->json.fault || fail_json(row, "");
}

bool kv_json_row_read(struct kv_json_row *row, const struct kv_input *in, const struct kv_json_form *form, void *state,
                      uint32_t *seen, struct kv_err *err)
{
    row->json = kv_json_start(in->line, in->length);
    row->in = in;
    row->err = err;
    row->told = false;
    row->place[0] = '\0';
    if (!kv_json_row_object(row, form, state, seen)) return false;
    return kv_json_finish(&row->json) || fail_json(row, "");
}

bool kv_json_row_has(struct kv_json_row *row, const struct kv_json_form *form, uint32_t seen, uint32_t wanted)
{
    for (int32_t k = 0; form->keys[k]; k++)
        if (wanted & ~seen & UINT32_C(1) << k) return kv_json_row_fail(row, "there is no '%s'", form->keys[k]);
    return true;
}

/* The name of a field with the place of its object. */
struct full_name { char text[128]; };
static struct full_name full(const struct kv_json_row *row, const char *name)
{
    struct full_name f;
    snprintf(f.text, sizeof f.text, "%s%.60s", row->place, name);
    return f;
}

bool kv_json_row_whole(struct kv_json_row *row, const char *name, int64_t max, int64_t *value)
{
    struct kv_slice n;
    if (!kv_json_number(&row->json, &n)) return false;
    return kv_number_whole(n.text, n.length, max, value) == NULL
           || kv_field_whole(row->in, full(row, name).text, n.text, n.length, max, value, row->err);
}

bool kv_json_row_ns(struct kv_json_row *row, const char *name, int32_t unit_exponent, int64_t *ns)
{
    struct kv_slice n;
    if (!kv_json_number(&row->json, &n)) return false;
    return kv_number_ns(n.text, n.length, unit_exponent, ns) == NULL
           || kv_field_ns(row->in, full(row, name).text, n.text, n.length, unit_exponent, ns, row->err);
}

bool kv_json_row_name(struct kv_json_row *row, char text[KV_JSON_TEXT_MAX + 1])
{
    enum kv_json_kind kind = kv_json_kind(&row->json);
    if (kind == KV_JSON_NULL) return kv_json_skip(&row->json);
    if (kind == KV_JSON_TEXT) return kv_json_text(&row->json, text);
    struct kv_slice n;
    if (!kv_json_number(&row->json, &n)) return false;
    if (n.length > KV_JSON_TEXT_MAX) return kv_json_row_fail(row, "a number of %zu digits as name", n.length);
    memcpy(text, n.text, n.length);
    text[n.length] = '\0';
    return true;
}

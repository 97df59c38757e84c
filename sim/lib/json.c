/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/lib/json.h"

#include <string.h>

static bool fault(struct kv_json *j, const char *what)
{
    if (!j->fault) j->fault = what;
    return false;
}

static void skip_space(struct kv_json *j)
{
    while (*j->at == ' ' || *j->at == '\t' || *j->at == '\n' || *j->at == '\r') j->at++;
}

struct kv_json kv_json_start(const char *text, size_t length)
{
    return (struct kv_json){.start = text, .at = text, .end = text + length};
}

int32_t kv_json_column(const struct kv_json *j)
{
    return (int32_t)(j->at - j->start) + 1;
}

bool kv_json_enter(struct kv_json *j)
{
    skip_space(j);
    if (*j->at != '{') return fault(j, "a JSON object was expected");
    j->at++;
    j->first = true;
    return true;
}

/* The text between quotes, escapes left as they are. */
static bool raw_string(struct kv_json *j, struct kv_slice *raw)
{
    const char *from = ++j->at;
    for (;; j->at++) {
        unsigned char c = (unsigned char)*j->at;
        if (c == '"') break;
        if (c == '\\') c = (unsigned char)*++j->at;
        if (j->at >= j->end) return fault(j, "a string without its closing quote");
        if (c < 0x20) return fault(j, "a control character inside a string");
    }
    *raw = (struct kv_slice){from, (size_t)(j->at - from)};
    j->at++;
    return true;
}

bool kv_json_key(struct kv_json *j, struct kv_slice *key)
{
    if (j->fault) return false;
    skip_space(j);
    if (*j->at == '}') {
        j->at++;
        j->first = false;   /* of what it stands in */
        return false;
    }
    if (!j->first) {
        if (*j->at != ',')
            return fault(j, j->at >= j->end ? "the object has no closing brace" : "',' or '}' was expected");
        j->at++;
        skip_space(j);
    }
    j->first = false;
    if (*j->at != '"')
        return fault(j, j->at >= j->end ? "the object has no closing brace" : "a key in quotes was expected");
    if (!raw_string(j, key)) return false;
    skip_space(j);
    if (*j->at != ':') return fault(j, "':' was expected");
    j->at++;
    return true;
}

bool kv_json_list(struct kv_json *j)
{
    if (kv_json_kind(j) != KV_JSON_LIST) return fault(j, "a list was expected");
    j->at++;
    j->first = true;
    return true;
}

bool kv_json_element(struct kv_json *j)
{
    if (j->fault) return false;
    skip_space(j);
    bool first = j->first;
    j->first = false;
    if (*j->at == ']') {
        j->at++;
        return false;
    }
    if (first) return true;
    if (*j->at != ',')
        return fault(j, j->at >= j->end ? "a list without its closing bracket" : "',' or ']' was expected");
    j->at++;
    return true;
}

bool kv_json_finish(struct kv_json *j)
{
    if (j->fault) return false;
    skip_space(j);
    return j->at == j->end || fault(j, "something follows the object");
}

enum kv_json_kind kv_json_kind(struct kv_json *j)
{
    skip_space(j);
    switch (*j->at) {
    case '{': return KV_JSON_OBJECT;
    case '[': return KV_JSON_LIST;
    case '"': return KV_JSON_TEXT;
    case 't': case 'f': return KV_JSON_BOOL;
    case 'n': return KV_JSON_NULL;
    default: return *j->at == '-' || (*j->at >= '0' && *j->at <= '9') ? KV_JSON_NUMBER : KV_JSON_NONE;
    }
}

static const char *digits(const char *at)
{
    while ((unsigned)(unsigned char)*at - '0' <= 9) at++;
    return at;
}

bool kv_json_number(struct kv_json *j, struct kv_slice *number)
{
    if (kv_json_kind(j) != KV_JSON_NUMBER) return fault(j, "a number was expected");
    const char *from = j->at, *at = from + (*from == '-'), *end = digits(at);
    if (end == at || (*at == '0' && end > at + 1)) return fault(j, "a number is malformed");
    if (*end == '.') {
        at = end + 1;
        end = digits(at);
        if (end == at) return fault(j, "a number is malformed");
    }
    if (*end == 'e' || *end == 'E') {
        at = end + 1 + (end[1] == '+' || end[1] == '-');
        end = digits(at);
        if (end == at) return fault(j, "a number is malformed");
    }
    *number = (struct kv_slice){from, (size_t)(end - from)};
    j->at = end;
    return true;
}

static bool word(struct kv_json *j, const char *expected)
{
    size_t length = strlen(expected);
    if (strncmp(j->at, expected, length) != 0) return fault(j, "a value was expected");
    j->at += length;
    return true;
}

bool kv_json_bool(struct kv_json *j, bool *value)
{
    if (kv_json_kind(j) != KV_JSON_BOOL) return fault(j, "true or false was expected");
    *value = *j->at == 't';
    return word(j, *value ? "true" : "false");
}

/* Four hexadecimal digits, -1 when they are not. */
static int32_t hex4(const char *at)
{
    int32_t value = 0;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        int32_t digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* \uXXXX, with its second half where it is a surrogate, as UTF-8 at `to`; the bytes written, 0 when malformed. */
static size_t unescape_unicode(const char **from, char *to)
{
    int32_t code = hex4(*from);
    if (code < 0 || code == 0) return 0;
    *from += 4;
    if (code >= 0xd800 && code < 0xdc00) {
        int32_t low = (*from)[0] == '\\' && (*from)[1] == 'u' ? hex4(*from + 2) : -1;
        if (low < 0xdc00 || low > 0xdfff) return 0;
        *from += 6;
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        to[0] = (char)(0xf0 | (code >> 18));
        to[1] = (char)(0x80 | ((code >> 12) & 63));
        to[2] = (char)(0x80 | ((code >> 6) & 63));
        to[3] = (char)(0x80 | (code & 63));
        return 4;
    }
    if (code < 0x80) return to[0] = (char)code, 1;
    if (code < 0x800) {
        to[0] = (char)(0xc0 | (code >> 6));
        to[1] = (char)(0x80 | (code & 63));
        return 2;
    }
    to[0] = (char)(0xe0 | (code >> 12));
    to[1] = (char)(0x80 | ((code >> 6) & 63));
    to[2] = (char)(0x80 | (code & 63));
    return 3;
}

bool kv_json_text(struct kv_json *j, char text[KV_JSON_TEXT_MAX + 1])
{
    struct kv_slice raw;
    if (kv_json_kind(j) != KV_JSON_TEXT) return fault(j, "a string was expected");
    if (!raw_string(j, &raw)) return false;
    const char *from = raw.text, *end = raw.text + raw.length;
    size_t used = 0;
    while (from < end) {
        if (used + 4 > KV_JSON_TEXT_MAX) return fault(j, "a string is longer than 255 bytes");
        if (*from != '\\') {
            text[used++] = *from++;
            continue;
        }
        static const char escape[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
        char c = from[1];
        from += 2;
        if (c == 'u') {
            size_t wrote = unescape_unicode(&from, text + used);
            if (wrote == 0 || from > end) return fault(j, "a string has a malformed \\u escape");
            used += wrote;
            continue;
        }
        size_t e = 0;
        while (escape[e] && escape[e] != c) e += 2;
        if (!escape[e]) return fault(j, "a string has an unknown escape");
        text[used++] = escape[e + 1];
    }
    text[used] = '\0';
    return true;
}

bool kv_json_plain_text(struct kv_json *j, struct kv_slice *text)
{
    if (kv_json_kind(j) != KV_JSON_TEXT) return fault(j, "a string was expected");
    if (!raw_string(j, text)) return false;
    return !memchr(text->text, '\\', text->length) || fault(j, "a string has an escape");
}

bool kv_json_ids(struct kv_json *j, struct kv_ids *ids)
{
    if (kv_json_kind(j) != KV_JSON_LIST) return fault(j, "a list of block ids was expected");
    j->at++;
    skip_space(j);
    if (*j->at == ']') {
        j->at++;
        return true;
    }
    const char *at = j->at;
    for (;;) {
        const char *from = at;
        uint64_t id = 0;
        unsigned digit;
        while ((digit = (unsigned)(unsigned char)*at - '0') <= 9) {
            if (at - from >= 19 && id > (UINT64_MAX - digit) / 10) break;
            id = id * 10 + digit;
            at++;
        }
        j->at = at;
        if (at == from || digit <= 9 || *at == '.' || *at == 'e' || *at == 'E') {
            return fault(j,
                         digit <= 9 && at > from ? "a block id is too large" : "a block id is not a whole number >= 0");
        }
        kv_vec_push(ids, id);
        /* The two usual separators, "," and ", ", without a call. */
        if (*at == ',') {
            at += 1 + (at[1] == ' ');
            if ((unsigned)(unsigned char)*at - '0' <= 9) continue;
            j->at = at;
            skip_space(j);
            at = j->at;
            continue;
        }
        skip_space(j);
        at = j->at;
        if (*at == ']') {
            j->at++;
            return true;
        }
        if (*at != ',')
            return fault(j, at >= j->end ? "a list without its closing bracket" : "',' or ']' was expected");
        j->at++;
        skip_space(j);
        at = j->at;
    }
}

bool kv_json_skip(struct kv_json *j)
{
    char closing[KV_JSON_DEPTH_MAX];
    int32_t depth = 0;
    for (;;) {
        struct kv_slice ignored;
        bool value;
        enum kv_json_kind kind = kv_json_kind(j);
        bool opened = kind == KV_JSON_OBJECT || kind == KV_JSON_LIST;
        if (opened) {
            if (depth == KV_JSON_DEPTH_MAX) return fault(j, "values are nested deeper than 32");
            closing[depth++] = kind == KV_JSON_OBJECT ? '}' : ']';
            j->at++;
            j->first = true;
        } else if (!(kind == KV_JSON_TEXT     ? raw_string(j, &ignored)
                     : kind == KV_JSON_NUMBER ? kv_json_number(j, &ignored)
                     : kind == KV_JSON_BOOL   ? kv_json_bool(j, &value)
                                              : word(j, "null"))) {
            return false;
        }
        /* Close what ends here, then stand before the next value. */
        for (;; opened = false, j->first = false) {
            if (depth == 0) return true;
            skip_space(j);
            if (*j->at != closing[depth - 1]) break;
            j->at++;
            depth--;
        }
        if (closing[depth - 1] == '}') {
            if (!kv_json_key(j, &ignored)) return fault(j, "a key was expected");
        } else if (!opened) {
            if (*j->at != ',')
                return fault(j, j->at >= j->end ? "a list without its closing bracket" : "',' or ']' was expected");
            j->at++;
        }
    }
}

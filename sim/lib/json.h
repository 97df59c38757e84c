/* SPDX-License-Identifier: Apache-2.0 */
/* JSON (RFC 8259) of one line, pulled value by value: for JSONL traces, where a row is one object of known keys.
 * Nothing is built in memory; a value nobody wants is checked and passed over.
 *
 *     struct kv_json j = kv_json_start(line, length);
 *     if (kv_json_enter(&j))
 *         while (kv_json_key(&j, &key)) { ... kv_json_number(&j, &slice) or kv_json_skip(&j) ... }
 *     if (!kv_json_finish(&j)) ... j.fault, at column kv_json_column(&j)
 *
 * The first fault sticks and every later call answers false. The text must have 16 readable bytes behind it. */
#ifndef KV_LIB_JSON_H
#define KV_LIB_JSON_H

#include <stdbool.h>

#include "sim/base/arena.h"

#define KV_JSON_DEPTH_MAX 32
/* Longest string taken (a session id, a class); longer ones are a fault unless passed over. */
#define KV_JSON_TEXT_MAX 255

struct kv_slice { const char *text; size_t length; };
struct kv_ids { uint64_t *at; size_t count, capacity; };   /* a kv_vec */
enum kv_json_kind {
    KV_JSON_OBJECT, KV_JSON_LIST, KV_JSON_TEXT, KV_JSON_NUMBER, KV_JSON_BOOL, KV_JSON_NULL, KV_JSON_NONE
};

struct kv_json {
    const char *start, *at, *end;
    const char *fault;          /* "an unterminated string"; NULL: none so far */
    bool first;                 /* no key of the object has been read yet */
};

struct kv_json kv_json_start(const char *text, size_t length);
/* The `{` of the one object of the line. */
bool kv_json_enter(struct kv_json *j);
/* The next key and its colon; false at the closing `}` or a fault. Keys are compared as written: one with an
 * escape in it is taken literally. */
bool kv_json_key(struct kv_json *j, struct kv_slice *key);
/* The `[` of a list, and the cursor before each of its values in turn; false at the closing `]` or a fault. Objects and
 * lists may stand inside one another. */
bool kv_json_list(struct kv_json *j);
bool kv_json_element(struct kv_json *j);
/* Only white space may follow. */
bool kv_json_finish(struct kv_json *j);
int32_t kv_json_column(const struct kv_json *j);

/* What stands at the cursor. */
enum kv_json_kind kv_json_kind(struct kv_json *j);
bool kv_json_number(struct kv_json *j, struct kv_slice *number);
bool kv_json_bool(struct kv_json *j, bool *value);
/* Unescaped into `text`, NUL-terminated. */
bool kv_json_text(struct kv_json *j, char text[KV_JSON_TEXT_MAX + 1]);
/* As it stands between its quotes, of any length; one with an escape is a fault. */
bool kv_json_plain_text(struct kv_json *j, struct kv_slice *text);
/* A list of whole numbers below 2^64, appended to `ids`. */
bool kv_json_ids(struct kv_json *j, struct kv_ids *ids);
bool kv_json_skip(struct kv_json *j);

#endif

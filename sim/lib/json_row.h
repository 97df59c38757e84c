/* SPDX-License-Identifier: Apache-2.0 */
/* A line that holds one JSON object of known keys, read key by key, with messages that say where. Keys that nobody
 * knows are passed over; a known key twice is an error. Objects inside are read the same way, by a call from
 * `value`. */
#ifndef KV_LIB_JSON_ROW_H
#define KV_LIB_JSON_ROW_H

#include "sim/lib/field.h"
#include "sim/lib/json.h"

struct kv_json_row {
    struct kv_json json;
    const struct kv_input *in;
    struct kv_err *err;
    bool told;                 /* err is filled */
    char place[64];            /* of the object at hand, before names in messages: "requests[3]."; "": the outermost */
};

/* A kind of object. `value` reads the value of key number `key` (at most 32 keys); false: a fault of row->json, or
 * row->err is filled. */
struct kv_json_form {
    const char *const *keys;   /* NULL-terminated */
    bool (*value)(void *state, struct kv_json_row *row, int32_t key);
};

/* The current line of `in`. Bit k of *seen: key k was there. */
bool kv_json_row_read(struct kv_json_row *row, const struct kv_input *in, const struct kv_json_form *form, void *state,
                      uint32_t *seen, struct kv_err *err);
/* The object at the cursor. */
bool kv_json_row_object(struct kv_json_row *row, const struct kv_json_form *form, void *state, uint32_t *seen);
/* Fills row->err with the place of the object and the message; returns false. */
bool kv_json_row_fail(struct kv_json_row *row, const char *fmt, ...) __attribute__((format(printf, 2, 3), cold));
/* False, with a message, when one of the keys in `wanted` (bits) is not in `seen`. */
bool kv_json_row_has(struct kv_json_row *row, const struct kv_json_form *form, uint32_t seen, uint32_t wanted);

/* Values, checked as in sim/lib/field.h. */
bool kv_json_row_whole(struct kv_json_row *row, const char *name, int64_t max, int64_t *value);
bool kv_json_row_ns(struct kv_json_row *row, const char *name, int32_t unit_exponent, int64_t *ns);
/* A string or a number as text; null leaves `text` as it is. */
bool kv_json_row_name(struct kv_json_row *row, char text[KV_JSON_TEXT_MAX + 1]);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What all trace readers check in the same words: numbers of a field, order of rows. Failures carry
 * "FILE:LINE" of the current line of `in`. */
#ifndef KV_LIB_FIELD_H
#define KV_LIB_FIELD_H

#include "sim/lib/input.h"
#include "sim/lib/number.h"

/* Largest prompt or response taken: two of them still add up in an int32_t. */
#define KV_FIELD_TOKENS_MAX ((INT64_C(1) << 30) - 1)

bool kv_field_whole(const struct kv_input *in, const char *name, const char *text, size_t length, int64_t max,
                    int64_t *value, struct kv_err *err);
bool kv_field_ns(const struct kv_input *in, const char *name, const char *text, size_t length,
                 int32_t unit_exponent, int64_t *ns, struct kv_err *err);

/* Time and line of the last good row; starts zeroed. */
struct kv_order { int64_t ns, line; };
/* False when the row of the current line is earlier than the last good row; the message names both. */
bool kv_order_check(struct kv_order *order, const struct kv_input *in, int64_t ns, struct kv_err *err);

#endif

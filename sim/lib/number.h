/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of a trace: times and counts exact, without going through double; no locale. Each function answers NULL, or
 * what is wrong with the text in words that follow "'TEXT' ": "is not a whole number". */
#ifndef KV_LIB_NUMBER_H
#define KV_LIB_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A whole number 0..max. A fraction of zeros is accepted ("12.0": files that went through pandas). */
const char *kv_number_whole(const char *text, size_t length, int64_t max, int64_t *value);
/* A decimal number >= 0 (with fraction and exponent if it likes) of units of 10^unit_exponent ns: 9 for seconds,
 * 6 for milliseconds. Exact to the ns; what is finer is rounded to the nearest ns, halves up. */
const char *kv_number_ns(const char *text, size_t length, int32_t unit_exponent, int64_t *ns);
/* A decimal number >= 0 to the nearest double; `text` ends with a NUL. For statistics, not for times. */
const char *kv_number_real(const char *text, size_t length, double *value);
/* Seconds with exactly 9 decimals: what kv_number_ns reads back as the same number. */
struct kv_seconds_text { char text[32]; };
struct kv_seconds_text kv_seconds_text(int64_t ns);

#endif

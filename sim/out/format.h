/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as text: exact, and the same under every locale. */
#ifndef KV_OUT_FORMAT_H
#define KV_OUT_FORMAT_H

#include "sim/base/arena.h"
#include "sim/base/tick.h"

#define KV_FORMAT_MAX 64

/* Seconds with 12 decimals, rounded half up from the exact value numerator / denominator ticks. A tick is 3.9 ps,
 * so two instants never print the same. numerator >= 0, denominator >= 1. */
const char *kv_format_seconds(char text[KV_FORMAT_MAX], int64_t numerator_tk, int64_t denominator);
/* The shortest decimal that reads back as the same double; "" for NaN. */
const char *kv_format_real(char text[KV_FORMAT_MAX], double value);
/* For people: "1.234 s", "12.35 ms", "-" for NaN; "12,031"; "37.4 %". */
const char *kv_format_duration(char text[KV_FORMAT_MAX], double seconds);
const char *kv_format_count(char text[KV_FORMAT_MAX], int64_t count);
const char *kv_format_percent(char text[KV_FORMAT_MAX], double share);
/* Four significant digits, with thousands: "3.412", "45,678". */
const char *kv_format_rate(char text[KV_FORMAT_MAX], double value);
/* "1.235 GB", of 1e9 bytes; "12,345", above six digits "1.235 M". */
const char *kv_format_bytes(char text[KV_FORMAT_MAX], double bytes);
const char *kv_format_short(char text[KV_FORMAT_MAX], int64_t count);
/* A JSON string with its quotes. */
const char *kv_format_json(struct kv_arena *arena, const char *text);

#endif

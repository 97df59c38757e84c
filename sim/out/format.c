/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/out/format.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A tick is 390,625e-17 s, and the last of 12 decimals is 1e-12 s = 100,000e-17 s. */
#define TICK_E17 390625
#define LAST_PLACE_E17 100000

const char *kv_format_seconds(char text[KV_FORMAT_MAX], int64_t numerator_tk, int64_t denominator)
{
    kv_u128 unit = (kv_u128)denominator * LAST_PLACE_E17;
    kv_u128 picoseconds = ((kv_u128)numerator_tk * TICK_E17 + unit / 2) / unit;
    unsigned long long whole = (unsigned long long)(picoseconds / 1000000000000u);
    unsigned long long rest = (unsigned long long)(picoseconds % 1000000000000u);
    snprintf(text, KV_FORMAT_MAX, "%llu.%012llu", whole, rest);
    return text;
}

const char *kv_format_real(char text[KV_FORMAT_MAX], double value)
{
    text[0] = 0;
    if (isnan(value)) return text;
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, KV_FORMAT_MAX, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    return text;
}

/* Digits after the point that make four significant ones of a value in [1, 1000). */
static int decimals(double value)
{
    return value < 9.9995 ? 3 : value < 99.995 ? 2 : 1;
}

const char *kv_format_duration(char text[KV_FORMAT_MAX], double seconds)
{
    static const struct { double limit, scale; const char *unit; } ladder[] = {
        {999.95e-9, 1e9, "ns"}, {999.95e-6, 1e6, "us"}, {999.95e-3, 1e3, "ms"}, {9999.5, 1, "s"},
        {INFINITY, 1 / 3600.0, "h"},
    };
    if (isnan(seconds)) return "-";
    if (seconds <= 0) return "0 s";
    int i = 0;
    while (seconds >= ladder[i].limit) i++;
    double value = seconds * ladder[i].scale;
    snprintf(text, KV_FORMAT_MAX, "%.*f %s", value >= 999.95 ? 0 : decimals(value), value, ladder[i].unit);
    return text;
}

const char *kv_format_count(char text[KV_FORMAT_MAX], int64_t count)
{
    char digits[32];
    int length = snprintf(digits, sizeof digits, "%lld", (long long)(count < 0 ? -count : count)), to = 0;
    if (count < 0) text[to++] = '-';
    for (int i = 0; i < length; i++) {
        if (i && (length - i) % 3 == 0) text[to++] = ',';
        text[to++] = digits[i];
    }
    text[to] = 0;
    return text;
}

const char *kv_format_percent(char text[KV_FORMAT_MAX], double share)
{
    if (isnan(share)) return "-";
    snprintf(text, KV_FORMAT_MAX, "%.1f %%", share * 100);
    return text;
}

const char *kv_format_rate(char text[KV_FORMAT_MAX], double value)
{
    if (isnan(value)) return "-";
    if (fabs(value) >= 999.95) return kv_format_count(text, llround(value));
    snprintf(text, KV_FORMAT_MAX, "%.*f", decimals(fabs(value)), value);
    return text;
}

/* Four significant digits of value in its greatest unit of a thousand. */
static const char *scaled(char text[KV_FORMAT_MAX], double value, const char *const *unit, int units)
{
    int i = 0;
    for (; i + 1 < units && fabs(value) >= 999.95; i++) value /= 1000;
    snprintf(text, KV_FORMAT_MAX, "%.*f %s", decimals(fabs(value)), value, unit[i]);
    return text;
}

const char *kv_format_bytes(char text[KV_FORMAT_MAX], double bytes)
{
    static const char *const unit[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    if (isnan(bytes)) return "-";
    if (fabs(bytes) >= 999.95) return scaled(text, bytes, unit, 7);
    snprintf(text, KV_FORMAT_MAX, "%.0f B", bytes);
    return text;
}

const char *kv_format_short(char text[KV_FORMAT_MAX], int64_t count)
{
    static const char *const unit[] = {"M", "G", "T"};
    return llabs(count) < 1000000 ? kv_format_count(text, count) : scaled(text, (double)count / 1e6, unit, 3);
}

const char *kv_format_json(struct kv_arena *arena, const char *text)
{
    char *out = kv_arena_take(arena, strlen(text) * 6 + 3), *at = out;
    *at++ = '"';
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            *at++ = '\\';
            *at++ = (char)c;
        } else if (c == '\n') {
            *at++ = '\\';
            *at++ = 'n';
        } else if (c < 0x20) {
            at += snprintf(at, 7, "\\u%04x", c);
        } else {
            *at++ = (char)c;
        }
    }
    *at++ = '"';
    *at = 0;
    return out;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/lib/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/tick.h"

/* 10^27 < 2^90: a mantissa of so many digits times 10^9 still fits in 128 bits. */
#define MANTISSA_DIGITS_MAX 27

const char *kv_number_whole(const char *text, size_t length, int64_t max, int64_t *value)
{
    uint64_t sum = 0;
    size_t i = 0;
    for (; i < length; i++) {
        unsigned digit = (unsigned)(unsigned char)text[i] - '0';
        if (digit > 9) break;
        if (i >= 18 && sum > (UINT64_MAX - digit) / 10) return "is too large";
        sum = sum * 10 + digit;
    }
    if (i < length) {
        if (text[0] == '-') return "is negative";
        if (i == 0 || text[i] != '.') return "is not a whole number";
        for (size_t j = i + 1; j < length; j++) {
            if (text[j] != '0') return "is not a whole number";
        }
    }
    if (length == 0) return "is empty";
    if (sum > (uint64_t)max) return "is too large";
    *value = (int64_t)sum;
    return NULL;
}

/* The parts of a decimal number: mantissa x 10^power. Digits past MANTISSA_DIGITS_MAX of a fraction are dropped,
 * which cannot change a result rounded half up at a coarser place. */
struct decimal { kv_u128 mantissa; int32_t digits, power; };

static const char *read_decimal(const char *text, size_t length, struct decimal *d)
{
    size_t i = 0, digits = 0;
    bool point = false;
    if (length == 0) return "is empty";
    if (text[0] == '-') return "is negative";
    for (; i < length; i++) {
        unsigned digit = (unsigned)(unsigned char)text[i] - '0';
        if (digit > 9) {
            if (text[i] != '.' || point) break;
            point = true;
            continue;
        }
        digits++;
        if (d->digits < MANTISSA_DIGITS_MAX) {
            d->mantissa = d->mantissa * 10 + digit;
            if (d->mantissa) d->digits++;
            if (point) d->power--;
        } else if (!point) {
            d->power++;
        }
    }
    if (digits == 0) return "is not a number";
    if (i == length) return NULL;
    if (text[i] != 'e' && text[i] != 'E') return "is not a number";
    bool minus = ++i < length && text[i] == '-';
    if (i < length && (text[i] == '-' || text[i] == '+')) i++;
    if (i == length) return "is not a number";
    int32_t exponent = 0;
    for (; i < length; i++) {
        unsigned digit = (unsigned)(unsigned char)text[i] - '0';
        if (digit > 9) return "is not a number";
        if (exponent < 100000) exponent = exponent * 10 + (int32_t)digit;
    }
    d->power += minus ? -exponent : exponent;
    return NULL;
}

/* The usual case, without 128-bit arithmetic: up to 9 digits, perhaps a point and up to 9 more that are not finer
 * than a ns. False: not of this form. */
static bool short_ns(const char *text, size_t length, int32_t unit_exponent, int64_t *ns)
{
    static const int64_t power_of_ten[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000};
    int64_t sum = 0;
    size_t i = 0;
    unsigned digit;
    for (; i < length && (digit = (unsigned)(unsigned char)text[i] - '0') <= 9; i++) sum = sum * 10 + digit;
    if (i == 0 || i > 9) return false;
    size_t places = 0;
    if (i < length) {
        if (text[i] != '.') return false;
        places = length - i - 1;
        if (places == 0 || places > (size_t)unit_exponent) return false;
        for (i++; i < length && (digit = (unsigned)(unsigned char)text[i] - '0') <= 9; i++) sum = sum * 10 + digit;
        if (i < length) return false;
    }
    *ns = sum * power_of_ten[(size_t)unit_exponent - places];
    return true;
}

const char *kv_number_ns(const char *text, size_t length, int32_t unit_exponent, int64_t *ns)
{
    if (length < 20 && short_ns(text, length, unit_exponent, ns)) return NULL;
    struct decimal d = {0};
    const char *why = read_decimal(text, length, &d);
    if (why) return why;
    int32_t power = d.power + unit_exponent;
    kv_u128 sum = d.mantissa;
    if (sum && power > 0 && d.digits + power > 38) return "is too large";
    for (; sum && power > 0; power--) sum *= 10;
    if (power < -(MANTISSA_DIGITS_MAX + 1)) sum = 0;
    for (; sum && power < -1; power++) sum /= 10;
    if (sum && power == -1) sum = (sum + 5) / 10;
    if (sum > INT64_MAX) return "is too large";
    *ns = (int64_t)sum;
    return NULL;
}

struct kv_seconds_text kv_seconds_text(int64_t ns)
{
    struct kv_seconds_text t;
    snprintf(t.text, sizeof t.text, "%lld.%09lld", (long long)(ns / 1000000000), (long long)(ns % 1000000000));
    return t;
}

const char *kv_number_real(const char *text, size_t length, double *value)
{
    /* strtod alone would take inf, nan, hexadecimal numbers and leading spaces. */
    if (length == 0 || strspn(text, "0123456789.eE+-") != length) return "is not a number";
    char *end;
    *value = strtod(text, &end);
    if (end != text + length) return "is not a number";
    if (*value < 0 || *text == '-') return "is negative";
    return isfinite(*value) ? NULL : "is too large";
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Logarithms and powers of 2 in integers: the same on every machine, which libm's are not (its exp and log take other
 * paths where a processor has fused multiply-add). Logarithms are in units of 2^-40. */
#ifndef KV_LIB_LOG2_H
#define KV_LIB_LOG2_H

#include "sim/base/tick.h"

#define KV_LOG2_BITS 40
#define KV_LOG2_ONE (INT64_C(1) << KV_LOG2_BITS)
/* Powers are in units of 2^-56, so that those of logarithms up to 6 fit. */
#define KV_EXP2_BITS 56

/* log2(n) of n >= 1, the fraction cut off; off by less than 2^-39. One bit a squaring of the mantissa. */
static inline int64_t kv_log2(kv_u128 n)
{
    int64_t whole = 0;
    kv_u128 mantissa = n;   /* in [2^63, 2^64) */
    while (mantissa >> 64) mantissa >>= 1;
    while (!(mantissa >> 63)) mantissa <<= 1;
    while (n >>= 1) whole++;
    int64_t log = whole << KV_LOG2_BITS;
    for (int64_t bit = KV_LOG2_ONE >> 1; bit > 0; bit >>= 1) {
        mantissa = (mantissa * mantissa) >> 63;
        if (!(mantissa >> 64)) continue;
        mantissa >>= 1;
        log += bit;
    }
    return log;
}

/* 2^log for -56 <= log / KV_LOG2_ONE <= 6: the fraction's power is the exponential series, whose 20th term is below
 * 2^-70. */
static inline int64_t kv_exp2(int64_t log)
{
    int64_t whole = log >> KV_LOG2_BITS;   /* towards minus infinity */
    const uint64_t ln_2 = UINT64_C(0x2C5C85FDF473DE6B);   /* 2^-62 */
    kv_u128 x = (kv_u128)(log - whole * KV_LOG2_ONE) * ln_2 >> KV_LOG2_BITS;
    kv_u128 sum = (kv_u128)1 << 62, term = sum;
    for (uint32_t n = 1; n <= 20; n++) {
        term = (term * x >> 62) / n;
        sum += term;
    }
    int64_t shift = 62 - KV_EXP2_BITS - whole;   /* 0 .. 62 */
    return (int64_t)(shift > 0 ? (sum + ((kv_u128)1 << (shift - 1))) >> shift : sum);
}

#endif

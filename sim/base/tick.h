/* SPDX-License-Identifier: Apache-2.0 */
/* Simulated time and exact costs.
 *
 * An instant or a duration is a kv_tick: 2^-8 ns in an int64 (417 days of range; nanoseconds would be too
 * coarse to keep a per-token slope, picoseconds overflow after 107 days). A cost that still has to be summed
 * is a kv_cost: 2^-32 tick in an __int128. Sums of costs are exact and associative, which is what makes one
 * macro-step of k decode steps equal to k single steps bit for bit; rounding to a tick happens once, upwards,
 * where an instant is stored. Seconds as double exist only at the edges (YAML in, results out). */
#ifndef KV_BASE_TICK_H
#define KV_BASE_TICK_H

#include <stdint.h>

typedef int64_t kv_tick;
__extension__ typedef __int128 kv_cost;
__extension__ typedef unsigned __int128 kv_u128;

#define KV_TICKS_PER_NS INT64_C(256)
#define KV_TICKS_PER_S (KV_TICKS_PER_NS * INT64_C(1000000000))
#define KV_TICK_NEVER INT64_MAX
/* A run whose span could pass this tick is refused, so no sum of two instants ever overflows. */
#define KV_TICK_LIMIT (INT64_C(1) << 62)

#define KV_COST_BITS 32
#define KV_COST_PER_TICK ((kv_cost)1 << KV_COST_BITS)
/* Exact: 1 ns = 2^8 tick = 2^40 cost units. */
#define KV_COST_PER_NS ((kv_cost)1 << 40)

/* Ticks that hold a cost >= 0, rounded up: a step that has not fully run has not ended. */
static inline kv_tick kv_cost_ceil_tk(kv_cost cost)
{
    return (kv_tick)((cost + (KV_COST_PER_TICK - 1)) >> KV_COST_BITS);
}

/* A duration in seconds as a cost, rounded to nearest. Seconds in [0, 1e7]. */
static inline kv_cost kv_cost_from_s(double seconds)
{
    /* 2^40 units per ns; split so that the double product keeps every bit of a 53-bit mantissa. */
    double ns = seconds * 1e9;
    int64_t whole_ns = (int64_t)ns;
    double rest = ns - (double)whole_ns;
    return (kv_cost)whole_ns * KV_COST_PER_NS + (kv_cost)(rest * 0x1p40 + 0.5);
}

static inline double kv_tick_to_s(kv_tick tk)
{
    return (double)tk / (double)KV_TICKS_PER_S;
}

#endif

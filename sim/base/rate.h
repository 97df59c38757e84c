/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes in flight, exactly. A rate is an integer number of 2^-32 byte per tick (2^-32 byte/tick = 59.6 byte/s), always
 * the floor of what it stands for; service is rate times ticks, in 2^-32 byte, summed in an __int128 without rounding.
 * A tick at which something has been delivered is the ceiling: a byte that has not fully arrived has not arrived
 * (semantics 27). */
#ifndef KV_BASE_RATE_H
#define KV_BASE_RATE_H

#include "sim/base/tick.h"

typedef int64_t kv_rate;
__extension__ typedef __int128 kv_service;

#define KV_SERVICE_PER_BYTE ((kv_service)1 << 32)
/* More than any link carries (2^62 units = 275 EB/s): "no limit". Sums of a few of them do not overflow a kv_service.
 * */
#define KV_RATE_UNLIMITED (INT64_C(1) << 62)

/* Floor of a rate in byte/s, 0 <= Bps <= 1e17. */
static inline kv_rate kv_rate_from_Bps(double Bps)
{
    return (kv_rate)(Bps * (0x1p32 / (double)KV_TICKS_PER_S));
}

static inline double kv_rate_to_Bps(kv_rate rate)
{
    return (double)rate * ((double)KV_TICKS_PER_S / 0x1p32);
}

/* Ticks until `missing` > 0 has been served at `rate`, rounded up; KV_TICK_NEVER at rate 0 or past the end of time. */
static inline kv_tick kv_rate_ticks(kv_service missing, kv_rate rate)
{
    if (rate <= 0) return KV_TICK_NEVER;
    /* 64 bits divide several times faster. */
    if (missing > 0 && missing <= KV_RATE_UNLIMITED && rate <= KV_RATE_UNLIMITED) {
        kv_tick few = (kv_tick)(((uint64_t)missing + (uint64_t)rate - 1) / (uint64_t)rate);
        return few < KV_TICK_LIMIT ? few : KV_TICK_NEVER;
    }
    kv_service ticks = (missing + rate - 1) / rate;
    return ticks < KV_TICK_LIMIT ? (kv_tick)ticks : KV_TICK_NEVER;
}

#endif

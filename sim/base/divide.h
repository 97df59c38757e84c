/* SPDX-License-Identifier: Apache-2.0 */
/* Division of 32-bit numbers by one that is fixed for a run, as a multiplication: a hardware division costs as much
 * as a dozen other instructions, and the engine counts blocks all the time. Exact for all numerators (Lemire, Kaser,
 * Kurz, "Faster remainder by direct computation", Software: Practice and Experience 49(6), 2019). */
#ifndef KV_BASE_DIVIDE_H
#define KV_BASE_DIVIDE_H

#include "sim/base/tick.h"

struct kv_divisor { uint64_t magic; uint32_t by; };

static inline struct kv_divisor kv_divisor_of(uint32_t by)   /* by >= 1 */
{
    return (struct kv_divisor){by > 1 ? UINT64_MAX / by + 1 : 0, by};
}
static inline uint32_t kv_divide(struct kv_divisor d, uint32_t n)
{
    return d.magic ? (uint32_t)(((kv_u128)d.magic * n) >> 64) : n;
}
static inline uint32_t kv_remainder(struct kv_divisor d, uint32_t n)
{
    return n - kv_divide(d, n) * d.by;
}

#endif

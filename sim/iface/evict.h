/* SPDX-License-Identifier: Apache-2.0 */
/* Contract of policies/evict: which unreferenced block leaves a tier.
 *
 * Policies see 32-bit slots, never blocks or nodes. Life of a slot: insert() when its block first becomes
 * unreferenced; pin() when somebody references it again, unpin() when the last reference ends; hit() in pools
 * without references (lower tiers, cache-only replay) in place of pin/unpin; remove() ends it, also after
 * victim() named it. victim() never names a pinned slot and may answer KV_NONE; it changes nothing by itself.
 * Every inserted slot leaves exactly once. Slots are reused after remove().
 *
 * One slot may stand for a run of consecutive blocks that only their own request can hit; the pool then takes
 * blocks from the run's tail one by one and removes the slot with the last. In the observable order that equals
 * one slot per block inserted tail first (tests hold it so).
 *
 * The calls for several slots are optional: a policy without one (NULL) is called once a slot. Each does what calls
 * with one slot do in the order given. victims() names up to `want` slots, the next victims in their order if each were
 * removed before the next is named, and returns how many; like victim() it changes nothing. */
#ifndef KV_IFACE_EVICT_H
#define KV_IFACE_EVICT_H

#include "sim/base/arena.h"
#include "sim/base/err.h"
#include "sim/conf/param.h"

struct kv_evict_ops {
    struct kv_plugin_info info;
    size_t state_bytes;                             /* given zeroed to open */
    void (*open)(void *state, const void *params, int64_t capacity_blocks);
    void (*close)(void *state);
    void (*insert)(void *state, uint32_t slot);
    void (*hit)(void *state, uint32_t slot);
    void (*pin)(void *state, uint32_t slot);
    void (*unpin)(void *state, uint32_t slot);
    uint32_t (*victim)(void *state);
    void (*remove)(void *state, uint32_t slot);     /* never of a pinned slot */
    void (*insert_all)(void *state, const uint32_t *slots, int32_t count);
    void (*pin_all)(void *state, const uint32_t *slots, int32_t count);
    void (*unpin_all)(void *state, const uint32_t *slots, int32_t count);
    void (*remove_all)(void *state, const uint32_t *slots, int32_t count);
    int32_t (*victims)(void *state, uint32_t *slots, int32_t want);
};

#endif

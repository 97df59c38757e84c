/* SPDX-License-Identifier: Apache-2.0 */
/* Contract of policies/admit: which of the chunks that a tier's write policy proposes are written. One state for each
 * pool (tier and domain). Asked once for each proposal of a chunk that is not in the pool, in the order of proposals.
 * */
#ifndef KV_IFACE_ADMIT_H
#define KV_IFACE_ADMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "sim/base/arena.h"
#include "sim/conf/param.h"

struct kv_admit_ops {
    struct kv_plugin_info info;
    size_t state_bytes;                    /* given zeroed to open */
    /* a key never proposed before is admitted: so are chunks that nobody shares */
    bool takes_new;
    void (*open)(void *state, const void *params, int64_t capacity_chunks);
    void (*close)(void *state);
    bool (*take)(void *state, uint64_t key);   /* NULL: everything */
};

#endif

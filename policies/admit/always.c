/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that is proposed is written. */
#include "sim/iface/admit.h"

static void open_state(void *state, const void *params, int64_t capacity_chunks)
{
    (void)state; (void)params; (void)capacity_chunks;
}

static void close_state(void *state)
{
    (void)state;
}

const struct kv_admit_ops kv_admit_always = {
    .info = { .help = "everything that is proposed" },
    .takes_new = true, .open = open_state, .close = close_state,
};

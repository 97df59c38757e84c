/* SPDX-License-Identifier: Apache-2.0 */
/* What is found is loaded, however long it takes. */
#include "sim/iface/fetch.h"

static struct kv_fetch_choice choose(const void *params, const struct kv_fetch_view *view)
{
    (void)params;
    return (struct kv_fetch_choice){ kv_fetch_matched(view), KV_TICK_NEVER };
}

const struct kv_fetch_ops kv_fetch_always = {
    .info = { .help = "loads all that is found" },
    .choose = choose,
};

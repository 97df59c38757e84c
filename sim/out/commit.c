/* SPDX-License-Identifier: Apache-2.0 */
/* The one place where results look at a simulator. */
#include "sim/out/results.h"

static void read_bin(void *state, int32_t index, struct kv_bin *bin)
{
    kv_sim_bin(state, index, bin);
}

bool kv_results_commit(struct kv_results *r, struct kv_sim *sim, const struct kv_workload_stats *workload,
                       const char *status, struct kv_err *err)
{
    struct kv_sim_state state;
    kv_sim_read(sim, &state);
    struct kv_run_end end = {
        .end_tk = kv_sim_now(sim), .extrapolation_share = kv_sim_extrapolation_share(sim),
        .counters = state.counters, .waiting = state.waiting, .fetching = state.fetching,
        .blockers = kv_sim_blockers(sim),
        .link_count = kv_sim_link_count(sim), .net = kv_sim_net(sim), .workload = workload, .status = status,
        .bins = {sim, kv_sim_bin_count(sim), read_bin, NULL},
    };
    struct kv_sim_link *link = kv_arena_take(&r->arena, ((size_t)end.link_count + 1) * sizeof *link);
    for (int32_t k = 0; k < end.link_count; k++) kv_sim_link(sim, k, &link[k]);
    end.link = link;
    for (int32_t t = 1; t < r->info.source_count - 1; t++) kv_sim_tier(sim, t, &end.tier[t]);
    return kv_results_end(r, &end, err);
}

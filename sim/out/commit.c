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
        .counters = state.counters, .workload = workload, .status = status,
        .bins = {sim, kv_sim_bin_count(sim), r->info.scenario->sim.instance_count, read_bin},
    };
    return kv_results_end(r, &end, err);
}

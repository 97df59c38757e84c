/* SPDX-License-Identifier: Apache-2.0 */
/* kvsim run --dry-run: what a run would be, without running it. */
#ifndef KV_CLI_DRYRUN_H
#define KV_CLI_DRYRUN_H

#include "sim/scenario/scenario.h"
#include "sim/serve/sim.h"
#include "sim/serve/workload.h"

/* Reads at most the first KV_DRY_ROWS rows of the source and prints sizes and the load they offer on stdout, as a
 * table or one JSON object. */
#define KV_DRY_ROWS 200000
bool kv_cli_dry_run(const struct kv_scenario *s, const struct kv_workload *workload, struct kv_source source,
                    bool json, struct kv_err *err);

/* Seconds to compute a prompt of so many tokens, alone and from nothing. */
struct kv_dry_price { const void *state; double (*prefill_s)(const void *state, int64_t tokens); };
/* Chunks that all pools of lower tiers can hold; unlimited ones count as none. */
double kv_dry_chunks(const struct kv_sim_config *c);
/* Lines of the table, or members of the JSON object, on lower tiers and hand-over. Nothing where there are none. */
bool kv_dry_tiers(const struct kv_scenario *s, const struct kv_dry_price *price, bool json, struct kv_err *err);

#endif

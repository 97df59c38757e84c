/* SPDX-License-Identifier: Apache-2.0 */
/* A simulated cluster replaying a stream of requests. */
#ifndef KV_SERVE_SIM_H
#define KV_SERVE_SIM_H

#include <stdio.h>

#include "sim/iface/config.h"
#include "sim/iface/record.h"
#include "sim/serve/net.h"

/* Where requests come from. Open replay: in order of arrival_ns. Session replay: in file order, at least in order
 * of first turns. request->index is given by the simulator. What request->prefix.ids points to must stay valid
 * until the next call. Returns 1, 0 at the end, -1 with *err. */
struct kv_source {
    void *state;
    int (*next)(void *state, struct kv_request *request, struct kv_err *err);
};

struct kv_sim;
/* KV_SIM_STUCK: nothing is pending although requests have not ended (T34): a link that moves nothing, say. */
enum kv_sim_end { KV_SIM_COMPLETE, KV_SIM_TIME_LIMIT, KV_SIM_EVENT_LIMIT, KV_SIM_STOPPED, KV_SIM_STUCK, KV_SIM_FAILED };

/* `config`, source and sink outlive the run. NULL and *err on failure. */
struct kv_sim *kv_sim_open(const struct kv_sim_config *config, struct kv_source source, struct kv_sink sink,
                           struct kv_err *err);
/* Runs for at most `events` more fired timers (0 = until the end), so that a caller can look at a stop flag and
 * print progress between calls. Returns false while there is more to do. When it returns true, *end says why;
 * KV_SIM_FAILED and KV_SIM_STUCK come with *err; after KV_SIM_STUCK the results are good as far as they go. */
bool kv_sim_run(struct kv_sim *sim, uint64_t events, enum kv_sim_end *end, struct kv_err *err);
/* Ends the run as it stands: every request not ended becomes KV_STATUS_UNFINISHED and is given to the sink.
 * Called once after kv_sim_run, whatever its end; checks the cheap invariants (assert). */
bool kv_sim_finish(struct kv_sim *sim, struct kv_err *err);
void kv_sim_close(struct kv_sim *sim);

void kv_sim_log_to(struct kv_sim *sim, FILE *stream);
kv_tick kv_sim_now(const struct kv_sim *sim);       /* the time limit, once that has ended the run */
uint64_t kv_sim_events(const struct kv_sim *sim);

struct kv_sim_state {
    struct kv_counters counters;
    int64_t waiting, running, fetching;    /* fetching: holders, ready or not (docs/tiers.md, T7) */
    int64_t active_blocks, inactive_blocks, free_blocks;   /* over all instances */
};
/* Tiers below HBM, over all pools of a tier: chunks held, and of them those that cannot be evicted now; what the store
 * charges. */
struct kv_sim_tier_state {
    int64_t used_chunks, pinned_chunks, waiting_accesses /* for their turn */, pools;
    bool priced;
    struct kv_store_price price;
};
void kv_sim_tier(const struct kv_sim *sim, int32_t tier, struct kv_sim_tier_state *state);

/* Links: one a direction, those with a finite rate. Names live as long as the simulator: "pcie.3.in", "nic.0.out",
 * "device.disk.1", "gateway.0.out", "NAME.0.in"; in = towards the GPUs. */
struct kv_sim_link {
    const char *name;
    double capacity_Bps;         /* payload */
    int64_t carried_bytes;       /* since the start of the run, over all tensor-parallel parts */
    int64_t flows;               /* under way now, blocked ones included */
};
/* What a run that is stuck waits for beside its links: writes that keep blocks of HBM, and accesses that are refused as
 * often as they come. */
struct kv_sim_blockers { int64_t writes, refused; };
struct kv_sim_blockers kv_sim_blockers(const struct kv_sim *sim);

int32_t kv_sim_link_count(const struct kv_sim *sim);
void kv_sim_link(const struct kv_sim *sim, int32_t index, struct kv_sim_link *link);
/* How rates were found, for /quality. */
struct kv_net_counters kv_sim_net(const struct kv_sim *sim);

/* Advances every instance to now and sums up. Never changes the schedule. */
void kv_sim_read(struct kv_sim *sim, struct kv_sim_state *state);
/* The same for one instance, as a sample at `at_tk` would see it: now <= at_tk < tick of the next event (test of
 * semantics A.4). Leaves `counters` alone. */
void kv_sim_peek(struct kv_sim *sim, int32_t instance, kv_tick at_tk, struct kv_sim_state *state);
kv_tick kv_sim_next_tk(const struct kv_sim *sim);   /* KV_TICK_NEVER when nothing is pending */
/* Share of the time of all ended runs that the compute model priced outside what it was measured for. */
double kv_sim_extrapolation_share(const struct kv_sim *sim);

/* After kv_sim_finish: the time series, NULL when none was asked for. */
int32_t kv_sim_bin_count(const struct kv_sim *sim);
void kv_sim_bin(const struct kv_sim *sim, int32_t index, struct kv_bin *bin);

#endif

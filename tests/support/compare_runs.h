/* SPDX-License-Identifier: Apache-2.0 */
/* The engine against the naive oracle over one scenario: every field of every record, of every fetch and of layers, and
 * every counter, bit for bit, and what readers see while it runs. Differences are printed. */
#ifndef KV_TESTS_SUPPORT_COMPARE_RUNS_H
#define KV_TESTS_SUPPORT_COMPARE_RUNS_H

#include "tests/oracle/naive.h"
#include "tests/support/told.h"

/* What the oracle said: while it is compared, and of that counters and coverage behind it. */
struct kv_compared {
    struct kv_record *records;
    bool *came;
    struct kv_counters counters;
    struct kv_told told;
    struct kv_oracle_history history;
    struct kv_oracle_coverage coverage;
};

/* Oracle once, engine twice: undisturbed, and (with `read`) looked at between events. True when they agree. */
bool kv_compare_runs(const char *text, const struct kv_sim_config *config, const struct kv_request *requests,
                     int64_t count, bool read, struct kv_compared *oracle);

#endif

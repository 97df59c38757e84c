/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/compare.h"

#include <string.h>

#define EACH_TIER(X, field) X(field[0]) X(field[1]) X(field[2]) X(field[3]) X(field[4]) X(field[5]) X(field[6])
_Static_assert(KV_TIERS_MAX == 7 && KV_SOURCES_MAX == 8, "EACH_TIER lists every tier");

#define RECORD_FIELDS(X) \
    X(request) X(trace_row) X(arrival_tk) X(status) X(instance) X(prefill_instance) X(first_sched_tk) \
    X(first_token_tk) X(finish_tk) X(queue_tk) X(fetch_stall_tk) X(prefill_tk) X(decode_tk) X(preempted_tk) \
    X(induced_stall_tk) X(preemptions) X(recomputed_tokens) X(prompt_tokens) X(output_tokens) X(generated_tokens) \
    X(session) X(turn) X(slo_class) EACH_TIER(X, fetched_bytes) EACH_TIER(X, prompt_tokens_by_source) \
    X(prompt_tokens_by_source[7])

#define FETCH_FIELDS(X) \
    X(request) X(instance) X(tier) X(mode) X(cut) X(bytes) X(delivered_bytes) X(begin_tk) X(granted_tk) X(first_tk) \
    X(end_tk) X(regrants) X(refused)
#define FETCH_DOUBLES(X) X(grant_Bps) X(limit_Bps)

#define TIER_FIELDS(X) \
    X(asked_tokens) X(hit_tokens) X(read_bytes) X(written_bytes) X(wasted_bytes) X(accesses) X(waited_accesses) \
    X(inserted_chunks) X(evicted_chunks) X(filled_chunks) X(dropped_chunks) X(refused_chunks) \
    X(resident_chunks) X(read_requests) X(write_requests) X(refused_accesses) X(saved_tk)
#define COUNTER_FIELDS(X) \
    X(injected) X(finished) X(rejected) X(failed) X(steps) X(prefill_tokens) X(decode_tokens) X(hit_tokens) \
    X(prompt_tokens) X(recomputed_tokens) X(preemptions) X(blocks_allocated) X(blocks_freed) X(blocks_evicted) \
    X(fetches) X(delayed_hits) X(fetch_timeouts) X(fetch_cancels) X(given_back) X(handed_over) X(fetch_stall_tk) \
    X(induced_stall_tk)
#define COUNT(field) +1
#define BYTES(X) ((0 X(COUNT)) * sizeof(int64_t))
_Static_assert(sizeof(struct kv_tier_counters) == BYTES(TIER_FIELDS), "TIER_FIELDS is whole");
_Static_assert(sizeof(struct kv_counters) == BYTES(COUNTER_FIELDS) + KV_TIERS_MAX * sizeof(struct kv_tier_counters),
               "COUNTER_FIELDS is whole");

#define COMPARE(name) \
    if (left->name != right->name) { \
        d->field = #name; \
        d->left = (int64_t)left->name; \
        d->right = (int64_t)right->name; \
        return false; \
    }

bool kv_records_equal(const struct kv_record *left, const struct kv_record *right, struct kv_difference *d)
{
    d->tier = -1;
    RECORD_FIELDS(COMPARE)
    return true;
}

/* Doubles differ by their bits, and those are what is shown. */
static int64_t bits(double x)
{
    int64_t b;
    memcpy(&b, &x, sizeof b);
    return b;
}

#define COMPARE_BITS(name) \
    if (bits(left->name) != bits(right->name)) { \
        *d = (struct kv_difference){#name, bits(left->name), bits(right->name), -1}; \
        return false; \
    }

bool kv_fetches_equal(const struct kv_fetch_record *left, const struct kv_fetch_record *right,
                      struct kv_difference *d)
{
    d->tier = -1;
    FETCH_FIELDS(COMPARE)
    FETCH_DOUBLES(COMPARE_BITS)
    return true;
}

bool kv_layers_equal(const struct kv_layers_record *left, const struct kv_layers_record *right,
                     struct kv_difference *d)
{
    d->tier = -1;
    COMPARE(request)
    COMPARE(layers)
    for (int32_t l = 0; l < left->layers; l++) {
        COMPARE(fetch_end_tk[l])
        COMPARE(compute_start_tk[l])
        COMPARE(compute_end_tk[l])
    }
    return true;
}

static bool tiers_equal(const struct kv_tier_counters *left, const struct kv_tier_counters *right,
                        struct kv_difference *d)
{
    TIER_FIELDS(COMPARE)
    return true;
}

bool kv_counters_equal(const struct kv_counters *left, const struct kv_counters *right, struct kv_difference *d)
{
    d->tier = -1;
    COUNTER_FIELDS(COMPARE)
    for (d->tier = 0; d->tier < KV_TIERS_MAX; d->tier++)
        if (!tiers_equal(&left->tier[d->tier], &right->tier[d->tier], d)) return false;
    return true;
}

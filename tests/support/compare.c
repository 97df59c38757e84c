/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/compare.h"

#define RECORD_FIELDS(X) \
    X(request) X(trace_row) X(arrival_tk) X(status) X(instance) X(first_sched_tk) X(first_token_tk) X(finish_tk) \
    X(queue_tk) X(fetch_stall_tk) X(prefill_tk) X(decode_tk) X(preempted_tk) X(preemptions) X(recomputed_tokens) \
    X(prompt_tokens) X(output_tokens) X(generated_tokens) X(session) X(turn) X(slo_class) \
    X(prompt_tokens_by_source[0]) X(prompt_tokens_by_source[1]) X(prompt_tokens_by_source[2]) \
    X(prompt_tokens_by_source[3]) X(prompt_tokens_by_source[4]) X(prompt_tokens_by_source[5]) \
    X(prompt_tokens_by_source[6]) X(prompt_tokens_by_source[7])
_Static_assert(KV_SOURCES_MAX == 8, "RECORD_FIELDS lists every source");

#define COUNTER_FIELDS(X) \
    X(injected) X(finished) X(rejected) X(failed) X(steps) X(prefill_tokens) X(decode_tokens) X(hit_tokens) \
    X(prompt_tokens) X(recomputed_tokens) X(preemptions) X(blocks_allocated) X(blocks_freed) X(blocks_evicted)
#define COUNT(field) +1
_Static_assert(sizeof(struct kv_counters) >= (0 COUNTER_FIELDS(COUNT)) * sizeof(int64_t), "COUNTER_FIELDS is whole");

#define COMPARE(field) \
    if (left->field != right->field) { \
        *d = (struct kv_difference){#field, (int64_t)left->field, (int64_t)right->field}; \
        return false; \
    }

bool kv_records_equal(const struct kv_record *left, const struct kv_record *right, struct kv_difference *d)
{
    RECORD_FIELDS(COMPARE)
    return true;
}

bool kv_counters_equal(const struct kv_counters *left, const struct kv_counters *right, struct kv_difference *d)
{
    COUNTER_FIELDS(COMPARE)
    return true;
}

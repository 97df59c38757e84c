/* SPDX-License-Identifier: Apache-2.0 */
/* One row of a JSONL trace of prefix block ids, under any of the field names in use:
 *
 *   timestamp | arrival_s                        time since the start
 *   input_length | input_toks | input_bytes      prompt
 *   output_length | output_toks | output_bytes   response
 *   hash_ids | block_ids                         ids of the prompt's blocks, each standing for its whole prefix
 *   output_hash_ids                              ids of the blocks that the response completes
 *   session_id, turn, branch, think_s, elapsed_s, priority, slo_class, failed, resident_tokens
 *
 * Other keys are passed over. Shared by the readers of traces/reader. */
#ifndef KV_LIB_BLOCK_ROW_H
#define KV_LIB_BLOCK_ROW_H

#include "sim/lib/field.h"
#include "sim/lib/json.h"

enum kv_partial { KV_PARTIAL_CEIL, KV_PARTIAL_FLOOR, KV_PARTIAL_PREFIX };

/* What the reader knows about its files. */
struct kv_block_rule {
    int32_t timestamp_exponent;   /* unit of `timestamp`: 9 seconds, 6 milliseconds */
    int64_t block_tokens;         /* tokens of an id */
    int64_t bytes_per_token;      /* for input_bytes, output_bytes; tokens are rounded up */
    enum kv_partial partial;      /* ids of a prompt of n tokens: ceil(n / block), floor(n / block), at most ceil */
};

struct kv_block_row {
    int64_t time_ns;
    int64_t input_tokens, output_tokens;
    int64_t turn, think_ns, elapsed_ns;   /* -1: not given */
    int64_t branch;               /* 0: not given */
    int64_t resident_tokens;      /* of the prompt, at most all; 0: not given */
    int32_t priority;
    bool failed;                  /* as given, or a response of 0 tokens */
    char session[KV_JSON_TEXT_MAX + 1], slo_class[KV_JSON_TEXT_MAX + 1];
    bool has_ids;
    struct kv_ids ids;            /* of prompt, then response; memory kept from row to row */
    int64_t known_tokens;         /* tokens covered by ids */
};

/* Reads the current line of `in`, which must be one JSON object, and checks it. */
bool kv_block_row_read(struct kv_block_row *row, const struct kv_block_rule *rule, const struct kv_input *in,
                       struct kv_err *err);
void kv_block_row_close(struct kv_block_row *row);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Mooncake's traces (Qin et al., FAST'25; github.com/kvcache-ai/Mooncake, FAST25-release/traces): JSONL with
 * timestamp (ms), input_length, output_length and hash_ids. An id names a 512-token block together with all
 * before it, over the whole trace; a row has ceil(input_length / 512) of them, so the last may be partly filled. */
#include <string.h>

#include "sim/iface/reader.h"
#include "sim/lib/block_row.h"
#include "sim/lib/rows.h"

#define BLOCK_TOKENS 512

static const struct kv_block_rule rule = {
    .timestamp_exponent = 6, .block_tokens = BLOCK_TOKENS, .bytes_per_token = 1, .partial = KV_PARTIAL_CEIL,
};

struct mooncake {
    struct kv_rows rows;
    struct kv_block_row parsed;
    struct kv_row row;          /* the line at hand */
    int64_t failed_rows;
};

static bool open_file(void *state, const void *params, const struct kv_reader_env *env, struct kv_err *err)
{
    (void)params;
    struct mooncake *m = state;
    return kv_rows_open(&m->rows, env->path, !env->skip_digest, env->skip_bad_rows, err);
}

static bool read_row(struct mooncake *m, struct kv_err *err)
{
    struct kv_block_row *p = &m->parsed;
    if (!kv_block_row_read(p, &rule, &m->rows.in, err)) return false;
    if (!p->has_ids) return kv_input_fail(&m->rows.in, err, "the row has no hash_ids");
    m->row = (struct kv_row){
        .line = m->rows.in.line_number, .time_ns = p->time_ns, .input_tokens = p->input_tokens,
        .output_tokens = p->output_tokens, .elapsed_ns = p->elapsed_ns, .think_ns = p->think_ns,
        .priority = p->priority, .failed = p->failed, .model = "", .session = p->session, .turn = p->turn,
        .branch = p->branch, .slo_class = p->slo_class, .ids = p->ids.at, .ids_count = (int64_t)p->ids.count,
        .ids_tokens = BLOCK_TOKENS, .known_tokens = p->known_tokens,
    };
    return kv_order_check(&m->rows.order, &m->rows.in, p->time_ns, err);
}

static enum kv_row_kind read_line(void *state, struct kv_err *err)
{
    return read_row(state, err) ? KV_ROW_GOOD : KV_ROW_BAD;
}

static int next_row(void *state, struct kv_row *row, struct kv_err *err)
{
    struct mooncake *m = state;
    int got = kv_rows_next(&m->rows, read_line, m, err);
    if (got <= 0) return got;
    *row = m->row;
    m->failed_rows += row->failed;
    return 1;
}

static void tell_stats(const void *state, struct kv_reader_stats *out)
{
    const struct mooncake *m = state;
    *out = (struct kv_reader_stats){.rows = m->rows.good, .failed_rows = m->failed_rows, .bad_rows = m->rows.bad,
                                    .bytes = m->rows.in.bytes};
    memcpy(out->digest, m->rows.in.digest, sizeof out->digest);
}

static void close_file(void *state)
{
    struct mooncake *m = state;
    kv_block_row_close(&m->parsed);
    kv_rows_close(&m->rows);
}

const struct kv_reader_ops kv_reader_mooncake = {
    .info = {.help = "Mooncake JSONL, 512-token prefix block ids", .source = "Qin et al., Mooncake, FAST 2025"},
    .has_ids = true,
    .state_bytes = sizeof(struct mooncake),
    .open = open_file,
    .next = next_row,
    .stats = tell_stats,
    .close = close_file,
};

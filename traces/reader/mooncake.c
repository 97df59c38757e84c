/* SPDX-License-Identifier: Apache-2.0 */
/* Mooncake's traces (Qin et al., FAST'25; github.com/kvcache-ai/Mooncake, FAST25-release/traces): JSONL with
 * timestamp (ms), input_length, output_length and hash_ids. An id names a 512-token block together with all
 * before it, over the whole trace; a row has ceil(input_length / 512) of them, so the last may be partly filled. */
#include <string.h>

#include "sim/iface/reader.h"
#include "sim/lib/block_row.h"

#define BLOCK_TOKENS 512

static const struct kv_block_rule rule = {
    .timestamp_exponent = 6, .block_tokens = BLOCK_TOKENS, .bytes_per_token = 1, .partial = KV_PARTIAL_CEIL,
};

struct mooncake {
    struct kv_input in;
    struct kv_order order;
    struct kv_block_row parsed;
    bool skip_bad_rows;
    struct kv_reader_stats stats;
};

static bool open_file(void *state, const void *params, const struct kv_reader_env *env, struct kv_err *err)
{
    (void)params;
    struct mooncake *m = state;
    m->skip_bad_rows = env->skip_bad_rows;
    return kv_input_open(&m->in, env->path, !env->skip_digest, err);
}

static bool read_row(struct mooncake *m, struct kv_row *row, struct kv_err *err)
{
    struct kv_block_row *p = &m->parsed;
    if (!kv_block_row_read(p, &rule, &m->in, err)) return false;
    if (!p->has_ids) return kv_input_fail(&m->in, err, "the row has no hash_ids");
    *row = (struct kv_row){
        .line = m->in.line_number, .time_ns = p->time_ns, .input_tokens = p->input_tokens,
        .output_tokens = p->output_tokens, .elapsed_ns = p->elapsed_ns, .think_ns = p->think_ns,
        .priority = p->priority, .failed = p->failed, .model = "", .session = p->session, .turn = p->turn,
        .slo_class = p->slo_class, .ids = p->ids.at, .ids_count = (int64_t)p->ids.count,
        .ids_tokens = BLOCK_TOKENS, .known_tokens = p->known_tokens,
    };
    return kv_order_check(&m->order, &m->in, row->time_ns, err);
}

static int next_row(void *state, struct kv_row *row, struct kv_err *err)
{
    struct mooncake *m = state;
    for (;;) {
        int got = kv_input_line(&m->in, err);
        if (got < 0) return -1;
        if (got == 0) break;
        if (m->in.length == 0) continue;
        if (read_row(m, row, err)) {
            m->stats.rows++;
            m->stats.failed_rows += row->failed;
            return 1;
        }
        m->stats.bad_rows++;
        if (!m->skip_bad_rows) return -1;
    }
    if (m->stats.rows + m->stats.bad_rows > 0 || m->in.failed) return 0;
    return kv_input_stop(&m->in, err, "the file is empty");
}

static void tell_stats(const void *state, struct kv_reader_stats *out)
{
    const struct mooncake *m = state;
    *out = m->stats;
    out->bytes = m->in.bytes;
    memcpy(out->digest, m->in.digest, sizeof out->digest);
}

static void close_file(void *state)
{
    struct mooncake *m = state;
    kv_block_row_close(&m->parsed);
    kv_input_close(&m->in);
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

/* SPDX-License-Identifier: Apache-2.0 */
/* Generic JSONL with prefix block ids: one JSON object a row, under any of the field names that
 * sim/lib/block_row.h lists. Parameters say what the file itself does not: tokens of an id, whether ids are unique
 * over the file or within a session only, and how many ids a prompt has that does not end with a block. Either
 * all rows have ids or none. */
#include <string.h>

#include "sim/iface/reader.h"
#include "sim/lib/block_row.h"
#include "sim/lib/rows.h"

struct params { int64_t block_tokens, id_scope, partial, bytes_per_token, timestamp_unit; };
enum id_scope { SCOPE_GLOBAL, SCOPE_LOCAL };
enum timestamp_unit { UNIT_S, UNIT_MS };

static const char *const scopes[] = {"global", "local", NULL};
static const char *const partials[] = {"ceil", "floor", "prefix", NULL};   /* as enum kv_partial */
static const char *const units[] = {"s", "ms", NULL};

static const struct kv_param table[] = {
    {"block_tokens", KV_DIM_TOKENS, offsetof(struct params, block_tokens), NULL, 1, 1 << 20, NULL,
     "tokens that one id stands for", NULL},
    {"id_scope", KV_DIM_CHOICE, offsetof(struct params, id_scope), "global", 0, 0, scopes,
     "where equal ids mean equal content: over the file, or within one session", NULL},
    {"partial", KV_DIM_CHOICE, offsetof(struct params, partial), "ceil", 0, 0, partials,
     "ids of a prompt of n tokens: ceil(n/block), floor(n/block), or prefix: any number up to ceil", NULL},
    {"bytes_per_token", KV_DIM_COUNT, offsetof(struct params, bytes_per_token), "4", 1, 1024, NULL,
     "divides input_bytes and output_bytes where a file counts bytes (rounded up)",
     "about 4 bytes of English text a token"},
    {"timestamp_unit", KV_DIM_CHOICE, offsetof(struct params, timestamp_unit), "s", 0, 0, units,
     "unit of 'timestamp' (arrival_s is always in seconds)", NULL},
    KV_PARAM_END,
};

struct blocks {
    struct kv_rows rows;
    struct kv_block_rule rule;
    struct kv_block_row parsed;
    struct kv_row row;          /* the line at hand */
    bool ids_local;
    bool has_ids;               /* of the first row: the others must be alike */
    int64_t failed_rows;
};

static bool open_file(void *state, const void *params, const struct kv_reader_env *env, struct kv_err *err)
{
    struct blocks *b = state;
    const struct params *p = params;
    b->ids_local = p->id_scope == SCOPE_LOCAL;
    b->rule = (struct kv_block_rule){
        .timestamp_exponent = p->timestamp_unit == UNIT_MS ? 6 : 9, .block_tokens = p->block_tokens,
        .bytes_per_token = p->bytes_per_token, .partial = (enum kv_partial)p->partial,
    };
    return kv_rows_open(&b->rows, env->path, !env->skip_digest, env->skip_bad_rows, err);
}

static bool read_row(struct blocks *b, struct kv_err *err)
{
    struct kv_block_row *p = &b->parsed;
    if (!kv_block_row_read(p, &b->rule, &b->rows.in, err)) return false;
    if (b->rows.good == 0) b->has_ids = p->has_ids;
    if (p->has_ids != b->has_ids) {
        return kv_input_fail(&b->rows.in, err, b->has_ids ? "the row has no hash_ids, but the first row has"
                                                          : "the row has hash_ids, but the first row has none");
    }
    if (b->ids_local && p->session[0] == '\0') {
        return kv_input_fail(&b->rows.in, err, "the row has no session_id, but its ids are local to a session");
    }
    b->row = (struct kv_row){
        .line = b->rows.in.line_number, .time_ns = p->time_ns, .input_tokens = p->input_tokens,
        .output_tokens = p->output_tokens, .elapsed_ns = p->elapsed_ns, .think_ns = p->think_ns,
        .priority = p->priority, .failed = p->failed, .model = "", .session = p->session, .turn = p->turn,
        .branch = p->branch, .slo_class = p->slo_class, .ids = p->has_ids ? p->ids.at : NULL,
        .ids_count = (int64_t)p->ids.count, .ids_tokens = b->rule.block_tokens, .known_tokens = p->known_tokens,
        .ids_local = b->ids_local, .resident_tokens = p->resident_tokens,
    };
    return kv_order_check(&b->rows.order, &b->rows.in, p->time_ns, err);
}

static enum kv_row_kind read_line(void *state, struct kv_err *err)
{
    return read_row(state, err) ? KV_ROW_GOOD : KV_ROW_BAD;
}

static int next_row(void *state, struct kv_row *row, struct kv_err *err)
{
    struct blocks *b = state;
    int got = kv_rows_next(&b->rows, read_line, b, err);
    if (got <= 0) return got;
    *row = b->row;
    b->failed_rows += row->failed;
    return 1;
}

static void tell_stats(const void *state, struct kv_reader_stats *out)
{
    const struct blocks *b = state;
    *out = (struct kv_reader_stats){.rows = b->rows.good, .failed_rows = b->failed_rows, .bad_rows = b->rows.bad,
                                    .bytes = b->rows.in.bytes};
    memcpy(out->digest, b->rows.in.digest, sizeof out->digest);
}

static void close_file(void *state)
{
    struct blocks *b = state;
    kv_block_row_close(&b->parsed);
    kv_rows_close(&b->rows);
}

const struct kv_reader_ops kv_reader_blocks = {
    .info = {.help = "generic JSONL with prefix block ids", .params = table, .params_bytes = sizeof(struct params)},
    .has_ids = true,
    .has_sessions = true,
    .state_bytes = sizeof(struct blocks),
    .open = open_file,
    .next = next_row,
    .stats = tell_stats,
    .close = close_file,
};

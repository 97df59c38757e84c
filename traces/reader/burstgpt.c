/* SPDX-License-Identifier: Apache-2.0 */
/* BurstGPT (Wang et al., arXiv 2401.17644; github.com/HPMLL/BurstGPT): CSV, one request a row.
 *
 *   Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type                            files 1, 2
 *   Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type    file 3
 *
 * Columns are found by the names in the header; others are passed over. Timestamp is in seconds since 0:00 of
 * day 0, mostly whole ones, so ties are normal. Response tokens = 0 marks a request that failed. */
#include <string.h>

#include "sim/iface/reader.h"
#include "sim/lib/rows.h"

enum column { TIMESTAMP, MODEL, REQUEST, RESPONSE, TOTAL, LOG_TYPE, REQUIRED, SESSION = REQUIRED, ELAPSED };
static const char *const column_name[] = {
    "Timestamp", "Model", "Request tokens", "Response tokens", "Total tokens", "Log Type", "Session ID", "Elapsed time",
    NULL,
};

struct burstgpt {
    struct kv_rows rows;
    struct kv_columns columns;
    struct kv_row row;          /* the line at hand */
    int64_t failed_rows;
};

static bool open_file(void *state, const void *params, const struct kv_reader_env *env, struct kv_err *err)
{
    (void)params;
    struct burstgpt *b = state;
    b->columns = (struct kv_columns){.name = column_name, .required = REQUIRED};
    return kv_rows_open(&b->rows, env->path, !env->skip_digest, env->skip_bad_rows, err);
}

static bool read_tokens(const struct burstgpt *b, enum column c, int64_t *tokens, struct kv_err *err)
{
    return kv_columns_whole(&b->columns, &b->rows, (int32_t)c, KV_FIELD_TOKENS_MAX, tokens, err);
}

static bool read_ns(const struct burstgpt *b, enum column c, int64_t *ns, struct kv_err *err)
{
    const struct kv_csv_field *f = kv_columns_field(&b->columns, (int32_t)c);
    return kv_field_ns(&b->rows.in, column_name[c], f->text, f->length, 9, ns, err);
}

static bool read_row(struct burstgpt *b, struct kv_err *err)
{
    struct kv_input *in = &b->rows.in;
    struct kv_row *row = &b->row;
    if (!kv_columns_row(&b->columns, &b->rows, err)) return false;
    *row = (struct kv_row){.line = in->line_number, .elapsed_ns = -1, .think_ns = -1, .turn = -1,
                           .session = "", .slo_class = ""};
    int64_t total;
    if (!read_ns(b, TIMESTAMP, &row->time_ns, err) || !read_tokens(b, REQUEST, &row->input_tokens, err)
        || !read_tokens(b, RESPONSE, &row->output_tokens, err) || !read_tokens(b, TOTAL, &total, err)) {
        return false;
    }
    if (total != row->input_tokens + row->output_tokens) {
        return kv_input_fail(in, err, "Total tokens is %lld, but %lld + %lld = %lld", (long long)total,
                             (long long)row->input_tokens, (long long)row->output_tokens,
                             (long long)(row->input_tokens + row->output_tokens));
    }
    row->failed = row->output_tokens == 0;
    row->model = kv_columns_field(&b->columns, MODEL)->text;
    const struct kv_csv_field *f = kv_columns_field(&b->columns, LOG_TYPE);
    row->api = f->length == 7 && memcmp(f->text, "API log", 7) == 0;
    if (!row->api && (f->length != 16 || memcmp(f->text, "Conversation log", 16) != 0)) {
        return kv_input_fail(in, err, "Log Type '%s'; expected 'Conversation log' or 'API log'",
                             kv_excerpt(f->text, f->length).text);
    }
    if (b->columns.place[SESSION] >= 0) row->session = kv_columns_field(&b->columns, SESSION)->text;
    if (b->columns.place[ELAPSED] >= 0 && kv_columns_field(&b->columns, ELAPSED)->length
        && !read_ns(b, ELAPSED, &row->elapsed_ns, err)) {
        return false;
    }
    return kv_order_check(&b->rows.order, in, row->time_ns, err);
}

static enum kv_row_kind read_line(void *state, struct kv_err *err)
{
    struct burstgpt *b = state;
    if (!b->rows.header) return kv_columns_header(&b->columns, &b->rows, err);
    return read_row(b, err) ? KV_ROW_GOOD : KV_ROW_BAD;
}

static int next_row(void *state, struct kv_row *row, struct kv_err *err)
{
    struct burstgpt *b = state;
    int got = kv_rows_next(&b->rows, read_line, b, err);
    if (got <= 0) return got;
    *row = b->row;
    b->failed_rows += row->failed;
    return 1;
}

static void tell_stats(const void *state, struct kv_reader_stats *out)
{
    const struct burstgpt *b = state;
    *out = (struct kv_reader_stats){.rows = b->rows.good, .failed_rows = b->failed_rows, .bad_rows = b->rows.bad,
                                    .bytes = b->rows.in.bytes};
    memcpy(out->digest, b->rows.in.digest, sizeof out->digest);
}

static void close_file(void *state)
{
    kv_rows_close(&((struct burstgpt *)state)->rows);
}

const struct kv_reader_ops kv_reader_burstgpt = {
    .info = {.help = "BurstGPT CSV, 6 or 8 columns", .source = "Wang et al., arXiv 2401.17644"},
    .has_sessions = true,
    .state_bytes = sizeof(struct burstgpt),
    .open = open_file,
    .next = next_row,
    .stats = tell_stats,
    .close = close_file,
};

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
#include "sim/lib/csv.h"
#include "sim/lib/field.h"

enum column { TIMESTAMP, MODEL, REQUEST, RESPONSE, TOTAL, LOG_TYPE, REQUIRED, SESSION = REQUIRED, ELAPSED, COLUMNS };
static const char *const column_name[COLUMNS] = {
    "Timestamp", "Model", "Request tokens", "Response tokens", "Total tokens", "Log Type", "Session ID", "Elapsed time",
};

struct burstgpt {
    struct kv_input in;
    struct kv_order order;
    struct kv_csv csv;
    int32_t column[COLUMNS];    /* index in the file, -1: absent */
    int32_t width;              /* columns of the file; 0: the header has not been read */
    bool skip_bad_rows;
    struct kv_reader_stats stats;
};

static bool open_file(void *state, const void *params, const struct kv_reader_env *env, struct kv_err *err)
{
    (void)params;
    struct burstgpt *b = state;
    b->skip_bad_rows = env->skip_bad_rows;
    return kv_input_open(&b->in, env->path, !env->skip_digest, err);
}

static int read_header(struct burstgpt *b, struct kv_err *err)
{
    if (!kv_csv_split(&b->csv, b->in.line, b->in.length)) return kv_input_stop(&b->in, err, "this is not a CSV header");
    for (int32_t c = 0; c < COLUMNS; c++) {
        b->column[c] = kv_csv_find(&b->csv, column_name[c]);
        if (b->column[c] < 0 && c < REQUIRED) {
            return kv_input_stop(&b->in, err, "the header has no column '%s'; it begins with '%s'", column_name[c],
                                 kv_excerpt(b->csv.field[0].text, b->csv.field[0].length).text);
        }
        for (int32_t i = b->column[c] + 1; i < b->csv.count; i++) {
            if (b->column[c] >= 0 && strcmp(b->csv.field[i].text, column_name[c]) == 0) {
                return kv_input_stop(&b->in, err, "the header has the column '%s' twice", column_name[c]);
            }
        }
    }
    b->width = b->csv.count;
    return 0;
}

static bool read_tokens(const struct burstgpt *b, enum column c, int64_t *tokens, struct kv_err *err)
{
    const struct kv_csv_field *f = &b->csv.field[b->column[c]];
    return kv_field_whole(&b->in, column_name[c], f->text, f->length, KV_FIELD_TOKENS_MAX, tokens, err);
}

static bool read_row(struct burstgpt *b, struct kv_row *row, struct kv_err *err)
{
    if (!kv_csv_split(&b->csv, b->in.line, b->in.length)) {
        return kv_input_fail(&b->in, err, "a quoted field does not end, or there are too many fields");
    }
    if (b->csv.count != b->width) {
        return kv_input_fail(&b->in, err, "%d fields found, the header has %d", b->csv.count, b->width);
    }
    *row = (struct kv_row){.line = b->in.line_number, .elapsed_ns = -1, .think_ns = -1, .turn = -1,
                           .session = "", .slo_class = ""};
    const struct kv_csv_field *f = &b->csv.field[b->column[TIMESTAMP]];
    int64_t total;
    if (!kv_field_ns(&b->in, column_name[TIMESTAMP], f->text, f->length, 9, &row->time_ns, err)
        || !read_tokens(b, REQUEST, &row->input_tokens, err) || !read_tokens(b, RESPONSE, &row->output_tokens, err)
        || !read_tokens(b, TOTAL, &total, err)) {
        return false;
    }
    if (total != row->input_tokens + row->output_tokens) {
        return kv_input_fail(&b->in, err, "Total tokens is %lld, but %lld + %lld = %lld", (long long)total,
                             (long long)row->input_tokens, (long long)row->output_tokens,
                             (long long)(row->input_tokens + row->output_tokens));
    }
    row->failed = row->output_tokens == 0;
    row->model = b->csv.field[b->column[MODEL]].text;
    f = &b->csv.field[b->column[LOG_TYPE]];
    row->api = f->length == 7 && memcmp(f->text, "API log", 7) == 0;
    if (!row->api && (f->length != 16 || memcmp(f->text, "Conversation log", 16) != 0)) {
        return kv_input_fail(&b->in, err, "Log Type '%s'; expected 'Conversation log' or 'API log'",
                             kv_excerpt(f->text, f->length).text);
    }
    if (b->column[SESSION] >= 0) row->session = b->csv.field[b->column[SESSION]].text;
    if (b->column[ELAPSED] >= 0 && b->csv.field[b->column[ELAPSED]].length) {
        f = &b->csv.field[b->column[ELAPSED]];
        if (!kv_field_ns(&b->in, column_name[ELAPSED], f->text, f->length, 9, &row->elapsed_ns, err)) return false;
    }
    return kv_order_check(&b->order, &b->in, row->time_ns, err);
}

static int next_row(void *state, struct kv_row *row, struct kv_err *err)
{
    struct burstgpt *b = state;
    for (;;) {
        int got = kv_input_line(&b->in, err);
        if (got < 0) return -1;
        if (got == 0) break;
        if (b->in.length == 0) continue;
        if (b->width == 0) {
            if (read_header(b, err) < 0) return -1;
        } else if (read_row(b, row, err)) {
            b->stats.rows++;
            b->stats.failed_rows += row->failed;
            return 1;
        } else {
            b->stats.bad_rows++;
            if (!b->skip_bad_rows) return -1;
        }
    }
    if (b->stats.rows + b->stats.bad_rows > 0 || b->in.failed) return 0;
    return kv_input_stop(&b->in, err, b->width ? "the file has a header but no rows" : "the file is empty");
}

static void tell_stats(const void *state, struct kv_reader_stats *out)
{
    const struct burstgpt *b = state;
    *out = b->stats;
    out->bytes = b->in.bytes;
    memcpy(out->digest, b->in.digest, sizeof out->digest);
}

static void close_file(void *state)
{
    kv_input_close(&((struct burstgpt *)state)->in);
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

/* SPDX-License-Identifier: Apache-2.0 */
/* Requests given by how much of their prompt is cached, as tables of papers and sweeps have them: CSV with
 *
 *   arrival_s,context_tokens,cached_tokens,output_tokens
 *   0,65536,57344,1
 *
 * and where there is one, slo_class. context_tokens is the whole prompt. Its first cached_tokens are resident: they lie
 * in the tier workload.resident_in when the request arrives. Each row has a prefix of its own, so no row hits
 * another's: ids count up over all rows, one for each block of block_tokens. */
#include <stdio.h>
#include <string.h>

#include "sim/base/arena.h"
#include "sim/iface/reader.h"
#include "sim/lib/rows.h"

#define BLOCK_TOKENS 16        /* where the engine's is not known */
#define SLO_CLASS_MAX 64

struct params { int64_t block_tokens; };
static const struct kv_param table[] = {
    {"block_tokens", KV_DIM_TOKENS, offsetof(struct params, block_tokens), "0", 0, 1 << 20, NULL,
     "tokens of an id; 0: the engine's, or 16 where there is none", NULL},
    KV_PARAM_END,
};

enum column { ARRIVAL, CONTEXT, CACHED, OUTPUT, REQUIRED, SLO_CLASS = REQUIRED };
static const char *const column_name[] = {"arrival_s", "context_tokens", "cached_tokens", "output_tokens", "slo_class",
                                          NULL};

struct hits {
    int64_t block_tokens;
    struct kv_rows rows;
    struct kv_columns columns;
    struct kv_row row;         /* the line at hand */
    char slo_class[SLO_CLASS_MAX + 1];
    uint64_t last_id;
    KV_VEC(uint64_t) ids;
    int64_t failed_rows, cached_tokens;
};

static bool open_file(void *state, const void *params, const struct kv_reader_env *env, struct kv_err *err)
{
    struct hits *h = state;
    h->block_tokens = ((const struct params *)params)->block_tokens;
    if (h->block_tokens == 0) h->block_tokens = env->block_tokens > 0 ? env->block_tokens : BLOCK_TOKENS;
    h->columns = (struct kv_columns){.name = column_name, .required = REQUIRED};
    return kv_rows_open(&h->rows, env->path, !env->skip_digest, env->skip_bad_rows, err);
}

static bool read_class(struct hits *h, struct kv_err *err)
{
    h->slo_class[0] = '\0';
    if (h->columns.place[SLO_CLASS] < 0) return true;
    const struct kv_csv_field *f = kv_columns_field(&h->columns, SLO_CLASS);
    if (f->length > SLO_CLASS_MAX)
        return kv_input_fail(&h->rows.in, err, "slo_class '%s' is longer than %d bytes",
                             kv_excerpt(f->text, f->length).text, SLO_CLASS_MAX);
    memcpy(h->slo_class, f->text, f->length);
    h->slo_class[f->length] = '\0';
    return true;
}

static bool read_row(struct hits *h, struct kv_err *err)
{
    struct kv_input *in = &h->rows.in;
    struct kv_row *row = &h->row;
    if (!kv_columns_row(&h->columns, &h->rows, err)) return false;
    *row = (struct kv_row){.line = in->line_number, .elapsed_ns = -1, .think_ns = -1, .turn = -1,
                           .model = "", .session = "", .slo_class = h->slo_class};
    const struct kv_csv_field *arrival = kv_columns_field(&h->columns, ARRIVAL);
    if (!kv_field_ns(in, "arrival_s", arrival->text, arrival->length, 9, &row->time_ns, err)
        || !kv_columns_whole(&h->columns, &h->rows, CONTEXT, KV_FIELD_TOKENS_MAX, &row->input_tokens, err)
        || !kv_columns_whole(&h->columns, &h->rows, CACHED, KV_FIELD_TOKENS_MAX, &row->resident_tokens, err)
        || !kv_columns_whole(&h->columns, &h->rows, OUTPUT, KV_FIELD_TOKENS_MAX, &row->output_tokens, err)
        || !read_class(h, err)) {
        return false;
    }
    if (row->resident_tokens > row->input_tokens)
        return kv_input_fail(in, err, "cached_tokens is %lld, of a context of %lld", (long long)row->resident_tokens,
                             (long long)row->input_tokens);
    row->failed = row->output_tokens == 0;
    return kv_order_check(&h->rows.order, in, row->time_ns, err);
}

static enum kv_row_kind read_line(void *state, struct kv_err *err)
{
    struct hits *h = state;
    if (!h->rows.header) return kv_columns_header(&h->columns, &h->rows, err);
    return read_row(h, err) ? KV_ROW_GOOD : KV_ROW_BAD;
}

static int next_row(void *state, struct kv_row *row, struct kv_err *err)
{
    struct hits *h = state;
    int got = kv_rows_next(&h->rows, read_line, h, err);
    if (got <= 0) return got;
    int64_t blocks = h->row.input_tokens / h->block_tokens;
    kv_vec_reserve(&h->ids, (size_t)blocks + 1);   /* + 1: ids is never NULL, as every row has some or none has */
    for (int64_t i = 0; i < blocks; i++) h->ids.at[i] = ++h->last_id;
    *row = h->row;
    row->ids = h->ids.at;
    row->ids_count = blocks;
    row->ids_tokens = h->block_tokens;
    row->known_tokens = blocks * h->block_tokens;
    h->failed_rows += row->failed;
    h->cached_tokens += row->resident_tokens;
    return 1;
}

static void tell_stats(const void *state, struct kv_reader_stats *out)
{
    const struct hits *h = state;
    *out = (struct kv_reader_stats){.rows = h->rows.good, .failed_rows = h->failed_rows, .bad_rows = h->rows.bad,
                                    .bytes = h->rows.in.bytes};
    memcpy(out->digest, h->rows.in.digest, sizeof out->digest);
    snprintf(out->note, sizeof out->note, "%lld cached tokens", (long long)h->cached_tokens);
}

static void close_file(void *state)
{
    struct hits *h = state;
    kv_rows_close(&h->rows);
    kv_vec_close(&h->ids);
}

const struct kv_reader_ops kv_reader_hits = {
    .info = {.help = "CSV of prompts and how much of each is cached", .params = table,
             .params_bytes = sizeof(struct params)},
    .has_ids = true,
    .state_bytes = sizeof(struct hits),
    .open = open_file,
    .next = next_row,
    .stats = tell_stats,
    .close = close_file,
};

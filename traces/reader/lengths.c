/* SPDX-License-Identifier: Apache-2.0 */
/* Prompt and response lengths without times, as Vidur has them (github.com/microsoft/vidur, data/processed_traces): CSV
 * with num_prefill_tokens and num_decode_tokens, and where there is num_total_tokens, their sum. Row i arrives when i
 * gaps have passed since the first row, which arrives at 0; gaps are exponential (a Poisson process), or all equal. */
#include <gsl/gsl_randist.h>
#include <string.h>

#include "sim/base/rng.h"
#include "sim/iface/reader.h"
#include "sim/lib/rows.h"

struct params { double rate_per_s; int64_t gaps; };
enum gaps { GAPS_EXPONENTIAL, GAPS_EQUAL };
static const char *const gaps[] = {"exponential", "equal", NULL};
static const struct kv_param table[] = {
    {"rate", KV_DIM_PER_S, offsetof(struct params, rate_per_s), "1req/s", 1e-6, 1e6, NULL,
     "rows that arrive in a second", "assumed: the file has no times"},
    {"gaps", KV_DIM_CHOICE, offsetof(struct params, gaps), "exponential", 0, 0, gaps,
     "time from one row to the next: drawn, or all equal", NULL},
    KV_PARAM_END,
};

enum column { PREFILL, DECODE, REQUIRED, TOTAL = REQUIRED };
static const char *const column_name[] = {"num_prefill_tokens", "num_decode_tokens", "num_total_tokens", NULL};

struct lengths {
    struct params p;
    struct kv_rows rows;
    struct kv_columns columns;
    uint64_t seed, stream;
    double now_s;              /* arrival of the next row */
    int64_t input_tokens, output_tokens;
    int64_t failed_rows;
};

static bool open_file(void *state, const void *params, const struct kv_reader_env *env, struct kv_err *err)
{
    struct lengths *l = state;
    l->p = *(const struct params *)params;
    l->columns = (struct kv_columns){.name = column_name, .required = REQUIRED};
    l->seed = env->seed;
    l->stream = kv_stream("lengths.gap");
    return kv_rows_open(&l->rows, env->path, !env->skip_digest, env->skip_bad_rows, err);
}

static enum kv_row_kind read_line(void *state, struct kv_err *err)
{
    struct lengths *l = state;
    if (!l->rows.header) return kv_columns_header(&l->columns, &l->rows, err);
    if (!kv_columns_row(&l->columns, &l->rows, err)
        || !kv_columns_whole(&l->columns, &l->rows, PREFILL, KV_FIELD_TOKENS_MAX, &l->input_tokens, err)
        || !kv_columns_whole(&l->columns, &l->rows, DECODE, KV_FIELD_TOKENS_MAX, &l->output_tokens, err))
        return KV_ROW_BAD;
    int64_t total, sum = l->input_tokens + l->output_tokens;
    if (l->columns.place[TOTAL] < 0) return KV_ROW_GOOD;
    if (!kv_columns_whole(&l->columns, &l->rows, TOTAL, 2 * KV_FIELD_TOKENS_MAX, &total, err)) return KV_ROW_BAD;
    if (total == sum) return KV_ROW_GOOD;
    kv_input_fail(&l->rows.in, err, "num_total_tokens is %lld, but %lld + %lld = %lld", (long long)total,
                  (long long)l->input_tokens, (long long)l->output_tokens, (long long)sum);
    return KV_ROW_BAD;
}

static int next_row(void *state, struct kv_row *row, struct kv_err *err)
{
    struct lengths *l = state;
    int got = kv_rows_next(&l->rows, read_line, l, err);
    if (got <= 0) return got;
    *row = (struct kv_row){
        .line = l->rows.in.line_number, .time_ns = (int64_t)(l->now_s * 1e9), .input_tokens = l->input_tokens,
        .output_tokens = l->output_tokens, .elapsed_ns = -1, .think_ns = -1, .failed = l->output_tokens == 0,
        .model = "", .session = "", .turn = -1, .slo_class = "",
    };
    l->failed_rows += row->failed;
    struct kv_rng rng;
    double mean_s = 1 / l->p.rate_per_s;
    l->now_s += l->p.gaps == GAPS_EQUAL
                    ? mean_s
                    : gsl_ran_exponential(kv_rng_at(&rng, l->seed, l->stream, (uint64_t)l->rows.good), mean_s);
    return 1;
}

static void tell_stats(const void *state, struct kv_reader_stats *out)
{
    const struct lengths *l = state;
    *out = (struct kv_reader_stats){.rows = l->rows.good, .failed_rows = l->failed_rows, .bad_rows = l->rows.bad,
                                    .bytes = l->rows.in.bytes};
    memcpy(out->digest, l->rows.in.digest, sizeof out->digest);
}

static void close_file(void *state)
{
    kv_rows_close(&((struct lengths *)state)->rows);
}

const struct kv_reader_ops kv_reader_lengths = {
    .info = {.help = "CSV of prompt and response lengths; arrivals are drawn", .source = "github.com/microsoft/vidur",
             .params = table, .params_bytes = sizeof(struct params)},
    .state_bytes = sizeof(struct lengths),
    .open = open_file,
    .next = next_row,
    .stats = tell_stats,
    .close = close_file,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* Azure's LLM inference traces (Patel et al., Splitwise, ISCA 2024; github.com/Azure/AzurePublicDataset): CSV with
 *
 *   TIMESTAMP,ContextTokens,GeneratedTokens
 *   2023-11-16 18:15:46.6805900,374,44
 *
 * The 2024 files add an offset such as +00:00. Times become ns since 1970-01-01 in UTC; nothing asks the machine
 * for its time zone. A trailing line break may be missing, as it is in the published file. */
#include <string.h>

#include "sim/iface/reader.h"
#include "sim/lib/rows.h"

enum column { TIMESTAMP, CONTEXT, GENERATED, COLUMNS };
static const char *const column_name[] = {"TIMESTAMP", "ContextTokens", "GeneratedTokens", NULL};

struct azure {
    struct kv_rows rows;
    struct kv_columns columns;
    struct kv_row row;          /* the line at hand */
    int64_t failed_rows;
};

static bool open_file(void *state, const void *params, const struct kv_reader_env *env, struct kv_err *err)
{
    (void)params;
    struct azure *a = state;
    a->columns = (struct kv_columns){.name = column_name, .required = COLUMNS};
    return kv_rows_open(&a->rows, env->path, !env->skip_digest, env->skip_bad_rows, err);
}

/* `count` digits at *at; -1 when there are fewer. */
static int32_t take_digits(const char **at, int32_t count)
{
    int32_t value = 0;
    for (; count > 0; count--, (*at)++) {
        unsigned digit = (unsigned)(unsigned char)**at - '0';
        if (digit > 9) return -1;
        value = value * 10 + (int32_t)digit;
    }
    return value;
}

/* Days from 1970-01-01 to a date of the Gregorian calendar: whole years since year 0 with March first, so that a
 * leap day ends its year, and 30.6 days a month (Fliegel and Van Flandern, CACM 11(10), 1968). */
static int64_t days_since_1970(int32_t year, int32_t month, int32_t day)
{
    int64_t y = month > 2 ? year : year - 1, m = month > 2 ? month - 3 : month + 9;
    return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

static int32_t days_of_month(int32_t year, int32_t month)
{
    static const int32_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

/* "2023-11-16 18:15:46.6805900", fraction optional and up to 9 digits, perhaps "+01:00" or "Z" behind it. */
static bool parse_date(const char *at, int64_t *ns)
{
    int32_t year = take_digits(&at, 4);
    if (*at++ != '-') return false;
    int32_t month = take_digits(&at, 2);
    if (*at++ != '-') return false;
    int32_t day = take_digits(&at, 2);
    if (*at != ' ' && *at != 'T') return false;
    at++;
    int32_t hour = take_digits(&at, 2);
    if (*at++ != ':') return false;
    int32_t minute = take_digits(&at, 2);
    if (*at++ != ':') return false;
    int32_t second = take_digits(&at, 2);
    if (year < 1970 || year > 2200 || month < 1 || month > 12 || day < 1 || day > days_of_month(year, month)
        || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) {
        return false;
    }
    int64_t fraction_ns = 0;
    if (*at == '.') {
        at++;
        if (*at < '0' || *at > '9') return false;
        for (int64_t place = 100000000; *at >= '0' && *at <= '9'; at++, place /= 10) {
            if (place == 0) return false;
            fraction_ns += (*at - '0') * place;
        }
    }
    int64_t offset_s = 0;
    if (*at == '+' || *at == '-') {
        int32_t sign = *at++ == '+' ? 1 : -1, hours = take_digits(&at, 2);
        if (*at++ != ':') return false;
        int32_t minutes = take_digits(&at, 2);
        if (hours < 0 || hours > 14 || minutes < 0 || minutes > 59) return false;
        offset_s = sign * (hours * 3600 + minutes * 60);
    } else if (*at == 'Z') {
        at++;
    }
    int64_t s = days_since_1970(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset_s;
    *ns = s * 1000000000 + fraction_ns;
    return *at == '\0' && s >= 0;
}

static bool read_row(struct azure *a, struct kv_err *err)
{
    struct kv_input *in = &a->rows.in;
    struct kv_row *row = &a->row;
    if (!kv_columns_row(&a->columns, &a->rows, err)) return false;
    *row = (struct kv_row){.line = in->line_number, .elapsed_ns = -1, .think_ns = -1, .turn = -1,
                           .model = "", .session = "", .slo_class = ""};
    const struct kv_csv_field *date = kv_columns_field(&a->columns, TIMESTAMP);
    if (!parse_date(date->text, &row->time_ns)) {
        return kv_input_fail(in, err, "TIMESTAMP '%s' is not a date; expected 2023-11-16 18:15:46.6805900",
                             kv_excerpt(date->text, date->length).text);
    }
    if (!kv_columns_whole(&a->columns, &a->rows, CONTEXT, KV_FIELD_TOKENS_MAX, &row->input_tokens, err)
        || !kv_columns_whole(&a->columns, &a->rows, GENERATED, KV_FIELD_TOKENS_MAX, &row->output_tokens, err)) {
        return false;
    }
    row->failed = row->output_tokens == 0;
    return kv_order_check(&a->rows.order, in, row->time_ns, err);
}

static enum kv_row_kind read_line(void *state, struct kv_err *err)
{
    struct azure *a = state;
    if (!a->rows.header) return kv_columns_header(&a->columns, &a->rows, err);
    return read_row(a, err) ? KV_ROW_GOOD : KV_ROW_BAD;
}

static int next_row(void *state, struct kv_row *row, struct kv_err *err)
{
    struct azure *a = state;
    int got = kv_rows_next(&a->rows, read_line, a, err);
    if (got <= 0) return got;
    *row = a->row;
    a->failed_rows += row->failed;
    return 1;
}

static void tell_stats(const void *state, struct kv_reader_stats *out)
{
    const struct azure *a = state;
    *out = (struct kv_reader_stats){.rows = a->rows.good, .failed_rows = a->failed_rows, .bad_rows = a->rows.bad,
                                    .bytes = a->rows.in.bytes};
    memcpy(out->digest, a->rows.in.digest, sizeof out->digest);
}

static void close_file(void *state)
{
    kv_rows_close(&((struct azure *)state)->rows);
}

const struct kv_reader_ops kv_reader_azure = {
    .info = {.help = "Azure LLM inference CSV (2023, 2024)", .source = "Patel et al., Splitwise, ISCA 2024"},
    .state_bytes = sizeof(struct azure),
    .open = open_file,
    .next = next_row,
    .stats = tell_stats,
    .close = close_file,
};

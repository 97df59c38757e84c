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
#include "sim/lib/csv.h"
#include "sim/lib/field.h"

enum column { TIMESTAMP, CONTEXT, GENERATED, COLUMNS };
static const char *const column_name[COLUMNS] = {"TIMESTAMP", "ContextTokens", "GeneratedTokens"};

struct azure {
    struct kv_input in;
    struct kv_order order;
    struct kv_csv csv;
    int32_t column[COLUMNS];
    int32_t width;              /* columns of the file; 0: the header has not been read */
    bool skip_bad_rows;
    struct kv_reader_stats stats;
};

static bool open_file(void *state, const void *params, const struct kv_reader_env *env, struct kv_err *err)
{
    (void)params;
    struct azure *a = state;
    a->skip_bad_rows = env->skip_bad_rows;
    return kv_input_open(&a->in, env->path, !env->skip_digest, err);
}

static int read_header(struct azure *a, struct kv_err *err)
{
    if (!kv_csv_split(&a->csv, a->in.line, a->in.length)) return kv_input_stop(&a->in, err, "this is not a CSV header");
    for (int32_t c = 0; c < COLUMNS; c++) {
        a->column[c] = kv_csv_find(&a->csv, column_name[c]);
        if (a->column[c] < 0) {
            return kv_input_stop(&a->in, err, "the header has no column '%s'; it begins with '%s'", column_name[c],
                                 kv_excerpt(a->csv.field[0].text, a->csv.field[0].length).text);
        }
    }
    a->width = a->csv.count;
    return 0;
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

static bool read_row(struct azure *a, struct kv_row *row, struct kv_err *err)
{
    if (!kv_csv_split(&a->csv, a->in.line, a->in.length)) {
        return kv_input_fail(&a->in, err, "a quoted field does not end, or there are too many fields");
    }
    if (a->csv.count != a->width) {
        return kv_input_fail(&a->in, err, "%d fields found, the header has %d", a->csv.count, a->width);
    }
    *row = (struct kv_row){.line = a->in.line_number, .elapsed_ns = -1, .think_ns = -1, .turn = -1,
                           .model = "", .session = "", .slo_class = ""};
    const struct kv_csv_field *date = &a->csv.field[a->column[TIMESTAMP]];
    const struct kv_csv_field *context = &a->csv.field[a->column[CONTEXT]];
    const struct kv_csv_field *generated = &a->csv.field[a->column[GENERATED]];
    if (!parse_date(date->text, &row->time_ns)) {
        return kv_input_fail(&a->in, err, "TIMESTAMP '%s' is not a date; expected 2023-11-16 18:15:46.6805900",
                             kv_excerpt(date->text, date->length).text);
    }
    if (!kv_field_whole(&a->in, column_name[CONTEXT], context->text, context->length, KV_FIELD_TOKENS_MAX,
                        &row->input_tokens, err)
        || !kv_field_whole(&a->in, column_name[GENERATED], generated->text, generated->length, KV_FIELD_TOKENS_MAX,
                           &row->output_tokens, err)) {
        return false;
    }
    row->failed = row->output_tokens == 0;
    return kv_order_check(&a->order, &a->in, row->time_ns, err);
}

static int next_row(void *state, struct kv_row *row, struct kv_err *err)
{
    struct azure *a = state;
    for (;;) {
        int got = kv_input_line(&a->in, err);
        if (got < 0) return -1;
        if (got == 0) break;
        if (a->in.length == 0) continue;
        if (a->width == 0) {
            if (read_header(a, err) < 0) return -1;
        } else if (read_row(a, row, err)) {
            a->stats.rows++;
            a->stats.failed_rows += row->failed;
            return 1;
        } else {
            a->stats.bad_rows++;
            if (!a->skip_bad_rows) return -1;
        }
    }
    if (a->stats.rows + a->stats.bad_rows > 0 || a->in.failed) return 0;
    return kv_input_stop(&a->in, err, a->width ? "the file has a header but no rows" : "the file is empty");
}

static void tell_stats(const void *state, struct kv_reader_stats *out)
{
    const struct azure *a = state;
    *out = a->stats;
    out->bytes = a->in.bytes;
    memcpy(out->digest, a->in.digest, sizeof out->digest);
}

static void close_file(void *state)
{
    kv_input_close(&((struct azure *)state)->in);
}

const struct kv_reader_ops kv_reader_azure = {
    .info = {.help = "Azure LLM inference CSV (2023, 2024)", .source = "Patel et al., Splitwise, ISCA 2024"},
    .state_bytes = sizeof(struct azure),
    .open = open_file,
    .next = next_row,
    .stats = tell_stats,
    .close = close_file,
};

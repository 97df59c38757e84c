/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of a results file as CSV, JSON or JSON lines. Times are seconds with 12 decimals, rounded from the exact
 * value; an undefined number is an empty cell, or null. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "sim/out/format.h"
#include "sim/out/h5.h"
#include "sim/out/out.h"
#include "sim/out/read.h"
#include "sim/out/requests.h"

/* ---- a sheet: rows of cells in one of the formats ---- */

enum format { FORMAT_CSV, FORMAT_JSON, FORMAT_JSONL };

struct sheet {
    FILE *out;
    enum format format;
    struct kv_arena arena;
    KV_VEC(const char *) column;
    size_t cell;
    bool any_row;
};

static void sheet_head(struct sheet *s)
{
    for (size_t i = 0; i < s->column.count && s->format == FORMAT_CSV; i++) {
        fprintf(s->out, "%s%s", i ? "," : "", s->column.at[i]);
    }
    if (s->format == FORMAT_CSV) fputc('\n', s->out);
    else for (size_t i = 0; i < s->column.count; i++) s->column.at[i] = kv_format_json(&s->arena, s->column.at[i]);
    if (s->format == FORMAT_JSON) fputc('[', s->out);
}

/* CSV quotes only what needs it (RFC 4180). */
static void put_csv(FILE *out, const char *text)
{
    if (!strpbrk(text, ",\"\n")) {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    for (; *text; text++) {
        if (*text == '"') fputc('"', out);
        fputc(*text, out);
    }
    fputc('"', out);
}

/* `quote`: a text, not a number. */
static void sheet_cell(struct sheet *s, const char *text, bool quote)
{
    size_t at = s->cell++;
    if (s->format == FORMAT_CSV) {
        if (at) fputc(',', s->out);
        put_csv(s->out, text);
        return;
    }
    if (!at) fputs(s->format == FORMAT_JSON ? s->any_row ? ",\n{" : "\n{" : "{", s->out);
    fprintf(s->out, "%s%s: ", at ? ", " : "", s->column.at[at]);
    if (quote) {
        struct kv_arena scratch = {0};
        fputs(kv_format_json(&scratch, text), s->out);
        kv_arena_close(&scratch);
    } else {
        fputs(*text ? text : "null", s->out);
    }
}

static void sheet_row(struct sheet *s)
{
    kv_assert(s->cell == s->column.count);
    fputs(s->format == FORMAT_CSV ? "\n" : s->format == FORMAT_JSONL ? "}\n" : "}", s->out);
    s->cell = 0;
    s->any_row = true;
}

static void sheet_end(struct sheet *s)
{
    if (s->format == FORMAT_JSON) fputs("\n]\n", s->out);
    kv_vec_close(&s->column);
    kv_arena_close(&s->arena);
}

static void cell_int(struct sheet *s, int64_t value)
{
    char text[KV_FORMAT_MAX];
    snprintf(text, sizeof text, "%lld", (long long)value);
    sheet_cell(s, text, false);
}

static void cell_real(struct sheet *s, double value)
{
    char text[KV_FORMAT_MAX];
    sheet_cell(s, kv_format_real(text, value), false);
}

/* Numerator < 0: undefined. */
static void cell_seconds(struct sheet *s, int64_t numerator_tk, int64_t denominator)
{
    char text[KV_FORMAT_MAX];
    sheet_cell(s, numerator_tk < 0 ? "" : kv_format_seconds(text, numerator_tk, denominator), false);
}

/* ---- requests ---- */

#define INPUTS(X) \
    X(request) X(trace_row) X(arrival) X(first_sched) X(first_token) X(finish) X(status) X(slo_class) X(session) \
    X(turn) X(instance) X(prompt_tokens) X(output_tokens) X(generated_tokens) X(preemptions) X(recomputed_tokens) \
    X(t_queue) X(t_fetch_stall) X(t_prefill) X(t_decode) X(t_preempt) X(slo_ok) X(limiting_stage) \
    X(t_induced_stall) X(prefill_instance) X(prompt_tokens_by_source) X(bytes_by_tier)
enum input {
#define X(name) IN_##name,
    INPUTS(X)
#undef X
    INPUT_COUNT
};

static const char *const request_columns[] = {
    "request_id", "arrival_s", "ttft_s", "tpot_s", "e2e_s", "input_toks", "output_toks", "generated_toks", "status",
    "instance", "session", "turn", "slo_class", "slo_ok", "queue_s", "fetch_stall_s", "prefill_s", "decode_s",
    "preempted_s", "limiting_stage", "preemptions", "recomputed_toks", "first_sched_s", "first_token_s", "finish_s",
    "trace_row", "induced_stall_s", "prefill_instance",
};

struct requests {
    struct kv_h5in *in;
    struct kv_h5in_column column[INPUT_COUNT];
    int64_t *value[INPUT_COUNT];     /* of KV_H5_CHUNK_ROWS rows */
    const char **slo_class;          /* names by number */
    int32_t slo_count, source_count, tier_count;
};

static void cell_instance(struct sheet *s, int64_t instance)
{
    if (instance == KV_NO_INSTANCE) sheet_cell(s, "", false); else cell_int(s, instance);
}

static void put_request(struct sheet *s, const struct requests *q, int64_t row)
{
    int64_t v[INPUT_COUNT];
    for (int i = 0; i < IN_prompt_tokens_by_source; i++) v[i] = q->value[i][row];
    bool first = v[IN_first_token] >= 0, done = v[IN_finish] >= 0;
    int64_t gaps = v[IN_generated_tokens] - 1;
    static const char *const slo_names[] = {"no", "yes", ""};
    cell_int(s, v[IN_request]);
    cell_seconds(s, v[IN_arrival], 1);
    cell_seconds(s, first ? v[IN_first_token] - v[IN_arrival] : -1, 1);
    cell_seconds(s, done && gaps > 0 ? v[IN_finish] - v[IN_first_token] : -1, gaps > 0 ? gaps : 1);
    cell_seconds(s, done ? v[IN_finish] - v[IN_arrival] : -1, 1);
    cell_int(s, v[IN_prompt_tokens]);
    cell_int(s, v[IN_output_tokens]);
    cell_int(s, v[IN_generated_tokens]);
    sheet_cell(s, v[IN_status] < KV_STATUS_COUNT ? kv_status_names[v[IN_status]] : "", true);
    cell_instance(s, v[IN_instance]);
    cell_int(s, v[IN_session]);
    cell_int(s, v[IN_turn]);
    sheet_cell(s, v[IN_slo_class] < q->slo_count ? q->slo_class[v[IN_slo_class]] : "", true);
    sheet_cell(s, v[IN_slo_ok] < 3 ? slo_names[v[IN_slo_ok]] : "", true);
    for (int i = IN_t_queue; i <= IN_t_preempt; i++) cell_seconds(s, v[i], 1);
    sheet_cell(s, v[IN_limiting_stage] < KV_STAGE_COUNT ? kv_stage_names[v[IN_limiting_stage]] : "", true);
    cell_int(s, v[IN_preemptions]);
    cell_int(s, v[IN_recomputed_tokens]);
    cell_seconds(s, v[IN_first_sched], 1);
    cell_seconds(s, v[IN_first_token], 1);
    cell_seconds(s, v[IN_finish], 1);
    cell_int(s, v[IN_trace_row]);
    cell_seconds(s, v[IN_t_induced_stall], 1);
    cell_instance(s, v[IN_prefill_instance]);
    for (int32_t i = 0; i < q->source_count; i++) {
        cell_int(s, q->value[IN_prompt_tokens_by_source][row * q->source_count + i]);
    }
    for (int32_t i = 0; i < q->tier_count; i++) cell_int(s, q->value[IN_bytes_by_tier][row * q->tier_count + i]);
}

/* flag_meanings "default chat" as a list of names. */
static void read_classes(struct requests *q, struct kv_arena *arena)
{
    const char *names = kv_h5in_attribute(q->in, "/requests/slo_class", "flag_meanings", arena);
    q->slo_class = kv_arena_take(arena, (names ? strlen(names) + 1 : 1) * sizeof *q->slo_class);
    while (names && *names) {
        size_t length = strcspn(names, " ");
        q->slo_class[q->slo_count++] = kv_arena_copy(arena, names, length);
        names += length + (names[length] == ' ');
    }
}

static bool requests_open(struct requests *q, struct sheet *s, struct kv_err *err)
{
    static const char *const path[] = {
#define X(name) "/requests/" #name,
        INPUTS(X)
#undef X
    };
    for (int i = 0; i < INPUT_COUNT; i++) {
        if (!kv_h5in_column_open(q->in, path[i], &q->column[i], err)) return false;
        q->value[i] = kv_arena_take(&s->arena, (size_t)KV_H5_CHUNK_ROWS * (size_t)q->column[i].width * sizeof(int64_t));
    }
    const char **source = kv_h5in_labels(q->in, "/requests/prompt_tokens_by_source", &s->arena);
    const char **tier = kv_h5in_labels(q->in, "/requests/bytes_by_tier", &s->arena);
    q->source_count = q->column[IN_prompt_tokens_by_source].width;
    q->tier_count = q->column[IN_bytes_by_tier].width;
    if (!source || !tier) return kv_h5in_fail(q->in, "/requests", err);
    read_classes(q, &s->arena);
    for (size_t i = 0; i < sizeof request_columns / sizeof *request_columns; i++) {
        kv_vec_push(&s->column, request_columns[i]);
    }
    for (int32_t i = 0; i < q->source_count; i++) {
        kv_vec_push(&s->column, kv_arena_text(&s->arena, "%s_toks", source[i]));
    }
    for (int32_t i = 0; i < q->tier_count; i++) {
        kv_vec_push(&s->column, kv_arena_text(&s->arena, "%s_bytes", tier[i]));
    }
    return true;
}

static bool export_requests(struct kv_h5in *in, struct sheet *s, struct kv_err *err)
{
    struct requests q = {.in = in};
    if (!kv_h5in_has(in, "/requests")) {
        return kv_fail(err, KV_EIO, "", "the file has no /requests: the run had output.requests none");
    }
    bool ok = requests_open(&q, s, err);
    if (ok) sheet_head(s);
    int64_t rows = ok ? q.column[IN_request].rows : 0;
    for (int64_t first = 0; ok && first < rows; first += KV_H5_CHUNK_ROWS) {
        int64_t here = rows - first < KV_H5_CHUNK_ROWS ? rows - first : KV_H5_CHUNK_ROWS;
        for (int i = 0; ok && i < INPUT_COUNT; i++) {
            ok = kv_h5in_column_ints(&q.column[i], first, here, q.value[i]) || kv_h5in_fail(in, "/requests", err);
        }
        for (int64_t row = 0; ok && row < here; row++) {
            put_request(s, &q, row);
            sheet_row(s);
        }
    }
    for (int i = 0; i < INPUT_COUNT; i++) kv_h5in_column_close(&q.column[i]);
    return ok;
}

/* ---- time series, tiers and links: whatever columns there are ---- */

struct column { struct kv_h5in_column in; int64_t *ints; double *reals; const char **texts; };

static bool read_column(struct kv_h5in *in, const char *path, struct column *c, struct sheet *s, struct kv_err *err)
{
    int64_t rows;
    int32_t count;
    if (!kv_h5in_column_open(in, path, &c->in, err)) return false;
    kv_h5in_column_close(&c->in);
    if (c->in.is_text) c->texts = kv_h5in_texts(in, path, &count, &s->arena);
    else if (c->in.is_real) c->reals = kv_h5in_reals(in, path, &rows, &s->arena, err);
    else c->ints = kv_h5in_ints(in, path, &rows, &s->arena, err);
    return c->texts || c->reals || c->ints || kv_h5in_fail(in, path, err);
}

static void put_cell(struct sheet *s, const struct column *c, int64_t at)
{
    if (c->texts) sheet_cell(s, c->texts[at], true);
    else if (c->reals) cell_real(s, c->reals[at]);
    else if (c->in.ticks) cell_seconds(s, c->ints[at], 1);
    else if (c->in.fills && c->ints[at] == -1) sheet_cell(s, "", false);
    else cell_int(s, c->ints[at]);
}

/* "tier_occupancy_dram", "fetch_stall_s". */
static void name_columns(struct kv_h5in *in, const char *path, const struct column *c, struct sheet *s)
{
    const char *name = strrchr(path, '/') + 1, **label = c->in.is_wide ? kv_h5in_labels(in, path, &s->arena) : NULL;
    for (int32_t k = 0; k < c->in.width; k++) {
        const char *full = label ? kv_arena_text(&s->arena, "%s_%s", name, label[k])
                         : c->in.is_wide ? kv_arena_text(&s->arena, "%s_%d", name, (int)k) : name;
        kv_vec_push(&s->column, c->in.ticks ? kv_arena_text(&s->arena, "%s_s", full) : full);
    }
}

/* All datasets of a group that have as many rows as `scale`; a wide one becomes as many columns as it has labels. Other
 * scales are the labels of wide ones: no columns of their own, even where their lengths agree. */
static bool export_group(struct kv_h5in *in, const char *group, const char *scale, struct sheet *s, struct kv_err *err)
{
    int32_t count, used = 0;
    if (!kv_h5in_has(in, group)) {
        return kv_fail(err, KV_EIO, "", "the file has no %s%s", group,
                       strcmp(group, "/links") ? "" : ": no link of the run has a finite rate");
    }
    const char **name = kv_h5in_members(in, group, &count, &s->arena);
    struct column *column = kv_arena_take(&s->arena, (size_t)count * sizeof *column);
    struct column first = {.ints = NULL};
    if (!read_column(in, kv_arena_text(&s->arena, "%s/%s", group, scale), &first, s, err)) return false;
    for (int32_t i = 0; i < count; i++) {
        struct column *c = &column[used];
        const char *path = kv_arena_text(&s->arena, "%s/%s", group, name[i]);
        if (!read_column(in, path, c, s, err)) return false;
        if (c->in.rows != first.in.rows || (kv_h5in_is_scale(in, path) && strcmp(name[i], scale))) {
            *c = (struct column){.ints = NULL};
            continue;
        }
        name_columns(in, path, c, s);
        used++;
    }
    sheet_head(s);
    for (int64_t row = 0; row < first.in.rows; row++) {
        for (int32_t i = 0; i < used; i++) {
            for (int32_t k = 0; k < column[i].in.width; k++) put_cell(s, &column[i], row * column[i].in.width + k);
        }
        sheet_row(s);
    }
    return true;
}

/* ---- summary: one row a fact in CSV, one object else ---- */

static bool export_summary(struct kv_h5in *in, struct sheet *s, struct kv_err *err)
{
    int32_t count;
    const char **name = kv_h5in_members(in, "/summary", &count, &s->arena);
    bool csv = s->format == FORMAT_CSV;
    for (int32_t i = 0; i < count && !csv; i++) kv_vec_push(&s->column, name[i]);
    static const char *const columns[] = {"name", "value", "units"};
    for (int i = 0; i < 3 && csv; i++) kv_vec_push(&s->column, columns[i]);
    s->format = csv ? FORMAT_CSV : FORMAT_JSONL;
    sheet_head(s);
    for (int32_t i = 0; i < count; i++) {
        struct column c = {.ints = NULL};
        const char *path = kv_arena_text(&s->arena, "/summary/%s", name[i]);
        if (!read_column(in, path, &c, s, err)) return false;
        if (csv) sheet_cell(s, name[i], true);
        put_cell(s, &c, 0);
        const char *units = kv_h5in_attribute(in, path, "units", &s->arena);
        if (csv) sheet_cell(s, units ? units : "", true);
        if (csv) sheet_row(s);
    }
    if (!csv) sheet_row(s);
    return true;
}

bool kv_results_export(const char *path, const char *format, const char *table, FILE *out, struct kv_err *err)
{
    struct sheet s = {.out = out};
    if (!strcmp(format, "csv")) s.format = FORMAT_CSV;
    else if (!strcmp(format, "json")) s.format = FORMAT_JSON;
    else if (!strcmp(format, "jsonl")) s.format = FORMAT_JSONL;
    else return kv_fail(err, KV_EUSAGE, "export", "unknown format '%s': csv, json or jsonl", format);

    struct kv_h5in *in = kv_h5in_open(path, err);
    if (!in) return false;
    bool ok;
    if (!strcmp(table, "requests")) ok = export_requests(in, &s, err);
    else if (!strcmp(table, "timeseries")) ok = export_group(in, "/timeseries", "time", &s, err);
    else if (!strcmp(table, "tiers")) ok = export_group(in, "/tiers", "tier", &s, err);
    else if (!strcmp(table, "links")) ok = export_group(in, "/links", "link", &s, err);
    else if (!strcmp(table, "summary")) ok = export_summary(in, &s, err);
    else {
        ok = kv_fail(err, KV_EUSAGE, "export", "unknown table '%s': requests, timeseries, tiers, links or summary",
                     table);
    }
    if (ok) sheet_end(&s);
    else {
        kv_vec_close(&s.column);
        kv_arena_close(&s.arena);
        if (err && !*err->where) snprintf(err->where, sizeof err->where, "%s", path);
    }
    kv_h5in_close(in);
    return ok;
}

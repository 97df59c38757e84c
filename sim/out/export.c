/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of a results file as CSV, JSON or JSON lines. Times are seconds with 12 decimals, rounded from the exact
 * value; an undefined number is an empty cell, or null. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "sim/out/against.h"
#include "sim/out/format.h"
#include "sim/out/h5.h"
#include "sim/out/out.h"
#include "sim/out/read.h"
#include "sim/out/requests.h"
#include "sim/out/sheet.h"

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
    struct kv_against *against;      /* NULL: no column for it */
};

static void cell_instance(struct kv_sheet *s, int64_t instance)
{
    if (instance == KV_NO_INSTANCE) kv_sheet_cell(s, "", false); else kv_sheet_int(s, instance);
}

static void put_request(struct kv_sheet *s, const struct requests *q, int64_t row)
{
    int64_t v[INPUT_COUNT];
    for (int i = 0; i < IN_prompt_tokens_by_source; i++) v[i] = q->value[i][row];
    bool first = v[IN_first_token] >= 0, done = v[IN_finish] >= 0;
    int64_t gaps = v[IN_generated_tokens] - 1;
    static const char *const slo_names[] = {"no", "yes", ""};
    kv_sheet_int(s, v[IN_request]);
    kv_sheet_seconds(s, v[IN_arrival], 1);
    kv_sheet_seconds(s, first ? v[IN_first_token] - v[IN_arrival] : -1, 1);
    kv_sheet_seconds(s, done && gaps > 0 ? v[IN_finish] - v[IN_first_token] : -1, gaps > 0 ? gaps : 1);
    kv_sheet_seconds(s, done ? v[IN_finish] - v[IN_arrival] : -1, 1);
    kv_sheet_int(s, v[IN_prompt_tokens]);
    kv_sheet_int(s, v[IN_output_tokens]);
    kv_sheet_int(s, v[IN_generated_tokens]);
    kv_sheet_cell(s, v[IN_status] < KV_STATUS_COUNT ? kv_status_names[v[IN_status]] : "", true);
    cell_instance(s, v[IN_instance]);
    kv_sheet_int(s, v[IN_session]);
    kv_sheet_int(s, v[IN_turn]);
    kv_sheet_cell(s, v[IN_slo_class] < q->slo_count ? q->slo_class[v[IN_slo_class]] : "", true);
    kv_sheet_cell(s, v[IN_slo_ok] < 3 ? slo_names[v[IN_slo_ok]] : "", true);
    for (int i = IN_t_queue; i <= IN_t_preempt; i++) kv_sheet_seconds(s, v[i], 1);
    kv_sheet_cell(s, v[IN_limiting_stage] < KV_STAGE_COUNT ? kv_stage_names[v[IN_limiting_stage]] : "", true);
    kv_sheet_int(s, v[IN_preemptions]);
    kv_sheet_int(s, v[IN_recomputed_tokens]);
    kv_sheet_seconds(s, v[IN_first_sched], 1);
    kv_sheet_seconds(s, v[IN_first_token], 1);
    kv_sheet_seconds(s, v[IN_finish], 1);
    kv_sheet_int(s, v[IN_trace_row]);
    kv_sheet_seconds(s, v[IN_t_induced_stall], 1);
    cell_instance(s, v[IN_prefill_instance]);
    for (int32_t i = 0; i < q->source_count; i++) {
        kv_sheet_int(s, q->value[IN_prompt_tokens_by_source][row * q->source_count + i]);
    }
    for (int32_t i = 0; i < q->tier_count; i++) kv_sheet_int(s, q->value[IN_bytes_by_tier][row * q->tier_count + i]);
    if (!q->against) return;
    kv_tick added_tk;
    if (kv_against_added(q->against, v[IN_request], &added_tk)) kv_sheet_difference(s, added_tk);
    else kv_sheet_cell(s, "", false);
}

static bool requests_open(struct requests *q, struct kv_sheet *s, struct kv_err *err)
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
    q->slo_class = kv_h5in_meanings(q->in, "/requests/slo_class", &q->slo_count, &s->arena);
    for (size_t i = 0; i < sizeof request_columns / sizeof *request_columns; i++) {
        kv_vec_push(&s->column, request_columns[i]);
    }
    for (int32_t i = 0; i < q->source_count; i++) {
        kv_vec_push(&s->column, kv_arena_text(&s->arena, "%s_toks", source[i]));
    }
    for (int32_t i = 0; i < q->tier_count; i++) {
        kv_vec_push(&s->column, kv_arena_text(&s->arena, "%s_bytes", tier[i]));
    }
    if (q->against) kv_vec_push(&s->column, "added_ttft_s");
    return true;
}

static bool export_requests(struct kv_h5in *in, const char *against, struct kv_sheet *s, struct kv_err *err)
{
    struct requests q = {.in = in};
    if (!kv_h5in_has(in, "/requests")) {
        return kv_fail(err, KV_EIO, "", "the file has no /requests: the run had output.requests none");
    }
    if (against && !(q.against = kv_against_open(in, against, err))) return false;
    bool ok = requests_open(&q, s, err);
    if (ok) kv_sheet_head(s);
    int64_t rows = ok ? q.column[IN_request].rows : 0;
    for (int64_t first = 0; ok && first < rows; first += KV_H5_CHUNK_ROWS) {
        int64_t here = rows - first < KV_H5_CHUNK_ROWS ? rows - first : KV_H5_CHUNK_ROWS;
        for (int i = 0; ok && i < INPUT_COUNT; i++) {
            ok = kv_h5in_column_ints(&q.column[i], first, here, q.value[i]) || kv_h5in_fail(in, "/requests", err);
        }
        for (int64_t row = 0; ok && row < here; row++) {
            put_request(s, &q, row);
            kv_sheet_row(s);
        }
    }
    for (int i = 0; i < INPUT_COUNT; i++) kv_h5in_column_close(&q.column[i]);
    kv_against_close(q.against);
    return ok;
}

/* ---- all other tables: whatever columns there are ---- */

/* Texts are read at once, numbers chunk by chunk. */
struct column {
    struct kv_h5in_column in;
    int64_t *ints;
    double *reals;
    const char **texts, **meaning;
    int32_t meanings;
};

static bool open_column(struct kv_h5in *in, const char *path, struct column *c, struct kv_sheet *s,
                        struct kv_err *err)
{
    int32_t count;
    if (!kv_h5in_column_open(in, path, &c->in, err)) return false;
    size_t rows = c->in.rows < KV_H5_CHUNK_ROWS ? (size_t)c->in.rows : KV_H5_CHUNK_ROWS;
    void *room = c->in.is_text ? NULL : kv_arena_take(&s->arena, (rows + 1) * (size_t)c->in.width * 8);
    if (c->in.is_text) c->texts = kv_h5in_texts(in, path, &count, &s->arena);
    else if (c->in.is_real) c->reals = room;
    else c->ints = room;
    c->meaning = kv_h5in_meanings(in, path, &c->meanings, &s->arena);
    return room || c->texts || kv_h5in_fail(in, path, err);
}

static bool read_rows(const struct column *c, int64_t first, int64_t rows)
{
    if (c->texts) return true;
    return c->reals ? kv_h5in_column_reals(&c->in, first, rows, c->reals)
                    : kv_h5in_column_ints(&c->in, first, rows, c->ints);
}

/* Cell `at` of a chunk that begins with row `first`. */
static void put_cell(struct kv_sheet *s, const struct column *c, int64_t first, int64_t at)
{
    if (c->texts) kv_sheet_cell(s, c->texts[first + at], true);
    else if (c->reals) kv_sheet_real(s, c->reals[at]);
    else if (c->in.ticks) kv_sheet_seconds(s, c->ints[at], 1);
    else if (c->meaning) kv_sheet_cell(s, c->ints[at] < c->meanings ? c->meaning[c->ints[at]] : "", true);
    else if (c->in.fills && c->ints[at] == -1) kv_sheet_cell(s, "", false);
    else kv_sheet_int(s, c->ints[at]);
}

/* "tier_occupancy_dram", "fetch_stall_s". */
static void name_columns(struct kv_h5in *in, const char *path, const struct column *c, struct kv_sheet *s)
{
    const char *name = strrchr(path, '/') + 1, **label = c->in.is_wide ? kv_h5in_labels(in, path, &s->arena) : NULL;
    for (int32_t k = 0; k < c->in.width; k++) {
        const char *full = label ? kv_arena_text(&s->arena, "%s_%s", name, label[k])
                         : c->in.is_wide ? kv_arena_text(&s->arena, "%s_%d", name, (int)k) : name;
        kv_vec_push(&s->column, c->in.ticks ? kv_arena_text(&s->arena, "%s_s", full) : full);
    }
}

struct columns { struct column *at; int32_t count; };

static bool put_rows(struct kv_h5in *in, const struct columns *columns, int64_t rows, struct kv_sheet *s,
                     struct kv_err *err)
{
    for (int64_t first = 0; first < rows; first += KV_H5_CHUNK_ROWS) {
        int64_t here = rows - first < KV_H5_CHUNK_ROWS ? rows - first : KV_H5_CHUNK_ROWS;
        for (int32_t i = 0; i < columns->count; i++) {
            if (!read_rows(&columns->at[i], first, here)) return kv_h5in_fail(in, "a table", err);
        }
        for (int64_t row = 0; row < here; row++) {
            for (int32_t i = 0; i < columns->count; i++) {
                const struct column *c = &columns->at[i];
                for (int32_t k = 0; k < c->in.width; k++) put_cell(s, c, first, row * c->in.width + k);
            }
            kv_sheet_row(s);
        }
    }
    return true;
}

/* The tables that are groups, and why a file may have none. */
static const struct group { const char *name, *scale, *absent; } groups[] = {
    {"timeseries", "time", "the run had output.timeseries none"},
    {"tiers", "tier", "it is older than version 0.1"},
    {"links", "link", "no link of the run has a finite rate"},
    {"flows", "fetch", "run with output.flows: all"},
    {"layers", "request", "run with output.layers: {sample: N}"},
};
#define GROUPS (sizeof groups / sizeof *groups)

/* All datasets of a group that have as many rows as its scale; a wide one becomes as many columns as it has labels.
 * Other scales are the labels of wide ones: no columns of their own, even where their lengths agree. */
static bool export_group(struct kv_h5in *in, const struct group *group, struct kv_sheet *s, struct kv_err *err)
{
    int32_t count;
    const char *path = kv_arena_text(&s->arena, "/%s", group->name);
    if (!kv_h5in_has(in, path)) {
        return kv_fail(err, KV_EIO, "", "the file has no %s: %s", path, group->absent);
    }
    const char **name = kv_h5in_members(in, path, &count, &s->arena);
    struct columns columns = {kv_arena_take(&s->arena, ((size_t)count + 1) * sizeof *columns.at), 0};
    struct column scale = {.ints = NULL};
    bool ok = open_column(in, kv_arena_text(&s->arena, "%s/%s", path, group->scale), &scale, s, err);
    kv_h5in_column_close(&scale.in);
    for (int32_t i = 0; ok && i < count; i++) {
        struct column *c = &columns.at[columns.count];
        const char *of = kv_arena_text(&s->arena, "%s/%s", path, name[i]);
        *c = (struct column){.ints = NULL};
        ok = open_column(in, of, c, s, err);
        bool label = kv_h5in_is_scale(in, of) && strcmp(name[i], group->scale);
        if (c->in.rows != scale.in.rows || label) {
            kv_h5in_column_close(&c->in);
            continue;
        }
        name_columns(in, of, c, s);
        columns.count++;
    }
    if (ok) kv_sheet_head(s);
    ok = ok && put_rows(in, &columns, scale.in.rows, s, err);
    for (int32_t i = 0; i < columns.count; i++) kv_h5in_column_close(&columns.at[i].in);
    return ok;
}

/* ---- summary: one row a fact in CSV, one object else ---- */

static bool export_summary(struct kv_h5in *in, struct kv_sheet *s, struct kv_err *err)
{
    int32_t count;
    const char **name = kv_h5in_members(in, "/summary", &count, &s->arena);
    bool csv = s->format == KV_SHEET_CSV;
    for (int32_t i = 0; i < count && !csv; i++) kv_vec_push(&s->column, name[i]);
    static const char *const columns[] = {"name", "value", "units"};
    for (int i = 0; i < 3 && csv; i++) kv_vec_push(&s->column, columns[i]);
    s->format = csv ? KV_SHEET_CSV : KV_SHEET_JSONL;
    kv_sheet_head(s);
    for (int32_t i = 0; i < count; i++) {
        struct column c = {.ints = NULL};
        const char *path = kv_arena_text(&s->arena, "/summary/%s", name[i]);
        if (!open_column(in, path, &c, s, err)) return false;
        bool read = read_rows(&c, 0, 1);
        kv_h5in_column_close(&c.in);
        if (!read) return kv_h5in_fail(in, path, err);
        if (csv) kv_sheet_cell(s, name[i], true);
        put_cell(s, &c, 0, 0);
        const char *units = kv_h5in_attribute(in, path, "units", &s->arena);
        if (csv) kv_sheet_cell(s, units ? units : "", true);
        if (csv) kv_sheet_row(s);
    }
    if (!csv) kv_sheet_row(s);
    return true;
}

static bool export_table(struct kv_h5in *in, const char *table, const char *against, struct kv_sheet *s,
                         struct kv_err *err)
{
    const char *known = "requests";
    if (!strcmp(table, "requests")) return export_requests(in, against, s, err);
    if (against) return kv_fail(err, KV_EUSAGE, "export", "--against is for requests; %s has none", table);
    if (!strcmp(table, "summary")) return export_summary(in, s, err);
    for (size_t i = 0; i < GROUPS; i++) {
        if (!strcmp(table, groups[i].name)) return export_group(in, &groups[i], s, err);
        known = kv_arena_text(&s->arena, "%s, %s", known, groups[i].name);
    }
    return kv_fail(err, KV_EUSAGE, "export", "unknown table '%s': %s, summary", table, known);
}

bool kv_results_export(const char *path, const char *format, const char *table, const char *against, FILE *out,
                       struct kv_err *err)
{
    struct kv_sheet s = {.out = out};
    if (!strcmp(format, "csv")) s.format = KV_SHEET_CSV;
    else if (!strcmp(format, "json")) s.format = KV_SHEET_JSON;
    else if (!strcmp(format, "jsonl")) s.format = KV_SHEET_JSONL;
    else return kv_fail(err, KV_EUSAGE, "export", "unknown format '%s': csv, json or jsonl", format);

    struct kv_h5in *in = kv_h5in_open(path, err);
    if (!in) return false;
    bool ok = export_table(in, table, against, &s, err);
    if (ok) kv_sheet_end(&s);
    else {
        kv_vec_close(&s.column);
        kv_arena_close(&s.arena);
        if (err && !*err->where) snprintf(err->where, sizeof err->where, "%s", path);
    }
    kv_h5in_close(in);
    return ok;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A run as a trace in the `blocks` format. Results hold arrivals but no block ids, so the workload is read again
 * from the stored scenario; the trace must still have the digest that the run saw. Request i of the results is the
 * i-th row of the workload, whatever the replay mode. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/out/format.h"
#include "sim/out/out.h"
#include "sim/out/read.h"

struct exporter {
    struct kv_arena arena;
    struct kv_h5in *in;
    const char *path;
    const struct kv_scenario *scenario;
    int64_t requests, *arrival_tk, *trace_row;
    KV_VEC(char) line;
    FILE *out;
};

static void add_text(struct exporter *e, const char *text)
{
    size_t length = strlen(text);
    kv_vec_reserve(&e->line, e->line.count + length + 1);
    memcpy(e->line.at + e->line.count, text, length + 1);
    e->line.count += length;
}

/* printf is too slow here: a trace may have 10^8 ids. */
static void add_number(struct exporter *e, uint64_t value)
{
    char digits[24], *at = digits + sizeof digits;
    *--at = 0;
    do {
        *--at = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    add_text(e, at);
}

static void add_keys(struct exporter *e, const char *name, const struct kv_prefix *prefix, int32_t from, int32_t to)
{
    add_text(e, name);
    for (int32_t i = from; i < to; i++) {
        if (i > from) add_text(e, ", ");
        add_number(e, kv_prefix_key(prefix, i, (int32_t)e->scenario->sim.engine.block_tokens));
    }
    add_text(e, "]");
}

/* One id a known full block. Ids of generated blocks follow those of all full prompt blocks, or there are none. */
static bool add_ids(struct exporter *e, const struct kv_request *r, struct kv_err *err)
{
    int32_t block = (int32_t)e->scenario->sim.engine.block_tokens, total = r->input_tokens + r->output_tokens;
    int32_t prompt = kv_prefix_known_blocks(&r->prefix, r->input_tokens, block);
    int32_t all = kv_prefix_known_blocks(&r->prefix, total, block);
    add_keys(e, ", \"hash_ids\": [", &r->prefix, 0, prompt);
    if (all == prompt) return true;
    if (prompt != r->input_tokens / block || all != total / block) {
        return kv_fail(err, KV_ETRACE, e->path, "trace row %lld: the ids of its response are known in part only, which "
                       "the blocks format cannot say", (long long)r->trace_row);
    }
    add_keys(e, ", \"output_hash_ids\": [", &r->prefix, prompt, all);
    return true;
}

static bool make_line(struct exporter *e, const struct kv_request *r, kv_tick arrival_tk, struct kv_err *err)
{
    char text[256];
    int64_t ns = arrival_tk / KV_TICKS_PER_NS;
    e->line.count = 0;
    snprintf(text, sizeof text, "{\"arrival_s\": %lld.%09lld, \"input_length\": %d, \"output_length\": %d",
             (long long)(ns / 1000000000), (long long)(ns % 1000000000), r->input_tokens, r->output_tokens);
    add_text(e, text);
    if (!add_ids(e, r, err)) return false;
    if (r->session) {
        snprintf(text, sizeof text, ", \"session_id\": \"%u\", \"turn\": %u", r->session, r->turn);
        add_text(e, text);
    }
    if (r->branch) {
        snprintf(text, sizeof text, ", \"branch\": %u", r->branch);
        add_text(e, text);
    }
    if (r->priority) {
        snprintf(text, sizeof text, ", \"priority\": %d", r->priority);
        add_text(e, text);
    }
    if (r->slo_class < e->scenario->slo_count) {
        struct kv_arena scratch = {0};
        add_text(e, ", \"slo_class\": ");
        add_text(e, kv_format_json(&scratch, e->scenario->slo[r->slo_class].name));
        kv_arena_close(&scratch);
    }
    if (r->resident_tokens) {
        snprintf(text, sizeof text, ", \"resident_tokens\": %d", r->resident_tokens);
        add_text(e, text);
    }
    add_text(e, r->failed ? ", \"failed\": true}\n" : "}\n");
    return true;
}

/* ---- passes over the workload ---- */

/* Calls `visit` for every request of the results; then *stats are those of the whole workload. */
typedef bool (*visitor)(struct exporter *e, int64_t i, const struct kv_request *request, struct kv_err *err);
static bool walk(struct exporter *e, visitor visit, struct kv_workload_stats *stats, struct kv_err *err)
{
    const struct kv_scenario *s = e->scenario;
    struct kv_request request;
    struct kv_workload *w = kv_workload_open(&s->workload, s->sim.seed, s->slo, s->slo_count, err);
    if (!w) return false;
    int got = 1;
    bool ok = true;
    for (int64_t i = 0; ok && (got = kv_workload_next(w, &request, err)) > 0; i++) {
        if (i < e->requests) ok = visit(e, i, &request, err);
    }
    kv_workload_stats(w, stats);
    kv_workload_close(w);
    return ok && got == 0;
}

static bool changed(const struct exporter *e, struct kv_err *err, const char *what)
{
    return kv_fail(err, KV_ETRACE, e->scenario->workload.trace ? e->scenario->workload.trace : e->path,
                   "is not the trace that %s was made from: %s", e->path, what);
}

/* A request that never arrived has no row number of its own in the results. */
static bool check_row(struct exporter *e, int64_t i, const struct kv_request *r, struct kv_err *err)
{
    return e->arrival_tk[i] < 0 || r->trace_row == e->trace_row[i] || changed(e, err, "its rows are others");
}

static bool check(struct exporter *e, struct kv_err *err)
{
    struct kv_workload_stats stats;
    const char *stored = kv_h5in_attribute(e->in, "/meta", "trace_sha256", &e->arena);
    if (!walk(e, check_row, &stats, err)) return false;
    if (stats.requests < e->requests) return changed(e, err, "it has fewer rows");
    /* A run that was stopped early has no digest: it never saw the end of the trace. */
    if (!stored || !*stored || !strcmp(stored, stats.reader.digest)) return true;
    return changed(e, err, kv_arena_text(&e->arena, "its sha256 is %s, the run read %s", stats.reader.digest, stored));
}

static bool write_row(struct exporter *e, int64_t i, const struct kv_request *r, struct kv_err *err)
{
    if (e->arrival_tk[i] < 0) return true;
    if (!make_line(e, r, e->arrival_tk[i], err)) return false;
    fwrite(e->line.at, 1, e->line.count, e->out);
    return true;
}

/* For runs whose requests did not arrive in the order of the trace: lines are kept, then sorted. */
struct kept { int64_t arrival_tk, request; const char *line; };
struct keeper { struct exporter e; KV_VEC(struct kept) kept; };

static bool keep_row(struct exporter *e, int64_t i, const struct kv_request *r, struct kv_err *err)
{
    struct keeper *k = (struct keeper *)(void *)e;
    if (e->arrival_tk[i] < 0) return true;
    if (!make_line(e, r, e->arrival_tk[i], err)) return false;
    struct kept kept = {e->arrival_tk[i], i, kv_arena_copy(&e->arena, e->line.at, e->line.count)};
    kv_vec_push(&k->kept, kept);
    return true;
}

static int by_arrival(const void *a, const void *b)
{
    const struct kept *x = a, *y = b;
    if (x->arrival_tk != y->arrival_tk) return x->arrival_tk < y->arrival_tk ? -1 : 1;
    return (x->request > y->request) - (x->request < y->request);
}

static bool in_order(const struct exporter *e)
{
    kv_tick last_tk = 0;
    for (int64_t i = 0; i < e->requests; i++) {
        if (e->arrival_tk[i] < 0) continue;
        if (e->arrival_tk[i] < last_tk) return false;
        last_tk = e->arrival_tk[i];
    }
    return true;
}

static bool write_trace(struct keeper *k, struct kv_err *err)
{
    struct kv_workload_stats stats;
    if (in_order(&k->e)) return walk(&k->e, write_row, &stats, err);
    if (!walk(&k->e, keep_row, &stats, err)) return false;
    qsort(k->kept.at, k->kept.count, sizeof *k->kept.at, by_arrival);
    for (size_t i = 0; i < k->kept.count; i++) fputs(k->kept.at[i].line, k->e.out);
    return true;
}

bool kv_results_export_trace(const char *path, const struct kv_scenario *scenario, FILE *out, struct kv_err *err)
{
    struct keeper k = {.e = {.path = path, .scenario = scenario, .out = out}};
    struct exporter *e = &k.e;
    e->in = kv_h5in_open(path, err);
    if (!e->in) return false;
    bool ok = kv_h5in_has(e->in, "/requests")
              || kv_fail(err, KV_EIO, path, "the file has no /requests: the run had output.requests none");
    ok = ok && (e->arrival_tk = kv_h5in_ints(e->in, "/requests/arrival", &e->requests, &e->arena, err))
         && (e->trace_row = kv_h5in_ints(e->in, "/requests/trace_row", &e->requests, &e->arena, err))
         && check(e, err) && write_trace(&k, err);
    kv_h5in_close(e->in);
    kv_vec_close(&e->line);
    kv_vec_close(&k.kept);
    kv_arena_close(&e->arena);
    return ok;
}

bool kv_results_scenario(const char *path, const char **yaml, const char **trace, struct kv_arena *arena,
                         struct kv_err *err)
{
    struct kv_h5in *in = kv_h5in_open(path, err);
    if (!in) return false;
    *yaml = kv_h5in_text(in, "/meta/resolved_yaml", arena);
    *trace = kv_h5in_text(in, "/meta/trace_path", arena);
    bool ok = (*yaml && *trace) || kv_h5in_fail(in, "/meta/resolved_yaml", err);
    kv_h5in_close(in);
    return ok;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* kvsim trace info: what a trace holds, and what a prefix cache could make of it.
 *
 * All figures are over all rows, failed ones included. gap CV: standard deviation / mean of the times between rows.
 * IDC: variance / mean of the rows in 60 s from the first. Percentiles interpolate as numpy.percentile does. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "sim/cli/trace.h"
#include "sim/lib/hash.h"
#include "sim/lib/lru_replay.h"
#include "sim/lib/number.h"
#include "sim/lib/parts.h"
#include "sim/lib/tally.h"

#define IDC_BIN_NS INT64_C(60000000000)
#define CAPACITIES_MAX 64

struct session { int64_t turns, last_ns, context_tokens; };

struct info {
    struct kv_trace trace;
    struct kv_tally input, output, turns, turn_gap_ms;
    int64_t first_ns, last_ns;
    double gap_mean_s, gap_square_sum;    /* Welford's running mean and sum of squares */
    int64_t bin, bin_rows;                /* the 60 s bin under way */
    double bin_square_sum;
    struct kv_map session_of;
    KV_VEC(struct session) sessions;
    int64_t turn_pairs, extending_pairs, api_rows;
    int64_t block_tokens;                 /* 0: no ids */
    struct kv_lru_replay cache;
    struct kv_parts parts;
    struct kv_parts_hits part_hits;
    struct kv_reader_stats stats;
};

static void add_time(struct info *s, const struct kv_row *row)
{
    if (s->input.count == 0) s->first_ns = s->last_ns = row->time_ns;
    else {
        double gap_s = (double)(row->time_ns - s->last_ns) / 1e9, count = (double)s->input.count;
        double off = gap_s - s->gap_mean_s;
        s->gap_mean_s += off / count;
        s->gap_square_sum += off * (gap_s - s->gap_mean_s);
    }
    s->last_ns = row->time_ns;
    int64_t bin = (row->time_ns - s->first_ns) / IDC_BIN_NS;
    if (bin != s->bin) {
        s->bin_square_sum += (double)s->bin_rows * (double)s->bin_rows;
        s->bin_rows = 0;
        s->bin = bin;
    }
    s->bin_rows++;
}

static void add_turn(struct info *s, const struct kv_row *row)
{
    uint64_t key = kv_hash_text(row->session);
    uint32_t index = kv_map_get(&s->session_of, key);
    if (index == KV_NONE) {
        index = (uint32_t)s->sessions.count;
        kv_map_put(&s->session_of, key, index);
        struct session fresh = {0, 0, -1};
        kv_vec_push(&s->sessions, fresh);
    }
    struct session *session = &s->sessions.at[index];
    if (session->turns++) kv_tally_add(&s->turn_gap_ms, (row->time_ns - session->last_ns) / 1000000);
    session->last_ns = row->time_ns;
    if (row->failed) return;
    if (session->context_tokens >= 0) {
        s->turn_pairs++;
        s->extending_pairs += row->input_tokens >= session->context_tokens;
    }
    session->context_tokens = row->input_tokens + row->output_tokens;
}

static void add_row(struct info *s, const struct kv_row *row)
{
    add_time(s, row);
    kv_tally_add(&s->input, row->input_tokens);
    kv_tally_add(&s->output, row->output_tokens);
    s->api_rows += row->api;
    if (row->session[0]) add_turn(s, row);
    if (row->parts) {
        kv_parts_begin(&s->parts, row->line);
        for (int64_t i = 0; i < row->parts_count; i++) kv_parts_add(&s->parts, row->parts[i].id, row->parts[i].tokens);
    }
    if (!row->ids) return;
    s->block_tokens = row->ids_tokens;
    uint64_t scope = row->ids_local ? kv_hash_text(row->session) | 1 : 0;
    /* Blocks of the response are no part of the reference rule. */
    int64_t prompt_ids = row->known_tokens > row->input_tokens ? row->input_tokens / row->ids_tokens : row->ids_count;
    kv_lru_replay_request(&s->cache, row->ids, prompt_ids, scope, row->ids_tokens, row->input_tokens);
}

/* "500,1000,2000" */
static bool read_capacities(const char *text, int64_t *capacity, int32_t *count, struct kv_err *err)
{
    for (*count = 0;; text++) {
        size_t length = strcspn(text, ",");
        const char *why = *count == CAPACITIES_MAX ? "is one too many"
                                                   : kv_number_whole(text, length, INT64_C(1) << 40, &capacity[*count]);
        if (!why && capacity[*count] == 0) why = "is no capacity";
        if (why)
            return kv_fail(err, KV_EUSAGE, "--lru", "'%.*s' %s; expected blocks, e.g. 1000,10000", (int)length, text,
                           why);
        (*count)++;
        text += length;
        if (!*text) return true;
    }
}

static bool open_info(struct info *s, struct kv_args *args, struct kv_err *err)
{
    const struct kv_flag_value *lru = kv_args_get(args, "lru"), *touch = kv_args_get(args, "touch");
    int64_t capacity[CAPACITIES_MAX];
    int32_t count = 0;
    bool leaf_first = touch && strcmp(touch->text, "leaf_first") == 0;
    if (touch && !leaf_first && strcmp(touch->text, "root_first") != 0) {
        return kv_fail(err, KV_EUSAGE, "--touch", "'%s'; known: root_first, leaf_first", touch->text);
    }
    if (lru && !read_capacities(lru->text, capacity, &count, err)) return false;
    kv_map_open(&s->session_of, 1024);
    kv_lru_replay_open(&s->cache, capacity, count, leaf_first);
    return true;
}

static void close_info(struct info *s)
{
    kv_tally_close(&s->input);
    kv_tally_close(&s->output);
    kv_tally_close(&s->turns);
    kv_tally_close(&s->turn_gap_ms);
    kv_map_close(&s->session_of);
    kv_vec_close(&s->sessions);
    kv_lru_replay_close(&s->cache);
    kv_parts_close(&s->parts);
    kv_trace_close(&s->trace);
}

static int read_all(struct info *s)
{
    struct kv_err err;
    struct kv_row row;
    int got = 0;
    while (!kv_cli_interrupted() && (got = s->trace.reader->next(s->trace.state, &row, &err)) == 1) add_row(s, &row);
    if (kv_cli_interrupted()) return KV_EINTERRUPT;
    if (got < 0) return kv_cli_fail(&err);
    for (size_t i = 0; i < s->sessions.count; i++) kv_tally_add(&s->turns, s->sessions.at[i].turns);
    kv_parts_count(&s->parts, &s->part_hits);
    s->trace.reader->stats(s->trace.state, &s->stats);
    return KV_OK;
}

static double gap_cv(const struct info *s)
{
    int64_t gaps = s->input.count - 1;
    return gaps > 0 && s->gap_mean_s > 0 ? sqrt(s->gap_square_sum / (double)gaps) / s->gap_mean_s : 0;
}

/* Over all bins from the first row to the last, empty ones included. */
static double idc(const struct info *s)
{
    double bins = (double)(s->bin + 1), mean = (double)s->input.count / bins;
    double squares = s->bin_square_sum + (double)s->bin_rows * (double)s->bin_rows;
    return mean > 0 ? (squares / bins - mean * mean) / mean : 0;
}

static double share(double part, double whole)
{
    return whole > 0 ? part / whole : 0;
}

static void print_lengths(const char *name, struct kv_tally *t)
{
    kv_print("%-9s mean %.1f  p50 %g  p90 %g  p99 %g  max %lld  sum %lld\n", name, kv_tally_mean(t),
             kv_tally_percentile(t, 50), kv_tally_percentile(t, 90), kv_tally_percentile(t, 99), (long long)t->max,
             (long long)t->sum);
}

static void print_hits(const struct kv_lru_replay *c, const char *capacity, const struct kv_hits *h)
{
    kv_print("  %10s %12lld %14lld %9.4f %9.4f %9.4f\n", capacity, (long long)h->blocks, (long long)h->tokens,
             share((double)h->blocks, (double)c->blocks), share((double)h->tokens, (double)c->tokens),
             share(h->ratio_sum, (double)c->requests));
}

static void print_parts(const struct info *s)
{
    const struct kv_parts_hits *h = &s->part_hits;
    kv_print("parts     %zu of prompts, %lld unique; %lld tokens\n", s->parts.entries.count, (long long)h->unique,
             (long long)s->parts.tokens);
    kv_print("          seen before, as prefix %lld, %lld tokens; at any position %lld, %lld tokens\n",
             (long long)h->prefix, (long long)h->prefix_tokens, (long long)h->anywhere, (long long)h->anywhere_tokens);
}

static void print_table(struct info *s)
{
    double span_s = (double)(s->last_ns - s->first_ns) / 1e9;
    kv_print("trace     %s\n", s->trace.path);
    kv_print("format    %s, sha256 %s\n", s->trace.format, s->stats.digest);
    kv_print("rows      %lld (%lld failed", (long long)s->stats.rows, (long long)s->stats.failed_rows);
    if (s->api_rows) kv_print(", %lld API", (long long)s->api_rows);
    kv_print(")\nspan      %s s", kv_seconds_text(s->last_ns - s->first_ns).text);
    if (span_s > 0) kv_print(", %.4g rows/s", (double)s->stats.rows / span_s);
    kv_print("\narrivals  gap CV %.3f, IDC of 60 s %.3f\n", gap_cv(s), idc(s));
    if (s->stats.note[0]) kv_print("file      %s\n", s->stats.note);
    print_lengths("input", &s->input);
    print_lengths("output", &s->output);
    if (s->sessions.count) {
        kv_print("sessions  %lld, turns mean %.2f  p50 %g  p90 %g  max %lld  single %.1f %%\n",
                 (long long)s->turns.count, kv_tally_mean(&s->turns), kv_tally_percentile(&s->turns, 50),
                 kv_tally_percentile(&s->turns, 90), (long long)s->turns.max,
                 100 * share((double)s->turns.times.at[1], (double)s->turns.count));
        kv_print("          gap between turns mean %.0f s  p50 %.0f s  p90 %.0f s\n",
                 kv_tally_mean(&s->turn_gap_ms) / 1e3, kv_tally_percentile(&s->turn_gap_ms, 50) / 1e3,
                 kv_tally_percentile(&s->turn_gap_ms, 90) / 1e3);
        kv_print("          %lld of %lld turns extend the one before (%.1f %%)\n", (long long)s->extending_pairs,
                 (long long)s->turn_pairs, 100 * share((double)s->extending_pairs, (double)s->turn_pairs));
    }
    if (s->parts.entries.count) print_parts(s);
    if (!s->block_tokens) return;
    kv_print("blocks    %lld of %lld tokens, %lld unique\n", (long long)s->cache.blocks, (long long)s->block_tokens,
             (long long)s->cache.unique);
    kv_print("prefix hits, cache only%s:\n  %10s %12s %14s %9s %9s %9s\n",
             s->cache.lru_count ? s->cache.leaf_first ? " (LRU, leaf_first)" : " (LRU, root_first)" : "", "capacity",
             "hit blocks", "hit tokens", "by block", "by token", "mean/req");
    for (int32_t i = 0; i < s->cache.lru_count; i++) {
        char capacity[24];
        snprintf(capacity, sizeof capacity, "%lld", (long long)s->cache.lru[i].capacity);
        print_hits(&s->cache, capacity, &s->cache.lru[i].hits);
    }
    print_hits(&s->cache, "infinite", &s->cache.infinite);
}

static void json_lengths(const char *name, struct kv_tally *t)
{
    kv_print(
        ", \"%s\": {\"sum\": %lld, \"mean\": %.17g, \"p50\": %.17g, \"p90\": %.17g, \"p99\": %.17g, \"max\": %lld}",
        name, (long long)t->sum, kv_tally_mean(t), kv_tally_percentile(t, 50), kv_tally_percentile(t, 90),
        kv_tally_percentile(t, 99), (long long)t->max);
}

static void json_hits(const struct kv_lru_replay *c, const struct kv_hits *h)
{
    kv_print("\"hit_blocks\": %lld, \"hit_tokens\": %lld, \"hit_ratio_block\": %.17g, \"hit_ratio_token\": %.17g, "
             "\"hit_ratio_request_mean\": %.17g}", (long long)h->blocks, (long long)h->tokens,
             share((double)h->blocks, (double)c->blocks), share((double)h->tokens, (double)c->tokens),
             share(h->ratio_sum, (double)c->requests));
}

static void json_path(const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x20) kv_print("\\u%04x", c);
        else kv_print("%s%c", c == '"' || c == '\\' ? "\\" : "", c);
    }
}

static void print_json(struct info *s)
{
    kv_print("{\"trace\": \"");
    json_path(s->trace.path);
    kv_print("\", \"format\": \"%s\", \"sha256\": \"%s\", \"rows\": %lld, \"failed_rows\": %lld, \"api_rows\": %lld, "
             "\"first_s\": %s, \"span_s\": %s, \"gap_cv\": %.17g, \"idc_60s\": %.17g", s->trace.format, s->stats.digest,
             (long long)s->stats.rows, (long long)s->stats.failed_rows, (long long)s->api_rows,
             kv_seconds_text(s->first_ns).text, kv_seconds_text(s->last_ns - s->first_ns).text, gap_cv(s), idc(s));
    json_lengths("input_tokens", &s->input);
    json_lengths("output_tokens", &s->output);
    kv_print(", \"sessions\": %lld, \"turn_pairs\": %lld, \"extending_pairs\": %lld", (long long)s->turns.count,
             (long long)s->turn_pairs, (long long)s->extending_pairs);
    if (s->sessions.count) {
        json_lengths("turns", &s->turns);
        json_lengths("turn_gap_ms", &s->turn_gap_ms);
    }
    if (s->parts.entries.count) {
        const struct kv_parts_hits *h = &s->part_hits;
        kv_print(", \"parts\": {\"count\": %zu, \"unique\": %lld, \"tokens\": %lld, \"prefix_hits\": %lld, "
                 "\"prefix_hit_tokens\": %lld, \"hits\": %lld, \"hit_tokens\": %lld}", s->parts.entries.count,
                 (long long)h->unique, (long long)s->parts.tokens, (long long)h->prefix, (long long)h->prefix_tokens,
                 (long long)h->anywhere, (long long)h->anywhere_tokens);
    }
    if (s->block_tokens) {
        kv_print(
            ", \"block_tokens\": %lld, \"blocks\": %lld, \"unique_blocks\": %lld, \"touch\": \"%s\", \"infinite\": {",
            (long long)s->block_tokens, (long long)s->cache.blocks, (long long)s->cache.unique,
            s->cache.leaf_first ? "leaf_first" : "root_first");
        json_hits(&s->cache, &s->cache.infinite);
        kv_print(", \"lru\": [");
        for (int32_t i = 0; i < s->cache.lru_count; i++) {
            kv_print("%s{\"capacity_blocks\": %lld, ", i ? ", " : "", (long long)s->cache.lru[i].capacity);
            json_hits(&s->cache, &s->cache.lru[i].hits);
        }
        kv_print("]");
    }
    if (s->stats.note[0]) kv_print(", \"file\": \"%s\"", s->stats.note);
    kv_print("}\n");
}

static int run(struct kv_args *args)
{
    struct info s = {0};
    struct kv_err err;
    if (!open_info(&s, args, &err)) return kv_cli_fail(&err);
    int code = kv_trace_open(&s.trace, args);
    if (code == KV_OK) code = read_all(&s);
    if (code == KV_OK && kv_args_has(args, "json")) print_json(&s);
    else if (code == KV_OK) print_table(&s);
    close_info(&s);
    return code;
}

static const struct kv_flag flags[] = {
    { "lru", 0, KV_FLAG_TEXT, "C,...", "also replay LRU caches of so many trace blocks" },
    { "touch", 0, KV_FLAG_TEXT, "ORDER", "how a request touches its blocks: root_first or leaf_first (root_first)" },
    { "json", 0, KV_FLAG_SWITCH, NULL, "one JSON object on stdout" },
    KV_TRACE_FLAGS,
    KV_FLAG_END
};

const struct kv_command kv_command_trace_info = {
    .name = "trace info",
    .usage = "FILE [--lru C,...] [--touch root_first|leaf_first] [--json]",
    .help = "count, sum and describe the rows of a trace; offline prefix cache hits",
    .details =
        "Hits are those of a cache alone, without time, pinning or generated tokens: the requests in file order, each\n"
        "first counting its leading blocks that are held, then touching or inserting all its blocks. by block: hit\n"
        "blocks / blocks; by token: min(hit blocks x block size, prompt) / prompt tokens; mean/req: the mean of the\n"
        "requests' token ratios. They bound, but do not predict, what a serving run hits. Parts are the components of\n"
        "prompts where a trace names them; the requests in the order of their lines.\n",
    .flags = flags,
    .arg_min = 1,
    .arg_max = 1,
    .run = run,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* kvsim trace validate: reads a whole trace and tells everything that is wrong with it. */
#include <stdio.h>
#include <string.h>

#include "sim/cli/trace.h"
#include "sim/iface/request.h"
#include "sim/lib/number.h"

/* Tells a problem, whose place readers write as "FILE:LINE". */
static void tell(struct kv_arena *arena, const struct kv_err *err, bool json)
{
    if (!json) {
        kv_say("%s: error: %s\n", err->where, err->text);
        return;
    }
    struct kv_diag diag = {0};
    struct kv_pos pos = {.file = err->where};
    const char *colon = strrchr(err->where, ':');
    int64_t line;
    if (colon && !kv_number_whole(colon + 1, strlen(colon + 1), INT32_MAX, &line)) {
        pos.file = kv_arena_copy(arena, err->where, (size_t)(colon - err->where));
        pos.line = (int32_t)line;
    }
    kv_diag_add(&diag, KV_ERROR, pos, NULL, "%s", err->text);
    kv_cli_say_diag(&diag, true);
    kv_diag_close(&diag);
}

/* Trace blocks that cannot be cut into engine blocks make a trace unusable for that engine. */
static bool check_blocks(const struct kv_trace *t, const struct kv_row *row, int64_t block_tokens, struct kv_err *err)
{
    if (block_tokens == 0 || !row->ids || kv_prefix_fits((int32_t)row->ids_tokens, (int32_t)block_tokens)) return true;
    char where[sizeof err->where];
    int32_t below, above;
    snprintf(where, sizeof where, "%s:%lld", t->path, (long long)row->line);
    kv_prefix_nearest((int32_t)row->ids_tokens, (int32_t)block_tokens, &below, &above);
    return kv_fail(err, KV_ETRACE, where,
                   "blocks of %lld tokens cannot be cut into or joined to engine blocks of %lld tokens; "
                   "nearest engine.block_tokens that fit: %d and %d",
                   (long long)row->ids_tokens, (long long)block_tokens, below, above);
}

static int read_all(struct kv_trace *t, struct kv_args *args, int64_t *problems)
{
    const struct kv_flag_value *block = kv_args_get(args, "block-tokens");
    int64_t block_tokens = block ? block->number : 0;
    bool json = kv_args_has(args, "json");
    struct kv_err err;
    struct kv_row row;
    int got, code = KV_ETRACE;
    while (!kv_cli_interrupted() && (got = t->reader->next(t->state, &row, &err)) != 0) {
        bool fits = got == 1 && check_blocks(t, &row, block_tokens, &err);
        if (got == 1 && !fits) block_tokens = 0;   /* told once */
        if (got == 1 && fits) continue;
        if ((*problems)++ < KV_DIAG_SHOWN_MAX) tell(&args->arena, &err, json);
        if (err.code != KV_ETRACE) code = (int)err.code;
    }
    return kv_cli_interrupted() ? KV_EINTERRUPT : *problems ? code : KV_OK;
}

static int run(struct kv_args *args)
{
    bool json = kv_args_has(args, "json");
    struct kv_trace trace;
    int64_t problems = 0;
    int code = kv_trace_open(&trace, args);
    if (code == KV_OK) {
        code = read_all(&trace, args, &problems);
        struct kv_reader_stats stats;
        trace.reader->stats(trace.state, &stats);
        if (code == KV_OK) {
            kv_print("%s: good: %lld rows (%lld failed), format %s, sha256 %s\n", trace.path, (long long)stats.rows,
                     (long long)stats.failed_rows, trace.format, stats.digest);
        } else if (!json && problems > 0) {
            if (problems > KV_DIAG_SHOWN_MAX) kv_say("kvsim: %lld more\n", (long long)(problems - KV_DIAG_SHOWN_MAX));
            kv_say("kvsim: %lld problem%s in %s\n", (long long)problems, problems == 1 ? "" : "s", trace.path);
        }
    }
    kv_trace_close(&trace);
    return code;
}

static const struct kv_flag flags[] = {
    { "block-tokens", 0, KV_FLAG_COUNT, "N", "also check that blocks of the trace fit engine blocks of N tokens" },
    { "json", 0, KV_FLAG_SWITCH, NULL, "problems as one JSON object a line (on stderr)" },
    KV_TRACE_FLAGS,
    KV_FLAG_END
};

const struct kv_command kv_command_trace_validate = {
    .name = "trace validate",
    .usage = "FILE [flags]",
    .help = "read a whole trace and tell all that is wrong with it",
    .details = "Exit code 0: good; 4: problems, the first 20 of which are told with file and line.\n",
    .flags = flags,
    .arg_min = 1,
    .arg_max = 1,
    .run = run,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* kvsim trace head: the first rows of a trace as kvsim understands them. */
#include <stdio.h>

#include "sim/cli/trace.h"
#include "sim/lib/number.h"

static void print_row(int64_t number, const struct kv_row *row)
{
    char ids[64] = "-";
    if (row->ids_count == 1) snprintf(ids, sizeof ids, "%llu", (unsigned long long)row->ids[0]);
    if (row->ids_count > 1) {
        snprintf(ids, sizeof ids, "%llu..%llu (%lld)", (unsigned long long)row->ids[0],
                 (unsigned long long)row->ids[row->ids_count - 1], (long long)row->ids_count);
    }
    kv_print("%5lld %20s %8lld %8lld  %-12.12s %-6s %s\n", (long long)number, kv_seconds_text(row->time_ns).text,
             (long long)row->input_tokens, (long long)row->output_tokens, row->session[0] ? row->session : "-",
             row->failed ? "failed" : row->api ? "api" : "ok", ids);
}

static int run(struct kv_args *args)
{
    const struct kv_flag_value *count = kv_args_get(args, "rows");
    int64_t wanted = count ? count->number : 10, shown = 0;
    struct kv_trace trace;
    struct kv_err err;
    struct kv_row row;
    int got = 0, code = kv_trace_open(&trace, args);
    if (code == KV_OK) {
        kv_print("%5s %20s %8s %8s  %-12s %-6s %s\n", "row", "time_s", "input", "output", "session", "kind", "ids");
        while (shown < wanted && (got = trace.reader->next(trace.state, &row, &err)) == 1) print_row(++shown, &row);
        if (got < 0) code = kv_cli_fail(&err);
    }
    kv_trace_close(&trace);
    return code;
}

static const struct kv_flag flags[] = {
    { "rows", 'n', KV_FLAG_COUNT, "N", "how many rows (10)" },
    KV_TRACE_FLAGS,
    KV_FLAG_END
};

const struct kv_command kv_command_trace_head = {
    .name = "trace head",
    .usage = "FILE [-n N]",
    .help = "print the first rows of a trace as kvsim reads them",
    .flags = flags,
    .arg_min = 1,
    .arg_max = 1,
    .run = run,
};

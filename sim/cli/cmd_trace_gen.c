/* SPDX-License-Identifier: Apache-2.0 */
/* kvsim trace gen: a synthetic trace as a file. */
#include "sim/cli/trace.h"

static int run(struct kv_args *args)
{
    struct kv_err err;
    const struct kv_flag_value *out = kv_args_get(args, "output"), *to = kv_args_get(args, "to");
    const struct kv_flag_value *seed = kv_args_get(args, "seed"), *rows = kv_args_get(args, "rows");
    enum kv_trace_form form;
    if (!out) return kv_fail(&err, KV_EUSAGE, "trace gen", "-o OUT is missing"), kv_cli_fail(&err);
    if (!kv_trace_form(to ? to->text : NULL, out->text, &form, &err)) return kv_cli_fail(&err);
    struct kv_trace trace;
    int code = kv_trace_open_synth(&trace, args, seed ? (uint64_t)seed->number : 1, rows ? rows->text : NULL);
    struct kv_writer writer;
    if (code == KV_OK && !kv_writer_open(&writer, out->text, kv_args_has(args, "force"), &err))
        code = kv_cli_fail(&err);
    if (code != KV_OK) {
        kv_trace_close(&trace);
        return code;
    }
    kv_trace_write_header(&writer, form);
    struct kv_row row;
    int64_t written = 0;
    int got = 0;
    while (!kv_cli_interrupted() && (got = trace.reader->next(trace.state, &row, &err)) == 1) {
        kv_trace_write_row(&writer, form, &row);
        written++;
    }
    if (kv_cli_interrupted()) code = KV_EINTERRUPT;
    else if (got < 0 || !kv_writer_commit(&writer, &err)) code = kv_cli_fail(&err);
    else kv_print("%lld rows written to %s\n", (long long)written, out->text);
    kv_writer_close(&writer);
    kv_trace_close(&trace);
    return code;
}

static const struct kv_flag flags[] = {
    { "rows", 0, KV_FLAG_COUNT, "N", "number of rows (10000)" },
    { "seed", 0, KV_FLAG_COUNT, "S", "seed; equal seeds give equal bytes (1)" },
    { "set", 0, KV_FLAG_REPEAT, "KEY=VALUE", "a parameter of the generator; see `kvsim list readers synth`" },
    { "to", 0, KV_FLAG_TEXT, "FORM", "burstgpt (8 columns) or blocks (JSONL); default: by the name of OUT" },
    { "output", 'o', KV_FLAG_TEXT, "OUT", "file to write; compressed when it ends in .gz" },
    { "force", 0, KV_FLAG_SWITCH, NULL, "replace OUT if it exists" },
    KV_FLAG_END
};

const struct kv_command kv_command_trace_gen = {
    .name = "trace gen",
    .usage = "-o OUT [--rows N] [--seed S] [--set KEY=VALUE]...",
    .help = "write a synthetic trace with the published statistics of BurstGPT",
    .details =
        "The trace is synthetic: it follows BurstGPT's published statistics (day cycle, gamma gaps, API bursts,\n"
        "lengths, turns, think times, failures), not its rows. docs/traces.md says which and from where.\n",
    .flags = flags,
    .run = run,
};

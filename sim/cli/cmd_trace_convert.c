/* SPDX-License-Identifier: Apache-2.0 */
/* kvsim trace convert: any readable trace as block JSONL or BurstGPT CSV. */
#include "sim/cli/trace.h"

/* What the reader of the new file must be told. */
static void say_how_to_read(const char *path, enum kv_trace_form form, const struct kv_row *first)
{
    if (form == KV_TRACE_BURSTGPT) {
        if (first->ids) kv_say("kvsim: %s: the prefix ids of the trace have no place in this form\n", path);
        return;
    }
    kv_say("kvsim: read it with --format blocks --set block_tokens=%lld --set partial=prefix%s\n",
           (long long)(first->ids ? first->ids_tokens : 16), first->ids_local ? " --set id_scope=local" : "");
}

static int copy_rows(struct kv_trace *trace, struct kv_writer *writer, enum kv_trace_form form, int64_t limit)
{
    struct kv_err err;
    struct kv_row row;
    int64_t written = 0;
    int got = 0;
    kv_trace_write_header(writer, form);
    while (written != limit && !kv_cli_interrupted() && (got = trace->reader->next(trace->state, &row, &err)) == 1) {
        if (written++ == 0) say_how_to_read(writer->path, form, &row);
        kv_trace_write_row(writer, form, &row);
    }
    if (kv_cli_interrupted()) return KV_EINTERRUPT;
    if (got < 0 || !kv_writer_commit(writer, &err)) return kv_cli_fail(&err);
    kv_print("%lld rows written to %s\n", (long long)written, writer->path);
    return KV_OK;
}

static int run(struct kv_args *args)
{
    struct kv_err err;
    const struct kv_flag_value *out = kv_args_get(args, "output"), *to = kv_args_get(args, "to");
    const struct kv_flag_value *limit = kv_args_get(args, "limit");
    enum kv_trace_form form;
    if (!out) return kv_fail(&err, KV_EUSAGE, "trace convert", "-o OUT is missing"), kv_cli_fail(&err);
    if (!kv_trace_form(to ? to->text : NULL, out->text, &form, &err)) return kv_cli_fail(&err);
    struct kv_trace trace;
    int code = kv_trace_open(&trace, args);
    struct kv_writer writer;
    if (code == KV_OK && !kv_writer_open(&writer, out->text, kv_args_has(args, "force"), &err))
        code = kv_cli_fail(&err);
    if (code == KV_OK) {
        code = copy_rows(&trace, &writer, form, limit && limit->number ? limit->number : -1);
        kv_writer_close(&writer);
    }
    kv_trace_close(&trace);
    return code;
}

static const struct kv_flag flags[] = {
    { "to", 0, KV_FLAG_TEXT, "FORM", "blocks (JSONL) or burstgpt (CSV, 8 columns); default: by the name of OUT" },
    { "output", 'o', KV_FLAG_TEXT, "OUT", "file to write; compressed when it ends in .gz" },
    { "limit", 0, KV_FLAG_COUNT, "N", "at most so many rows; 0: all" },
    { "force", 0, KV_FLAG_SWITCH, NULL, "replace OUT if it exists" },
    KV_TRACE_FLAGS,
    KV_FLAG_END
};

const struct kv_command kv_command_trace_convert = {
    .name = "trace convert",
    .usage = "FILE -o OUT [--to blocks|burstgpt]",
    .help = "write a trace in another form",
    .details =
        "Times keep every nanosecond. The form `burstgpt` has no place for prefix ids, the form `blocks` none for\n"
        "the model's name and the kind of log.\n",
    .flags = flags,
    .arg_min = 1,
    .arg_max = 1,
    .run = run,
};

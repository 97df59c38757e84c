/* SPDX-License-Identifier: Apache-2.0 */
/* What the `kvsim trace` commands share: from FILE, --format and --set to an open reader; rows written as text. */
#ifndef KV_CLI_TRACE_H
#define KV_CLI_TRACE_H

#include "sim/cli/cli.h"
#include "sim/iface/reader.h"
#include "sim/lib/writer.h"

/* Flags of every command that reads a trace; a command's table lists them by these macros. */
#define KV_TRACE_FLAGS \
    { "format", 0, KV_FLAG_TEXT, "NAME", "what the file is (default: told from its first line)" }, \
    { "set", 0, KV_FLAG_REPEAT, "KEY=VALUE", "a parameter of the format, such as block_tokens=16" }
#define KV_FLAG_END { NULL, 0, KV_FLAG_SWITCH, NULL, NULL }

struct kv_trace {
    const char *path;                     /* NULL for a generator */
    const char *format;
    const struct kv_reader_ops *reader;
    void *state;
};

/* Finds the reader of the command's first argument (by --format, or told from the file), binds its parameters, opens
 * it. KV_OK, or the exit code of an error already told. kv_trace_close in either case. */
int kv_trace_open(struct kv_trace *t, struct kv_args *args);
/* The same for the generator. `rows` is the text of its parameter of that name; NULL: as --set or the default says. */
int kv_trace_open_synth(struct kv_trace *t, struct kv_args *args, uint64_t seed, const char *rows);
void kv_trace_close(struct kv_trace *t);

/* Writers of `trace convert` and `trace gen`. */
enum kv_trace_form { KV_TRACE_BLOCKS, KV_TRACE_BURSTGPT };
/* The form called `name`; where it is NULL, the one of the file name: blocks for *.jsonl and *.jsonl.gz, else
 * burstgpt. */
bool kv_trace_form(const char *name, const char *path, enum kv_trace_form *form, struct kv_err *err);
void kv_trace_write_header(struct kv_writer *w, enum kv_trace_form form);
void kv_trace_write_row(struct kv_writer *w, enum kv_trace_form form, const struct kv_row *row);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: one file a command, one table of flags a command, which feeds the parser, `--help`, the man
 * page and completion. Results go to stdout, everything else to stderr. */
#ifndef KV_CLI_CLI_H
#define KV_CLI_CLI_H

#include <stdbool.h>
#include <stdint.h>

#include "sim/base/arena.h"
#include "sim/base/err.h"
#include "sim/conf/diag.h"

enum kv_flag_kind { KV_FLAG_SWITCH, KV_FLAG_TEXT, KV_FLAG_COUNT, KV_FLAG_TIME, KV_FLAG_BYTES, KV_FLAG_REPEAT };

/* `--name VALUE` or `--name=VALUE`; `letter` gives `-o VALUE`. No abbreviations. Duplicate non-repeat flags and
 * unknown flags are usage errors with a suggestion. `--` ends flags; "-" is a plain argument. */
struct kv_flag {
    const char *name;          /* without dashes */
    char letter;               /* 0: none */
    enum kv_flag_kind kind;
    const char *value;         /* placeholder in help: "FILE"; NULL for a switch */
    const char *help;
};

struct kv_command;
struct kv_args {
    struct kv_arena arena;
    const struct kv_command *command;
    const char **arg;          /* positional arguments */
    int32_t arg_count;
    struct kv_flag_value { const struct kv_flag *flag; const char *text; double seconds; int64_t number; } *value;
    int32_t value_count;
};

struct kv_command {
    const char *name;          /* "run", "trace info" */
    const char *usage;         /* "SCENARIO.yaml [flags]" */
    const char *help;          /* one line */
    const char *details;       /* paragraphs for `help NAME`; may be NULL */
    const struct kv_flag *flags;   /* ended by a NULL name; NULL: none */
    int32_t arg_min, arg_max;  /* positional; arg_max < 0: any number */
    int (*run)(struct kv_args *args);   /* returns the exit code */
};

/* Every command file exports one of these; sim/cli/main.c lists them. */
extern const struct kv_command kv_command_run, kv_command_export, kv_command_config_check, kv_command_config_show,
    kv_command_config_init, kv_command_config_schema, kv_command_list, kv_command_trace_info, kv_command_trace_validate,
    kv_command_trace_convert, kv_command_trace_gen, kv_command_trace_head, kv_command_plot, kv_command_version,
    kv_command_help, kv_command_man;

bool kv_args_has(const struct kv_args *args, const char *flag);
/* NULL when the flag was not given. */
const struct kv_flag_value *kv_args_get(const struct kv_args *args, const char *flag);
/* n-th value of a repeated flag; NULL past the last. */
const struct kv_flag_value *kv_args_nth(const struct kv_args *args, const char *flag, int32_t n);

/* Prints "kvsim: WHERE: TEXT" on stderr and returns the exit code of err. */
int kv_cli_fail(const struct kv_err *err);
/* Prints all notes and "kvsim: N errors; nothing was run" on stderr; returns `code`. */
int kv_cli_fail_diag(struct kv_diag *diag, enum kv_code code, bool json);
/* Text for stdout; checks for write errors once at the end (kv_cli_flush in main: exit KV_EIO). */
void kv_print(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Set by SIGINT (and SIGTERM); main installs the handler, the second signal kills. */
bool kv_cli_interrupted(void);

#endif

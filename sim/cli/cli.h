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
extern const struct kv_command kv_command_run, kv_command_export, kv_command_explain, kv_command_config_check,
    kv_command_config_show, kv_command_config_init, kv_command_config_schema, kv_command_list, kv_command_trace_info,
    kv_command_trace_validate, kv_command_trace_convert, kv_command_trace_gen, kv_command_trace_head,
    kv_command_calib_import, kv_command_calib_info, kv_command_calib_check, kv_command_calib_diff,
    kv_command_calib_predict, kv_command_calib_gpu, kv_command_calib_storage, kv_command_calib_net,
    kv_command_calib_serve, kv_command_plot, kv_command_version, kv_command_help, kv_command_man,
    kv_command_completion;

/* All commands in the order of help, ended by NULL. */
const struct kv_command *const *kv_commands(void);
/* The command that the leading words name ("trace info" before "trace"; aliases too); *used = how many words.
 * NULL and a KV_EUSAGE with the nearest name when there is none. */
const struct kv_command *kv_command_find(const struct kv_command *const *commands, int32_t count,
                                         const char *const *word, int32_t *used, struct kv_err *err);

/* Flags that every command takes; ended by a NULL name. */
extern const struct kv_flag kv_common_flags[];

/* Sorts the words after the command's name into flags and arguments. Values stay NULL-free texts of the command
 * line; numbers, times and sizes are parsed by the rules of the scenario. kv_args_close in either case. */
bool kv_args_parse(struct kv_args *args, const struct kv_command *command, int32_t count, const char *const *word,
                   struct kv_err *err);
void kv_args_close(struct kv_args *args);
bool kv_args_has(const struct kv_args *args, const char *flag);
/* NULL when the flag was not given. */
const struct kv_flag_value *kv_args_get(const struct kv_args *args, const char *flag);
/* n-th value of a repeated flag; NULL past the last. */
const struct kv_flag_value *kv_args_nth(const struct kv_args *args, const char *flag, int32_t n);

/* Prints "kvsim: WHERE: TEXT" on stderr and returns the exit code of err. */
int kv_cli_fail(const struct kv_err *err);
/* Prints all notes and "kvsim: N errors; nothing was run" on stderr; returns `code`. */
int kv_cli_fail_diag(struct kv_diag *diag, enum kv_code code, bool json);
/* Prints the notes alone (warnings of a good input). */
void kv_cli_say_diag(struct kv_diag *diag, bool json);
/* Text for stdout; checks for write errors once at the end (kv_cli_flush in main: exit KV_EIO). */
void kv_print(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Set by SIGINT (and SIGTERM). The first call installs the handler, so a command that never asks still dies by
 * Ctrl-C as programs do; the second signal kills. */
bool kv_cli_interrupted(void);
/* A temporary file to remove when a second signal or the memory limit ends the process; NULL: none. Copied. */
void kv_cli_scratch(const char *path);
void kv_cli_scratch_remove(void);   /* safe in a signal handler */

/* Text on stderr: progress, notes, errors. */
void kv_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Colour of diagnostics: "auto" (a terminal and no NO_COLOR), "always", "never". */
void kv_cli_color(const char *when);
/* Writes out what kv_print left in the buffer; KV_OK, or KV_EIO with a message when stdout cannot take it. */
int kv_cli_flush(void);

/* Help of one command on stdout; KV_OK. And what `kvsim` alone says. */
int kv_cli_help(const struct kv_command *command);
const char *kv_cli_short_help(void);

/* Longer texts: `kvsim help TOPIC` and the man page. Ended by a NULL name. */
struct kv_topic { const char *name, *help, *text; };
extern const struct kv_topic kv_topics[];

#endif

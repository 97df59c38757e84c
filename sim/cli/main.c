/* SPDX-License-Identifier: Apache-2.0 */
/* kvsim COMMAND ...: finds the command, reads its flags, runs it. The only list of commands. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "sim/base/arena.h"
#include "sim/cli/cli.h"

static const struct kv_command *const commands[] = {
    &kv_command_run,
    &kv_command_export,
    &kv_command_explain,
    &kv_command_plot,
    &kv_command_config_check,
    &kv_command_config_show,
    &kv_command_config_schema,
    &kv_command_config_init,
    &kv_command_list,
    &kv_command_trace_info,
    &kv_command_trace_validate,
    &kv_command_trace_convert,
    &kv_command_trace_gen,
    &kv_command_trace_head,
    &kv_command_calib_import,
    &kv_command_calib_info,
    &kv_command_calib_check,
    &kv_command_calib_diff,
    &kv_command_calib_predict,
    &kv_command_calib_gpu,
    &kv_command_calib_storage,
    &kv_command_calib_net,
    &kv_command_calib_serve,
    &kv_command_version,
    &kv_command_help,
    &kv_command_man,
    &kv_command_completion,
    NULL,
};

const struct kv_command *const *kv_commands(void)
{
    return commands;
}

/* A program started with stdout closed would get the number 1 for its first file, and the table would land in
 * there. Whatever is missing becomes /dev/null, opened the wrong way round so that using it is an error. */
static void standard_files(void)
{
    for (int fd = 0; fd < 3; fd++) {
        if (fcntl(fd, F_GETFD) == -1 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd) _exit(KV_EIO);
    }
}

static int usage_fail(const struct kv_err *err, const struct kv_command *command)
{
    int code = kv_cli_fail(err);
    kv_say("see `kvsim help%s%s`\n", command ? " " : "", command ? command->name : "");
    return code;
}

static int run(const struct kv_command *command, int32_t count, const char *const *word)
{
    struct kv_args args;
    struct kv_err err;
    int code;
    if (!kv_args_parse(&args, command, count, word, &err)) {
        code = usage_fail(&err, command);
    } else {
        const struct kv_flag_value *color = kv_args_get(&args, "color");
        const char *when = color ? color->text : "auto";
        if (strcmp(when, "auto") && strcmp(when, "always") && strcmp(when, "never")) {
            kv_fail(&err, KV_EUSAGE, command->name, "--color %s: auto, always or never", when);
            code = usage_fail(&err, command);
        } else {
            kv_cli_color(when);
            code = kv_args_has(&args, "help") ? kv_cli_help(command) : command->run(&args);
        }
    }
    kv_args_close(&args);
    return code;
}

int main(int argc, char **argv)
{
    standard_files();
    kv_memory_begin();
    const char *const *word = (const char *const *)argv + 1;
    struct kv_err err;
    int32_t used = 0;
    if (argc < 2) {
        kv_say("%s", kv_cli_short_help());
        return KV_EUSAGE;
    }
    const struct kv_command *command = kv_command_find(commands, argc - 1, word, &used, &err);
    if (!command) return usage_fail(&err, NULL);
    int code = run(command, argc - 1 - used, word + used);
    int flushed = kv_cli_flush();
    return code ? code : flushed;
}

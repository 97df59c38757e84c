/* SPDX-License-Identifier: Apache-2.0 */
/* How `kvsim calib NAME` runs the program that measures, so that this one needs no library of networks or GPUs. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "sim/cli/calib.h"
#include "sim/cli/cli.h"

/* The words of the command line again, as the other program takes them. */
static char **words(struct kv_args *args, const char *program)
{
    size_t most = (size_t)args->arg_count + (size_t)args->value_count + 2;
    char **word = kv_arena_take(&args->arena, most * sizeof *word);
    int32_t count = 0;
    word[count++] = kv_arena_text(&args->arena, "%s", program);
    for (int32_t i = 0; i < args->arg_count; i++) word[count++] = kv_arena_text(&args->arena, "%s", args->arg[i]);
    for (int32_t i = 0; i < args->value_count; i++) {
        const struct kv_flag_value *v = &args->value[i];
        if (!strcmp(v->flag->name, "color")) continue;
        word[count++] = v->flag->kind == KV_FLAG_SWITCH ? kv_arena_text(&args->arena, "--%s", v->flag->name)
                        : kv_arena_text(&args->arena, "--%s=%s", v->flag->name, v->text);
    }
    return word;
}

int kv_calib_run(struct kv_args *args, const char *name)
{
    struct kv_err err = {0};
    char self[4096];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    self[length > 0 ? length : 0] = 0;
    const char *slash = strrchr(self, '/');
    const char *program = kv_arena_text(&args->arena, "%.*s/kvsim-calib-%s", slash ? (int)(slash - self) : 1,
                                        slash ? self : ".", name);
    if (access(program, X_OK) != 0) {
        kv_fail(&err, KV_ENOHW, args->command->name, "%s is not there: it was left out of the build for want of a "
                "library (`make calib` says which)", program);
        return kv_cli_fail(&err);
    }
    kv_cli_flush();
    execv(program, words(args, program));
    kv_fail(&err, KV_EIO, program, "cannot be run: %s", strerror(errno));
    return kv_cli_fail(&err);
}

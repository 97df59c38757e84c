/* SPDX-License-Identifier: Apache-2.0 */
/* kvsim calib storage: runs kvsim-calib-storage, which lies beside this program, so that this one needs no library of
 * the network. */
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

static int run(struct kv_args *args)
{
    return kv_calib_run(args, "storage");
}

static const struct kv_flag flags[] = {
    { "output", 'o', KV_FLAG_TEXT, "FOLDER", "profile to write; goes on where samples are there already" },
    { "endpoint", 0, KV_FLAG_TEXT, "URL", "S3 server, http://HOST:PORT; default: S3_ENDPOINT" },
    { "key", 0, KV_FLAG_TEXT, "KEY", "access key; default: S3_KEY" },
    { "secret", 0, KV_FLAG_TEXT, "SECRET", "secret key; default: S3_SECRET, where other users do not see it" },
    { "region", 0, KV_FLAG_TEXT, "NAME", "region that requests are signed for (us-east-1)" },
    { "bucket", 0, KV_FLAG_TEXT, "NAME", "made if need be (kvsim-calib)" },
    { "files", 0, KV_FLAG_TEXT, "FOLDER", "measure files in this folder, not a server" },
    { "sizes", 0, KV_FLAG_TEXT, "LIST", "of the requests (4KiB,64KiB,512KiB,4MiB,32MiB)" },
    { "connections", 0, KV_FLAG_TEXT, "LIST", "at a time (1,4,16)" },
    { "ops", 0, KV_FLAG_TEXT, "LIST", "get: whole objects, range: parts, put (get,range,put)" },
    { "budget", 0, KV_FLAG_TIME, "TIME", "of this run (60s)" },
    { "samples", 0, KV_FLAG_COUNT, "N", "of each size and number of connections; then it is done (60)" },
    { "timeout", 0, KV_FLAG_TIME, "TIME", "longest time of a request (30s)" },
    { "seed", 0, KV_FLAG_COUNT, "N", "which parts are read, which samples are held out (1)" },
    { "port-slot", 0, KV_FLAG_COUNT, "N", "local port modulo 64 of the first connection, for a classifier" },
    { "note", 0, KV_FLAG_TEXT, "TEXT", "for the profile: settings of the server, hardware" },
    { "keep", 0, KV_FLAG_SWITCH, NULL, "leave the objects or files there" },
    { "quiet", 0, KV_FLAG_SWITCH, NULL, "no progress" },
    { NULL, 0, KV_FLAG_SWITCH, NULL, NULL },
};

const struct kv_command kv_command_calib_storage = {
    .name = "calib storage", .usage = "-o FOLDER [flags]",
    .help = "measure an S3 server, or a folder of files, and write a store profile",
    .details =
        "Reads of whole objects, of parts, and writes, by size and number of connections, the most valuable first,\n"
        "until the time is over. Every request is kept in FOLDER/samples.csv, also when something fails or Ctrl-C\n"
        "ends it; the same command goes on from there. FOLDER is a profile: store: {profile: ./FOLDER}. Credentials\n"
        "are written nowhere. docs/calibration.md tells what a server needs to be measured fairly.\n",
    .flags = flags, .arg_min = 0, .arg_max = 0, .run = run,
};

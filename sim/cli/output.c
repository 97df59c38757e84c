/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/cli/output.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool kv_output_open(struct kv_output *o, struct kv_args *args, struct kv_err *err)
{
    const struct kv_flag_value *flag = kv_args_get(args, "output");
    struct stat found;
    *o = (struct kv_output){.stream = stdout};
    if (!flag) return true;
    o->path = flag->text;
    if (!stat(o->path, &found)) {
        /* A device or a pipe is written to, not replaced. */
        if (!S_ISREG(found.st_mode)) {
            o->stream = fopen(o->path, "w");
            return o->stream || kv_fail(err, KV_EIO, o->path, "cannot write: %s", strerror(errno));
        }
        if (!kv_args_has(args, "force")) {
            return kv_fail(err, KV_EIO, o->path, "exists already; give --force to overwrite it, or another -o");
        }
    }
    o->temporary = kv_arena_text(&args->arena, "%s.tmp", o->path);
    o->stream = fopen(o->temporary, "w");
    if (!o->stream) return kv_fail(err, KV_EIO, o->path, "cannot write: %s", strerror(errno));
    kv_cli_scratch(o->temporary);
    return true;
}

bool kv_output_close(struct kv_output *o, bool ok, struct kv_err *err)
{
    if (!o->path) return ok;   /* main looks after stdout */
    bool written = !ferror(o->stream) && !fflush(o->stream);
    if (fclose(o->stream)) written = false;
    if (ok && !written) ok = kv_fail(err, KV_EIO, o->path, "cannot write: %s", strerror(errno ? errno : EIO));
    if (o->temporary && ok && rename(o->temporary, o->path)) {
        ok = kv_fail(err, KV_EIO, o->path, "cannot give the file its name: %s", strerror(errno));
    }
    if (o->temporary && !ok) unlink(o->temporary);
    kv_cli_scratch(NULL);
    return ok;
}

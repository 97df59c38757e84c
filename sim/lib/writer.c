/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/lib/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

bool kv_writer_open(struct kv_writer *w, const char *path, bool force, struct kv_err *err)
{
    *w = (struct kv_writer){.path = path};
    struct stat info;
    if (!force && lstat(path, &info) == 0) {
        return kv_fail(err, KV_EUSAGE, path, "the file exists; --force replaces it");
    }
    if (snprintf(w->temporary, sizeof w->temporary, "%s.tmp", path) >= (int)sizeof w->temporary) {
        return kv_fail(err, KV_EUSAGE, path, "the name is too long");
    }
    int file = open(w->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (file < 0) return kv_fail(err, KV_EIO, path, "cannot be written: %s", strerror(errno));
    size_t length = strlen(path);
    bool gzip = length > 3 && strcmp(path + length - 3, ".gz") == 0;
    w->file = gzdopen(file, gzip ? "wb9" : "wbT");
    if (w->file) return true;
    close(file);
    unlink(w->temporary);
    return kv_fail(err, KV_EIO, path, "zlib cannot be started");
}

void kv_writer_text(struct kv_writer *w, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int written = gzvprintf(w->file, fmt, args);
    va_end(args);
    if (written <= 0) w->failed = true;
}

bool kv_writer_commit(struct kv_writer *w, struct kv_err *err)
{
    int why = 0;
    if (w->failed && gzerror(w->file, &why) && why == Z_ERRNO) why = errno;
    bool good = gzclose(w->file) == Z_OK && !w->failed;
    w->file = NULL;
    if (good) good = rename(w->temporary, w->path) == 0;
    if (good) return true;
    why = errno;
    unlink(w->temporary);
    return kv_fail(err, KV_EIO, w->path, "cannot be written: %s", strerror(why));
}

void kv_writer_close(struct kv_writer *w)
{
    if (!w->file) return;
    gzclose(w->file);
    unlink(w->temporary);
    w->file = NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A folder of files: reads of parts of one large file and writes with fdatasync, past the page cache where the file
 * system can (O_DIRECT). */
#define _GNU_SOURCE   /* O_DIRECT */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "calib/lib/s3.h"
#include "calib/storage/storage.h"

#define ALIGN 4096
#define FILE_BYTES (INT64_C(1) << 30)    /* of the file that is read, but no more than 64 of the largest reads */

struct files {
    const char *read_path;
    int read_file;
    int *write_file;
    const char **write_path;
    char **buffer;                       /* aligned, of the largest request */
    int64_t file_bytes, largest;
    int32_t connections;
    bool direct, keep;
};

static char *aligned(struct kv_arena *arena, int64_t bytes)
{
    char *raw = kv_arena_take(arena, (size_t)bytes + ALIGN);
    return raw + (ALIGN - (uintptr_t)raw % ALIGN) % ALIGN;
}

/* What no file system can leave out. */
static void fill(char *buffer, int64_t bytes, uint64_t x)
{
    for (int64_t i = 0; i + 8 <= bytes; i += 8) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        memcpy(buffer + i, &x, 8);
    }
}

static bool prepare(void *state, int64_t bytes, struct kv_err *err)
{
    struct files *f = state;
    (void)bytes;
    struct stat info;
    if (fstat(f->read_file, &info) == 0 && info.st_size >= f->file_bytes) return true;
    for (int64_t at = 0; at < f->file_bytes; at += f->largest) {
        fill(f->buffer[0], f->largest, (uint64_t)at + 88172645463325252);
        if (pwrite(f->read_file, f->buffer[0], (size_t)f->largest, at) != f->largest)
            return kv_fail(err, KV_EIO, f->read_path, "cannot write it: %s", strerror(errno));
    }
    return fsync(f->read_file) == 0 || kv_fail(err, KV_EIO, f->read_path, "cannot sync it: %s", strerror(errno));
}

static void request(void *state, int32_t connection, const struct kv_storage_ask *ask, struct kv_storage_result *result)
{
    const struct files *f = state;
    int64_t at = (int64_t)((ask->number >> 8) % (uint64_t)(f->file_bytes / ask->bytes)) * ask->bytes;
    int64_t bytes = (ask->part_bytes + ALIGN - 1) / ALIGN * ALIGN, done = 0, got = 1;
    *result = (struct kv_storage_result){ .start_s = kv_s3_now_s(), .outcome = "ok" };
    while (done < bytes && got > 0) {
        size_t left = (size_t)(bytes - done);
        char *to = f->buffer[connection] + done;
        got = ask->op == KV_OP_PUT ? pwrite(f->write_file[connection], to, left, at % (f->largest * 4) + done)
                                   : pread(f->read_file, to, left, at + done);
        if (got > 0) done += got;
    }
    double now_s = kv_s3_now_s() - result->start_s;
    result->first_byte_s = now_s;
    if (ask->op == KV_OP_PUT) {
        result->sent_s = now_s;
        if (done == bytes && fdatasync(f->write_file[connection]) != 0) got = -1;
    }
    result->end_s = kv_s3_now_s();
    if (done == bytes && got >= 0) return;
    result->outcome = "vanished";
    const char *why = got < 0 ? strerror(errno) : "the file ended early";
    memcpy(result->error, why, strlen(why) < sizeof result->error ? strlen(why) + 1 : sizeof result->error - 1);
}

static void close_target(void *state)
{
    struct files *f = state;
    if (f->read_file >= 0) close(f->read_file);
    if (!f->keep) unlink(f->read_path);
    for (int32_t i = 0; i < f->connections; i++) {
        close(f->write_file[i]);
        unlink(f->write_path[i]);
    }
}

static int open_file(struct files *f, const char *path)
{
    int file = f->direct ? open(path, O_RDWR | O_CREAT | O_DIRECT, 0600) : -1;
    if (file >= 0) return file;
    f->direct = false;       /* tmpfs, and others that keep files in memory, have no way past it */
    return open(path, O_RDWR | O_CREAT, 0600);
}

bool kv_storage_files(struct kv_arena *arena, const char *folder, bool keep, const struct kv_storage_grid *grid,
                      struct kv_storage_target *target, struct kv_err *err)
{
    struct files *f = kv_arena_take(arena, sizeof *f);
    int32_t connections = kv_storage_widest(grid);
    int64_t largest = kv_storage_largest(grid);
    size_t n = (size_t)connections;
    *f = (struct files){ .direct = true, .keep = keep, .largest = largest, .read_file = -1,
                         .file_bytes = largest > FILE_BYTES / 64 ? FILE_BYTES / largest * largest : largest * 64,
                         .write_file = kv_arena_take(arena, n * sizeof *f->write_file),
                         .write_path = kv_arena_take(arena, n * sizeof *f->write_path),
                         .buffer = kv_arena_take(arena, n * sizeof *f->buffer),
                         .read_path = kv_arena_text(arena, "%s/kvsim-calib.read", folder) };
    *target = (struct kv_storage_target){ f, prepare, request, close_target, "", "" };
    f->read_file = open_file(f, f->read_path);
    if (f->read_file < 0)
        return kv_fail(err, KV_EIO, f->read_path, "cannot make it: %s", strerror(errno));
    for (int32_t i = 0; i < connections; i++) {
        f->write_path[i] = kv_arena_text(arena, "%s/kvsim-calib.write%d", folder, i);
        f->write_file[i] = open_file(f, f->write_path[i]);
        if (f->write_file[i] < 0)
            return kv_fail(err, KV_EIO, f->write_path[i], "cannot make it: %s", strerror(errno));
        f->connections = i + 1;
        f->buffer[i] = aligned(arena, largest);
        fill(f->buffer[i], largest, (uint64_t)i + 1);
    }
    target->how = f->direct ? "pread and pwrite with O_DIRECT, fdatasync after each write, a thread a connection"
                            : "pread and pwrite through the page cache (no O_DIRECT here), fdatasync after each write";
    return true;
}

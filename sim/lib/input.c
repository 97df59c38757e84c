/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/lib/input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sim/lib/inflate.h"

#define RAW_BYTES ((size_t)64 << 10)
#define CHUNK_BYTES ((size_t)256 << 10)
/* Members that decompress to nothing, one after the other: no writer makes more than a few. */
#define EMPTY_MEMBERS_MAX 1000

struct kv_gunzip {
    struct kv_inflate z;
    unsigned char raw[RAW_BYTES];
    bool between;               /* the last member is complete, none has begun */
    bool damaged;               /* found behind text that is still to be handed out */
    int32_t empty_members;
    uint64_t member_bytes;
};

static bool fail_v(const struct kv_input *in, struct kv_err *err, const char *fmt, va_list args)
    __attribute__((format(printf, 3, 0)));
static bool fail_v(const struct kv_input *in, struct kv_err *err, const char *fmt, va_list args)
{
    char where[sizeof err->where], text[sizeof err->text];
    vsnprintf(text, sizeof text, fmt, args);
    snprintf(where, sizeof where, "%s:%lld", in->path, (long long)(in->line_number ? in->line_number : 1));
    return kv_fail(err, KV_ETRACE, where, "%s", text);
}

bool kv_input_fail(const struct kv_input *in, struct kv_err *err, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fail_v(in, err, fmt, args);
    va_end(args);
    return false;
}

/* Nothing more comes out of a stream that failed. */
static void end_stream(struct kv_input *in)
{
    in->ended = in->failed = true;
    in->begin = in->end = 0;
}

int kv_input_stop(struct kv_input *in, struct kv_err *err, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fail_v(in, err, fmt, args);
    va_end(args);
    end_stream(in);
    return -1;
}

struct kv_excerpt kv_excerpt(const char *text, size_t length)
{
    struct kv_excerpt e = {""};
    size_t used = 0, shown = length < 40 ? length : 40;
    for (size_t i = 0; i < shown; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x20 && c < 0x7f) e.text[used++] = (char)c;
        else used += (size_t)snprintf(e.text + used, 5, "\\x%02x", c);
    }
    if (shown < length) memcpy(e.text + used, "...", 4);
    return e;
}

bool kv_input_open(struct kv_input *in, const char *path, bool digest, struct kv_err *err)
{
    in->path = path;
    do in->file = open(path, O_RDONLY | O_CLOEXEC); while (in->file < 0 && errno == EINTR);
    if (in->file < 0) {
        int why = errno;
        in->ended = in->failed = true;
        return kv_fail(err, KV_EIO, path, "cannot be opened: %s", strerror(why));
    }
    in->opened = true;
    if (!digest) return true;
    in->sha = kv_mem_take(sizeof *in->sha);
    kv_sha256_open(in->sha);
    return true;
}

void kv_input_close(struct kv_input *in)
{
    if (in->gunzip) {
        kv_inflate_close(&in->gunzip->z);
        kv_mem_give(in->gunzip, sizeof *in->gunzip);
    }
    if (in->sha) {
        kv_sha256_close(in->sha);
        kv_mem_give(in->sha, sizeof *in->sha);
    }
    if (in->opened) close(in->file);
    if (in->text) kv_mem_give(in->text, in->capacity);
    *in = (struct kv_input){.ended = true};
}

/* A fault of the stream itself: told at the line being read. */
static int stop(struct kv_input *in, struct kv_err *err, const char *what)
{
    in->line_number++;
    return kv_input_stop(in, err, "%s", what);
}

/* Bytes read into `to`, 0 at the end of the file, -1 with *err. */
static int64_t read_file(struct kv_input *in, void *to, size_t room, struct kv_err *err)
{
    ssize_t got;
    do got = read(in->file, to, room); while (got < 0 && errno == EINTR);
    if (got >= 0) return got;
    int why = errno;
    end_stream(in);
    kv_fail(err, KV_EIO, in->path, "cannot be read: %s", strerror(why));
    return -1;
}

/* Makes room for a chunk (and padding) behind the unread text. */
static void make_room(struct kv_input *in)
{
    size_t kept = in->end - in->begin;
    if (in->begin) memmove(in->text, in->text + in->begin, kept);
    in->begin = 0;
    in->end = kept;
    size_t needed = kept + CHUNK_BYTES + KV_INPUT_PADDING;
    if (needed <= in->capacity) return;
    size_t grown = in->capacity * 2 > needed ? in->capacity * 2 : needed;
    in->text = in->text ? kv_mem_resize(in->text, in->capacity, grown) : kv_mem_take(grown);
    in->capacity = grown;
}

/* After the end of a member: 1 another begins, 0 the file has ended, -1 something else follows. Zero bytes
 * behind the last member are padding (gzip(1) accepts them too). */
static int next_member(struct kv_input *in, struct kv_err *err)
{
    struct kv_gunzip *g = in->gunzip;
    for (;;) {
        while (g->z.in_bytes && g->z.in[0] == 0) g->z.in++, g->z.in_bytes--;
        if (g->z.in_bytes) break;
        int64_t got = read_file(in, g->raw, sizeof g->raw, err);
        if (got <= 0) return (int)got;
        g->z.in = g->raw;
        g->z.in_bytes = (size_t)got;
    }
    if (g->z.in[0] != 0x1f) return stop(in, err, "the gzip data is followed by something else");
    if (g->member_bytes) g->empty_members = 0;
    else if (++g->empty_members > EMPTY_MEMBERS_MAX) return stop(in, err, "gzip members without content go on and on");
    kv_inflate_next_member(&g->z);
    g->between = false;
    g->member_bytes = 0;
    return 1;
}

/* Decompresses up to one chunk behind `end`. 1: some text came; 0: the file has ended; -1: *err. */
static int inflate_chunk(struct kv_input *in, struct kv_err *err)
{
    struct kv_gunzip *g = in->gunzip;
    for (;;) {
        if (g->damaged) return stop(in, err, "the gzip data is damaged");
        if (g->between) {
            int more = next_member(in, err);
            if (more <= 0) return more;
        }
        if (g->z.in_bytes == 0) {
            int64_t got = read_file(in, g->raw, sizeof g->raw, err);
            if (got < 0) return -1;
            if (got == 0) return stop(in, err, "the gzip data ends in the middle: the file is truncated");
            g->z.in = g->raw;
            g->z.in_bytes = (size_t)got;
        }
        g->z.out = (unsigned char *)in->text + in->end;
        g->z.out_room = CHUNK_BYTES;
        enum kv_inflate_result result = kv_inflate_step(&g->z);
        size_t made = CHUNK_BYTES - g->z.out_room;
        if (result == KV_INFLATE_END) g->between = true;
        else if (result == KV_INFLATE_DAMAGED) g->damaged = true;
        in->end += made;
        g->member_bytes += made;
        if (made) return 1;
    }
}

/* The first bytes decide between plain text and gzip (RFC 1952: 1f 8b). */
static int first_chunk(struct kv_input *in, struct kv_err *err)
{
    unsigned char *raw = (unsigned char *)in->text;
    size_t count = 0;
    while (count < 2) {
        int64_t got = read_file(in, raw + count, RAW_BYTES - count, err);
        if (got < 0) return -1;
        if (got == 0) break;
        count += (size_t)got;
    }
    in->started = true;
    if (count < 2 || raw[0] != 0x1f || raw[1] != 0x8b) {
        in->end = count;
        return count > 0;
    }
    struct kv_gunzip *g = in->gunzip = kv_mem_take(sizeof *g);
    if (!kv_inflate_open(&g->z)) return stop(in, err, "decompression cannot be started: out of memory");
    memcpy(g->raw, raw, count);
    g->z.in = g->raw;
    g->z.in_bytes = count;
    return inflate_chunk(in, err);
}

static int plain_chunk(struct kv_input *in, struct kv_err *err)
{
    int64_t got = read_file(in, in->text + in->end, CHUNK_BYTES, err);
    if (got > 0) in->end += (size_t)got;
    return got > 0 ? 1 : (int)got;
}

/* More text behind the unread part. False with *err. */
static bool refill(struct kv_input *in, struct kv_err *err)
{
    make_room(in);
    size_t before = in->end;
    int more = !in->started ? first_chunk(in, err) : in->gunzip ? inflate_chunk(in, err) : plain_chunk(in, err);
    if (more < 0) return false;
    if (in->sha) kv_sha256_add(in->sha, in->text + before, in->end - before);
    in->bytes += (int64_t)(in->end - before);
    memset(in->text + in->end, 0, KV_INPUT_PADDING);
    if (more == 0) {
        in->ended = true;
        if (in->sha) kv_sha256_hex(in->sha, in->digest);
    }
    return true;
}

/* Makes [begin, begin + length) the current line; `taken` bytes with its end. */
static int take_line(struct kv_input *in, size_t length, size_t taken, struct kv_err *err)
{
    in->line = in->text + in->begin;
    in->begin += taken;
    if (++in->line_number == 1 && length >= 3 && memcmp(in->line, "\xef\xbb\xbf", 3) == 0) {
        in->line += 3;
        length -= 3;
    }
    if (memchr(in->line, 0, length)) {
        in->line_number--;
        return stop(in, err, "a NUL byte: this is not a text file");
    }
    if (length && in->line[length - 1] == '\r') length--;
    in->line[length] = '\0';
    in->length = length;
    return 1;
}

int kv_input_line(struct kv_input *in, struct kv_err *err)
{
    for (size_t searched = 0;;) {
        size_t unread = in->end - in->begin;
        if (unread > searched) {
            char *from = in->text + in->begin;
            char *newline = memchr(from + searched, '\n', unread - searched);
            if (newline) return take_line(in, (size_t)(newline - from), (size_t)(newline - from) + 1, err);
        }
        searched = unread;
        if (searched > KV_INPUT_LINE_MAX) return stop(in, err, "a line longer than 64 MiB");
        if (in->ended) return unread ? take_line(in, unread, unread, err) : 0;
        if (!refill(in, err)) return -1;
    }
}

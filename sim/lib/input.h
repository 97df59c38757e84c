/* SPDX-License-Identifier: Apache-2.0 */
/* A text file, plain or gzip, as a stream of lines in bounded memory.
 *
 * gzip is told from the first two bytes, never from the name; several members in a row read as one text. Both
 * LF and CRLF end a line, the last line needs no end, a UTF-8 byte order mark at the start is left out. Refused,
 * with the line where it was found: damaged or truncated gzip data, NUL bytes (binary files), lines longer than
 * KV_INPUT_LINE_MAX. After an error the stream has ended: the next call answers 0. */
#ifndef KV_LIB_INPUT_H
#define KV_LIB_INPUT_H

#include <stddef.h>

#include "sim/base/arena.h"
#include "sim/base/err.h"
#include "sim/base/sha256.h"

#define KV_INPUT_LINE_MAX ((size_t)64 << 20)
/* Readable NUL bytes behind every line, so that a parser may load whole words. */
#define KV_INPUT_PADDING 16

struct kv_input {
    const char *path;           /* as given; must outlive the input */
    int64_t bytes;              /* decompressed, so far */
    int64_t line_number;        /* of the current line, from 1 */
    char *line;                 /* current line, NUL-terminated and writable until the next call */
    size_t length;
    bool failed;                /* an error of the stream or the whole file was told */
    char digest[65];            /* sha256 over the decompressed bytes in hex; "" until the end was reached */
    /* private */
    int file;
    bool opened, started, ended;
    struct kv_gunzip *gunzip;   /* NULL: plain */
    char *text;                 /* unread text is [begin, end) */
    size_t capacity, begin, end;
    struct kv_sha256 *sha;
};

/* The struct must be zeroed. A file that cannot be opened is KV_EIO. Without `digest` in->digest stays "". */
bool kv_input_open(struct kv_input *in, const char *path, bool digest, struct kv_err *err);
void kv_input_close(struct kv_input *in);
/* 1: the next line; 0: end of the text; -1: *err. */
int kv_input_line(struct kv_input *in, struct kv_err *err);
/* Fills *err with "PATH:LINE" of the current line and the message, KV_ETRACE; returns false. */
bool kv_input_fail(const struct kv_input *in, struct kv_err *err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4), cold));

/* The same for a fault of the whole file: the stream ends here. Returns -1. */
int kv_input_stop(struct kv_input *in, struct kv_err *err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4), cold));

/* At most 40 bytes of a text in printable form, for messages: other bytes as \xNN, "..." when cut. */
struct kv_excerpt { char text[176]; };
struct kv_excerpt kv_excerpt(const char *text, size_t length);

#endif

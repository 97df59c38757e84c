/* SPDX-License-Identifier: Apache-2.0 */
/* Contract of traces/reader: a trace file (or generator) as a stream of rows.
 *
 * A reader is a pull iterator over one pass of the file, in order of time and in bounded memory. A file whose rows are
 * out of order is refused, both rows named, unless the reader has a parameter max_disorder: then it puts rows in order
 * that are at most so much too late (sim/lib/resort.h). It checks everything
 * it reads; a damaged row is an error naming file and row ("FILE:LINE: found, expected"), or with skip_bad_rows is
 * counted and left out. */
#ifndef KV_IFACE_READER_H
#define KV_IFACE_READER_H

#include "sim/base/err.h"
#include "sim/conf/param.h"

/* A component of a prompt: equal ids are equal texts, wherever they stand. */
struct kv_part { uint64_t id; int64_t tokens; };

/* One data row. Pointers stay valid until the next call of next(). Unknown numbers are -1. */
struct kv_row {
    int64_t line;              /* line in the (decompressed) file, from 1; 0 for generated rows */
    int64_t time_ns;           /* as in the trace, whole ns, >= 0; rows are in order */
    int64_t input_tokens, output_tokens;
    int64_t elapsed_ns, think_ns;
    int32_t priority;
    bool failed;               /* the trace says the request failed */
    bool api;                  /* API log rather than a conversation (BurstGPT) */
    const char *model;         /* "" when the trace has none */
    const char *session;       /* session id text, "" when none */
    int64_t turn;              /* -1: count them */
    int64_t branch;            /* sub-agent of the session, 1 .. UINT32_MAX; 0: its main line. Its first row stands
                                * behind the row that starts it and before the main line's next, which waits for it */
    const char *slo_class;     /* "" when none */
    const uint64_t *ids;       /* prefix block ids, NULL when the trace has none */
    int64_t ids_count;
    int64_t ids_tokens;        /* tokens per id */
    int64_t known_tokens;      /* tokens that the ids cover (input, or more when outputs have ids) */
    bool ids_local;            /* ids are unique within the session only */
    const struct kv_part *parts;   /* components of the prompt in order, NULL when the trace has none */
    int64_t parts_count;
    int64_t resident_tokens;   /* of the prompt's start: in tier workload.resident_in when it arrives; 0: none */
};

struct kv_reader_env {
    const char *path;          /* NULL for a generator */
    uint64_t seed;
    int64_t block_tokens;      /* of the engine; 0: unknown */
    bool skip_bad_rows;
    bool skip_digest;          /* nobody will ask for stats.digest: it may stay "" */
};

/* Totals for messages and /meta; filled as far as read. */
struct kv_reader_stats {
    int64_t rows, failed_rows, bad_rows, bytes;
    char note[64];             /* what else the file holds, for people: "460 sessions"; may be "" */
    char digest[65];           /* sha256 over the decompressed bytes, hex; "" until the end of the file was read */
};

struct kv_reader_ops {
    struct kv_plugin_info info;
    bool generates;            /* needs no file */
    bool has_ids;              /* rows carry prefix ids */
    bool has_sessions;
    size_t state_bytes;        /* given zeroed to open */
    bool (*open)(void *state, const void *params, const struct kv_reader_env *env, struct kv_err *err);
    /* 1: *row filled; 0: end of the trace; -1: *err filled. After -1 it may be called again: it goes on behind the
     * bad row, or answers 0 when the file cannot be read on. */
    int (*next)(void *state, struct kv_row *row, struct kv_err *err);
    void (*stats)(const void *state, struct kv_reader_stats *stats);
    void (*close)(void *state);   /* also after an open that failed */
};

#endif

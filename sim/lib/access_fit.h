/* SPDX-License-Identifier: Apache-2.0 */
/* From timed requests to the parameters of a store (models/store/object.c, disk.c).
 *
 * Requests of one kind, size and number of connections make a cell, of which medians are taken. An object store gets
 * curves over the grid of its cells: wait for the first byte, what comes afterwards, wait of a write for its
 * acknowledgement; never less with more bytes or connections (where measurements fall, half-way between the two
 * envelopes, in logarithms). Beside them constants of a single stream, by robust least squares (sim/lib/robust.h). */
#ifndef KV_LIB_ACCESS_FIT_H
#define KV_LIB_ACCESS_FIT_H

#include "sim/lib/knots.h"

/* RANGE: of a part of an object, or of a file. */
enum kv_access_op { KV_OP_GET, KV_OP_RANGE, KV_OP_PUT };

/* A request that went well. */
struct kv_access_sample {
    enum kv_access_op op;
    int64_t bytes;
    int32_t connections;
    double first_byte_s;       /* from its start; > 0 */
    double sent_s;             /* writes: the last byte was handed over; else 0 */
    double total_s;
};

/* Medians of a cell. */
struct kv_access_cell {
    enum kv_access_op op;
    int64_t bytes;
    int32_t connections, count;
    double first_byte_s, sent_s, total_s;
    double mean_s;             /* of all: connections * bytes / mean_s went through */
    double sigma;              /* of the logarithm of first_byte_s, from its median absolute deviation */
};

/* Error of the medians of cells: |model / measured - 1|, of those that have any. */
struct kv_access_error { double mean, worst; int32_t cells; };

struct kv_access_fit {
    double first_byte_s, stream_Bps;            /* one connection: reads of whole objects, or of a file; 0: `backend` */
    double line_start_s, line_Bps;              /* of them, by robust least squares alone */
    double sigma;                               /* of the logarithm of the first byte */
    double put_ack_s, write_stream_Bps;
    double write_start_s;                       /* files: before the bytes of a write; put_ack_s is the fsync */
    double bandwidth_Bps;                       /* the most that went through, all together */
    struct kv_knots first_byte, range_first_byte, backend, put_ack;   /* rows = 0: not enough cells */
};

/* Cells of the samples for which `wanted` (NULL: all) is true, in order of kind, bytes, connections; in the arena. */
int32_t kv_access_cells(struct kv_arena *arena, const struct kv_access_sample *sample, size_t count, const bool *wanted,
                        struct kv_access_cell **cells);
/* An object store, or a drive (files: no curves). False with *err (KV_ECALIB) when there is too little to go by. */
bool kv_access_fit_object(struct kv_arena *arena, const struct kv_access_sample *sample, size_t count,
                          const bool *wanted, struct kv_access_fit *fit, struct kv_err *err);
bool kv_access_fit_files(struct kv_arena *arena, const struct kv_access_sample *sample, size_t count,
                         const bool *wanted, struct kv_access_fit *fit, struct kv_err *err);

/* What the model says of a cell, as the plug-ins price it: first byte and end of a read, end of a write. */
struct kv_access_times { double first_byte_s, total_s; };
struct kv_access_times kv_access_model(const struct kv_access_fit *fit, const struct kv_access_cell *cell);
/* Of reads (GET and RANGE) the first byte and the end, of writes the end. */
void kv_access_score(const struct kv_access_fit *fit, const struct kv_access_cell *cell, int32_t count,
                     struct kv_access_error *first_byte, struct kv_access_error *read, struct kv_access_error *write);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of kvsim-calib-storage: which requests (plan), where they go (target), and their taking (visit). */
#ifndef KV_CALIB_STORAGE_H
#define KV_CALIB_STORAGE_H

#include <signal.h>

#include "sim/base/arena.h"
#include "sim/base/err.h"
#include "sim/lib/access_samples.h"

/* ---- what is measured ---- */

#define KV_STORAGE_CONNECTIONS_MAX 256
#define KV_STORAGE_LIST_MAX 32

struct kv_storage_grid {
    int64_t bytes[KV_STORAGE_LIST_MAX];          /* ascending */
    int32_t size_count;
    int32_t connections[KV_STORAGE_LIST_MAX];    /* ascending */
    int32_t width_count;
    bool gets, ranges, puts;
};
static inline int32_t kv_storage_widest(const struct kv_storage_grid *g) { return g->connections[g->width_count - 1]; }
static inline int64_t kv_storage_largest(const struct kv_storage_grid *g) { return g->bytes[g->size_count - 1]; }

/* A cell of the grid and how far it has come. */
struct kv_storage_cell {
    enum kv_access_op op;
    int64_t bytes;
    int32_t connections, taken;
    bool left_out;             /* a visit takes too much of the time that is there */
};

/* "4KiB,1MiB" and "1,4,16" into a grid. */
bool kv_storage_grid_read(struct kv_arena *arena, const char *sizes, const char *connections,
                          struct kv_storage_grid *grid, struct kv_err *err);
/* All cells, the most valuable first: few connections and middle sizes say most, whole reads more than parts, reads
 * more than writes. */
int32_t kv_storage_plan(struct kv_arena *arena, const struct kv_storage_grid *grid, struct kv_storage_cell **cells);

/* ---- where it goes ---- */

/* What a connection asks for. `part_bytes` < bytes: only so much from its beginning, and no sample of it. `number` tells
 * requests apart: which object, which part of it. */
struct kv_storage_ask { enum kv_access_op op; int64_t bytes, part_bytes; uint64_t number; };
/* One request of one connection; times from its start. An outcome other than "ok" has its reason in `error`. */
struct kv_storage_result { double start_s, first_byte_s, sent_s, end_s; const char *outcome; char error[320]; };

struct kv_storage_target {
    void *state;
    /* Makes what reads will read: objects or files of that size. False with *err. */
    bool (*prepare)(void *state, int64_t bytes, struct kv_err *err);
    /* Called by `connection` alone at a time; others may run beside it. */
    void (*request)(void *state, int32_t connection, const struct kv_storage_ask *ask,
                    struct kv_storage_result *result);
    /* Removes what was made. */
    void (*close)(void *state);
    const char *server;        /* what it calls itself; "" when not known */
    const char *how;           /* for the profile */
};

struct kv_storage_s3_options {
    const char *endpoint, *key, *secret, *region, *bucket;
    double timeout_s;
    int64_t port_slot;         /* of connection 0, the others follow; -1: any port */
    bool keep;
};
/* For the requests of `grid`, which outlives the target; parts are taken of its largest size. Target in the arena;
 * false with *err, and what was opened is for close all the same (target->state). */
bool kv_storage_s3(struct kv_arena *arena, const struct kv_storage_s3_options *options,
                   const struct kv_storage_grid *grid, const volatile sig_atomic_t *stop,
                   struct kv_storage_target *target, struct kv_err *err);
bool kv_storage_files(struct kv_arena *arena, const char *folder, bool keep, const struct kv_storage_grid *grid,
                      struct kv_storage_target *target, struct kv_err *err);

/* ---- a visit to a cell ---- */

struct kv_storage_visit {
    const struct kv_storage_target *target;
    const struct kv_storage_cell *cell;
    uint64_t seed;
    /* Each request but the first waits for a part of this, evenly drawn, times the connections. A link that serves its
     * flows in turn, packet by packet, has a turn of that many packets; a request that follows the last byte of the one
     * before always comes at the same place of it, and its wait is a whole number of turns. 0: none. */
    double pause_s;
    const volatile sig_atomic_t *stop;
    int32_t wanted, room;                  /* requests to be taken; results that fit */
    struct kv_storage_result *result;
    int32_t taken;                         /* results of requests that were begun while all connections were busy */
    double elapsed_s;
};
/* Each connection makes one request that is not taken (it may have to connect), then requests until `wanted` are taken;
 * the others go on until the last of those has ended, so that it never has less company. The first request of connection
 * i of n is cut short to the part (i + 1) / n. All begin at once; were they equal, all would end at once, and so on in
 * lockstep: each request would meet n at their beginning or n at their end, a burst, and not the n that are under way.
 * So their ends are spread evenly over the time of a request. A failure ends the visit. */
void kv_storage_visit(struct kv_storage_visit *visit);

#endif

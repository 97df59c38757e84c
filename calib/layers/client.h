/* SPDX-License-Identifier: Apache-2.0 */
/* One client: connections that read the ranges of its prompt in order, and a consumer that holds each layer for its
 * compute time, as a GPU would: layer l starts when layer l - 1 has ended and layer l is there. */
#ifndef KV_CALIB_LAYERS_CLIENT_H
#define KV_CALIB_LAYERS_CLIENT_H

#include <pthread.h>

#include "calib/layers/plan.h"

/* Instants of one layer, s since the start of the run. */
struct kv_layers_times {
    double fetch_start_s;     /* its first request was sent */
    double first_byte_s;      /* the first byte of the body of its first answer */
    double fetch_end_s;       /* it and all layers before it were there */
    double compute_start_s, compute_end_s;
};

struct kv_layers_client {
    const struct kv_layers_spec *spec;
    const char *bucket;
    double origin_s;          /* start of the run, on the monotonic clock */
    struct kv_layers_times *layer;
    double start_s;           /* when it really began, since the start of the run */

    pthread_mutex_t lock;     /* of all below */
    pthread_cond_t changed;
    int64_t next_piece;       /* the piece that the next free connection takes */
    int64_t *left;            /* pieces of a layer still to come */
    int64_t arrived;          /* layers that are there, from layer 0 on */
    int64_t started;          /* layers whose computing has started */
    int64_t warm;             /* connections that have talked to the server before the start */
    bool failed;
    struct kv_err err;
};

/* Memory is of `arena`. */
void kv_layers_open(struct kv_layers_client *c, struct kv_arena *arena, const struct kv_layers_spec *spec,
                    const char *bucket);
void kv_layers_close(struct kv_layers_client *c);
/* Runs all clients side by side, to the end. False with the first error. */
bool kv_layers_run(struct kv_layers_client *client, int32_t count, struct kv_arena *arena, struct kv_err *err);

/* A piece is what one request brings: of layerwise clients layer p / objects of object p % objects; else object p,
 * which counts for layer 0: the others are there when it is. */
struct kv_layers_piece { int64_t object, layer, from_byte, bytes; };
int64_t kv_layers_pieces(const struct kv_layers_spec *spec);
struct kv_layers_piece kv_layers_piece_at(const struct kv_layers_spec *spec, int64_t p);
/* May it be asked for when `started` layers have begun to be computed? (docs/tiers.md, T19) */
bool kv_layers_may_ask(const struct kv_layers_spec *spec, int64_t layer, int64_t started);

#endif

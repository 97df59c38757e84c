/* SPDX-License-Identifier: Apache-2.0 */
/* What kvsim-calib-layers is to do: a YAML file that lists clients.
 *
 *   bucket: kv
 *   clients:
 *     - {key: chunk, objects: 5, layers: 16, slice: 256KiB, lookahead: 1, connections: 2, compute: 50ms}
 *
 * A client reads the KV of one prompt: `objects` objects KEY.0, KEY.1, ..., each of `layers` slices of equal size, one
 * layer after the other (layer-major, as ObjectCache lays chunks out), and computes layer by layer meanwhile. */
#ifndef KV_CALIB_LAYERS_PLAN_H
#define KV_CALIB_LAYERS_PLAN_H

#include "sim/conf/diag.h"

enum kv_layers_mode {
    KV_LAYERS_LAYERWISE,   /* a range for each layer of each object, in the order of layers */
    KV_LAYERS_CHUNKWISE,   /* whole objects; computing begins when all are in */
};

struct kv_layers_spec {
    const char *key;
    int64_t objects, layers, slice_bytes;
    int64_t mode;            /* enum kv_layers_mode */
    int64_t lookahead;       /* layers asked for ahead of the one that is computed; 0: no bound */
    int64_t connections;     /* requests under way at a time */
    int64_t flow;            /* its connections come from ports that are `flow` modulo 64 (calib/testbed/link.sh) */
    bool flow_each;          /* connection k: flow + k, so that each has its own share of the link */
    double compute_s;        /* of one layer */
    double start_s;          /* since the start of the run */
};

struct kv_layers_plan {
    const char *bucket;
    struct kv_layers_spec *client;
    int32_t count;
};

/* Texts and clients are of `arena`. False when `diag` has errors. */
bool kv_layers_plan_read(struct kv_arena *arena, const char *path, struct kv_layers_plan *plan, struct kv_diag *diag);

#endif

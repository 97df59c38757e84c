/* SPDX-License-Identifier: Apache-2.0 */
/* /layers: when the KV of each layer was there and when it was computed, of a sample of the requests that had to wait
 * for layers. It is the `sample` requests of smallest kv_mix64_pair(seed, request), so it depends on nothing but who
 * had any; each with the first step that made it wait. Memory follows the sample. */
#ifndef KV_OUT_LAYERS_H
#define KV_OUT_LAYERS_H

#include "sim/iface/record.h"
#include "sim/out/h5.h"

struct kv_layers;
/* sample >= 1; layers of the model. */
struct kv_layers *kv_layers_open(int64_t sample, int32_t layers, uint64_t seed);
void kv_layers_add(struct kv_layers *s, const struct kv_layers_record *record);
/* In order of requests. */
void kv_layers_write(struct kv_layers *s, struct kv_h5 *f);
void kv_layers_close(struct kv_layers *s);

#endif

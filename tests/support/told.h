/* SPDX-License-Identifier: Apache-2.0 */
/* What a run told of its fetches and of the layers of its steps (docs/tiers.md, T40 and T41), kept in order. */
#ifndef KV_TESTS_SUPPORT_TOLD_H
#define KV_TESTS_SUPPORT_TOLD_H

#include "sim/base/arena.h"
#include "sim/iface/record.h"

struct kv_told {
    struct kv_arena arena;           /* holds the arrays of `layers` */
    KV_VEC(struct kv_fetch_record) fetches;
    KV_VEC(struct kv_layers_record) layers;
};

/* Members `fetch` and `layers` of a sink whose state is a struct kv_told. */
bool kv_told_fetch(void *told, const struct kv_fetch_record *record, struct kv_err *err);
bool kv_told_layers(void *told, const struct kv_layers_record *record, struct kv_err *err);
void kv_told_close(struct kv_told *told);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* A load of one request (or two at a time) with nothing else around it, small enough to be worked out by hand, run by
 * the naive engine: request 0 computes a prompt on instance 0 and writes it, request 1 has the same prompt on instance
 * 1, long after, and request 2, where there is one, on instance 2 at the same tick as 1. */
#ifndef KV_TESTS_SUPPORT_ALONE_H
#define KV_TESTS_SUPPORT_ALONE_H

#include "tests/support/odd_models.h"
#include "tests/support/random_scenario.h"
#include "tests/support/told.h"

#define KV_ALONE_LAYERS 5
#define KV_ALONE_BLOCK 16
#define KV_ALONE_HIT_BLOCKS 10
#define KV_ALONE_RATE INT64_C(777777777)           /* of the device, 2^-32 byte per tick */
#define KV_ALONE_DELAY INT64_C(123456)

struct kv_alone {
    struct kv_model_shape model;
    struct kv_test_compute_params compute;
    struct kv_test_store_params store;
    int64_t bytes[KV_ALONE_LAYERS];                /* of a token, as read */
    struct kv_sim_config config;
    int64_t count;                                 /* requests: 2, or 3 */
    struct kv_request requests[3];
    struct kv_record records[3];
    struct kv_counters counters;
    struct kv_told told;
};

void kv_alone_open(struct kv_alone *a);
/* The record of request 1. Asserts that it and what follows it found the prompt in the tier, and were served. */
const struct kv_record *kv_alone_run(struct kv_alone *a);
void kv_alone_close(struct kv_alone *a);           /* only what it was told */
/* Bytes of the whole load. */
int64_t kv_alone_bytes(const struct kv_alone *a);

#endif

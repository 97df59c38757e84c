/* SPDX-License-Identifier: Apache-2.0 */
/* Rows that come a little out of order, put in order of time: each is kept until no earlier one can come any more,
 * because rows are at most `disorder_ns` earlier than the latest row before them. Memory is that of the rows of the
 * last `disorder_ns`. Rows of one time keep their order. */
#ifndef KV_LIB_RESORT_H
#define KV_LIB_RESORT_H

#include "sim/lib/field.h"
#include "sim/lib/pqueue.h"

struct kv_kept { void *bytes; size_t size; };
struct kv_resort {
    int64_t disorder_ns;
    struct kv_order latest;    /* of the rows so far */
    int64_t pushed;
    struct kv_pqueue queue;    /* (time, order, index of its kept copy) */
    KV_VEC(struct kv_kept) kept;
    KV_VEC(uint32_t) unused;   /* entries of `kept` */
    struct kv_kept out;        /* what the last pop gave */
};

/* A row of the current line of `in`, as `size` bytes, which are copied. False when it is too early: the message names
 * both rows. */
bool kv_resort_push(struct kv_resort *r, const struct kv_input *in, int64_t time_ns, const void *bytes, size_t size,
                    struct kv_err *err);
/* The next row in order of time, good until the next call; NULL when more must be pushed first. `ended`: nothing more
 * will come; then NULL is the end. */
const void *kv_resort_pop(struct kv_resort *r, bool ended);
void kv_resort_close(struct kv_resort *r);

#endif

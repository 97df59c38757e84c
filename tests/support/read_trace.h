/* SPDX-License-Identifier: Apache-2.0 */
/* A whole trace through its reader, for tests of readers. */
#ifndef KV_TESTS_READ_TRACE_H
#define KV_TESTS_READ_TRACE_H

#include "sim/base/arena.h"
#include "sim/iface/reader.h"

struct kv_test_sums {
    int64_t rows, failed, api, input, output, first_ns, last_ns, ids, parts, sessions_named;
    struct kv_reader_stats stats;
};

/* Parameters of a reader: its presets, with `set` ("a=1 b=2") laid over. */
const void *kv_test_reader_params(struct kv_arena *arena, const struct kv_reader_ops *ops, const char *set);
/* Reads the file to its end; `visit` (may be NULL) sees every row. Asserts that rows are in order of time, that texts
 * are there and that the reader's own counts are right; fails the cmocka test on an error. */
struct kv_test_sums kv_test_read(struct kv_arena *arena, const char *reader, const char *path, const char *set,
                                 uint64_t seed, void (*visit)(void *state, const struct kv_row *row), void *state);
/* Path below the shared folder; closes the arena and skips the cmocka test, with a reason, when it is not there. */
const char *kv_test_shared(struct kv_arena *arena, const char *name);

#endif

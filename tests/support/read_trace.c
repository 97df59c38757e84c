/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/read_trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <unistd.h>

#include "sim/conf/bind.h"
#include "sim/plug.h"

const void *kv_test_reader_params(struct kv_arena *arena, const struct kv_reader_ops *ops, const char *set)
{
    struct kv_diag diag = {0};
    struct kv_yaml *root = kv_yaml_parse(arena, "test", "{}", 2, &diag);
    for (char *at = kv_arena_text(arena, "%s", set); *at;) {
        char *end = at + strcspn(at, " "), *equals = strchr(at, '=');
        if (*end) *end++ = '\0';
        *equals = '\0';
        assert_true(kv_yaml_set(arena, root, at, equals + 1, 1, &diag));
        at = end;
    }
    void *params = kv_arena_take(arena, ops->info.params_bytes + 1);
    if (ops->info.params) kv_bind(arena, root, "", ops->info.params, params, &diag);
    assert_int_equal(diag.errors, 0);
    kv_diag_close(&diag);
    return params;
}

struct kv_test_sums kv_test_read(struct kv_arena *arena, const char *reader, const char *path, const char *set,
                                 uint64_t seed, void (*visit)(void *state, const struct kv_row *row), void *state)
{
    const struct kv_plugin *plugin = kv_plugin_find(KV_FAMILY_reader, reader);
    assert_non_null(plugin);
    const struct kv_reader_ops *ops = kv_plugin_ops(reader, plugin);
    struct kv_reader_env env = {.path = path, .seed = seed};
    struct kv_err err;
    struct kv_row row;
    struct kv_test_sums s = {0};
    int got;
    void *reading = kv_mem_take(ops->state_bytes);
    assert_true(ops->open(reading, kv_test_reader_params(arena, ops, set), &env, &err));
    while ((got = ops->next(reading, &row, &err)) == 1) {
        if (s.rows++ == 0) s.first_ns = row.time_ns;
        assert_true(row.time_ns >= s.last_ns);
        assert_true(row.model && row.session && row.slo_class);
        s.last_ns = row.time_ns;
        s.failed += row.failed;
        s.api += row.api;
        s.input += row.input_tokens;
        s.output += row.output_tokens;
        s.ids += row.ids_count;
        s.parts += row.parts_count;
        s.sessions_named += row.session[0] != '\0';
        if (visit) visit(state, &row);
    }
    if (got < 0) fail_msg("%s: %s", err.where, err.text);
    assert_int_equal(ops->next(reading, &row, &err), 0);
    ops->stats(reading, &s.stats);
    assert_int_equal(s.stats.rows, s.rows);
    assert_int_equal(s.stats.failed_rows, s.failed);
    assert_int_equal(strlen(s.stats.digest), 64);
    ops->close(reading);
    kv_mem_give(reading, ops->state_bytes);
    return s;
}

const char *kv_test_shared(struct kv_arena *arena, const char *name)
{
    const char *folder = getenv("KVSIM_SHARED");
    const char *path = kv_arena_text(arena, "%s/%s", folder ? folder : "../shared", name);
    if (access(path, R_OK) != 0) {
        printf("SKIP: %s is absent\n", path);
        kv_arena_close(arena);   /* skip() does not come back: whoever would close it is not reached */
        skip();
    }
    return path;
}

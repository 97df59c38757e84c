/* SPDX-License-Identifier: Apache-2.0 */
/* Readers: the contract, for every one that is registered, and the files of ../shared/traces, whose README gives
 * counts, sums and spans. */
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

static struct kv_arena arena;

/* Parameters of a reader: its presets, with `set` ("a=1 b=2") laid over. */
static const void *params_of(const struct kv_reader_ops *ops, const char *set)
{
    struct kv_diag diag = {0};
    struct kv_yaml *root = kv_yaml_parse(&arena, "test", "{}", 2, &diag);
    char text[256];
    snprintf(text, sizeof text, "%s", set);
    for (char *at = text; *at;) {
        char *end = at + strcspn(at, " "), *equals = strchr(at, '=');
        if (*end) *end++ = '\0';
        *equals = '\0';
        assert_true(kv_yaml_set(&arena, root, at, equals + 1, 1, &diag));
        at = end;
    }
    void *params = kv_arena_take(&arena, ops->info.params_bytes + 1);
    if (ops->info.params) kv_bind(&arena, root, "", ops->info.params, params, &diag);
    assert_int_equal(diag.errors, 0);
    kv_diag_close(&diag);
    return params;
}

struct sums {
    int64_t rows, failed, api, input, output, first_ns, last_ns, ids, sessions_named;
    struct kv_reader_stats stats;
};

static struct sums read_file(const char *reader, const char *path, const char *set)
{
    const struct kv_plugin *plugin = kv_plugin_find(KV_FAMILY_reader, reader);
    assert_non_null(plugin);
    const struct kv_reader_ops *ops = kv_plugin_ops(reader, plugin);
    struct kv_reader_env env = {.path = path, .seed = 1};
    struct kv_err err;
    struct kv_row row;
    struct sums s = {0};
    int got;
    void *state = kv_mem_take(ops->state_bytes);
    assert_true(ops->open(state, params_of(ops, set), &env, &err));
    while ((got = ops->next(state, &row, &err)) == 1) {
        if (s.rows++ == 0) s.first_ns = row.time_ns;
        assert_true(row.time_ns >= s.last_ns);
        assert_true(row.model && row.session && row.slo_class);
        s.last_ns = row.time_ns;
        s.failed += row.failed;
        s.api += row.api;
        s.input += row.input_tokens;
        s.output += row.output_tokens;
        s.ids += row.ids_count;
        s.sessions_named += row.session[0] != '\0';
    }
    if (got < 0) fail_msg("%s: %s", err.where, err.text);
    assert_int_equal(ops->next(state, &row, &err), 0);
    ops->stats(state, &s.stats);
    assert_int_equal(s.stats.rows, s.rows);
    assert_int_equal(s.stats.failed_rows, s.failed);
    assert_int_equal(strlen(s.stats.digest), 64);
    ops->close(state);
    kv_mem_give(state, ops->state_bytes);
    return s;
}

/* Path below the shared folder; skips the test with a reason when it is not there. */
static const char *shared(const char *name)
{
    const char *folder = getenv("KVSIM_SHARED");
    const char *path = kv_arena_text(&arena, "%s/%s", folder ? folder : "../shared", name);
    if (access(path, R_OK) != 0) {
        printf("SKIP: %s is absent\n", path);
        skip();
    }
    return path;
}

/* --- contract -------------------------------------------------------------------------------------------- */

static void every_file_reader_keeps_the_contract_on_bad_files(void **unused)
{
    (void)unused;
    int32_t count, readers = 0;
    const struct kv_plugin *all = kv_plugins(&count);
    for (int32_t i = 0; i < count; i++) {
        if (all[i].family != KV_FAMILY_reader) continue;
        const struct kv_reader_ops *ops = kv_plugin_ops(reader, &all[i]);
        if (ops->generates) continue;
        readers++;
        bool blocks = strcmp(all[i].name, "blocks") == 0;
        const void *params = params_of(ops, blocks ? "block_tokens=16" : "");
        struct kv_reader_env env = {.path = "/tmp/kvsim_no_such_file"};
        struct kv_err err;
        struct kv_row row;
        void *state = kv_mem_take(ops->state_bytes);
        assert_false(ops->open(state, params, &env, &err));
        assert_int_equal(err.code, KV_EIO);
        ops->close(state);                                   /* allowed after a failed open */
        kv_mem_give(state, ops->state_bytes);

        state = kv_mem_take(ops->state_bytes);
        env.path = "/dev/null";
        assert_true(ops->open(state, params, &env, &err));
        assert_int_equal(ops->next(state, &row, &err), -1);   /* no rows */
        assert_int_equal(err.code, KV_ETRACE);
        assert_string_equal(err.where, "/dev/null:1");
        assert_int_equal(ops->next(state, &row, &err), 0);
        ops->close(state);
        kv_mem_give(state, ops->state_bytes);
    }
    assert_in_range(readers, 4, 1000);
}

static void skipping_bad_rows_counts_them(void **unused)
{
    (void)unused;
    char path[] = "/tmp/kvsim_rows_XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    const char *text = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
                       "5,ChatGPT,10,5,15,API log\n6,ChatGPT,10,5,16,API log\n"
                       "4,ChatGPT,10,5,15,API log\n7,GPT-4,1,0,1,Conversation log\n";
    assert_int_equal(write(file, text, strlen(text)), strlen(text));
    close(file);
    const struct kv_reader_ops *ops = kv_plugin_ops(reader, kv_plugin_find(KV_FAMILY_reader, "burstgpt"));
    for (int skipping = 0; skipping < 2; skipping++) {
        struct kv_reader_env env = {.path = path, .skip_bad_rows = skipping};
        struct kv_reader_stats stats;
        struct kv_err err;
        struct kv_row row;
        int good = 0, bad = 0, got;
        void *state = kv_mem_take(ops->state_bytes);
        assert_true(ops->open(state, NULL, &env, &err));
        while ((got = ops->next(state, &row, &err)) != 0) got == 1 ? good++ : bad++;   /* goes on behind a bad row */
        ops->stats(state, &stats);
        assert_int_equal(good, 2);
        assert_int_equal(bad, skipping ? 0 : 2);
        assert_int_equal(stats.rows, 2);
        assert_int_equal(stats.bad_rows, 2);
        assert_int_equal(stats.failed_rows, 1);
        ops->close(state);
        kv_mem_give(state, ops->state_bytes);
    }
    unlink(path);
}

/* --- files of ../shared/traces ----------------------------------------------------------------------------- */

static void burstgpt_files_agree_with_their_readme(void **unused)
{
    (void)unused;
    const struct {
        const char *name, *digest;
        int64_t rows, failed, sessions, input, output;
        double span_s;
    } files[] = {
        {"traces/burstgpt/BurstGPT_1_rows000-266.csv",
         "34a56afc50cfdd48aa404493960c88c46ef7d26272b7135d943e94ae09edf802", 267, 11, 0, 156619, 76214, 35082},
        {"traces/burstgpt/BurstGPT_3_rows000-266.csv",
         "ebac047249b0a27a01002e55fd8ab07840c87d74de5575b9da1e8c3d596e0223", 267, 1, 261, 182654, 46750, 38490},
        {"traces/burstgpt/BurstGPT_1_window_t822291_120req.csv",
         "96479bedabd455e90341a27a7fc19295425ddfd50ce370c0e172556099f36edb", 120, 0, 0, 7692, 449, 30},
    };
    for (size_t i = 0; i < 3; i++) {
        struct sums s = read_file("burstgpt", shared(files[i].name), "");
        assert_int_equal(s.rows, files[i].rows);
        assert_int_equal(s.failed, files[i].failed);
        assert_int_equal(s.sessions_named, files[i].sessions);
        assert_int_equal(s.input, files[i].input);
        assert_int_equal(s.output, files[i].output);
        assert_true((double)(s.last_ns - s.first_ns) == files[i].span_s * 1e9);
        assert_string_equal(s.stats.digest, files[i].digest);
        if (i == 1) assert_int_equal(s.first_ns, INT64_C(19440110) * 1000000000);
        if (i == 2) assert_int_equal(s.api, 120);
    }
}

static void mooncake_file_agrees_with_its_readme(void **unused)
{
    (void)unused;
    struct sums s = read_file("mooncake", shared("traces/mooncake/conversation_trace.jsonl.gz"), "");
    assert_int_equal(s.rows, 12031);
    assert_int_equal(s.ids, 288500);
    assert_int_equal((s.input + s.rows / 2) / s.rows, 12035);
    assert_int_equal((s.output + s.rows / 2) / s.rows, 343);
    assert_int_equal(s.last_ns - s.first_ns, INT64_C(3536999) * 1000000);
    assert_string_equal(s.stats.digest, "b8cbb061a85206d729d91cdc2981f43c9e0d99209dce588d3af5f7934408b9df");
}

static void azure_file_agrees_with_its_readme(void **unused)
{
    (void)unused;
    struct sums s = read_file("azure", shared("traces/azure/AzureLLMInferenceTrace_conv.csv"), "");
    assert_int_equal(s.rows, 19366);
    assert_int_equal(s.input, 22361870);
    assert_int_equal(s.output, 4088665);
    /* date -u -d "2023-11-16 18:15:46" +%s */
    assert_int_equal(s.first_ns, INT64_C(1700158546) * 1000000000 + 680590000);
    assert_int_equal(s.last_ns - s.first_ns, INT64_C(3501721937000));
    assert_string_equal(s.stats.digest, "2f1e5b666d4e3055fdbba98598ce2ec307767b9064e03e2fa46676dbcc7d0bf8");
}

static void block_files_agree_with_their_readme(void **unused)
{
    (void)unused;
    struct sums s =
        read_file("blocks", shared("traces/sharegpt/sharegpt_llama31_8b_300_blocks16.jsonl.gz"), "block_tokens=16");
    assert_int_equal(s.rows, 300);
    assert_int_equal(s.ids, 16225);
    assert_int_equal((s.input + 150) / 300, 857);
    assert_int_equal(s.first_ns, 46926808);
    s = read_file("blocks", shared("traces/agentic/miniswe_blocks256B.jsonl.gz"), "block_tokens=256 bytes_per_token=1");
    assert_int_equal(s.rows, 402);
    assert_int_equal(s.ids, 37984);
    assert_int_equal(s.sessions_named, 402);
    assert_int_equal(s.input / 402, 24066);
    s = read_file("blocks", shared("groundtruth/e2e/workloads/sharegpt-llama-3.1-8b-300.jsonl.gz"),
                  "block_tokens=16 partial=floor");
    assert_int_equal(s.input, 257239);
    s = read_file("blocks", shared("groundtruth/e2e/workloads/sharegpt-qwen3-300.jsonl.gz"),
                  "block_tokens=16 partial=floor");
    assert_int_equal(s.input, 258691);
}

static void dates_become_ns_since_1970(void **unused)
{
    (void)unused;
    const struct { const char *date; int64_t ns; } dates[] = {
        /* by date -u -d ... +%s */
        {"1970-01-01 00:00:00", 0},
        {"2000-02-29 23:59:59.5", INT64_C(951868799500000000)},
        {"2023-11-16 18:15:46.6805900", INT64_C(1700158546680590000)},
        {"2024-02-29T00:00:00Z", INT64_C(1709164800000000000)},
        {"2024-05-12 00:00:00.009930+00:00", INT64_C(1715472000009930000)},
        {"2024-05-12 02:00:00+02:00", INT64_C(1715472000000000000)},
        {"2024-12-31 23:59:59.999999999-01:30", INT64_C(1735694999999999999)},
        {"2100-03-01 00:00:00", INT64_C(4107542400000000000)},
    };
    for (size_t i = 0; i < sizeof dates / sizeof dates[0]; i++) {
        char path[] = "/tmp/kvsim_date_XXXXXX", text[200];
        int file = mkstemp(path);
        assert_true(file >= 0);
        int length = snprintf(text, sizeof text, "TIMESTAMP,ContextTokens,GeneratedTokens\n%s,3,4", dates[i].date);
        assert_int_equal(write(file, text, (size_t)length), length);
        close(file);
        struct sums s = read_file("azure", path, "");
        assert_int_equal(s.first_ns, dates[i].ns);
        unlink(path);
    }
}

static int close_arena(void **unused)
{
    (void)unused;
    kv_arena_close(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_file_reader_keeps_the_contract_on_bad_files),
        cmocka_unit_test(skipping_bad_rows_counts_them),
        cmocka_unit_test(dates_become_ns_since_1970),
        cmocka_unit_test(burstgpt_files_agree_with_their_readme),
        cmocka_unit_test(mooncake_file_agrees_with_its_readme),
        cmocka_unit_test(azure_file_agrees_with_its_readme),
        cmocka_unit_test(block_files_agree_with_their_readme),
    };
    return cmocka_run_group_tests(tests, NULL, close_arena);
}

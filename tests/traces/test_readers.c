/* SPDX-License-Identifier: Apache-2.0 */
/* Readers: the contract, for every one that is registered, and the files of ../shared/traces, whose README gives
 * counts, sums and spans. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <unistd.h>

#include "sim/plug.h"
#include "tests/support/arena.h"
#include "tests/support/read_trace.h"

static struct kv_test_sums read_file(const char *reader, const char *path, const char *set)
{
    return kv_test_read(&arena, reader, path, set, 1, NULL, NULL);
}

static const char *shared(const char *name)
{
    return kv_test_shared(&arena, name);
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
        const void *params = kv_test_reader_params(&arena, ops, blocks ? "block_tokens=16" : "");
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
    assert_in_range(readers, 10, 1000);
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
        struct kv_test_sums s = read_file("burstgpt", shared(files[i].name), "");
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
    struct kv_test_sums s = read_file("mooncake", shared("traces/mooncake/conversation_trace.jsonl.gz"), "");
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
    struct kv_test_sums s = read_file("azure", shared("traces/azure/AzureLLMInferenceTrace_conv.csv"), "");
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
    struct kv_test_sums s =
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

/* --- order and identity, on the samples ----------------------------------------------------------------------- */

struct spans_seen { int64_t rows, think_ns[16], elapsed_ns[16], line[16]; };
static void see_span(void *state, const struct kv_row *row)
{
    struct spans_seen *s = state;
    s->think_ns[s->rows] = row->think_ns;
    s->elapsed_ns[s->rows] = row->elapsed_ns;
    s->line[s->rows++] = row->line;
}

static void spans_come_in_order_with_their_pauses(void **unused)
{
    (void)unused;
    struct spans_seen seen = {0};
    struct kv_test_sums s = kv_test_read(&arena, "spans", "traces/sample/spans_tiny.jsonl", "", 1, see_span, &seen);
    assert_int_equal(s.rows, 15);
    assert_int_equal(s.failed, 2);
    assert_int_equal(s.first_ns, INT64_C(1000500000000));
    /* Starts of the three sessions: 0, 2 and 4 s; then 4.5, 5.75, 11, 16.25 s later, less for a failed call. */
    static const int64_t lines[] = {1, 6, 11, 2};
    for (int i = 0; i < 4; i++) assert_int_equal(seen.line[i], lines[i]);
    for (int i = 0; i < 15; i++) {
        int64_t call = (seen.line[i] - 1) % 5;
        bool bad = call == 3 && seen.line[i] > 5;
        assert_int_equal(seen.elapsed_ns[i], bad ? 0 : INT64_C(1500000000) + INT64_C(250000000) * call);
        assert_int_equal(seen.think_ns[i], call == 0 ? -1 : call == 2 ? 0 : INT64_C(3000000000));
    }
}

struct rag_seen { int64_t rows, line[32], ids_count[32]; uint64_t ids[32][64]; int64_t ends[32][16], part[32][16]; };
static void see_rag(void *state, const struct kv_row *row)
{
    struct rag_seen *s = state;
    s->line[s->rows] = row->line;
    s->ids_count[s->rows] = row->ids_count;
    memcpy(s->ids[s->rows], row->ids, (size_t)row->ids_count * sizeof *row->ids);
    assert_in_range(row->parts_count, 1, 15);
    int64_t end = 0;
    for (int64_t i = 0; i < row->parts_count; i++) {
        s->part[s->rows][i] = (int64_t)row->parts[i].id;
        s->ends[s->rows][i] = end += row->parts[i].tokens;
    }
    s->part[s->rows][row->parts_count] = -1 - s->rows;   /* of nobody else */
    assert_int_equal(row->input_tokens, end + 9);        /* the template */
    assert_int_equal(row->ids_count, end / row->ids_tokens);
    s->rows++;
}

/* Two prompts have a block in common exactly when it lies inside the components with which both begin. */
static void prompts_of_components_share_whole_blocks_of_equal_beginnings(void **unused)
{
    (void)unused;
    for (int64_t block = 4; block <= 32; block *= 2) {
        struct rag_seen *seen = kv_arena_take(&arena, sizeof *seen);
        const char *set = kv_arena_text(&arena, "lengths=traces/sample/ragpulse_tiny_lengths.csv block_tokens=%lld",
                                        (long long)block);
        kv_test_read(&arena, "ragpulse", "traces/sample/ragpulse_tiny.jsonl", set, 1, see_rag, seen);
        assert_int_equal(seen->rows, 24);
        assert_int_equal(seen->line[2], 6);              /* at 15 s, between the second and the third */
        for (int64_t a = 0; a < seen->rows; a++)
            for (int64_t b = 0; b < a; b++) {
                int64_t same = 0, blocks = 0;
                while (seen->part[a][same] == seen->part[b][same]) same++;
                int64_t tokens = same ? seen->ends[a][same - 1] : 0;
                for (; blocks < seen->ids_count[a] && blocks < seen->ids_count[b]; blocks++)
                    if (seen->ids[a][blocks] != seen->ids[b][blocks]) break;
                assert_int_equal(blocks, tokens / block);
            }
    }
    struct kv_err err;
    struct kv_row row;
    const struct kv_reader_ops *ops = kv_plugin_ops(reader, kv_plugin_find(KV_FAMILY_reader, "ragpulse"));
    struct kv_reader_env env = {.path = "traces/sample/ragpulse_tiny.jsonl", .block_tokens = 24};
    const void *params = kv_test_reader_params(&arena, ops, "lengths=traces/sample/ragpulse_tiny_lengths.csv");
    void *state = kv_mem_take(ops->state_bytes);
    assert_true(ops->open(state, params, &env, &err));
    assert_int_equal(ops->next(state, &row, &err), 1);
    assert_int_equal(row.ids_tokens, 24);                /* the engine's */
    ops->close(state);
    kv_mem_give(state, ops->state_bytes);
}

struct hits_seen { int64_t rows, cached[9], blocks[9]; uint64_t last_id; bool fresh; };
static void see_hits(void *state, const struct kv_row *row)
{
    struct hits_seen *s = state;
    s->cached[s->rows] = row->resident_tokens;
    s->blocks[s->rows++] = row->ids_count;
    assert_int_equal(row->known_tokens, row->ids_count * row->ids_tokens);
    assert_in_range(row->known_tokens, row->input_tokens - row->ids_tokens + 1, row->input_tokens);
    assert_string_equal(row->slo_class, row->resident_tokens * 8 > row->input_tokens * 4 ? "warm" : "");
    for (int64_t i = 0; i < row->ids_count; i++) {      /* ids of one row never come again */
        s->fresh &= row->ids[i] > s->last_id;
        s->last_id = row->ids[i];
    }
}

static void cached_tokens_are_resident_and_nobody_elses(void **unused)
{
    (void)unused;
    for (int64_t block = 16; block <= 48; block += 32) {
        struct hits_seen seen = {.fresh = true};
        const char *set = kv_arena_text(&arena, "block_tokens=%lld", (long long)block);
        kv_test_read(&arena, "hits", "traces/sample/hits_tiny.csv", set, 1, see_hits, &seen);
        assert_int_equal(seen.rows, 9);
        assert_true(seen.fresh);
        for (int64_t i = 0; i < 9; i++) {
            int64_t context = INT64_C(1024) << (i / 3 * 2);
            assert_int_equal(seen.cached[i], context / 8 * (1 + i % 3 * 3));
            assert_int_equal(seen.blocks[i], context / block);
        }
    }
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
        struct kv_test_sums s = read_file("azure", path, "");
        assert_int_equal(s.first_ns, dates[i].ns);
        unlink(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_file_reader_keeps_the_contract_on_bad_files),
        cmocka_unit_test(skipping_bad_rows_counts_them),
        cmocka_unit_test(spans_come_in_order_with_their_pauses),
        cmocka_unit_test(prompts_of_components_share_whole_blocks_of_equal_beginnings),
        cmocka_unit_test(cached_tokens_are_resident_and_nobody_elses),
        cmocka_unit_test(dates_become_ns_since_1970),
        cmocka_unit_test(burstgpt_files_agree_with_their_readme),
        cmocka_unit_test(mooncake_file_agrees_with_its_readme),
        cmocka_unit_test(azure_file_agrees_with_its_readme),
        cmocka_unit_test(block_files_agree_with_their_readme),
    };
    return cmocka_run_group_tests(tests, NULL, close_arena);
}

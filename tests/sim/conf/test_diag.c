/* SPDX-License-Identifier: Apache-2.0 */
/* Messages: order, caret, limits, JSON, suggestions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "sim/conf/diag.h"

static void a_note_shows_its_line_and_a_caret(void **state)
{
    (void)state;
    struct kv_diag d = {0};
    const char *text = "tiers:\n  - kind: dram\n    capcity: 512GiB\n";
    kv_diag_add(&d, KV_ERROR, (struct kv_pos){"s3.yaml", text, 3, 5, 7}, "did you mean 'capacity'?",
                "unknown key '%s' in tiers[1] (dram)", "capcity");
    assert_string_equal(kv_diag_text(&d, false),
                        "s3.yaml:3:5: error: unknown key 'capcity' in tiers[1] (dram)\n"
                        "    3 |     capcity: 512GiB\n"
                        "      |     ^~~~~~~ did you mean 'capacity'?\n");
    kv_diag_close(&d);
}

static void notes_outlive_their_input(void **state)
{
    (void)state;
    struct kv_diag d = {0};
    struct kv_arena arena = {0};
    const char *text = kv_arena_text(&arena, "key: %d", 5), *file = kv_arena_text(&arena, "a.yaml");
    kv_diag_add(&d, KV_ERROR, (struct kv_pos){file, text, 1, 6, 1}, NULL, "wrong");
    kv_arena_close(&arena);
    assert_string_equal(kv_diag_text(&d, false), "a.yaml:1:6: error: wrong\n    1 | key: 5\n      |      ^\n");
    kv_diag_close(&d);
}

static void notes_are_sorted_by_place_and_then_by_order(void **state)
{
    (void)state;
    struct kv_diag d = {0};
    kv_diag_add(&d, KV_ERROR, (struct kv_pos){.file = "b", .line = 1, .column = 1}, NULL, "5");
    kv_diag_add(&d, KV_ERROR, (struct kv_pos){.file = "a", .line = 2, .column = 7}, NULL, "3");
    kv_diag_add(&d, KV_WARNING, (struct kv_pos){.file = "a", .line = 2, .column = 7}, NULL, "4");
    kv_diag_add(&d, KV_ERROR, (struct kv_pos){.file = "a", .line = 2, .column = 3}, NULL, "2");
    kv_diag_add(&d, KV_ERROR, (struct kv_pos){.file = "a"}, NULL, "1");
    assert_int_equal(d.errors, 4);
    assert_int_equal(d.warnings, 1);
    assert_string_equal(kv_diag_text(&d, false), "a: error: 1\na:2:3: error: 2\na:2:7: error: 3\na:2:7: warning: 4\n"
                                                 "b:1:1: error: 5\n");
    kv_diag_close(&d);
}

static void at_most_twenty_errors_are_shown(void **state)
{
    (void)state;
    struct kv_diag d = {0};
    for (int32_t i = 1; i <= 23; i++)
        kv_diag_add(&d, KV_ERROR, (struct kv_pos){.file = "f", .line = i, .column = 1}, NULL, "e%d", i);
    const char *text = kv_diag_text(&d, false);
    assert_non_null(strstr(text, "e20\n"));
    assert_null(strstr(text, "e21\n"));
    assert_non_null(strstr(text, "... and 3 more errors\n"));
    kv_diag_close(&d);
}

static void json_is_one_object_a_line(void **state)
{
    (void)state;
    struct kv_diag d = {0};
    kv_diag_add(&d, KV_ERROR, (struct kv_pos){.file = "a\"b", .line = 2, .column = 7}, NULL, "tab\there");
    kv_diag_add(&d, KV_WARNING, (struct kv_pos){.file = "c"}, "try", "x");
    assert_string_equal(kv_diag_text(&d, true),
                        "{\"file\": \"a\\\"b\", \"line\": 2, \"column\": 7, \"severity\": \"error\", "
                        "\"message\": \"tab\\u0009here\", \"hint\": null}\n"
                        "{\"file\": \"c\", \"line\": 0, \"column\": 0, \"severity\": \"warning\", "
                        "\"message\": \"x\", \"hint\": \"try\"}\n");
    kv_diag_close(&d);
}

/* Columns count characters, control characters are not printed, a long line is cut around the place. */
static void snippets_are_printable(void **state)
{
    (void)state;
    struct kv_diag d = {0};
    kv_diag_add(&d, KV_ERROR, (struct kv_pos){"f", "caf\xc3\xa9\t\x1b[31m: 1", 1, 5, 9}, NULL, "e");
    assert_string_equal(kv_diag_text(&d, false),
                        "f:1:5: error: e\n    1 | caf\xc3\xa9 ?[31m: 1\n      |     ^~~~~~~~~\n");
    kv_diag_close(&d);

    char line[4001] = "";
    memset(line, 'x', 4000);
    kv_diag_add(&d, KV_ERROR, (struct kv_pos){"f", line, 1, 3000, 4000}, NULL, "e");
    const char *text = kv_diag_text(&d, false);
    assert_true(strlen(text) < 400);
    assert_non_null(strstr(text, "    1 | ...xxxx"));
    kv_diag_close(&d);

    kv_diag_add(&d, KV_ERROR, (struct kv_pos){"f", "one\n", 7, 3, 1}, NULL, "past the end");
    kv_diag_add(&d, KV_ERROR, (struct kv_pos){"f", "ab\n\xe2\x82", 2, 9, 5}, NULL, "broken character");
    assert_non_null(kv_diag_text(&d, false));
    kv_diag_close(&d);
}

static void the_nearest_word_is_suggested(void **state)
{
    (void)state;
    static const char *const keys[] = {"max_num_seqs", "max_num_batched_tokens", "block_tokens", "sched", "tp",
                                       "lru", "lfu"};
    static const struct { const char *word, *expected; } row[] = {
        {"max_num_seq", "max_num_seqs"}, {"blok_tokens", "block_tokens"}, {"scehd", "sched"}, {"schde", "sched"},
        {"lruu", "lru"}, {"lfru", "lru"} /* a tie: the first */, {"pt", "tp"}, {"xyz", NULL}, {"x", NULL}, {"", NULL},
        {"max_batched_tokens", "max_num_batched_tokens"}, {"mns", NULL}, {"sched", "sched"},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        const char *got = kv_suggest(row[i].word, keys, 7);
        if (got != row[i].expected && (!got || !row[i].expected || strcmp(got, row[i].expected)))
            fail_msg("'%s': suggested %s, expected %s", row[i].word, got ? got : "nothing",
                     row[i].expected ? row[i].expected : "nothing");
    }
    assert_null(kv_suggest("sched", keys, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_note_shows_its_line_and_a_caret), cmocka_unit_test(notes_outlive_their_input),
        cmocka_unit_test(notes_are_sorted_by_place_and_then_by_order),
        cmocka_unit_test(at_most_twenty_errors_are_shown),
        cmocka_unit_test(json_is_one_object_a_line), cmocka_unit_test(snippets_are_printable),
        cmocka_unit_test(the_nearest_word_is_suggested),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

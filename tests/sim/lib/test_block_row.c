/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "sim/lib/block_row.h"

static struct kv_block_row row;
static struct kv_err err;

/* One line as if it were line 7 of trace.jsonl. */
static bool parse(const struct kv_block_rule *rule, const char *text)
{
    static char line[4096];
    memset(line, 0, sizeof line);
    memcpy(line, text, strlen(text));
    struct kv_input in = {.path = "trace.jsonl", .line_number = 7, .line = line, .length = strlen(text)};
    return kv_block_row_read(&row, rule, &in, &err);
}

static const struct kv_block_rule ceil16 = {9, 16, 4, KV_PARTIAL_CEIL}, floor16 = {9, 16, 4, KV_PARTIAL_FLOOR},
                                  prefix16 = {6, 16, 4, KV_PARTIAL_PREFIX}, bytes64 = {9, 64, 4, KV_PARTIAL_CEIL};

static void all_names_of_a_field_are_read(void **unused)
{
    (void)unused;
    assert_true(parse(&ceil16, "{\"timestamp\":1.5,\"input_length\":17,\"output_length\":3,\"hash_ids\":[4,5]}"));
    assert_int_equal(row.time_ns, 1500000000);
    assert_int_equal(row.input_tokens, 17);
    assert_int_equal(row.output_tokens, 3);
    assert_int_equal(row.ids.count, 2);
    assert_int_equal(row.known_tokens, 17);
    assert_int_equal(row.turn, -1);
    assert_int_equal(row.think_ns, -1);
    assert_false(row.failed);
    assert_true(
        parse(&floor16,
              "{\"request_id\":{\"x\":[1]},\"arrival_s\":2,\"input_toks\":31,\"output_toks\":1,\"block_ids\":[9]}"));
    assert_int_equal(row.time_ns, 2000000000);
    assert_int_equal(row.known_tokens, 16);
    assert_true(parse(&bytes64, "{\"timestamp\":0,\"input_bytes\":5433,\"output_bytes\":485,\"hash_ids\":"
                                "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22]}"));
    assert_int_equal(row.input_tokens, 1359);   /* 5,433 bytes at 4 a token, rounded up */
    assert_int_equal(row.output_tokens, 122);
    assert_true(parse(&prefix16,
                      "{\"timestamp\":3,\"input_length\":100,\"output_length\":0,\"hash_ids\":[1],\"session_id\":12,"
                      "\"turn\":2,\"think_s\":0.25,\"elapsed_s\":1e1,\"priority\":-3,\"slo_class\":\"chat\"}"));
    assert_int_equal(row.time_ns, 3000000);     /* the rule says milliseconds */
    assert_string_equal(row.session, "12");
    assert_int_equal(row.turn, 2);
    assert_int_equal(row.think_ns, 250000000);
    assert_int_equal(row.elapsed_ns, 10000000000);
    assert_int_equal(row.priority, -3);
    assert_string_equal(row.slo_class, "chat");
    assert_int_equal(row.known_tokens, 16);
    assert_true(row.failed);                    /* a response of 0 tokens */
    assert_true(
        parse(&ceil16, "{\"timestamp\":0,\"input_length\":1,\"output_length\":1,\"session_id\":null,\"failed\":true}"));
    assert_true(row.failed);
    assert_false(row.has_ids);
    assert_string_equal(row.session, "");
}

static void ids_of_the_response_go_on_behind_full_blocks(void **unused)
{
    (void)unused;
    /* 20 + 13 tokens: block 1 of 2 is the prompt's, the second holds its last 4 tokens and 12 of the response. */
    assert_true(
        parse(&ceil16,
              "{\"timestamp\":0,\"input_length\":20,\"output_length\":13,\"hash_ids\":[7],\"output_hash_ids\":[8]}"));
    assert_int_equal(row.ids.count, 2);
    assert_int_equal(row.ids.at[1], 8);
    assert_int_equal(row.known_tokens, 32);
    assert_true(
        parse(&ceil16,
              "{\"timestamp\":0,\"input_length\":20,\"output_length\":13,\"output_hash_ids\":[8,9],\"hash_ids\":[7]}"));
    assert_int_equal(row.known_tokens, 33);
    assert_false(
        parse(&ceil16,
              "{\"timestamp\":0,\"input_length\":20,\"output_length\":13,\"hash_ids\":[7,1],\"output_hash_ids\":[8]}"));
    assert_false(parse(
        &ceil16, "{\"timestamp\":0,\"input_length\":20,\"output_length\":13,\"hash_ids\":[7],\"output_hash_ids\":[]}"));
    assert_non_null(strstr(err.text, "output_hash_ids has 0 entries"));
    assert_false(parse(&ceil16, "{\"timestamp\":0,\"input_length\":20,\"output_length\":13,\"output_hash_ids\":[8]}"));
}

static void the_count_of_ids_follows_the_rule(void **unused)
{
    (void)unused;
    const char *format = "{\"timestamp\":0,\"input_length\":%d,\"output_length\":1,\"hash_ids\":[%s]}";
    static const char *const lists[] = {"", "1", "1,2", "1,2,3"};
    const struct kv_block_rule *rules[] = {&ceil16, &floor16, &prefix16};
    for (int tokens = 0; tokens <= 48; tokens++) {
        for (int count = 0; count < 4; count++) {
            char text[200];
            snprintf(text, sizeof text, format, tokens, lists[count]);
            int most = (tokens + 15) / 16;
            bool good[] = {count == most, count == tokens / 16, count <= most};
            for (int r = 0; r < 3; r++) assert_int_equal(parse(rules[r], text), good[r]);
        }
    }
    assert_false(parse(&ceil16, "{\"timestamp\":0,\"input_length\":40,\"output_length\":1,\"hash_ids\":[1,2]}"));
    assert_string_equal(err.where, "trace.jsonl:7");
    assert_string_equal(
        err.text, "hash_ids has 2 entries but input_length 40 with 16-token blocks needs 3 (is the block size right?)");
}

static void bad_rows_are_told(void **unused)
{
    (void)unused;
    const struct { const char *text, *message; } bad[] = {
        {"{\"timestamp\":0,\"timestamp\":1}", "the key 'timestamp' stands here twice"},
        {"{\"input_length\":1,\"output_length\":1}", "the row has no timestamp, arrival_s"},
        {"{\"timestamp\":0,\"output_length\":1}", "the row has no input_length"},
        {"{\"timestamp\":0,\"input_length\":1}", "the row has no output_length"},
        {"{\"timestamp\":0,\"arrival_s\":0,\"input_length\":1,\"output_length\":1}",
         "more than one of timestamp, arrival_s"},
        {"{\"timestamp\":0,\"input_length\":1,\"input_toks\":1,\"output_length\":1}", "more than one of input_length"},
        {"{\"timestamp\":-1,\"input_length\":1,\"output_length\":1}", "timestamp '-1' is negative"},
        {"{\"timestamp\":\"5\",\"input_length\":1,\"output_length\":1}",
         "timestamp: a number was expected at column 14"},
        {"{\"timestamp\":0,\"input_length\":1.5,\"output_length\":1}", "input_length '1.5' is not a whole number"},
        {"{\"timestamp\":0,\"input_length\":1e18,\"output_length\":1}", "is not a whole number"},
        {"{\"timestamp\":0,\"input_length\":2000000000,\"output_length\":1}", "is too large"},
        {"{\"timestamp\":0,\"input_length\":1,\"output_length\":1,\"failed\":1}", "failed: true or false was expected"},
        {"{\"timestamp\":0,\"input_length\":1,\"output_length\":1,\"priority\":99999999999}", "is too large"},
        {"[1,2]", "a JSON object was expected at column 1"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(parse(&ceil16, bad[i].text));
        assert_int_equal(err.code, KV_ETRACE);
        if (!strstr(err.text, bad[i].message)) fail_msg("%s: %s", bad[i].text, err.text);
    }
}

static int close_row(void **unused)
{
    (void)unused;
    kv_block_row_close(&row);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_names_of_a_field_are_read),
        cmocka_unit_test(ids_of_the_response_go_on_behind_full_blocks),
        cmocka_unit_test(the_count_of_ids_follows_the_rule),
        cmocka_unit_test(bad_rows_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, close_row);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "sim/base/rng.h"
#include "sim/lib/json.h"

/* A copy of the text with the readable bytes that the parser asks for. */
static struct kv_json start(char *buffer, size_t room, const char *text)
{
    memset(buffer, 0, room);
    strcpy(buffer, text);
    return kv_json_start(buffer, strlen(text));
}

/* Passes over every value of the object; NULL when it is good, else the fault. */
static const char *check(const char *text)
{
    static char buffer[4096];
    struct kv_json j = start(buffer, sizeof buffer, text);
    struct kv_slice key;
    if (kv_json_enter(&j)) {
        while (kv_json_key(&j, &key)) {
            if (!kv_json_skip(&j)) break;
        }
    }
    kv_json_finish(&j);
    return j.fault;
}

static void good_objects_pass(void **unused)
{
    (void)unused;
    const char *good[] = {
        "{}",
        " { } ",
        "{\"a\":1}",
        "{\"a\" : -1.5e+10 , \"b\" : [ ] }",
        "{\"a\":[[],[{}],{\"b\":[1,\"x\",null]}],\"c\":true}",
        "{\"a\":\"\\\"\\\\\\u00e9\"}",
        "{\"a\":{\"b\":{\"c\":0}},\"d\":false}",
        "{\"a\":0,\"b\":-0,\"c\":0.5}",
        "{\"a\":[1,2,[3,[4]],5],\"b\":{}}",
        "\t{\"a\":[{\"x\":1},{\"y\":2}]}",
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) assert_null(check(good[i]));
}

static void bad_objects_are_told(void **unused)
{
    (void)unused;
    const struct { const char *text, *fault; } bad[] = {
        {"", "object"},
        {"[]", "object"},
        {"{", "closing brace"},
        {"{\"a\"", "':'"},
        {"{\"a\":}", "value"},
        {"{\"a\":1", "closing brace"},
        {"{\"a\":1,}", "key"},
        {"{,}", "key"},
        {"{\"a\":1 \"b\":2}", "','"},
        {"{\"a\":01}", "malformed"},
        {"{\"a\":1.}", "malformed"},
        {"{\"a\":-}", "malformed"},
        {"{\"a\":1e}", "malformed"},
        {"{\"a\":nul}", "value"},
        {"{\"a\":True}", "value"},
        {"{\"a\":NaN}", "value"},
        {"{\"a\":\"x}", "closing quote"},
        {"{\"a\":\"x\\", "closing quote"},
        {"{\"a\":[1,]}", "value"},
        {"{\"a\":[1 2]}", "']'"},
        {"{\"a\":[1", "closing bracket"},
        {"{\"a\":[1}", "']'"},
        {"{\"a\":{\"b\"}}", "':'"},
        {"{} x", "follows"},
        {"{\"a\":1}}", "follows"},
        {"{\"a\":\"\x01\"}", "control"},
        {"{a:1}", "key"},
        {"{'a':1}", "key"},
        {"{\"a\":{,}}", "key"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *fault = check(bad[i].text);
        assert_non_null(fault);
        if (!strstr(fault, bad[i].fault)) fail_msg("%s: %s", bad[i].text, fault);
    }
}

static void objects_stand_in_lists(void **unused)
{
    (void)unused;
    /* Elements begun and numbers read up to the first fault. */
    static const struct { const char *text; int64_t elements, numbers; bool good; } cases[] = {
        {"{\"a\": []}", 0, 0, true}, {"{\"a\": [{}, {\"b\": 1}, {}], \"c\": 2}", 3, 2, true},
        {"{\"a\": [{\"b\": 1} {\"b\": 2}]}", 1, 1, false}, {"{\"a\": [{\"b\": 1},]}", 2, 1, false},
        {"{\"a\": [{\"b\": 1}", 1, 1, false}, {"{\"a\": [,{}]}", 1, 0, false}, {"{\"a\": [{}]", 1, 0, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[128] = "";
        memcpy(text, cases[i].text, strlen(cases[i].text));
        struct kv_json j = kv_json_start(text, strlen(text));
        struct kv_slice key, number;
        int64_t elements = 0, numbers = 0;
        kv_json_enter(&j);
        while (kv_json_key(&j, &key)) {
            if (kv_json_kind(&j) != KV_JSON_LIST) {
                numbers += kv_json_number(&j, &number);
                continue;
            }
            kv_json_list(&j);
            while (kv_json_element(&j)) {
                elements++;
                if (!kv_json_enter(&j)) break;
                while (kv_json_key(&j, &key)) numbers += kv_json_number(&j, &number);
            }
        }
        assert_int_equal(kv_json_finish(&j), cases[i].good);
        assert_int_equal(elements, cases[i].elements);
        assert_int_equal(numbers, cases[i].numbers);
    }
}

static void nesting_is_limited(void **unused)
{
    (void)unused;
    char text[3000] = "{\"a\":";
    for (int i = 0; i < KV_JSON_DEPTH_MAX; i++) strcat(text, "[");
    for (int i = 0; i < KV_JSON_DEPTH_MAX; i++) strcat(text, "]");
    strcat(text, "}");
    assert_null(check(text));
    strcpy(text, "{\"a\":");
    for (int i = 0; i < 2000; i++) strcat(text, "[");
    assert_string_equal(check(text), "values are nested deeper than 32");
}

static void ids_are_read_whole(void **unused)
{
    (void)unused;
    char buffer[512];
    struct kv_ids ids = {0};
    struct kv_json j = start(buffer, sizeof buffer, "[0, 1,22 ,  333,18446744073709551615]");
    assert_true(kv_json_ids(&j, &ids));
    const uint64_t expected[] = {0, 1, 22, 333, UINT64_MAX};
    assert_int_equal(ids.count, 5);
    assert_memory_equal(ids.at, expected, sizeof expected);
    assert_true(kv_json_finish(&j));
    const struct { const char *text, *fault; } bad[] = {
        {"5", "list"}, {"{}", "list"}, {"[1.5]", "whole"}, {"[-1]", "whole"}, {"[1e3]", "whole"}, {"[\"1\"]", "whole"},
        {"[18446744073709551616]", "too large"}, {"[99999999999999999999999]", "too large"}, {"[1,]", "whole"},
        {"[1", "bracket"}, {"[1 2]", "']'"}, {"[null]", "whole"}, {"[[1]]", "whole"}, {"[", "whole"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        j = start(buffer, sizeof buffer, bad[i].text);
        ids.count = 0;
        assert_false(kv_json_ids(&j, &ids));
        if (!strstr(j.fault, bad[i].fault)) fail_msg("%s: %s", bad[i].text, j.fault);
    }
    kv_vec_close(&ids);
}

static void strings_are_unescaped(void **unused)
{
    (void)unused;
    char buffer[2048], text[KV_JSON_TEXT_MAX + 1];
    struct kv_json j = start(buffer, sizeof buffer, "\"a\\n\\\"\\u00e9\\u20ac\\ud83d\\ude00/\"");
    assert_true(kv_json_text(&j, text));
    assert_string_equal(text, "a\n\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80/");
    const char *bad[] = {"\"\\u12\"", "\"\\ud83d\"", "\"\\u0000\"", "\"\\x41\"", "\"open", "12"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        j = start(buffer, sizeof buffer, bad[i]);
        assert_false(kv_json_text(&j, text));
    }
    memset(buffer, 0, sizeof buffer);
    memset(buffer, 'x', 400);
    buffer[0] = buffer[399] = '"';
    j = kv_json_start(buffer, 400);
    assert_false(kv_json_text(&j, text));
    assert_non_null(strstr(j.fault, "longer"));
}

/* No input of a few hundred thousand random ones may read out of bounds (watched by the sanitizers) or hang. */
static void random_bytes_end_with_a_verdict(void **unused)
{
    (void)unused;
    static const char alphabet[] = "{}[]\",:0123456789.eE+-\\utfnalsr \tx";
    char text[64];
    int good = 0;
    for (uint64_t i = 0; i < 200000; i++) {
        size_t length = kv_mix64_pair(i, 1) % 24;
        for (size_t c = 0; c < length; c++) text[c] = alphabet[kv_mix64_pair(i, c + 2) % (sizeof alphabet - 1)];
        text[length] = '\0';
        if (i % 2 && length > 0) text[0] = '{';
        if (i % 4 == 1 && length > 1) text[length - 1] = '}';
        good += check(text) == NULL;
    }
    assert_in_range(good, 1, 100000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_objects_pass),
        cmocka_unit_test(bad_objects_are_told),
        cmocka_unit_test(objects_stand_in_lists),
        cmocka_unit_test(nesting_is_limited),
        cmocka_unit_test(ids_are_read_whole),
        cmocka_unit_test(strings_are_unescaped),
        cmocka_unit_test(random_bytes_end_with_a_verdict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

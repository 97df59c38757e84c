/* SPDX-License-Identifier: Apache-2.0 */
/* The tree: positions, kinds, what is refused, --set, merging. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "sim/conf/yaml.h"
#include "tests/support/arena.h"

static struct kv_diag diag;

static int close_all(void **state)
{
    (void)state;
    kv_arena_close(&arena);
    kv_diag_close(&diag);
    return 0;
}

static struct kv_yaml *parse(const char *text)
{
    return kv_yaml_parse(&arena, "f", text, strlen(text), &diag);
}

static void nodes_know_where_they_stand(void **state)
{
    (void)state;
    struct kv_yaml *root = parse("a: 1\nb:\n  - {c: two, d: [x]}\n  - \"q\"\n");
    assert_non_null(root);
    struct kv_yaml *b = kv_yaml_get(root, "b"), *item = b->child, *d = kv_yaml_get(item, "d");
    assert_int_equal(b->kind, KV_YAML_LIST);
    assert_int_equal(b->count, 2);
    assert_int_equal(b->key_pos.line, 2);
    assert_int_equal(item->kind, KV_YAML_MAP);
    assert_int_equal(item->pos.line, 3);
    assert_int_equal(item->pos.column, 5);
    assert_int_equal(d->key_pos.column, 14);
    assert_int_equal(d->child->pos.column, 18);
    assert_int_equal(kv_yaml_get(item, "c")->pos.width, 3);
    assert_string_equal(kv_yaml_path(&arena, d->child), "b[0].d[0]");
    assert_true(b->child->next->quoted);
    assert_string_equal(b->child->next->text, "q");
    assert_string_equal(d->pos.file, "f");
    assert_true(d->used);
    assert_false(d->child->used);
    assert_null(kv_yaml_get(root, "zz"));
    assert_null(kv_yaml_get(b, "a"));
    assert_null(kv_yaml_get(NULL, "a"));
}

static void null_is_a_kind_of_its_own(void **state)
{
    (void)state;
    struct kv_yaml *root = parse("a:\nb: ~\nc: null\nd: \"null\"\ne: ''\n");
    assert_int_equal(kv_yaml_get(root, "a")->kind, KV_YAML_NULL);
    assert_int_equal(kv_yaml_get(root, "b")->kind, KV_YAML_NULL);
    assert_int_equal(kv_yaml_get(root, "c")->kind, KV_YAML_NULL);
    assert_int_equal(kv_yaml_get(root, "d")->kind, KV_YAML_SCALAR);
    assert_int_equal(kv_yaml_get(root, "e")->kind, KV_YAML_SCALAR);
}

static void bad_texts_are_refused_in_place(void **state)
{
    (void)state;
    static const struct { const char *text; int32_t line, column; const char *part; } row[] = {
        {"", 0, 0, "empty"}, {"# c\n", 0, 0, "empty"}, {"a: [1,\n", 1, 7, "did not find expected node content"},
        {"x: {a: [1,\n", 1, 11, "that began at 1:"}, {"\tb: 1\n", 1, 1, "cannot start any token"},
        {"a: 1\n---\nb: 2\n", 2, 1, "second document"}, {"a: !!int 5\n", 1, 4, "tags"},
        {"a: *x\n", 1, 4, "names no anchor"},
        {"a: &x [*x]\n", 1, 8, "inside its own anchor"}, {"? [1]\n: 2\n", 1, 3, "a key must be a plain word"},
        {"{a: 1}: 2\n", 1, 1, "a key must be a plain word"}, {"<<: {a: 1}\n", 1, 1, "merge keys"},
        {"a: \x01\n", 1, 4, "byte 0x01"}, {"a: \xff\xfe\n", 1, 4, "byte 0xff"}, {"a: \xc3", 1, 4, "byte 0xc3"},
        {"a: \xed\xa0\x80\n", 1, 4, ""}, {"a: 'b\n", 1, 6, "quoted scalar"}, {"a: b: c\n", 1, 5, "mapping values"},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct kv_diag d = {0};
        struct kv_yaml *root = kv_yaml_parse(&arena, "f", row[i].text, strlen(row[i].text), &d);
        if (root || d.errors != 1) fail_msg("\"%s\": %d errors", row[i].text, d.errors);
        const struct kv_note *n = &d.note.at[0];
        if (n->pos.line != row[i].line || (row[i].line && *row[i].part && n->pos.column != row[i].column)
            || !strstr(n->text, row[i].part))
            fail_msg("\"%s\": %d:%d %s", row[i].text, n->pos.line, n->pos.column, n->text);
        kv_diag_close(&d);
    }
}

static void duplicate_keys_are_all_told_and_the_first_counts(void **state)
{
    (void)state;
    struct kv_diag d = {0};
    const char *text = "a: {x: 1, x: 2}\nb: 1\na: {x: [9]}\nb: 3\n";
    struct kv_yaml *root = kv_yaml_parse(&arena, "f", text, strlen(text), &d);
    assert_int_equal(d.errors, 3);
    assert_string_equal(d.note.at[1].text, "duplicate key 'a' (first at 1:1)");
    assert_int_equal(d.note.at[1].pos.line, 3);
    assert_string_equal(kv_yaml_get(kv_yaml_get(root, "a"), "x")->text, "1");
    assert_int_equal(root->count, 2);
    kv_diag_close(&d);
}

static void aliases_are_copies_within_limits(void **state)
{
    (void)state;
    struct kv_yaml *root = parse("a: &x {k: [1, 2]}\nb: *x\n");
    assert_int_equal(kv_yaml_get(kv_yaml_get(root, "b"), "k")->count, 2);
    assert_string_equal(kv_yaml_path(&arena, kv_yaml_get(kv_yaml_get(root, "b"), "k")->child), "b.k[0]");
    assert_ptr_not_equal(kv_yaml_get(root, "a"), kv_yaml_get(root, "b"));

    struct kv_diag d = {0};
    char bomb[2000] = "a0: &a0 [x, x]\n";
    for (int32_t i = 1; i < 40; i++) {
        char line[64];
        snprintf(line, sizeof line, "a%d: &a%d [*a%d, *a%d]\n", i, i, i - 1, i - 1);
        strncat(bomb, line, sizeof bomb - strlen(bomb) - 1);
    }
    struct kv_arena local = {0};
    assert_null(kv_yaml_parse(&local, "f", bomb, strlen(bomb), &d));
    assert_string_equal(d.note.at[0].text, "this alias makes the file expand to more than 100000 values");
    kv_arena_close(&local);
    kv_diag_close(&d);
}

static void nesting_is_limited(void **state)
{
    (void)state;
    char text[300] = "";
    struct kv_diag d = {0};
    memset(text, '[', 63);
    memset(text + 63, ']', 63);
    assert_non_null(kv_yaml_parse(&arena, "f", text, strlen(text), &d));
    memset(text, '[', 65);
    memset(text + 65, ']', 65);
    assert_null(kv_yaml_parse(&arena, "f", text, strlen(text), &d));
    assert_int_equal(d.note.at[0].pos.column, 65);
    kv_diag_close(&d);
}

static void set_changes_makes_and_removes(void **state)
{
    (void)state;
    struct kv_yaml *root = parse("a: {b: 1}\nlist:\n  - {x: 1}\n");
    struct kv_diag d = {0};
    assert_true(kv_yaml_set(&arena, root, "a.b", "2", 1, &d));
    assert_true(kv_yaml_set(&arena, root, "a.c.d", "{e: [5]}", 2, &d));
    assert_true(kv_yaml_set(&arena, root, "list[0].x", "7", 3, &d));
    assert_true(kv_yaml_set(&arena, root, "list[1]", "{x: 8}", 4, &d));
    assert_true(kv_yaml_set(&arena, root, "new[0].y", "9", 5, &d));
    struct kv_yaml *a = kv_yaml_get(root, "a"), *b = kv_yaml_get(a, "b");
    assert_string_equal(b->text, "2");
    assert_int_equal(b->origin, KV_FROM_SET);
    assert_string_equal(b->pos.file, "<--set #1>");
    assert_int_equal(b->pos.column, 5);
    assert_int_equal(a->count, 2);
    struct kv_yaml *five = kv_yaml_get(kv_yaml_get(kv_yaml_get(a, "c"), "d"), "e")->child;
    assert_int_equal(five->pos.column, 12);
    assert_string_equal(kv_yaml_path(&arena, five), "a.c.d.e[0]");
    struct kv_yaml *list = kv_yaml_get(root, "list");
    assert_string_equal(kv_yaml_get(list->child, "x")->text, "7");
    assert_string_equal(kv_yaml_get(list->child->next, "x")->text, "8");
    assert_string_equal(kv_yaml_get(kv_yaml_get(root, "new")->child, "y")->text, "9");
    assert_true(kv_yaml_set(&arena, root, "a.b", "null", 6, &d));
    assert_true(kv_yaml_set(&arena, root, "a.nothing", "", 7, &d));
    assert_null(kv_yaml_get(a, "b"));
    assert_int_equal(a->count, 1);
    assert_int_equal(d.errors, 0);
    static const struct { const char *key, *value, *part; } bad[] = {
        {"a..b", "1", "not a key path"}, {"", "1", "not a key path"}, {"[0]", "1", "not a key path"},
        {"list[3]", "1", "list has 2 entries"}, {"list.x", "1", "list is not a map"},
        {"a[0]", "1", "a is not a list"},
        {"list[x]", "1", "not a key path"}, {"list[99999999999]", "1", "not a key path"},
        {"a.c", "[", "did not find"},
        {"fresh[1].x", "1", "has 0 entries"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int32_t before = d.errors;
        assert_false(kv_yaml_set(&arena, root, bad[i].key, bad[i].value, 8, &d));
        assert_int_equal(d.errors, before + 1);
        const char *text = d.note.at[d.note.count - 1].text;
        if (!strstr(text, bad[i].part)) fail_msg("%s=%s: %s", bad[i].key, bad[i].value, text);
    }
    assert_null(kv_yaml_get(root, "fresh"));
    kv_diag_close(&d);
}

static void merging_goes_key_by_key(void **state)
{
    (void)state;
    struct kv_yaml *base = parse("a: {x: 1, y: 2, z: 3}\nl: [1, 2]\nkeep: 1\n");
    struct kv_yaml *over = parse("a: {y: 20, z: null, n: 4}\nl: [9]\nnew: {k: v}\n");
    struct kv_yaml *m = kv_yaml_merge(&arena, base, over), *a = kv_yaml_get(m, "a");
    assert_string_equal(kv_yaml_get(a, "x")->text, "1");
    assert_string_equal(kv_yaml_get(a, "y")->text, "20");
    assert_null(kv_yaml_get(a, "z"));
    assert_string_equal(kv_yaml_get(a, "n")->text, "4");
    assert_int_equal(a->count, 3);
    assert_int_equal(kv_yaml_get(m, "l")->count, 1);
    assert_string_equal(kv_yaml_get(m, "keep")->text, "1");
    assert_string_equal(kv_yaml_path(&arena, kv_yaml_get(kv_yaml_get(m, "new"), "k")), "new.k");
    assert_int_equal(m->count, 4);
}

static void large_inputs_are_refused(void **state)
{
    (void)state;
    struct kv_diag d = {0};
    size_t size = (4 << 20) + 1;
    char *text = kv_mem_take(size);
    memset(text, ' ', size);
    assert_null(kv_yaml_parse(&arena, "f", text, size, &d));
    assert_non_null(strstr(d.note.at[0].text, "4 MiB"));
    kv_mem_give(text, size);
    kv_diag_close(&d);
}

static void a_byte_order_mark_and_crlf_do_not_matter(void **state)
{
    (void)state;
    struct kv_yaml *root = parse("\xef\xbb\xbf" "a: 1\r\nb: 2\r\n");
    assert_string_equal(kv_yaml_get(root, "a")->text, "1");
    assert_string_equal(kv_yaml_get(root, "b")->text, "2");
    assert_int_equal(kv_yaml_get(root, "a")->key_pos.column, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_know_where_they_stand), cmocka_unit_test(null_is_a_kind_of_its_own),
        cmocka_unit_test(bad_texts_are_refused_in_place),
        cmocka_unit_test(duplicate_keys_are_all_told_and_the_first_counts),
        cmocka_unit_test(aliases_are_copies_within_limits), cmocka_unit_test(nesting_is_limited),
        cmocka_unit_test(set_changes_makes_and_removes), cmocka_unit_test(merging_goes_key_by_key),
        cmocka_unit_test(large_inputs_are_refused), cmocka_unit_test(a_byte_order_mark_and_crlf_do_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, close_all);
}

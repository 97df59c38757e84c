/* SPDX-License-Identifier: Apache-2.0 */
/* Binding a map to a struct by its table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "sim/conf/bind.h"

struct pipe { double rate_bps, delay_s; int64_t count, mode; bool on; const char *name; };
static const char *const modes[] = {"fast", "slow", NULL};
static const struct kv_param params[] = {
    { "rate", KV_DIM_BITS_PER_S, offsetof(struct pipe, rate_bps), NULL, 1, 1e15, NULL, "payload rate", NULL },
    { "delay", KV_DIM_TIME, offsetof(struct pipe, delay_s), "5us", 0, 1, NULL, "one way", NULL },
    { "count", KV_DIM_COUNT, offsetof(struct pipe, count), "3", 1, 10, NULL, "how many", NULL },
    { "mode", KV_DIM_CHOICE, offsetof(struct pipe, mode), "slow", 0, 0, modes, "how", NULL },
    { "on", KV_DIM_BOOL, offsetof(struct pipe, on), "true", 0, 0, NULL, "whether", NULL },
    { "name", KV_DIM_TEXT, offsetof(struct pipe, name), "p", 0, 0, NULL, "a name", NULL },
    KV_PARAM_END
};

struct fixture { struct kv_arena arena; struct kv_diag diag; struct pipe pipe; struct kv_yaml *map; bool good; };

static void bind(struct fixture *f, const char *text)
{
    f->map = kv_yaml_parse(&f->arena, "f", text, strlen(text), &f->diag);
    f->good = kv_bind(&f->arena, f->map, "pipe", params, &f->pipe, &f->diag);
}

static void end(struct fixture *f)
{
    kv_arena_close(&f->arena);
    kv_diag_close(&f->diag);
}

static void values_and_defaults_are_filled_in(void **state)
{
    (void)state;
    struct fixture f = {0};
    bind(&f, "{rate: 10Gbps, count: 7, on: false}");
    assert_true(f.good);
    assert_true(f.pipe.rate_bps == 10e9 && f.pipe.delay_s == 5e-6);
    assert_int_equal(f.pipe.count, 7);
    assert_int_equal(f.pipe.mode, 1);
    assert_false(f.pipe.on);
    assert_string_equal(f.pipe.name, "p");
    end(&f);
}

static void defaults_become_nodes(void **state)
{
    (void)state;
    struct fixture f = {0};
    bind(&f, "{rate: 10Gbps}");
    assert_int_equal(f.map->count, 6);
    assert_int_equal(kv_yaml_get(f.map, "delay")->origin, KV_FROM_DEFAULT);
    assert_string_equal(kv_yaml_get(f.map, "delay")->text, "5us");
    assert_int_equal(kv_yaml_get(f.map, "rate")->origin, KV_FROM_FILE);
    assert_true(kv_bind_unknown(f.map, "pipe", params, NULL, NULL, &f.diag));
    end(&f);
}

static void every_problem_is_noted_and_the_default_stands_in(void **state)
{
    (void)state;
    struct fixture f = {0};
    bind(&f, "{delay: 5, count: 11, mode: [fast], on: yes, name: }");
    assert_false(f.good);
    assert_int_equal(f.diag.errors, 6);   /* the missing rate first */
    assert_string_equal(f.diag.note.at[1].text,
                        "pipe.delay: '5' needs a unit (accepted: ns, us, ms, s, min, h, d); e.g. 75us");
    assert_string_equal(f.diag.note.at[2].text, "pipe.count: '11' is out of range (1 to 10)");
    assert_string_equal(f.diag.note.at[3].text, "pipe.mode: found a list, expected one of a few words");
    assert_true(f.pipe.delay_s == 5e-6);
    assert_int_equal(f.pipe.count, 3);
    end(&f);
}

static void a_missing_key_without_default_is_an_error(void **state)
{
    (void)state;
    struct fixture f = {0};
    bind(&f, "{count: 2}");
    assert_false(f.good);
    assert_string_equal(f.diag.note.at[0].text, "pipe.rate: missing (payload rate); it has no default");
    end(&f);
}

static void no_map_means_all_defaults(void **state)
{
    (void)state;
    struct kv_arena arena = {0};
    struct kv_diag diag = {0};
    struct pipe pipe = {0};
    assert_true(kv_bind(&arena, NULL, "pipe", params + 1, &pipe, &diag));
    assert_int_equal(pipe.count, 3);
    kv_arena_close(&arena);
    kv_diag_close(&diag);
}

static void another_kind_than_a_map_is_an_error(void **state)
{
    (void)state;
    struct fixture f = {0};
    bind(&f, "[1, 2]");
    assert_false(f.good);
    assert_string_equal(f.diag.note.at[0].text, "pipe: found a list, expected a map of keys");
    end(&f);
}

static const char *elsewhere(const char *key)
{
    return strcmp(key, "capacity") ? NULL : "tiers[]";
}

static void unknown_keys_get_the_best_hint(void **state)
{
    (void)state;
    struct fixture f = {0};
    static const char *const others[] = {"special", NULL};
    bind(&f, "{rate: 1Gbps, cuont: 2, speciall: 1, capacity: 5, zzzzz: 1}");
    assert_true(f.good);
    assert_false(kv_bind_unknown(f.map, "pipe", params, others, elsewhere, &f.diag));
    assert_int_equal(f.diag.errors, 4);
    assert_string_equal(f.diag.note.at[0].text, "unknown key 'cuont' in pipe");
    assert_string_equal(f.diag.note.at[0].hint, "did you mean 'count'?");
    assert_string_equal(f.diag.note.at[1].hint, "did you mean 'special'?");
    assert_string_equal(f.diag.note.at[2].hint, "this key belongs to tiers[]");
    assert_string_equal(f.diag.note.at[3].hint, "known keys: rate, delay, count, mode, on, name, special");
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_defaults_are_filled_in), cmocka_unit_test(defaults_become_nodes),
        cmocka_unit_test(every_problem_is_noted_and_the_default_stands_in),
        cmocka_unit_test(a_missing_key_without_default_is_an_error), cmocka_unit_test(no_map_means_all_defaults),
        cmocka_unit_test(another_kind_than_a_map_is_an_error), cmocka_unit_test(unknown_keys_get_the_best_hint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

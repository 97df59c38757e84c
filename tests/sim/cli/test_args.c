/* SPDX-License-Identifier: Apache-2.0 */
/* The parser of the command line. The library that tests link holds no part of the program's own folder, so the
 * file under test is included. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sim/cli/args.c"   /* NOLINT */

static const struct kv_flag flags[] = {
    { "set", 0, KV_FLAG_REPEAT, "KEY=VALUE", "" },
    { "output", 'o', KV_FLAG_TEXT, "FILE", "" },
    { "seed", 0, KV_FLAG_COUNT, "N", "" },
    { "time-limit", 0, KV_FLAG_TIME, "TIME", "" },
    { "memory-limit", 0, KV_FLAG_BYTES, "SIZE", "" },
    { "force", 0, KV_FLAG_SWITCH, NULL, "" },
    { NULL, 0, KV_FLAG_SWITCH, NULL, NULL },
};
static const struct kv_command command = { .name = "run", .usage = "FILE", .help = "", .flags = flags, .arg_min = 1,
                                           .arg_max = 2 };
static const struct kv_command trace_info = { .name = "trace info", .usage = "", .help = "" };
static const struct kv_command trace_head = { .name = "trace head", .usage = "", .help = "" };
static const struct kv_command check = { .name = "config check", .usage = "", .help = "" };
static const struct kv_command version = { .name = "version", .usage = "", .help = "" };
static const struct kv_command *const table[] = { &command, &trace_info, &trace_head, &check, &version, NULL };

#define WORDS(...) (int32_t)(sizeof (const char *[]){ __VA_ARGS__ } / sizeof (char *)), (const char *[]){ __VA_ARGS__ }

static void good(struct kv_args *args, int32_t count, const char *const *word)
{
    struct kv_err err;
    bool parsed = kv_args_parse(args, &command, count, word, &err);
    if (!parsed) fail_msg("%s", err.text);
}

static void bad(const char *text, int32_t count, const char *const *word)
{
    struct kv_args args;
    struct kv_err err;
    assert_false(kv_args_parse(&args, &command, count, word, &err));
    assert_int_equal(err.code, KV_EUSAGE);
    assert_string_equal(err.where, "run");
    if (!strstr(err.text, text)) fail_msg("'%s' is not in '%s'", text, err.text);
    kv_args_close(&args);
}

static void values_are_taken_from_both_spellings(void **state)
{
    (void)state;
    struct kv_args args;
    good(&args, WORDS("a.yaml", "--seed", "7", "--time-limit=90min", "-oX.h5", "--memory-limit", "4GiB"));
    assert_int_equal(args.arg_count, 1);
    assert_string_equal(args.arg[0], "a.yaml");
    assert_int_equal(kv_args_get(&args, "seed")->number, 7);
    assert_true(kv_args_get(&args, "time-limit")->seconds == 5400);
    assert_string_equal(kv_args_get(&args, "output")->text, "X.h5");
    assert_true(kv_args_get(&args, "memory-limit")->number == INT64_C(4) << 30);
    assert_false(kv_args_has(&args, "force"));
    kv_args_close(&args);
    good(&args, WORDS("-o", "Y.h5", "--force", "a.yaml", "b.yaml"));
    assert_string_equal(kv_args_get(&args, "output")->text, "Y.h5");
    assert_true(kv_args_has(&args, "force"));
    assert_int_equal(args.arg_count, 2);
    kv_args_close(&args);
}

static void repeated_flags_keep_their_order(void **state)
{
    (void)state;
    struct kv_args args;
    good(&args, WORDS("--set", "a=1", "x", "--set=b=2", "--set", "a=3"));
    assert_string_equal(kv_args_nth(&args, "set", 0)->text, "a=1");
    assert_string_equal(kv_args_nth(&args, "set", 1)->text, "b=2");
    assert_string_equal(kv_args_nth(&args, "set", 2)->text, "a=3");
    assert_null(kv_args_nth(&args, "set", 3));
    kv_args_close(&args);
}

static void two_dashes_end_the_flags_and_one_is_an_argument(void **state)
{
    (void)state;
    struct kv_args args;
    good(&args, WORDS("-", "--", "--force"));
    assert_int_equal(args.arg_count, 2);
    assert_string_equal(args.arg[0], "-");
    assert_string_equal(args.arg[1], "--force");
    assert_false(kv_args_has(&args, "force"));
    kv_args_close(&args);
}

static void a_value_may_look_like_a_flag(void **state)
{
    (void)state;
    struct kv_args args;
    good(&args, WORDS("x", "-o", "--force"));
    assert_string_equal(kv_args_get(&args, "output")->text, "--force");
    assert_false(kv_args_has(&args, "force"));
    kv_args_close(&args);
}

static void help_is_given_whatever_is_missing(void **state)
{
    (void)state;
    struct kv_args args;
    good(&args, WORDS("--help"));
    assert_true(kv_args_has(&args, "help"));
    kv_args_close(&args);
    good(&args, WORDS("-h", "--color", "never"));
    assert_true(kv_args_has(&args, "help"));
    kv_args_close(&args);
}

static void every_wrong_line_is_a_usage_error(void **state)
{
    (void)state;
    bad("unknown flag '--outptu'; did you mean '--output'?", WORDS("x", "--outptu", "f"));
    bad("unknown flag '--forc'", WORDS("x", "--forc"));   /* no abbreviations */
    bad("did you mean '--force'?", WORDS("x", "--forc"));
    bad("unknown flag '--zzzzzz'", WORDS("x", "--zzzzzz=1"));
    bad("unknown flag '-z'", WORDS("x", "-z"));
    bad("--force takes no value", WORDS("x", "--force=yes"));
    bad("--output needs a value", WORDS("x", "--output"));
    bad("--seed was given twice", WORDS("x", "--seed", "1", "--seed=1"));
    bad("missing argument", WORDS("--force"));
    bad("unexpected argument 'c'", WORDS("a", "b", "c"));
    bad("--seed -1", WORDS("x", "--seed", "-1"));
    bad("--seed 1.5", WORDS("x", "--seed", "1.5"));
    bad("--seed ", WORDS("x", "--seed="));
    bad("--seed 99999999999999999999", WORDS("x", "--seed", "99999999999999999999"));
    bad("--time-limit 5", WORDS("x", "--time-limit", "5"));   /* a time needs a unit */
    bad("--time-limit -5s", WORDS("x", "--time-limit", "-5s"));
    bad("--memory-limit lots", WORDS("x", "--memory-limit", "lots"));
}

static const struct kv_command *find(int32_t count, const char *const *word, int32_t *used, struct kv_err *err)
{
    *used = 0;
    return kv_command_find(table, count, word, used, err);
}

static void commands_are_found_by_their_words(void **state)
{
    (void)state;
    struct kv_err err;
    int32_t used;
    assert_ptr_equal(find(WORDS("run", "x"), &used, &err), &command);
    assert_int_equal(used, 1);
    assert_ptr_equal(find(WORDS("trace", "head", "x"), &used, &err), &trace_head);
    assert_int_equal(used, 2);
    assert_ptr_equal(find(WORDS("validate", "x"), &used, &err), &check);
    assert_int_equal(used, 1);
    assert_ptr_equal(find(WORDS("--version"), &used, &err), &version);
}

static void lost(const char *text, int32_t count, const char *const *word)
{
    struct kv_err err;
    int32_t used;
    assert_null(find(count, word, &used, &err));
    assert_int_equal(err.code, KV_EUSAGE);
    if (!strstr(err.text, text)) fail_msg("'%s' is not in '%s'", text, err.text);
}

static void an_unknown_command_names_the_nearest(void **state)
{
    (void)state;
    lost("unknown command 'rnu'; did you mean 'run'?", WORDS("rnu"));
    lost("unknown command 'rub'; did you mean 'run'?", WORDS("rub", "x.yaml"));
    lost("did you mean 'info'?; known: info, head", WORDS("trace", "inof"));
    lost("say which: info, head", WORDS("trace"));
    lost("did you mean 'validate'?", WORDS("validat"));
    lost("unknown command 'frobnicate'", WORDS("frobnicate"));
    lost("unknown command 'ru'", WORDS("ru"));   /* no abbreviations of commands either */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_taken_from_both_spellings),
        cmocka_unit_test(repeated_flags_keep_their_order),
        cmocka_unit_test(two_dashes_end_the_flags_and_one_is_an_argument),
        cmocka_unit_test(a_value_may_look_like_a_flag),
        cmocka_unit_test(help_is_given_whatever_is_missing),
        cmocka_unit_test(every_wrong_line_is_a_usage_error),
        cmocka_unit_test(commands_are_found_by_their_words),
        cmocka_unit_test(an_unknown_command_names_the_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

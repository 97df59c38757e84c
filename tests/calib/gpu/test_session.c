/* SPDX-License-Identifier: Apache-2.0 */
/* Rounds, budget, breaks and samples of kvsim-calib-gpu, over a clock and a measurer that are made up. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "calib/gpu/point.c"
#include "calib/gpu/samples.c"
#include "calib/gpu/session.c"
#include "calib/gpu/visits.c"
#include "tests/support/arena.h"

static volatile sig_atomic_t stop;

/* A device on which a visit takes as long as it is told to. */
struct device {
    double now_s, visit_s;
    int32_t visits, stop_at, fail_at;        /* counted from 1; 0: never */
    enum kv_gpu_op missing, wrong;           /* KV_GPU_OPS: none */
    int32_t seen[8];
};

static double now_of(void *state) { return ((struct device *)state)->now_s; }

static enum kv_gpu_outcome measure(void *state, const struct kv_gpu_point *p, struct kv_gpu_result *r,
                                   struct kv_err *err)
{
    struct device *d = state;
    d->now_s += d->visit_s;
    if (p->op == d->missing) return kv_fail(err, KV_ENOHW, "", "no such thing"), KV_GPU_LEFT_OUT;
    if (p->op == d->wrong) return kv_fail(err, KV_ECHECK, "", "it is wrong"), KV_GPU_WRONG;
    if (++d->visits == d->fail_at) return kv_fail(err, KV_EIO, "CUDA", "the device is gone"), KV_GPU_FAILED;
    if (d->visits == d->stop_at) stop = 1;
    d->seen[p->x[1] % 8]++;
    /* 1, 2, 3 .. us in turn, so that medians show. */
    *r = (struct kv_gpu_result){ .time_s = (double)p->x[0] * 1e-6 * d->visits, .spread_s = 1e-8, .batches = 7,
                                 .sm_MHz = 1000 + 10 * d->visits, .throttle = d->visits == 2 ? "power" : "none" };
    return KV_GPU_MEASURED;
}

static const char *folder;
static struct kv_gpu_point points[8];

/* Eight points: numbers 1 0, 1 1, .. of the kinds given in turn. */
static struct kv_gpu_session session(struct kv_gpu_measurer *m, struct device *d, enum kv_gpu_op first,
                                     enum kv_gpu_op second)
{
    *m = (struct kv_gpu_measurer){ d, now_of, measure };
    for (int32_t i = 0; i < 8; i++)
        points[i] = (struct kv_gpu_point){ .op = i % 2 ? second : first, .x = {1, i}, .rank = i / 2 };
    stop = 0;
    return (struct kv_gpu_session){
        .arena = &arena, .measurer = m, .point = points, .count = 8, .visits_wanted = 3, .budget_s = 1e9, .stop = &stop,
        .path = kv_arena_text(&arena, "%s/visits.csv", folder),
    };
}

static int in_new_folder(void **state)
{
    (void)state;
    char name[] = "/tmp/kv_gpu_XXXXXX";
    folder = mkdtemp(name) ? kv_arena_copy(&arena, name, strlen(name)) : NULL;
    return folder ? 0 : -1;
}

static int remove_folder(void **state)
{
    static const char *const file[] = {"visits.csv", "samples.yaml", "elementwise.csv", "sm_share.csv", "gemm.csv"};
    (void)state;
    for (size_t i = 0; i < sizeof file / sizeof *file; i++) unlink(kv_arena_text(&arena, "%s/%s", folder, file[i]));
    return rmdir(folder);
}

static char *text_in(const char *name)
{
    char *text = kv_arena_take(&arena, 1 << 16);
    FILE *f = fopen(kv_arena_text(&arena, "%s/%s", folder, name), "r");
    if (!f) return NULL;
    text[fread(text, 1, (1 << 16) - 1, f)] = 0;
    fclose(f);
    return text;
}

static int32_t lines_of(const char *text)
{
    int32_t lines = 0;
    for (; *text; text++) lines += *text == '\n';
    return lines;
}

static void run(struct kv_gpu_session *s)
{
    struct kv_err err = {0};
    if (!kv_gpu_session_resume(s, &err) || !kv_gpu_session_measure(s, &err)) fail_msg("%s: %s", err.where, err.text);
}

static void every_point_is_visited_as_often_as_wanted_in_rounds(void **state)
{
    (void)state;
    struct device d = { .visit_s = 0.01, .missing = KV_GPU_OPS, .wrong = KV_GPU_OPS };
    struct kv_gpu_measurer m;
    struct kv_gpu_session s = session(&m, &d, KV_GPU_NORM, KV_GPU_SILU);
    run(&s);
    assert_int_equal(s.measured, 24);
    assert_false(s.timed_out);
    for (int32_t i = 0; i < 8; i++) assert_int_equal(d.seen[i], 3);
    /* Round by round, each in the order of the plan. */
    for (size_t i = 0; i < 24; i++) {
        assert_int_equal(s.visits.at.at[i].round, 1 + i / 8);
        assert_int_equal(s.visits.at.at[i].point.x[1], i % 8);
    }
    assert_int_equal(lines_of(text_in("visits.csv")), 25);
    kv_gpu_session_close(&s);
}

static void a_budget_is_kept_and_the_first_points_get_it(void **state)
{
    (void)state;
    struct device d = { .visit_s = 1, .missing = KV_GPU_OPS, .wrong = KV_GPU_OPS };
    struct kv_gpu_measurer m;
    struct kv_gpu_session s = session(&m, &d, KV_GPU_NORM, KV_GPU_SILU);
    s.budget_s = 4.5;
    run(&s);
    assert_true(s.timed_out);
    assert_int_equal(s.measured, 5);   /* a visit may end after the budget, none begins there */
    for (int32_t i = 0; i < 8; i++) assert_int_equal(d.seen[i], i < 5);
    kv_gpu_session_close(&s);
    /* A point that would take longer than what is left is passed over, the small ones behind it are not. */
    d.now_s = 0;
    d.visit_s = 0.1;
    s = session(&m, &d, KV_GPU_NORM, KV_GPU_SILU);
    points[5] = (struct kv_gpu_point){ .op = KV_GPU_GEMM, .x = {16384, 16384, 16384} };
    s.visits_wanted = 1;
    s.budget_s = 1;
    assert_true(kv_gpu_visit_most_s(&points[5]) > 1);
    run(&s);
    assert_true(s.timed_out);
    assert_int_equal(s.measured, 2);
    assert_true(points[6].visits == 1 && points[7].visits == 1 && points[5].visits == 0);
    kv_gpu_session_close(&s);
}

static void a_break_loses_nothing_and_the_same_command_goes_on(void **state)
{
    (void)state;
    struct device d = { .visit_s = 1, .stop_at = 11, .missing = KV_GPU_OPS, .wrong = KV_GPU_OPS };
    struct kv_gpu_measurer m;
    struct kv_gpu_session s = session(&m, &d, KV_GPU_NORM, KV_GPU_SILU);
    run(&s);
    assert_int_equal(s.measured, 11);
    kv_gpu_session_close(&s);
    /* The line that was being written when the machine went down. */
    FILE *f = fopen(s.path, "a");
    assert_non_null(f);
    fprintf(f, "rmsnorm,bf16,,1,0,0");
    fclose(f);
    d.stop_at = 0;
    s = session(&m, &d, KV_GPU_NORM, KV_GPU_SILU);
    run(&s);
    assert_int_equal(s.measured, 13);
    assert_int_equal(s.visits.at.count, 24);
    for (int32_t i = 0; i < 8; i++) assert_int_equal(d.seen[i], 3);
    kv_gpu_session_close(&s);
    s = session(&m, &d, KV_GPU_NORM, KV_GPU_SILU);
    run(&s);
    assert_int_equal(s.measured, 0);
    kv_gpu_session_close(&s);
}

static void what_is_missing_or_wrong_is_left_out_and_told_once(void **state)
{
    (void)state;
    struct device d = { .visit_s = 0.01, .missing = KV_GPU_OPS, .wrong = KV_GPU_SILU };
    struct kv_gpu_measurer m;
    struct kv_gpu_session s = session(&m, &d, KV_GPU_NORM, KV_GPU_SILU);
    run(&s);
    assert_true(s.wrong);
    assert_int_equal(s.left_out, 4);   /* all of its kind, after the first */
    assert_int_equal(s.measured, 12);
    assert_int_equal(s.reason.count, 1);
    assert_string_equal(s.reason.at[0], "it is wrong");
    kv_gpu_session_close(&s);
    unlink(s.path);
    d = (struct device){ .visit_s = 0.01, .missing = KV_GPU_NORM, .wrong = KV_GPU_OPS };
    s = session(&m, &d, KV_GPU_NORM, KV_GPU_SILU);
    run(&s);
    assert_false(s.wrong);
    assert_int_equal(s.left_out, 4);
    assert_int_equal(s.reason.count, 1);
    kv_gpu_session_close(&s);
}

static void a_device_that_fails_ends_the_session_and_leaves_what_there_is(void **state)
{
    (void)state;
    struct device d = { .visit_s = 0.01, .fail_at = 6, .missing = KV_GPU_OPS, .wrong = KV_GPU_OPS };
    struct kv_gpu_measurer m;
    struct kv_gpu_session s = session(&m, &d, KV_GPU_NORM, KV_GPU_SILU);
    struct kv_err err = {0};
    assert_true(kv_gpu_session_resume(&s, &err));
    assert_false(kv_gpu_session_measure(&s, &err));
    assert_string_equal(err.text, "the device is gone");
    assert_int_equal(lines_of(text_in("visits.csv")), 6);
    kv_gpu_session_close(&s);
}

static void damaged_visits_are_told_by_row(void **state)
{
    (void)state;
    static const struct { const char *row, *text; } bad[] = {
        {"rmsnorm,bf16,,1,2,0,0,0,0,0,0,7,0,0,none,1", "expected a time above 0"},
        {"rmsnorm,bf16,,1,2,0,0,0,0,5,x,7,0,0,none,1", "spread_us: 'x'"},
        {"norm,bf16,,1,2,0,0,0,0,5,0,7,0,0,none,1", "found 'norm' of 'bf16'"},
        {"copy,bf16,,4,2,0,0,0,0,5,0,7,0,0,none,1", "no point of copy has"},
        {"two_layers,bf16,,4,2,0,0,0,0,5,0,7,0,0,none,1", "no point of two_layers has"},
        {"rmsnorm,bf16,,1,2,0,0,0,0,5,0,7,0,0,none", "15 fields found"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *path = kv_arena_text(&arena, "%s/visits.csv", folder);
        struct kv_gpu_visits visits = {0};
        struct kv_err err = {0};
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        kv_gpu_visits_header(f);
        fprintf(f, "rmsnorm,bf16,,1,2,0,0,0,0,5,0,7,0,0,none,1\n%s\n", bad[i].row);
        fclose(f);
        assert_false(kv_gpu_visits_read(&arena, path, &visits, &err));
        assert_int_equal(err.code, KV_ECALIB);
        assert_non_null(strstr(err.where, "visits.csv:3"));
        if (!strstr(err.text, bad[i].text)) fail_msg("'%s' has no '%s'", err.text, bad[i].text);
        kv_vec_close(&visits.at);
    }
}

static const struct kv_gpu_about about = { "h100-sxm", "2026-01-31", "535", "13.0", "at most \"1980\"", "cuBLASLt", "1",
                                           "a\nnote", 132 };

static void samples_are_medians_sorted_and_each_once(void **state)
{
    (void)state;
    struct device d = { .visit_s = 0.01, .missing = KV_GPU_OPS, .wrong = KV_GPU_OPS };
    struct kv_gpu_measurer m;
    struct kv_gpu_session s = session(&m, &d, KV_GPU_SILU, KV_GPU_NORM);
    struct kv_err err = {0};
    for (int32_t i = 0; i < 8; i++) points[i].x[1] = 8 - i;
    run(&s);
    assert_int_equal(kv_gpu_samples_write(&arena, folder, &s.visits, &about, &err), 8);
    /* The first point was visited as 1st, 9th and 17th: median 9 us, deviation 8 us of three visits with 7 batches. */
    const char *wanted =
        "op,tokens,width,time_us,spread_us,samples\n"
        "rmsnorm,1,1,16,8,21\n" "rmsnorm,1,3,14,8,21\n" "rmsnorm,1,5,12,8,21\n" "rmsnorm,1,7,10,8,21\n"
        "silu_mul,1,2,15,8,21\n" "silu_mul,1,4,13,8,21\n" "silu_mul,1,6,11,8,21\n" "silu_mul,1,8,9,8,21\n";
    assert_string_equal(text_in("elementwise.csv"), wanted);
    assert_null(text_in("gemm.csv"));
    assert_string_equal(text_in("samples.yaml"),
        "kvsim_samples: 1\ngpu: \"h100-sxm\"\nsms: 132\nlabel: measured\ndate: 2026-01-31\ndriver: \"535\"\n"
        "cuda: \"13.0\"\nclocks: \"at most \\\"1980\\\"\"\nengine: \"cuBLASLt\"\norigin: \"kvsim calib gpu\"\n"
        "commit: \"1\"\nlicence: Apache-2.0\nunit: us\nnote: \"anote\"\n");
    assert_string_equal(kv_gpu_clocks_seen(&arena, &s.visits), "SM 1010 to 1240 MHz seen; slowed by: power");
    kv_gpu_session_close(&s);
}

static void shares_count_only_beside_all_sms(void **state)
{
    (void)state;
    struct kv_gpu_visits visits = {0};
    struct kv_err err = {0};
    const int64_t share[][2] = {{KV_GPU_SHARED_PREFILL, 500}, {KV_GPU_SHARED_GEMM, 1000}, {KV_GPU_SHARED_DECODE, 1000},
                                {KV_GPU_SHARED_DECODE, 121}};
    for (int i = 0; i < 4; i++)
        kv_vec_push(&visits.at, ((struct kv_gpu_visit){
            .point = { .op = KV_GPU_SHARE, .x = {share[i][0], share[i][1]} },
            .result = { 1e-3, 0, 7, 0, 0, "none" } }));
    assert_int_equal(kv_gpu_samples_write(&arena, folder, &visits, &about, &err), 3);
    assert_string_equal(text_in("sm_share.csv"), "op,share_permille,time_us,spread_us,samples\n"
                        "decode,121,1000,0,7\n" "decode,1000,1000,0,7\n" "gemm,1000,1000,0,7\n");
    kv_vec_close(&visits.at);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, in_new_folder, remove_folder)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_point_is_visited_as_often_as_wanted_in_rounds),
        TEST(a_budget_is_kept_and_the_first_points_get_it),
        TEST(a_break_loses_nothing_and_the_same_command_goes_on),
        TEST(what_is_missing_or_wrong_is_left_out_and_told_once),
        TEST(a_device_that_fails_ends_the_session_and_leaves_what_there_is),
        TEST(damaged_visits_are_told_by_row),
        TEST(samples_are_medians_sorted_and_each_once),
        TEST(shares_count_only_beside_all_sms),
    };
    return cmocka_run_group_tests(tests, NULL, close_arena);
}

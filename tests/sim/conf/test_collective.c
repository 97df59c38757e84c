/* SPDX-License-Identifier: Apache-2.0 */
/* Collectives: curves of a table, what lies past them, a link's all-reduce, and what was not measured. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "sim/conf/collective.h"
#include "tests/support/arena.h"
#include "tests/support/near.h"

static int64_t gpus[] = {2, 8}, bytes[] = {1000, 3000}, ns[] = {5000, 9000, 20000, 30000};
static const struct kv_knots measured = {2, 2, gpus, bytes, ns};

static void a_curve_is_the_row_of_its_gpus(void **unused)
{
    (void)unused;
    struct kv_knots eight = kv_collective_curve(&measured, 8);
    assert_int_equal(eight.rows, 2);
    assert_int_equal(eight.x[1], 3000);
    assert_int_equal(eight.at[0], 20000);
    assert_int_equal(kv_collective_curve(&measured, 4).rows, 0);   /* between two rows nothing was measured */
    assert_int_equal(kv_collective_curve(&(struct kv_knots){0}, 2).rows, 0);
}

static void time_is_linear_and_past_the_largest_in_proportion(void **unused)
{
    (void)unused;
    struct kv_knots two = kv_collective_curve(&measured, 2);
    assert_near(kv_collective_ns(&two, 10), 5000, 1e-12);
    assert_near(kv_collective_ns(&two, 1500), 6000, 1e-12);
    assert_near(kv_collective_ns(&two, 3000), 9000, 1e-12);
    assert_near(kv_collective_ns(&two, 30000), 90000, 1e-12);
}

static void over_a_link_all_ranks_send_their_share_twice(void **unused)
{
    (void)unused;
    struct kv_knots link = kv_all_reduce_of_link(&arena, 4, 1e9, 3e-6), curve = kv_collective_curve(&link, 4);
    assert_near(kv_collective_ns(&curve, 200000), 3000 + 1.5 * 200000, 1e-9);
    assert_int_equal(kv_collective_curve(&link, 2).rows, 0);
}

/* What ships between two RTX PRO 6000, at sizes that were measured; lines of knots went within 3 %. */
static void profiles_that_ship_have_what_ranks_exchange(void **unused)
{
    (void)unused;
    const struct { enum kv_collective which; double bytes, us; } cases[] = {
        {KV_ALL_REDUCE, 2097152, 55.691}, {KV_ALL_GATHER, 524288, 23.95}, {KV_ALL_GATHER, 16777216, 277.06},
        {KV_REDUCE_SCATTER, 524288, 22.16}, {KV_REDUCE_SCATTER, 16777216, 293.63},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct kv_knots curve;
        struct kv_err err = {0};
        if (!kv_collective_measured(&arena, "rtx-pro-6000", cases[i].which, 2, "here", &curve, &err))
            fail_msg("%s: %s", err.where, err.text);
        assert_close(kv_collective_ns(&curve, cases[i].bytes) * 1e-3, cases[i].us, 0.03);
    }
}

static void what_was_not_measured_is_told(void **unused)
{
    (void)unused;
    const struct { const char *gpu; enum kv_collective which; int32_t ranks; const char *says; } cases[] = {
        {"rtx-pro-6000", KV_ALL_GATHER, 3, "an all-gather of 3 was not measured on rtx-pro-6000"},
        {"rtx-4090", KV_REDUCE_SCATTER, 2, "a reduce-scatter of 2 was not measured on rtx-4090"},
        {"rtx-4090", KV_ALL_REDUCE, 4, "an all-reduce of 4 was not measured on rtx-4090"},
        {NULL, KV_ALL_GATHER, 2, "no communication between GPUs"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct kv_knots curve;
        struct kv_err err = {0};
        bool good = kv_collective_measured(&arena, cases[i].gpu, cases[i].which, cases[i].ranks, "here", &curve, &err);
        assert_false(good);
        assert_int_equal(err.code, KV_ECALIB);
        assert_string_equal(err.where, "here");
        assert_non_null(strstr(err.text, cases[i].says));
        assert_non_null(strstr(err.text, "cluster.nodes.peer"));
    }
}

/* A profile's collectives each have a file; what is written is read back, and wrong times are refused at their line. */
static void collectives_are_files_of_a_profile(void **unused)
{
    (void)unused;
    const char *temporary = getenv("TMPDIR");
    if (!temporary) temporary = "/tmp";
    const char *folder = kv_arena_text(&arena, "%s/kvsim_collective_%ld", temporary, (long)getpid());
    const char *gather = kv_arena_text(&arena, "%s/all_gather.csv", folder);
    struct kv_op_origin from = {"g", "imported", "", "", "", "", "", "", "", "", "", 1};
    struct kv_op_profile p = {.from = from, .attention_from = "", .collective = {[KV_ALL_GATHER] = measured}};
    struct kv_knots again;
    struct kv_err err = {0};
    if (!kv_op_profile_write(&arena, folder, &p, &err)) fail_msg("%s: %s", err.where, err.text);
    assert_true(kv_op_collective_read(&arena, folder, KV_REDUCE_SCATTER, &again, &err));
    assert_int_equal(again.rows, 0);
    assert_true(kv_op_collective_read(&arena, folder, KV_ALL_GATHER, &again, &err));
    assert_memory_equal(again.y, bytes, sizeof bytes);
    assert_memory_equal(again.at, ns, sizeof ns);
    FILE *f = fopen(gather, "w");
    assert_non_null(f);
    fputs("ranks,bytes,time_us\n2,1000,0\n", f);
    fclose(f);
    assert_false(kv_op_collective_read(&arena, folder, KV_ALL_GATHER, &again, &err));
    assert_non_null(strstr(err.where, "all_gather.csv:2"));
    unlink(gather);
    unlink(kv_arena_text(&arena, "%s/profile.yaml", folder));
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_curve_is_the_row_of_its_gpus),
        cmocka_unit_test(time_is_linear_and_past_the_largest_in_proportion),
        cmocka_unit_test(over_a_link_all_ranks_send_their_share_twice),
        cmocka_unit_test(profiles_that_ship_have_what_ranks_exchange),
        cmocka_unit_test(what_was_not_measured_is_told), cmocka_unit_test(collectives_are_files_of_a_profile),
    };
    return cmocka_run_group_tests_name("sim/conf/collective", tests, NULL, close_arena);
}

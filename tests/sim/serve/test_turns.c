/* SPDX-License-Identifier: Apache-2.0 */
/* Who follows whom in sessions, on rows made by hand (docs/engine.md, rules 24a, 25, 25a). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "sim/serve/turns.h"

#define ROWS_MAX 16

struct scene {
    struct kv_turns turns;
    int64_t rows;
    int64_t arrives_ns[ROWS_MAX];   /* -1: nobody let it go */
};

static void open_scene(struct scene *s)
{
    *s = (struct scene){0};
    kv_turns_open(&s->turns);
    for (int i = 0; i < ROWS_MAX; i++) s->arrives_ns[i] = -1;
}

static void add(struct scene *s, uint32_t session, uint32_t branch, int64_t arrival_ns, int64_t elapsed_ns,
                int64_t think_ns)
{
    struct kv_request request = {.index = s->rows, .session = session, .branch = branch, .arrival_ns = arrival_ns,
                                 .elapsed_ns = elapsed_ns, .think_ns = think_ns};
    kv_turns_add(&s->turns, &request, (uint32_t)s->rows++);
}

static void note(void *owner, struct kv_turn *turn)
{
    struct scene *s = owner;
    assert_int_equal(s->arrives_ns[turn->seq], -1);
    s->arrives_ns[turn->seq] = turn->earliest_ns;
}

static void a_turn_follows_by_recorded_think_time_else_by_the_gap(void **unused)
{
    (void)unused;
    struct scene s;
    open_scene(&s);
    add(&s, 1, 0, 0, 30, -1);
    add(&s, 2, 0, 10, -1, -1);
    add(&s, 1, 0, 100, 30, -1);     /* gap 100 - 30 elapsed */
    add(&s, 1, 0, 110, -1, 7);      /* recorded */
    add(&s, 2, 0, 60, -1, -1);      /* gap 50 */
    add(&s, 1, 0, 115, -1, -1);     /* gap 5 */
    kv_turns_tie(&s.turns);
    assert_false(s.turns.row.at[0].follows);
    assert_false(s.turns.row.at[1].follows);
    assert_false(kv_turns_ended(&s.turns, 0, 1000, note, &s));
    assert_int_equal(s.arrives_ns[2], 1070);
    assert_false(kv_turns_ended(&s.turns, 2, 2000, note, &s));
    assert_int_equal(s.arrives_ns[3], 2007);
    assert_false(kv_turns_ended(&s.turns, 1, 3000, note, &s));
    assert_int_equal(s.arrives_ns[4], 3050);
    assert_true(kv_turns_ended(&s.turns, 4, 3100, note, &s));
    assert_false(kv_turns_ended(&s.turns, 3, 4000, note, &s));
    assert_int_equal(s.arrives_ns[5], 4005);
    assert_true(kv_turns_ended(&s.turns, 5, 4100, note, &s));
    kv_turns_close(&s.turns);
}

/* 0 main, 1 and 2 two sub-agents, 3 the second turn of the first, 4 main; 5 a late row of the second; 6 main. */
static void the_main_line_waits_for_its_sub_agents(void **unused)
{
    (void)unused;
    for (int late = 0; late < 2; late++) {
        struct scene s;
        open_scene(&s);
        add(&s, 5, 0, 0, -1, -1);
        add(&s, 5, 1, 10, -1, 3);
        add(&s, 5, 2, 12, -1, -1);
        add(&s, 5, 1, 20, -1, 0);
        add(&s, 5, 0, 40, -1, 25);
        add(&s, 5, 2, 41, -1, 0);
        add(&s, 5, 0, 50, -1, 1);
        kv_turns_tie(&s.turns);
        assert_false(kv_turns_ended(&s.turns, 0, 100, note, &s));
        assert_int_equal(s.arrives_ns[1], 103);
        assert_int_equal(s.arrives_ns[2], 112);
        assert_int_equal(s.arrives_ns[4], -1);
        kv_turns_ended(&s.turns, 1, 105, note, &s);
        assert_int_equal(s.arrives_ns[3], 105);
        kv_turns_ended(&s.turns, 3, late ? 300 : 106, note, &s);
        assert_int_equal(s.arrives_ns[4], -1);
        kv_turns_ended(&s.turns, 2, 110, note, &s);
        assert_int_equal(s.arrives_ns[5], 110);
        assert_int_equal(s.arrives_ns[4], -1);
        assert_false(kv_turns_ended(&s.turns, 5, 111, note, &s));
        assert_int_equal(s.arrives_ns[4], late ? 300 : 125);   /* its own think time, or the later sub-agent */
        assert_false(kv_turns_ended(&s.turns, 4, 400, note, &s));
        assert_int_equal(s.arrives_ns[6], 401);
        assert_true(kv_turns_ended(&s.turns, 6, 500, note, &s));
        kv_turns_close(&s.turns);
    }
}

static void the_first_row_of_a_session_is_of_its_main_line(void **unused)
{
    (void)unused;
    struct scene s;
    open_scene(&s);
    add(&s, 1, 3, 0, -1, -1);
    add(&s, 0, 0, 1, -1, -1);       /* a row without a session is one of its own */
    add(&s, 1, 0, 5, -1, -1);
    add(&s, 1, 3, 9, -1, -1);       /* nobody waits for this one */
    kv_turns_tie(&s.turns);
    assert_false(s.turns.row.at[0].follows);
    assert_false(s.turns.row.at[1].follows);
    assert_true(kv_turns_ended(&s.turns, 1, 50, note, &s));
    assert_false(kv_turns_ended(&s.turns, 0, 100, note, &s));
    assert_int_equal(s.arrives_ns[2], 105);
    assert_int_equal(s.arrives_ns[3], -1);
    assert_false(kv_turns_ended(&s.turns, 2, 200, note, &s));
    assert_int_equal(s.arrives_ns[3], 204);
    assert_true(kv_turns_ended(&s.turns, 3, 300, note, &s));
    kv_turns_close(&s.turns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_turn_follows_by_recorded_think_time_else_by_the_gap),
        cmocka_unit_test(the_main_line_waits_for_its_sub_agents),
        cmocka_unit_test(the_first_row_of_a_session_is_of_its_main_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

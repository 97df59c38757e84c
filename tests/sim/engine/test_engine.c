/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "sim/base/rng.h"
#include "sim/engine/engine.h"

/* A scripted world: every fire is written down, and `then` may arm more. */
struct world {
    struct kv_engine *engine;
    uint32_t timer[16];
    char story[512];
    void (*then)(struct world *w, uint32_t kind);
};

static void note(void *owner, uint32_t kind)
{
    struct world *w = owner;
    size_t length = strlen(w->story);
    snprintf(w->story + length, sizeof w->story - length, "%s%c@%lld", length ? " " : "", (char)kind,
             (long long)kv_engine_now(w->engine));
    if (w->then) w->then(w, kind);
}

static struct world open_world(void (*then)(struct world *w, uint32_t kind))
{
    return (struct world){.engine = kv_engine_open(7), .then = then};
}

static const char *play(struct world *w)
{
    struct kv_err err = {0};
    while (kv_engine_step(w->engine, &err)) continue;
    assert_int_equal(err.code, KV_OK);
    return w->story;
}

static void timers_of_one_tick_fire_by_class_then_id_whoever_armed_first(void **state)
{
    (void)state;
    struct world w = open_world(NULL);
    const enum kv_class class[] = {KV_CLASS_SAMPLE, KV_CLASS_BOUNDARY, KV_CLASS_ARRIVAL, KV_CLASS_BOUNDARY,
                                   KV_CLASS_COMPLETION, KV_CLASS_SETTLE, KV_CLASS_VISIBLE, KV_CLASS_POLICY};
    for (uint32_t i = 0; i < 8; i++) {
        w.timer[i] = kv_timer_new(w.engine, class[i], note, &w, 'a' + i);
        assert_int_equal(w.timer[i], i);
    }
    for (uint32_t i = 8; i-- > 0;) kv_timer_arm(w.engine, w.timer[i], 40);
    kv_timer_arm(w.engine, w.timer[0], 39);
    assert_int_equal(kv_engine_next_tk(w.engine), 39);
    assert_string_equal(play(&w), "a@39 e@40 g@40 c@40 h@40 f@40 b@40 d@40");
    assert_int_equal(kv_engine_fired(w.engine), 8);
    assert_int_equal(kv_engine_next_tk(w.engine), KV_TICK_NEVER);
    kv_engine_close(w.engine);
}

static void arm_arrival_at_boundary(struct world *w, uint32_t kind)
{
    if (kind == 'b' && kv_engine_fired(w->engine) < 4) kv_timer_arm(w->engine, w->timer[0], kv_engine_now(w->engine));
    if (kind == 'a' && kv_engine_fired(w->engine) > 4) kv_timer_arm(w->engine, w->timer[1], kv_engine_now(w->engine));
}

static void a_passed_class_waits_for_the_next_round_and_a_coming_one_does_not(void **state)
{
    (void)state;
    struct world w = open_world(arm_arrival_at_boundary);
    w.timer[0] = kv_timer_new(w.engine, KV_CLASS_ARRIVAL, note, &w, 'a');
    w.timer[1] = kv_timer_new(w.engine, KV_CLASS_BOUNDARY, note, &w, 'b');
    w.timer[2] = kv_timer_new(w.engine, KV_CLASS_BOUNDARY, note, &w, 'c');
    w.timer[3] = kv_timer_new(w.engine, KV_CLASS_SAMPLE, note, &w, 's');
    for (uint32_t i = 0; i < 4; i++) kv_timer_arm(w.engine, w.timer[i], 5);
    /* Round 0 ends with the sample; round 1: the arrival armed by b, which arms b once more. */
    assert_string_equal(play(&w), "a@5 b@5 c@5 s@5 a@5 b@5");
    kv_engine_close(w.engine);
}

static void move_and_cancel(struct world *w, uint32_t kind)
{
    if (kind != 'a') return;
    kv_timer_arm(w->engine, w->timer[1], 30);      /* later than it was */
    kv_timer_arm(w->engine, w->timer[2], 15);      /* earlier */
    kv_timer_disarm(w->engine, w->timer[3]);
    kv_timer_disarm(w->engine, w->timer[4]);       /* was not armed */
}

static void rearming_moves_and_disarming_cancels(void **state)
{
    (void)state;
    struct world w = open_world(move_and_cancel);
    for (uint32_t i = 0; i < 5; i++) w.timer[i] = kv_timer_new(w.engine, KV_CLASS_POLICY, note, &w, 'a' + i);
    for (uint32_t i = 0; i < 4; i++) kv_timer_arm(w.engine, w.timer[i], 10 + (kv_tick)i * 10);
    assert_int_equal(kv_timer_due_tk(w.engine, w.timer[3]), 40);
    assert_int_equal(kv_timer_due_tk(w.engine, w.timer[4]), KV_TICK_NEVER);
    assert_string_equal(play(&w), "a@10 c@15 b@30");
    assert_int_equal(kv_timer_due_tk(w.engine, w.timer[3]), KV_TICK_NEVER);
    kv_engine_close(w.engine);
}

static kv_tick own_due_tk, next_tk;
static void look_at_itself(struct world *w, uint32_t kind)
{
    if (kind != 'a') return;
    own_due_tk = kv_timer_due_tk(w->engine, w->timer[0]);
    next_tk = kv_engine_next_tk(w->engine);
    kv_timer_disarm(w->engine, w->timer[0]);   /* nothing */
    if (kv_engine_now(w->engine) == 10) kv_timer_arm(w->engine, w->timer[0], 20);
}

static void a_timer_is_disarmed_while_it_fires_and_may_arm_itself(void **state)
{
    (void)state;
    struct world w = open_world(look_at_itself);
    w.timer[0] = kv_timer_new(w.engine, KV_CLASS_POLICY, note, &w, 'a');
    w.timer[1] = kv_timer_new(w.engine, KV_CLASS_POLICY, note, &w, 'b');
    kv_timer_arm(w.engine, w.timer[0], 10);
    kv_timer_arm(w.engine, w.timer[1], 17);
    assert_true(kv_engine_step(w.engine, NULL));
    assert_int_equal(own_due_tk, KV_TICK_NEVER);
    assert_int_equal(next_tk, 17);
    assert_int_equal(kv_timer_due_tk(w.engine, w.timer[0]), 20);
    assert_string_equal(play(&w), "a@10 b@17 a@20");
    kv_engine_close(w.engine);
}

static kv_tick seen[3];
static void look(struct world *w, uint32_t kind)
{
    seen[kind - 'a'] = kv_engine_seen_tk(w->engine);
    assert_int_equal(kv_engine_class(w->engine), kind == 'a' ? KV_CLASS_ARRIVAL : kind == 'b' ? KV_CLASS_BOUNDARY
                                                                                          : KV_CLASS_SAMPLE);
}

/* Arms, moves and disarms at random; the earliest of what should be armed, by looking at all, is told and fires. */
struct crowd { struct kv_engine *engine; kv_tick due[12]; uint32_t fired; };

static void note_fired(void *owner, uint32_t kind)
{
    ((struct crowd *)owner)->fired = kind;
}

static void whoever_is_armed_first_or_moved_the_earliest_fires(void **state)
{
    (void)state;
    struct crowd c = {.engine = kv_engine_open(1)};
    for (uint32_t i = 0; i < 12; i++) {
        kv_timer_new(c.engine, KV_CLASS_ARRIVAL, note_fired, &c, i);
        c.due[i] = KV_TICK_NEVER;
    }
    for (uint64_t i = 0; i < 100000; i++) {
        uint64_t draw = kv_mix64(i + 1);
        uint32_t timer = (uint32_t)(draw >> 8) % 12, first = 0;
        if (draw % 8 < 4) {
            c.due[timer] = kv_engine_now(c.engine) + 1 + (kv_tick)(draw >> 40) % 20;
            kv_timer_arm(c.engine, timer, c.due[timer]);
        } else if (draw % 8 == 4) {
            c.due[timer] = KV_TICK_NEVER;
            kv_timer_disarm(c.engine, timer);
        }
        for (uint32_t t = 1; t < 12; t++)
            if (c.due[t] < c.due[first]) first = t;
        assert_int_equal(kv_timer_due_tk(c.engine, timer), c.due[timer]);
        assert_int_equal(kv_engine_next_tk(c.engine), c.due[first]);
        assert_int_equal(kv_engine_idle(c.engine), c.due[first] == KV_TICK_NEVER);
        if (draw % 8 < 6 || c.due[first] == KV_TICK_NEVER) continue;
        assert_true(kv_engine_step(c.engine, NULL));
        assert_int_equal(c.fired, first);
        assert_int_equal(kv_engine_now(c.engine), c.due[first]);
        c.due[first] = KV_TICK_NEVER;
    }
    kv_engine_close(c.engine);
}

static void an_arrival_sees_boundaries_before_its_tick_and_a_sample_those_of_its_tick(void **state)
{
    (void)state;
    struct world w = open_world(look);
    w.timer[0] = kv_timer_new(w.engine, KV_CLASS_ARRIVAL, note, &w, 'a');
    w.timer[1] = kv_timer_new(w.engine, KV_CLASS_BOUNDARY, note, &w, 'b');
    w.timer[2] = kv_timer_new(w.engine, KV_CLASS_SAMPLE, note, &w, 'c');
    for (uint32_t i = 0; i < 3; i++) kv_timer_arm(w.engine, w.timer[i], 100);
    play(&w);
    assert_int_equal(seen[0], 99);
    assert_int_equal(seen[1], 99);
    assert_int_equal(seen[2], 100);
    assert_int_equal(kv_engine_class(w.engine), KV_CLASS_COUNT);
    assert_int_equal(kv_engine_seen_tk(w.engine), 100);
    kv_engine_close(w.engine);
}

/* ---- runs that do not end ---- */

static void ping_pong(void *owner, uint32_t kind)
{
    struct world *w = owner;
    kv_timer_arm(w->engine, w->timer[1 - kind], kv_engine_now(w->engine));
}

static void own_class(void *owner, uint32_t kind)
{
    struct world *w = owner;
    kv_timer_arm(w->engine, w->timer[kind], kv_engine_now(w->engine));
}

static void expect_livelock(kv_fire fire, const char *named)
{
    struct world w = open_world(NULL);
    struct kv_err err = {0};
    w.timer[0] = kv_timer_new(w.engine, KV_CLASS_ARRIVAL, fire, &w, 0);
    w.timer[1] = kv_timer_new(w.engine, KV_CLASS_BOUNDARY, fire, &w, 1);
    kv_timer_arm(w.engine, w.timer[0], 1000);
    while (kv_engine_step(w.engine, &err)) continue;
    assert_int_equal(err.code, KV_ESTUCK);
    assert_non_null(strstr(err.text, "tick 1000 "));
    assert_non_null(strstr(err.text, named));
    kv_engine_close(w.engine);
}

static void two_timers_that_wake_each_other_for_ever_are_named(void **state)
{
    (void)state;
    expect_livelock(ping_pong, "timer 0 (class arrival)");
}

static void a_timer_that_wakes_itself_for_ever_is_named(void **state)
{
    (void)state;
    expect_livelock(own_class, "timer 0 (class arrival)");
}

static void many_ticks_of_many_rounds_are_no_livelock(void **state)
{
    (void)state;
    struct world w = open_world(NULL);
    struct kv_err err = {0};
    w.timer[0] = kv_timer_new(w.engine, KV_CLASS_ARRIVAL, ping_pong, &w, 0);
    w.timer[1] = kv_timer_new(w.engine, KV_CLASS_BOUNDARY, ping_pong, &w, 1);
    for (kv_tick tick = 1; tick <= 10; tick++) {
        kv_timer_arm(w.engine, w.timer[0], tick);
        for (int i = 0; i < 80000; i++) assert_true(kv_engine_step(w.engine, &err));   /* 40,000 rounds */
        kv_timer_disarm(w.engine, w.timer[0]);
    }
    kv_engine_close(w.engine);
}

static void arming_in_the_past_is_a_bug_that_names_tick_and_seed(void **state)
{
    (void)state;
    int pipe_end[2];
    char text[512] = "";
    assert_int_equal(pipe(pipe_end), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(pipe_end[1], STDERR_FILENO);
        struct world w = open_world(NULL);
        w.timer[0] = kv_timer_new(w.engine, KV_CLASS_POLICY, note, &w, 'a');
        kv_timer_arm(w.engine, w.timer[0], 12);
        kv_engine_step(w.engine, NULL);
        kv_timer_arm(w.engine, w.timer[0], 11);
        _exit(0);
    }
    close(pipe_end[1]);
    size_t length = 0;
    for (ssize_t got; (got = read(pipe_end[0], text + length, sizeof text - 1 - length)) > 0;) length += (size_t)got;
    close(pipe_end[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_non_null(strstr(text, "sim/engine/engine.c:"));
    assert_non_null(strstr(text, "(tick 12, seed 7)"));
}

/* ---- log ---- */

static void say(struct world *w, uint32_t kind)
{
    kv_log(w->engine, "fired", "letter=%c", (char)kind);
}

static void the_log_has_tick_class_verb_and_values(void **state)
{
    (void)state;
    struct world w = open_world(say);
    char text[128] = "";
    FILE *stream = tmpfile();
    assert_non_null(stream);
    w.timer[0] = kv_timer_new(w.engine, KV_CLASS_BOUNDARY, note, &w, 'x');
    assert_false(kv_engine_logs(w.engine));
    kv_timer_arm(w.engine, w.timer[0], 3);
    play(&w);   /* not logged */
    kv_engine_log_to(w.engine, stream);
    assert_true(kv_engine_logs(w.engine));
    kv_timer_arm(w.engine, w.timer[0], 4);
    play(&w);
    rewind(stream);
    assert_true(fread(text, 1, sizeof text - 1, stream) > 0);
    assert_string_equal(text, "4 5 fired letter=x\n");
    fclose(stream);
    kv_engine_close(w.engine);
}

/* Its own fire sees a timer disarmed, the next due one of the others, and may disarm it; others may come before it. */
static void look_around(struct world *w, uint32_t kind)
{
    if (kind != 'b' || kv_engine_now(w->engine) > 10) return;
    assert_int_equal(kv_timer_due_tk(w->engine, w->timer[1]), KV_TICK_NEVER);
    assert_int_equal(kv_engine_next_tk(w->engine), 20);
    kv_timer_arm(w->engine, w->timer[0], 10);   /* same class, lower id: before the one that fires */
    assert_int_equal(kv_engine_next_tk(w->engine), 10);
    kv_timer_disarm(w->engine, w->timer[0]);
    kv_timer_arm(w->engine, w->timer[1], 15);
    assert_int_equal(kv_engine_next_tk(w->engine), 15);
    kv_timer_disarm(w->engine, w->timer[1]);
    assert_int_equal(kv_timer_due_tk(w->engine, w->timer[1]), KV_TICK_NEVER);
    assert_int_equal(kv_engine_next_tk(w->engine), 20);
    kv_timer_arm(w->engine, w->timer[1], 17);
}

static void a_timer_that_fires_is_not_there(void **state)
{
    (void)state;
    struct world w = open_world(look_around);
    for (uint32_t i = 0; i < 8; i++) {
        w.timer[i] = kv_timer_new(w.engine, KV_CLASS_ARRIVAL, note, &w, 'a' + i);
        kv_timer_arm(w.engine, w.timer[i], i == 1 ? 10 : 20 + (kv_tick)i % 3);
    }
    assert_string_equal(play(&w), "b@10 b@17 d@20 g@20 e@21 h@21 c@22 f@22");
    assert_int_equal(kv_engine_next_tk(w.engine), KV_TICK_NEVER);
    kv_engine_close(w.engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_of_one_tick_fire_by_class_then_id_whoever_armed_first),
        cmocka_unit_test(a_passed_class_waits_for_the_next_round_and_a_coming_one_does_not),
        cmocka_unit_test(a_timer_is_disarmed_while_it_fires_and_may_arm_itself),
        cmocka_unit_test(a_timer_that_fires_is_not_there),
        cmocka_unit_test(rearming_moves_and_disarming_cancels),
        cmocka_unit_test(whoever_is_armed_first_or_moved_the_earliest_fires),
        cmocka_unit_test(an_arrival_sees_boundaries_before_its_tick_and_a_sample_those_of_its_tick),
        cmocka_unit_test(two_timers_that_wake_each_other_for_ever_are_named),
        cmocka_unit_test(a_timer_that_wakes_itself_for_ever_is_named),
        cmocka_unit_test(many_ticks_of_many_rounds_are_no_livelock),
        cmocka_unit_test(arming_in_the_past_is_a_bug_that_names_tick_and_seed),
        cmocka_unit_test(the_log_has_tick_class_verb_and_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

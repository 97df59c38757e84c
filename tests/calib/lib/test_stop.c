/* SPDX-License-Identifier: Apache-2.0 */
/* The first Ctrl-C asks for an end in good order, the second is one. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "calib/lib/stop.h"

/* What becomes of a process that has these signals, one after the other; it sets its flag back in between. */
static int fate(int first, int second)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        volatile sig_atomic_t *stop = kv_calib_stop();
        if (*stop) _exit(1);
        raise(first);
        if (!*stop) _exit(2);
        *stop = 0;
        if (second) raise(second);
        _exit(*stop ? 3 : 4);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void the_first_signal_sets_the_flag_and_no_more(void **unused)
{
    (void)unused;
    assert_int_equal(fate(SIGINT, 0), 4);
    assert_int_equal(fate(SIGTERM, 0), 4);
}

static void the_second_ends_the_program_whichever_it_is(void **unused)
{
    (void)unused;
    assert_int_equal(fate(SIGINT, SIGINT), 128 + SIGINT);
    assert_int_equal(fate(SIGTERM, SIGTERM), 128 + SIGTERM);
    assert_int_equal(fate(SIGINT, SIGTERM), 128 + SIGTERM);
    assert_int_equal(fate(SIGTERM, SIGINT), 128 + SIGINT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_signal_sets_the_flag_and_no_more),
        cmocka_unit_test(the_second_ends_the_program_whichever_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

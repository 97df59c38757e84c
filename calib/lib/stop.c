/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/lib/stop.h"

#include <stddef.h>

static volatile sig_atomic_t flag;

static void on_signal(int number)
{
    (void)number;
    flag = 1;
    /* Whichever comes next. */
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
}

volatile sig_atomic_t *kv_calib_stop(void)
{
    struct sigaction action = { .sa_handler = on_signal };
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    return &flag;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/lib/today.h"

#include <string.h>
#include <time.h>

const char *kv_calib_today(struct kv_arena *arena)
{
    struct timespec now;
    struct tm day;
    char text[32] = "";
    clock_gettime(CLOCK_REALTIME, &now);
    if (gmtime_r(&now.tv_sec, &day)) strftime(text, sizeof text, "%Y-%m-%d", &day);
    return kv_arena_copy(arena, text, strlen(text));
}

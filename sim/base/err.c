/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/base/err.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const kv_tick *context_now;
static uint64_t context_seed;

bool kv_fail(struct kv_err *err, enum kv_code code, const char *where, const char *fmt, ...)
{
    if (!err) return false;
    va_list args;
    va_start(args, fmt);
    err->code = code;
    snprintf(err->where, sizeof err->where, "%s", where);
    vsnprintf(err->text, sizeof err->text, fmt, args);
    va_end(args);
    return false;
}

void kv_assert_context(const kv_tick *now, uint64_t seed)
{
    context_now = now;
    context_seed = seed;
}

_Noreturn void kv_assert_failed(const char *file, int line, const char *what)
{
    fprintf(stderr, "kvsim: bug: %s:%d: %s does not hold", file, line, what);
    if (context_now) fprintf(stderr, " (tick %" PRId64 ", seed %" PRIu64 ")", *context_now, context_seed);
    fputs("; please report it with the scenario\n", stderr);
    abort();
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Errors are values. A function that can fail returns bool and takes `struct kv_err *err` last; on failure it
 * returns kv_fail(...), which is always false. Only sim/cli prints or exits.
 *
 * kv_assert is for bugs alone: it is always on, prints the simulated tick and seed registered with
 * kv_assert_context, and aborts. */
#ifndef KV_BASE_ERR_H
#define KV_BASE_ERR_H

#include <stdbool.h>
#include <stdint.h>

#include "sim/base/tick.h"

/* Values are the exit codes of the program (docs in `kvsim help exit-codes`). */
enum kv_code {
    KV_OK = 0,
    KV_EINTERNAL = 1,    /* a bug */
    KV_EUSAGE = 2,       /* unknown command or flag */
    KV_ECONFIG = 3,      /* scenario, model file or profile text is invalid */
    KV_ETRACE = 4,       /* trace invalid */
    KV_ECALIB = 5,       /* calibration missing, or domain left with --strict-calib */
    KV_EGATE = 6,        /* SLO or gate not met; the result is valid */
    KV_EIO = 7,          /* disk full, unreadable file */
    KV_ESTUCK = 8,       /* livelock, event limit, time limit, memory limit */
    KV_ECHECK = 9,       /* a self-test or calibration check failed */
    KV_ENOHW = 77,       /* hardware missing */
    KV_EINTERRUPT = 130, /* interrupted; partial results written */
};

struct kv_err {
    enum kv_code code;
    char where[256]; /* "file:line:col" for input, component path ("tiers[2]") at run time, may be "" */
    char text[768];  /* what was found, what was expected, what to try */
};

/* Fills *err (which may be NULL) and returns false. */
bool kv_fail(struct kv_err *err, enum kv_code code, const char *where, const char *fmt, ...)
    __attribute__((format(printf, 4, 5), cold));

/* What an assertion prints beside its own text. `now` may be NULL. */
void kv_assert_context(const kv_tick *now, uint64_t seed);
_Noreturn void kv_assert_failed(const char *file, int line, const char *what) __attribute__((cold));
#define kv_assert(cond) ((cond) ? (void)0 : kv_assert_failed(__FILE__, __LINE__, #cond))

#endif

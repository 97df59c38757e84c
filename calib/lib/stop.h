/* SPDX-License-Identifier: Apache-2.0 */
/* Ctrl-C and SIGTERM, alike for all programs that measure. */
#ifndef KV_CALIB_STOP_H
#define KV_CALIB_STOP_H

#include <signal.h>

/* From now on the first of these signals sets the flag returned, which asks for an end in good order: what was measured is
 * kept, what was made is removed. The next one ends the program at once, by the signal. System calls are interrupted
 * (EINTR). The flag may be set back to 0 when the end has begun; that does not make the next signal the first. */
volatile sig_atomic_t *kv_calib_stop(void);

#endif

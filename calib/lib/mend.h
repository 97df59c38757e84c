/* SPDX-License-Identifier: Apache-2.0 */
/* Files of samples that grow line by line and may have been cut off by a break. */
#ifndef KV_CALIB_MEND_H
#define KV_CALIB_MEND_H

#include "sim/base/err.h"

/* Takes off a last line without its end. The file must be there. */
bool kv_calib_mend(const char *path, struct kv_err *err);

#endif

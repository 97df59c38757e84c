/* SPDX-License-Identifier: Apache-2.0 */
/* The date (UTC) that a profile is marked with: "2026-01-31". */
#ifndef KV_CALIB_TODAY_H
#define KV_CALIB_TODAY_H

#include "sim/base/arena.h"

const char *kv_calib_today(struct kv_arena *arena);

#endif

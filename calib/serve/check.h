/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the loop can serve a scenario: it does less than kvsim simulates. */
#ifndef KV_CALIB_SERVE_CHECK_H
#define KV_CALIB_SERVE_CHECK_H

#include "sim/scenario/scenario.h"

enum kv_loop_kind { KV_LOOP_CUDA, KV_LOOP_REFERENCE, KV_LOOP_CLOCK };

/* Notes everything it cannot, at its place in the file. False when there is something. */
bool kv_loop_check(struct kv_scenario *s, enum kv_loop_kind kind, struct kv_diag *diag);

#endif

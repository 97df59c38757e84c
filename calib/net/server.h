/* SPDX-License-Identifier: Apache-2.0 */
/* The side that is measured against: it lends memory to whoever asks, and makes progress. */
#ifndef KV_CALIB_SERVER_H
#define KV_CALIB_SERVER_H

#include "calib/net/worker.h"

/* Serves until *stop, or, `once`, until its last client has gone. `ready` is called when clients may come. */
bool kv_net_serve(const char *listen, bool once, const volatile sig_atomic_t *stop, void (*ready)(const char *listen),
                  struct kv_err *err);

#endif

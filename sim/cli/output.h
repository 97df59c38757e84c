/* SPDX-License-Identifier: Apache-2.0 */
/* `-o FILE`, or stdout: FILE appears complete or not at all, and is overwritten only with --force. */
#ifndef KV_CLI_OUTPUT_H
#define KV_CLI_OUTPUT_H

#include <stdio.h>

#include "sim/cli/cli.h"

struct kv_output { FILE *stream; const char *path, *temporary; };

/* By the flags "output" and "force". False with *err. */
bool kv_output_open(struct kv_output *o, struct kv_args *args, struct kv_err *err);
/* ok: keep what was written. Returns ok, or false with *err when it could not be kept. */
bool kv_output_close(struct kv_output *o, bool ok, struct kv_err *err);

#endif

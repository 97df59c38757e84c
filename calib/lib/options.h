/* SPDX-License-Identifier: Apache-2.0 */
/* Options of a program that measures, "--name VALUE" or "--name=VALUE", by a parameter table (sim/conf/param.h). */
#ifndef KV_CALIB_OPTIONS_H
#define KV_CALIB_OPTIONS_H

#include "sim/base/arena.h"
#include "sim/base/err.h"
#include "sim/conf/param.h"

/* Fills `out`, the struct that `rows` describes: presets, then what is given. A key "first_byte" is "--first-byte";
 * a switch (KV_DIM_BOOL) takes no value. `-o` is --output. False with KV_EUSAGE, naming the word; "--help" is a word of
 * its own for the caller. */
bool kv_options_read(struct kv_arena *arena, const struct kv_param *rows, int count, char **word, void *out,
                     struct kv_err *err);
/* One line an option, for --help. */
const char *kv_options_text(struct kv_arena *arena, const struct kv_param *rows);

#endif

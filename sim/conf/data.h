/* SPDX-License-Identifier: Apache-2.0 */
/* Where the files are that come with the program: the folder that holds `models`. It is looked for in $KVSIM_DATA, else
 * in the folder of the program and those above it, each also as `share/kvsim` (installed: PREFIX/bin/kvsim and
 * PREFIX/share/kvsim). */
#ifndef KV_CONF_DATA_H
#define KV_CONF_DATA_H

#include "sim/base/arena.h"

/* NULL when none is found. */
const char *kv_data_folder(struct kv_arena *arena);

#endif

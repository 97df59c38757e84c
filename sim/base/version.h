/* SPDX-License-Identifier: Apache-2.0 */
/* The version of the program, for `kvsim version`, the man page and /meta. CHANGELOG.md says what changed. */
#ifndef KV_BASE_VERSION_H
#define KV_BASE_VERSION_H

#define KV_VERSION "0.1.0"

#endif

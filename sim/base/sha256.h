/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 of a stream (libcrypto). */
#ifndef KV_BASE_SHA256_H
#define KV_BASE_SHA256_H

#include <stddef.h>

struct kv_sha256 { void *context; };

void kv_sha256_open(struct kv_sha256 *s);
void kv_sha256_add(struct kv_sha256 *s, const void *data, size_t bytes);
/* Digest of all bytes so far, lower-case hex with its terminator; ends the stream. */
void kv_sha256_hex(struct kv_sha256 *s, char hex[65]);
void kv_sha256_close(struct kv_sha256 *s);

#endif

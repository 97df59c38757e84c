/* SPDX-License-Identifier: Apache-2.0 */
/* A text file being written, gzip when its name ends in ".gz". It grows as PATH.tmp and gets its name when it is
 * complete. The gzip header carries no time, so equal text gives equal bytes. */
#ifndef KV_LIB_WRITER_H
#define KV_LIB_WRITER_H

#include "sim/base/err.h"

struct kv_writer { const char *path; void *file; char temporary[1024]; bool failed; };

/* Refuses a PATH that exists, unless `force`. `path` must outlive the writer. */
bool kv_writer_open(struct kv_writer *w, const char *path, bool force, struct kv_err *err);
/* At most 4,096 bytes a call, at least one. Failures are kept and told by the commit. */
void kv_writer_text(struct kv_writer *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool kv_writer_commit(struct kv_writer *w, struct kv_err *err);
/* Without a commit before it nothing is left behind. */
void kv_writer_close(struct kv_writer *w);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Writing a results file: HDF5 with every choice made once, so that equal content gives equal bytes.
 *
 * No time stamps, a fixed format version, links in order of creation, shuffle + deflate on every column, UTF-8
 * text, little-endian fixed-width numbers, CF attributes (units, long_name, scale_factor, _FillValue).
 *
 * Errors stick: after the first failure all calls do nothing, and kv_h5_commit or kv_h5_ok tells it. This keeps
 * the code that writes a few hundred small things readable.
 *
 * All that is written also goes into a content digest; kv_h5_undigested marks what does not belong there. */
#ifndef KV_OUT_H5_H
#define KV_OUT_H5_H

#include <string.h>

#include "sim/base/err.h"
#include "sim/out/pack.h"

#define KV_H5_CHUNK_ROWS 16384
/* CF scale factor of every time column: seconds in a tick. */
#define KV_H5_TICK_S 3.90625e-12

struct kv_h5;

/* Opens PATH.tmp. An existing PATH is refused unless `force`, and always when it is not a plain file. */
struct kv_h5 *kv_h5_create(const char *path, bool force, enum kv_codec codec, struct kv_err *err);
/* Closes the file, makes it durable and gives it its name. `digest` (64 hex digits) was stored as
 * /meta@content_sha256. */
bool kv_h5_commit(struct kv_h5 *f, char digest[65], struct kv_err *err);
/* Without a successful commit the temporary file is removed. */
void kv_h5_close(struct kv_h5 *f);
bool kv_h5_ok(const struct kv_h5 *f, struct kv_err *err);
const char *kv_h5_codec(const struct kv_h5 *f);

/* Objects are named by absolute path; their group exists already. */
void kv_h5_group(struct kv_h5 *f, const char *path);
/* Another name for an object. Not part of the digest: the object itself is. */
void kv_h5_link(struct kv_h5 *f, const char *object, const char *name);
/* What is written until the next call stays out of the digest: facts of the build. */
void kv_h5_undigested(struct kv_h5 *f, bool yes);

void kv_h5_attribute_text(struct kv_h5 *f, const char *object, const char *name, const char *text);
void kv_h5_attribute_texts(struct kv_h5 *f, const char *object, const char *name, const char *const *text,
                           int32_t count);
void kv_h5_attribute_int(struct kv_h5 *f, const char *object, const char *name, int64_t value);
void kv_h5_attribute_real(struct kv_h5 *f, const char *object, const char *name, double value);

/* Scalars; `units` NULL for none. */
void kv_h5_text(struct kv_h5 *f, const char *path, const char *long_name, const char *text);
void kv_h5_int(struct kv_h5 *f, const char *path, const char *long_name, const char *units, int64_t value);
void kv_h5_real(struct kv_h5 *f, const char *path, const char *long_name, const char *units, double value);
/* A list of texts, usable as a scale. */
void kv_h5_texts(struct kv_h5 *f, const char *path, const char *long_name, const char *const *text, int32_t count);

enum kv_h5_type { KV_U8, KV_U16, KV_U32, KV_I32, KV_I64, KV_F64 };
size_t kv_h5_type_bytes(enum kv_h5_type type);

/* A growing dataset of rows x width, width 0 for one dimension. */
struct kv_h5_column_spec {
    const char *path, *long_name;
    const char *units;           /* NULL: none */
    enum kv_h5_type type;
    bool ticks;                  /* seconds in ticks: scale_factor, units "s" */
    bool fills;                  /* -1 (integers) or NaN (reals) means undefined: _FillValue */
    int32_t width;
    int32_t chunk_rows;          /* 0: KV_H5_CHUNK_ROWS */
    const char *flags;           /* "0=finished 1=rejected": flag_values, flag_meanings; NULL: none */
};
struct kv_h5_column;
/* Lives as long as the file. Texts of the spec must outlive it. */
struct kv_h5_column *kv_h5_column_open(struct kv_h5 *f, const struct kv_h5_column_spec *spec);
/* Writes chunk number `chunk`, once, in any order. `data` holds chunk_rows rows, of which the first `rows` count:
 * all of them but in the last chunk. */
void kv_h5_column_write(struct kv_h5_column *c, int64_t chunk, const void *data, int32_t rows);
/* No more chunks. */
void kv_h5_column_close(struct kv_h5_column *c);
/* Zeros behind the first `rows` of a chunk of KV_H5_CHUNK_ROWS: they are never read, but are bytes of the file, which
 * must be a function of its content. */
static inline void kv_h5_clear_rest(void *chunk, size_t row_bytes, int32_t rows)
{
    memset((char *)chunk + row_bytes * (size_t)rows, 0, row_bytes * (size_t)(KV_H5_CHUNK_ROWS - rows));
}
/* All of a column at once. */
void kv_h5_column_all(struct kv_h5 *f, const struct kv_h5_column_spec *spec, const void *data, int64_t rows);

/* Makes a dataset a dimension scale, and names a dimension of another dataset by it. */
void kv_h5_scale(struct kv_h5 *f, const char *dataset, const char *name);
void kv_h5_attach(struct kv_h5 *f, const char *dataset, const char *scale, int32_t dimension);

#endif

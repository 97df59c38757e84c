/* SPDX-License-Identifier: Apache-2.0 */
/* One gzip member after another, decompressed by ISA-L where the build has it (several times faster), else by zlib.
 * Both check the trailer's CRC and length. */
#ifndef KV_LIB_INFLATE_H
#define KV_LIB_INFLATE_H

#include <stdbool.h>
#include <stddef.h>

/* The caller sets both ends before each step; a step moves them on. */
struct kv_inflate {
    const unsigned char *in;
    size_t in_bytes;
    unsigned char *out;
    size_t out_room;
    struct kv_inflate_engine *engine;
};

enum kv_inflate_result { KV_INFLATE_MORE, KV_INFLATE_END, KV_INFLATE_DAMAGED };

bool kv_inflate_open(struct kv_inflate *f);   /* false: no memory inside the library */
/* Until the input or the room is used up, or the member ends: then `in` stands behind its last byte. */
enum kv_inflate_result kv_inflate_step(struct kv_inflate *f);
void kv_inflate_next_member(struct kv_inflate *f);
void kv_inflate_close(struct kv_inflate *f);  /* a zeroed struct may be closed too */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* One chunk of a column, as it goes to the file: byte shuffle, then a zlib stream. A reader sees the ordinary
 * HDF5 filters SHUFFLE and DEFLATE; made here because H5Dwrite's own pipeline costs ten times as much as a
 * simulation (perf.md 5: 9.1 s against 0.9 s for 10 M rows). */
#ifndef KV_OUT_PACK_H
#define KV_OUT_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ISA-L where it was there at build time, else zlib. Both give valid streams of equal content, not equal bytes. */
enum kv_codec { KV_CODEC_FASTEST, KV_CODEC_ZLIB };

struct kv_pack;
/* Room for chunks of up to `chunk_bytes`. */
struct kv_pack *kv_pack_open(enum kv_codec codec, size_t chunk_bytes);
void kv_pack_close(struct kv_pack *p);
const char *kv_pack_codec(const struct kv_pack *p);

/* Packs count elements of `width` bytes. The result stays valid until the next call. */
const void *kv_pack_chunk(struct kv_pack *p, const void *data, size_t count, size_t width, size_t *packed_bytes);

/* 128 bits that tell two chunks apart, cheap enough to take of every value (SHA-256 itself runs at 0.3 GB/s on a
 * processor without SHA instructions, which would be more than all other output together). The bytes are taken
 * as little-endian 64-bit words w_0.., the last one filled up with zeros; with m_i = kv_mix64(w_i + (i + 1) * G),
 * G = 0x9e3779b97f4a7c15, the print is {sum m_i, sum m_i * (2 i + 1)} modulo 2^64. Not meant to resist an
 * adversary: it guards against accidents, as /meta@content_sha256, made of these, does. */
struct kv_print { uint64_t sum, weighted; };
struct kv_print kv_print_of(const void *data, size_t bytes);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/out/pack.h"

#include <string.h>
#include <zlib.h>

#ifdef KV_HAVE_ISAL
#include <isa-l/igzip_lib.h>
#endif

#include "sim/base/arena.h"
#include "sim/base/err.h"
#include "sim/base/rng.h"

/* ISA-L's levels 1 and 2 pack short inputs differently from one start of a program to the next (2.30; the bytes follow
 * the address space, not only the input), so results would not be equal to the byte. Level 3 does not: 1,600 processes
 * with 300 inputs of 2 to 65,536 bytes each. */
#define ISAL_LEVEL 3
#define ISAL_LEVEL_BYTES ISAL_DEF_LVL3_DEFAULT

struct kv_pack {
    enum kv_codec codec;
    size_t chunk_bytes, packed_capacity;
    uint8_t *shuffled, *packed;
    z_stream zlib;
#ifdef KV_HAVE_ISAL
    struct isal_zstream isal;
    uint8_t *level_buffer;
#endif
};

/* zlib's allocations are charged to the memory budget like all others. zlib frees without saying how much, so
 * the size stands in front of the block. */
#define ZLIB_HEAD 16
static void *zlib_take(void *opaque, unsigned items, unsigned size)
{
    (void)opaque;
    size_t bytes = (size_t)items * size + ZLIB_HEAD;
    char *block = kv_mem_take(bytes);
    memcpy(block, &bytes, sizeof bytes);
    return block + ZLIB_HEAD;
}

static void zlib_give(void *opaque, void *address)
{
    (void)opaque;
    char *block = (char *)address - ZLIB_HEAD;
    size_t bytes;
    memcpy(&bytes, block, sizeof bytes);
    kv_mem_give(block, bytes);
}

/* Z_RLE: on shuffled columns level 1's hash search finds little that run lengths do not (446 against 439 MB for
 * 10 M rows) and takes 1.7 times as long. */
static void zlib_open(struct kv_pack *p)
{
    p->zlib.zalloc = zlib_take;
    p->zlib.zfree = zlib_give;
    int rc = deflateInit2(&p->zlib, 1, Z_DEFLATED, 15, 8, Z_RLE);
    kv_assert(rc == Z_OK);
}

struct kv_pack *kv_pack_open(enum kv_codec codec, size_t chunk_bytes)
{
    struct kv_pack *p = kv_mem_take(sizeof *p);
    p->codec = codec;
    p->chunk_bytes = chunk_bytes;
    /* zlib's compressBound; ISA-L's stored blocks need less. */
    p->packed_capacity = compressBound((uLong)chunk_bytes) + 64;
    p->shuffled = kv_mem_take(chunk_bytes);
    p->packed = kv_mem_take(p->packed_capacity);
#ifdef KV_HAVE_ISAL
    if (codec == KV_CODEC_FASTEST) {
        p->level_buffer = kv_mem_take(ISAL_LEVEL_BYTES);
        return p;
    }
#endif
    p->codec = KV_CODEC_ZLIB;
    zlib_open(p);
    return p;
}

void kv_pack_close(struct kv_pack *p)
{
    if (!p) return;
#ifdef KV_HAVE_ISAL
    if (p->level_buffer) kv_mem_give(p->level_buffer, ISAL_LEVEL_BYTES);
#endif
    if (p->codec == KV_CODEC_ZLIB) deflateEnd(&p->zlib);
    kv_mem_give(p->packed, p->packed_capacity);
    kv_mem_give(p->shuffled, p->chunk_bytes);
    kv_mem_give(p, sizeof *p);
}

const char *kv_pack_codec(const struct kv_pack *p)
{
    return p->codec == KV_CODEC_ZLIB ? "zlib" : "isa-l";
}

/* Swaps the bytes under `mask << shift` of *a with those under `mask` of *b: one step of a transposition by blocks
 * (Hacker's Delight 7-3, with bytes in place of bits). */
static void exchange(uint64_t *a, uint64_t *b, int shift, uint64_t mask)
{
    uint64_t low = (*a & mask) | (*b & mask) << shift;
    *b = (*a >> shift & mask) | (*b & ~mask);
    *a = low;
}

static void exchange_all(uint64_t *row, int rows)
{
    for (int i = 0; i < rows; i++) {
        if (!(i & 2)) exchange(&row[i], &row[i + 2], 16, 0x0000ffff0000ffff);
    }
    for (int i = 0; i < rows; i += 2) exchange(&row[i], &row[i + 1], 8, 0x00ff00ff00ff00ff);
}

/* HDF5's shuffle: byte j of element i goes to place j * count + i. Elements of 8 and 4 bytes, which are most, go
 * eight at a time as an 8 x 8 or 4 x 8 matrix of bytes. */
static void shuffle(uint8_t *to, const uint8_t *from, size_t count, size_t width)
{
    size_t done = 0;
    uint64_t row[8];
    for (; width == 8 && done + 8 <= count; done += 8) {
        memcpy(row, from + done * 8, 64);
        for (int i = 0; i < 4; i++) exchange(&row[i], &row[i + 4], 32, 0x00000000ffffffff);
        exchange_all(row, 8);
        for (size_t j = 0; j < 8; j++) memcpy(to + j * count + done, &row[j], 8);
    }
    for (; width == 4 && done + 8 <= count; done += 8) {
        for (size_t i = 0; i < 4; i++) {
            uint32_t element[2];
            memcpy(&element[0], from + (done + i) * 4, 4);
            memcpy(&element[1], from + (done + i + 4) * 4, 4);
            row[i] = element[0] | (uint64_t)element[1] << 32;
        }
        exchange_all(row, 4);
        for (size_t j = 0; j < 4; j++) memcpy(to + j * count + done, &row[j], 8);
    }
    if (width == 1) {
        memcpy(to, from, count);
        return;
    }
    for (size_t j = 0; j < width; j++) {
        for (size_t i = done; i < count; i++) to[j * count + i] = from[i * width + j];
    }
}

const void *kv_pack_chunk(struct kv_pack *p, const void *data, size_t count, size_t width, size_t *packed_bytes)
{
    size_t bytes = count * width;
    kv_assert(bytes <= p->chunk_bytes);
    shuffle(p->shuffled, data, count, width);
#ifdef KV_HAVE_ISAL
    if (p->codec == KV_CODEC_FASTEST) {
        isal_deflate_stateless_init(&p->isal);
        p->isal.level = ISAL_LEVEL;
        p->isal.level_buf = p->level_buffer;
        p->isal.level_buf_size = ISAL_LEVEL_BYTES;
        p->isal.gzip_flag = IGZIP_ZLIB;
        p->isal.end_of_stream = 1;
        p->isal.flush = NO_FLUSH;
        p->isal.next_in = p->shuffled;
        p->isal.avail_in = (uint32_t)bytes;
        p->isal.next_out = p->packed;
        p->isal.avail_out = (uint32_t)p->packed_capacity;
        int rc = isal_deflate_stateless(&p->isal);
        kv_assert(rc == COMP_OK);
        *packed_bytes = p->isal.total_out;
        return p->packed;
    }
#endif
    deflateReset(&p->zlib);
    p->zlib.next_in = p->shuffled;
    p->zlib.avail_in = (uInt)bytes;
    p->zlib.next_out = p->packed;
    p->zlib.avail_out = (uInt)p->packed_capacity;
    int rc = deflate(&p->zlib, Z_FINISH);
    kv_assert(rc == Z_STREAM_END);
    *packed_bytes = p->zlib.total_out;
    return p->packed;
}

struct kv_print kv_print_of(const void *data, size_t bytes)
{
    const uint8_t *at = data;
    struct kv_print print = {0, 0};
    uint64_t step = UINT64_C(0x9e3779b97f4a7c15), key = step, odd = 1, word;
    for (size_t i = 0; i < bytes / 8; i++, key += step, odd += 2) {
        memcpy(&word, at + 8 * i, 8);
        uint64_t mixed = kv_mix64(word + key);
        print.sum += mixed;
        print.weighted += mixed * odd;
    }
    if (bytes % 8) {
        word = 0;
        memcpy(&word, at + bytes / 8 * 8, bytes % 8);
        uint64_t mixed = kv_mix64(word + key);
        print.sum += mixed;
        print.weighted += mixed * odd;
    }
    return print;
}

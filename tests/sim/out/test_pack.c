/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L   /* popen */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#include "sim/base/rng.h"
#include "sim/out/pack.h"

#define BYTES 131072

static const char *self;   /* how this program was started */

static void fill(uint8_t *data, int shape)
{
    for (uint64_t i = 0; i < BYTES; i++) {
        uint64_t random = kv_mix64(i + (uint64_t)shape);
        data[i] = (uint8_t)(shape == 0 ? random : shape == 1 ? 0 : shape == 2 ? i : random & 1);
    }
}

/* zlib undoes the deflate, this the shuffle: what HDF5's filters do on reading. */
static void unpacked_equals(const uint8_t *data, const void *packed, size_t packed_bytes, size_t count, size_t width)
{
    uint8_t *shuffled = calloc(1, BYTES);
    uLongf bytes = BYTES;
    assert_int_equal(uncompress(shuffled, &bytes, packed, (uLong)packed_bytes), Z_OK);
    assert_int_equal(bytes, count * width);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < width; j++) {
            if (shuffled[j * count + i] != data[i * width + j]) fail_msg("element %zu, byte %zu", i, j);
        }
    }
    free(shuffled);
}

static void every_width_and_length_reads_back(void **state)
{
    (void)state;
    uint8_t *data = calloc(1, BYTES);
    static const size_t counts[] = {1, 7, 8, 9, 63, 1000, 16384};
    for (int codec = KV_CODEC_FASTEST; codec <= KV_CODEC_ZLIB; codec++) {
        struct kv_pack *p = kv_pack_open((enum kv_codec)codec, BYTES);
        for (int shape = 0; shape < 4; shape++) {
            fill(data, shape);
            for (size_t width = 1; width <= 8; width *= 2) {
                for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
                    size_t bytes;
                    const void *packed = kv_pack_chunk(p, data, counts[c], width, &bytes);
                    unpacked_equals(data, packed, bytes, counts[c], width);
                }
            }
        }
        kv_pack_close(p);
    }
    free(data);
}

/* Every short length, then some long ones, of what small columns hold: few values, often repeated. */
static uint32_t checksum_of_many(void)
{
    uint8_t *data = calloc(1, BYTES);
    struct kv_pack *p = kv_pack_open(KV_CODEC_FASTEST, BYTES);
    uLong sum = crc32(0, NULL, 0);
    for (uint64_t i = 1; i <= 420; i++) {
        size_t count = i <= 400 ? (size_t)i : 1000 + (size_t)i * 20, bytes;
        for (uint64_t j = 0; j < count; j++) data[2 * j] = (uint8_t)(kv_mix64(i << 32 | j) % (2 + i % 3));
        const void *packed = kv_pack_chunk(p, data, count, 2, &bytes);
        sum = crc32(sum, packed, (uInt)bytes);
    }
    kv_pack_close(p);
    free(data);
    return (uint32_t)sum;
}

/* Semantics 31 asks for equal bytes of equal runs. ISA-L's levels 1 and 2 do not give them: they pack short inputs by
 * where the program was loaded, so only other processes show it. */
static void every_process_packs_alike(void **state)
{
    (void)state;
    char command[4200];
    snprintf(command, sizeof command, "'%s' checksum", self);
    uint32_t here = checksum_of_many();
    for (int i = 0; i < 12; i++) {
        FILE *child = popen(command, "r");
        uint32_t there;
        assert_non_null(child);
        assert_int_equal(fscanf(child, "%" SCNx32, &there), 1);
        assert_int_equal(pclose(child), 0);
        assert_int_equal(here, there);
    }
}

static void a_print_tells_what_differs(void **state)
{
    (void)state;
    uint64_t data[1000];
    for (uint64_t i = 0; i < 1000; i++) data[i] = kv_mix64(i);
    struct kv_print whole = kv_print_of(data, sizeof data), other;
    for (size_t bit = 0; bit < 64000; bit += 97) {
        data[bit / 64] ^= UINT64_C(1) << bit % 64;
        other = kv_print_of(data, sizeof data);
        assert_true(other.sum != whole.sum && other.weighted != whole.weighted);
        data[bit / 64] ^= UINT64_C(1) << bit % 64;
    }
    uint64_t swap = data[3];
    data[3] = data[4];
    data[4] = swap;
    other = kv_print_of(data, sizeof data);
    assert_true(other.sum != whole.sum);
    /* The rule of pack.h by hand, with a tail of 3 bytes. */
    static const uint8_t small[11] = {1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 3};
    uint64_t step = UINT64_C(0x9e3779b97f4a7c15), m0 = kv_mix64(1 + step), m1 = kv_mix64(0x030002 + 2 * step);
    other = kv_print_of(small, sizeof small);
    assert_true(other.sum == m0 + m1 && other.weighted == m0 + 3 * m1);
}

int main(int argc, char **argv)
{
    self = argv[0];
    if (argc > 1) {
        printf("%" PRIx32 "\n", checksum_of_many());
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_width_and_length_reads_back),
        cmocka_unit_test(every_process_packs_alike),
        cmocka_unit_test(a_print_tells_what_differs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

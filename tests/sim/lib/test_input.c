/* SPDX-License-Identifier: Apache-2.0 */
/* Lines from plain and gzip files, and every way in which such a file can be broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <unistd.h>
#include <zlib.h>

#include "sim/base/rng.h"
#include "sim/lib/input.h"

static char path[] = "/tmp/kvsim_input_XXXXXX";

static int make_path(void **unused)
{
    (void)unused;
    int file = mkstemp(path);
    return file < 0 ? -1 : close(file);
}

static int remove_path(void **unused)
{
    (void)unused;
    return unlink(path);
}

static void put(const void *bytes, size_t count, const char *mode)
{
    FILE *f = fopen(path, mode);
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, count, f), count);
    fclose(f);
}

/* `text` as one gzip member; returns its size. `out` has room. */
static size_t gzip(const void *text, size_t count, unsigned char *out, size_t room)
{
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (unsigned char *)(uintptr_t)text;
    z.avail_in = (uInt)count;
    z.next_out = out;
    z.avail_out = (uInt)room;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return room - z.avail_out;
}

/* Reads everything; joins the lines with '|'. The return value is that of the last call. */
static int read_lines(char *joined, size_t room, struct kv_err *err, char digest[65])
{
    struct kv_input in = {0};
    size_t used = 0;
    int got;
    joined[0] = '\0';
    assert_true(kv_input_open(&in, path, true, err));
    while ((got = kv_input_line(&in, err)) == 1) {
        used += (size_t)snprintf(joined + used, room - used, "%s|", in.line);
        assert_int_equal(in.length, strlen(in.line));
    }
    if (got < 0) assert_int_equal(kv_input_line(&in, err), 0);   /* an error ends the stream */
    if (digest) memcpy(digest, in.digest, 65);
    kv_input_close(&in);
    return got;
}

static void expect_lines(const void *bytes, size_t count, const char *expected)
{
    char joined[4096];
    struct kv_err err;
    put(bytes, count, "wb");
    assert_int_equal(read_lines(joined, sizeof joined, &err, NULL), 0);
    assert_string_equal(joined, expected);
}

static void expect_error(const char *lines, int line, const char *text)
{
    char joined[4096], where[300];
    struct kv_err err;
    assert_int_equal(read_lines(joined, sizeof joined, &err, NULL), -1);
    assert_string_equal(joined, lines);
    snprintf(where, sizeof where, "%s:%d", path, line);
    assert_string_equal(err.where, where);
    assert_int_equal(err.code, KV_ETRACE);
    assert_non_null(strstr(err.text, text));
}

static void lines_end_with_lf_crlf_or_the_file(void **unused)
{
    (void)unused;
    expect_lines("", 0, "");
    expect_lines("a", 1, "a|");
    expect_lines("a\n", 2, "a|");
    expect_lines("a\r\nb\r\n", 6, "a|b|");
    expect_lines("a\n\nb", 4, "a||b|");
    expect_lines("\r\n", 2, "|");
    expect_lines("\xef\xbb\xbf" "a,b\n1,2", 10, "a,b|1,2|");
}

static void gzip_members_in_a_row_read_as_one_text(void **unused)
{
    (void)unused;
    unsigned char bytes[512];
    size_t count = gzip("one\ntw", 6, bytes, sizeof bytes);
    count += gzip("", 0, bytes + count, sizeof bytes - count);
    count += gzip("o\nthree", 7, bytes + count, sizeof bytes - count);
    expect_lines(bytes, count, "one|two|three|");
    memset(bytes + count, 0, 40);   /* padding of tape drives, which gzip(1) accepts */
    expect_lines(bytes, count + 40, "one|two|three|");
}

static void digest_is_of_the_text_not_of_its_packing(void **unused)
{
    (void)unused;
    char joined[64], plain[65], packed[65];
    unsigned char bytes[512];
    struct kv_err err;
    put("abc", 3, "wb");
    read_lines(joined, sizeof joined, &err, plain);
    /* FIPS 180-2, appendix B.1 */
    assert_string_equal(plain, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    put(bytes, gzip("abc", 3, bytes, sizeof bytes), "wb");
    read_lines(joined, sizeof joined, &err, packed);
    assert_string_equal(plain, packed);
}

static void every_truncation_of_a_gzip_file_is_an_error(void **unused)
{
    (void)unused;
    unsigned char bytes[512];
    char joined[4096];
    struct kv_err err;
    size_t count = gzip("first line\nsecond line\nthird\n", 29, bytes, sizeof bytes);
    for (size_t cut = 2; cut < count; cut++) {
        put(bytes, cut, "wb");
        assert_int_equal(read_lines(joined, sizeof joined, &err, NULL), -1);
        assert_int_equal(err.code, KV_ETRACE);
        assert_non_null(strstr(err.text, "truncated"));
    }
    put(bytes, count, "wb");
    assert_int_equal(read_lines(joined, sizeof joined, &err, NULL), 0);
}

static void damage_in_a_gzip_file_is_never_taken_for_text(void **unused)
{
    (void)unused;
    unsigned char bytes[512];
    char joined[4096];
    struct kv_err err;
    const char *text = "first line\nsecond line\nthird\n";
    size_t count = gzip(text, strlen(text), bytes, sizeof bytes);
    for (size_t at = 12; at < count; at++) {   /* behind the header, whose time and flags nobody checks */
        bytes[at] ^= 0x10;
        put(bytes, count, "wb");
        assert_int_equal(read_lines(joined, sizeof joined, &err, NULL), -1);
        bytes[at] ^= 0x10;
    }
    memcpy(bytes + count, "garbage", 7);
    put(bytes, count + 7, "wb");
    expect_error("first line|second line|third|", 4, "followed by something else");
}

static void empty_members_without_end_are_refused(void **unused)
{
    (void)unused;
    unsigned char bytes[64];
    size_t count = gzip("", 0, bytes, sizeof bytes);
    put(bytes, count, "wb");
    for (int i = 0; i < 3000; i++) put(bytes, count, "ab");
    expect_error("", 1, "without content");
}

static void nul_bytes_and_endless_lines_are_refused(void **unused)
{
    (void)unused;
    put("good\nba\0d\n", 10, "wb");
    expect_error("good|", 2, "NUL byte");
    size_t long_line = KV_INPUT_LINE_MAX + 1000000, room = 1 << 20;
    char *text = malloc(long_line);
    unsigned char *packed = malloc(room);
    memset(text, 'x', long_line);
    memcpy(text, "good\n", 5);
    put(packed, gzip(text, long_line, packed, room), "wb");
    expect_error("good|", 2, "longer than 64 MiB");
    free(packed);
    free(text);
}

static void a_missing_file_is_an_io_error(void **unused)
{
    (void)unused;
    struct kv_input in = {0};
    struct kv_err err;
    assert_false(kv_input_open(&in, "/tmp/kvsim_no_such_file", true, &err));
    assert_int_equal(err.code, KV_EIO);
    assert_int_equal(kv_input_line(&in, &err), 0);
    kv_input_close(&in);
    struct kv_input folder = {0};
    assert_true(kv_input_open(&folder, "/tmp", true, &err));
    assert_int_equal(kv_input_line(&folder, &err), -1);
    assert_int_equal(err.code, KV_EIO);
    kv_input_close(&folder);
}

/* Random text with lines of every length around the buffer's steps, cut into random members. */
static void random_texts_come_back_line_by_line(void **unused)
{
    (void)unused;
    for (uint64_t round = 0; round < 40; round++) {
        struct kv_rng state;
        gsl_rng *rng = kv_rng_at(&state, 7, kv_stream("test.input"), round);
        size_t count = 1 + gsl_rng_get(rng) % (round < 30 ? 2000 : 2000000), room = count * 2 + 100000;
        char *text = malloc(count);
        unsigned char *packed = malloc(room);
        unsigned long rarity = 1 + gsl_rng_get(rng) % (round < 30 ? 30 : 300000);
        for (size_t i = 0; i < count; i++)
            text[i] = gsl_rng_get(rng) % rarity == 0 ? '\n' : (char)('a' + gsl_rng_get(rng) % 26);
        size_t size = 0;
        for (size_t at = 0, step; at < count; at += step) {
            step = 1 + gsl_rng_get(rng) % (count / 3 + 1);
            if (step > count - at) step = count - at;
            size += gzip(text + at, step, packed + size, room - size);
        }
        for (int form = 0; form < 2; form++) {
            if (form == 0) put(text, count, "wb");
            else put(packed, size, "wb");
            struct kv_input in = {0};
            struct kv_err err;
            size_t at = 0;
            int64_t lines = 0;
            assert_true(kv_input_open(&in, path, false, &err));
            while (kv_input_line(&in, &err) == 1) {
                size_t length = 0;
                while (at + length < count && text[at + length] != '\n') length++;
                assert_int_equal(in.length, length);
                assert_memory_equal(in.line, text + at, length);
                for (int i = 0; i < KV_INPUT_PADDING; i++) (void)*(volatile char *)(in.line + length + i);
                at += length + 1;
                assert_int_equal(in.line_number, ++lines);
            }
            assert_true(at == count || at == count + 1);
            assert_int_equal(in.bytes, count);
            assert_string_equal(in.digest, "");
            kv_input_close(&in);
        }
        free(packed);
        free(text);
    }
}

static void excerpts_are_printable_and_short(void **unused)
{
    (void)unused;
    assert_string_equal(kv_excerpt("ab\x01\xff", 4).text, "ab\\x01\\xff");
    char raw[100];
    memset(raw, 1, sizeof raw);
    assert_int_equal(strlen(kv_excerpt(raw, sizeof raw).text), 163);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_end_with_lf_crlf_or_the_file),
        cmocka_unit_test(gzip_members_in_a_row_read_as_one_text),
        cmocka_unit_test(digest_is_of_the_text_not_of_its_packing),
        cmocka_unit_test(every_truncation_of_a_gzip_file_is_an_error),
        cmocka_unit_test(damage_in_a_gzip_file_is_never_taken_for_text),
        cmocka_unit_test(empty_members_without_end_are_refused),
        cmocka_unit_test(nul_bytes_and_endless_lines_are_refused),
        cmocka_unit_test(a_missing_file_is_an_io_error),
        cmocka_unit_test(random_texts_come_back_line_by_line),
        cmocka_unit_test(excerpts_are_printable_and_short),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}

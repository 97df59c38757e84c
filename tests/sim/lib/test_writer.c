/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <unistd.h>

#include "sim/lib/input.h"
#include "sim/lib/writer.h"

static char folder[] = "/tmp/kvsim_writer_XXXXXX";
static char plain[64], packed[64], temporary[80];

static int make_folder(void **unused)
{
    (void)unused;
    if (!mkdtemp(folder)) return -1;
    snprintf(plain, sizeof plain, "%s/t.csv", folder);
    snprintf(packed, sizeof packed, "%s/t.csv.gz", folder);
    snprintf(temporary, sizeof temporary, "%s.tmp", plain);
    return 0;
}

static int remove_folder(void **unused)
{
    (void)unused;
    unlink(plain);
    unlink(packed);
    return rmdir(folder);
}

static void write_lines(const char *path, bool force)
{
    struct kv_writer w;
    struct kv_err err;
    assert_true(kv_writer_open(&w, path, force, &err));
    for (int i = 0; i < 5000; i++) kv_writer_text(&w, "%d,%s\n", i, "abc");
    assert_true(kv_writer_commit(&w, &err));
    kv_writer_close(&w);
}

static void plain_and_gzip_hold_the_same_text(void **unused)
{
    (void)unused;
    write_lines(plain, false);
    write_lines(packed, false);
    char digest[2][65];
    for (int i = 0; i < 2; i++) {
        struct kv_input in = {0};
        struct kv_err err;
        int lines = 0;
        assert_true(kv_input_open(&in, i ? packed : plain, true, &err));
        while (kv_input_line(&in, &err) == 1) lines++;
        assert_int_equal(lines, 5000);
        assert_true(i == 0 || in.gunzip);
        memcpy(digest[i], in.digest, 65);
        kv_input_close(&in);
    }
    assert_string_equal(digest[0], digest[1]);
}

static void an_existing_file_is_kept_unless_forced(void **unused)
{
    (void)unused;
    struct kv_writer w;
    struct kv_err err;
    assert_false(kv_writer_open(&w, plain, false, &err));
    assert_int_equal(err.code, KV_EUSAGE);
    assert_non_null(strstr(err.text, "--force"));
    write_lines(plain, true);
}

static void without_a_commit_nothing_is_left(void **unused)
{
    (void)unused;
    struct kv_writer w;
    struct kv_err err;
    unlink(plain);
    assert_true(kv_writer_open(&w, plain, false, &err));
    kv_writer_text(&w, "half");
    assert_int_equal(access(temporary, F_OK), 0);
    kv_writer_close(&w);
    assert_int_not_equal(access(temporary, F_OK), 0);
    assert_int_not_equal(access(plain, F_OK), 0);
    assert_false(kv_writer_open(&w, "/tmp/kvsim_no_such_folder/x", false, &err));
    assert_int_equal(err.code, KV_EIO);
}

static void a_full_disk_is_told(void **unused)
{
    (void)unused;
    struct kv_writer w;
    struct kv_err err;
    if (access("/dev/full", W_OK) != 0) {
        printf("SKIP: /dev/full is absent\n");
        skip();
    }
    assert_int_equal(symlink("/dev/full", temporary), 0);   /* what is opened is PATH.tmp */
    assert_true(kv_writer_open(&w, plain, true, &err));
    for (int i = 0; i < 100000; i++) kv_writer_text(&w, "%d,%s\n", i, "abc");
    assert_false(kv_writer_commit(&w, &err));
    assert_int_equal(err.code, KV_EIO);
    assert_int_not_equal(access(plain, F_OK), 0);
    kv_writer_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_and_gzip_hold_the_same_text),
        cmocka_unit_test(an_existing_file_is_kept_unless_forced),
        cmocka_unit_test(without_a_commit_nothing_is_left),
        cmocka_unit_test(a_full_disk_is_told),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

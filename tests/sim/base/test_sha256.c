/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sim/base/sha256.h"

/* FIPS 180-2, appendix B, and the digest of nothing. */
static const struct { const char *text; size_t repeat; const char *hex; } known[] = {
    {"", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    {"aaaaaaaaaa", 100000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
};

static void digests_are_the_published_ones_however_the_bytes_come(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        struct kv_sha256 s;
        char hex[65];
        kv_sha256_open(&s);
        for (size_t k = 0; k < known[i].repeat; k++) kv_sha256_add(&s, known[i].text, strlen(known[i].text));
        kv_sha256_hex(&s, hex);
        assert_string_equal(hex, known[i].hex);
        kv_sha256_close(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(digests_are_the_published_ones_however_the_bytes_come)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

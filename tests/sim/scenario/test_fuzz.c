/* SPDX-License-Identifier: Apache-2.0 */
/* Damaged scenarios: whatever the bytes, loading ends in a scenario or in messages, never in a crash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "sim/base/rng.h"
#include "sim/scenario/scenario.h"

static char path[200];
static char text[8192];
static size_t length;

static int read_scenario(void **state)
{
    (void)state;
    FILE *file = fopen("configs/three_tiers.yaml", "r");
    if (!file) return 1;
    length = fread(text, 1, sizeof text, file);
    fclose(file);
    const char *tmp = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/kvsim_fuzz_XXXXXX", tmp ? tmp : "/tmp");
    int fd = mkstemp(path);
    return fd < 0 || close(fd) || length < 1000 || length == sizeof text;
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

/* Loads damaged bytes; every message must have a file and, inside the text, a place. */
static bool load(const char *bytes, size_t size)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    struct kv_scenario s;
    struct kv_diag diag = {0};
    bool good = kv_scenario_load(&s, path, NULL, 0, &diag);
    assert_int_equal(good, diag.errors == 0);
    for (size_t i = 0; i < diag.note.count; i++) {
        assert_true(*diag.note.at[i].pos.file && *diag.note.at[i].text);
        assert_true(diag.note.at[i].pos.line == 0 || diag.note.at[i].pos.column > 0);
    }
    assert_true(good || strlen(kv_diag_text(&diag, false)) > 10);
    kv_diag_text(&diag, true);
    if (good) kv_scenario_resolved(&s, true);
    kv_scenario_close(&s);
    kv_diag_close(&diag);
    return good;
}

static void every_truncation_is_survived(void **state)
{
    (void)state;
    int32_t refused = 0;
    for (size_t size = 0; size < length; size += size < 400 ? 1 : 7) refused += !load(text, size);
    assert_true(refused > 300);
}

static void flipped_bytes_are_survived(void **state)
{
    (void)state;
    char bytes[sizeof text];
    for (uint64_t i = 0; i < 600; i++) {
        memcpy(bytes, text, length);
        for (uint64_t k = 0; k <= i % 4; k++) {
            uint64_t r = kv_mix64_pair(i, k);
            bytes[r % length] = (char)(i % 3 == 0 ? r >> 40 : (uint64_t)"{}[]:,-#&*!|>'\"%@ \n\t0~"[(r >> 40) % 22]);
        }
        load(bytes, length);
    }
}

static void moved_pieces_are_survived(void **state)
{
    (void)state;
    char bytes[sizeof text];
    for (uint64_t i = 0; i < 300; i++) {
        memcpy(bytes, text, length);
        uint64_t r = kv_mix64(i + 77), size = 1 + (r >> 50) % 40;
        memmove(bytes + r % (length - 40), bytes + (r >> 20) % (length - 40), size);
        load(bytes, length);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_truncation_is_survived), cmocka_unit_test(flipped_bytes_are_survived),
        cmocka_unit_test(moved_pieces_are_survived),
    };
    return cmocka_run_group_tests(tests, read_scenario, remove_file);
}

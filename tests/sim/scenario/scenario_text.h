/* SPDX-License-Identifier: Apache-2.0 */
/* Scenarios as texts, for tests: written into a folder of their own, loaded, and what came of it. */
#ifndef KV_TESTS_SCENARIO_TEXT_H
#define KV_TESTS_SCENARIO_TEXT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "sim/scenario/scenario.h"

#define TRACE "tests/cli/wrong-scenarios/burstgpt_tiny.csv"
#define MINIMAL "model: {use: llama-3.1-8b}\ncluster: {nodes: {gpu: h100-sxm}}\nworkload: {trace: " TRACE "}\n"

static char folder[200];

static inline int make_folder(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/kvsim_scenario_XXXXXX", tmp ? tmp : "/tmp");
    return mkdtemp(folder) ? 0 : 1;
}

static inline const char *write_file(const char *name, const char *text)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    return path;
}

static inline int remove_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"a.yaml", "b.yaml", "resolved.yaml", "my-model.yaml", "profile.yaml"};
    char path[256];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    return rmdir(folder);
}

/* Loads a text, or fails the test with the messages. The caller closes. */
static inline void load(struct kv_scenario *s, const char *text, const struct kv_override *set, int32_t set_count)
{
    struct kv_diag diag = {0};
    if (!kv_scenario_load(s, write_file("a.yaml", text), set, set_count, &diag))
        fail_msg("%s", kv_diag_text(&diag, false));
    kv_diag_close(&diag);
}

/* The messages of a text that must not load. */
static inline void expect_error(const char *text, const char *part)
{
    struct kv_scenario s;
    struct kv_diag diag = {0};
    bool good = kv_scenario_load(&s, write_file("a.yaml", text), NULL, 0, &diag);
    const char *messages = kv_diag_text(&diag, false);
    if (good || !strstr(messages, part)) fail_msg("expected \"%s\", got:\n%s", part, messages);
    kv_scenario_close(&s);
    kv_diag_close(&diag);
}

/* A text that loads, with `count` warnings, one of which has `part`. */
static inline void expect_warnings(const char *text, int32_t count, const char *part)
{
    struct kv_scenario s;
    struct kv_diag diag = {0};
    bool good = kv_scenario_load(&s, write_file("a.yaml", text), NULL, 0, &diag);
    const char *messages = kv_diag_text(&diag, false);
    if (!good || diag.warnings != count || !strstr(messages, part))
        fail_msg("expected %d warnings, one with \"%s\", got:\n%s", count, part, messages);
    kv_scenario_close(&s);
    kv_diag_close(&diag);
}

/* What is printed as resolved loads to the same again, with the comments of --origin too. */
static inline void expect_fixpoint(const char *text, const struct kv_override *set, int32_t set_count)
{
    struct kv_scenario s, again;
    struct kv_diag diag = {0};
    load(&s, text, set, set_count);
    const char *resolved = kv_scenario_resolved(&s, false);
    if (!kv_scenario_load(&again, write_file("resolved.yaml", resolved), NULL, 0, &diag))
        fail_msg("%s\n%s", kv_diag_text(&diag, false), resolved);
    assert_string_equal(resolved, kv_scenario_resolved(&again, false));
    assert_int_equal(s.sim.hbm_blocks, again.sim.hbm_blocks);
    kv_scenario_close(&again);

    struct kv_diag commented = {0};   /* the comments of --origin change nothing */
    const char *origin = kv_scenario_resolved(&s, true);
    assert_true(kv_scenario_load(&again, write_file("resolved.yaml", origin), NULL, 0, &commented));
    assert_string_equal(resolved, kv_scenario_resolved(&again, false));
    kv_scenario_close(&again);
    kv_scenario_close(&s);
    kv_diag_close(&diag);
    kv_diag_close(&commented);
}

#endif

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
#include "sim/scenario/sections.h"

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

static void write_bytes(const char *bytes, size_t size)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* What a good scenario resolves to is good, and resolves to itself. */
static void check_fixpoint(const char *resolved)
{
    struct kv_scenario s;
    struct kv_diag diag = {0};
    write_bytes(resolved, strlen(resolved));
    if (!kv_scenario_load(&s, path, NULL, 0, &diag)) fail_msg("%s\n%s", kv_diag_text(&diag, false), resolved);
    assert_string_equal(resolved, kv_scenario_resolved(&s, false));
    kv_scenario_close(&s);
    kv_diag_close(&diag);
}

/* Loads damaged bytes; every message must have a file and, inside the text, a place. */
static bool load(const char *bytes, size_t size, bool twice)
{
    write_bytes(bytes, size);
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
    if (good && twice) check_fixpoint(kv_scenario_resolved(&s, false));
    kv_scenario_close(&s);
    kv_diag_close(&diag);
    return good;
}

static void every_truncation_is_survived(void **state)
{
    (void)state;
    int32_t refused = 0;
    for (size_t size = 0; size < length; size += size < 400 ? 1 : 7) refused += !load(text, size, false);
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
        load(bytes, length, false);
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
        load(bytes, length, false);
    }
}

/* ---- scenarios made of the tables ---- */

/* A scenario whose keys are those of the tables, some misspelt, with values that are right, at an edge, or anything. */
struct maker { char text[16384]; size_t length; uint64_t draws, seed; bool tame; };

static uint64_t below(struct maker *m, uint64_t bound)
{
    return kv_mix64_pair(m->seed, m->draws++) % bound;
}

static void put(struct maker *m, const char *part)
{
    size_t size = strlen(part);
    if (m->length + size >= sizeof m->text) return;
    memcpy(m->text + m->length, part, size + 1);
    m->length += size;
}

static const char *plugin_name(struct maker *m, enum kv_family family)
{
    int32_t count, of_family = 0;
    const struct kv_plugin *all = kv_plugins(&count);
    for (int32_t i = 0; i < count; i++) of_family += all[i].family == family;
    int32_t nth = of_family ? (int32_t)below(m, (uint64_t)of_family) : 0;
    for (int32_t i = 0; i < count; i++)
        if (all[i].family == family && nth-- == 0) return all[i].name;
    return "none";
}

/* One that its table allows, most of the time. */
static void put_tame(struct maker *m, const struct kv_param *p)
{
    static const char *const by_dim[] = {"2", "64", "64GiB", "1", "0.5", "5us", "100Gbps", "1/s", "1TFLOPS", "true"};
    char name[32];
    int32_t words = 0;
    snprintf(name, sizeof name, "n%d", (int)m->draws);
    while (p->choices && p->choices[words]) words++;
    if (!strcmp(p->key, "gpu")) put(m, "h100-sxm");
    else if (words) put(m, p->choices[below(m, (uint64_t)words)]);
    else if (p->dim == KV_DIM_TEXT) put(m, name);
    else put(m, p->preset && *p->preset && below(m, 2) ? p->preset : by_dim[p->dim]);
}

static void put_value(struct maker *m, const struct kv_param *p)
{
    if (m->tame && below(m, 200)) {
        put_tame(m, p);
        return;
    }
    static const char *const anything[] = {
        "0", "-1", "3", "1.5", "64", "256", "1GiB", "512GiB", "0B", "5us", "2s", "100Gbps", "0bps", "10GB/s", "90%",
        "true", "unlimited", "auto", "none", "always", "fabric", "dram", "[]", "[dram]", "[dram, fabric]", "{}", "null",
        "''", "{kind: fifo}", "{profile: nvme}", "rgw-loopback", "{a: {b: [1, {c: 2}]}}", "1e300", "nan",
    };
    uint64_t what = below(m, 4);
    int32_t words = 0;
    while (p->choices && p->choices[words]) words++;
    if (what < 2 && words) put(m, p->choices[below(m, (uint64_t)words)]);
    else if (what < 2 && p->preset && *p->preset) put(m, p->preset);
    else put(m, anything[below(m, sizeof anything / sizeof *anything)]);
}

static void put_section(struct maker *m, const struct kv_section *section, int depth);

static void put_params(struct maker *m, const struct kv_param *params)
{
    for (const struct kv_param *p = params; p && p->key; p++) {
        if (below(m, 3) && !(m->tame && !p->preset)) continue;
        put(m, p->key);
        put(m, ": ");
        put_value(m, p);
        put(m, ", ");
    }
}

/* A plug-in of the family: its name, or a map with some of its parameters. */
static void put_plugin(struct maker *m, enum kv_family family, const struct kv_section *extra)
{
    const char *name = plugin_name(m, family);
    if (below(m, 3) == 0) {
        put(m, name);
        return;
    }
    put(m, "{kind: ");
    put(m, name);
    put(m, ", ");
    put_params(m, kv_plugin_find(family, name) ? kv_plugin_find(family, name)->info->params : NULL);
    if (extra) put_params(m, extra->params);
    put(m, "}");
}

static void put_special(struct maker *m, const struct kv_special *s, int depth)
{
    static const char *const names[] = {"fabric", "dram", "b", "default"};
    const struct kv_section *section = s->section ? kv_section_find(s->section) : NULL;
    bool wild = below(m, m->tame ? 300 : 12) == 0;
    if (wild || depth > 4) put_value(m, &s->param);
    else if (s->form == KV_FORM_PLUGIN) put_plugin(m, s->family, section);
    else if (s->form == KV_FORM_PARAMS) put_plugin(m, s->family, NULL);
    else if (s->form == KV_FORM_NAME && s->family != KV_FAMILY_COUNT) put(m, plugin_name(m, s->family));
    else if (s->form == KV_FORM_MAP || (s->form == KV_FORM_WORD_MAP && section)) put_section(m, section, depth + 1);
    else if (s->form == KV_FORM_MAP_OF) {
        put(m, "{");
        for (uint64_t i = below(m, 4); i < 4; i++) {
            put(m, names[i]);
            put(m, ": ");
            if (s->family == KV_FAMILY_COUNT) put_section(m, section, depth + 1);
            else put_plugin(m, s->family, section);
            put(m, ", ");
        }
        put(m, "}");
    } else if (s->form == KV_FORM_LIST) {
        put(m, "[{kind: hbm, num_gpu_blocks: 500}");
        for (uint64_t i = below(m, 9); i < 6; i++) {
            put(m, ", ");
            put_section(m, kv_section_find("tiers[1..]"), depth + 1);
        }
        put(m, "]");
    } else put_value(m, &s->param);
}

static void put_section(struct maker *m, const struct kv_section *section, int depth)
{
    put(m, "{");
    put_params(m, section->params);
    for (const struct kv_special *s = section->specials; s && s->param.key; s++) {
        bool needed = !strcmp(s->param.key, "kind") || !strcmp(s->param.key, "capacity");
        bool unsure = !strcmp(s->param.key, "fill") || !strcmp(s->param.key, "link") || s->form == KV_FORM_PARAMS
                      || !strcmp(s->param.key, "chunk_tokens") || !strcmp(s->param.key, "epoch");
        if (m->tame ? !needed && (unsure || below(m, 2)) : below(m, 4) == 0) continue;
        put(m, s->param.key);
        put(m, m->tame || below(m, 60) ? ": " : "x: ");
        put_special(m, s, depth);
        put(m, ", ");
    }
    put(m, "}");
}

static void scenarios_of_all_keys_are_survived(void **state)
{
    (void)state;
    static const char *const keys[] = {"tiers", "network", "fetch", "transfer", "disaggregation", "cluster"};
    static struct maker m;
    int32_t good = 0;
    for (uint64_t i = 0; i < 3000; i++) {
        m = (struct maker){.seed = i, .tame = i % 2};
        put(&m, "model: {use: llama-3.1-8b}\nworkload: {format: synth}\ncompute: {kind: affine, decode_base: 1ms}\n");
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
            if (below(&m, 3) == 0) continue;
            put(&m, keys[k]);
            put(&m, ": ");
            for (const struct kv_special *s = kv_section_top.specials; s->param.key; s++)
                if (!strcmp(s->param.key, keys[k])) put_special(&m, s, 0);
            put(&m, "\n");
        }
        good += load(m.text, m.length, true);
    }
    print_message("%d of 3000 are good\n", good);
    assert_true(good > 100 && good < 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_truncation_is_survived), cmocka_unit_test(flipped_bytes_are_survived),
        cmocka_unit_test(moved_pieces_are_survived), cmocka_unit_test(scenarios_of_all_keys_are_survived),
    };
    return cmocka_run_group_tests(tests, read_scenario, remove_file);
}

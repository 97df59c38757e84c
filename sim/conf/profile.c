/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/conf/profile.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "sim/conf/bind.h"
#include "sim/lib/writer.h"

/* ---- the tables ---- */

/* Tables of a profile: file, form, the first of its knots in struct kv_profile (the others follow). */
static const struct table { const char *file; struct kv_knots_form form; size_t offset; bool optional; } tables[] = {
    {"dense.csv", {{"tokens"}, {"layer_us", "once_us"}}, offsetof(struct kv_profile, layer), false},
    {"head.csv", {{"sequences"}, {"time_us"}}, offsetof(struct kv_profile, head), false},
    {"prefill.csv", {{"new_tokens", "cached_tokens"}, {"time_us"}}, offsetof(struct kv_profile, prefill), false},
    {"decode.csv", {{"sequences", "kv_tokens"}, {"time_us"}}, offsetof(struct kv_profile, decode), false},
    {"mixed.csv", {{"sequences", "kv_tokens"}, {"time_us"}}, offsetof(struct kv_profile, mixed), false},
    {"shares.csv", {{"sequences"}, {"longest_decode_permille", "longest_mixed_permille", "added_permille"}},
     offsetof(struct kv_profile, longest_decode), false},
    {"experts.csv", {{"tokens", "active_experts"}, {"time_us"}}, offsetof(struct kv_profile, experts), true},
};
#define TABLES (sizeof tables / sizeof *tables)

static const struct kv_knots *knots_of(const struct kv_profile *p, const struct table *t)
{
    return (const struct kv_knots *)((const char *)p + t->offset);
}

static bool read_tables(struct kv_arena *arena, const char *folder, struct kv_profile *p, struct kv_err *err)
{
    for (size_t i = 0; i < TABLES; i++) {
        const struct table *t = &tables[i];
        const char *path = kv_arena_text(arena, "%s/%s", folder, t->file);
        struct kv_knots *knots = (struct kv_knots *)((char *)p + t->offset);
        struct stat info;
        if (t->optional && stat(path, &info) != 0) continue;
        if (!kv_knots_read(arena, path, &t->form, knots, err)) return false;
        /* More work is never cheaper: what pricing relies on. Shares are no costs. */
        for (int32_t j = 0; t->form.value[j] && strcmp(t->file, "shares.csv") != 0; j++)
            if (!kv_knots_check(path, &knots[j], KV_KNOTS_RISING, err)) return false;
    }
    return true;
}

/* ---- profile.yaml ---- */

struct head { int64_t version; struct kv_profile p; };
#define TEXT(key, help) \
    { #key, KV_DIM_TEXT, offsetof(struct head, p.key), NULL, 0, 0, NULL, help, NULL }
static const struct kv_param head_params[] = {
    { "kvsim_profile", KV_DIM_COUNT, offsetof(struct head, version), NULL, 1, 1 << 20, NULL,
      "version of this form", NULL },
    TEXT(gpu, "name of the GPU (models/gpus)"),
    TEXT(model, "name of the model (models/data)"),
    { "tp", KV_DIM_COUNT, offsetof(struct head, p.tp), NULL, 1, 1024, NULL, "tensor-parallel GPUs", NULL },
    TEXT(dtype, "type of weights and KV cache"),
    TEXT(engine, "what ran when it was measured"),
    TEXT(mode, "how it was measured"),
    TEXT(measured, "when"),
    TEXT(source, "where the measurements come from"),
    TEXT(commit, "their version"),
    TEXT(licence, "their licence"),
    { "mixed_block", KV_DIM_TIME, offsetof(struct head, p.mixed_block_s), NULL, 0, 1e-3, NULL,
      "start of a block: per decoding sequence and token of the longest chunk, in a layer", NULL },
    { "holdout_permille", KV_DIM_COUNT, offsetof(struct head, p.holdout_permille), NULL, 0, 999, NULL,
      "measured points held out to tell the errors below, in thousandths", NULL },
    { "holdout_seed", KV_DIM_COUNT, offsetof(struct head, p.holdout_seed), NULL, 0, 0x1p52, NULL,
      "which points", NULL },
    KV_PARAM_END
};
#define SHARE(key) \
    { #key, KV_DIM_NUMBER, offsetof(struct kv_profile_errors, key), NULL, 0, 1000, NULL, "mean relative error", NULL }
static const struct kv_param error_params[] = {
    SHARE(dense), SHARE(head), SHARE(prefill), SHARE(decode), SHARE(mixed), SHARE(shares), KV_PARAM_END
};
static const char *const other_keys[] = {"holdout", NULL};

static void bind_head(struct kv_arena *arena, struct kv_yaml *root, struct kv_profile *p, struct kv_diag *diag)
{
    struct head head = {0};
    struct kv_yaml *version = kv_yaml_get(root, "kvsim_profile"), *holdout = kv_yaml_get(root, "holdout");
    if (!kv_bind(arena, root, "", head_params, &head, diag)) return;
    if (head.version != KV_PROFILE_VERSION)
        kv_diag_add(diag, KV_ERROR, version->pos, NULL, "a profile of version %lld; this program reads version %d",
                    (long long)head.version, KV_PROFILE_VERSION);
    if (!holdout)
        kv_diag_add(diag, KV_ERROR, root->pos, NULL, "missing required key 'holdout'");
    else if (kv_bind(arena, holdout, "holdout", error_params, &head.p.holdout, diag))
        kv_bind_unknown(holdout, "holdout", error_params, NULL, NULL, diag);
    kv_bind_unknown(root, "a profile", head_params, other_keys, NULL, diag);
    *p = head.p;
}

bool kv_profile_read(struct kv_arena *arena, const char *folder, struct kv_profile *profile, struct kv_err *err)
{
    struct kv_diag diag = {0};
    const char *text, *path = kv_arena_text(arena, "%s/profile.yaml", folder);
    size_t length;
    struct stat info;
    *profile = (struct kv_profile){0};
    if (stat(path, &info) != 0)
        return kv_fail(err, KV_ECALIB, path, "no such profile");
    if (kv_yaml_read(arena, path, &text, &length, &diag)) {
        struct kv_yaml *root = kv_yaml_parse(arena, path, text, length, &diag);
        if (root) bind_head(arena, root, profile, &diag);
    }
    bool good = diag.errors == 0 || kv_diag_fail(&diag, err);
    kv_diag_close(&diag);
    return good && read_tables(arena, folder, profile, err);
}

/* ---- writing ---- */

static void write_params(struct kv_arena *arena, struct kv_writer *w, const struct kv_param *params, const void *from,
                         const char *indent)
{
    for (const struct kv_param *p = params; p->key; p++) {
        const void *value = (const char *)from + p->offset;
        const char *text = p->dim == KV_DIM_TEXT ? kv_text_quoted(arena, *(const char *const *)value)
                                                 : kv_value_text(arena, p, value);
        kv_writer_text(w, "%s%s: %s\n", indent, p->key, text);
    }
}

bool kv_profile_write(struct kv_arena *arena, const char *folder, const struct kv_profile *profile,
                      struct kv_err *err)
{
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        return kv_fail(err, KV_EIO, folder, "cannot make the folder: %s", strerror(errno));
    for (size_t i = 0; i < TABLES; i++) {
        const char *path = kv_arena_text(arena, "%s/%s", folder, tables[i].file);
        if (tables[i].optional && knots_of(profile, &tables[i])->rows == 0) continue;
        if (!kv_knots_write(path, &tables[i].form, knots_of(profile, &tables[i]), err)) return false;
    }
    struct kv_writer w;
    if (!kv_writer_open(&w, kv_arena_text(arena, "%s/profile.yaml", folder), true, err)) return false;
    struct head head = {KV_PROFILE_VERSION, *profile};
    write_params(arena, &w, head_params, &head, "");
    kv_writer_text(&w, "holdout:   # mean |error| / measured, of points the fit had not seen\n");
    write_params(arena, &w, error_params, &profile->holdout, "  ");
    bool good = kv_writer_commit(&w, err);
    kv_writer_close(&w);
    return good;
}

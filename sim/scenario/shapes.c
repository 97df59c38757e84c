/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/scenario/shapes.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim/conf/bind.h"

/* ---- where the files are ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

struct names { KV_VEC(const char *) list; };

#define MEASURED_FILE "profile.yaml"   /* of a profile that is a folder, with tables beside it */

/* Where a name of a folder is: a file, or a folder of its own. */
static const char *shape_path(struct kv_arena *arena, const char *folder, const char *name)
{
    const char *file = kv_arena_text(arena, "%s/%s.yaml", folder, name);
    return access(file, F_OK) == 0 ? file : kv_arena_text(arena, "%s/%s/" MEASURED_FILE, folder, name);
}

/* Names of the .yaml files of a folder, without the ending, and of the folders with a profile in it, sorted. False when
 * it cannot be read. */
static bool list_folder(struct kv_arena *arena, const char *folder, struct names *names)
{
    DIR *dir = opendir(folder);
    if (!dir) return false;
    for (const struct dirent *e; (e = readdir(dir));) {
        size_t length = strlen(e->d_name);
        if (e->d_name[0] == '.') continue;
        if (length > 5 && strcmp(e->d_name + length - 5, ".yaml") == 0)
            kv_vec_push(&names->list, kv_arena_copy(arena, e->d_name, length - 5));
        else if (access(kv_arena_text(arena, "%s/%s/" MEASURED_FILE, folder, e->d_name), F_OK) == 0)
            kv_vec_push(&names->list, kv_arena_copy(arena, e->d_name, length));
    }
    closedir(dir);
    if (names->list.count) qsort(names->list.at, names->list.count, sizeof *names->list.at, by_name);
    return true;
}

/* ---- reading one file ---- */

static struct kv_yaml *read_file(struct kv_arena *arena, const char *path, struct kv_diag *diag)
{
    const char *text;
    size_t length;
    if (!kv_yaml_read(arena, path, &text, &length, diag)) return NULL;
    return kv_yaml_parse(arena, path, text, length, diag);
}

static bool same_name(const char *a, const char *b)
{
    for (; *a && *b; a++, b++) {
        char x = *a >= 'A' && *a <= 'Z' ? (char)(*a + 32) : *a, y = *b >= 'A' && *b <= 'Z' ? (char)(*b + 32) : *b;
        if (x != y) return false;
    }
    return *a == *b;
}

static bool has_alias(struct kv_yaml *root, const char *name)
{
    const struct kv_yaml *aliases = kv_yaml_get(root, "aliases");
    for (const struct kv_yaml *c = aliases ? aliases->child : NULL; c; c = c->next)
        if (c->kind == KV_YAML_SCALAR && same_name(c->text, name)) return true;
    return false;
}

static bool ends_with(const char *text, const char *end)
{
    size_t a = strlen(text), b = strlen(end);
    return a > b && !strcmp(text + a - b, end);
}

/* What a file is about: as messages call it, its folder, and `kvsim list` of it. */
static const struct kind { const char *noun, *folder, *list; } models = {"model", "models/data", "models"},
    gpus = {"GPU", "models/gpus", "gpus"}, store_profiles = {"store profile", "models/stores", "profiles"},
    link_profiles = {"link profile", "models/links", "profiles"};

/* The tree of the file that `name` means. NULL with a note when there is none. */
static struct kv_yaml *find_shape(struct kv_arena *arena, const struct kind *kind, const char **name,
                                  const char *folder, struct kv_pos at, struct kv_diag *diag)
{
    const char *path = *name, *data = NULL;
    if (ends_with(path, ".yaml")) {
        const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
        if (*path != '/' && *folder) path = kv_arena_text(arena, "%s/%s", folder, path);
        *name = kv_arena_copy(arena, base, strlen(base) - 5);
        return read_file(arena, path, diag);
    }
    data = kv_data_folder(arena);
    if (!data) {
        kv_diag_add(diag, KV_ERROR, at, "set KVSIM_DATA to the folder that holds 'models'",
                    "the data folder with %s was not found beside the program", kind->folder);
        return NULL;
    }
    struct names known = {0};
    const char *dir = kv_arena_text(arena, "%s/%s", data, kind->folder), *all = "";
    list_folder(arena, dir, &known);
    struct kv_yaml *root = NULL;
    for (size_t i = 0; i < known.list.count && !root; i++) {
        if (same_name(known.list.at[i], *name)) root = read_file(arena, shape_path(arena, dir, known.list.at[i]), diag);
        if (root) *name = known.list.at[i];
        all = kv_arena_text(arena, "%s%s%s", all, i ? ", " : "", known.list.at[i]);
    }
    for (size_t i = 0; i < known.list.count && !root; i++) {
        struct kv_yaml *tree = read_file(arena, shape_path(arena, dir, known.list.at[i]), diag);
        if (!tree || !has_alias(tree, *name)) continue;
        root = tree;
        *name = known.list.at[i];
    }
    if (!root) {
        const char *near = kv_suggest(*name, known.list.at, (int32_t)known.list.count);
        const char *hint = near ? kv_arena_text(arena, "did you mean '%s'?", near) : NULL;
        if (near) all = kv_arena_text(arena, "see `kvsim list %s`", kind->list);
        kv_diag_add(diag, KV_ERROR, at, hint, "unknown %s '%s' (%s%s; or the path of a .yaml file)", kind->noun, *name,
                    near ? "" : "known: ", all);
    }
    kv_vec_close(&known.list);
    return root;
}

/* ---- models ---- */

struct model_keys {
    const char *name, *source;
    int64_t attention, layers, hidden, heads, kv_heads, head_dim, intermediate, vocabulary, max_position_tokens,
        experts, experts_per_token, expert_intermediate, shared_experts, dense_layers,
        q_lora_rank, kv_lora_rank, rope_head_dim, nope_head_dim, value_head_dim;
    bool tied_embeddings, qk_norm;
    double dtype_bytes, kv_dtype_bytes;
};
static const char *const attentions[] = {"gqa", "mla", NULL};
#define SIZE(field, preset, least, help) \
    { #field, KV_DIM_COUNT, offsetof(struct model_keys, field), preset, least, 1 << 24, NULL, help, NULL }
static const struct kv_param model_params[] = {
    { "name", KV_DIM_TEXT, offsetof(struct model_keys, name), "", 0, 0, NULL, "as the file is called", NULL },
    { "attention", KV_DIM_CHOICE, offsetof(struct model_keys, attention), NULL, 0, 0, attentions,
      "gqa (also multi-head and multi-query) or mla", NULL },
    SIZE(layers, NULL, 1, "transformer layers"), SIZE(hidden, NULL, 1, "width of the residual stream"),
    SIZE(heads, NULL, 1, "query heads"), SIZE(kv_heads, NULL, 1, "key and value heads"),
    SIZE(head_dim, NULL, 1, "width of a head"), SIZE(intermediate, NULL, 0, "width of a dense MLP"),
    SIZE(vocabulary, NULL, 1, "rows of the embedding"),
    SIZE(max_position_tokens, NULL, 1, "longest context of the model"),
    { "tied_embeddings", KV_DIM_BOOL, offsetof(struct model_keys, tied_embeddings), "false", 0, 0, NULL,
      "the output layer shares the embedding's weights", NULL },
    { "qk_norm", KV_DIM_BOOL, offsetof(struct model_keys, qk_norm), "false", 0, 0, NULL,
      "heads of queries and keys are normalised", NULL },
    SIZE(experts, "0", 0, "routed experts; 0 for a dense model"),
    SIZE(experts_per_token, "0", 0, "experts that a token goes to"),
    SIZE(expert_intermediate, "0", 0, "width of one expert's MLP"),
    SIZE(shared_experts, "0", 0, "experts of every token"),
    SIZE(dense_layers, "0", 0, "leading layers with a dense MLP"),
    SIZE(q_lora_rank, "0", 0, "MLA: rank of the query projection; 0 for none"),
    SIZE(kv_lora_rank, "0", 0, "MLA: rank of the latent that is cached"),
    SIZE(rope_head_dim, "0", 0, "MLA: rotary part of a head"),
    SIZE(nope_head_dim, "0", 0, "MLA: other part of a head"),
    SIZE(value_head_dim, "0", 0, "MLA: width of a value head"),
    { "dtype_bytes", KV_DIM_NUMBER, offsetof(struct model_keys, dtype_bytes), "2", 0.125, 8, NULL,
      "bytes of a weight", NULL },
    { "kv_dtype_bytes", KV_DIM_NUMBER, offsetof(struct model_keys, kv_dtype_bytes), "2", 0.125, 8, NULL,
      "bytes of a cached number", NULL },
    { "source", KV_DIM_TEXT, offsetof(struct model_keys, source), "", 0, 0, NULL, "where the numbers come from",
      NULL },
    KV_PARAM_END
};
static const char *const other_keys[] = {"aliases", NULL};

static bool check_model(struct kv_yaml *root, const struct model_keys *k, struct kv_diag *diag)
{
    struct kv_yaml *at = kv_yaml_get(root, "attention");
    bool mla = k->attention == KV_ATTENTION_MLA;
    if (mla && (!k->kv_lora_rank || !k->rope_head_dim || !k->nope_head_dim || !k->value_head_dim))
        return kv_diag_add(diag, KV_ERROR, at->pos, NULL,
                           "mla needs kv_lora_rank, rope_head_dim, nope_head_dim and value_head_dim");
    if (!mla && k->heads % k->kv_heads)
        return kv_diag_add(diag, KV_ERROR, at->pos, NULL, "%lld heads are not a multiple of %lld kv_heads",
                           (long long)k->heads, (long long)k->kv_heads);
    if (k->experts && (!k->experts_per_token || !k->expert_intermediate || k->experts_per_token > k->experts))
        return kv_diag_add(diag, KV_ERROR, kv_yaml_get(root, "experts")->pos, NULL,
                           "experts need expert_intermediate and experts_per_token (at most experts)");
    if (k->dense_layers > k->layers)
        return kv_diag_add(diag, KV_ERROR, kv_yaml_get(root, "dense_layers")->pos, NULL,
                           "more dense_layers than layers");
    return true;
}

bool kv_model_load(struct kv_arena *arena, const char *name, const char *folder, struct kv_pos at,
                   struct kv_model_shape *shape, struct kv_diag *diag)
{
    struct kv_yaml *root = find_shape(arena, &models, &name, folder, at, diag);
    if (!root) return false;
    struct model_keys k = {0};
    kv_yaml_get(root, "aliases");
    bool good = kv_bind(arena, root, "", model_params, &k, diag);
    good = kv_bind_unknown(root, "a model file", model_params, other_keys, NULL, diag) && good;
    if (!good || !check_model(root, &k, diag)) return false;
    *shape = (struct kv_model_shape){
        .name = name, .attention = (enum kv_attention)k.attention, .layers = (int32_t)k.layers,
        .hidden = (int32_t)k.hidden, .heads = (int32_t)k.heads, .kv_heads = (int32_t)k.kv_heads,
        .head_dim = (int32_t)k.head_dim, .intermediate = (int32_t)k.intermediate,
        .vocabulary = (int32_t)k.vocabulary, .max_position_tokens = (int32_t)k.max_position_tokens,
        .tied_embeddings = k.tied_embeddings, .qk_norm = k.qk_norm, .experts = (int32_t)k.experts,
        .experts_per_token = (int32_t)k.experts_per_token, .expert_intermediate = (int32_t)k.expert_intermediate,
        .shared_experts = (int32_t)k.shared_experts, .dense_layers = (int32_t)k.dense_layers,
        .q_lora_rank = (int32_t)k.q_lora_rank, .kv_lora_rank = (int32_t)k.kv_lora_rank,
        .rope_head_dim = (int32_t)k.rope_head_dim, .nope_head_dim = (int32_t)k.nope_head_dim,
        .value_head_dim = (int32_t)k.value_head_dim, .dtype_bytes = k.dtype_bytes, .kv_dtype_bytes = k.kv_dtype_bytes,
    };
    return true;
}

/* ---- GPUs ---- */

struct gpu_keys {
    const char *name, *source;
    int64_t memory_bytes;
    double memory_bps, flops_bf16, flops_fp8, link_bps, pcie_bps;
};
#define RATE(key, dim, field, preset, help) \
    { key, dim, offsetof(struct gpu_keys, field), preset, 0, 1e18, NULL, help, NULL }
static const struct kv_param gpu_params[] = {
    { "name", KV_DIM_TEXT, offsetof(struct gpu_keys, name), "", 0, 0, NULL, "as the file is called", NULL },
    { "memory", KV_DIM_BYTES, offsetof(struct gpu_keys, memory_bytes), NULL, 1, 1e15, NULL, "device memory", NULL },
    RATE("memory_bandwidth", KV_DIM_BITS_PER_S, memory_bps, NULL, "device memory bandwidth"),
    RATE("flops_bf16", KV_DIM_FLOPS, flops_bf16, NULL, "dense bf16 peak"),
    RATE("flops_fp8", KV_DIM_FLOPS, flops_fp8, "0FLOPS", "dense fp8 peak; 0 where there is none"),
    RATE("link_bandwidth", KV_DIM_BITS_PER_S, link_bps, NULL, "between GPUs of a node, one way"),
    RATE("pcie", KV_DIM_BITS_PER_S, pcie_bps, "0bps", "payload between host and GPU, one way; 0 where it is not known"),
    { "source", KV_DIM_TEXT, offsetof(struct gpu_keys, source), "", 0, 0, NULL, "where the numbers come from", NULL },
    KV_PARAM_END
};

bool kv_gpu_load(struct kv_arena *arena, const char *name, const char *folder, struct kv_pos at,
                 struct kv_gpu_spec *gpu, struct kv_diag *diag)
{
    struct kv_yaml *root = find_shape(arena, &gpus, &name, folder, at, diag);
    if (!root) return false;
    struct gpu_keys k = {0};
    kv_yaml_get(root, "aliases");
    bool good = kv_bind(arena, root, "", gpu_params, &k, diag);
    good = kv_bind_unknown(root, "a GPU file", gpu_params, other_keys, NULL, diag) && good;
    if (!good) return false;
    *gpu = (struct kv_gpu_spec){.name = name, .memory_bytes = k.memory_bytes, .memory_Bps = k.memory_bps / 8,
                                .flops_bf16 = k.flops_bf16, .flops_fp8 = k.flops_fp8, .link_Bps = k.link_bps / 8,
                                .pcie_Bps = k.pcie_bps / 8};
    return true;
}

/* ---- stores and links ---- */

/* Tables lie beside the profile: their names become paths, of what ships below models/stores (so that a scenario that
 * says all that is in force means the same on every machine). */
static void place_tables(struct kv_arena *arena, const struct kind *kind, struct kv_yaml *root)
{
    const char *file = root->pos.file, *slash = file ? strrchr(file, '/') : NULL, *data = kv_data_folder(arena);
    if (!slash) return;
    const char *folder = kv_arena_copy(arena, file, (size_t)(slash - file));
    const char *home = kv_arena_text(arena, "%s/%s/", data ? data : ".", kind->folder);
    if (!strncmp(folder, home, strlen(home))) folder += strlen(home);
    for (struct kv_yaml *c = root->child; c; c = c->next)
        if (ends_with(c->key, "_curve") && c->kind == KV_YAML_SCALAR && *c->text != '/' && strcmp(c->text, "none"))
            c->text = kv_arena_text(arena, "%s/%s", folder, c->text);
}

/* How it was measured is for `kvsim calib`; but what a newer program wrote may mean something else. */
static bool check_version(struct kv_yaml *root, const struct kind *kind, struct kv_diag *diag)
{
    struct kv_yaml *calibration = kv_yaml_get(root, "calibration");
    struct kv_yaml *version = calibration ? kv_yaml_get(calibration, "version") : NULL;
    if (!version || (version->kind == KV_YAML_SCALAR && !strcmp(version->text, KV_CALIBRATION_VERSION))) return true;
    return kv_diag_add(diag, KV_ERROR, version->pos, NULL, "a %s of version %s; this program reads version "
                       KV_CALIBRATION_VERSION, kind->noun, version->kind == KV_YAML_SCALAR ? version->text : "?");
}

static struct kv_yaml *load_profile(struct kv_arena *arena, const struct kind *kind, const char *name,
                                    const char *folder, struct kv_pos at, struct kv_diag *diag)
{
    if (strchr(name, '/') && !ends_with(name, ".yaml")) name = kv_arena_text(arena, "%s/" MEASURED_FILE, name);
    struct kv_yaml *root = find_shape(arena, kind, &name, folder, at, diag);
    if (!root) return NULL;
    const struct kv_yaml *of = kv_yaml_get(root, "kind"), *source = kv_yaml_get(root, "source");
    kv_yaml_get(root, "aliases");
    if (!of || of->kind != KV_YAML_SCALAR || !source || source->kind != KV_YAML_SCALAR) {
        kv_diag_add(diag, KV_ERROR, root->pos, NULL, "a %s has a `kind` (of a %s) and a `source`", kind->noun,
                    kind == &store_profiles ? "tier" : "link");
        return NULL;
    }
    if (!check_version(root, kind, diag)) return NULL;
    place_tables(arena, kind, root);
    return root;
}

struct kv_yaml *kv_store_profile_load(struct kv_arena *arena, const char *name, const char *folder, struct kv_pos at,
                                      struct kv_diag *diag)
{
    return load_profile(arena, &store_profiles, name, folder, at, diag);
}

struct kv_yaml *kv_link_profile_load(struct kv_arena *arena, const char *name, const char *folder, struct kv_pos at,
                                     struct kv_diag *diag)
{
    return load_profile(arena, &link_profiles, name, folder, at, diag);
}

/* ---- lists ---- */

static int32_t list_shapes(struct kv_arena *arena, const char *folder, const struct kv_shape_entry **entries,
                           struct kv_diag *diag)
{
    *entries = NULL;
    const char *data = kv_data_folder(arena);
    const char *dir = kv_arena_text(arena, "%s/%s", data ? data : ".", folder);
    struct names names = {0};
    if (!data || !list_folder(arena, dir, &names)) {
        kv_diag_add(diag, KV_ERROR, (struct kv_pos){0}, "set KVSIM_DATA to the folder that holds 'models'",
                    "the data folder with %s was not found beside the program", folder);
        return 0;
    }
    int32_t count = (int32_t)names.list.count;
    struct kv_shape_entry *list = kv_arena_take(arena, (size_t)(count + 1) * sizeof *list);
    for (int32_t i = 0; i < count; i++) {
        list[i] = (struct kv_shape_entry){.name = names.list.at[i], .source = "", .aliases = "",
                                          .path = shape_path(arena, dir, names.list.at[i])};
        struct kv_yaml *root = read_file(arena, list[i].path, diag);
        const struct kv_yaml *source = root ? kv_yaml_get(root, "source") : NULL;
        const struct kv_yaml *aliases = root ? kv_yaml_get(root, "aliases") : NULL;
        if (source && source->text) list[i].source = source->text;
        for (const struct kv_yaml *c = aliases ? aliases->child : NULL; c; c = c->next)
            if (c->text)
                list[i].aliases = kv_arena_text(arena, "%s%s%s", list[i].aliases, *list[i].aliases ? ", " : "",
                                                c->text);
    }
    kv_vec_close(&names.list);
    *entries = list;
    return count;
}

int32_t kv_model_list(struct kv_arena *arena, const struct kv_shape_entry **entries, struct kv_diag *diag)
{
    return list_shapes(arena, "models/data", entries, diag);
}

int32_t kv_gpu_list(struct kv_arena *arena, const struct kv_shape_entry **entries, struct kv_diag *diag)
{
    return list_shapes(arena, "models/gpus", entries, diag);
}

int32_t kv_store_profile_list(struct kv_arena *arena, const struct kv_shape_entry **entries, struct kv_diag *diag)
{
    return list_shapes(arena, "models/stores", entries, diag);
}

int32_t kv_link_profile_list(struct kv_arena *arena, const struct kv_shape_entry **entries, struct kv_diag *diag)
{
    return list_shapes(arena, "models/links", entries, diag);
}

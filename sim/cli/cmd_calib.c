/* SPDX-License-Identifier: Apache-2.0 */
/* kvsim calib import: profiles of GPUs, from other people's measurements. calib info: what is in a profile. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sim/cli/calib.h"
#include "sim/cli/cli.h"
#include "sim/conf/bind.h"
#include "sim/plug.h"
#include "sim/scenario/shapes.h"

/* ---- what both print ---- */

static void print_profile(const struct kv_profile *p)
{
    const struct kv_profile_errors *e = &p->holdout;
    const struct {
        const char *name;
        const struct kv_knots *knots;
        const char *rows, *columns;
        double error;
    } line[] = {
        {"dense", &p->layer, "tokens of a step", NULL, e->dense},
        {"head", &p->head, "sequences", NULL, e->head},
        {"prefill", &p->prefill, "new tokens", "cached", e->prefill},
        {"decode", &p->decode, "sequences", "KV tokens", e->decode},
        {"mixed", &p->mixed, "sequences", "KV tokens", e->mixed},
        {"shares", &p->longest_decode, "sequences", NULL, e->shares},
    };
    kv_print("%s on %s, tp %lld, %s; %s, %s\n", p->model, p->gpu, (long long)p->tp, p->dtype, p->engine, p->mode);
    kv_print("measured %s; %s, %s, licence %s\n\n", p->measured, p->source, p->commit, p->licence);
    kv_print("%-8s %7s %11s  %s\n", "table", "knots", "hold-out", "measured up to");
    for (size_t i = 0; i < sizeof line / sizeof *line; i++) {
        const struct kv_knots *k = line[i].knots;
        kv_print("%-8s %7d %9.2f %%  %lld %s", line[i].name, k->rows * k->columns, 100 * line[i].error,
                 (long long)k->x[k->rows - 1], line[i].rows);
        if (k->y) kv_print(", %lld %s", (long long)k->y[k->columns - 1], line[i].columns);
        kv_print("\n");
    }
    kv_print("\nhold-out: mean |error| over %.0f %% of the measured points, left out of a fit\n",
             (double)p->holdout_permille / 10);
}

/* ---- import ---- */

static const char *flag_text(const struct kv_args *args, const char *flag, const char *preset)
{
    const struct kv_flag_value *value = kv_args_get(args, flag);
    return value ? value->text : preset;
}

/* A text of meta.yaml, which lies above the folder of the tables; NULL when there is none. */
static const char *meta_text(struct kv_yaml *meta, const char *key)
{
    const struct kv_yaml *node = meta ? kv_yaml_get(meta, key) : NULL;
    return node && node->kind == KV_YAML_SCALAR && *node->text ? node->text : NULL;
}

/* What was measured: flags before meta.yaml. */
static bool describe(struct kv_args *args, struct kv_profile *p, struct kv_model_shape *model, struct kv_diag *diag)
{
    struct kv_arena *arena = &args->arena;
    const char *folder = args->arg[1], *path = kv_arena_text(arena, "%s/../meta.yaml", folder), *text;
    size_t length;
    struct kv_yaml *meta = kv_yaml_read(arena, path, &text, &length, diag)
                           ? kv_yaml_parse(arena, path, text, length, diag) : NULL;
    const char *gpu = flag_text(args, "gpu", meta_text(meta, "hardware"));
    const char *name = flag_text(args, "model", meta_text(meta, "model"));
    const struct kv_pos at = {.file = path};
    if (!meta) return false;
    if (!gpu || !name)
        return kv_diag_add(diag, KV_ERROR, at, NULL, "neither the file nor a flag says the %s", gpu ? "model" : "GPU");
    struct kv_gpu_spec spec;
    if (!kv_gpu_load(arena, gpu, "", at, &spec, diag) || !kv_model_load(arena, name, "", at, model, diag)) return false;
    const struct kv_flag_value *tp = kv_args_get(args, "tp");
    const char *vllm = meta_text(meta, "vllm_version"), *when = meta_text(meta, "profiled_at");
    *p = (struct kv_profile){
        .gpu = spec.name, .model = model->name, .dtype = "bf16", .tp = tp ? tp->number : 1,
        .engine = kv_arena_text(arena, "vLLM %s", vllm ? vllm : "of unknown version"),
        .mode = "kernels of one layer, eager mode, dummy weights",
        .measured = when ? kv_arena_text(arena, "%.10s", when) : "at an unknown date",
        .source = flag_text(args, "source", "unknown"), .commit = flag_text(args, "commit", "unknown"),
        .licence = flag_text(args, "licence", "unknown"),
    };
    return true;
}

static int import(struct kv_args *args)
{
    struct kv_err err = {0};
    struct kv_diag diag = {0};
    struct kv_profile profile;
    struct kv_model_shape model;
    const char *out = flag_text(args, "output", NULL);
    const struct kv_flag_value *seed = kv_args_get(args, "seed");
    struct kv_holdout holdout = {200, seed ? (uint64_t)seed->number : 1};
    bool operators = strcmp(args->arg[0], "samples") == 0 || strcmp(args->arg[0], "aiconfigurator") == 0
                     || strcmp(args->arg[0], "vidur") == 0;
    if (!operators && strcmp(args->arg[0], "vllm-layers") != 0)
        return kv_fail(&err, KV_EUSAGE, "calib import", "'%s' is not a form that can be imported; vllm-layers, "
                       "aiconfigurator, vidur and samples are", args->arg[0]), kv_cli_fail(&err);
    if (!out) return kv_fail(&err, KV_EUSAGE, "calib import", "-o PROFILE is missing"), kv_cli_fail(&err);
    if (operators) return kv_calib_import_ops(args, out);
    bool described = describe(args, &profile, &model, &diag);
    if (!described) kv_cli_fail_diag(&diag, KV_ECONFIG, false);
    kv_diag_close(&diag);
    if (!described) return KV_ECONFIG;
    if (!kv_calib_vllm_layers(&args->arena, args->arg[1], &model, &holdout, &profile, &err)) return kv_cli_fail(&err);
    profile.holdout_permille = holdout.permille;
    profile.holdout_seed = (int64_t)holdout.seed;
    if (!kv_profile_write(&args->arena, out, &profile, &err)) return kv_cli_fail(&err);
    print_profile(&profile);
    return KV_OK;
}

static const struct kv_flag import_flags[] = {
    { "output", 'o', KV_FLAG_TEXT, "PROFILE", "folder to write" },
    { "gpu", 0, KV_FLAG_TEXT, "NAME", "name of the GPU; default: as meta.yaml says" },
    { "model", 0, KV_FLAG_TEXT, "NAME", "name of the model; default: as meta.yaml says" },
    { "tp", 0, KV_FLAG_COUNT, "N", "tensor-parallel GPUs of the tables (1)" },
    { "source", 0, KV_FLAG_TEXT, "TEXT", "where the tables come from, for profile.yaml" },
    { "commit", 0, KV_FLAG_TEXT, "TEXT", "their version" },
    { "licence", 0, KV_FLAG_TEXT, "TEXT", "their licence" },
    { "sms", 0, KV_FLAG_COUNT, "N", "multiprocessors of the GPU (aiconfigurator, vidur)" },
    { "engine", 0, KV_FLAG_TEXT, "TEXT", "what ran (aiconfigurator, vidur)" },
    { "date", 0, KV_FLAG_TEXT, "TEXT", "when it was measured (aiconfigurator, vidur)" },
    { "all-reduce", 0, KV_FLAG_TEXT, "FOLDER", "folder of all_reduce.csv (vidur)" },
    { "attention", 0, KV_FLAG_TEXT, "PROFILE", "operators that lend attention where DIR has none" },
    { "epochs", 0, KV_FLAG_COUNT, "N", "passes over the samples of operators (60; more where they are few)" },
    { "seed", 0, KV_FLAG_COUNT, "N", "which points are held out (1)" },
    { NULL, 0, KV_FLAG_SWITCH, NULL, NULL },
};

const struct kv_command kv_command_calib_import = {
    .name = "calib import", .usage = "vllm-layers|aiconfigurator|vidur|samples DIR -o PROFILE",
    .help = "make a GPU profile from other people's measurements",
    .details =
        "vllm-layers: DIR holds dense, per_sequence, attention, skew and (mixtures of experts) moe tables as\n"
        "LLMServingSim's profiler takes them inside vLLM, plain or gzip; meta.yaml lies above it. The fit is made\n"
        "without a fifth of the points, scored on them, and made again with all.\n"
        "aiconfigurator: DIR holds gemm, attention_context, attention_generation and perhaps moe and allreduce_vllm\n"
        "tables of one GPU; samples: raw samples as `kvsim calib gpu` writes them; vidur: DIR holds MODEL/mlp.csv\n"
        "tables of one GPU, which have no attention: --attention names operators to take it from. All make an\n"
        "operator profile, which prices models of any shape.\n",
    .flags = import_flags, .arg_min = 2, .arg_max = 2, .run = import,
};

/* ---- info ---- */

/* The kind that a profile's file names; NULL: no such file, or a GPU's, which has none. */
static const char *kind_in(struct kv_arena *arena, const char *path)
{
    struct kv_diag diag = {0};
    const char *text;
    size_t length;
    struct kv_yaml *root = access(path, R_OK) == 0 && kv_yaml_read(arena, path, &text, &length, &diag)
                           ? kv_yaml_parse(arena, path, text, length, &diag) : NULL;
    const struct kv_yaml *kind = root && root->kind == KV_YAML_MAP ? kv_yaml_get(root, "kind") : NULL;
    kv_diag_close(&diag);
    return kind && kind->kind == KV_YAML_SCALAR ? kind->text : NULL;
}

/* Whether it is the profile of a store or a link, and not of a GPU: by what the file says, or by the name. */
static enum kv_family family_of(struct kv_arena *arena, const char *name)
{
    struct kv_diag diag = {0};
    enum kv_family family = KV_FAMILY_compute;
    if (strchr(name, '/')) {
        const char *kind = kind_in(arena, name);
        if (!kind) kind = kind_in(arena, kv_arena_text(arena, "%s/profile.yaml", name));
        if (kind) family = kv_plugin_find(KV_FAMILY_link, kind) ? KV_FAMILY_link : KV_FAMILY_store;
    } else if (kv_store_profile_load(arena, name, "", (struct kv_pos){0}, &diag)) {
        family = KV_FAMILY_store;
    } else if (kv_link_profile_load(arena, name, "", (struct kv_pos){0}, &diag)) {
        family = KV_FAMILY_link;
    }
    kv_diag_close(&diag);
    return family;
}

bool kv_calib_gpu(struct kv_arena *arena, const char *name, struct kv_gpu_spec *gpu, struct kv_err *err)
{
    struct kv_diag diag = {0};
    bool good = kv_gpu_load(arena, name, "", (struct kv_pos){.file = "--gpu"}, gpu, &diag) || kv_diag_fail(&diag, err);
    kv_diag_close(&diag);
    return good;
}

const char *kv_calib_folder(struct kv_arena *arena, const char *name)
{
    const char *data = kv_data_folder(arena);
    return strchr(name, '/') ? name : kv_arena_text(arena, "%s/models/profiles/%s", data ? data : ".", name);
}

/* Layers: profile.yaml names their form first, as that of operators does. */
static bool is_layers(struct kv_arena *arena, const char *folder)
{
    struct kv_diag diag = {0};
    const char *text, *path = kv_arena_text(arena, "%s/profile.yaml", folder);
    size_t length;
    bool is = access(path, R_OK) == 0 && kv_yaml_read(arena, path, &text, &length, &diag)
              && strncmp(text, "kvsim_profile:", 14) == 0;
    kv_diag_close(&diag);
    return is;
}

bool kv_calib_is_gpu(struct kv_arena *arena, const char *name)
{
    const char *folder = kv_calib_folder(arena, name);
    return kv_op_profile_is(arena, folder) || is_layers(arena, folder);
}

/* A table's held-out error; 0: none was told. Whether it is past the bar. */
static int32_t check_error(const char *table, double error, double bar)
{
    if (error <= 0) return 0;
    kv_print("%-18s %6.2f %%: %s\n", table, 100 * error, error <= bar ? "good" : "past the bar");
    return error > bar;
}

int kv_calib_check_gpu(struct kv_args *args, double bar)
{
    struct kv_err err = {0};
    struct kv_op_profile ops;
    struct kv_profile layers;
    const char *folder = kv_calib_folder(&args->arena, args->arg[0]);
    bool composed = kv_op_profile_is(&args->arena, folder);
    int32_t past = 0;
    if (!(composed ? kv_op_profile_read(&args->arena, folder, &ops, &err)
                   : kv_profile_read(&args->arena, folder, &layers, &err))) return kv_cli_fail(&err);
    kv_print("points held out when it was fitted, mean error:\n");
    if (composed) {
        for (int32_t i = 0; i < KV_PARTS; i++) past += check_error(kv_op_parts[i].name, ops.point_error[i], bar);
    } else {
        const struct kv_profile_errors *e = &layers.holdout;
        past = check_error("dense", e->dense, bar) + check_error("head", e->head, bar)
               + check_error("prefill", e->prefill, bar) + check_error("decode", e->decode, bar)
               + check_error("mixed", e->mixed, bar) + check_error("shares", e->shares, bar);
    }
    if (!past) return KV_OK;
    kv_fail(&err, KV_ECHECK, folder, "%d tables are past the bar of %.0f %%", past, 100 * bar);
    return kv_cli_fail(&err);
}

static int info(struct kv_args *args)
{
    struct kv_err err = {0};
    struct kv_profile profile;
    const char *name = args->arg[0], *folder = kv_calib_folder(&args->arena, name);
    struct kv_op_profile ops;
    if (kv_op_profile_is(&args->arena, folder)) {
        if (!kv_op_profile_read(&args->arena, folder, &ops, &err)) return kv_cli_fail(&err);
        kv_calib_print_ops(&ops);
        return KV_OK;
    }
    enum kv_family family = family_of(&args->arena, name);
    if (family != KV_FAMILY_compute) return kv_calib_info_device(args, name, family == KV_FAMILY_store);
    if (!kv_profile_read(&args->arena, folder, &profile, &err)) return kv_cli_fail(&err);
    print_profile(&profile);
    return KV_OK;
}

const struct kv_command kv_command_calib_info = {
    .name = "calib info", .usage = "PROFILE",
    .help = "what a profile of a GPU, a store or a link was measured on, how far it reaches and how well it fits",
    .details = "PROFILE: a name of models/profiles, models/stores or models/links, or a path with a slash.\n",
    .arg_min = 1, .arg_max = 1, .run = info,
};

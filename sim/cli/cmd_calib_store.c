/* SPDX-License-Identifier: Apache-2.0 */
/* kvsim calib check and diff, and what info says of a store or a link. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim/cli/calib.h"
#include "sim/cli/cli.h"
#include "sim/conf/bind.h"
#include "sim/scenario/store_profile.h"

#define BAR 0.10            /* of the mean errors of a check; first bytes within 10 % */
#define SAME 1e-4           /* parameters are written with six digits */

/* ---- info ---- */

static void print_tree(const struct kv_yaml *map, const char *indent)
{
    for (const struct kv_yaml *c = map->child; c; c = c->next) {
        if (c->kind == KV_YAML_SCALAR && *c->text) kv_print("%s%-22s %s\n", indent, c->key, c->text);
        else if (c->kind == KV_YAML_MAP) kv_print("%s%s\n", indent, c->key), print_tree(c, "  ");
    }
}

static void print_errors(const struct kv_store_calibration *c)
{
    kv_print("\nmedians of held-out requests (%.0f %%), model / measured - 1:\n", (double)c->holdout_permille / 10);
    const struct { const char *what; double mean, worst; } line[] = {
        {"first byte", c->first_byte_error, c->first_byte_worst}, {"reads", c->read_error, c->read_worst},
        {"writes", c->write_error, c->write_worst},
    };
    for (size_t i = 0; i < sizeof line / sizeof *line; i++)
        if (line[i].worst > 0)
            kv_print("  %-12s mean %5.1f %%, worst %5.1f %%\n", line[i].what, 100 * line[i].mean, 100 * line[i].worst);
}

/* A link's: as the file says it. */
static int info_link(struct kv_args *args, const char *name)
{
    struct kv_diag diag = {0};
    const struct kv_yaml *root = kv_link_profile_load(&args->arena, name, "", (struct kv_pos){ .file = name }, &diag);
    if (root) print_tree(root, "");
    else kv_cli_fail_diag(&diag, KV_ECONFIG, false);
    kv_diag_close(&diag);
    return root ? KV_OK : KV_ECONFIG;
}

int kv_calib_info_device(struct kv_args *args, const char *name, bool store)
{
    struct kv_err err = {0};
    struct kv_store_profile p;
    if (!store) return info_link(args, name);
    if (!kv_store_profile_read(&args->arena, name, &p, &err)) return kv_cli_fail(&err);
    kv_print("%s, a store of kind %s\n%s\n\n", name, p.kind, p.source);
    if (p.calibrated) {
        const struct kv_store_calibration *c = &p.calibration;
        kv_print("measured %s, %lld requests, %lld failed\n", c->date, (long long)c->requests, (long long)c->failed);
        if (*c->server) kv_print("server   %s\n", c->server);
        kv_print("client   %s\nhow      %s\n", c->client, c->how);
        if (*c->note) kv_print("note     %s\n", c->note);
        kv_print("domain   %lld to %lld bytes, up to %lld connections\n\n", (long long)c->least_bytes,
                 (long long)c->most_bytes, (long long)c->most_connections);
    }
    kv_print("%-24s %s\n", "parameter", "value");
    for (const struct kv_param *row = p.plugin->info->params; row->key; row++)
        kv_print("%-24s %s\n", row->key, kv_value_text(&args->arena, row, (const char *)p.params + row->offset));
    if (p.calibrated) print_errors(&p.calibration);
    return KV_OK;
}

/* ---- check ---- */

struct comparison { struct kv_arena *arena; const struct kv_store_profile *p; int32_t wrong; };

/* One parameter of the refit against the profile's. */
static void compare(void *context, const char *key, const char *text)
{
    struct comparison *c = context;
    for (const struct kv_param *row = c->p->plugin->info->params; row->key; row++) {
        if (strcmp(row->key, key) != 0 || row->dim == KV_DIM_TEXT) continue;
        const char *why = NULL;
        double given = *(const double *)(const void *)((const char *)c->p->params + row->offset), fitted = 0;
        if (!kv_value_parse(c->arena, row, text, &fitted, &why)) continue;
        if (fabs(given - fitted) <= SAME * fabs(fitted)) continue;
        c->wrong++;
        kv_say("%s: %s is %s here, %s by its samples\n", c->p->path, key, kv_value_text(c->arena, row, &given), text);
    }
}

/* The same table, but for what writing it down rounds. */
static bool same_curve(const struct comparison *c, const struct kv_store_curve *curve, const struct kv_knots *fitted)
{
    struct kv_knots k;
    struct kv_err err = {0};
    if (!fitted->rows) return true;
    bool same = kv_store_curve_read(c->arena, c->p->folder, curve, &k, &err) && k.rows == fitted->rows
                && k.columns == fitted->columns;
    for (int32_t i = 0; same && i < k.rows * k.columns; i++)
        same = k.x[i / k.columns] == fitted->x[i / k.columns] && k.y[i % k.columns] == fitted->y[i % k.columns]
               && llabs(k.at[i] - fitted->at[i]) <= 1 + fitted->at[i] / 10000;
    if (!same) kv_say("%s/%s: not the curve of the samples\n", c->p->folder, curve->file);
    return same;
}

/* Parameters and curves that are not those of the samples, each told. */
static int32_t compare_all(struct kv_arena *arena, const struct kv_store_profile *p, const struct kv_access_fit *fit)
{
    struct comparison c = { .arena = arena, .p = p };
    kv_store_profile_parameters(arena, p->kind, fit, compare, &c);
    for (const struct kv_store_curve *curve = kv_store_curves; curve->key && !strcmp(p->kind, "object"); curve++)
        c.wrong += !same_curve(&c, curve, kv_store_curve_of(curve, fit));
    if (c.wrong) kv_print("%d parameters or curves are not those of the samples\n", c.wrong);
    return c.wrong;
}

static int32_t print_score(const char *what, const struct kv_access_error *e, double bar)
{
    if (!e->cells) return 0;
    bool good = e->mean <= bar;
    kv_print("%-12s mean %5.1f %%, worst %5.1f %%, of %d medians: %s\n", what, 100 * e->mean, 100 * e->worst, e->cells,
             good ? "good" : "past the bar");
    return !good;
}

static int check(struct kv_args *args)
{
    struct kv_err err = {0};
    struct kv_store_profile p;
    struct kv_access_samples samples;
    struct kv_store_fitted f;
    struct kv_arena *arena = &args->arena;
    const char *name = args->arg[0];
    const struct kv_flag_value *percent = kv_args_get(args, "bar");
    double bar = percent ? (double)percent->number / 100 : BAR;
    if (kv_calib_is_samples(arena, name)) return kv_calib_check_samples(args);
    if (kv_calib_is_gpu(arena, name)) return kv_calib_check_gpu(args, bar);
    if (!kv_store_profile_read(arena, name, &p, &err)) return kv_cli_fail(&err);
    if (!p.calibrated) {
        kv_fail(&err, KV_ECALIB, p.path, "nothing to check: no `calibration`, its numbers are from elsewhere (%s)",
                p.source);
        return kv_cli_fail(&err);
    }
    struct kv_store_calibration c = p.calibration;
    if (!kv_access_samples_read(arena, kv_arena_text(arena, "%s/samples.csv", p.folder), &samples, &err)
        || !kv_store_profile_fit(arena, p.kind, &samples, c.holdout_permille, c.holdout_seed, &f, &err))
        return kv_cli_fail(&err);
    if (kv_args_has(args, "refit")
        && (!kv_store_profile_write(arena, p.folder, p.kind, p.source, &samples, &f, &c, &err)
            || !kv_store_profile_read(arena, name, &p, &err))) return kv_cli_fail(&err);
    kv_print("%zu requests, a fit without %.0f %% of them, and their medians:\n", samples.count,
             (double)p.calibration.holdout_permille / 10);
    int32_t past = print_score("first byte", &f.first_byte, bar) + print_score("reads", &f.read, bar)
                   + print_score("writes", &f.write, bar);
    if (!compare_all(arena, &p, &f.fit) && !past) return KV_OK;
    kv_fail(&err, KV_ECHECK, p.path, "the check failed (bar %.0f %%)", 100 * bar);
    return kv_cli_fail(&err);
}

static const struct kv_flag check_flags[] = {
    { "bar", 0, KV_FLAG_COUNT, "PERCENT", "largest mean error of medians (10)" },
    { "refit", 0, KV_FLAG_SWITCH, NULL, "write the profile again from its samples first" },
    { "seeds", 0, KV_FLAG_COUNT, "N", "operators: draws of the held-out rows (1)" },
    { "seed", 0, KV_FLAG_COUNT, "N", "operators: the first of them (1)" },
    { "holdout", 0, KV_FLAG_TEXT, "WHICH", "operators: hold out points or shapes alone (both, one after the other)" },
    { "rows", 0, KV_FLAG_TEXT, "FILE", "operators: CSV of each held-out row, measured and predicted" },
    { "epochs", 0, KV_FLAG_COUNT, "N", "operators: passes over the samples (60; more where they are few)" },
    { "only", 0, KV_FLAG_TEXT, "TABLE", "operators: gemm, attention_prefill, attention_decode or moe alone" },
    { "gpu", 0, KV_FLAG_TEXT, "NAME", "operators: the GPU of other people's tables" },
    { "sms", 0, KV_FLAG_COUNT, "N", "operators: its multiprocessors" },
    { NULL, 0, KV_FLAG_SWITCH, NULL, NULL },
};

const struct kv_command kv_command_calib_check = {
    .name = "calib check", .usage = "PROFILE|SAMPLES [--bar PERCENT] [--refit]",
    .help = "fit a store profile, or samples of operators, again and tell the errors",
    .details = "Exit code 9 when parameters or curves are not those of the samples, or when the mean error over\n"
               "medians of held-out requests (first byte, reads, writes) is past the bar. PROFILE: a name of\n"
               "models/stores, or a path with a slash; of models/profiles, whose tables lie elsewhere: the\n"
               "errors of points held out when it was fitted are held against the bar. SAMPLES: a folder of\n"
               "raw samples of GPU operators, or of tables of aiconfigurator or Vidur: errors of fits that had\n"
               "not seen a fifth of the rows, or a twentieth of the shapes.\n",
    .flags = check_flags, .arg_min = 1, .arg_max = 1, .run = check,
};

/* ---- diff ---- */

static void print_change(struct kv_arena *arena, const struct kv_param *row, const void *a, const void *b)
{
    bool whole = row->dim == KV_DIM_COUNT || row->dim == KV_DIM_TOKENS || row->dim == KV_DIM_BYTES;
    bool number = whole || (row->dim != KV_DIM_TEXT && row->dim != KV_DIM_BOOL && row->dim != KV_DIM_CHOICE);
    double x = !number ? 0 : whole ? (double)*(const int64_t *)a : *(const double *)a;
    double y = !number ? 0 : whole ? (double)*(const int64_t *)b : *(const double *)b;
    kv_print("%-24s %-22s %-22s", row->key, kv_value_text(arena, row, a), kv_value_text(arena, row, b));
    if (number && x > 0) kv_print(" %+.1f %%", 100 * (y / x - 1));
    kv_print("\n");
}

/* Curves by their values where both have knots, the largest change of them. */
static void print_curve(struct kv_arena *arena, const struct kv_store_profile *p, const struct kv_store_curve *curve)
{
    struct kv_knots x, y;
    for (int32_t i = 0; i < 2; i++)
        if (access(kv_arena_text(arena, "%s/%s", p[i].folder, curve->file), R_OK) != 0) return;
    if (!kv_store_curve_read(arena, p[0].folder, curve, &x, NULL)
        || !kv_store_curve_read(arena, p[1].folder, curve, &y, NULL)) return;
    for (int32_t i = 0; i < x.rows * x.columns; i++) {
        double bytes = (double)x.x[i / x.columns], width = (double)x.y[i % x.columns], was = (double)x.at[i];
        kv_print("%-24s %12.0f bytes x %-4.0f %+.1f %%\n", curve->file, bytes, width,
                 100 * (kv_knots_log_at(&y, bytes, width) / was - 1));
    }
}

static int diff(struct kv_args *args)
{
    struct kv_err err = {0};
    struct kv_store_profile p[2];
    int32_t operators = 0;
    for (int32_t i = 0; i < 2; i++)
        operators += kv_op_profile_is(&args->arena, kv_calib_folder(&args->arena, args->arg[i]));
    if (operators == 2) return kv_calib_diff_ops(args);
    if (operators == 1) {
        kv_fail(&err, KV_ECONFIG, "calib diff", "only one of %s and %s is an operator profile", args->arg[0],
                args->arg[1]);
        return kv_cli_fail(&err);
    }
    for (int32_t i = 0; i < 2; i++)
        if (!kv_store_profile_read(&args->arena, args->arg[i], &p[i], &err)) return kv_cli_fail(&err);
    if (p[0].plugin != p[1].plugin) {
        kv_fail(&err, KV_ECONFIG, "calib diff", "%s is of kind %s, %s of kind %s", args->arg[0], p[0].kind,
                args->arg[1], p[1].kind);
        return kv_cli_fail(&err);
    }
    kv_print("%-24s %-22s %-22s\n", "parameter", args->arg[0], args->arg[1]);
    for (const struct kv_param *row = p[0].plugin->info->params; row->key; row++) {
        const void *a = (const char *)p[0].params + row->offset, *b = (const char *)p[1].params + row->offset;
        if (strcmp(kv_value_text(&args->arena, row, a), kv_value_text(&args->arena, row, b)) != 0)
            print_change(&args->arena, row, a, b);
    }
    for (const struct kv_store_curve *curve = kv_store_curves; curve->key; curve++)
        print_curve(&args->arena, p, curve);
    return KV_OK;
}

const struct kv_command kv_command_calib_diff = {
    .name = "calib diff", .usage = "PROFILE PROFILE",
    .help = "two store or operator profiles, parameter by parameter",
    .details = "Only what differs is shown, with the change of numbers; curves at the knots of the first. Of operator\n"
               "profiles times are compared over shapes that both measured, and the largest change is shown.\n",
    .arg_min = 2, .arg_max = 2, .run = diff,
};

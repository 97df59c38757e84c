/* SPDX-License-Identifier: Apache-2.0 */
/* Operator profiles of GPUs: made of samples of operators, ours or other people's; told, checked, compared. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sim/cli/calib.h"
#include "sim/lib/input.h"
#include "sim/lib/writer.h"

/* ai-dynamo/aiconfigurator's tables, by operator: file and columns. Times in ms; experts chosen evenly. */
static const struct theirs { const char *file; struct kv_op_columns columns; } aiconfigurator[KV_OPS] = {
    [KV_OP_GEMM] = {"gemm", {.type = "dtype", .key = {"m", "n", "k"}, .time = "latency_ms", .us = 1e3}},
    [KV_OP_PREFILL] = {"attention_context",
                       {.type = "kv_dtype", .time = "latency_ms", .us = 1e3,
                        .key = {"batch", "isl", "prefix", "heads", "kv_heads", "head_dim", "window"}}},
    [KV_OP_DECODE] = {"attention_generation",
                      {.type = "kv_dtype", .time = "latency_ms", .us = 1e3,
                       .key = {"batch", "kv_len", "heads", "kv_heads", "head_dim", "window"}}},
    [KV_OP_MOE] = {"moe", {.type = "dtype", .time = "latency_ms", .us = 1e3, .only = "distribution",
                           .value = "balanced",
                           .key = {"tokens", "hidden", "inter", "topk", "experts", "moe_tp", "moe_ep"}}},
    [KV_OP_ALL_REDUCE] = {"allreduce_vllm",
                          {.type = "mode", .key = {"gpus", "bytes"}, .time = "latency_ms", .us = 1e3}},
    [KV_OP_ALL_GATHER] = {"nccl", {.type = "dtype", .key = {"gpus", "bytes"}, .time = "latency_ms", .us = 1e3,
                                   .only = "op", .value = "all_gather"}},
    [KV_OP_REDUCE_SCATTER] = {"nccl", {.type = "dtype", .key = {"gpus", "bytes"}, .time = "latency_ms", .us = 1e3,
                                       .only = "op", .value = "reduce_scatter"}},
};

static bool is_there(struct kv_arena *arena, const char *folder, const char *file)
{
    const char *path = kv_arena_text(arena, "%s/%s.csv", folder, file);
    return access(path, F_OK) == 0 || access(kv_arena_text(arena, "%s.gz", path), F_OK) == 0;
}

static const char *flag_text(const struct kv_args *args, const char *flag, const char *preset)
{
    const struct kv_flag_value *value = kv_args_get(args, flag);
    return value ? value->text : preset;
}

static int64_t flag_number(const struct kv_args *args, const char *flag, int64_t preset)
{
    const struct kv_flag_value *value = kv_args_get(args, flag);
    return value ? value->number : preset;
}

/* What `import` is told of tables that do not say it themselves. */
static void describe(struct kv_args *args, struct kv_op_origin *from)
{
    from->date = flag_text(args, "date", from->date);
    from->engine = flag_text(args, "engine", from->engine);
    from->origin = flag_text(args, "source", from->origin);
    from->commit = flag_text(args, "commit", from->commit);
    from->licence = flag_text(args, "licence", from->licence);
}

/* Samples of tables that do not name their GPU: the flags must. */
static bool begin_imported(struct kv_args *args, const char *folder, struct kv_op_samples *s, struct kv_err *err)
{
    *s = (struct kv_op_samples){.from = {
        .gpu = flag_text(args, "gpu", ""), .label = "imported", .date = "", .driver = "", .cuda = "", .clocks = "",
        .engine = "vLLM kernels", .origin = "unknown", .commit = "unknown", .licence = "unknown", .note = "",
        .sms = flag_number(args, "sms", 0)}};
    if (!*s->from.gpu || s->from.sms < 1)
        return kv_fail(err, KV_EUSAGE, folder, "these tables do not name their GPU: --gpu NAME and --sms N are needed");
    return true;
}

static bool read_aiconfigurator(struct kv_args *args, const char *folder, struct kv_op_samples *s, struct kv_err *err)
{
    if (!begin_imported(args, folder, s, err)) return false;
    for (int32_t op = 0; op < KV_OPS; op++) {
        const struct theirs *t = &aiconfigurator[op];
        if (t->file && is_there(&args->arena, folder, t->file)
            && !kv_op_rows_read(&args->arena, kv_arena_text(&args->arena, "%s/%s.csv", folder, t->file), &t->columns,
                                &s->table[op], err))
            return false;
    }
    return s->table[KV_OP_GEMM].count > 0 || kv_fail(err, KV_ECALIB, folder, "no gemm.csv or gemm.csv.gz");
}

static bool read_vidur(struct kv_args *args, const char *folder, struct kv_op_samples *s, struct kv_err *err)
{
    if (!begin_imported(args, folder, s, err)) return false;
    s->from.engine = "Vidur's profiler, kernels of PyTorch, 16-bit floats";
    return kv_calib_vidur(&args->arena, folder, s, err);
}

typedef bool read_form(struct kv_args *args, const char *folder, struct kv_op_samples *s, struct kv_err *err);

static bool read_raw(struct kv_args *args, const char *folder, struct kv_op_samples *s, struct kv_err *err)
{
    return kv_op_samples_read(&args->arena, folder, s, err);
}

/* ---- told ---- */

/* An error, or a dash where no row was held out to tell one. */
static void print_error(double error)
{
    if (error > 0) kv_print(" %9.2f %%", 100 * error);
    else kv_print(" %11s", "-");
}

/* Mean by rows over the types that have an error. */
struct mean { double sum, rows; };
static void mean_add(struct mean *m, double error, int64_t rows)
{
    if (error <= 0) return;
    m->sum += error * (double)rows;
    m->rows += (double)rows;
}

static double mean_of(const struct mean *m)
{
    return m->rows > 0 ? m->sum / m->rows : 0;
}

/* Errors of the tables: those of their types, by rows. */
static void print_errors(const struct kv_op_profile *p)
{
    kv_print("%-18s %8s %11s %11s  %s\n", "part", "samples", "hold-out", "new shapes", "up to");
    for (int32_t op = 0; op < KV_OPS_PRICED; op++) {
        struct mean points = {0}, shapes = {0};
        int64_t rows = 0;
        int32_t parts = 0;
        for (int32_t i = 0; i < KV_PARTS; i++) {
            const struct kv_op_model *m = p->part[i];
            if (kv_op_parts[i].op != (enum kv_op)op || !m) continue;
            kv_print("%-18s %8lld", kv_op_parts[i].name, (long long)m->rows);
            print_error(p->point_error[i]);
            print_error(p->shape_error[i]);
            kv_print(" ");
            for (int32_t k = 0; kv_op_forms[op].key[k]; k++)
                kv_print(" %s %lld", kv_op_forms[op].key[k], (long long)m->most_key[k]);
            kv_print("\n");
            mean_add(&points, p->point_error[i], m->rows);
            mean_add(&shapes, p->shape_error[i], m->rows);
            rows += m->rows;
            parts++;
        }
        if (parts < 2) continue;
        kv_print("%-18s %8lld", kv_op_forms[op].file, (long long)rows);
        print_error(mean_of(&points));
        print_error(mean_of(&shapes));
        kv_print("\n");
    }
}

void kv_calib_print_ops(const struct kv_op_profile *p)
{
    static const char *const small[KV_SMALLS] = {"norm", "rotary", "activation", "scatter"};
    kv_print("operators of %s (%lld multiprocessors), %s; %s\n", p->from.gpu, (long long)p->from.sms, p->from.label,
             p->from.engine);
    kv_print("measured %s; %s, %s, licence %s\n", *p->from.date ? p->from.date : "at an unknown date", p->from.origin,
             p->from.commit, p->from.licence);
    if (*p->from.note) kv_print("%s\n", p->from.note);
    kv_print("\n");
    print_errors(p);
    for (int32_t i = 0; i < KV_COLLECTIVES; i++) {
        const struct kv_knots *k = &p->collective[i];
        if (k->rows)
            kv_print("%-18s %8d knots, %lld to %lld GPUs, up to %lld bytes\n", kv_op_forms[kv_op_collectives[i]].file,
                     k->rows * k->columns, (long long)k->x[0], (long long)k->x[k->rows - 1],
                     (long long)k->y[k->columns - 1]);
    }
    for (int32_t i = 0; i < KV_SMALLS; i++)
        kv_print("%-18s %.2f us + bytes / %.0f GB/s%s\n", small[i], 1e6 * p->small[i].base_s,
                 p->small[i].rate_Bps / 1e9, p->small_measured ? "" : " (not all measured)");
    if (*p->attention_from) kv_print("attention was not measured; it is that of %s\n", p->attention_from);
    if (p->gap_s[1] > 0)
        kv_print("%-18s %.2f us more in a layer than by itself, %.2f us without a CUDA graph\n", "each kernel",
                 1e6 * p->gap_s[0], 1e6 * p->gap_s[1]);
    kv_print("\nhold-out: mean |error| over %.0f %% of the rows; new shapes: over all rows of %.0f %% of the shapes;\n"
             "both left out of a fit of their own; -: none was drawn\n", (double)p->holdout_points_permille / 10,
             (double)p->holdout_shapes_permille / 10);
}

/* ---- import ---- */

/* The profile that --attention names, and what GPU `gpu` has more of than its GPU. */
static bool read_lender(struct kv_args *args, const char *gpu, struct kv_op_lender *lender, struct kv_err *err)
{
    struct kv_gpu_spec to, of;
    struct kv_op_profile *p = kv_arena_take(&args->arena, sizeof *p);
    if (!kv_op_profile_read(&args->arena, kv_calib_folder(&args->arena, flag_text(args, "attention", "")), p, err)
        || !kv_calib_gpu(&args->arena, gpu, &to, err) || !kv_calib_gpu(&args->arena, p->from.gpu, &of, err))
        return false;
    if (*p->attention_from)
        return kv_fail(err, KV_ECALIB, "--attention", "its attention is itself another's: %s", p->attention_from);
    *lender = (struct kv_op_lender){p, to.flops_bf16 / of.flops_bf16, to.memory_Bps / of.memory_Bps};
    return true;
}

int kv_calib_import_ops(struct kv_args *args, const char *out)
{
    struct kv_err err = {0};
    struct kv_op_samples samples = {0};
    struct kv_op_profile profile;
    struct kv_op_holdout holdout = {200, 50, (uint64_t)flag_number(args, "seed", 1),
                                    (int32_t)flag_number(args, "epochs", 0)};
    const char *form = args->arg[0];
    read_form *read = strcmp(form, "samples") == 0 ? read_raw
                      : strcmp(form, "vidur") == 0 ? read_vidur : read_aiconfigurator;
    struct kv_op_lender lender, *lends = kv_args_get(args, "attention") ? &lender : NULL;
    const char *network = flag_text(args, "all-reduce", NULL);
    bool good = (!network || read == read_vidur
                 || kv_fail(&err, KV_EUSAGE, "calib import", "--all-reduce goes with vidur's tables alone"))
                && read(args, args->arg[1], &samples, &err)
                && (!network || kv_calib_vidur_all_reduce(&args->arena, network, &samples, &err));
    if (good && read != read_raw) describe(args, &samples.from);
    good = good && (!lends || read_lender(args, samples.from.gpu, lends, &err))
                && kv_op_profile_fit(&args->arena, &samples, &holdout, lends, &profile, &err)
                && kv_op_profile_write(&args->arena, out, &profile, &err);
    kv_op_samples_close(&samples);
    if (!good) return kv_cli_fail(&err);
    kv_calib_print_ops(&profile);
    return KV_OK;
}

/* ---- check ---- */

static bool is_raw(struct kv_arena *arena, const char *folder)
{
    return access(kv_arena_text(arena, "%s/samples.yaml", folder), F_OK) == 0;
}

bool kv_calib_is_samples(struct kv_arena *arena, const char *folder)
{
    return is_raw(arena, folder) || is_there(arena, folder, aiconfigurator[KV_OP_DECODE].file)
           || kv_calib_is_vidur(arena, folder);
}

/* Each held row of a type, its time and what a fit without it says. The header names the keys of the operator. */
static void write_held(struct kv_writer *w, const struct kv_op_model *m, enum kv_op op, int32_t sms,
                       const struct kv_op_rows *rows, int64_t seed)
{
    for (size_t i = 0; i < rows->count; i++) {
        const struct kv_op_row *row = &rows->at[i];
        if (!row->held || (m->type && strcmp(m->type, row->type) != 0)) continue;
        kv_writer_text(w, "%lld,%s,", (long long)seed, row->type);
        for (int32_t k = 0; kv_op_forms[op].key[k]; k++) kv_writer_text(w, "%lld,", (long long)row->key[k]);
        kv_writer_text(w, "%.6g,%.6g\n", row->time_us, kv_op_us(m, op, sms, row->type, row->key));
    }
}

static void write_held_header(struct kv_writer *w, enum kv_op op)
{
    kv_writer_text(w, "seed,%s,", kv_op_forms[op].type);
    for (int32_t k = 0; kv_op_forms[op].key[k]; k++) kv_writer_text(w, "%s,", kv_op_forms[op].key[k]);
    kv_writer_text(w, "time_us,pred_us\n");
}

/* One operator, all its types: mean error over the rows held out, by seed and over all seeds. */
static double check_op(struct kv_args *args, struct kv_op_samples *samples, enum kv_op op, bool shapes, int64_t seeds,
                       struct kv_writer *held_rows)
{
    struct kv_arena scratch = {0};
    struct kv_op_rows *rows = &samples->table[op];
    struct kv_op_model *m = kv_arena_take(&scratch, sizeof *m);
    double sum = 0, all = 0, worst = 0;
    int32_t sms = (int32_t)samples->from.sms;
    int64_t first = flag_number(args, "seed", 1);
    for (int64_t seed = first; seed < first + seeds; seed++) {
        double part = 0, count = 0;
        struct kv_op_fit_rule rule = {sms, (int32_t)flag_number(args, "epochs", 0), (uint64_t)seed, false};
        kv_op_hold(op, rows, shapes ? 50 : 200, shapes, (uint64_t)seed);
        for (int32_t i = 0; i < KV_PARTS; i++) {
            int64_t held;
            if (kv_op_parts[i].op != op || !kv_op_fit(m, op, kv_op_parts[i].type, rows, &rule)) continue;
            if (held_rows) write_held(held_rows, m, op, sms, rows, seed);
            part += kv_op_score(m, op, sms, rows, &held) * (double)held;
            count += (double)held;
        }
        if (count > 0) worst = fmax(worst, part / count);
        sum += part;
        all += count;
    }
    kv_arena_close(&scratch);
    kv_print("%-18s %-10s", kv_op_forms[op].file, shapes ? "new shapes" : "points");
    if (all > 0) kv_print(" %7.2f %%  %7.2f %%  %9.0f\n", 100 * sum / all, 100 * worst, all);
    else kv_print(" %9s  %9s  %9d\n", "-", "-", 0);
    return worst;
}

/* What `check` is asked for. Held rows of one operator make one table, hence `only` and `holdout` with `rows`. */
struct check { const char *only, *holdout, *rows; };

static bool read_check(struct kv_args *args, struct check *c, struct kv_err *err)
{
    *c = (struct check){flag_text(args, "only", NULL), flag_text(args, "holdout", NULL), flag_text(args, "rows", NULL)};
    if (c->holdout && strcmp(c->holdout, "points") != 0 && strcmp(c->holdout, "shapes") != 0)
        return kv_fail(err, KV_EUSAGE, "calib check", "--holdout '%s'; points and shapes can be held out", c->holdout);
    if (c->rows && (!c->only || !c->holdout))
        return kv_fail(err, KV_EUSAGE, "calib check", "--rows needs --only and --holdout: a file has one table");
    return true;
}

/* The largest mean error of points over the operators asked for. */
static double check_all(struct kv_args *args, struct kv_op_samples *samples, const struct check *c,
                        struct kv_writer *rows)
{
    double worst = 0;
    kv_print("%-18s %-10s %9s  %9s  %9s\n", "table", "held out", "mean", "worst", "rows");
    for (int32_t op = 0; op < KV_OPS_PRICED; op++)
        for (int32_t shapes = 0; shapes < 2; shapes++) {
            if (!samples->table[op].count || (c->only && strcmp(c->only, kv_op_forms[op].file) != 0)
                || (c->holdout && (c->holdout[0] == 's') != shapes)) continue;
            if (rows) write_held_header(rows, (enum kv_op)op);
            double error = check_op(args, samples, (enum kv_op)op, shapes, flag_number(args, "seeds", 1), rows);
            if (!shapes) worst = fmax(worst, error);
        }
    return worst;
}

int kv_calib_check_samples(struct kv_args *args)
{
    struct kv_err err = {0};
    struct kv_op_samples samples = {0};
    struct kv_writer rows = {0};
    struct check c;
    if (!read_check(args, &c, &err)) return kv_cli_fail(&err);
    const char *folder = args->arg[0];
    read_form *read = is_raw(&args->arena, folder) ? read_raw
                      : kv_calib_is_vidur(&args->arena, folder) ? read_vidur : read_aiconfigurator;
    bool good = read(args, folder, &samples, &err) && (!c.rows || kv_writer_open(&rows, c.rows, true, &err));
    double bar = (double)flag_number(args, "bar", 10) / 100;
    double worst = good ? check_all(args, &samples, &c, c.rows ? &rows : NULL) : 0;
    good = good && (!c.rows || kv_writer_commit(&rows, &err));
    kv_writer_close(&rows);
    kv_op_samples_close(&samples);
    if (good && worst <= bar) return KV_OK;
    if (good) kv_fail(&err, KV_ECHECK, folder, "a mean error of held-out points is past the bar of %.0f %%", 100 * bar);
    return kv_cli_fail(&err);
}

/* ---- predict ---- */

/* Which operator's shapes a table holds shows in its columns. */
static bool read_shapes(struct kv_args *args, struct kv_op_rows *rows, int32_t *op, struct kv_err *err)
{
    for (int32_t i = 0; i < 2 * KV_OPS_PRICED; i++) {
        *op = i / 2;
        struct kv_op_columns c = {.type = kv_op_forms[*op].type, .us = 1};
        memcpy(c.key, kv_op_forms[*op].key, sizeof c.key);
        if (i % 2) c = aiconfigurator[*op].columns;
        c.time = c.key[0];        /* shapes alone have no times */
        c.only = NULL;
        rows->count = 0;
        if (kv_op_rows_read(&args->arena, args->arg[1], &c, rows, err)) return true;
        if (!strstr(err->text, "no column")) return false;
    }
    return kv_fail(err, KV_ECONFIG, args->arg[1], "the columns are those of no operator: see docs/calibration.md");
}

static bool predict_row(const struct kv_op_profile *p, int32_t op, const struct kv_op_row *row, double *us)
{
    for (int32_t i = 0; i < KV_PARTS; i++) {
        const struct kv_op_part_form *form = &kv_op_parts[i];
        if ((int32_t)form->op != op || !p->part[i] || (form->type && strcmp(form->type, row->type) != 0)) continue;
        *us = kv_op_profile_us(p, (enum kv_op_part)i, row->type, row->key);
        return true;
    }
    return false;
}

/* Every line as it was, and pred_ms. */
static bool predict_rows(struct kv_args *args, const struct kv_op_profile *p, struct kv_writer *w, struct kv_err *err)
{
    struct kv_op_rows rows = {0};
    struct kv_input in = {0};
    int32_t op;
    int got = 1;
    double us = 0;
    bool good = read_shapes(args, &rows, &op, err) && kv_input_open(&in, args->arg[1], false, err)
                && kv_input_line(&in, err) == 1;
    if (good) kv_writer_text(w, "%s,pred_ms\n", in.line);
    for (size_t i = 0; good && i < rows.count && (got = kv_input_line(&in, err)) == 1; i++) {
        good = predict_row(p, op, &rows.at[i], &us)
               || kv_input_fail(&in, err, "%s in %s is not in the profile", kv_op_forms[op].file, rows.at[i].type);
        if (good) kv_writer_text(w, "%s,%.6g\n", in.line, 1e-3 * us);
    }
    kv_input_close(&in);
    kv_vec_close(&rows);
    return good && got == 1;
}

static int predict(struct kv_args *args)
{
    struct kv_err err = {0};
    struct kv_op_profile p;
    struct kv_writer w = {0};
    const char *out = flag_text(args, "output", NULL);
    if (!out) return kv_fail(&err, KV_EUSAGE, "calib predict", "-o FILE is missing"), kv_cli_fail(&err);
    if (!kv_op_profile_read(&args->arena, kv_calib_folder(&args->arena, args->arg[0]), &p, &err)
        || !kv_writer_open(&w, out, true, &err))
        return kv_cli_fail(&err);
    bool good = predict_rows(args, &p, &w, &err) && kv_writer_commit(&w, &err);
    kv_writer_close(&w);
    return good ? KV_OK : kv_cli_fail(&err);
}

static const struct kv_flag predict_flags[] = {
    { "output", 'o', KV_FLAG_TEXT, "FILE", "CSV to write" },
    { NULL, 0, KV_FLAG_SWITCH, NULL, NULL },
};

const struct kv_command kv_command_calib_predict = {
    .name = "calib predict", .usage = "PROFILE TABLE.csv -o FILE",
    .help = "times of operators of given shapes, from an operator profile",
    .details = "TABLE: shapes of one operator, a row each, with the key columns of raw samples or of aiconfigurator's\n"
               "tables (gemm, attention, moe), plain or gzip; other columns are passed over. FILE: TABLE with a\n"
               "column pred_ms.\n",
    .flags = predict_flags, .arg_min = 2, .arg_max = 2, .run = predict,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* kvsim calib diff of two operator profiles: where they come from, their errors, and what they price differently. */
#include <math.h>
#include <string.h>

#include "sim/cli/calib.h"

/* Shapes that both are asked for: every product of these lists, as far as either was measured. */
#define PROBES_MAX 6
static const int64_t probes[KV_OPS_PRICED][KV_OP_KEYS_MAX][PROBES_MAX] = {
    [KV_OP_GEMM] = {{1, 16, 128, 1024, 8192}, {1024, 4096, 16384}, {1024, 4096, 16384}},
    [KV_OP_PREFILL] = {{1}, {128, 1024, 4096, 16384}, {0}, {8, 32}, {1, 8}, {128}, {0}},
    [KV_OP_DECODE] = {{1, 16, 128, 1024}, {128, 1024, 8192, 65536}, {8, 32}, {1, 8}, {128}, {0}},
    [KV_OP_MOE] = {{1, 16, 256, 4096}, {2048, 4096}, {768, 2048}, {8}, {64, 128}, {1}, {1}},
};

static void print_text(const char *what, const char *a, const char *b)
{
    if (strcmp(a, b) != 0) kv_print("%-24s %-30s %s\n", what, *a ? a : "-", *b ? b : "-");
}

static void print_number(const char *what, const char *unit, double a, double b)
{
    if (a == b) return;
    kv_print("%-24s %-12.6g %-12.6g %s", what, a, b, unit);
    if (a > 0) kv_print(" %+.1f %%", 100 * (b / a - 1));
    kv_print("\n");
}

static void print_origin(const struct kv_op_origin *a, const struct kv_op_origin *b)
{
    print_text("gpu", a->gpu, b->gpu);
    print_text("label", a->label, b->label);
    print_text("date", a->date, b->date);
    print_text("driver", a->driver, b->driver);
    print_text("cuda", a->cuda, b->cuda);
    print_text("clocks", a->clocks, b->clocks);
    print_text("engine", a->engine, b->engine);
    print_text("origin", a->origin, b->origin);
    print_text("commit", a->commit, b->commit);
    print_text("licence", a->licence, b->licence);
    print_number("sms", "", (double)a->sms, (double)b->sms);
}

struct change { double sum, sum_abs, worst; int64_t key[KV_OP_KEYS_MAX]; int32_t count; };

static bool is_measured(const struct kv_op_model *m, const int64_t *key)
{
    for (int32_t k = 0; k < KV_OP_KEYS_MAX; k++)
        if (key[k] > m->most_key[k]) return false;
    return true;
}

static void compare_shape(const struct kv_op_profile *p, int32_t part, const int64_t *key, struct change *c)
{
    const char *type = kv_op_parts[part].type ? kv_op_parts[part].type : "bf16";
    if (!is_measured(p[0].part[part], key) || !is_measured(p[1].part[part], key)) return;
    double change = kv_op_profile_us(&p[1], (enum kv_op_part)part, type, key)
                    / kv_op_profile_us(&p[0], (enum kv_op_part)part, type, key) - 1;
    c->sum += change;
    c->sum_abs += fabs(change);
    if (c->count++ == 0 || fabs(change) > fabs(c->worst)) {
        c->worst = change;
        memcpy(c->key, key, sizeof c->key);
    }
}

/* All shapes whose keys before `k` are those of `key`. A list ends at its first 0 but for one that begins with it. */
static void compare_shapes(const struct kv_op_profile *p, int32_t part, int32_t k, int64_t *key, struct change *c)
{
    enum kv_op op = kv_op_parts[part].op;
    if (k == KV_OP_KEYS_MAX || !kv_op_forms[op].key[k]) {
        compare_shape(p, part, key, c);
        return;
    }
    for (int32_t i = 0; i < PROBES_MAX && (i == 0 || probes[op][k][i]); i++) {
        key[k] = probes[op][k][i];
        compare_shapes(p, part, k + 1, key, c);
    }
    key[k] = 0;
}

static void print_part(const struct kv_op_profile *p, int32_t part)
{
    const char *name = kv_op_parts[part].name;
    struct change c = {0};
    int64_t key[KV_OP_KEYS_MAX] = {0};
    if (!p[0].part[part] && !p[1].part[part]) return;
    if (!p[0].part[part] || !p[1].part[part]) {
        kv_print("%-24s %-30s %s\n", name, p[0].part[part] ? "measured" : "-", p[1].part[part] ? "measured" : "-");
        return;
    }
    compare_shapes(p, part, 0, key, &c);
    print_number(name, "samples", (double)p[0].part[part]->rows, (double)p[1].part[part]->rows);
    print_number(name, "% hold-out", 100 * p[0].point_error[part], 100 * p[1].point_error[part]);
    print_number(name, "% new shapes", 100 * p[0].shape_error[part], 100 * p[1].shape_error[part]);
    if (c.worst == 0) return;
    kv_print("%-24s times %+.1f %% (mean), %.1f %% (mean of sizes), %+.1f %% at", name, 100 * c.sum / c.count,
             100 * c.sum_abs / c.count, 100 * c.worst);
    for (int32_t k = 0; kv_op_forms[kv_op_parts[part].op].key[k]; k++)
        kv_print(" %s %lld", kv_op_forms[kv_op_parts[part].op].key[k], (long long)c.key[k]);
    kv_print("; %d shapes\n", c.count);
}

static void print_collective(const char *name, const struct kv_knots *a, const struct kv_knots *b)
{
    static const int64_t bytes[] = {4096, 65536, 1048576, 16777216, 268435456};
    if (!a->rows && !b->rows) return;
    if (!a->rows || !b->rows) {
        kv_print("%-24s %-30s %s\n", name, a->rows ? "measured" : "-", b->rows ? "measured" : "-");
        return;
    }
    for (int32_t i = 0; i < a->rows; i++)
        for (size_t j = 0; j < sizeof bytes / sizeof *bytes; j++) {
            int64_t ranks = a->x[i];
            if (ranks > b->x[b->rows - 1] || bytes[j] > a->y[a->columns - 1] || bytes[j] > b->y[b->columns - 1])
                continue;
            double was = kv_knots_at(a, (double)ranks, (double)bytes[j]);
            double is = kv_knots_at(b, (double)ranks, (double)bytes[j]);
            if (was != is)
                kv_print("%-24s %lld GPUs, %lld bytes: %.4g us, %.4g us %+.1f %%\n", name, (long long)ranks,
                         (long long)bytes[j], 1e-3 * was, 1e-3 * is, 100 * (is / was - 1));
        }
}

int kv_calib_diff_ops(struct kv_args *args)
{
    struct kv_err err = {0};
    struct kv_op_profile p[2];
    static const char *const small[KV_SMALLS] = {"norm", "rotary", "activation", "scatter"};
    for (int32_t i = 0; i < 2; i++)
        if (!kv_op_profile_read(&args->arena, kv_calib_folder(&args->arena, args->arg[i]), &p[i], &err))
            return kv_cli_fail(&err);
    kv_print("%-24s %-30s %s\n", "", args->arg[0], args->arg[1]);
    print_origin(&p[0].from, &p[1].from);
    for (int32_t i = 0; i < KV_PARTS; i++) print_part(p, i);
    for (int32_t i = 0; i < KV_SMALLS; i++) {
        print_number(small[i], "us at least", 1e6 * p[0].small[i].base_s, 1e6 * p[1].small[i].base_s);
        print_number(small[i], "GB/s", p[0].small[i].rate_Bps / 1e9, p[1].small[i].rate_Bps / 1e9);
    }
    print_number("kernel gap, graph", "us", 1e6 * p[0].gap_s[0], 1e6 * p[1].gap_s[0]);
    print_number("kernel gap, eager", "us", 1e6 * p[0].gap_s[1], 1e6 * p[1].gap_s[1]);
    for (int32_t i = 0; i < KV_COLLECTIVES; i++)
        print_collective(kv_op_forms[kv_op_collectives[i]].file, &p[0].collective[i], &p[1].collective[i]);
    return KV_OK;
}

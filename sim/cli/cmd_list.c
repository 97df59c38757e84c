/* SPDX-License-Identifier: Apache-2.0 */
/* kvsim list: what there is to choose from. Everything comes from the tables that the program itself uses:
 * registry, parameter tables, data files, the summary's own list of numbers. Nothing is written down a
 * second time.
 *
 * Every kind of thing becomes rows of named cells; one printer makes a table of them, one a record, one
 * JSON. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sim/cli/cli.h"
#include "sim/conf/bind.h"
#include "sim/conf/units.h"
#include "sim/lib/kvsize.h"
#include "sim/out/out.h"
#include "sim/out/summary.h"
#include "sim/plug.h"
#include "sim/scenario/sections.h"
#include "sim/scenario/shapes.h"

#define CELLS_MAX 28
/* CELL_JSON: a JSON value, left out of tables and records. */
enum cell_kind { CELL_TEXT, CELL_NUMBER, CELL_JSON };
struct cell { const char *key, *text; enum cell_kind kind; bool in_table; };
struct row { struct cell cell[CELLS_MAX]; int32_t count; };

struct list {
    struct kv_args *args;
    struct kv_arena *arena;
    struct kv_diag diag;
    KV_VEC(struct row) rows;
};

/* ---- rows ---- */

static void row_new(struct list *l)
{
    struct row empty = {0};
    kv_vec_push(&l->rows, empty);
}

static void put(struct list *l, const char *key, enum cell_kind kind, bool in_table, const char *text)
{
    struct row *row = &l->rows.at[l->rows.count - 1];
    kv_assert(row->count < CELLS_MAX);
    row->cell[row->count++] = (struct cell){ key, text ? text : "", kind, in_table };
}

static void put_number(struct list *l, const char *key, bool in_table, double value)
{
    put(l, key, CELL_NUMBER, in_table, kv_arena_text(l->arena, "%.15g", value));
}

static const char *cell_text(const struct row *row, const char *key)
{
    for (int32_t i = 0; i < row->count; i++)
        if (!strcmp(row->cell[i].key, key)) return row->cell[i].text;
    return "";
}

/* ---- printers ---- */

struct text { KV_VEC(char) out; };

static void append(struct text *t, const char *text)
{
    for (; *text; text++) kv_vec_push(&t->out, *text);
}

static void append_quoted(struct text *t, const char *text)
{
    append(t, "\"");
    for (; *text; text++) {
        char escaped[8] = { *text };
        if (*text == '"' || *text == '\\') snprintf(escaped, sizeof escaped, "\\%c", *text);
        else if ((unsigned char)*text < 0x20) snprintf(escaped, sizeof escaped, "\\u%04x", (unsigned)*text);
        append(t, escaped);
    }
    append(t, "\"");
}

/* Rows from `from` on, as a JSON array of objects. */
static const char *json_rows(struct list *l, size_t from, const char *indent)
{
    struct text t = {0};
    append(&t, "[");
    for (size_t r = from; r < l->rows.count; r++) {
        append(&t, r > from ? ",\n" : "\n");
        append(&t, indent);
        append(&t, "{");
        for (int32_t i = 0; i < l->rows.at[r].count; i++) {
            const struct cell *c = &l->rows.at[r].cell[i];
            if (i) append(&t, ", ");
            append_quoted(&t, c->key);
            append(&t, ": ");
            if (c->kind == CELL_TEXT) append_quoted(&t, c->text);
            else append(&t, c->text);
        }
        append(&t, "}");
    }
    append(&t, "]");
    const char *copy = kv_arena_copy(l->arena, t.out.at, t.out.count);
    kv_vec_close(&t.out);
    return copy;
}

/* Columns of the first row; numbers to the right. */
static void print_table(const struct list *l)
{
    int32_t width[CELLS_MAX] = {0};
    for (size_t r = 0; r < l->rows.count; r++) {
        for (int32_t i = 0; i < l->rows.at[r].count; i++) {
            const struct cell *c = &l->rows.at[r].cell[i];
            int32_t needed = (int32_t)strlen(c->text), title = (int32_t)strlen(c->key);
            if (needed < title) needed = title;
            if (needed > width[i]) width[i] = needed;
        }
    }
    for (size_t line = 0; line <= l->rows.count && l->rows.count > 0; line++) {
        const struct row *row = &l->rows.at[line ? line - 1 : 0];
        const char *gap = "";
        int32_t last = 0;
        for (int32_t i = 0; i < row->count; i++)
            if (row->cell[i].in_table) last = i;
        for (int32_t i = 0; i <= last; i++) {
            const struct cell *c = &row->cell[i];
            if (!c->in_table) continue;
            const char *text = line ? c->text : c->key;
            int32_t column = i == last && c->kind == CELL_TEXT ? 0 : width[i];
            kv_print("%s%*s", gap, (int)(c->kind == CELL_NUMBER ? column : -column), text);
            gap = "  ";
        }
        kv_print("\n");
    }
}

static void print_record(const struct row *row)
{
    for (int32_t i = 0; i < row->count; i++)
        if (row->cell[i].kind != CELL_JSON && *row->cell[i].text)
            kv_print("%-21s %s\n", row->cell[i].key, row->cell[i].text);
}

/* ---- parameters ---- */

static const char *type_text(struct kv_arena *arena, const struct kv_param *p)
{
    static const char *const names[] = { "count", "tokens", "bytes", "number", "fraction", "time", "data rate",
                                         "frequency", "FLOP/s", "true|false", "text" };
    if (p->dim != KV_DIM_CHOICE) return names[p->dim];
    const char *text = "";
    for (const char *const *c = p->choices; c && *c; c++)
        text = kv_arena_text(arena, "%s%s%s", text, *text ? "|" : "", *c);
    return text;
}

/* One end of the range, as one would write it in YAML. */
static const char *bound_text(struct kv_arena *arena, const struct kv_param *p, double bound)
{
    bool whole = p->dim == KV_DIM_COUNT || p->dim == KV_DIM_TOKENS || p->dim == KV_DIM_BYTES;
    int64_t count = whole ? (int64_t)bound : 0;
    return kv_value_text(arena, p, whole ? (const void *)&count : (const void *)&bound);
}

static const char *range_text(struct kv_arena *arena, const struct kv_param *p)
{
    bool numeric = p->dim != KV_DIM_BOOL && p->dim != KV_DIM_TEXT && p->dim != KV_DIM_CHOICE;
    if (!numeric || (p->min == 0 && p->max == 0)) return "";
    return kv_arena_text(arena, "%s .. %s", bound_text(arena, p, p->min), bound_text(arena, p, p->max));
}

/* `prefix` names the section or plug-in: "engine.", "roofline." or "". */
static void param_row(struct list *l, const char *prefix, const struct kv_param *p, bool required)
{
    row_new(l);
    put(l, "key", CELL_TEXT, true, kv_arena_text(l->arena, "%s%s", prefix, p->key));
    put(l, "type", CELL_TEXT, true, type_text(l->arena, p));
    const char *preset = p->preset ? (*p->preset ? p->preset : "\"\"") : required ? "(required)" : "";
    put(l, "default", CELL_TEXT, true, preset);
    put(l, "range", CELL_TEXT, true, range_text(l->arena, p));
    put(l, "units", CELL_TEXT, false, kv_units_accepted(p->dim));
    put(l, "help", CELL_TEXT, true, p->help);
    put(l, "source", CELL_TEXT, false, p->source);
}

static void print_params(const struct list *l, size_t from)
{
    for (size_t r = from; r < l->rows.count; r++) {
        const struct row *row = &l->rows.at[r];
        const char *preset = cell_text(row, "default"), *range = cell_text(row, "range");
        const char *source = cell_text(row, "source");
        kv_print("  %-28s %s%s%s%s%s\n", cell_text(row, "key"), cell_text(row, "type"), *preset ? ", default " : "",
                 preset, *range ? ", range " : "", range);
        kv_print("      %s\n", cell_text(row, "help"));
        if (*source) kv_print("      from: %s\n", source);
    }
}

static const char *section_name(const struct kv_section *section)
{
    return *section->path ? section->path : "top";
}

static void fill_params(struct list *l, const char *name)
{
    int32_t count;
    const struct kv_section *section = kv_sections(&count);
    for (int32_t i = 0; i < count; i++, section++) {
        if (name && strcmp(section_name(section), name)) continue;
        const char *prefix = *section->path ? kv_arena_text(l->arena, "%s.", section->path) : "";
        for (const struct kv_param *p = section->params; p && p->key; p++) param_row(l, prefix, p, true);
        for (const struct kv_special *p = section->specials; p && p->param.key; p++)
            param_row(l, prefix, &p->param, false);
    }
    int32_t plugins;
    const struct kv_plugin *plugin = kv_plugins(&plugins);
    for (int32_t i = 0; i < plugins; i++, plugin++) {
        if (name && strcmp(plugin->name, name) && strcmp(kv_family_name(plugin->family), name)) continue;
        const char *prefix = kv_arena_text(l->arena, "%s %s: ", kv_family_name(plugin->family), plugin->name);
        for (const struct kv_param *p = plugin->info->params; p && p->key; p++) param_row(l, prefix, p, true);
    }
}

/* ---- plug-ins ---- */

/* Rows of a plug-in's parameters as a JSON value; the rows are taken off again. */
static const char *params_json(struct list *l, const struct kv_plugin_info *info)
{
    size_t from = l->rows.count;
    for (const struct kv_param *p = info->params; p && p->key; p++) param_row(l, "", p, true);
    const char *text = json_rows(l, from, "    ");
    l->rows.count = from;
    return text;
}

static void fill_plugins(struct list *l, uint32_t families, const char *name)
{
    int32_t count;
    const struct kv_plugin *plugin = kv_plugins(&count);
    for (int32_t i = 0; i < count; i++, plugin++) {
        if (!(families >> plugin->family & 1) || (name && strcmp(plugin->name, name))) continue;
        const char *params = params_json(l, plugin->info);
        row_new(l);
        put(l, "family", CELL_TEXT, true, kv_family_name(plugin->family));
        put(l, "name", CELL_TEXT, true, plugin->name);
        put(l, "help", CELL_TEXT, true, plugin->info->help);
        put(l, "source", CELL_TEXT, false, plugin->info->source);
        put(l, "params", CELL_JSON, false, params);
    }
}

static void print_plugin_params(struct list *l, const struct row *row)
{
    for (int32_t f = 0; f < KV_FAMILY_COUNT; f++) {
        if (strcmp(kv_family_name((enum kv_family)f), cell_text(row, "family"))) continue;
        const struct kv_plugin *plugin = kv_plugin_find((enum kv_family)f, cell_text(row, "name"));
        size_t from = l->rows.count;
        for (const struct kv_param *p = plugin->info->params; p && p->key; p++) param_row(l, "", p, true);
        kv_print(l->rows.count > from ? "parameters:\n" : "no parameters\n");
        print_params(l, from);
        l->rows.count = from;
    }
}

/* ---- models and GPUs ---- */

/* Of one of tp GPUs. */
static void put_kv(struct list *l, const struct kv_model_shape *m, int32_t tp)
{
    const int64_t block_tokens = 16;   /* vLLM's default */
    int64_t token_bytes = kv_bytes_per_token_per_gpu(m, tp);
    put_number(l, "layers", true, m->layers);
    put_number(l, "tp", false, tp);
    put_number(l, "layer_bytes", true, (double)kv_bytes_per_token_per_layer_per_gpu(m, tp));
    put_number(l, "token_bytes", true, (double)token_bytes);
    put_number(l, "block_tokens", false, (double)block_tokens);
    put_number(l, "block_bytes", true, (double)(block_tokens * token_bytes));
    put_number(l, "weight_bytes", true, (double)(kv_weight_bytes(m) / tp));
}

static void put_shape(struct list *l, const struct kv_model_shape *m)
{
    put_number(l, "parameters", true, (double)kv_parameter_count(m));
    put(l, "attention", CELL_TEXT, true, m->attention == KV_ATTENTION_MLA ? "mla" : "gqa");
#define FIELD(name, in_table) put_number(l, #name, in_table, m->name)
    FIELD(layers, true); FIELD(hidden, true); FIELD(heads, false); FIELD(kv_heads, true); FIELD(head_dim, false);
    FIELD(intermediate, false); FIELD(vocabulary, false); FIELD(max_position_tokens, false); FIELD(experts, true);
    FIELD(experts_per_token, false); FIELD(expert_intermediate, false); FIELD(shared_experts, false);
    FIELD(dense_layers, false); FIELD(q_lora_rank, false); FIELD(kv_lora_rank, false); FIELD(rope_head_dim, false);
    FIELD(nope_head_dim, false); FIELD(value_head_dim, false); FIELD(dtype_bytes, false); FIELD(kv_dtype_bytes, false);
#undef FIELD
    put(l, "tied_embeddings", CELL_JSON, false, m->tied_embeddings ? "true" : "false");
    put(l, "qk_norm", CELL_JSON, false, m->qk_norm ? "true" : "false");
}

/* Its name or one of its aliases ("a, b"). */
static bool is_called(const struct kv_shape_entry *e, const char *name)
{
    if (!name || !strcmp(e->name, name)) return true;
    size_t length = strlen(name);
    for (const char *at = e->aliases; (at = strstr(at, name)); at++)
        if ((at == e->aliases || at[-1] == ' ') && (at[length] == ',' || !at[length])) return true;
    return false;
}

static void fill_models(struct list *l, const char *name)
{
    const struct kv_flag_value *tp = kv_args_get(l->args, "tp");
    const struct kv_shape_entry *entries;
    int32_t count = kv_model_list(l->arena, &entries, &l->diag);
    for (int32_t i = 0; i < count; i++) {
        struct kv_model_shape shape;
        if (!is_called(&entries[i], name)) continue;
        if (!kv_model_load(l->arena, entries[i].name, "", (struct kv_pos){0}, &shape, &l->diag)) continue;
        row_new(l);
        put(l, "name", CELL_TEXT, true, entries[i].name);
        if (kv_args_has(l->args, "kv")) {
            put_kv(l, &shape, tp ? (int32_t)tp->number : 1);
            continue;
        }
        put_shape(l, &shape);
        put(l, "aliases", CELL_TEXT, false, entries[i].aliases);
        put(l, "source", CELL_TEXT, false, entries[i].source);
    }
}

/* The value with its unit for people, as a number of bytes, bytes/s or FLOP/s for programs. */
static void put_quantity(struct list *l, const char *title, const char *key, enum kv_dim dim, double value)
{
    static const struct { double scale; const char *name; } steps[] = { {1e12, "T"}, {1e9, "G"} };
    const char *unit = dim == KV_DIM_FLOPS ? "FLOPS" : dim == KV_DIM_BYTES ? "B" : "B/s";
    bool large = value >= steps[0].scale;
    const char *text = kv_arena_text(l->arena, "%.5g%s%s", value / steps[!large].scale, steps[!large].name, unit);
    put(l, title, CELL_TEXT, true, value > 0 ? text : "none");
    put_number(l, key, false, value);
}

static void fill_gpus(struct list *l, const char *name)
{
    const struct kv_shape_entry *entries;
    int32_t count = kv_gpu_list(l->arena, &entries, &l->diag);
    for (int32_t i = 0; i < count; i++) {
        struct kv_gpu_spec gpu;
        if (!is_called(&entries[i], name)) continue;
        if (!kv_gpu_load(l->arena, entries[i].name, "", (struct kv_pos){0}, &gpu, &l->diag)) continue;
        row_new(l);
        put(l, "name", CELL_TEXT, true, entries[i].name);
        put_quantity(l, "memory", "memory_bytes", KV_DIM_BYTES, (double)gpu.memory_bytes);
        put_quantity(l, "bandwidth", "memory_Bps", KV_DIM_BITS_PER_S, gpu.memory_Bps);
        put_quantity(l, "bf16", "flops_bf16", KV_DIM_FLOPS, gpu.flops_bf16);
        put_quantity(l, "fp8", "flops_fp8", KV_DIM_FLOPS, gpu.flops_fp8);
        put_quantity(l, "link", "link_Bps", KV_DIM_BITS_PER_S, gpu.link_Bps);
        put_quantity(l, "pcie", "pcie_Bps", KV_DIM_BITS_PER_S, gpu.pcie_Bps);
        put(l, "aliases", CELL_TEXT, false, entries[i].aliases);
        put(l, "source", CELL_TEXT, false, entries[i].source);
    }
}

/* ---- profiles of stores and links ---- */

/* As in the file: the parameters are those of the plug-in that it names. */
static void fill_profiles_of(struct list *l, const char *name, const struct kv_shape_entry *entries, int32_t count,
                             kv_profile_loader *load)
{
    for (int32_t i = 0; i < count; i++) {
        if (!is_called(&entries[i], name)) continue;
        struct kv_yaml *tree = load(l->arena, entries[i].name, "", (struct kv_pos){0}, &l->diag);
        if (!tree) continue;
        row_new(l);
        put(l, "name", CELL_TEXT, true, entries[i].name);
        put(l, "kind", CELL_TEXT, true, kv_yaml_get(tree, "kind")->text);
        const char *values = "";
        for (const struct kv_yaml *c = tree->child; c; c = c->next)
            if (!c->used && c->kind == KV_YAML_SCALAR)
                values = kv_arena_text(l->arena, "%s%s%s: %s", values, *values ? ", " : "", c->key, c->text);
        put(l, "values", CELL_TEXT, false, values);
        put(l, "aliases", CELL_TEXT, false, entries[i].aliases);
        put(l, "source", CELL_TEXT, true, entries[i].source);
    }
}

static void fill_profiles(struct list *l, const char *name)
{
    const struct kv_shape_entry *entries;
    int32_t count = kv_store_profile_list(l->arena, &entries, &l->diag);
    fill_profiles_of(l, name, entries, count, kv_store_profile_load);
    count = kv_link_profile_list(l->arena, &entries, &l->diag);
    fill_profiles_of(l, name, entries, count, kv_link_profile_load);
}

/* ---- metrics ---- */

static void fill_metrics(struct list *l, const char *name)
{
    int32_t count;
    const struct kv_fact *fact = kv_results_metrics(&count, l->arena);
    for (int32_t i = 0; i < count; i++) {
        if (name && strcmp(fact[i].name, name)) continue;
        row_new(l);
        put(l, "name", CELL_TEXT, true, fact[i].name);
        put(l, "units", CELL_TEXT, true, fact[i].units);
        put(l, "meaning", CELL_TEXT, true, fact[i].long_name);
    }
}

/* ---- the command ---- */

#define FAMILY(name) (1u << KV_FAMILY_##name)
static const struct kind {
    const char *name;
    uint32_t families;                          /* bits; 0: `fill` makes the rows */
    void (*fill)(struct list *, const char *);
    const char *help;
} kinds[] = {
    { "models", 0, fill_models, "shapes of transformers (model.use)" },
    { "gpus", 0, fill_gpus, "data sheets (cluster.nodes.gpu)" },
    { "policies", FAMILY(admit) | FAMILY(evict) | FAMILY(fetch) | FAMILY(route) | FAMILY(sched) |
      FAMILY(transfer), NULL, "all policies together" },
    { "compute", FAMILY(compute), NULL, "what a step costs (compute.kind)" },
    { "evict", FAMILY(evict), NULL, "which block leaves a tier (tiers[].evict)" },
    { "admit", FAMILY(admit), NULL, "which chunks a lower tier takes (tiers[].admit)" },
    { "fetch", FAMILY(fetch), NULL, "load from lower tiers or compute (fetch.policy)" },
    { "sched", FAMILY(sched), NULL, "order of the waiting queue (engine.sched)" },
    { "route", FAMILY(route), NULL, "which instance serves a request (route.policy)" },
    { "transfer", FAMILY(transfer), NULL, "how fetches share bandwidth (transfer.policy)" },
    { "stores", FAMILY(store), NULL, "what a lower tier is made of (tiers[].kind)" },
    { "profiles", 0, fill_profiles, "presets of stores and links (tiers[].store.profile, network.links.*.profile)" },
    { "links", FAMILY(link), NULL, "how flows share a link (network.links.*.kind)" },
    { "readers", FAMILY(reader), NULL, "formats of traces (workload.format)" },
    { "params", 0, fill_params, "every key of a scenario; NAME: a section (engine) or a plug-in" },
    { "metrics", 0, fill_metrics, "the numbers of a run's summary" },
};
#define KINDS (int32_t)(sizeof kinds / sizeof kinds[0])

static void fill(struct list *l, const struct kind *kind, const char *name)
{
    if (kind->families) fill_plugins(l, kind->families, name);
    else kind->fill(l, name);
}

/* Without an argument: every kind and, where they are few, the names in it. */
static void print_overview(struct list *l)
{
    for (int32_t k = 0; k < KINDS; k++) {
        l->rows.count = 0;
        fill(l, &kinds[k], NULL);
        kv_print("%-9s %s\n", kinds[k].name, kinds[k].help);
        if (kinds[k].fill == fill_params || kinds[k].fill == fill_metrics) {
            kv_print("          %zu; see `kvsim list %s`\n", l->rows.count, kinds[k].name);
            continue;
        }
        size_t column = 0;
        for (size_t r = 0; r < l->rows.count; r++) {
            const char *name = cell_text(&l->rows.at[r], "name");
            bool wrap = column + strlen(name) > 66;
            kv_print("%s%s", column == 0 ? "          " : wrap ? ",\n          " : ", ", name);
            column = (wrap ? 0 : column) + strlen(name) + 2;
        }
        kv_print("\n");
    }
}

static int usage(const char *what, const char *found, const char *const *known, int32_t count)
{
    struct kv_err err;
    char all[1024] = "";
    for (int32_t i = 0; i < count; i++) {
        size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%s%s", i ? ", " : "", known[i]);
    }
    const char *near = kv_suggest(found, known, count);
    kv_fail(&err, KV_EUSAGE, "list", "unknown %s '%s'%s%s%s; known: %s", what, found,
            near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "", all);
    return kv_cli_fail(&err);
}

static int unknown_kind(const char *word)
{
    const char *names[KINDS];
    for (int32_t k = 0; k < KINDS; k++) names[k] = kinds[k].name;
    return usage("kind", word, names, KINDS);
}

static int unknown_name(struct list *l, const struct kind *kind, const char *word)
{
    l->rows.count = 0;
    if (kind->fill == fill_params) {   /* names are those of sections, not of keys */
        int32_t count;
        const struct kv_section *section = kv_sections(&count);
        for (int32_t i = 0; i < count; i++, section++) {
            row_new(l);
            put(l, "name", CELL_TEXT, true, section_name(section));
        }
        kind = NULL;
    } else {
        fill(l, kind, NULL);
    }
    const char **names = kv_arena_take(l->arena, (l->rows.count + 1) * sizeof *names);
    for (size_t r = 0; r < l->rows.count; r++) names[r] = cell_text(&l->rows.at[r], "name");
    return usage(kind ? "name" : "section", word, names, (int32_t)l->rows.count);
}

static int print_kind(struct list *l, const struct kind *kind, const char *name)
{
    fill(l, kind, name);
    if (name && !l->rows.count) return unknown_name(l, kind, name);
    if (kv_args_has(l->args, "json")) kv_print("%s\n", json_rows(l, 0, "  "));
    else if (kind->fill == fill_params) print_params(l, 0);
    else if (!name) print_table(l);
    else {
        size_t found = l->rows.count;   /* a name may exist in two families */
        for (size_t r = 0; r < found; r++) {
            const struct row row = l->rows.at[r];
            print_record(&row);
            if (kind->families) print_plugin_params(l, &row);
        }
    }
    return KV_OK;
}

static int list(struct kv_args *args)
{
    struct list l = { .args = args, .arena = &args->arena };
    const struct kv_flag_value *tp = kv_args_get(args, "tp");
    const struct kind *kind = NULL;
    for (int32_t k = 0; k < KINDS && args->arg_count; k++)
        if (!strcmp(kinds[k].name, args->arg[0])) kind = &kinds[k];
    struct kv_err err;
    int code = KV_OK;
    if ((kv_args_has(args, "kv") || tp) && !(kind && kind->fill == fill_models && kv_args_has(args, "kv"))) {
        kv_fail(&err, KV_EUSAGE, "list", "--kv and --tp belong to `list models`: kvsim list models --kv --tp 2");
        code = kv_cli_fail(&err);
    } else if (tp && (tp->number < 1 || tp->number > 1024)) {
        kv_fail(&err, KV_EUSAGE, "list", "--tp %s: expected 1..1024 GPUs", tp->text);
        code = kv_cli_fail(&err);
    } else if (!args->arg_count) {
        print_overview(&l);
    } else {
        code = kind ? print_kind(&l, kind, args->arg_count > 1 ? args->arg[1] : NULL) : unknown_kind(args->arg[0]);
    }
    if (l.diag.errors) code = kv_cli_fail_diag(&l.diag, KV_ECONFIG, false);
    kv_diag_close(&l.diag);
    kv_vec_close(&l.rows);
    return code;
}

static const struct kv_flag flags[] = {
    { "json", 0, KV_FLAG_SWITCH, NULL, "a JSON array with everything known, sources included" },
    { "kv", 0, KV_FLAG_SWITCH, NULL, "models: KV bytes of one GPU by token and layer, token, and 16-token block" },
    { "tp", 0, KV_FLAG_COUNT, "N", "with --kv: tensor-parallel GPUs that share the heads (default 1)" },
    { NULL, 0, KV_FLAG_SWITCH, NULL, NULL },
};

const struct kv_command kv_command_list = {
    .name = "list", .usage = "[KIND [NAME]] [flags]",
    .help = "what there is to choose from, with units, defaults and sources",
    .details = "KIND is one of models, gpus, policies, compute, evict, admit, fetch, sched, route, stores,\n"
               "profiles, links, readers, params, metrics. NAME shows one of them in full; for params it is\n"
               "a section of the scenario (engine, tiers[], ...) or a plug-in.",
    .flags = flags, .arg_min = 0, .arg_max = 2, .run = list,
};

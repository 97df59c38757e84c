/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/cli/trace.h"

#include <string.h>

#include "sim/conf/bind.h"
#include "sim/lib/block_row.h"
#include "sim/plug.h"

/* A JSON line is Mooncake's when it is a good row under Mooncake's rule: 512-token blocks, whole milliseconds. */
static const char *json_format(const struct kv_input *in)
{
    static const struct kv_block_rule mooncake = {6, 512, 1, KV_PARTIAL_CEIL};
    struct kv_block_row row = {0};
    struct kv_err ignored;
    bool fits = kv_block_row_read(&row, &mooncake, in, &ignored) && row.has_ids && row.ids.count > 0
                && strstr(in->line, "\"timestamp\"") && strstr(in->line, "\"hash_ids\"") && row.time_ns % 1000000 == 0;
    kv_block_row_close(&row);
    if (strstr(in->line, "\"hash_id_scope\"")) return "claude_code";
    if (strstr(in->line, "\"passages_ids\"")) return "ragpulse";
    if (strstr(in->line, "\"span_index\"")) return "spans";
    return fits ? "mooncake" : "blocks";
}

/* "azure, blocks": the formats that are read from files. Arena text. */
static const char *file_formats(struct kv_arena *arena)
{
    const char *names = "";
    int32_t count;
    const struct kv_plugin *all = kv_plugins(&count);
    for (int32_t i = 0; i < count; i++) {
        if (all[i].family != KV_FAMILY_reader || kv_plugin_ops(reader, &all[i])->generates) continue;
        names = kv_arena_text(arena, "%s%s%s", names, *names ? ", " : "", all[i].name);
    }
    return names;
}

/* The format of a file by its first line; NULL with *err. */
static const char *find_format(struct kv_arena *arena, const char *path, struct kv_err *err)
{
    struct kv_input in = {0};
    const char *format = NULL;
    int got = 0;
    if (kv_input_open(&in, path, false, err)) {
        do got = kv_input_line(&in, err); while (got == 1 && in.length == 0);
        if (got == 0) kv_input_stop(&in, err, "the file is empty");
        if (got == 1) {
            if (strstr(in.line, "Request tokens") || strstr(in.line, "Log Type")) format = "burstgpt";
            else if (strstr(in.line, "ContextTokens")) format = "azure";
            else if (strstr(in.line, "num_prefill_tokens")) format = "lengths";
            else if (strstr(in.line, "cached_tokens")) format = "hits";
            else if (strstr(in.line, "window_start_s")) format = "servegen";
            else if (in.line[0] == '{') format = json_format(&in);
            else kv_input_fail(&in, err, "no known format begins with '%s'; say --format NAME: %s",
                               kv_excerpt(in.line, in.length).text, file_formats(arena));
        }
    }
    kv_input_close(&in);
    return format;
}

static const char *nearest_reader(const char *name)
{
    const char *names[64];
    int32_t all_count, count = 0;
    const struct kv_plugin *all = kv_plugins(&all_count);
    for (int32_t i = 0; i < all_count && count < 64; i++) {
        if (all[i].family == KV_FAMILY_reader) names[count++] = all[i].name;
    }
    return kv_suggest(name, names, count);
}

/* Parameters of the reader from --set, and `rows` where it is given; NULL when a note was made. */
static const void *bind_params(struct kv_args *args, const struct kv_reader_ops *reader, const char *rows,
                               struct kv_diag *diag)
{
    struct kv_arena *arena = &args->arena;
    struct kv_yaml *root = kv_yaml_parse(arena, "<--set>", "{}", 2, diag);
    const struct kv_flag_value *set;
    for (int32_t i = 0; (set = kv_args_nth(args, "set", i)); i++) {
        const char *equals = strchr(set->text, '=');
        if (!equals || equals == set->text) {
            struct kv_pos pos = {.file = kv_arena_text(arena, "<--set #%d>", i + 1)};
            kv_diag_add(diag, KV_ERROR, pos, NULL, "'%s': expected KEY=VALUE", set->text);
            continue;
        }
        kv_yaml_set(arena, root, kv_arena_copy(arena, set->text, (size_t)(equals - set->text)), equals + 1, i + 1,
                    diag);
    }
    if (rows) kv_yaml_set(arena, root, "rows", rows, 0, diag);
    void *params = kv_arena_take(arena, reader->info.params_bytes ? reader->info.params_bytes : 1);
    if (reader->info.params) kv_bind(arena, root, "", reader->info.params, params, diag);
    kv_bind_unknown(root, "", reader->info.params, NULL, NULL, diag);
    return diag->errors ? NULL : params;
}

static int open_reader(struct kv_trace *t, struct kv_args *args, uint64_t seed, const char *rows)
{
    struct kv_diag diag = {0};
    const void *params = bind_params(args, t->reader, rows, &diag);
    kv_cli_say_diag(&diag, false);
    kv_diag_close(&diag);
    if (!params) return KV_EUSAGE;
    struct kv_err err;
    struct kv_reader_env env = {.path = t->path, .seed = seed};
    t->state = kv_mem_take(t->reader->state_bytes);
    return t->reader->open(t->state, params, &env, &err) ? KV_OK : kv_cli_fail(&err);
}

int kv_trace_open(struct kv_trace *t, struct kv_args *args)
{
    *t = (struct kv_trace){.path = args->arg[0]};
    struct kv_err err;
    const struct kv_flag_value *flag = kv_args_get(args, "format");
    t->format = flag ? flag->text : find_format(&args->arena, t->path, &err);
    if (!t->format) return kv_cli_fail(&err);
    const struct kv_plugin *plugin = kv_plugin_find(KV_FAMILY_reader, t->format);
    if (!plugin || kv_plugin_ops(reader, plugin)->generates) {
        const char *near = plugin ? NULL : nearest_reader(t->format);
        kv_fail(&err, KV_EUSAGE, args->command->name, "--format: %s '%s'%s%s%s; known: %s",
                plugin ? "no file is read by" : "unknown format", t->format, near ? "; did you mean '" : "",
                near ? near : "", near ? "'?" : "", file_formats(&args->arena));
        return kv_cli_fail(&err);
    }
    t->reader = kv_plugin_ops(reader, plugin);
    return open_reader(t, args, 0, NULL);
}

int kv_trace_open_synth(struct kv_trace *t, struct kv_args *args, uint64_t seed, const char *rows)
{
    *t = (struct kv_trace){.format = "synth"};
    const struct kv_plugin *plugin = kv_plugin_find(KV_FAMILY_reader, t->format);
    kv_assert(plugin);
    t->reader = kv_plugin_ops(reader, plugin);
    return open_reader(t, args, seed, rows);
}

void kv_trace_close(struct kv_trace *t)
{
    if (!t->state) return;
    t->reader->close(t->state);
    kv_mem_give(t->state, t->reader->state_bytes);
    t->state = NULL;
}

bool kv_trace_form(const char *name, const char *path, enum kv_trace_form *form, struct kv_err *err)
{
    if (!name) name = strstr(path, ".jsonl") ? "blocks" : "burstgpt";
    *form = strcmp(name, "blocks") == 0 ? KV_TRACE_BLOCKS : KV_TRACE_BURSTGPT;
    return *form == KV_TRACE_BLOCKS || strcmp(name, "burstgpt") == 0
           || kv_fail(err, KV_EUSAGE, "--to", "unknown form '%s'; known: blocks, burstgpt", name);
}

void kv_trace_write_header(struct kv_writer *w, enum kv_trace_form form)
{
    if (form == KV_TRACE_BLOCKS) return;
    kv_writer_text(w, "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n");
}

/* Seconds with at least one decimal and no needless zeros: "19440110.0", "0.046926808". */
static struct kv_seconds_text short_seconds(int64_t ns)
{
    struct kv_seconds_text t = kv_seconds_text(ns);
    size_t length = strlen(t.text);
    while (t.text[length - 1] == '0' && t.text[length - 2] != '.') t.text[--length] = '\0';
    return t;
}

static void write_burstgpt(struct kv_writer *w, const struct kv_row *row)
{
    kv_writer_text(w, "%s,%.300s,", short_seconds(row->time_ns).text, row->session);
    if (row->elapsed_ns >= 0 && row->elapsed_ns % 1000000000 == 0) {
        kv_writer_text(w, "%lld", (long long)(row->elapsed_ns / 1000000000));
    } else if (row->elapsed_ns >= 0) {
        kv_writer_text(w, "%s", short_seconds(row->elapsed_ns).text);
    }
    kv_writer_text(w, ",%.300s,%lld,%lld,%lld,%s\n", row->model[0] ? row->model : "unknown",
                   (long long)row->input_tokens, (long long)row->output_tokens,
                   (long long)(row->input_tokens + row->output_tokens), row->api ? "API log" : "Conversation log");
}

static void write_json_text(struct kv_writer *w, const char *key, const char *text)
{
    kv_writer_text(w, ",\"%s\":\"", key);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') kv_writer_text(w, "\\%c", c);
        else if (c < 0x20) kv_writer_text(w, "\\u%04x", c);
        else kv_writer_text(w, "%c", c);
    }
    kv_writer_text(w, "\"");
}

static void write_ids(struct kv_writer *w, const char *key, const uint64_t *ids, int64_t count)
{
    kv_writer_text(w, ",\"%s\":[", key);
    for (int64_t i = 0; i < count; i++) kv_writer_text(w, "%s%llu", i ? "," : "", (unsigned long long)ids[i]);
    kv_writer_text(w, "]");
}

static void write_blocks(struct kv_writer *w, const struct kv_row *row)
{
    kv_writer_text(w, "{\"timestamp\":%s,\"input_length\":%lld,\"output_length\":%lld",
                   short_seconds(row->time_ns).text, (long long)row->input_tokens, (long long)row->output_tokens);
    if (row->ids && row->known_tokens > row->input_tokens) {
        int64_t prompt = row->input_tokens / row->ids_tokens;
        write_ids(w, "hash_ids", row->ids, prompt);
        write_ids(w, "output_hash_ids", row->ids + prompt, row->ids_count - prompt);
    } else if (row->ids) {
        write_ids(w, "hash_ids", row->ids, row->ids_count);
    }
    if (row->session[0]) write_json_text(w, "session_id", row->session);
    if (row->session[0] && row->turn >= 0) kv_writer_text(w, ",\"turn\":%lld", (long long)row->turn);
    if (row->branch) kv_writer_text(w, ",\"branch\":%lld", (long long)row->branch);
    if (row->think_ns >= 0) kv_writer_text(w, ",\"think_s\":%s", short_seconds(row->think_ns).text);
    if (row->elapsed_ns >= 0) kv_writer_text(w, ",\"elapsed_s\":%s", short_seconds(row->elapsed_ns).text);
    if (row->priority) kv_writer_text(w, ",\"priority\":%d", row->priority);
    if (row->slo_class[0]) write_json_text(w, "slo_class", row->slo_class);
    if (row->resident_tokens) kv_writer_text(w, ",\"resident_tokens\":%lld", (long long)row->resident_tokens);
    if (row->failed) kv_writer_text(w, ",\"failed\":true");
    kv_writer_text(w, "}\n");
}

void kv_trace_write_row(struct kv_writer *w, enum kv_trace_form form, const struct kv_row *row)
{
    if (form == KV_TRACE_BLOCKS) write_blocks(w, row);
    else write_burstgpt(w, row);
}

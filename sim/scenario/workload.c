/* SPDX-License-Identifier: Apache-2.0 */
/* workload: which requests come, when, and what their prompts share. The trace is named here, not opened. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "sim/scenario/load.h"

/* Times a scenario may name: kv_cost_from_s holds them exactly. */
#define LONGEST_S 1e7

struct workload_keys {
    const char *trace;
    double rate_scale, time_scale, jitter_s, warmup_s;
    int64_t limit;
    bool skip_bad_rows;
};
#define KEY(key, dim, field, preset, min, max, help) \
    { key, dim, offsetof(struct workload_keys, field), preset, min, max, NULL, help, NULL }
static const struct kv_param workload_params[] = {
    KEY("trace", KV_DIM_TEXT, trace, "", 0, 0,
        "file, plain or gzip; looked for from the current folder, then from the scenario's"),
    KEY("rate_scale", KV_DIM_NUMBER, rate_scale, "1", 1e-6, 1e6,
        "arrival times are divided by it: 2 doubles the load"),
    KEY("time_scale", KV_DIM_NUMBER, time_scale, "1", 1e-6, 1e6,
        "arrival times are multiplied by it, the inverse of rate_scale"),
    KEY("limit", KV_DIM_COUNT, limit, "0", 0, 9e15, "at most so many rows; 0: all"),
    KEY("jitter", KV_DIM_TIME, jitter_s, "0s", 0, LONGEST_S,
        "uniform in [0, jitter) added to arrivals of whole seconds; 0s: off"),
    KEY("warmup", KV_DIM_TIME, warmup_s, "0s", 0, LONGEST_S,
        "requests that arrive earlier are left out of the summary"),
    KEY("skip_bad_rows", KV_DIM_BOOL, skip_bad_rows, "false", 0, 0,
        "damaged rows are counted and left out instead of refused"),
    KV_PARAM_END
};
static const char *const prefixes[] = {"auto", "none", "trace", "sessions", NULL};
static const char *const replays[] = {"open", "closed", "session", NULL};
static const struct kv_special workload_specials[] = {
    { { "format", KV_DIM_TEXT, 0, NULL, 0, 0, NULL,
        "what the trace is; default: the format that the file name names", NULL },
      KV_FORM_PLUGIN, KV_FAMILY_reader, NULL },
    { { "prefix", KV_DIM_TEXT, 0, "auto", 0, 0, prefixes, "where shared prefixes come from", NULL },
      KV_FORM_WORD_MAP, KV_FAMILY_COUNT, "workload.prefix" },
    { { "resident_in", KV_DIM_TEXT, 0, NULL, 0, 0, NULL,
        "tier below the first that holds the resident tokens of rows when they arrive", NULL },
      KV_FORM_NAME, KV_FAMILY_COUNT, NULL },
    { { "replay", KV_DIM_TEXT, 0, "open", 0, 0, replays, "when requests arrive", NULL },
      KV_FORM_WORD_MAP, KV_FAMILY_COUNT, "workload.replay" },
    { { "window", KV_DIM_TEXT, 0, NULL, 0, 0, NULL, "part of the trace", NULL },
      KV_FORM_MAP, KV_FAMILY_COUNT, "workload.window" },
    { { "frontend_overhead", KV_DIM_TIME, 0, "0s", 0, LONGEST_S, NULL,
        "tokeniser and HTTP, before a request reaches the router; part of TTFT", NULL },
      KV_FORM_WORD_MAP, KV_FAMILY_COUNT, "delay" },
    KV_SPECIAL_END
};
const struct kv_section kv_section_workload = { "workload", "the requests", workload_params, workload_specials };

/* ---- delays: a constant or a distribution ---- */

static const char *const delays[] = {"constant", "exponential", "lognormal", NULL};
static const struct kv_param delay_params[] = {
    { "kind", KV_DIM_CHOICE, offsetof(struct kv_delay, kind), "constant", 0, 0, delays, "distribution", NULL },
    { "mean", KV_DIM_TIME, offsetof(struct kv_delay, mean_s), "0s", 0, LONGEST_S, NULL, "its mean", NULL },
    { "sigma", KV_DIM_NUMBER, offsetof(struct kv_delay, sigma), "1", 0, 10, NULL,
      "lognormal: deviation of the logarithm", NULL },
    KV_PARAM_END
};
const struct kv_section kv_section_delay = { "delay", "a duration, or a distribution of durations",
                                             delay_params, NULL };

static void load_delay(struct kv_load *l, struct kv_yaml *map, const char *key, struct kv_delay *delay)
{
    struct kv_yaml *node = kv_yaml_get(map, key);
    if (!node) node = kv_load_default(l, map, key, "0s");
    const char *path = kv_yaml_path(l->arena, node);
    *delay = (struct kv_delay){.kind = KV_DELAY_CONSTANT};
    if (node->kind != KV_YAML_MAP) {
        kv_bind_scalar(l->arena, node, path, &delay_params[1], &delay->mean_s, l->diag);
        return;
    }
    kv_bind(l->arena, node, path, delay_params, delay, l->diag);
    kv_load_end(l, node, &kv_section_delay, path);
}

/* ---- prefix ---- */

struct prefix_keys { int64_t model, system_tokens; };
static const struct kv_param prefix_params[] = {
    { "model", KV_DIM_CHOICE, offsetof(struct prefix_keys, model), "auto", 0, 0, prefixes,
      "trace: ids of the trace; sessions: conversations that grow; auto: what the format carries", NULL },
    { "system", KV_DIM_TOKENS, offsetof(struct prefix_keys, system_tokens), "0", 0, 1 << 24, NULL,
      "first tokens of a conversation that survive when a turn does not extend the last", NULL },
    KV_PARAM_END
};
static const struct kv_special prefix_specials[] = {
    { { "infer", KV_DIM_BOOL, 0, "false", 0, 0, NULL,
        "draw sessions for conversation rows without one: true, or a map", NULL },
      KV_FORM_WORD_MAP, KV_FAMILY_COUNT, "workload.prefix.infer" },
    { { "system_prompts", KV_DIM_TEXT, 0, NULL, 0, 0, NULL, "first tokens that API rows share", NULL },
      KV_FORM_MAP, KV_FAMILY_COUNT, "workload.prefix.system_prompts" },
    KV_SPECIAL_END
};
const struct kv_section kv_section_prefix = { "workload.prefix", "where shared prefixes come from", prefix_params,
                                              prefix_specials };

static const struct kv_param infer_params[] = {
    { "turns_mean", KV_DIM_NUMBER, offsetof(struct kv_infer_config, turns_mean), "2.72", 1, 1e6, NULL,
      "turns of a session: where one is open, a row continues it with chance 1 - 1/turns_mean",
      "BurstGPT file 3, rows 0-266: conversation rows / session ids" },
    { "extends", KV_DIM_FRACTION, offsetof(struct kv_infer_config, extends_frac), "0.73", 0, 1, NULL,
      "share of those rows whose prompt contains the whole turn before", "BurstGPT file 3, first 400 rows" },
    { "gap_median", KV_DIM_TIME, offsetof(struct kv_infer_config, gap_median_s), "123s", 1e-9, 1e9, NULL,
      "gap to the turn before that such a row looks for, log-normal: its median, in trace time",
      "BurstGPT file 3, first 400 rows: p50 123 s" },
    { "gap_sigma", KV_DIM_NUMBER, offsetof(struct kv_infer_config, gap_sigma), "1.92", 0, 10, NULL,
      "deviation of the logarithm of that gap",
      "BurstGPT file 3, first 400 rows: p90 1,447 s; ln(1447/123)/1.2816" },
    { "window", KV_DIM_TIME, offsetof(struct kv_infer_config, window_s), "30min", 0, 1e9, NULL,
      "a session is open until its last turn arrived so long ago, in trace time; longer gaps are cut to it",
      "gap rule of perryz0/BurstGPT, burstgpt_kv_reuse_analysis_v2.md" },
    KV_PARAM_END
};
const struct kv_section kv_section_infer = { "workload.prefix.infer", "sessions of rows that name none", infer_params,
                                             NULL };

/* `true` is the map of all defaults; the resolved scenario has the map. */
static void load_infer(struct kv_load *l, struct kv_yaml *map)
{
    struct kv_infer_config *infer = &l->s->workload.infer;
    struct kv_yaml *node = kv_yaml_get(map, "infer");
    const struct kv_param *on = &prefix_specials[0].param;
    if (!node) node = kv_load_default(l, map, "infer", on->preset);
    if (node->kind == KV_YAML_SCALAR) {
        const char *why;
        if (!kv_value_parse(l->arena, on, node->text, &infer->on, &why))
            kv_load_error(l, node, NULL, "workload.prefix.infer: %s; or a map {turns_mean: 2.72, ...}", why);
        if (!infer->on) return;
        node->kind = KV_YAML_MAP;
    }
    infer->on = true;
    kv_bind(l->arena, node, "workload.prefix.infer", infer_params, infer, l->diag);
    kv_load_end(l, node, &kv_section_infer, "workload.prefix.infer");
}

struct system_prompt_keys { int64_t count, tokens; double zipf; };
static const struct kv_param system_prompt_params[] = {
    { "count", KV_DIM_COUNT, offsetof(struct system_prompt_keys, count), "0", 0, 1e9, NULL,
      "different prompts; 0: none", NULL },
    { "tokens", KV_DIM_TOKENS, offsetof(struct system_prompt_keys, tokens), "512", 1, 1 << 24, NULL,
      "length of each", NULL },
    { "zipf", KV_DIM_NUMBER, offsetof(struct system_prompt_keys, zipf), "1", 0, 10, NULL,
      "exponent of their popularity; 0: all alike", NULL },
    KV_PARAM_END
};
const struct kv_section kv_section_system_prompts = { "workload.prefix.system_prompts", "shared system prompts",
                                                      system_prompt_params, NULL };

static void load_prefix(struct kv_load *l, struct kv_yaml *map)
{
    struct kv_workload_config *w = &l->s->workload;
    struct kv_yaml *node = kv_yaml_get(map, "prefix");
    if (!node) node = kv_load_default(l, map, "prefix", "auto");
    node = kv_load_word_map(l, map, "prefix", "model");
    struct prefix_keys k = {0};
    struct system_prompt_keys p = {0};
    kv_bind(l->arena, node, "workload.prefix", prefix_params, &k, l->diag);
    if (node->kind != KV_YAML_MAP) return;
    load_infer(l, node);
    struct kv_yaml *model = kv_yaml_get(node, "model");
    const struct kv_reader_ops *reader = w->reader;
    if (k.model == 0) {   /* what is in force is what the resolved scenario says */
        bool ids = reader && reader->has_ids, sessions = w->infer.on || (reader && reader->has_sessions);
        k.model = ids ? 2 : sessions ? 3 : 1;
        if (model && model->kind == KV_YAML_SCALAR) model->text = prefixes[k.model];
    } else if (k.model == 2 && reader && !reader->has_ids) {
        kv_load_error(l, model, NULL, "workload.prefix: %s traces carry no prefix ids; choose sessions or none",
                      w->reader_name);
    }
    w->prefix = k.model == 2 ? KV_PREFIX_TRACE : k.model == 3 ? KV_PREFIX_SESSIONS : KV_PREFIX_NONE;
    struct kv_yaml *prompts = kv_load_map(l, node, "system_prompts");
    kv_bind(l->arena, prompts, "workload.prefix.system_prompts", system_prompt_params, &p, l->diag);
    kv_load_end(l, prompts, &kv_section_system_prompts, "workload.prefix.system_prompts");
    if (w->prefix != KV_PREFIX_SESSIONS && w->infer.on)
        kv_load_error(l, kv_yaml_get(node, "infer"), NULL,
                      "workload.prefix.infer: belongs to model: sessions; the model here is %s", prefixes[k.model]);
    if (w->prefix != KV_PREFIX_SESSIONS && (k.system_tokens || p.count))
        kv_load_error(l, k.system_tokens ? kv_yaml_get(node, "system") : prompts, NULL,
                      "workload.prefix: system and system_prompts belong to model: sessions; the model here is %s",
                      prefixes[k.model]);
    w->system_tokens = k.system_tokens;
    w->system_prompts.count = p.count;
    w->system_prompts.tokens = p.tokens;
    w->system_prompts.zipf = p.zipf;
    kv_load_end(l, node, &kv_section_prefix, "workload.prefix");
}

/* ---- replay ---- */

static const struct kv_param replay_params[] = {
    { "mode", KV_DIM_CHOICE, offsetof(struct kv_replay_config, mode), "open", 0, 0, replays,
      "open: at the times of the trace; closed: a number of clients; session: a turn follows the one before", NULL },
    KV_PARAM_END
};
static const char *const takes[] = {"request", "session", NULL};
static const struct kv_special replay_specials[] = {
    { { "clients", KV_DIM_COUNT, 0, NULL, 1, 1e9, NULL, "closed: clients, each with one request at a time", NULL },
      KV_FORM_OPTIONAL, KV_FAMILY_COUNT, NULL },
    { { "clients_take", KV_DIM_CHOICE, 0, NULL, 0, 0, takes,
        "closed: what a free client takes: the next request (default), or a session, with which it stays to its end",
        NULL },
      KV_FORM_OPTIONAL, KV_FAMILY_COUNT, NULL },
    { { "think", KV_DIM_TIME, 0, "0s", 0, LONGEST_S, NULL,
        "closed: pause of a client before it takes the next request, or session", NULL },
      KV_FORM_WORD_MAP, KV_FAMILY_COUNT, "delay" },
    KV_SPECIAL_END
};
const struct kv_section kv_section_replay = { "workload.replay", "when requests arrive", replay_params,
                                              replay_specials };

static void load_replay(struct kv_load *l, struct kv_yaml *map)
{
    struct kv_replay_config *r = &l->s->workload.replay;
    struct kv_yaml *node = kv_yaml_get(map, "replay");
    if (!node) node = kv_load_default(l, map, "replay", "open");
    node = kv_load_word_map(l, map, "replay", "mode");
    kv_bind(l->arena, node, "workload.replay", replay_params, r, l->diag);
    if (node->kind != KV_YAML_MAP) return;
    bool clients = kv_load_optional(l, node, &kv_section_replay, "clients", &r->clients);
    bool take = kv_load_optional(l, node, &kv_section_replay, "clients_take", &r->clients_take);
    struct kv_yaml *given = kv_yaml_get(node, "clients"), *think = kv_yaml_get(node, "think");
    if (r->mode == KV_REPLAY_CLOSED && !given)
        kv_load_error(l, node, NULL,
                      "workload.replay: closed replay needs the number of clients; e.g. replay: {mode: closed, "
                      "clients: 16}");
    if (r->mode != KV_REPLAY_CLOSED && clients)
        kv_load_error(l, given, NULL, "workload.replay.clients has no effect with mode: %s", replays[r->mode]);
    if (r->mode != KV_REPLAY_CLOSED && take)
        kv_load_error(l, kv_yaml_get(node, "clients_take"), NULL,
                      "workload.replay.clients_take has no effect with mode: %s", replays[r->mode]);
    if (r->mode != KV_REPLAY_CLOSED && think)   /* session replay pauses as the trace recorded it */
        kv_load_error(l, think, NULL, "workload.replay.think has no effect with mode: %s", replays[r->mode]);
    if (r->mode == KV_REPLAY_CLOSED || think) load_delay(l, node, "think", &r->think);
    kv_load_end(l, node, &kv_section_replay, "workload.replay");
}

/* ---- window ---- */

struct window_keys { double start_s; };
static const struct kv_param window_params[] = {
    { "start", KV_DIM_TIME, offsetof(struct window_keys, start_s), "0s", 0, 1e9, NULL,
      "trace time since the first row; earlier rows are left out", NULL },
    KV_PARAM_END
};
static const struct kv_special window_specials[] = {
    { { "end", KV_DIM_TIME, 0, NULL, 0, 1e9, NULL, "rows from then on are left out; default: none", NULL },
      KV_FORM_OPTIONAL, KV_FAMILY_COUNT, NULL },
    KV_SPECIAL_END
};
const struct kv_section kv_section_window = { "workload.window", "part of the trace", window_params,
                                              window_specials };

static void load_window(struct kv_load *l, struct kv_yaml *map)
{
    struct kv_workload_config *w = &l->s->workload;
    struct kv_yaml *node = kv_load_map(l, map, "window");
    struct window_keys k = {0};
    kv_bind(l->arena, node, "workload.window", window_params, &k, l->diag);
    if (!kv_load_optional(l, node, &kv_section_window, "end", &w->end_s)) w->end_s = -1;
    w->start_s = k.start_s;
    if (w->end_s >= 0 && w->end_s <= w->start_s)
        kv_load_error(l, kv_yaml_get(node, "end"), NULL, "workload.window: end must be later than start");
    kv_load_end(l, node, &kv_section_window, "workload.window");
}

/* ---- trace and format ---- */

/* "configs/../traces/x" as "traces/x", where that is the same file (a link in between could make it another). */
static const char *shorter(struct kv_load *l, const char *path)
{
    struct stat before, after;
    char *text = kv_arena_text(l->arena, "%s", path);
    for (char *up; (up = strstr(text, "/../"));) {
        char *start = up;
        while (start > text && start[-1] != '/') start--;
        if (start == up || !strncmp(start, "..", 2)) break;
        memmove(start, up + 4, strlen(up + 4) + 1);
    }
    bool same = stat(path, &before) == 0 && stat(text, &after) == 0 && before.st_dev == after.st_dev
                && before.st_ino == after.st_ino;
    return same ? text : path;
}

/* Sets workload.trace to the path that exists: as written, or from the folder of the file that names it. */
static void find_trace(struct kv_load *l, struct kv_yaml *node, const char *given)
{
    struct stat info;
    const char *path = given, *file = node->origin == KV_FROM_FILE && node->pos.file ? node->pos.file : l->s->path;
    const char *slash = strrchr(file, '/');
    bool found = stat(path, &info) == 0;
    if (!found && *given != '/' && slash) {
        path = kv_arena_text(l->arena, "%.*s/%s", (int)(slash - file), file, given);
        found = stat(path, &info) == 0;
    }
    if (!found) {
        const char *beside = slash ? kv_arena_text(l->arena, " or in %.*s", (int)(slash - file), file) : "";
        kv_load_error(l, node, NULL, "workload.trace: '%s' was not found%s%s", given,
                      *given == '/' ? "" : " in the current folder", *given == '/' ? "" : beside);
        return;
    }
    if (S_ISDIR(info.st_mode)) {
        kv_load_error(l, node, NULL, "workload.trace: '%s' is a folder, not a trace", path);
        return;
    }
    l->s->workload.trace = shorter(l, path);
    node->text = l->s->workload.trace;   /* the resolved scenario names the file that is read */
}

/* The format whose name is part of the file name, or of the folder's; NULL when none is, or more than one. */
static const char *format_of(struct kv_load *l, const char *trace)
{
    int32_t count;
    const struct kv_plugin *all = kv_plugins(&count);
    const char *slash = strrchr(trace, '/'), *part = slash ? slash + 1 : trace, *name = NULL;
    for (int32_t pass = 0; pass < 2 && !name; pass++) {
        bool twice = false;
        for (int32_t i = 0; i < count; i++) {
            if (all[i].family != KV_FAMILY_reader || !strstr(part, all[i].name)) continue;
            if (kv_plugin_ops(reader, &all[i])->generates) continue;
            twice = name != NULL;
            name = all[i].name;
        }
        if (twice) return NULL;
        if (!slash) break;
        const char *start = slash;
        while (start > trace && start[-1] != '/') start--;
        part = kv_arena_copy(l->arena, start, (size_t)(slash - start));
    }
    return name;
}

static void load_reader(struct kv_load *l, struct kv_yaml *map, const struct workload_keys *k)
{
    struct kv_workload_config *w = &l->s->workload;
    struct kv_yaml *trace = kv_yaml_get(map, "trace");
    const char *preset = NULL;
    bool named = k->trace && *k->trace;
    if (!kv_yaml_get(map, "format")) {
        if (!named) {
            kv_load_error(l, map, NULL, "workload.trace: missing; name a trace file, or a generator: format: synth");
            return;
        }
        preset = format_of(l, k->trace);
        if (!preset) {
            find_trace(l, trace, k->trace);
            kv_load_error(l, trace, NULL,
                          "workload.format: the name '%s' does not tell the format; add format: NAME; known: %s",
                          k->trace, kv_plugin_names(KV_FAMILY_reader));
            return;
        }
    }
    const struct kv_plugin *plugin = kv_load_plugin(l, map, "format", KV_FAMILY_reader, preset, NULL, NULL,
                                                    &w->reader_params);
    if (plugin) {
        w->reader = kv_plugin_ops(reader, plugin);
        w->reader_name = plugin->name;
    }
    if (named && w->reader && w->reader->generates)
        kv_load_error(l, trace, NULL, "workload.trace: %s generates its requests and reads no file", w->reader_name);
    else if (named)
        find_trace(l, trace, k->trace);
    else if (!w->reader || !w->reader->generates)
        kv_load_error(l, map, NULL, "workload.trace: missing; name a trace file");
}

/* ---- resident tokens ---- */

static void load_resident(struct kv_load *l, struct kv_yaml *map)
{
    struct kv_sim_config *c = &l->s->sim;
    struct kv_yaml *node;
    if (kv_load_names(l, map, "resident_in", &node, 1) == 0) return;
    const char *names[KV_TIERS_MAX], *all = "";
    l->s->workload.resident = true;
    for (int32_t t = 1; t < c->tier_count; t++) {
        names[t - 1] = c->tier[t].name;
        all = kv_arena_text(l->arena, "%s%s%s", all, t > 1 ? ", " : "", c->tier[t].name);
        if (!strcmp(c->tier[t].name, node->text)) c->resident_tier = t;
    }
    if (c->resident_tier > 0) return;
    const char *near = c->tier_count > 1 ? kv_suggest(node->text, names, c->tier_count - 1) : NULL;
    kv_load_error(l, node, near ? kv_arena_text(l->arena, "did you mean '%s'?", near) : NULL,
                  "workload.resident_in: '%s' is no tier below the first; there %s: %s", node->text,
                  c->tier_count == 2 ? "is" : "are", *all ? all : "none");
}

void kv_load_workload(struct kv_load *l)
{
    struct kv_workload_config *w = &l->s->workload;
    struct kv_yaml *map = kv_load_map(l, l->s->tree, "workload");
    struct workload_keys k = {0};
    kv_bind(l->arena, map, "workload", workload_params, &k, l->diag);
    if (map->kind != KV_YAML_MAP) return;
    load_reader(l, map, &k);
    load_prefix(l, map);
    load_replay(l, map);
    load_window(l, map);
    load_resident(l, map);
    load_delay(l, map, "frontend_overhead", &w->replay.frontend_overhead);
    w->rate_scale = k.rate_scale / (k.time_scale > 0 ? k.time_scale : 1);
    w->jitter_s = k.jitter_s;
    w->warmup_s = k.warmup_s;
    w->limit_requests = k.limit;
    w->skip_bad_rows = k.skip_bad_rows;
    w->block_tokens = l->s->sim.engine.block_tokens;
    l->s->sim.replay = w->replay;
    kv_load_end(l, map, &kv_section_workload, "workload");
}

/* SPDX-License-Identifier: Apache-2.0 */
/* kvsim run: a scenario from its file to its results. Everything that can be wrong with the input is looked at
 * before the simulation starts and before the results file exists. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim/cli/cli.h"
#include "sim/cli/dryrun.h"
#include "sim/cli/progress.h"
#include "sim/out/out.h"

/* Events between two looks at signals and the clock: some milliseconds. */
#define SLICE_EVENTS 4096

struct run {
    struct kv_args *args;
    struct kv_diag diag;
    struct kv_scenario scenario;
    struct kv_workload *workload;
    struct kv_request first;          /* read ahead, so that a bad trace is told before anything is written */
    bool first_held, source_ended;
    struct kv_run_info info;
    const char *source_name[KV_SOURCES_MAX];
    struct kv_results *results;
    struct kv_sim *sim;
    FILE *event_log;
    const char *out_path;             /* NULL: table only */
    bool quiet, json, json_errors;
    enum kv_progress_mode progress_mode;
    struct kv_progress progress;
    int64_t trace_bytes;              /* decompressed; 0: unknown */
};

/* The one place where a run ends badly. */
static int fail(struct run *r, const struct kv_err *err)
{
    if (!r->json_errors) return kv_cli_fail(err);
    kv_diag_add(&r->diag, KV_ERROR, (struct kv_pos){ .file = err->where }, NULL, "%s", err->text);
    kv_cli_say_diag(&r->diag, true);
    return (int)err->code;
}

static bool read_flags(struct run *r, struct kv_err *err)
{
    const struct kv_flag_value *out = kv_args_get(r->args, "output"), *mode = kv_args_get(r->args, "progress");
    r->out_path = out ? out->text : NULL;
    r->quiet = kv_args_has(r->args, "quiet");
    r->json = kv_args_has(r->args, "json");
    r->json_errors = kv_args_has(r->args, "json-errors");
    if (out && !*out->text) return kv_fail(err, KV_EUSAGE, "run", "--output needs a file name");
    if (!kv_progress_mode(mode ? mode->text : "auto", &r->progress_mode)) {
        return kv_fail(err, KV_EUSAGE, "run", "--progress %s: auto, bar, plain or none", mode->text);
    }
    if (r->quiet) r->progress_mode = KV_PROGRESS_NONE;
    return true;
}

/* --set KEY=VALUE in order, then --seed, which is `--set seed=N`. The list is kept for /meta, one a line. */
static bool read_overrides(struct run *r, struct kv_override **set, int32_t *count, struct kv_err *err)
{
    struct kv_arena *arena = &r->args->arena;
    const struct kv_flag_value *value, *seed = kv_args_get(r->args, "seed");
    struct kv_override *list = kv_arena_take(arena, ((size_t)r->args->value_count + 1) * sizeof *list);
    const char *text = "";
    int32_t n = 0;
    for (; (value = kv_args_nth(r->args, "set", n)); n++) {
        const char *equals = strchr(value->text, '=');
        if (!equals || equals == value->text) {
            return kv_fail(err, KV_EUSAGE, "run", "--set '%s': write --set KEY=VALUE, e.g. --set "
                           "engine.max_num_seqs=64", value->text);
        }
        list[n].key = kv_arena_copy(arena, value->text, (size_t)(equals - value->text));
        list[n].value = equals + 1;
        text = kv_arena_text(arena, "%s%s\n", text, value->text);
    }
    if (seed) {
        list[n++] = (struct kv_override){ "seed", seed->text };
        text = kv_arena_text(arena, "%sseed=%s\n", text, seed->text);
    }
    r->info.set_text = text;
    *set = list;
    *count = n;
    return true;
}

static bool read_limits(struct run *r, struct kv_err *err)
{
    const struct kv_flag_value *time = kv_args_get(r->args, "time-limit"), *events = kv_args_get(r->args, "max-events");
    struct kv_sim_config *config = &r->scenario.sim;
    if (time) {
        double ticks = time->seconds * (double)KV_TICKS_PER_S;
        if (!(ticks >= 1 && ticks < (double)KV_TICK_LIMIT)) {
            return kv_fail(err, KV_EUSAGE, "run", "--time-limit %s: accepted are 1ns to 200d", time->text);
        }
        config->time_limit_tk = (kv_tick)ticks;
    }
    if (events && !events->number) return kv_fail(err, KV_EUSAGE, "run", "--max-events 0: at least 1");
    if (events) config->event_limit = (uint64_t)events->number;
    return true;
}

/* Refuses early what would fail after hours: the results module checks again when it creates the file. */
static bool check_output(const struct run *r, struct kv_err *err)
{
    struct stat found;
    const char *path = r->out_path, *slash = path ? strrchr(path, '/') : NULL;
    if (!path) return true;
    if (!stat(path, &found) && S_ISDIR(found.st_mode)) return kv_fail(err, KV_EIO, path, "is a directory");
    if (!access(path, F_OK) && !kv_args_has(r->args, "force")) {
        return kv_fail(err, KV_EIO, path, "exists already; give --force to overwrite it, or another -o");
    }
    const char *folder = !slash ? "." : slash == path ? "/"
                       : kv_arena_copy(&r->args->arena, path, (size_t)(slash - path));
    if (stat(folder, &found)) return kv_fail(err, KV_EIO, path, "cannot write: %s: %s", folder, strerror(errno));
    if (access(folder, W_OK)) return kv_fail(err, KV_EIO, path, "cannot write into %s: %s", folder, strerror(errno));
    return true;
}

/* Size of a trace after decompression, for the progress line only. gzip ends with it, modulo 4 GiB (RFC 1952). */
static int64_t trace_bytes(const char *path)
{
    struct stat found;
    unsigned char magic[2] = { 0, 0 }, tail[4] = { 0, 0, 0, 0 };
    if (!path || stat(path, &found) || !S_ISREG(found.st_mode)) return 0;
    FILE *file = fopen(path, "rb");
    if (!file) return 0;
    int64_t bytes = (int64_t)found.st_size;
    if (fread(magic, 1, 2, file) == 2 && magic[0] == 0x1f && magic[1] == 0x8b) {
        bool read = !fseek(file, -4, SEEK_END) && fread(tail, 1, 4, file) == 4;
        bytes = read ? (int64_t)tail[0] | (int64_t)tail[1] << 8 | (int64_t)tail[2] << 16 | (int64_t)tail[3] << 24 : 0;
    }
    fclose(file);
    return bytes;
}

/* The workload, with the row that was read ahead in front. */
static int source_next(void *state, struct kv_request *request, struct kv_err *err)
{
    struct run *r = state;
    if (r->first_held) {
        r->first_held = false;
        *request = r->first;
        return 1;
    }
    int got = kv_workload_next(r->workload, request, err);
    r->source_ended = got == 0;
    return got;
}

static bool open_workload(struct run *r, struct kv_err *err)
{
    struct kv_workload_config *config = &r->scenario.workload;
    config->skip_digest = !r->out_path && !r->json;   /* the table does not show it */
    r->workload = kv_workload_open(config, r->scenario.sim.seed, r->scenario.slo, r->scenario.slo_count, err);
    if (!r->workload) return false;
    int got = kv_workload_next(r->workload, &r->first, err);
    if (got < 0) return false;
    if (!got) {
        return kv_fail(err, KV_ETRACE, config->trace ? config->trace : config->reader_name,
                       "no row to replay: the trace, or the window of it, is empty");
    }
    r->first_held = true;
    r->trace_bytes = trace_bytes(config->trace);
    return true;
}

static bool open_event_log(struct run *r, struct kv_err *err)
{
    const struct kv_flag_value *log = kv_args_get(r->args, "event-log");
    if (!log) return true;
    r->event_log = fopen(log->text, kv_args_has(r->args, "force") ? "w" : "wx");
    if (!r->event_log) {
        return kv_fail(err, KV_EIO, log->text, "%s", errno == EEXIST ? "exists already; give --force to overwrite it"
                                                                     : strerror(errno));
    }
    kv_sim_log_to(r->sim, r->event_log);
    return true;
}

static int32_t tier_count(const struct run *r)
{
    return r->scenario.sim.tier_count > 1 ? r->scenario.sim.tier_count : 1;
}

static bool open_run(struct run *r, struct kv_err *err)
{
    struct kv_source source = { r, source_next };
    int32_t tiers = tier_count(r);
    r->source_name[0] = r->scenario.hbm.name;
    for (int32_t t = 1; t < tiers; t++) r->source_name[t] = r->scenario.sim.tier[t].name;
    r->source_name[tiers] = "compute";
    r->info.scenario = &r->scenario;
    r->info.resolved_yaml = kv_scenario_resolved(&r->scenario, false);
    r->info.source_names = r->source_name;
    r->info.source_count = tiers + 1;
    kv_cli_interrupted();   /* from here on a first Ctrl-C ends the run with results */
    if (r->out_path) kv_cli_scratch(kv_arena_text(&r->args->arena, "%s.tmp", r->out_path));
    r->results = kv_results_open(r->out_path, kv_args_has(r->args, "force"), &r->info, err);
    if (!r->results) return false;
    r->sim = kv_sim_open(&r->scenario.sim, source, kv_results_sink(r->results), err);
    return r->sim && open_event_log(r, err);
}

/* Rows that the workload will have at most: its limit, or what a generator was told to make. 0: unknown. */
static int64_t rows_expected(const struct kv_scenario *s)
{
    if (s->workload.limit_requests > 0 || s->workload.trace) return s->workload.limit_requests;
    struct kv_yaml *workload = kv_yaml_get(s->tree, "workload");
    struct kv_yaml *format = workload ? kv_yaml_get(workload, "format") : NULL;
    struct kv_yaml *rows = format && format->kind == KV_YAML_MAP ? kv_yaml_get(format, "rows") : NULL;
    return rows && rows->text ? strtoll(rows->text, NULL, 10) : 0;
}

static void view_tiers(const struct run *r, const struct kv_sim_state *state, struct kv_progress_view *view)
{
    const struct kv_sim_config *config = &r->scenario.sim;
    double blocks = (double)config->hbm_blocks * config->instance_count;
    view->tier_count = tier_count(r);
    view->tier = r->source_name;
    view->tier_frac[0] = blocks > 0 ? (double)(state->active_blocks + state->inactive_blocks) / blocks : 0;
    for (int32_t t = 1; t < view->tier_count; t++) {
        struct kv_sim_tier_state tier;
        kv_sim_tier(r->sim, t, &tier);
        double room = (double)config->tier[t].capacity_chunks * (double)tier.pools;
        bool finite = config->tier[t].capacity_chunks != KV_CHUNKS_UNLIMITED && room > 0;
        view->tier_frac[t] = finite ? (double)tier.used_chunks / room : -1;
    }
}

/* How much of the run is done: requests ended, of those that the part of the trace read so far promises. */
static void show_progress(struct run *r)
{
    const struct kv_sim_config *config = &r->scenario.sim;
    struct kv_workload_stats stats;
    struct kv_sim_state state;
    kv_workload_stats(r->workload, &stats);
    kv_sim_read(r->sim, &state);
    const struct kv_counters *c = &state.counters;
    struct kv_progress_view view = {
        .sim_s = kv_tick_to_s(kv_sim_now(r->sim)), .sim_end_s = -1, .done_frac = -1, .total = -1,
        .ended = c->finished + c->rejected + c->failed, .events = kv_sim_events(r->sim), .waiting = state.waiting,
        .fetching = state.fetching,
    };
    view_tiers(r, &state, &view);
    double read_frac = 0;
    int64_t limit = rows_expected(&r->scenario);
    if (r->trace_bytes > 0) read_frac = (double)stats.reader.bytes / (double)r->trace_bytes;
    if (limit > 0 && (double)c->injected / (double)limit > read_frac) read_frac = (double)c->injected / (double)limit;
    if (r->source_ended || read_frac > 1) read_frac = 1;
    if (read_frac > 0 && c->injected > 0) {
        double total = (double)c->injected / read_frac;
        view.total = (int64_t)(total + 0.5);
        view.done_frac = (double)view.ended / total;
    }
    if (config->time_limit_tk != KV_TICK_NEVER) {
        view.sim_end_s = kv_tick_to_s(config->time_limit_tk);
        if (view.sim_s / view.sim_end_s > view.done_frac) view.done_frac = view.sim_s / view.sim_end_s;
    }
    kv_progress_show(&r->progress, &view);
}

static enum kv_sim_end simulate(struct run *r, struct kv_err *err)
{
    enum kv_sim_end end = KV_SIM_FAILED;
    while (!kv_sim_run(r->sim, SLICE_EVENTS, &end, err)) {
        if (kv_cli_interrupted()) {
            end = KV_SIM_STOPPED;
            break;
        }
        if (kv_progress_due(&r->progress)) show_progress(r);
    }
    if (r->progress_mode == KV_PROGRESS_PLAIN) show_progress(r);
    kv_progress_close(&r->progress);
    return end;
}

/* Says why a run stopped early; returns its exit code. */
static int tell_end(const struct run *r, enum kv_sim_end end)
{
    double at_s = kv_tick_to_s(kv_sim_now(r->sim));
    const char *rest = r->out_path ? "; partial results are in " : "; the table shows what was reached";
    const char *path = r->out_path ? r->out_path : "";
    switch (end) {
    case KV_SIM_TIME_LIMIT:
        kv_say("kvsim: stopped by --time-limit at %.6g s of simulated time%s%s\n", at_s, rest, path);
        return KV_ESTUCK;
    case KV_SIM_EVENT_LIMIT:
        kv_say("kvsim: stopped by --max-events after %llu events, at %.6g s of simulated time%s%s\n",
               (unsigned long long)kv_sim_events(r->sim), at_s, rest, path);
        return KV_ESTUCK;
    case KV_SIM_STUCK:
        kv_say("kvsim: stuck at %.6g s of simulated time, nothing can happen any more: %s%s%s\n", at_s,
               kv_results_stuck(r->results, &r->args->arena), rest, path);
        return KV_ESTUCK;
    case KV_SIM_STOPPED:
        kv_say("kvsim: interrupted at %.6g s of simulated time%s%s\n", at_s, rest, path);
        return KV_EINTERRUPT;
    default:
        return KV_OK;
    }
}

/* What the machine did. Never part of the results file (semantics F.31). */
static void print_results(struct run *r)
{
    struct kv_arena *arena = &r->args->arena;
    struct kv_host_usage usage = kv_host_usage();
    double wall_s = kv_wall_s() - r->progress.start_s;
    uint64_t events = kv_sim_events(r->sim);
    if (r->json) {
        const char *text = kv_results_json(r->results, arena), *brace = strrchr(text, '}');
        kv_assert(brace);
        kv_print("%.*s, \"host\": {\"wall_s\": %.6f, \"cpu_s\": %.6f, \"events\": %llu, \"events_per_s\": %.0f, "
                 "\"peak_memory_bytes\": %lld}}\n", (int)(brace - text), text, wall_s, usage.cpu_s,
                 (unsigned long long)events, (double)events / (wall_s + 1e-9), (long long)usage.peak_bytes);
    } else if (!r->quiet) {
        kv_print("%s", kv_results_table(r->results, arena));
    }
    if (r->quiet) return;
    kv_cli_flush();   /* the table before the line below, where both go to one place; main asks again */
    kv_say("kvsim: %.2f s wall, %.2f s CPU, %llu events (%.2f M/s), %.0f MiB peak%s%s\n", wall_s, usage.cpu_s,
           (unsigned long long)events, (double)events / (wall_s + 1e-9) / 1e6, (double)usage.peak_bytes / 0x1p20,
           r->out_path ? "; results in " : "", r->out_path ? r->out_path : "");
}

static int simulate_and_write(struct run *r)
{
    struct kv_err err;
    struct kv_workload_stats stats;
    if (!open_run(r, &err)) return fail(r, &err);
    enum kv_sim_end end = simulate(r, &err);
    if (end == KV_SIM_FAILED) return fail(r, &err);
    if (!kv_sim_finish(r->sim, &err)) return fail(r, &err);
    kv_workload_stats(r->workload, &stats);
    const char *status = end == KV_SIM_COMPLETE ? "complete" : end == KV_SIM_STUCK ? "stuck" : "interrupted";
    if (!kv_results_commit(r->results, r->sim, &stats, status, &err)) return fail(r, &err);
    if (r->event_log && fflush(r->event_log)) {
        kv_fail(&err, KV_EIO, kv_args_get(r->args, "event-log")->text, "cannot write: %s", strerror(errno));
        return fail(r, &err);
    }
    int code = tell_end(r, end);
    print_results(r);
    return code;
}

static void memory_limit(int64_t used_bytes, int64_t limit_bytes)
{
    kv_cli_scratch_remove();
    kv_say("kvsim: memory: %.2f MiB needed, --memory-limit is %.2f MiB; nothing was written\n",
           (double)used_bytes / 0x1p20, (double)limit_bytes / 0x1p20);
    _exit(KV_ESTUCK);   /* not exit(): nothing may run that allocates again */
}

static int run_loaded(struct run *r)
{
    struct kv_err err;
    if (!read_limits(r, &err) || !check_output(r, &err) || !open_workload(r, &err)) return fail(r, &err);
    if (!kv_args_has(r->args, "dry-run")) return simulate_and_write(r);
    struct kv_source source = { r, source_next };
    if (!kv_cli_dry_run(&r->scenario, r->workload, source, r->json, &err)) return fail(r, &err);
    return KV_OK;
}

/* Warnings of a good scenario: told now, and kept for /quality without their places in a file. */
static void keep_warnings(struct run *r)
{
    const char *text = "";
    for (size_t i = 0; i < r->diag.note.count; i++) {
        text = kv_arena_text(&r->args->arena, "%s%s\n", text, r->diag.note.at[i].text);
    }
    r->info.warnings = text;
    if (!r->quiet) kv_cli_say_diag(&r->diag, r->json_errors);
    kv_diag_close(&r->diag);   /* an error below starts a list of its own */
}

static int run(struct kv_args *args)
{
    struct run r = { .args = args };
    struct kv_err err;
    struct kv_override *set = NULL;
    int32_t set_count = 0;
    if (!read_flags(&r, &err) || !read_overrides(&r, &set, &set_count, &err)) {
        int code = fail(&r, &err);
        kv_diag_close(&r.diag);
        return code;
    }
    kv_progress_open(&r.progress, r.progress_mode);
    const struct kv_flag_value *memory = kv_args_get(args, "memory-limit");
    if (memory) kv_memory_limit(memory->number, memory_limit);
    int code;
    if (!kv_scenario_load(&r.scenario, args->arg[0], set, set_count, &r.diag)) {
        code = kv_cli_fail_diag(&r.diag, KV_ECONFIG, r.json_errors);
    } else {
        keep_warnings(&r);
        code = run_loaded(&r);
    }
    if (r.sim) kv_sim_close(r.sim);
    if (r.results) kv_results_close(r.results);
    kv_cli_scratch(NULL);
    if (r.event_log) fclose(r.event_log);
    if (r.workload) kv_workload_close(r.workload);
    kv_scenario_close(&r.scenario);
    kv_diag_close(&r.diag);
    return code;
}

static const struct kv_flag flags[] = {
    { "set", 0, KV_FLAG_REPEAT, "KEY=VALUE",
      "change a key of the scenario: engine.max_num_seqs=64, tiers[0].evict=fifo" },
    { "output", 'o', KV_FLAG_TEXT, "OUT.h5", "write results to this HDF5 file; without it only the table is printed" },
    { "force", 0, KV_FLAG_SWITCH, NULL, "overwrite existing output files" },
    { "seed", 0, KV_FLAG_COUNT, "N", "seed of all random draws, in place of the scenario's" },
    { "dry-run", 0, KV_FLAG_SWITCH, NULL, "check everything, print sizes and offered load; simulate nothing" },
    { "time-limit", 0, KV_FLAG_TIME, "TIME", "stop at this simulated time (exit 8, results marked interrupted)" },
    { "max-events", 0, KV_FLAG_COUNT, "N", "stop after so many events (exit 8, results marked interrupted)" },
    { "memory-limit", 0, KV_FLAG_BYTES, "SIZE", "give up rather than use more memory (exit 8)" },
    { "event-log", 0, KV_FLAG_TEXT, "FILE", "write every event of the simulated world as a line of text" },
    { "quiet", 'q', KV_FLAG_SWITCH, NULL, "print errors only, no table and no progress" },
    { "json", 0, KV_FLAG_SWITCH, NULL, "print the summary as one JSON object in place of the table" },
    { "progress", 0, KV_FLAG_TEXT, "MODE", "auto (a bar on a terminal), bar, plain (a line each 10 %), none" },
    { "json-errors", 0, KV_FLAG_SWITCH, NULL, "print errors as JSON, one object a line" },
    { NULL, 0, KV_FLAG_SWITCH, NULL, NULL },
};

const struct kv_command kv_command_run = {
    .name = "run", .usage = "SCENARIO.yaml [flags]", .help = "replay the workload of a scenario and print the results",
    .details = "Ctrl-C ends a run with partial results (status interrupted, exit 130); a second\n"
               "one kills it. SIGUSR1 prints a status line. When nothing can move any more although\n"
               "requests have not ended (a link without capacity), the run ends with partial results,\n"
               "status stuck and exit 8.\n",
    .flags = flags, .arg_min = 1, .arg_max = 1, .run = run,
};

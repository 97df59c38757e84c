/* SPDX-License-Identifier: Apache-2.0 */
/* kvsim export: what a results file holds, in other formats. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim/cli/cli.h"
#include "sim/cli/output.h"
#include "sim/out/out.h"

/* The scenario reader wants a file; the stored text becomes one that has no name left when it is read. */
static bool load_stored(struct kv_scenario *s, const char *results, struct kv_diag *diag, struct kv_arena *arena,
                        struct kv_err *err)
{
    const char *yaml, *trace, *folder = getenv("TMPDIR");
    if (!kv_results_scenario(results, &yaml, &trace, arena, err)) return false;
    char *path = kv_arena_text(arena, "%s/kvsim-scenario-XXXXXX", folder && *folder ? folder : "/tmp");
    int fd = mkstemp(path);
    if (fd < 0) return kv_fail(err, KV_EIO, path, "cannot make a temporary file: %s", strerror(errno));
    size_t length = strlen(yaml);
    bool ok = write(fd, yaml, length) == (ssize_t)length;
    if (!ok) kv_fail(err, KV_EIO, path, "cannot write: %s", strerror(errno));
    if (close(fd)) ok = kv_fail(err, KV_EIO, path, "cannot write: %s", strerror(errno));
    struct kv_override set = {"workload.trace", trace};
    if (ok && !kv_scenario_load(s, path, &set, *trace ? 1 : 0, diag)) {
        ok = kv_fail(err, KV_ECONFIG, results, "the scenario stored in it cannot be used any more:");
    }
    unlink(path);
    return ok;
}

static bool export_trace(const char *results, FILE *out, struct kv_diag *diag, struct kv_err *err)
{
    struct kv_arena arena = {0};
    struct kv_scenario scenario = {0};
    bool ok = load_stored(&scenario, results, diag, &arena, err)
              && kv_results_export_trace(results, &scenario, out, err);
    kv_scenario_close(&scenario);
    kv_arena_close(&arena);
    return ok;
}

static int run(struct kv_args *args)
{
    struct kv_err err = {0};
    struct kv_diag diag = {0};
    struct kv_output output;
    const char *results = args->arg[0], *format = args->arg[1];
    const char *table = args->arg_count > 2 ? args->arg[2] : "requests";
    bool trace = !strcmp(format, "trace");
    const struct kv_flag_value *against = kv_args_get(args, "against");
    if (trace && (args->arg_count > 2 || against)) {
        kv_fail(&err, KV_EUSAGE, "export", "a trace has no tables, and nothing to compare with");
        return kv_cli_fail(&err);
    }
    if (!kv_output_open(&output, args, &err)) return kv_cli_fail(&err);
    bool ok = trace ? export_trace(results, output.stream, &diag, &err)
                    : kv_results_export(results, format, table, against ? against->text : NULL, output.stream, &err);
    ok = kv_output_close(&output, ok, &err);
    int code = ok ? KV_OK : kv_cli_fail(&err);
    if (diag.errors) kv_cli_say_diag(&diag, false);
    kv_diag_close(&diag);
    return code;
}

static const struct kv_flag flags[] = {
    { "output", 'o', KV_FLAG_TEXT, "FILE", "write to this file instead of stdout" },
    { "force", 0, KV_FLAG_SWITCH, NULL, "overwrite an existing file" },
    { "against", 0, KV_FLAG_TEXT, "REF.h5", "requests: add how much longer TTFT is than in this run of the trace" },
    { NULL, 0, KV_FLAG_SWITCH, NULL, NULL },
};

const struct kv_command kv_command_export = {
    .name = "export", .usage = "RESULTS.h5 csv|json|jsonl|trace [TABLE] [-o FILE]",
    .help = "write results as CSV, JSON, JSON lines, or as a trace to replay",
    .details = "TABLE is requests (the default), summary, timeseries, tiers, links, flows or layers. Times are in\n"
               "seconds, with 12 decimals; a number that is not defined is an empty cell, or null.\n"
               "\n"
               "`trace` writes the requests of the run with their arrival times and prefix block ids in the\n"
               "`blocks` format; the run's own trace must still be there. To replay it, run the same scenario\n"
               "with --set 'workload={trace: FILE, format: {kind: blocks, block_tokens: 16, partial: prefix},\n"
               "prefix: trace}', where 16 stands for the scenario's engine.block_tokens.\n",
    .flags = flags, .arg_min = 2, .arg_max = 3, .run = run,
};

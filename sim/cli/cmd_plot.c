/* SPDX-License-Identifier: Apache-2.0 */
/* kvsim plot: pictures of a results file, without any other program. */
#include <string.h>

#include "sim/cli/cli.h"
#include "sim/cli/output.h"
#include "sim/out/out.h"

static int list(void)
{
    for (const char *const *kind = kv_plot_kinds; *kind; kind += 2) kv_print("%-16s %s\n", kind[0], kind[1]);
    return KV_OK;
}

static int run(struct kv_args *args)
{
    struct kv_err err = {0};
    struct kv_output output;
    if (args->arg_count == 1 && !strcmp(args->arg[0], "list")) return list();
    const char *kind = args->arg_count > 1 ? args->arg[1] : "overview";
    const struct kv_flag_value *request = kv_args_get(args, "request");
    struct kv_plot_options options = {kv_args_has(args, "csv"), request ? request->number : -1};
    if (!kv_output_open(&output, args, &err)) return kv_cli_fail(&err);
    bool ok = kv_results_plot(args->arg[0], kind, &options, output.stream, &err);
    return kv_output_close(&output, ok, &err) ? KV_OK : kv_cli_fail(&err);
}

static const struct kv_flag flags[] = {
    { "output", 'o', KV_FLAG_TEXT, "FILE.svg", "write to this file instead of stdout" },
    { "force", 0, KV_FLAG_SWITCH, NULL, "overwrite an existing file" },
    { "csv", 0, KV_FLAG_SWITCH, NULL, "write the numbers that the picture shows instead" },
    { "request", 0, KV_FLAG_COUNT, "N", "waterfall and layers: of this one request, as numbered in /requests" },
    { NULL, 0, KV_FLAG_SWITCH, NULL, NULL },
};

const struct kv_command kv_command_plot = {
    .name = "plot", .usage = "RESULTS.h5 [KIND] [-o FILE.svg]", .help = "draw results as a self-contained SVG picture",
    .details = "`kvsim plot list` tells the kinds; the default is overview.\n",
    .flags = flags, .arg_min = 1, .arg_max = 2, .run = run,
};

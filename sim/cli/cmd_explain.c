/* SPDX-License-Identifier: Apache-2.0 */
/* kvsim explain: what a request spent its time on. */
#include "sim/cli/cli.h"
#include "sim/cli/output.h"
#include "sim/out/out.h"

static int run(struct kv_args *args)
{
    struct kv_err err = {0};
    struct kv_output output;
    const struct kv_flag_value *request = kv_args_get(args, "request"), *worst = kv_args_get(args, "worst");
    const struct kv_flag_value *against = kv_args_get(args, "against");
    const struct kv_flag_value *percentile = kv_args_get(args, "percentile");
    if (!!request + !!worst + !!percentile > 1) {
        kv_fail(&err, KV_EUSAGE, "explain", "--request, --worst and --percentile: give one of them");
        return kv_cli_fail(&err);
    }
    struct kv_explain_options options = {
        .request = request ? request->number : -1, .worst = worst ? worst->number : 1,
        .percentile = percentile ? percentile->text : NULL, .against = against ? against->text : NULL,
    };
    if (!kv_output_open(&output, args, &err)) return kv_cli_fail(&err);
    bool ok = kv_results_explain(args->arg[0], &options, output.stream, &err);
    return kv_output_close(&output, ok, &err) ? KV_OK : kv_cli_fail(&err);
}

static const struct kv_flag flags[] = {
    { "request", 0, KV_FLAG_COUNT, "ID", "this request, as numbered in /requests" },
    { "worst", 0, KV_FLAG_COUNT, "N", "the N with the longest time to first token, or the most added (default 1)" },
    { "percentile", 0, KV_FLAG_TEXT, "METRIC.pQ",
      "the one at this percentile of ttft, tpot, e2e or, with --against, added: ttft.p99" },
    { "against", 0, KV_FLAG_TEXT, "REF.h5", "tell how much longer TTFT is than in this run of the same trace" },
    { "output", 'o', KV_FLAG_TEXT, "FILE", "write to this file instead of stdout" },
    { "force", 0, KV_FLAG_SWITCH, NULL, "overwrite an existing file" },
    { NULL, 0, KV_FLAG_SWITCH, NULL, NULL },
};

const struct kv_command kv_command_explain = {
    .name = "explain", .usage = "RESULTS.h5 [--request ID | --worst N | --percentile METRIC.pQ] [--against REF.h5]",
    .help = "tell what a request spent its time on, and what it waited for",
    .details = "Stages come from every results file with requests. Which fetches it waited for, at what\n"
               "rate they came and who shared their way needs a run with output.flows: all; where its\n"
               "first step stood still between layers, one with output.layers: {sample: N}.\n"
               "--against sums up the added TTFT of all requests after the warm-up, unless --request\n"
               "asks for one; requests are the same by their row of the trace.\n",
    .flags = flags, .arg_min = 1, .arg_max = 1, .run = run,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* kvsim calib serve: runs kvsim-calib-serve (calib/serve), which links CUDA where there is one. */
#include "sim/cli/calib.h"
#include "sim/cli/cli.h"

static int run(struct kv_args *args)
{
    return kv_calib_run(args, "serve");
}

static const struct kv_flag flags[] = {
    { "output", 'o', KV_FLAG_TEXT, "FOLDER", "for requests.csv, steps.csv, layers.csv and run.yaml; made if need be" },
    { "device", 0, KV_FLAG_TEXT, "WHAT",
      "cuda: a GPU; reference: double precision on the CPU, small models; clock: prices of the scenario (cuda)" },
    { "set", 0, KV_FLAG_REPEAT, "KEY=VALUE", "change a key of the scenario" },
    { "model", 0, KV_FLAG_TEXT, "NAME", "name of models/data, or a file, in place of the scenario's" },
    { "layers", 0, KV_FLAG_COUNT, "N", "cut the model to so many layers, as FOLDER/model.yaml; 0: all (0)" },
    { "gpu", 0, KV_FLAG_COUNT, "N", "which GPU (0)" },
    { "seed", 0, KV_FLAG_COUNT, "N", "of the weights (1)" },
    { "layers-every", 0, KV_FLAG_COUNT, "N",
      "time the layers of each so-many-th step; 0: of those that wait for loads (0)" },
    { "memory", 0, KV_FLAG_BYTES, "SIZE", "reference: at most so much (4GiB)" },
    { "budget", 0, KV_FLAG_TIME, "TIME", "time of the run, filling host memory included (10min)" },
    { "force", 0, KV_FLAG_SWITCH, NULL, "overwrite files that are there" },
    { "quiet", 0, KV_FLAG_SWITCH, NULL, "no progress and no table" },
    { NULL, 0, KV_FLAG_SWITCH, NULL, NULL },
};

const struct kv_command kv_command_calib_serve = {
    .name = "calib serve", .usage = "SCENARIO.yaml -o FOLDER [flags]",
    .help = "serve a scenario's workload for real on a GPU, to compare with what kvsim simulates",
    .details =
        "A transformer of the scenario's shape with random weights, paged KV, continuous batching by the rules that\n"
        "kvsim simulates, and KV that lies in host memory (resident_tokens) loaded layer by layer beside computing.\n"
        "Arrivals are those of the trace, in real time. requests.csv has the TTFT, TPOT and E2E of each request,\n"
        "steps.csv each step, layers.csv when layers were loaded and computed. Ctrl-C keeps what has ended. The same\n"
        "scenario goes to `kvsim run`; docs/calibration.md compares them. Without a GPU it ends with exit code 77.\n",
    .flags = flags, .arg_min = 1, .arg_max = 1, .run = run,
};

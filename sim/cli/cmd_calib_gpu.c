/* SPDX-License-Identifier: Apache-2.0 */
/* kvsim calib gpu: runs kvsim-calib-gpu (calib/gpu), which links CUDA. */
#include "sim/cli/calib.h"
#include "sim/cli/cli.h"

static int run(struct kv_args *args)
{
    return kv_calib_run(args, "gpu");
}

static const struct kv_flag flags[] = {
    { "output", 'o', KV_FLAG_TEXT, "FOLDER", "of samples; goes on where it holds some" },
    { "device", 0, KV_FLAG_COUNT, "N", "which GPU, as CUDA counts them (0)" },
    { "gpu", 0, KV_FLAG_TEXT, "NAME", "its name in models/gpus; default: by what the driver calls it" },
    { "model", 0, KV_FLAG_TEXT, "LIST", "models whose shapes are measured; default: all that ship" },
    { "ops", 0, KV_FLAG_TEXT, "LIST", "gemm,prefill,decode,rmsnorm,rotary,scatter_kv,silu_mul,write_kv,copy,all_reduce,"
      "sm_share,two_layers; default: all" },
    { "dtype", 0, KV_FLAG_TEXT, "LIST", "bf16,fp8; default: both" },
    { "budget", 0, KV_FLAG_TIME, "TIME", "of this run (8min)" },
    { "visits", 0, KV_FLAG_COUNT, "N", "to each point, a median each, spread over the run (3)" },
    { "list", 0, KV_FLAG_SWITCH, NULL, "print what would be measured, in order; needs no GPU" },
    { "note", 0, KV_FLAG_TEXT, "TEXT", "for the samples: settings of the machine" },
    { "quiet", 0, KV_FLAG_SWITCH, NULL, "no progress" },
    { NULL, 0, KV_FLAG_SWITCH, NULL, NULL },
};

const struct kv_command kv_command_calib_gpu = {
    .name = "calib gpu", .usage = "-o FOLDER [flags]",
    .help = "time the operators of a transformer on this GPU, and write samples of them",
    .details =
        "Products, attention over paged KV, what lies between, copies from and to the host, all-reduce, parts of the\n"
        "SMs: the most valuable points first, until the time is over. Each operator's results are checked before it\n"
        "is timed. Every visit to a point is kept in FOLDER/visits.csv at once; after Ctrl-C, an error or the end of\n"
        "the budget the same command goes on. `kvsim calib import samples FOLDER -o PROFILE` makes a profile.\n"
        "Without a GPU it ends with exit code 77.\n",
    .flags = flags, .arg_min = 0, .arg_max = 0, .run = run,
};

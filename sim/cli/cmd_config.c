/* SPDX-License-Identifier: Apache-2.0 */
/* kvsim config check | show | schema | init: everything about scenario files short of running them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sim/cli/cli.h"
#include "sim/scenario/scenario.h"

/* --set flags as overrides; false with a usage error. */
static bool read_set(struct kv_args *args, struct kv_override **set, int32_t *count, struct kv_err *err)
{
    struct kv_override *list = kv_arena_take(&args->arena, ((size_t)args->value_count + 1) * sizeof *list);
    const struct kv_flag_value *value;
    int32_t n = 0;
    for (; (value = kv_args_nth(args, "set", n)); n++) {
        const char *equals = strchr(value->text, '=');
        if (!equals || equals == value->text)
            return kv_fail(err, KV_EUSAGE, args->command->name,
                           "--set '%s': write --set KEY=VALUE, e.g. --set engine.max_num_seqs=64", value->text);
        list[n].key = kv_arena_copy(&args->arena, value->text, (size_t)(equals - value->text));
        list[n].value = equals + 1;
    }
    *set = list;
    *count = n;
    return true;
}

/* ---- check ---- */

static int check(struct kv_args *args)
{
    bool json = kv_args_has(args, "json-errors");
    struct kv_override *set;
    struct kv_err err = {0};
    int32_t set_count, errors = 0;
    if (!read_set(args, &set, &set_count, &err)) return kv_cli_fail(&err);
    for (int32_t i = 0; i < args->arg_count; i++) {
        struct kv_scenario scenario;
        struct kv_diag diag = {0};
        bool good = kv_scenario_load(&scenario, args->arg[i], set, set_count, &diag);
        kv_cli_say_diag(&diag, json);
        if (good) kv_print("%s: ok\n", args->arg[i]);
        errors += diag.errors;
        kv_scenario_close(&scenario);
        kv_diag_close(&diag);
    }
    if (errors && !json) kv_say("kvsim: %d error%s\n", errors, errors == 1 ? "" : "s");
    return errors ? KV_ECONFIG : KV_OK;
}

static const struct kv_flag check_flags[] = {
    { "set", 0, KV_FLAG_REPEAT, "KEY=VALUE", "change a key of the scenario first" },
    { "json-errors", 0, KV_FLAG_SWITCH, NULL, "errors as JSON, one object a line" },
    { NULL, 0, KV_FLAG_SWITCH, NULL, NULL }
};
const struct kv_command kv_command_config_check = {
    .name = "config check", .usage = "SCENARIO.yaml... [flags]",
        .help = "tell everything that is wrong with scenarios",
    .details = "Prints 'FILE: ok' for each good file. Reads the scenario, the model and the GPU; looks whether the\n"
               "trace is there, without opening it. Exit code 3 when there is an error.\n",
    .flags = check_flags, .arg_min = 1, .arg_max = -1, .run = check,
};

/* ---- show ---- */

static int show(struct kv_args *args)
{
    bool json = kv_args_has(args, "json-errors");
    struct kv_override *set;
    struct kv_err err = {0};
    int32_t set_count;
    if (!read_set(args, &set, &set_count, &err)) return kv_cli_fail(&err);
    struct kv_scenario scenario;
    struct kv_diag diag = {0};
    int code = KV_OK;
    if (kv_scenario_load(&scenario, args->arg[0], set, set_count, &diag)) {
        kv_cli_say_diag(&diag, json);
        kv_print("%s", kv_scenario_resolved(&scenario, kv_args_has(args, "origin")));
    } else {
        code = kv_cli_fail_diag(&diag, KV_ECONFIG, json);
    }
    kv_scenario_close(&scenario);
    kv_diag_close(&diag);
    return code;
}

static const struct kv_flag show_flags[] = {
    { "origin", 0, KV_FLAG_SWITCH, NULL, "say behind each key where its value came from" },
    { "set", 0, KV_FLAG_REPEAT, "KEY=VALUE", "change a key of the scenario first" },
    { "json-errors", 0, KV_FLAG_SWITCH, NULL, "errors as JSON, one object a line" },
    { NULL, 0, KV_FLAG_SWITCH, NULL, NULL }
};
const struct kv_command kv_command_config_show = {
    .name = "config show", .usage = "SCENARIO.yaml [flags]", .help = "print a scenario with every key in force",
    .details = "The output is a scenario itself: loading it gives the same output again.\n",
    .flags = show_flags, .arg_min = 1, .arg_max = 1, .run = show,
};

/* ---- schema ---- */

static int schema(struct kv_args *args)
{
    kv_print("%s", kv_scenario_schema(&args->arena));
    return KV_OK;
}

const struct kv_command kv_command_config_schema = {
    .name = "config schema", .usage = "", .help = "print the JSON schema of scenarios, for editors",
    .details = "kvsim config schema > kvsim.schema.json, then in a scenario:\n"
               "# yaml-language-server: $schema=kvsim.schema.json\n",
    .run = schema,
};

/* ---- init ---- */

static const char starter[] =
    "# A kvsim scenario. Only `model.use`, `cluster.nodes.gpu` and `workload.trace` have no default;\n"
    "# `kvsim config show FILE` prints every key in force, `kvsim list params` explains them all.\n"
    "kvsim: 1                        # version of this format\n"
    "name: my-scenario\n"
    "seed: 42                        # same seed, trace and program: same results, byte for byte\n"
    "\n"
    "model:\n"
    "  use: llama-3.1-8b             # kvsim list models\n"
    "  # kv_dtype: fp8               # half the KV bytes of bf16\n"
    "\n"
    "cluster:\n"
    "  nodes: {gpu: h100-sxm}        # kvsim list gpus\n"
    "  instances: {count: 4, tp: 1}  # engines, and tensor-parallel GPUs of each\n"
    "\n"
    "compute: {kind: roofline}       # kvsim list compute\n"
    "\n"
    "engine:                         # names and defaults as in vLLM\n"
    "  max_num_seqs: 256\n"
    "  max_num_batched_tokens: 8192\n"
    "  chunked_prefill: true\n"
    "  block_tokens: 16\n"
    "  sched: fcfs                   # kvsim list sched\n"
    "\n"
    "tiers:                          # GPU memory for KV: capacity: auto, capacity: 40GiB or num_gpu_blocks: 27000\n"
    "  - {name: hbm, kind: hbm, capacity: auto, gpu_memory_utilization: 0.9, evict: lru}\n"
    "\n"
    "route: {policy: prefix}         # kvsim list route\n"
    "\n"
    "workload:\n"
    "  trace: traces/sample/burstgpt_synth.csv.gz\n"
    "  format: burstgpt              # kvsim list readers\n"
    "  prefix: sessions              # none | trace | sessions, or a map {model: sessions, system: 100}\n"
    "  replay: open                  # open | session | {mode: closed, clients: 16, think: 5s}\n"
    "  # rate_scale: 2               # twice the load\n"
    "  # window: {start: 1h, end: 2h}\n"
    "  warmup: 5min                  # left out of the summary\n"
    "\n"
    "slo:\n"
    "  default: {ttft: 2s, tpot: 50ms}\n"
    "\n"
    "output: {requests: all, timeseries: auto}\n";

static int init(struct kv_args *args)
{
    if (args->arg_count == 0) {
        kv_print("%s", starter);
        return KV_OK;
    }
    const char *path = args->arg[0];
    struct kv_err err = {0};
    FILE *file = fopen(path, kv_args_has(args, "force") ? "w" : "wx");
    if (!file) {
        bool exists = errno == EEXIST;
        kv_fail(&err, KV_EIO, path, "cannot be written: %s%s", strerror(errno), exists
                ? " (--force overwrites it)" : "");
        return kv_cli_fail(&err);
    }
    bool written = fputs(starter, file) >= 0;
    if (fclose(file) != 0 || !written) {
        kv_fail(&err, KV_EIO, path, "cannot be written: %s", strerror(errno));
        return kv_cli_fail(&err);
    }
    kv_say("kvsim: wrote %s; check it with: kvsim config check %s\n", path, path);
    return KV_OK;
}

static const struct kv_flag init_flags[] = {
    { "force", 0, KV_FLAG_SWITCH, NULL, "overwrite an existing file" },
    { NULL, 0, KV_FLAG_SWITCH, NULL, NULL }
};
const struct kv_command kv_command_config_init = {
    .name = "config init", .usage = "[PATH]",
        .help = "write a commented scenario to start from (to stdout without PATH)",
    .flags = init_flags, .arg_min = 0, .arg_max = 1, .run = init,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* Longer texts, for `kvsim help TOPIC` and the man page. */
#include <stddef.h>

#include "sim/cli/cli.h"

static const char exit_codes[] =
    "Exit codes:\n"
    "    0  success\n"
    "    1  internal error: a bug in kvsim\n"
    "    2  usage: unknown command, unknown flag, missing argument\n"
    "    3  the scenario is invalid\n"
    "    4  the trace is invalid\n"
    "    5  calibration is missing, or its domain was left with --strict-calib\n"
    "    6  a service level or gate was not met; the result is valid\n"
    "    7  input or output failed: disk full, file exists, file unreadable\n"
    "    8  the simulation could not go on: time, event or memory limit, livelock\n"
    "    9  a self-test or a calibration check failed\n"
    "   77  hardware for a calibration is missing\n"
    "  130  interrupted; partial results were written\n";

static const char units[] =
    "Quantities carry their unit; a bare number is an error where one is needed.\n"
    "  size      B, KB, MB, GB, TB, PB (powers of 1000); KiB .. PiB (of 1024)\n"
    "  time      ns, us, ms, s, min, h, d\n"
    "  data rate bps, Kbps .. Tbps (bits); B/s, KB/s .. TB/s, KiB/s .. TiB/s\n"
    "  frequency req/s, req/min, req/h, /s\n"
    "  compute   FLOPS, MFLOPS .. PFLOPS\n"
    "  share     a number from 0 to 1\n"
    "Examples: capacity: 64GiB, nic: 100Gbps, warmup: 5min, ttft: 500ms.\n";

static const char scenario[] =
    "A scenario is one YAML file. `kvsim config init` writes a commented one,\n"
    "`kvsim config check FILE` tells all that is wrong with it, `kvsim config show\n"
    "--origin FILE` prints every key in force and where it came from.\n"
    "  kvsim     version of the format: 1\n"
    "  name      a word for tables and results\n"
    "  seed      of all random draws\n"
    "  extends   another scenario that this one changes\n"
    "  model     shape of the transformer, from models/data\n"
    "  cluster   nodes, GPUs, instances, tensor parallelism\n"
    "  compute   what a step costs\n"
    "  engine    batch limits, chunked prefill, block size (names as in vLLM)\n"
    "  tiers     where KV blocks live; the first is the GPU's memory\n"
    "  route     which instance serves a request\n"
    "  workload  trace, window, scaling, prefix identity, replay\n"
    "  slo       service levels by class\n"
    "  output    what goes into the results file\n"
    "On the command line `--set KEY=VALUE` overrides a key: --set tiers[0].evict=fifo.\n";

static const char metrics[] =
    "Per request: arrival a, first token f, end c, input and output tokens I and O.\n"
    "  ttft            f - a, with queueing and front-end overhead\n"
    "  tpot            (c - f) / (O - 1); undefined for O = 1\n"
    "  e2e             c - a = queue + fetch_stall + prefill + decode + preempted\n"
    "  queue           arrival to first scheduled, less the wait for its own KV\n"
    "  fetch_stall     waiting only for its own KV\n"
    "  induced_stall   a part of prefill and decode: waiting for the layers of others\n"
    "  preempted       from each preemption to the next scheduling\n"
    "  hit_ratio_token prompt tokens served by a tier / all prompt tokens;\n"
    "                  .._cond: / those not found in the tiers above\n"
    "  fetch_time      time that fetches were under way, sum over fetches\n"
    "  overlap_efficiency  1 - fetch stall of all requests / fetch_time\n"
    "  slo_attainment  requests that met all their bounds / requests after warm-up\n"
    "  goodput         requests that met all their bounds / second\n"
    "Percentiles are exact and interpolate linearly, as numpy.percentile does.\n"
    "Tokens computed again after a preemption are neither hits nor misses.\n";

const struct kv_topic kv_topics[] = {
    { "exit-codes", "what the exit code of kvsim says", exit_codes },
    { "units", "how quantities are written", units },
    { "scenario", "the sections of a scenario file", scenario },
    { "metrics", "definitions of the numbers in tables and results", metrics },
    { NULL, NULL, NULL },
};

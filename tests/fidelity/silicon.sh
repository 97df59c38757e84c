#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Real deployments at fixed concurrency (groundtruth/e2e/silicon_sample) against the same ones composed of operators:
# vLLM, one engine, dense models on H100 and H200. Errors of TPOT by deployment; exit code 0 only when the median of all
# rows is within 15 %. Nothing in it is fitted to these rows. A second part shows what is left when a step also takes the
# time of vLLM 0.12's host, which no table of operators holds: the median of measured - composed TPOT over the rows of
# Qwen3-32B with the fewest requests and the longest answers, which do not count there. It decides nothing.
#   tests/fidelity/silicon.sh [CSV]      rows to CSV; KVSIM, KVSIM_SHARED, PYTHON from the environment
. "$(dirname "$0")/../support/shell.sh"
sample=$shared/groundtruth/e2e/silicon_sample.csv.gz
needs "$sample"
"${PYTHON:-python3}" - "$KVSIM" "$sample" "$work" "${1:-$work/rows.csv}" <<'EOF'
import collections, csv, gzip, json, os, statistics, subprocess, sys
kvsim, sample, work, out = sys.argv[1:5]
BAR = 15
MODELS = {"Qwen/Qwen3-32B": "qwen3-32b", "meta-llama/Llama-3.1-70B": "llama-3.1-70b",
          "nvidia/Llama-3.1-8B-Instruct-FP8": "llama-3.1-8b"}
Row = collections.namedtuple("Row", "model gpu tp version dtype isl osl clients ttft_ms tpot_ms")


def rows():
    for r in csv.DictReader(gzip.open(sample, "rt")):
        if (r["backend"], r["mode"]) != ("vllm", "agg") or r["model_path"] not in MODELS or not r["concurrency"]:
            continue
        if r["system"] not in ("h100_sxm", "h200_sxm") or (r["pp_size"] or "1") != "1":
            continue
        yield Row(MODELS[r["model_path"]], r["system"].replace("_", "-"), int(r["tp_size"]),
                  r["backend_version"] or "unknown", "fp8" if r["precision"] == "fp8" else "bf16", int(r["isl"]),
                  int(r["osl"]), int(r["concurrency"]), float(r["silicon_ttft_ms"]), float(r["silicon_tpot_ms"]))


# Checkpoints in fp8 keep their KV in fp8 too: 32 requests of 8,192 + 1,024 tokens wait for no memory on one H200 with
# Llama-3.1-70B (TTFT 3.1 s), and in bf16 18 would fit. 8,192 tokens a step are vLLM's default on these GPUs.
def simulate(r, overhead_ms):
    count, trace = max(3 * r.clients, r.clients + 16), os.path.join(work, "t.jsonl")
    with open(trace, "w") as f:
        for i in range(count):
            blocks = range(1000 * i, 1000 * i + (r.isl + 511) // 512)      # 512 tokens each, of no other prompt
            json.dump({"timestamp": 0, "input_length": r.isl, "output_length": r.osl, "hash_ids": list(blocks)}, f)
            f.write("\n")
    scenario, result = os.path.join(work, "s.yaml"), os.path.join(work, "r.h5")
    with open(scenario, "w") as f:
        f.write(f"""kvsim: 1
name: silicon
model: {{use: {r.model}, dtype: {r.dtype}, kv_dtype: {r.dtype}}}
cluster: {{nodes: {{count: 1, gpus: 8, gpu: {r.gpu}}}, instances: {{count: 1, tp: {r.tp}}}}}
compute: {{kind: table, host_overhead: {overhead_ms:.3f}ms}}
engine: {{max_num_seqs: 1024, max_num_batched_tokens: 8192}}
tiers: [{{name: hbm, kind: hbm, capacity: auto}}]
workload: {{trace: {trace}, format: mooncake, replay: {{mode: closed, clients: {r.clients}}}}}
""")
    subprocess.run([kvsim, "run", scenario, "-o", result, "--force"], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.PIPE, text=True)
    table = subprocess.run([kvsim, "export", result, "csv", "requests"], check=True, stdout=subprocess.PIPE, text=True)
    # Steady state: without the clients' first requests, which begin together, and their last, behind which none comes.
    steady = [q for q in csv.DictReader(table.stdout.splitlines())
              if r.clients <= int(q["request_id"]) < count - r.clients]
    return tuple(1e3 * statistics.mean(float(q[key]) for q in steady) for key in ("ttft_s", "tpot_s"))


def report(title, got):
    print(title)
    print("%-14s %-9s %3s %-8s %5s %5s  %14s  %7s  %7s"
          % ("model", "gpu", "tp", "vLLM", "dtype", "rows", "median |error|", "median", "worst"))
    groups = collections.defaultdict(list)
    for r, (_, tpot) in got.items():
        groups[r.model, r.gpu, r.tp, r.version, r.dtype].append(100 * (tpot / r.tpot_ms - 1))
    line = lambda e: "%12.1f %%  %+5.1f %%  %+5.1f %%" % (statistics.median(map(abs, e)), statistics.median(e),
                                                          max(e, key=abs))
    for key, e in sorted(groups.items()):
        print("%-14s %-9s %3d %-8s %5s %5d  %s" % (*key, len(e), line(e)))
    every = [e for part in groups.values() for e in part]
    print("%-43s %5d  %s\n" % ("all", len(every), line(every)))
    return statistics.median(map(abs, every))


try:
    bare = {r: simulate(r, 0) for r in rows()}
    lightest = [r for r in bare if r.model == "qwen3-32b" and r.version == "0.12.0" and r.clients == 8
                and r.osl == 1024]
    host_ms = max(0.0, statistics.median(r.tpot_ms - bare[r][1] for r in lightest))
    with_host = {r: simulate(r, host_ms) if r.version == "0.12.0" else bare[r] for r in bare if r not in lightest}
except subprocess.CalledProcessError as e:
    sys.exit("%s\n%s" % (" ".join(e.cmd), e.stderr))
with open(out, "w") as f:
    print(*Row._fields, "composed_ttft_ms", "composed_tpot_ms", "host_ttft_ms", "host_tpot_ms", sep=",", file=f)
    for r in bare:
        print(*r, *("%.3f" % x for x in bare[r] + with_host.get(r, ())), sep=",", file=f)
past = report("TPOT, composed of operators alone", bare) > BAR
report("TPOT, with %.2f ms of the host a step in vLLM 0.12 (from %d rows, which do not count here)"
       % (host_ms, len(lightest)), with_host)
print("operators alone: the median is %s the bar of %d %%" % ("past" if past else "within", BAR))
sys.exit(past)
EOF
